"""A process that is killed while it pays back: at chosen lines, and at any moment."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any
from unittest import mock

import stripe
from django.conf import settings
from django.db import connections, transaction
from django.utils import timezone

from oscar_loyalty.flows.purchases import reward_purchase
from oscar_loyalty.flows.return_terms import Pick
from oscar_loyalty.flows.sweeping import sweep
from oscar_loyalty.payments import refunds, services
from oscar_loyalty.payments.refund_models import Refund
from oscar_loyalty.points.models import Account
from oscar_loyalty.returns.models import Return
from tests.payments.refund_world import add_source, make_order, source_of
from tests.returns.world import accept, arrive, ask, make_policy, relay, state_of
from tests.shop import world

EACH = Decimal("1.00")
NUMBER = "900001"


def kill_sender(*, stripe_url: str, random_kills: int, seed: int) -> dict[str, Any]:
    """
    Refunds of one order, each sent by a process of its own that is killed: right before the provider is
    asked, right after it has answered, and at random moments. Afterwards the sweep finishes them.
    """
    settings.OSCAR_LOYALTY_STRIPE_API_BASE = stripe_url
    settings.OSCAR_LOYALTY_STRIPE_SECRET_KEY = "sk_test_sandbox"
    chance = random.Random(seed)
    kills: list[Callable[[int], None]] = [die_before_asking, die_after_the_answer]
    kills += [lambda pk: die_within(pk, chance.uniform(0, 0.2))] * random_kills
    pay(EACH * len(kills))
    killed = 0
    for number, send_and_die in enumerate(kills):
        with transaction.atomic():
            refund = refunds.request_refund(
                order_number=NUMBER,
                amount=EACH,
                currency="EUR",
                cause_ref=f"return:{number}",
                now=timezone.now(),
            )
        killed += in_a_process(send_and_die, refund.pk)
    before = Counter(Refund.objects.values_list("state", flat=True))
    for minutes in (10, 20):
        refunds.finish_refunds(now=timezone.now() + timedelta(minutes=minutes))
    client = stripe.StripeClient("sk_test_sandbox", base_addresses={"api": stripe_url})
    made = Counter(one.metadata["oscar_loyalty_refund"] for one in client.v1.refunds.list({"limit": 100}))
    return {
        "killed": killed,
        "left unfinished": before["REQUESTED"],
        "not paid back": Refund.objects.exclude(state="SUCCEEDED").count(),
        "not once": [str(one.pk) for one in Refund.objects.all() if made[str(one.public_id)] != 1],
        "in the books": str(source_of(NUMBER).amount_refunded),
        "asked for": str(EACH * len(kills)),
    }


def kill_sender_of_a_return(*, stripe_url: str) -> dict[str, Any]:
    """
    Two returns of one order are accepted; the process that pays them back is killed before it asks, and
    after it was answered. Afterwards the sweep finishes them.
    """
    settings.OSCAR_LOYALTY_STRIPE_API_BASE = stripe_url
    settings.OSCAR_LOYALTY_STRIPE_SECRET_KEY = "sk_test_sandbox"
    make_policy(world.make_programme(waiting_days=0))
    account = world.make_member(points=1000)
    order = paid_order(account.user)
    pick = [Pick(line_id=order.lines.get().pk, quantity=1)]
    # As if the process had died with the commit: nothing is sent by the acceptance itself.
    with mock.patch.object(refunds, "send_after_commit"):
        for _number in range(2):
            accept(ask(order, pick))
    made = list(Refund.objects.order_by("pk"))
    kills = [die_before_asking, die_after_the_answer]
    killed = sum(in_a_process(kill, one.pk) for kill, one in zip(kills, made, strict=True))
    relay()
    before = list(Return.objects.order_by("pk").values_list("state", flat=True))
    for minutes in (10, 20):
        sweep(now=timezone.now() + timedelta(minutes=minutes))
    relay(timezone.now() + timedelta(minutes=21))
    client = stripe.StripeClient("sk_test_sandbox", base_addresses={"api": stripe_url})
    return {
        "killed": killed,
        "before": before,
        "after": list(Return.objects.order_by("pk").values_list("state", flat=True)),
        "at the provider": sorted(one.amount for one in client.v1.refunds.list({"limit": 100})),
        "in the books": str(source_of(order.number).amount_refunded),
        "points": state_of(Account.objects.get(pk=account.pk)),
    }


def paid_order(user: Any) -> Any:
    """Three pieces at €30 of a member, paid, delivered and rewarded."""
    now = timezone.now()
    order = world.place(world.make_basket(user, (("30.00", 3, 19),)), number=NUMBER)
    pay(order.total_incl_tax, order=order)
    arrive(order)
    reward_purchase(order_id=order.pk, now=now)
    return order


def pay(amount: Decimal, *, order: Any = None) -> None:
    now = timezone.now()
    payment = services.prepare_payment(basket_id="1", amount=amount, currency="EUR", now=now).payment
    services.authorise_payment(
        payment_id=payment.pk, payment_method="pm_card_visa", return_url="http://testserver/", now=now
    )
    add_source(order or make_order(NUMBER), name="Card", amount=amount, reference=payment.intent_id or "")
    services.record_order(payment_id=payment.pk, order_number=NUMBER)
    services.capture_payment(payment_id=payment.pk, now=now)


def in_a_process(act: Callable[[int], None], refund_id: int) -> bool:
    """Whether the process was killed before it had done its work."""
    connections.close_all()
    pid = os.fork()
    if pid == 0:
        act(refund_id)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def die_before_asking(refund_id: int) -> None:
    refunds._create_at_gateway = die
    send(refund_id)


def die_after_the_answer(refund_id: int) -> None:
    refunds._observe = die
    send(refund_id)


def die_within(refund_id: int, seconds: float) -> None:
    """Killed by a process of its own, wherever it is then."""
    victim = os.getpid()
    if os.fork() == 0:
        time.sleep(seconds)
        os.kill(victim, signal.SIGKILL)
        os._exit(0)
    send(refund_id)
    time.sleep(seconds)


def send(refund_id: int) -> None:
    refunds.send_refund(refund_id=refund_id, now=timezone.now())


def die(*args: Any, **values: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)

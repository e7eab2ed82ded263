"""Orders of a real basket that were paid, sent and delivered, and what comes back of them."""

import uuid
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from django.utils import timezone
from oscar.core.loading import get_model

from oscar_loyalty.flows import return_steps, return_terms, returns
from oscar_loyalty.flows.purchases import reward_purchase
from oscar_loyalty.flows.redemption import redeem
from oscar_loyalty.outbox.services import relay_messages
from oscar_loyalty.payments.models import CardPayment
from oscar_loyalty.payments.refund_models import Refund
from oscar_loyalty.returns.models import Condition, Return, ReturnPolicy
from oscar_loyalty.returns.services import Decision
from oscar_loyalty.testing.ledger import assert_ledger_balanced
from oscar_loyalty.tiers.models import Tier, TierScheme
from tests.shop import world as shop

from .bank import Bank

_numbers = count(1)
DAY = timedelta(days=1)


def make_policy(programme: Any, **values: Any) -> ReturnPolicy:
    long_ago = timezone.now() - timedelta(days=400)
    return ReturnPolicy.objects.create(
        **{"programme": programme, "currency": "EUR", "active_from": long_ago, **values}
    )


def make_order(
    user: Any,
    lines: Any = (("30.00", 1, 19),),
    *,
    points: int = 0,
    voucher: Any = None,
    shipping: str = "4.90",
    delivered: bool = True,
) -> Any:
    """
    Placed by Oscar's own creator from a basket with offers, paid by card, and rewarded. Without ``user`` it
    is a guest's.
    """
    basket = shop.make_basket(user, lines)
    if voucher is not None:
        basket.vouchers.add(voucher)
        basket = shop.load(basket)
    if points:
        redeem(basket=basket, points=points, now=timezone.now())
        basket = shop.load(basket)
    order = shop.place(basket, number=f"R{next(_numbers):06d}", shipping=shipping)
    if user is None:
        order.guest_email = "guest@example.com"
        order.save()
    pay(order)
    if delivered:
        arrive(order)
    reward_purchase(order_id=order.pk, now=timezone.now())
    order.refresh_from_db()
    return order


def pay(order: Any) -> None:
    if not order.total_incl_tax:
        return
    intent = f"pi_{order.number}"
    CardPayment.objects.create(
        basket_id=str(order.basket_id),
        open_key=str(order.basket_id),
        order_number=order.number,
        intent_id=intent,
        amount=order.total_incl_tax,
        currency=order.currency,
        state=CardPayment.State.CAPTURED,
        created_at=order.date_placed,
        captured_at=order.date_placed,
    )
    kind, _ = get_model("payment", "SourceType").objects.get_or_create(code="card", name="Card")
    order.sources.create(
        source_type=kind,
        currency=order.currency,
        amount_allocated=order.total_incl_tax,
        amount_debited=order.total_incl_tax,
        reference=intent,
    )
    Bank.paid[intent] = order.total_incl_tax


def arrive(order: Any) -> None:
    for status in ("Being processed", "Shipped", "Complete"):
        if status in order.available_statuses():
            order.set_status(status)


def pick_all(order: Any, **values: Any) -> list[return_terms.Pick]:
    return [
        return_terms.Pick(line_id=line.pk, quantity=line.quantity, **values)
        for line in order.lines.order_by("pk")
    ]


def ask(order: Any, picks: Any = None, *, now: datetime | None = None, **values: Any) -> Return:
    return returns.request_return(
        order_id=order.pk,
        picks=picks or pick_all(order),
        actor_ref="customer",
        now=now or timezone.now(),
        **values,
    )


def accept(of_return: Return, *, now: datetime | None = None, **changes: Any) -> Return:
    """Everything is as it was sent, unless ``changes`` say otherwise of the first line."""
    decisions = [
        Decision(line_id=line.line_id, accepted=line.quantity, condition=Condition.AS_NEW)
        for line in of_return.lines.order_by("id")
    ]
    if changes:
        first = decisions[0]
        decisions[0] = Decision(**{**vars(first), **changes})
    done = return_steps.inspect_return(
        return_id=of_return.pk, decisions=decisions, actor_ref="user:1", now=now or timezone.now()
    )
    done.refresh_from_db()
    return done


def relay(now: datetime | None = None) -> None:
    while relay_messages(now=now or timezone.now() + timedelta(seconds=1)):
        pass


def refunds_of(order: Any) -> list[Refund]:
    return list(Refund.objects.filter(order_number=order.number).order_by("pk"))


def state_of(account: Any) -> tuple[int, int, int]:
    """Pending, available and owed, after a replay of the whole ledger."""
    assert_ledger_balanced(account)
    return account.pending, account.available, account.debt


def new_key() -> str:
    return str(uuid.uuid4())


def make_tier(programme: Any, *, entry: int = 20, keep: int = 10) -> Any:
    """Silver, from so much money on; returns the version of the programme that has it."""
    version = programme.versions.get()
    TierScheme.objects.create(version=version)
    Tier.objects.create(
        version=version,
        code="silver",
        name_de="Silber",
        name_en="Silver",
        rank=1,
        entry_threshold=entry,
        keep_threshold=keep,
    )
    return version

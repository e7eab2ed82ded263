"""An order with two returns, the second of whose refunds the bank sends back: Stripe's news in any order."""

import itertools
import json
import os
import time
from decimal import Decimal

import pytest
import stripe
from django.db import transaction
from django.utils import timezone
from oscar.core.loading import get_model

from oscar_loyalty.flows.purchases import reward_purchase
from oscar_loyalty.flows.return_terms import Pick
from oscar_loyalty.payments import refunds, services
from oscar_loyalty.payments.models import CardPayment
from oscar_loyalty.payments.refund_models import Refund
from oscar_loyalty.points.models import Account, Entry
from oscar_loyalty.returns.models import Return
from tests.returns.world import accept, arrive, ask, make_policy, refunds_of, relay, state_of
from tests.shop import world

from .refund_world import add_source, source_of
from .test_refund_webhook import URL, events

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("stripe_server"), pytest.mark.timeout(600)]

NUMBER = "100008"
NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
#: Each call twice: at once, after all the others, and the second time backwards.
COPIES = (
    lambda arrival: [event for event in arrival for _copy in range(2)],
    lambda arrival: [*arrival, *arrival],
    lambda arrival: [*arrival, *reversed(arrival)],
)


@pytest.fixture(autouse=True)
def _urls(settings):
    settings.ROOT_URLCONF = "tests.payments.urls"


@pytest.fixture
def account():
    make_policy(world.make_programme(waiting_days=0))
    return world.make_member(points=1000)


@pytest.fixture
def order(account, stripe_server):
    """Three pieces at €30, delivered and rewarded; the money is reserved and not taken yet."""
    now = timezone.now()
    placed = world.place(world.make_basket(account.user, (("30.00", 3, 19),)), number=NUMBER)
    amount = placed.total_incl_tax
    payment = services.prepare_payment(
        basket_id=str(placed.basket_id), amount=amount, currency="EUR", now=now
    ).payment
    services.authorise_payment(
        payment_id=payment.pk, payment_method="pm_card_visa", return_url="http://testserver/", now=now
    )
    payment.refresh_from_db()
    add_source(placed, name="Card", amount=amount, reference=payment.intent_id)
    services.record_order(payment_id=payment.pk, order_number=NUMBER)
    arrive(placed)
    reward_purchase(order_id=placed.pk, now=now)
    return placed


def return_two_pieces(order):
    """In a return of its own each."""
    pick = [Pick(line_id=order.lines.get().pk, quantity=1)]
    for _number in range(2):
        accept(ask(order, pick))
    relay()
    return refunds_of(order)


def tell(client, server, event):
    """Post an event as Stripe does."""
    payload = json.dumps(event)
    signature = stripe.WebhookSignature.generate_signature_header(
        payload, server.webhook_secret, int(time.time())
    )
    answer = client.post(
        URL, payload, content_type="application/json", headers={"Stripe-Signature": signature}
    )
    assert answer.status_code == 200


def known(account):
    """All that the shop knows of money, returns and points, without the moments at which it looked."""
    source = source_of(NUMBER)
    return {
        "payment": CardPayment.objects.get().state,
        "refunds": list(
            Refund.objects.order_by("pk").values_list(
                "cause_ref", "method", "state", "amount", "gateway_id", "failure_code", "attempts"
            )
        ),
        "source": (source.amount_allocated, source.amount_debited, source.amount_refunded),
        "transactions": sorted(source.transactions.values_list("txn_type", "amount", "status", "reference")),
        "order": get_model("order", "Order").objects.get(number=NUMBER).status,
        "returns": [
            (one.number, one.state, one.refund_amount, one.points_taken, one.refunded_at is None)
            for one in Return.objects.order_by("pk")
        ],
        "happened": [list(one.events.order_by("pk").values_list("code", "reason")) for one in all_returns()],
        "points": state_of(Account.objects.get(pk=account.pk)),
        "entries": list(Entry.objects.order_by("pk").values_list("kind", "points", "order_ref")),
    }


def all_returns():
    return Return.objects.order_by("pk")


def play(client, server, account, news):
    """Whatever the order of arrival, the worker follows between the calls; return every end."""
    ends = []
    for number, arrival in enumerate(itertools.permutations(news)):
        for copy in COPIES if NIGHTLY else [COPIES[number % len(COPIES)]]:
            with transaction.atomic():
                for event in copy(arrival):
                    tell(client, server, event)
                    relay()
                ends.append(known(account))
                transaction.set_rollback(True)
    return ends


def assert_one_is_paid_and_one_is_not(ends):
    end = ends[0]
    for other in ends:
        assert other == end
    assert end["payment"] == CardPayment.State.CAPTURED
    assert [row[2] for row in end["refunds"]] == ["SUCCEEDED", "FAILED"]
    assert [row[1] for row in end["returns"]] == ["SETTLED", "INSPECTED"]
    assert end["source"] == (Decimal("90.00"), Decimal("90.00"), Decimal("30.00"))
    assert end["points"] == (0, 1030, 0)


def test_nothing_was_known_before_the_news(client, gateway, stripe_server, account, order):
    """The capture was made elsewhere, and both answers to our refunds were lost."""
    made = return_two_pieces(order)
    intent = CardPayment.objects.get().intent_id
    gateway.capture_intent(
        intent_id=intent, amount=Decimal("90.00"), currency="EUR", idempotency_key="by hand"
    )
    Refund.objects.update(attempts=1, sent_at=timezone.now())
    at_stripe = [refunds._create_at_gateway(refund) for refund in made]
    stripe_server.control("refunds", refund=at_stripe[1].refund_id, status="failed")
    news = events(stripe_server, "payment_intent.succeeded", "refund.created", "refund.failed")
    assert len(news) == 4
    assert_one_is_paid_and_one_is_not(play(client, stripe_server, account, news))


def test_both_returns_were_settled_before_the_bank_sent_one_back(client, stripe_server, account, order):
    services.capture_payment(payment_id=CardPayment.objects.get().pk, now=timezone.now())
    made = [
        refunds.send_refund(refund_id=refund.pk, now=timezone.now()) for refund in return_two_pieces(order)
    ]
    relay()
    assert [one.state for one in all_returns()] == ["SETTLED", "SETTLED"]
    stripe_server.control("refunds", refund=made[1].gateway_id, status="failed")
    news = events(stripe_server, "payment_intent.succeeded", "refund.created", "refund.failed")
    assert len(news) == 4
    assert_one_is_paid_and_one_is_not(play(client, stripe_server, account, news))

"""Stripe's calls about refunds: signed, twice, in any order, and those about refunds that we did not make."""

import itertools
import json
import time
from decimal import Decimal

import pytest
import stripe
from django.db import transaction

from oscar_loyalty.payments import refunds, services
from oscar_loyalty.payments.gateway import GatewayUnavailable
from oscar_loyalty.payments.models import CardPayment, StripeEvent
from oscar_loyalty.payments.refund_models import Refund

from .refund_world import ORDER, PAID, at_stripe, authorised_order, paid_order, request, send, source_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("stripe_server")]

URL = "/api/loyalty/v1/stripe/webhook"
State = Refund.State


@pytest.fixture(autouse=True)
def _urls(settings):
    settings.ROOT_URLCONF = "tests.payments.urls"


@pytest.fixture
def tell(client, stripe_server):
    """Post an event as Stripe does."""

    def tell(event):
        payload = json.dumps(event)
        header = stripe.WebhookSignature.generate_signature_header(
            payload, stripe_server.webhook_secret, int(time.time())
        )
        answer = client.post(
            URL, payload, content_type="application/json", headers={"Stripe-Signature": header}
        )
        assert answer.status_code == 200

    return tell


def events(server, *kinds):
    """What Stripe has to say, oldest first."""
    return [one for one in reversed(server.control("state")["event"]) if one["type"] in kinds]


def known():
    """All that we know, without the moments at which we look again."""
    moments = ("due_at", "requested_at", "sent_at", "succeeded_at", "failed_at")
    rows = [
        {name: value for name, value in row.items() if name not in ("id", "public_id", "revision", *moments)}
        for row in Refund.objects.order_by("cause_ref").values()
    ]
    source = source_of()
    return rows, CardPayment.objects.get().state, source.amount_debited, source.amount_refunded


def lose_the_answer(server, refund):
    server.control("chaos", fault="drop_after_commit", method="POST", path="/v1/refunds", times=3)
    with pytest.raises(GatewayUnavailable):
        send(refund)


@pytest.mark.timeout(300)
def test_any_order_of_arrival_ends_the_same(tell, gateway, stripe_server):
    """
    The capture was made elsewhere, the answer to our refund was lost, a second one was made at Stripe's own
    pages, and the bank sent the first one back. We know none of that before the news comes.
    """
    payment = authorised_order()
    ours = request("5.00")
    gateway.capture_intent(
        intent_id=payment.intent_id, amount=PAID, currency="EUR", idempotency_key="by hand"
    )
    Refund.objects.filter(pk=ours.pk).update(attempts=1, sent_at=ours.requested_at)
    made = refunds._create_at_gateway(ours)
    gateway.create_refund(
        intent_id=payment.intent_id,
        amount=Decimal("2.00"),
        currency="EUR",
        reference="",
        idempotency_key="at Stripe's pages",
    )
    stripe_server.control("refunds", refund=made.refund_id, status="failed")
    news = events(stripe_server, "payment_intent.succeeded", "refund.created", "refund.failed")
    assert len(news) == 4
    ends = []
    for arrival in itertools.permutations(news):
        with transaction.atomic():
            for event in itertools.chain.from_iterable(zip(arrival, arrival, strict=True)):
                tell(event)
            ends.append(known())
            transaction.set_rollback(True)
    rows, payment_state, debited, refunded = ends[0]
    assert all(end == ends[0] for end in ends)
    assert [(row["amount"], row["state"]) for row in rows] == [
        (Decimal("2.00"), State.SUCCEEDED),
        (Decimal("5.00"), State.FAILED),
    ]
    assert (payment_state, debited, refunded) == (CardPayment.State.CAPTURED, PAID, Decimal("2.00"))


def test_answers_that_overtake_each_other_end_the_same(gateway, stripe_server):
    """Two workers ask, and the older answer is applied last: whatever the order, what failed stays failed."""
    payment = paid_order()
    stripe_server.control("refunds", next_one="pending")
    refund = send(request("5.00"))
    seen = [gateway.retrieve_refund(refund_id=refund.gateway_id)]
    for status in ("succeeded", "failed"):
        stripe_server.control("refunds", refund=refund.gateway_id, status=status)
        seen.append(gateway.retrieve_refund(refund_id=refund.gateway_id))
    for answers in itertools.permutations(seen):
        with transaction.atomic():
            for answer in (*answers, *answers):
                refunds._observe(refund.pk, answer, now=refund.requested_at)
            refund.refresh_from_db()
            assert refund.state == State.FAILED, answers
            assert source_of().amount_refunded == 0
            transaction.set_rollback(True)
    assert payment.state == CardPayment.State.CAPTURED


@pytest.mark.parametrize("kind", ["refund.created", "charge.refunded"])
def test_news_settles_a_refund_whose_answer_was_lost(tell, stripe_server, kind):
    paid_order()
    refund = request()
    lose_the_answer(stripe_server, refund)
    (event,) = events(stripe_server, kind)
    tell(event)
    refund.refresh_from_db()
    assert refund.state == State.SUCCEEDED
    assert StripeEvent.objects.get().state == StripeEvent.State.PROCESSED
    assert send(refund).attempts == 1
    assert len(at_stripe(stripe_server)) == 1


def test_what_an_event_says_is_not_believed(tell, stripe_server):
    paid_order()
    stripe_server.control("refunds", next_one="pending")
    refund = send(request())
    (event,) = events(stripe_server, "refund.created")
    event["data"]["object"].update(status="succeeded", amount=1)
    tell(event)
    refund.refresh_from_db()
    assert (refund.state, refund.amount) == (State.PENDING, Decimal("5.00"))


def test_a_refund_of_another_shop_on_the_same_account_is_ignored(tell, gateway, stripe_server):
    payment = paid_order()
    gateway.create_refund(
        intent_id=payment.intent_id,
        amount=Decimal("2.00"),
        currency="EUR",
        reference="",
        idempotency_key="theirs",
    )
    source_of().delete()
    CardPayment.objects.all().delete()
    (event,) = events(stripe_server, "refund.created")
    tell(event)
    assert StripeEvent.objects.get().state == StripeEvent.State.IGNORED
    assert not Refund.objects.exists()


def test_news_while_stripe_is_down_waits_for_the_sweep(tell, gateway, stripe_server):
    payment = paid_order()
    gateway.create_refund(
        intent_id=payment.intent_id,
        amount=Decimal("2.00"),
        currency="EUR",
        reference="",
        idempotency_key="at Stripe's pages",
    )
    (event,) = events(stripe_server, "charge.refunded")
    stripe_server.control("chaos", fault="error_500", times="always")
    tell(event)
    waiting = StripeEvent.objects.get()
    assert waiting.state == StripeEvent.State.RECEIVED
    stripe_server.control("chaos", clear=True)
    swept = services.finish_payments(now=waiting.received_at + services.CAPTURE_GRACE * 2)
    assert swept.events == 1
    assert Refund.objects.get(order_number=ORDER).state == State.SUCCEEDED


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("row_locks")
@pytest.mark.database
def test_calls_that_arrive_twice_and_out_of_order_do_no_harm(stripe_server, live_server):
    """Stripe's own calls, over HTTP, while refunds are sent."""
    paid_order()
    stripe_server.send_webhooks_to(f"{live_server.url}{URL}")
    try:
        stripe_server.control("chaos", fault="duplicate", times="always")
        stripe_server.control("chaos", fault="reorder", times=2)
        first, second = request("5.00"), request("3.00", "return:2")
        send(first)
        lose_the_answer(stripe_server, second)
        first.refresh_from_db()
        stripe_server.control("refunds", refund=first.gateway_id, status="failed")
        assert {one["state"] for one in stripe_server.wait_for_webhooks()} == {"delivered"}
    finally:
        stripe_server.send_webhooks_to(None)
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.state, second.state) == (State.FAILED, State.SUCCEEDED)
    assert source_of().amount_refunded == Decimal("3.00")
    assert Refund.objects.count() == 2

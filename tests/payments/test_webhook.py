"""Stripe's calls to us: signed, repeated, out of order, forged."""

import itertools
import json
import time
from decimal import Decimal

import pytest
import stripe
from django.db import transaction
from django.utils import timezone
from oscar.test.factories import create_order

from oscar_loyalty.payments import services
from oscar_loyalty.payments.models import CardPayment, StripeEvent

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("stripe_server")]

URL = "/api/loyalty/v1/stripe/webhook"


@pytest.fixture(autouse=True)
def _urls(settings):
    settings.ROOT_URLCONF = "tests.payments.urls"


@pytest.fixture
def send(client, stripe_server):
    """Post an event as Stripe does; everything about it can be made wrong."""

    def send(event, *, secret=stripe_server.webhook_secret, age=0, body=None, header=None):
        payload = json.dumps(event)
        header = header or stripe.WebhookSignature.generate_signature_header(
            payload, secret, int(time.time() - age)
        )
        return client.post(
            URL,
            payload if body is None else body,
            content_type="application/json",
            headers={"Stripe-Signature": header},
        )

    return send


def event_about(object_id, event_id="evt_1", kind="payment_intent.amount_capturable_updated", **more):
    return {
        "id": event_id,
        "object": "event",
        "type": kind,
        "livemode": False,
        "data": {"object": {"id": object_id, "object": "payment_intent"}},
        **more,
    }


@pytest.fixture
def payment():
    return services.prepare_payment(
        basket_id="7", amount=Decimal("12.34"), currency="EUR", now=timezone.now()
    ).payment


def confirm_elsewhere(gateway, payment):
    gateway.confirm_intent(
        intent_id=payment.intent_id,
        payment_method="pm_card_visa",
        return_url="http://testserver/",
        idempotency_key="in the browser",
    )


def test_an_event_makes_us_look(send, gateway, payment):
    confirm_elsewhere(gateway, payment)
    assert send(event_about(payment.intent_id)).status_code == 200
    payment.refresh_from_db()
    assert payment.state == CardPayment.State.AUTHORISED
    event = StripeEvent.objects.get()
    assert (event.state, event.object_id) == (StripeEvent.State.PROCESSED, payment.intent_id)


def test_what_an_event_says_is_not_believed(send, payment):
    lie = event_about(payment.intent_id, kind="payment_intent.succeeded")
    lie["data"]["object"].update(status="succeeded", amount_received=1234)
    assert send(lie).status_code == 200
    payment.refresh_from_db()
    assert payment.state == CardPayment.State.PENDING


def test_the_same_event_again_changes_nothing(send, gateway, payment):
    event = event_about(payment.intent_id)
    assert [send(event).status_code for _ in range(3)] == [200, 200, 200]
    assert StripeEvent.objects.count() == 1


def test_an_event_about_something_else_is_kept_and_ignored(send):
    assert send(event_about("cus_1", kind="customer.created")).status_code == 200
    assert StripeEvent.objects.get().state == StripeEvent.State.IGNORED


@pytest.mark.parametrize(
    "wrong",
    [
        {"secret": "whsec_other"},
        {"age": 400},
        {"age": -400},
        {"age": -86400},
        {"body": "{}"},
        {"header": "nonsense"},
        {"header": "t=1,v1=00"},
        {"header": "t=,v1="},
    ],
    ids=str,
)
def test_a_call_that_stripe_did_not_just_sign_is_refused(send, payment, wrong):
    assert send(event_about(payment.intent_id), **wrong).status_code == 400
    assert not StripeEvent.objects.exists()


def test_a_call_without_a_signature_is_refused(client):
    answer = client.post(URL, json.dumps(event_about("pi_1")), content_type="application/json")
    assert answer.status_code == 400


@pytest.mark.parametrize("secret", ["", "  "])
def test_without_a_secret_every_call_is_refused(send, settings, secret):
    settings.OSCAR_LOYALTY_STRIPE_WEBHOOK_SECRET = secret
    assert send(event_about("pi_1"), secret="whsec_sandbox").status_code == 400
    assert send(event_about("pi_1"), secret=secret).status_code == 400


@pytest.mark.parametrize("body", [{"id": "evt_1"}, [], "text", None, {"livemode": True, "id": "evt_1"}])
def test_a_signed_call_that_makes_no_sense_is_refused(send, body):
    assert send(body).status_code == 400
    assert not StripeEvent.objects.exists()


def test_news_from_the_live_mode_is_refused_in_a_test_shop(send):
    assert send(event_about("pi_1", livemode=True)).status_code == 400


def test_a_body_that_is_no_text_is_refused(client):
    answer = client.post(
        URL, b"\xff\xfe", content_type="application/json", headers={"Stripe-Signature": "t=1,v1=00"}
    )
    assert answer.status_code == 400


def test_only_post_is_answered(client):
    assert client.get(URL).status_code == 405


def test_the_webhook_needs_no_csrf_token_and_others_do(stripe_server):
    from django.test import Client

    strict = Client(enforce_csrf_checks=True)
    assert strict.post(URL, "{}", content_type="application/json").status_code == 400
    assert strict.post("/checkout/preview/", {}).status_code == 403


def test_an_event_while_stripe_is_down_waits_for_the_sweep(send, gateway, payment, stripe_server):
    confirm_elsewhere(gateway, payment)
    stripe_server.control("chaos", fault="error_500", times="always")
    assert send(event_about(payment.intent_id)).status_code == 200
    assert StripeEvent.objects.get().state == StripeEvent.State.RECEIVED
    stripe_server.control("chaos", clear=True)
    swept = services.finish_payments(now=timezone.now() + services.CAPTURE_GRACE * 2)
    assert swept.events == 1
    payment.refresh_from_db()
    assert payment.state == CardPayment.State.AUTHORISED


def test_any_order_of_arrival_ends_the_same(send, gateway, payment, stripe_server):
    """Every permutation of what Stripe sends about one paid order, each event twice."""
    confirm_elsewhere(gateway, payment)
    order = create_order(number="100007")
    services.verify_authorisation(
        intent_id=payment.intent_id,
        basket_id="7",
        amount=Decimal("12.34"),
        currency="EUR",
        now=timezone.now(),
    )
    services.record_order(payment_id=payment.pk, order_number=order.number)
    services.capture_payment(payment_id=payment.pk, now=timezone.now())
    events = [
        event
        for event in stripe_server.control("state")["event"]
        if event["type"].startswith("payment_intent.")
    ]
    assert len(events) >= 3
    payment.refresh_from_db()
    known = CardPayment.objects.values().get()
    for arrival in itertools.permutations(events):
        with transaction.atomic():
            for event in (*arrival, *arrival):
                assert send(event).status_code == 200
            assert CardPayment.objects.values().get() == known
            assert StripeEvent.objects.count() == len(events)
            transaction.set_rollback(True)

"""Events reach the shop signed, again and again until it takes them, and go wrong when told to."""

from __future__ import annotations

import time

import pytest
import stripe

from sandbox.stripe_server import API_VERSION


def verified(server, received):
    body, signature = received
    return stripe.Webhook.construct_event(body, signature, server.webhook_secret)


def test_each_step_of_a_payment_is_announced_in_order(server, client, shop, authorise):
    intent = authorise()
    client.v1.payment_intents.capture(intent.id, {"amount_to_capture": 9_000})
    client.v1.refunds.create({"payment_intent": intent.id, "amount": 1_000})
    server.wait_for_webhooks()
    assert shop.kinds == [
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.amount_capturable_updated",
        "charge.captured",
        "payment_intent.succeeded",
        "refund.created",
        "charge.refunded",
    ]
    refunded = verified(server, shop.received[-1])
    assert refunded.api_version == API_VERSION
    assert refunded.livemode is False
    assert refunded.request.id.startswith("req_")
    assert (refunded.data.object.amount_refunded, refunded.data.object.payment_intent) == (1_000, intent.id)
    assert refunded.data.previous_attributes["amount_refunded"] == 0
    capturable = verified(server, shop.received[2])
    assert capturable.data.object.status == "requires_capture"
    assert capturable.data.object.latest_charge == intent.latest_charge


def test_declines_challenges_and_cancellations_are_announced(server, client, shop, authorise):
    with pytest.raises(stripe.CardError):
        authorise(card="pm_card_chargeDeclined")
    challenged = authorise(card="pm_card_authenticationRequired")
    client.v1.payment_intents.cancel(challenged.id)
    server.wait_for_webhooks()
    assert shop.kinds == [
        "payment_intent.created",
        "charge.failed",
        "payment_intent.payment_failed",
        "payment_intent.created",
        "payment_intent.requires_action",
        "payment_intent.canceled",
    ]


def test_an_event_shows_the_object_as_it_was(server, client, shop):
    intent = client.v1.payment_intents.create({"amount": 1000, "currency": "eur"})
    client.v1.payment_intents.cancel(intent.id)
    server.wait_for_webhooks()
    assert [event["data"]["object"]["status"] for event in shop.events] == [
        "requires_payment_method",
        "canceled",
    ]
    assert not [name for name in shop.events[0]["data"]["object"] if name.startswith("_")]


def test_the_signature_depends_on_body_and_secret(server, client, shop):
    client.v1.customers.create({"name": "Zoë ☕"})
    server.wait_for_webhooks()
    body, signature = shop.received[0]
    assert verified(server, (body, signature)).data.object.name == "Zoë ☕"
    for wrong in (
        (body.replace(b"Zo", b"Bo"), signature, server.webhook_secret),
        (body, signature, "whsec_other"),
        (body, signature.replace("t=", "t=1"), server.webhook_secret),
    ):
        with pytest.raises(stripe.SignatureVerificationError):
            stripe.Webhook.construct_event(*wrong)


def test_the_machines_time_is_signed_whatever_the_test_clock_says(server, client, shop):
    server.control("clock", advance=90 * 86_400)
    client.v1.customers.create({})
    server.wait_for_webhooks()
    assert verified(server, shop.received[0]).created > time.time() + 89 * 86_400


def test_a_shop_that_fails_is_tried_again_with_a_fresh_signature(server, client, shop):
    shop.answers = [500, 302, 404]
    client.v1.customers.create({})
    (delivery,) = server.wait_for_webhooks()
    assert (delivery["state"], delivery["attempts"], delivery["answer"]) == ("delivered", 4, "200")
    assert len({event["id"] for event in shop.events}) == 1
    for received in shop.received:
        assert verified(server, received)
    assert client.v1.events.retrieve(delivery["event"]).pending_webhooks == 0


def test_after_the_last_try_an_event_is_given_up_and_can_be_sent_by_hand(server, client, shop):
    shop.answers = [500] * 4
    client.v1.customers.create({})
    (delivery,) = server.wait_for_webhooks()
    assert (delivery["state"], delivery["attempts"], delivery["answer"]) == ("failed", 4, "500")
    server.control("webhooks", redeliver=delivery["event"])
    assert [found["state"] for found in server.wait_for_webhooks()] == ["failed", "delivered"]


def test_a_shop_that_is_down_gets_its_events_when_it_is_back(server, client, shop):
    server.send_webhooks_to("http://127.0.0.1:9/closed/")
    client.v1.customers.create({})
    (delivery,) = server.wait_for_webhooks()
    assert (delivery["state"], delivery["attempts"]) == ("failed", 4)
    assert delivery["answer"].startswith("no answer: ")
    server.send_webhooks_to(shop.url)
    server.control("webhooks", redeliver=delivery["event"])
    server.wait_for_webhooks()
    assert [event["id"] for event in shop.events] == [delivery["event"]]


def test_what_waits_can_be_hurried(server, client, shop):
    server.control("chaos", fault="delay", event="customer.created", seconds=3600)
    client.v1.customers.create({})
    assert server.control("webhooks")["pending"] == 1
    server.control("webhooks/hurry")
    server.wait_for_webhooks()
    assert shop.kinds == ["customer.created"]


def test_the_shop_may_ask_the_server_while_it_is_being_told(server, client, shop):
    asked = []

    def ask(event):
        customer = client.v1.customers.retrieve(event["data"]["object"]["id"])
        asked.append((customer.name, client.v1.events.retrieve(event["id"]).pending_webhooks))

    shop.on_event = ask
    client.v1.customers.create({"name": "Anna"})
    server.wait_for_webhooks()
    assert asked == [("Anna", 1)]


def test_duplicates_carry_the_same_event(server, client, shop):
    server.control("chaos", fault="duplicate", event="payment_intent.*")
    client.v1.payment_intents.create({"amount": 1000, "currency": "eur"})
    server.wait_for_webhooks()
    assert shop.kinds == ["payment_intent.created"] * 2
    assert shop.events[0]["id"] == shop.events[1]["id"]


def test_a_reordered_event_is_overtaken_by_the_next(server, shop, pay):
    server.control("chaos", fault="reorder", event="charge.succeeded")
    pay()
    server.wait_for_webhooks()
    assert shop.kinds == ["payment_intent.created", "payment_intent.succeeded", "charge.succeeded"]


def test_a_delayed_event_arrives_later(server, client, shop):
    server.control("chaos", fault="delay", event="customer.created", seconds=0.4)
    began = time.monotonic()
    client.v1.customers.create({})
    server.wait_for_webhooks()
    assert time.monotonic() - began >= 0.4
    assert shop.kinds == ["customer.created"]


def test_a_lost_event_never_arrives_but_can_be_asked_for(server, client, shop):
    server.control("chaos", fault="lose", event="customer.created")
    client.v1.customers.create({})
    assert server.wait_for_webhooks() == []
    (event,) = client.v1.events.list({"types": ["customer.created", "charge.refunded"]}).data
    server.control("webhooks", redeliver=event.id)
    server.wait_for_webhooks()
    assert shop.kinds == ["customer.created"]


@pytest.mark.parametrize("fault", ["stale_signature", "bad_signature"])
def test_a_wrong_signature_is_one_that_the_sdk_refuses(server, client, shop, fault):
    server.control("chaos", fault=fault, event="customer.created")
    shop.answers = [400]
    client.v1.customers.create({})
    server.wait_for_webhooks()
    with pytest.raises(stripe.SignatureVerificationError):
        verified(server, shop.received[0])
    assert verified(server, shop.received[1]).type == "customer.created"


def test_a_refused_call_announces_nothing(server, client, shop, authorise):
    intent = authorise()
    server.wait_for_webhooks()
    before = len(shop.received)
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.refunds.create({"payment_intent": intent.id})
    server.wait_for_webhooks()
    assert len(shop.received) == before


@pytest.mark.parametrize(
    ("url", "secret"), [("ftp://127.0.0.1/", "whsec_1"), ("http://127.0.0.1/", "secret")]
)
def test_an_endpoint_needs_a_web_address_and_a_secret(server, url, secret):
    with pytest.raises(Exception, match="whsec_"):
        server.control("webhook_endpoint", url=url, secret=secret)

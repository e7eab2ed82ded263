"""
The same calls against localstripe, written by others, and against ours; what both show must agree.

localstripe runs as a process of its own and is never imported here. It is older than our API
version: it refuses ``return_url`` and ``allowed_payment_method_types``, keeps ``latest_charge`` expanded,
books a refund for what a partial capture lets go of, and does not cap refunds. There, nothing is compared.
"""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
import time

import pytest
import requests
import stripe

from .conftest import make_client

RUN = """
import sys
from aiohttp import web
from localstripe import resources, server
resources.Store.dump_to_disk = lambda store: None  # leave no file behind
web.run_app(server.app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
"""


class Ours:
    methods = {"allowed_payment_method_types": ["card"]}

    def __init__(self, server):
        self.v1 = make_client(server).v1

    def answer_3d_secure(self, intent, *, passed):
        page = intent.next_action.use_stripe_sdk.stripe_js
        outcome = "complete" if passed else "fail"
        assert requests.post(page, data={"outcome": outcome}, timeout=5).ok


class Theirs:
    methods = {}

    def __init__(self, url):
        self.url = url
        self.v1 = stripe.StripeClient("sk_test_123456", base_addresses={"api": url}, max_network_retries=0).v1

    def answer_3d_secure(self, intent, *, passed):
        requests.post(
            f"{self.url}/v1/payment_intents/{intent.id}/_authenticate",
            data={
                "key": "pk_test_123456",
                "client_secret": intent.client_secret,
                "success": str(passed).lower(),
            },
            timeout=5,
        )


@pytest.fixture(scope="module")
def theirs():
    if importlib.util.find_spec("localstripe") is None:
        pytest.skip("localstripe is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-c", RUN, str(port)], stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        else:
            pytest.fail("localstripe did not start")
        yield Theirs(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(timeout=10)


def card(api, number):
    return api.v1.payment_methods.create(
        {"type": "card", "card": {"number": number, "exp_month": 12, "exp_year": 2034, "cvc": "123"}}
    ).id


def intent_with(api, number, **more):
    return api.v1.payment_intents.create(
        {"amount": 5000, "currency": "eur", "payment_method": card(api, number), **api.methods, **more}
    )


def charge_of(api, intent):
    charge = intent.latest_charge
    return api.v1.charges.retrieve(charge if isinstance(charge, str) else charge.id)


def seen(found, *names):
    return {name: getattr(found, name) for name in names}


INTENT = ("object", "status", "amount", "currency", "capture_method", "livemode", "next_action")
CHARGE = ("object", "status", "amount", "currency", "captured", "paid", "refunded", "amount_refunded")


def customers(api):
    made = api.v1.customers.create({"email": "anna@shop.example", "name": "Anna", "metadata": {"user": "1"}})
    found = api.v1.customers.retrieve(made.id)
    yield made.id[:4], found.metadata.to_dict(), seen(found, "object", "email", "name", "livemode")


def payment_methods(api):
    customer = api.v1.customers.create({"email": "anna@shop.example"})
    made = api.v1.payment_methods.retrieve(card(api, "4242424242424242"))
    yield made.id[:3], seen(made, "object", "type", "customer", "livemode")
    yield seen(made.card, "brand", "last4", "exp_month", "exp_year", "funding")
    yield api.v1.payment_methods.attach(made.id, {"customer": customer.id}).customer == customer.id
    with pytest.raises(stripe.CardError) as decline:
        api.v1.payment_methods.attach(card(api, "4000000000000002"), {"customer": customer.id})
    yield decline.value.http_status, decline.value.code


def create(api):
    bare = api.v1.payment_intents.create(
        {
            "amount": 5000,
            "currency": "eur",
            "capture_method": "manual",
            "metadata": {"basket": "7"},
            **api.methods,
        }
    )
    yield bare.metadata.to_dict(), bare.client_secret.startswith(f"{bare.id}_secret_"), seen(bare, *INTENT)
    yield seen(intent_with(api, "4242424242424242", capture_method="manual"), *INTENT)


def confirm(api):
    intent = intent_with(api, "4242424242424242", capture_method="automatic")
    intent = api.v1.payment_intents.confirm(intent.id)
    yield seen(intent, *INTENT), seen(charge_of(api, intent), *CHARGE)
    yield seen(api.v1.payment_intents.retrieve(intent.id), *INTENT)


def create_and_confirm(api):
    yield seen(intent_with(api, "4242424242424242", capture_method="automatic", confirm=True), *INTENT)


def decline(api):
    intent = intent_with(api, "4000000000000341", capture_method="automatic")
    with pytest.raises(stripe.CardError) as declined:
        api.v1.payment_intents.confirm(intent.id)
    yield declined.value.http_status, declined.value.code, declined.value.user_message
    intent = api.v1.payment_intents.retrieve(intent.id)
    yield seen(intent, *INTENT), intent.last_payment_error.code, intent.last_payment_error.message
    yield seen(charge_of(api, intent), "status", "paid", "failure_code", "failure_message")


def manual_capture(api):
    intent = intent_with(api, "4242424242424242", capture_method="manual")
    intent = api.v1.payment_intents.confirm(intent.id)
    yield seen(intent, *INTENT), seen(charge_of(api, intent), *CHARGE)
    intent = api.v1.payment_intents.capture(intent.id)
    yield seen(intent, *INTENT), seen(charge_of(api, intent), *CHARGE)


def partial_capture(api):
    intent = intent_with(api, "4242424242424242", capture_method="manual", confirm=True)
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        api.v1.payment_intents.capture(intent.id, {"amount_to_capture": 5001})
    yield refusal.value.http_status
    intent = api.v1.payment_intents.capture(intent.id, {"amount_to_capture": 3000})
    yield seen(intent, *INTENT), seen(charge_of(api, intent), "status", "amount", "captured", "refunded")
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        api.v1.payment_intents.capture(intent.id, {"amount_to_capture": 3000})
    yield refusal.value.http_status


def cancel(api):
    for number in ("4242424242424242", "4000002760003184"):
        intent = intent_with(api, number, capture_method="manual", confirm=True)
        yield seen(api.v1.payment_intents.cancel(intent.id), *INTENT)
        for again in (api.v1.payment_intents.cancel, api.v1.payment_intents.confirm):
            with pytest.raises(stripe.InvalidRequestError) as refusal:
                again(intent.id)
            yield refusal.value.http_status


def pass_3d_secure(api):
    intent = intent_with(api, "4000002760003184", capture_method="manual")
    intent = api.v1.payment_intents.confirm(intent.id)
    yield intent.status, intent.next_action.type, intent.next_action.use_stripe_sdk.type
    api.answer_3d_secure(intent, passed=True)
    intent = api.v1.payment_intents.retrieve(intent.id)
    yield seen(intent, *INTENT), seen(charge_of(api, intent), *CHARGE)


def fail_3d_secure(api):
    intent = intent_with(api, "4000002760003184", capture_method="manual")
    intent = api.v1.payment_intents.confirm(intent.id)
    api.answer_3d_secure(intent, passed=False)
    intent = api.v1.payment_intents.retrieve(intent.id)
    yield seen(intent, *INTENT, "latest_charge", "payment_method"), intent.last_payment_error.code


def decline_after_3d_secure(api):
    intent = intent_with(api, "4000008400001629", capture_method="manual", confirm=True)
    api.answer_3d_secure(intent, passed=True)
    intent = api.v1.payment_intents.retrieve(intent.id)
    yield seen(intent, *INTENT), intent.last_payment_error.code, charge_of(api, intent).status


def partial_refunds(api):
    intent = intent_with(api, "4242424242424242", capture_method="automatic", confirm=True)
    for amount in (1500, 500):
        refund = api.v1.refunds.create(
            {"payment_intent": intent.id, "amount": amount, "metadata": {"return": "1"}}
        )
        yield refund.id[:3], seen(refund, "object", "status", "amount", "currency"), refund.metadata.to_dict()
        yield seen(charge_of(api, intent), *CHARGE)
    listed = api.v1.refunds.list({"payment_intent": intent.id})
    yield sorted(found.amount for found in listed.data), listed.has_more, listed.object
    yield api.v1.refunds.create({"charge": charge_of(api, intent).id, "amount": 3000}).status
    yield seen(charge_of(api, intent), *CHARGE)


def wrong_ids(api):
    for call in (
        lambda: api.v1.payment_intents.retrieve("pi_nothing"),
        lambda: api.v1.payment_intents.capture("pi_nothing"),
        lambda: api.v1.customers.retrieve("cus_nothing"),
        lambda: api.v1.charges.retrieve("ch_nothing"),
        lambda: api.v1.refunds.create({"payment_intent": "pi_nothing"}),
    ):
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            call()
        yield refusal.value.http_status


STORIES = (
    customers,
    payment_methods,
    create,
    confirm,
    create_and_confirm,
    decline,
    manual_capture,
    partial_capture,
    cancel,
    pass_3d_secure,
    fail_3d_secure,
    decline_after_3d_secure,
    partial_refunds,
    wrong_ids,
)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_both_servers_tell_the_same_story(server, theirs, story):
    told = list(story(Ours(server)))
    assert told
    assert told == list(story(theirs))

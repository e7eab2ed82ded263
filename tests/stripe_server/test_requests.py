"""Who may call, how calls are encoded, and what an answer carries besides the object."""

from __future__ import annotations

import pytest
import requests
import stripe

from sandbox.stripe_server import API_VERSION
from sandbox.stripe_server.cards import BY_NAME, BY_NUMBER, CARDS
from sandbox.stripe_server.customers import passes_luhn
from sandbox.stripe_server.errors import ApiError
from sandbox.stripe_server.forms import decode
from sandbox.stripe_server.money import as_money
from sandbox.stripe_server.pages import language_of

from .conftest import make_client

INTENT = {"amount": "1000", "currency": "eur"}


def test_the_version_is_the_one_that_the_sdk_pins():
    assert stripe.api_version == API_VERSION


@pytest.mark.parametrize(
    ("encoded", "decoded"),
    [
        ("a=1&b=", {"a": "1", "b": ""}),
        ("metadata[x]=1&metadata[y]=a%26b", {"metadata": {"x": "1", "y": "a&b"}}),
        ("expand[]=a&expand[]=b", {"expand": ["a", "b"]}),
        ("expand[1]=b&expand[0]=a", {"expand": ["a", "b"]}),
        ("card[address][city]=K%C3%B6ln", {"card": {"address": {"city": "Köln"}}}),
        ("lines[0][sku]=a&lines[1][sku]=b", {"lines": [{"sku": "a"}, {"sku": "b"}]}),
        ("", {}),
    ],
)
def test_forms_may_be_nested(encoded, decoded):
    assert decode(encoded) == decoded


def test_every_test_card_has_a_number_that_could_be_one():
    assert [card.number for card in CARDS if not passes_luhn(card.number)] == []
    assert len(BY_NUMBER) == len(CARDS)
    assert len(BY_NAME) == sum(len(card.names) for card in CARDS)


def test_a_name_cannot_be_a_text_and_a_mapping():
    with pytest.raises(ApiError):
        decode("metadata=a&metadata[x]=1")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ((1050, "eur"), "€10.50"),
        ((1050, "eur", "de"), "10,50 €"),
        ((1050, "jpy"), "¥1,050"),
        ((5, "sek"), "0.05 sek"),
    ],
)
def test_money_is_written_for_its_reader(given, told):
    assert as_money(*given) == told


@pytest.mark.parametrize(
    ("accepted", "language"),
    [("", "en"), ("fr", "en"), ("de-AT", "de"), ("en;q=0.5,de;q=0.8", "de"), ("de;q=x,en", "en")],
)
def test_the_page_speaks_the_language_the_browser_likes_best(accepted, language):
    assert language_of(accepted) == language


@pytest.mark.parametrize("key", ["sk_live_1234567890", "rk_test_1234567890", "nonsense", "sk_test_"])
def test_a_key_that_is_no_test_key_is_refused(server, key):
    with pytest.raises(stripe.AuthenticationError) as refusal:
        make_client(server, key=key).v1.customers.create({})
    assert refusal.value.http_status == 401
    assert refusal.value.error.type == "invalid_request_error"
    assert "567" not in refusal.value.user_message


def test_a_call_without_a_key_is_refused(server):
    answer = requests.get(f"{server.url}/v1/payment_intents", timeout=5)
    assert answer.status_code == 401
    assert "did not provide an API key" in answer.json()["error"]["message"]


def test_the_key_may_come_as_a_user_name(server):
    answer = requests.post(
        f"{server.url}/v1/payment_intents", data=INTENT, auth=(server.secret_key, ""), timeout=5
    )
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/unicorns"), ("DELETE", "/v1/payment_intents/pi_1"), ("POST", "/v2/anything"), ("GET", "/")],
)
def test_an_unknown_address_is_404(server, method, path):
    answer = requests.request(method, server.url + path, auth=(server.secret_key, ""), timeout=5)
    assert answer.status_code == 404
    assert answer.json()["error"]["message"].startswith(f"Unrecognized request URL ({method}: {path})")


def test_answers_carry_a_request_id_and_the_version(server, client):
    made = client.v1.payment_intents.create({"amount": 1000, "currency": "eur"})
    assert made.last_response.headers["Stripe-Version"] == API_VERSION
    assert made.last_response.request_id.startswith("req_")
    answer = requests.get(
        f"{server.url}/v1/payment_intents/{made.id}",
        headers={"Stripe-Version": "2022-11-15"},
        auth=(server.secret_key, ""),
        timeout=5,
    )
    assert answer.headers["Stripe-Version"] == "2022-11-15"


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"amount": "1e3"}, "amount"),
        ({"amount": "NaN"}, "amount"),
        ({"amount": "\uff11\uff12"}, "amount"),
        ({"amount": "0"}, "amount"),
        ({"amount": "-5"}, "amount"),
        ({"amount": "9" * 30}, "amount"),
        ({"amount[x]": "1", "amount": None}, "amount"),
        ({"currency": "xyz"}, "currency"),
        ({"currency": ""}, "currency"),
        ({"capture_method": "later"}, "capture_method"),
        ({"confirm": "yes"}, "confirm"),
        ({"metadata": "x"}, "metadata"),
        ({"metadata[k]": "x" * 501}, "metadata[k]"),
        ({f"metadata[{'k' * 41}]": "x"}, "metadata"),
        ({"automatic_payment_methods[enabled]": "true", "automatic_payment_methods[x]": "1"},
         "automatic_payment_methods[x]"),
        ({"return_url": "https://shop.example/"}, "return_url"),
        ({"confirm": "true", "return_url": "javascript:alert(1)"}, "return_url"),
        ({"off_session": "true"}, "off_session"),
        ({"expand": "customer"}, "expand"),
        ({"description": "x" * 5001}, "description"),
    ],
)  # fmt: skip
def test_bad_values_name_their_parameter_and_leave_nothing_behind(server, change, param):
    data = {name: value for name, value in {**INTENT, **change}.items() if value is not None}
    answer = requests.post(
        f"{server.url}/v1/payment_intents", data=data, auth=(server.secret_key, ""), timeout=5
    )
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert server.control("state")["payment_intent"] == []
    assert server.control("state")["event"] == []


def test_a_call_refused_half_way_leaves_nothing_behind(server, client):
    # The card is made first; then a place to return to turns out to be missing.
    ask = {"amount": 1000, "currency": "eur", "payment_method": "pm_card_visa", "confirm": True}
    with pytest.raises(stripe.InvalidRequestError, match="return_url"):
        client.v1.payment_intents.create(ask)
    assert not any(server.control("state").values())


def test_several_unknown_names_are_told_at_once(server):
    answer = requests.post(
        f"{server.url}/v1/customers", data={"a": 1, "b": 2}, auth=(server.secret_key, ""), timeout=5
    )
    assert answer.json()["error"]["message"] == "Received unknown parameters: a, b"


def test_a_foreign_name_for_this_machine_is_not_served(server):
    for host, status in (("evil.example", 421), ("localhost:1234", 401), ("[::1]", 401)):
        answer = requests.get(f"{server.url}/v1/customers/cus_1", headers={"Host": host}, timeout=5)
        assert answer.status_code == status


def test_a_body_that_is_too_large_is_refused(server):
    answer = requests.post(f"{server.url}/v1/customers", data=b"a" * 1_000_001, timeout=5)
    assert answer.status_code == 413

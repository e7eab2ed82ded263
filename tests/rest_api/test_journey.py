"""The whole way of a shopper with an app: no browser, no page, only HTTP."""

import json
from datetime import timedelta

import pytest
import requests
from django.utils import timezone
from oscar.core.loading import get_model
from oscar.test.factories import CountryFactory
from rest_framework.test import APIClient

from oscar_loyalty.flows.purchases import reward_purchase
from oscar_loyalty.points.models import Account
from oscar_loyalty.shop.offers import ensure_offer
from oscar_loyalty.testing.ledger import assert_ledger_balanced
from tests.payments.conftest import stripe_process, stripe_server  # noqa: F401
from tests.rest_api.conftest import ROOT, earn, make_product

pytest.importorskip("oscarapi")
pytestmark = pytest.mark.django_db(transaction=True)

DEVICE = "testserver:9f8e"
ADDRESS = {
    "country": "http://testserver/api/countries/DE/",
    "first_name": "Anna",
    "last_name": "Muster",
    "line1": "Gasse 1",
    "line4": "Berlin",
    "postcode": "10115",
}


class App:
    """A shopper's app. It knows its session by a header and has no cookies."""

    def __init__(self) -> None:
        self.client = APIClient(enforce_csrf_checks=True)
        self.session = "ANON"

    def call(self, method: str, path: str, body=None, *, status: int = 200):
        self.client.cookies.clear()
        answer = getattr(self.client, method)(
            path,
            None if body is None else json.dumps(body),
            content_type="application/json",
            headers={"session-id": f"SID:{self.session}:{DEVICE}"},
        )
        assert answer.status_code == status, answer.content
        return answer.json() if answer.content else None

    def log_in(self) -> None:
        self.call("post", "/api/login/", {"username": "anna", "password": "secret"})
        self.session = "AUTH"

    def confirm(self, payment: dict, stripe_url: str) -> None:
        """What Stripe.js does in an app."""
        confirmed = requests.post(
            f"{stripe_url}/v1/payment_intents/{payment['payment_intent']}/confirm",
            headers={"Authorization": f"Bearer {payment['publishable_key']}"},
            data={
                "client_secret": payment["client_secret"],
                "payment_method": "pm_card_visa",
                "return_url": "http://testserver/back",
            },
            timeout=10,
        ).json()
        assert confirmed["status"] == "requires_capture"


@pytest.fixture
def app(settings, stripe_server) -> App:  # noqa: F811
    settings.ROOT_URLCONF = "tests.payments.urls"
    settings.MIDDLEWARE = [
        "oscarapi.middleware.HeaderSessionMiddleware" if "SessionMiddleware" in name else name
        for name in settings.MIDDLEWARE
    ]
    CountryFactory(iso_3166_1_a2="DE", iso_3166_1_a3="DEU", is_shipping_country=True)
    return App()


def test_points_are_earned_spent_and_restored_without_a_browser(app, customer, member, stripe_server):  # noqa: F811
    ensure_offer()
    earn(member, 1000, order="100000")
    product = make_product("19.90")
    before = app.call("post", ROOT + "earn-previews", {"items": [{"product": product.pk}]})
    assert (before["is_member"], before["items"][0]["points"]) == (False, 19)

    app.log_in()
    assert app.call("get", ROOT + "me")["balance"]["available"] == 1000
    added = {"url": f"http://testserver/api/products/{product.pk}/", "quantity": 3}
    basket = app.call("post", "/api/basket/add-product/", added)
    assert app.call("get", ROOT + "basket/redemption")["limits"]["maximum"] == 1000
    spent = app.call("put", ROOT + "basket/redemption", {"points": 700})
    assert (spent["amount"], spent["total"]) == ("7.00", "52.70")
    promised = app.call("post", ROOT + "earn-previews", {"basket": True})["basket"]
    assert promised["points"] == 52

    payment = app.call("post", ROOT + "payments", {"shipping_address": ADDRESS}, status=201)
    assert (payment["amount"], payment["currency"]) == ("52.70", "EUR")
    app.confirm(payment, stripe_server.url)
    checkout = {
        "basket": basket["url"],
        "shipping_address": ADDRESS,
        "payment_intent": payment["payment_intent"],
    }
    number = app.call("post", "/api/checkout/", checkout)["number"]
    order = get_model("order", "Order").objects.get(number=number)
    assert str(order.total_incl_tax) == "52.70"
    assert app.call("post", "/api/checkout/", checkout)["number"] == number
    reward_purchase(order_id=order.pk, now=timezone.now())

    balance = app.call("get", ROOT + "me")["balance"]
    assert (balance["available"], balance["pending"], balance["held"]) == (300, 52, 0)
    rows = app.call("get", ROOT + f"me/ledger?order={number}")["results"]
    assert {(row["kind"], row["points"]) for row in rows} == {("EARN", 52), ("SPEND", -700)}
    (earned,) = (row for row in rows if row["kind"] == "EARN")
    assert earned["points"] == promised["points"]
    assert earned["explanation"]["lines"][0] == {
        "title": "Espresso 1 kg",
        "product": product.pk,
        "basis": "52.70",
        "rule": "PURCHASE",
        "points": 52,
    }

    order.set_status("Cancelled")
    reward_purchase(order_id=order.pk, now=timezone.now() + timedelta(seconds=1))
    balance = app.call("get", ROOT + "me")["balance"]
    assert (balance["available"], balance["pending"], balance["deficit"]) == (1000, 0, 0)
    assert [row["kind"] for row in app.call("get", ROOT + f"me/ledger?order={number}")["results"][:2]] == [
        "CLAWBACK",
        "SPEND_RETURN",
    ]
    assert_ledger_balanced(Account.objects.get(pk=member.pk))


def test_an_order_that_points_cover_needs_no_card(app, customer, member):
    ensure_offer()
    earn(member, 5000, order="100000")
    app.log_in()
    added = {"url": f"http://testserver/api/products/{make_product('19.90').pk}/", "quantity": 1}
    basket = app.call("post", "/api/basket/add-product/", added)
    covered = app.call("put", ROOT + "basket/redemption", {"points": 5000})
    assert (covered["applied"], covered["total"]) == (1990, "0.00")
    assert [reason["code"] for reason in covered["reasons"]] == ["goods"]
    refused = app.call("post", ROOT + "payments", {"shipping_address": ADDRESS}, status=409)
    assert refused["code"] == "payment_not_needed"
    app.call("post", "/api/checkout/", {"basket": basket["url"], "shipping_address": ADDRESS})
    assert app.call("get", ROOT + "me")["balance"]["available"] == 3010

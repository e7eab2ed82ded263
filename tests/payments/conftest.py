from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from oscar.core.loading import get_model
from oscar.test.factories import CountryFactory, create_product

from oscar_loyalty.payments import services
from oscar_loyalty.payments.gateway import get_gateway
from sandbox.stripe_server.testing import StripeServer

CHECKOUT_TEMPLATES = Path(__file__).parents[2] / "sandbox" / "apps" / "checkout" / "templates"


@pytest.fixture(scope="session")
def stripe_process():
    with StripeServer() as server:
        yield server


@pytest.fixture
def stripe_server(stripe_process, settings):
    """The Stripe-shaped server, empty, and the settings that lead to it."""
    stripe_process.control("reset")
    stripe_process.control("chaos", clear=True)
    settings.OSCAR_LOYALTY_STRIPE_API_BASE = stripe_process.url
    settings.OSCAR_LOYALTY_STRIPE_SECRET_KEY = stripe_process.secret_key
    settings.OSCAR_LOYALTY_STRIPE_PUBLISHABLE_KEY = stripe_process.publishable_key
    settings.OSCAR_LOYALTY_STRIPE_WEBHOOK_SECRET = stripe_process.webhook_secret
    settings.OSCAR_LOYALTY_CARD_TEST_FORM = True
    return stripe_process


@pytest.fixture
def gateway(stripe_server):
    return get_gateway()


@pytest.fixture
def intents_at_stripe(stripe_server):
    """Return all payment intents that the server knows, newest first."""
    return lambda: stripe_server.control("state")["payment_intent"]


@pytest.fixture
def atomic_requests(monkeypatch):
    """
    The shop wraps every request in a transaction, but the provider is never asked within one: what we
    know must be committed by then. (The races run without ``ATOMIC_REQUESTS``.)
    """
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)

    def get_gateway_outside_transactions():
        assert not connection.in_atomic_block
        return get_gateway()

    monkeypatch.setattr(services, "get_gateway", get_gateway_outside_transactions)


def answer_3d_secure(url: str, outcome: str) -> str:
    """Press a button on the bank's page and return where it sends the shopper."""
    answer = requests.post(url, data={"outcome": outcome}, allow_redirects=False, timeout=10)
    assert answer.status_code == 303
    return answer.headers["Location"].removeprefix("http://testserver")


class Shop:
    """A shop with one product, and a shopper who goes through its checkout by HTTP."""

    def __init__(self) -> None:
        self.country = CountryFactory(iso_3166_1_a2="DE", iso_3166_1_a3="DEU", is_shipping_country=True)
        self.product = create_product(title="Kettle", price=Decimal("12.34"), num_in_stock=10)
        self.record = self.product.stockrecords.get()
        self.record.price_currency = "EUR"
        self.record.save()
        self.user = get_user_model().objects.create_user("ada", "ada@example.com", "secret")
        self.client = self.new_client()

    def new_client(self) -> Client:
        client = Client()
        client.force_login(self.user, backend="django.contrib.auth.backends.ModelBackend")
        return client

    def fill_basket(self, quantity: int = 1, client: Client | None = None) -> Any:
        client = client or self.client
        answer = client.post(f"/basket/add/{self.product.pk}/", {"quantity": quantity})
        assert answer.status_code == 302
        return get_model("basket", "Basket").objects.order_by("-pk").first()

    def go_to_payment(self, client: Client | None = None) -> None:
        client = client or self.client
        answer = client.post(
            "/checkout/shipping-address/",
            {
                "first_name": "Ada",
                "last_name": "Lovelace",
                "line1": "Gasse 1",
                "line4": "Berlin",
                "postcode": "10115",
                "country": "DE",
            },
        )
        assert answer.status_code == 302, answer.context["form"].errors
        client.get("/checkout/shipping-method/")

    def choose_card(self, card: str = "pm_card_visa", client: Client | None = None) -> dict[str, str]:
        """Send the card form and return the fields of the form that places the order."""
        answer = (client or self.client).post("/checkout/preview/", {"payment_method": card})
        assert answer.status_code == 200
        assert answer.context["card_payment_method"] == card
        return {
            "action": "place_order",
            "payment_method": card,
            "submission": answer.context["card_submission"],
        }

    def pay(self, card: str = "pm_card_visa", client: Client | None = None) -> Any:
        return (client or self.client).post("/checkout/preview/", self.choose_card(card, client))

    def orders(self) -> list[Any]:
        return list(get_model("order", "Order").objects.order_by("pk"))


@pytest.fixture
def shop(stripe_server, db, settings):
    settings.ROOT_URLCONF = "tests.payments.urls"
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE,
        "oscar_loyalty.payments.middleware.AbandonedPaymentMiddleware",
    ]
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [CHECKOUT_TEMPLATES]}]
    return Shop()

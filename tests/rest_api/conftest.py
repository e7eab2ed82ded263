from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from oscar.core.loading import get_model
from rest_framework.test import APIClient

from oscar_loyalty.flows.membership import join_programme
from oscar_loyalty.points import services
from oscar_loyalty.points.models import Account
from oscar_loyalty.points.rules import LineEarning
from oscar_loyalty.programmes.models import Programme, ProgrammeVersion
from oscar_loyalty.programmes.services import set_up_programme

#: The API reads the clock itself, so the world is built around the present.
NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(days=100)
ROOT = "/api/loyalty/v1/"


@pytest.fixture(autouse=True)
def _fresh_throttles():
    cache.clear()


@pytest.fixture
def count_statements(settings):
    """
    How many statements a call costs. Without the middleware of django-oscar-api, which looks for a
    basket after every answer under its address.
    """
    settings.MIDDLEWARE = [
        "oscar.apps.basket.middleware.BasketMiddleware" if "oscarapi" in name else name
        for name in settings.MIDDLEWARE
    ]

    def count(call) -> int:
        with CaptureQueriesContext(connection) as statements:
            call()
        return len(statements)

    return count


@pytest.fixture
def programme(db) -> Programme:
    return set_up_programme(
        code="default",
        name="Bean Club",
        time_zone="Europe/Berlin",
        currencies=["EUR"],
        terms_version="2026-01",
        now=LONG_AGO,
    )


@pytest.fixture
def version(programme) -> ProgrammeVersion:
    return programme.versions.get()


@pytest.fixture
def customer(db):
    return make_customer("anna")


@pytest.fixture
def member(programme, customer) -> Account:
    """A customer's account, joined a while ago, with nothing on it."""
    return join_programme(user_id=customer.pk, now=LONG_AGO)


@pytest.fixture
def other_member(programme) -> Account:
    return join_programme(user_id=make_customer("ben").pk, now=LONG_AGO)


def make_customer(name: str):
    people = get_user_model()
    # Some shops know their customers by e-mail address alone.
    names = {"username": name} if people.USERNAME_FIELD == "username" else {}
    return people.objects.create_user(email=f"{name}@example.com", password="secret", **names)


def earn(
    account: Account, points: int, *, order: str, active_at: datetime = LONG_AGO, line: str = "shipping"
):
    """Book points of an order, with one line; spendable since long ago unless said otherwise."""
    entry = services.award_points(
        account_id=account.pk,
        points=points,
        idempotency_key=f"purchase:{order}",
        source_ref=f"order:{order}",
        order_ref=order,
        active_at=active_at,
        expiry_months=36,
        unit_value=Decimal("0.01"),
        currency="EUR",
        lines=[LineEarning(ref=line, basis=Decimal(points), points=points)],
        explanation={
            "rule": "PURCHASE",
            "version": 1,
            "earn_points": 1,
            "earn_amount": "1.00",
            "currency": "EUR",
            "basis": f"{points}.00",
            "includes_tax": True,
            "includes_shipping": False,
            "rounding": "FLOOR_ONCE",
        },
        now=LONG_AGO,
    )
    services.settle_account(account_id=account.pk, now=NOW)
    return entry


def make_product(price: str | None = "19.90", **fields):
    """A product in stock; ``price=None`` has none, a ``parent`` makes it a variant."""
    if "parent" in fields:
        fields["structure"] = "child"
    else:
        product_class = get_model("catalogue", "ProductClass").objects.get_or_create(name="Coffee")[0]
        fields.setdefault("product_class", product_class)
    product = get_model("catalogue", "Product").objects.create(**{"title": "Espresso 1 kg", **fields})
    if price is not None:
        partner = get_model("partner", "Partner").objects.get_or_create(name="Roastery")[0]
        product.stockrecords.create(
            partner=partner,
            partner_sku=f"sku-{product.pk}",
            price=Decimal(price),
            price_currency="EUR",
            num_in_stock=100,
        )
    return product


def put_in_basket(user, product, quantity: int = 1):
    """The open basket of a customer, as any shop page finds it."""
    basket, _ = get_model("basket", "Basket").open.get_or_create(owner=user)
    stockrecord = product.stockrecords.get()
    basket.lines.create(
        product=product,
        quantity=quantity,
        stockrecord=stockrecord,
        line_reference=f"{product.pk}_{stockrecord.pk}",
        price_currency="EUR",
        price_excl_tax=stockrecord.price,
        price_incl_tax=stockrecord.price,
    )
    return basket


@pytest.fixture
def guest_client() -> APIClient:
    return APIClient()


@pytest.fixture
def client(customer) -> APIClient:
    """Logged in as ``customer``, as a browser is."""
    client = APIClient()
    client.force_login(customer, backend="django.contrib.auth.backends.ModelBackend")
    return client

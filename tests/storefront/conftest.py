import html
import re
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone
from oscar.core.loading import get_class, get_model
from oscar.test import factories

from oscar_loyalty.flows.membership import join_programme
from oscar_loyalty.points import services
from oscar_loyalty.programmes.services import set_up_programme
from oscar_loyalty.shop.offers import ensure_offer


@pytest.fixture
def now():
    return timezone.now()


@pytest.fixture
def programme(db, now):
    """1 point for every euro, 100 points save a euro, spendable after 14 days; in force since yesterday."""
    return set_up_programme(
        code="default",
        name="Morning points",
        time_zone="Europe/Berlin",
        currencies=["EUR"],
        terms_version="2026-1",
        now=now - timedelta(days=1),
    )


@pytest.fixture
def offer(db):
    """The saved offer through which points become a discount."""
    return ensure_offer()


@pytest.fixture
def customer(db):
    return get_user_model().objects.create_user(
        username="ada", email="ada@example.com", password="a-long-password", first_name="Ada"
    )


@dataclass
class Membership:
    user: object
    account: object
    now: object

    def earn(self, points, *, key="purchase:100042", wait=timedelta(0), explanation=None):
        number = key.partition(":")[2]
        return services.award_points(
            account_id=self.account.pk,
            points=points,
            idempotency_key=key,
            source_ref=f"order:{number}",
            order_ref=number,
            active_at=self.now + wait,
            expiry_months=36,
            unit_value=Decimal("0.01"),
            currency="EUR",
            explanation=explanation,
            now=self.now,
        )


@pytest.fixture
def member(programme, customer, now):
    account = join_programme(user_id=customer.pk, now=now - timedelta(hours=1))
    return Membership(user=customer, account=account, now=now - timedelta(minutes=5))


@pytest.fixture
def member_client(client, member):
    client.force_login(member.user)
    return client


@pytest.fixture
def product(db):
    return make_product("119.40", title="Kettle")


def make_product(price, *, title="Kettle", stock=50, **kwargs):
    product = factories.create_product(
        price=Decimal(price), title=title, num_in_stock=stock, product_class="goods", **kwargs
    )
    product.stockrecords.update(price_currency="EUR")
    get_model("catalogue", "Category").fix_tree()
    return product


def put_in_basket(client, product, quantity=1):
    response = client.post(f"/basket/add/{product.pk}/", {"quantity": quantity})
    assert response.status_code == 302
    return response


def text_of(response, *, status=200):
    """What a page says, without its markup and with single spaces."""
    assert response.status_code == status
    words = re.sub(
        r"<(script|style)\b.*?</\1>|</?(?:strong|small|a)\b[^>]*>", "", response.text, flags=re.DOTALL
    )
    words = re.sub(r"<[^>]+>", " ", words)
    return " ".join(html.unescape(words).split())


def prepare_checkout(client):
    """An address and a shipping method, as Oscar's checkout keeps them."""
    get_model("address", "Country").objects.get_or_create(
        iso_3166_1_a2="DE",
        defaults={"printable_name": "Germany", "name": "Germany", "is_shipping_country": True},
    )
    client.post(
        "/checkout/shipping-address/",
        {
            "first_name": "Ada",
            "last_name": "Petersen",
            "line1": "Hafenstr. 1",
            "line4": "Hamburg",
            "postcode": "20457",
            "country": "DE",
        },
    )
    client.get("/checkout/shipping-method/")


@pytest.fixture
def placed(product):
    """An order of a kettle for 119.40, as ``place(user)``."""

    def place(user=None):
        basket = factories.create_basket(empty=True)
        basket.strategy = get_class("partner.strategy", "Selector")().strategy()
        basket.owner = user
        basket.save()
        basket.add_product(product, 1)
        return factories.create_order(number="100042", basket=basket, user=user)

    return place

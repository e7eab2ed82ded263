from datetime import UTC, datetime
from decimal import Decimal

import pytest
from oscar.core.loading import get_model
from oscar.test import factories

from oscar_loyalty.flows.membership import join_programme
from oscar_loyalty.programmes.models import CurrencyRate, Programme, ProgrammeVersion
from oscar_loyalty.programmes.services import publish_version

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
LONG_AGO = datetime(2025, 1, 1, tzinfo=UTC)


@pytest.fixture
def programme(db) -> Programme:
    """One point for every euro; spendable 14 days after the order is complete; gone after 36 months."""
    programme = Programme.objects.create(code="default", name="Points", time_zone="Europe/Berlin")
    publish(programme)
    return programme


def publish(programme, *, at=LONG_AGO, now=LONG_AGO, rate=None, **terms):
    return publish_version(
        version=ProgrammeVersion(
            programme=programme, terms_version="2026-01", **{"spendable_status": "Complete", **terms}
        ),
        rates=[CurrencyRate(currency="EUR", **(rate or {}))],
        active_from=at,
        now=now,
    )


@pytest.fixture
def customer(db):
    return factories.UserFactory()


@pytest.fixture
def account(programme, customer):
    return join_programme(user_id=customer.pk, now=LONG_AGO)


def place_order(*, user, prices=("39.80", "79.60"), number="100042", at=NOW, shipping="4.90", **values):
    """An order as a checkout leaves it behind: one line for each price, VAT of 19 % included."""
    shipping = Decimal(shipping)
    total = sum(map(Decimal, prices), shipping)
    order = factories.OrderFactory(
        number=number,
        user=user,
        currency="EUR",
        status="Pending",
        total_incl_tax=total,
        total_excl_tax=net(total),
        shipping_incl_tax=shipping,
        shipping_excl_tax=net(shipping),
        **values,
    )
    get_model("order", "Order").objects.filter(pk=order.pk).update(date_placed=at)
    order.refresh_from_db()
    for price in map(Decimal, prices):
        factories.OrderLineFactory(
            order=order,
            line_price_incl_tax=price,
            line_price_excl_tax=net(price),
            line_price_before_discounts_incl_tax=price,
            line_price_before_discounts_excl_tax=net(price),
        )
    return order


def net(gross: Decimal) -> Decimal:
    return (gross / Decimal("1.19")).quantize(Decimal("0.01"))

"""Tiers and perks at the desk: who is where, who would land where, and what the matrix says."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone
from oscar.test import factories

from oscar_loyalty.flows.tier_desk import count_landings
from oscar_loyalty.programmes.models import ProgrammeVersion
from oscar_loyalty.programmes.queries import get_version
from oscar_loyalty.registry import perks
from oscar_loyalty.tiers.models import Tier, TierPerk, TierScheme, TierStatus

from .conftest import make_user, url


class Lounge:
    code = "TEST_LOUNGE"
    label = "Lounge"

    def describe(self, parameters):
        return f"Coffee for {parameters['guests']}"


@pytest.fixture
def version(programme):
    return get_version(at=timezone.now())


@pytest.fixture
def scheme(version):
    scheme = TierScheme.objects.create(version=version, metric="SPEND", currency="EUR")
    for rank, (code, threshold) in enumerate((("silver", 100), ("gold", 500)), start=1):
        Tier.objects.create(
            version=version,
            code=code,
            name_de=code.title(),
            name_en=code.title(),
            rank=rank,
            entry_threshold=threshold,
            keep_threshold=threshold,
        )
    return scheme


def buy(user, amount, *, days_ago=10, status="Complete", currency="EUR", shipping="0.00"):
    goods, charge = Decimal(amount), Decimal(shipping)
    return factories.OrderFactory(
        user=user,
        status=status,
        currency=currency,
        total_incl_tax=goods + charge,
        total_excl_tax=goods + charge,
        shipping_incl_tax=charge,
        shipping_excl_tax=charge,
        date_placed=timezone.now() - timedelta(days=days_ago),
        guest_email="",
    )


def landings_of(version, scheme):
    found = count_landings(version, scheme=scheme, now=timezone.now())
    return {landing.tier.code if landing.tier else "": landing.customers for landing in found}


def test_last_years_customers_are_counted_where_they_would_land(version, scheme):
    small, middle, big, long_ago = (make_user(f"customer{n}") for n in range(4))
    buy(small, "99.99", shipping="4.90")
    buy(middle, "60.00")
    buy(middle, "40.00", days_ago=300)
    buy(big, "500.00")
    buy(long_ago, "900.00", days_ago=366)
    assert landings_of(version, scheme) == {"gold": 1, "silver": 1, "": 1}


def test_cancelled_orders_other_currencies_and_guests_count_nothing(version, scheme):
    customer = make_user("customer")
    buy(customer, "120.00", status="Cancelled")
    buy(customer, "120.00", currency="USD")
    buy(None, "700.00")
    assert landings_of(version, scheme) == {"gold": 0, "silver": 0, "": 1}


def test_tiers_by_number_of_orders_count_orders_in_every_currency(version, scheme):
    scheme.metric = TierScheme.Metric.ORDERS
    version.tiers.filter(code="silver").update(entry_threshold=2, keep_threshold=1)
    version.tiers.filter(code="gold").update(entry_threshold=9, keep_threshold=1)
    customer = make_user("customer")
    buy(customer, "1.00")
    buy(customer, "1.00", currency="USD")
    assert landings_of(version, scheme) == {"gold": 0, "silver": 1, "": 0}


def test_nobody_to_count_is_no_error(version, scheme):
    assert landings_of(version, scheme) == {"gold": 0, "silver": 0, "": 0}


def test_the_page_says_that_there_are_no_tiers(desk, version):
    page = desk.get(url("tiers")).content.decode()
    assert f"Version {version.number}" in page
    assert "desk-table" not in page


def test_the_matrix_shows_what_each_tier_gets_and_what_nobody_registered_by_its_code(desk, version, scheme):
    TierPerk.objects.create(version=version, tier_code="gold", kind="TEST_LOUNGE", parameters={"guests": 2})
    TierPerk.objects.create(version=version, tier_code="silver", kind="GONE_SINCE")
    with perks.temporarily(Lounge):
        page = desk.get(url("tiers"), headers={"accept-language": "en"}).content.decode()
    assert "Coffee for 2" in page
    assert "GONE_SINCE" in page


def test_members_of_each_tier_are_counted(desk, version, scheme, make_member):
    for name, code in (("anna", "gold"), ("otto", "gold"), ("ida", "silver")):
        TierStatus.objects.create(
            programme=version.programme,
            member=make_member(name).member,
            tier_code=code,
            since=timezone.now(),
            computed_at=timezone.now(),
            version_number=version.number,
        )
    context = desk.get(url("tiers")).context
    assert [(row["tier"].code, row["members"]) for row in context["columns"]] == [("gold", 2), ("silver", 1)]


def test_counting_is_done_when_it_is_asked_for(desk, version, scheme):
    assert desk.get(url("tiers")).context["landings"] is None
    assert len(desk.get(url("tiers"), {"count": "1"}).context["landings"]) == 3


@pytest.mark.parametrize("number", ["x", "99", "-1", "\uff11", "9" * 30])
def test_a_version_that_is_not_there_is_not_found(desk, version, number):
    assert desk.get(url("tiers"), {"version": number}).status_code == 404


def test_another_version_is_shown_when_it_is_named(desk, version, scheme):
    old = ProgrammeVersion.objects.get(pk=version.pk)
    assert desk.get(url("tiers"), {"version": old.number}).context["version"] == old

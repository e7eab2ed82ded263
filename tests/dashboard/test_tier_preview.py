"""The programme as members of any tier would have it, seen by staff who are none."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.urls import reverse
from django.utils import timezone
from oscar.apps.shipping import repository
from oscar.core.loading import get_class, get_model
from oscar.test import factories

from oscar_loyalty.earning.models import EarningRule
from oscar_loyalty.programmes.models import ProgrammeVersion
from oscar_loyalty.programmes.services import create_draft
from oscar_loyalty.tiers.models import ProductAccess, TierPerk, TierScheme
from tests.shop.shipping_world import ThreeWays, ThreeWaysWithMixin
from tests.tiers.perk_world import make_tiers

from .conftest import url

NOT_OUT = timedelta(days=2)


@pytest.fixture(autouse=True)
def three_ways(monkeypatch):
    monkeypatch.setattr(repository, "Repository", ThreeWaysWithMixin)


@pytest.fixture
def book(db):
    return factories.create_product(
        price=Decimal("20.00"), num_in_stock=5, title="A book of hours", upc="978-1"
    )


@pytest.fixture
def version(programme):
    everything = factories.RangeFactory(includes_all_products=True)
    return make_tiers(
        programme,
        silver=[("FREE_SHIPPING", {"minimum": "29.00", "currency": "EUR", "methods": ["standard"]}, 3)],
        gold=[
            ("FREE_SHIPPING", {"methods": ["standard"]}),
            ("EXPRESS_AT_STANDARD", {"express": ["express"], "standard": "standard"}),
            ("MEMBER_PRICE", {"percent": "10", "range": everything.pk}),
            ("EARNING_MULTIPLIER", {"factor": "2"}),
        ],
    )


@pytest.fixture
def look(desk, version):
    def look(**asked):
        asked = {"version": version.number, "who": "gold", "currency": "EUR", "goods": "50.00", **asked}
        return desk.get(url("tier-preview"), asked, headers={"accept-language": "en"})

    return look


def deliveries_of(page):
    return {
        delivery.code: (delivery.charge, delivery.price, delivery.saved)
        for delivery in page.context["view"].trial.deliveries
    }


def test_each_perk_is_a_sentence_in_plain_words(look):
    assert look(who="silver").context["view"].perks == (
        "Free delivery for orders from €29.00 with standard (3 times a year)",
    )
    assert look().context["view"].perks == (
        "Free delivery with standard",
        "Express delivery for the price of standard delivery",
        "10 % off selected products",
        "2 times as many points",
    )


def test_delivery_is_shown_with_what_it_costs_and_what_is_saved(look):
    zero = Decimal("0.00")
    assert deliveries_of(look()) == {
        "standard": (Decimal("4.90"), zero, Decimal("4.90")),
        "express": (Decimal("9.90"), zero, Decimal("9.90")),
        "pick-up": (zero, zero, zero),
    }
    assert deliveries_of(look(who=":guest"))["standard"] == (Decimal("4.90"), Decimal("4.90"), zero)


@pytest.mark.parametrize(("goods", "price"), [("28.99", "4.90"), ("29.00", "0.00")])
def test_the_value_of_the_basket_decides_whether_a_perk_acts(look, goods, price):
    assert deliveries_of(look(who="silver", goods=goods))["standard"][1] == Decimal(price)


def test_without_the_mixin_the_page_says_what_oscar_can_give(look, monkeypatch):
    monkeypatch.setattr(repository, "Repository", ThreeWays)
    assert deliveries_of(look(who="silver"))["express"] == (
        Decimal("9.90"),
        Decimal("5.00"),
        Decimal("4.90"),
    )


def test_a_method_that_needs_real_goods_says_so(look, monkeypatch):
    class ByWeight(get_class("shipping.methods", "Base")):
        code = name = "by-weight"

        def calculate(self, basket):
            return basket.lines.get(weight=1)

    class Ways(ThreeWaysWithMixin):
        methods = (ByWeight(),)

    monkeypatch.setattr(repository, "Repository", Ways)
    page = look()
    assert deliveries_of(page) == {"by-weight": (None, None, Decimal("0.00"))}
    assert "depends on the goods" in page.content.decode()


def test_points_are_those_of_the_tier_with_the_reasons(look):
    silver, gold = look(who="silver").context["view"], look().context["view"]
    assert (silver.points.points, gold.points.points) == (50, 100)
    assert [(part.text, part.points) for part in gold.points.parts] == [("base points", 50), ("Gold", 50)]


def test_rules_for_a_tier_act_for_that_tier(look, version):
    EarningRule.objects.create(
        version=version,
        code="silver-days",
        name="Silver days",
        text_en="Silver days",
        kind="MULTIPLIER",
        parameters={"factor": "3"},
        conditions={"tiers": ["silver"]},
    )
    silver = look(who="silver").context["view"]
    assert ("Silver days", 100) in [(part.text, part.points) for part in silver.points.parts]
    assert look(who=":none").context["view"].points.points == 50


def test_guests_are_told_what_they_could_have(look, version):
    ProgrammeVersion.objects.filter(pk=version.pk).update(claim_days=14)
    view = look(who=":guest").context["view"]
    assert view.perks == ()
    assert view.points.points == 0
    assert view.points.note == "Guests get 50 points if they become members and claim the order in time."


def test_what_is_missed_is_what_the_next_tier_has_more(look, book):
    view = look(who="silver", product=book.upc).context["view"]
    assert view.next_name == "Gold"
    assert view.missed == (
        "Free delivery with standard",
        "Express delivery for the price of standard delivery",
        "10 % off selected products",
        "2 times as many points",
        "46 points more for this basket",
        "express for €0.00 instead of €9.90",
        "The product for €18.00 instead of €20.00",
    )
    nothing_above = look().context["view"]
    assert (nothing_above.next_name, nothing_above.missed) == ("", ())


def test_what_is_as_good_in_the_next_tier_is_not_missed(look, version):
    price = version.tier_perks.get(tier_code="gold", kind="MEMBER_PRICE").parameters
    TierPerk.objects.create(version=version, tier_code="silver", kind="MEMBER_PRICE", parameters=price)
    assert "10 % off selected products" not in look(who="silver").context["view"].missed


def test_a_product_is_shown_with_its_member_price_and_paid_with_it(look, book):
    page = look(product="book of", goods="")
    trial = page.context["view"].trial
    assert (trial.goods, trial.product_price, trial.member_price) == (
        Decimal("20.00"),
        Decimal("20.00"),
        Decimal("18.00"),
    )
    assert page.context["view"].points.points == 36
    assert "Member price 18.00 € instead of 20.00 €." in page.content.decode().replace("\xa0", " ")


def test_a_product_for_members_first_says_from_when(look, book, version):
    opens_at = timezone.now() + NOT_OUT
    ProductAccess.objects.create(product_id=book.pk, opens_at=opens_at)
    TierPerk.objects.create(
        version=version, tier_code="gold", kind="EARLY_ACCESS", parameters={"hours": 24 * 3}
    )
    assert look(product=book.upc).context["view"].trial.is_ahead
    TierPerk.objects.filter(kind="EARLY_ACCESS").update(parameters={"hours": 24})
    trial = look(product=book.upc).context["view"].trial
    assert not trial.is_ahead
    assert str(timezone.localtime(opens_at - timedelta(hours=24)).day) in trial.refusal


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"goods": ""}, "Say what the basket is worth, or choose a product."),
        ({"goods": "-1"}, "Ensure this value is greater than or equal to 0.01."),
        ({"product": "nothing at all"}, "No product is called so."),
        ({"currency": "ZZZ"}, "Select a valid choice. ZZZ is not one of the available choices."),
    ],
)
def test_what_makes_no_sense_is_said_beside_the_field(look, asked, error):
    page = look(**asked)
    assert "view" not in page.context
    assert error in page.content.decode()


def test_a_product_without_a_price_in_the_currency_is_said(look, version):
    pound = factories.create_product(price=Decimal("20.00"), num_in_stock=5, title="Cheddar")
    get_model("partner", "StockRecord").objects.filter(product=pound).update(price_currency="GBP")
    assert "“Cheddar” has no price in EUR." in look(product="Cheddar").content.decode()


def test_a_draft_is_seen_before_anybody_has_it(look, version, desk):
    draft = create_draft(based_on=version)
    TierPerk.objects.filter(version=draft, tier_code="silver").update(parameters={})
    page = look(version=draft.number, who="silver", goods="1.00")
    assert page.context["view"].perks == ("Free delivery (3 times a year)",)
    assert deliveries_of(page)["express"][1] == Decimal("0.00")
    assert [number for number, _name in page.context["form"].fields["version"].choices] == [
        str(draft.number),
        str(version.number),
    ]


def test_rules_of_a_version_that_is_to_come_are_judged_by_when_it_comes(look, version):
    comes = timezone.now() + timedelta(days=30)
    draft = create_draft(based_on=version)
    EarningRule.objects.create(
        version=draft,
        code="then",
        name="Then",
        kind="MULTIPLIER",
        parameters={"factor": "3"},
        conditions={"active_from": (comes - timedelta(days=1)).isoformat()},
    )
    ProgrammeVersion.objects.filter(pk=draft.pk).update(active_from=comes)
    assert look(version=draft.number, who=":none").context["view"].points.points == 150


def test_versions_that_are_over_and_numbers_that_are_none_are_not_found(look):
    assert look(version="99").status_code == 404
    assert look(version="x").status_code == 404


def test_a_tier_that_the_chosen_version_does_not_have_asks_again(look):
    page = look(who="platinum")
    assert page.status_code == 200
    assert "view" not in page.context
    assert page.context["form"]["goods"].value() == "50.00"


def test_looking_writes_nothing_and_puts_nothing_into_the_basket(look, book):
    counts = [get_model("basket", name).objects.count() for name in ("Basket", "Line")]
    look(product=book.upc)
    assert [get_model("basket", name).objects.count() for name in ("Basket", "Line")] == counts


def test_the_page_is_linked_from_the_matrix_and_from_the_version(desk, version):
    address = f"{url('tier-preview')}?version={version.number}"
    TierScheme.objects.create(version=version, metric="SPEND", currency="EUR")
    assert address in desk.get(url("tiers")).content.decode()
    desk.user.is_superuser = True
    desk.user.save()
    page = desk.get(reverse("admin:oscar_loyalty_programmeversion_change", args=[version.pk]))
    assert address in page.content.decode()


def test_a_shop_without_a_programme_has_nothing_to_look_at(desk):
    assert "view" not in desk.get(url("tier-preview")).context

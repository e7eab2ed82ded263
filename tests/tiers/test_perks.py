"""Kinds of perks: their details, their sentences and which of two is better."""

from decimal import Decimal

import pytest
from django.utils import translation

from oscar_loyalty.registry import NotRegistered
from oscar_loyalty.tiers.entitlements import Entitlement, Entitlements
from oscar_loyalty.tiers.perks import Format, InvalidParameters, Parameter, PerkKind, describe_perk, perks
from oscar_loyalty.tiers.shipping import reduce_charges

KINDS = {
    "FREE_SHIPPING",
    "EXPRESS_AT_STANDARD",
    "DELIVERY_DAY",
    "PARCEL_LOCKER",
    "FREE_RETURNS",
    "RETURN_WINDOW",
    "INSTANT_REFUND",
    "EARLY_ACCESS",
    "EXCLUSIVE_PRODUCTS",
    "MEMBER_PRICE",
    "BIRTHDAY_GIFT",
    "PRIORITY_SUPPORT",
    "EARNING_MULTIPLIER",
}


def test_the_kinds_that_ship_are_all_registered():
    assert {kind.code for kind in perks} >= KINDS


@pytest.mark.parametrize(
    ("kind", "raw", "stored", "sentence"),
    [
        ("FREE_SHIPPING", {}, {}, "Free delivery"),
        ("FREE_SHIPPING", {"minimum": "0", "currency": "EUR"}, {}, "Free delivery"),
        (
            "FREE_SHIPPING",
            {
                "minimum": Decimal("29.00"),
                "currency": "eur",
                "methods": "standard, pick-up",
                "countries": "de at",
            },
            {
                "minimum": "29.00",
                "currency": "EUR",
                "methods": ["pick-up", "standard"],
                "countries": ["AT", "DE"],
            },
            "Free delivery for orders from €29.00 with pick-up, standard to Austria, Germany",
        ),
        (
            "EXPRESS_AT_STANDARD",
            {"express": ["express"], "standard": "standard"},
            {"express": ["express"], "standard": "standard"},
            "Express delivery for the price of standard delivery",
        ),
        ("DELIVERY_DAY", {}, {}, "You choose the day of delivery"),
        ("PARCEL_LOCKER", {}, {}, "Delivery to a parcel locker of your choice"),
        ("FREE_RETURNS", {}, {}, "Free returns"),
        ("RETURN_WINDOW", {"days": "100"}, {"days": 100}, "100 days to return what you bought"),
        ("INSTANT_REFUND", {}, {}, "Your money back as soon as the return is on its way"),
        ("EARLY_ACCESS", {"hours": 24}, {"hours": 24}, "New products 1 day earlier"),
        ("EARLY_ACCESS", {"hours": 12}, {"hours": 12}, "New products 12 hours earlier"),
        ("EXCLUSIVE_PRODUCTS", {}, {}, "Products that are for members only"),
        (
            "MEMBER_PRICE",
            {"percent": "10", "range": 3},
            {"percent": "10", "range": 3},
            "10 % off selected products",
        ),
        ("BIRTHDAY_GIFT", {"product": 7}, {"product": 7}, "A gift for your birthday"),
        ("PRIORITY_SUPPORT", {"contact": "0800 1"}, {"contact": "0800 1"}, "Priority support: 0800 1"),
        ("PRIORITY_SUPPORT", {}, {}, "Priority support"),
        ("EARNING_MULTIPLIER", {"factor": "1.5"}, {"factor": "1.5"}, "1.5 times as many points"),
    ],
)
def test_details_are_cleaned_and_said_in_a_sentence(kind, raw, stored, sentence):
    clean = perks.get(kind).validate(raw)
    assert clean == stored
    assert perks.get(kind).validate(clean) == clean
    with translation.override("en"):
        assert describe_perk(kind, clean) == sentence


@pytest.mark.parametrize(
    ("kind", "raw", "wrong"),
    [
        ("FREE_SHIPPING", {"minimum": "29.00"}, "currency"),
        ("FREE_SHIPPING", {"minimum": "-1", "currency": "EUR"}, "minimum"),
        ("FREE_SHIPPING", {"minimum": "1.234", "currency": "EUR"}, "minimum"),
        ("FREE_SHIPPING", {"minimum": "NaN", "currency": "EUR"}, "minimum"),
        ("FREE_SHIPPING", {"minimum": True, "currency": "EUR"}, "minimum"),
        ("FREE_SHIPPING", {"minimum": 1.5, "currency": "EUR"}, "minimum"),
        ("FREE_SHIPPING", {"minimum": "cheap", "currency": "EUR"}, "minimum"),
        ("FREE_SHIPPING", {"countries": "Germany"}, "countries"),
        ("FREE_SHIPPING", {"methods": [7]}, "methods"),
        ("FREE_SHIPPING", {"minimum": "1", "currency": "€"}, "currency"),
        ("EXPRESS_AT_STANDARD", {"express": ["express"]}, "standard"),
        ("EXPRESS_AT_STANDARD", {"express": ["a"], "standard": "a"}, "standard"),
        ("EXPRESS_AT_STANDARD", {"express": ["a"], "standard": "b" * 201}, "standard"),
        ("RETURN_WINDOW", {"days": 0}, "days"),
        ("RETURN_WINDOW", {"days": "1e3"}, "days"),
        ("RETURN_WINDOW", {"days": 99999}, "days"),
        ("RETURN_WINDOW", {"days": True}, "days"),
        ("MEMBER_PRICE", {"percent": "101", "range": 1}, "percent"),
        ("EARNING_MULTIPLIER", {"factor": "0.5"}, "factor"),
        ("FREE_RETURNS", {"days": 3}, "days"),
    ],
)
def test_wrong_details_are_refused_each_with_a_sentence(kind, raw, wrong):
    with pytest.raises(InvalidParameters) as refused:
        perks.get(kind).validate(raw)
    assert list(refused.value.errors) == [wrong]
    assert refused.value.errors[wrong]
    assert wrong in str(refused.value)


def test_what_is_stored_but_cannot_be_read_promises_nothing():
    assert describe_perk("RETURN_WINDOW", {}) == ""
    assert describe_perk("NOBODY_KNOWS_IT", {}) == ""
    with pytest.raises(NotRegistered):
        perks.get("NOBODY_KNOWS_IT")


@pytest.mark.parametrize(
    ("kind", "better", "worse"),
    [
        ("FREE_SHIPPING", {}, {"minimum": "29.00", "currency": "EUR"}),
        ("FREE_SHIPPING", {"minimum": "19.00", "currency": "EUR"}, {"minimum": "29.00", "currency": "EUR"}),
        ("FREE_SHIPPING", {}, {"methods": ["standard"]}),
        ("FREE_SHIPPING", {}, {"countries": ["DE"]}),
        (
            "EXPRESS_AT_STANDARD",
            {"express": ["e"], "standard": "s"},
            {"express": ["e"], "standard": "s", "countries": ["DE"]},
        ),
        ("RETURN_WINDOW", {"days": 100}, {"days": 30}),
        ("EARLY_ACCESS", {"hours": 48}, {"hours": 24}),
        ("MEMBER_PRICE", {"percent": "10.5", "range": 1}, {"percent": "9", "range": 1}),
        ("EARNING_MULTIPLIER", {"factor": "10"}, {"factor": "2"}),
    ],
)
def test_of_two_the_better_one_is_found_whichever_came_first(kind, better, worse):
    assert perks.get(kind).is_better(better, worse)
    assert not perks.get(kind).is_better(worse, better)
    assert not perks.get(kind).is_better(better, better)
    both = [entitlement(kind, better), entitlement(kind, worse)]
    for order in (both, both[::-1]):
        assert Entitlements(all=tuple(order)).find(kind).parameters == better


def test_the_tiers_own_perk_goes_before_a_grant_that_is_as_good():
    of_tier = entitlement("FREE_RETURNS", {})
    granted = Entitlement(kind="FREE_RETURNS", parameters={}, tier_code="", grant_id=1)
    assert Entitlements(all=(of_tier, granted)).of("FREE_RETURNS") == (of_tier, granted)


def test_a_shop_adds_a_kind_of_its_own():
    class Coffee(PerkKind):
        code = "FREE_COFFEE"
        label = "free coffee"
        parameters = (Parameter(name="cups", label="cups", format=Format.NUMBER, required=True, minimum=1),)

        def describe(self, parameters):
            return f"{parameters['cups']} cups of coffee"

    with perks.temporarily(Coffee) as kind:
        assert kind.validate({"cups": "2"}) == {"cups": 2}
        assert describe_perk("FREE_COFFEE", {"cups": 2}) == "2 cups of coffee"
        assert not kind.is_better({"cups": 2}, {"cups": 1})
    assert "FREE_COFFEE" not in perks


def entitlement(kind, parameters=None, tier="gold"):
    return Entitlement(kind=kind, parameters=parameters or {}, tier_code=tier)


CHARGES = {"standard": Decimal("4.90"), "express": Decimal("9.90"), "bulky": Decimal("39.00")}
EXPRESS = entitlement("EXPRESS_AT_STANDARD", {"express": ["express"], "standard": "standard"})


def free(**parameters):
    return entitlement("FREE_SHIPPING", parameters)


@pytest.mark.parametrize(
    ("perks_held", "goods", "country", "saved"),
    [
        ([], "50", "DE", {}),
        ([free()], "0", "DE", {"standard": "4.90", "express": "9.90", "bulky": "39.00"}),
        ([free(methods=["standard"])], "50", "DE", {"standard": "4.90"}),
        ([free(methods=["drone"])], "50", "DE", {}),
        ([free(minimum="50.00", currency="EUR", methods=["standard"])], "50.00", "DE", {"standard": "4.90"}),
        ([free(minimum="50.00", currency="EUR", methods=["standard"])], "49.99", "DE", {}),
        ([free(minimum="50.00", currency="CHF")], "90", "DE", {}),
        ([free(countries=["AT"])], "50", "DE", {}),
        ([free(countries=["AT"], methods=["standard"])], "50", "AT", {"standard": "4.90"}),
        ([free(countries=["AT"], methods=["standard"])], "50", None, {"standard": "4.90"}),
        ([EXPRESS], "50", "DE", {"express": "5.00"}),
        ([EXPRESS, free(methods=["standard"])], "50", "DE", {"standard": "4.90", "express": "9.90"}),
    ],
)
def test_delivery_charges_with_perks(perks_held, goods, country, saved):
    found = reduce_charges(
        CHARGES, entitlements=perks_held, goods=Decimal(goods), currency="EUR", country=country
    )
    assert {code: str(reduced.saved) for code, reduced in found.items()} == saved


def test_express_that_is_cheaper_than_standard_stays_so_and_a_missing_method_is_no_error():
    cheap = {"standard": Decimal("4.90"), "express": Decimal("3.00")}
    asked = {"entitlements": [EXPRESS], "goods": Decimal(50), "currency": "EUR", "country": None}
    assert reduce_charges(cheap, **asked) == {}
    assert reduce_charges({"express": Decimal("9.90")}, **asked) == {}

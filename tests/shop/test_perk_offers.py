"""Perks as offers: when they are in force, the traps of Oscar's shipping offers, limits and freezing."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone, translation
from oscar.core.loading import get_class, get_model

from oscar_loyalty.flows.purchases import reward_purchase
from oscar_loyalty.flows.setting_up import remove_from_shop
from oscar_loyalty.flows.sweeping import sweep
from oscar_loyalty.shop import carriers
from oscar_loyalty.shop.diagnosis.database import find_perks
from oscar_loyalty.shop.perk_hints import find_perk_hints
from oscar_loyalty.shop.perks import PerkUnavailable
from oscar_loyalty.tiers.models import OrderPerks, PerkGrant, PerkUse, TierPerk
from oscar_loyalty.tiers.perk_services import revoke_grant
from tests.tiers.perk_world import give, make_tiers, put_into_tier

from . import world
from .shipping_world import ThreeWays, ThreeWaysWithMixin, methods_of, use_repository
from .test_perk_totals import ALL_FREE, BENEFIT, EXPRESS, GOLD, SILVER, half_shipping, recorded_by
from .test_statements import count, count_page

ConditionalOffer = get_model("offer", "ConditionalOffer")


@pytest.fixture
def silver(member, programme, monkeypatch):
    use_repository(monkeypatch, ThreeWaysWithMixin)
    make_tiers(programme, silver=SILVER, gold=GOLD)
    put_into_tier(member.member, "silver", programme=programme)
    return member


def in_force():
    return set(ConditionalOffer.active.values_list("name", flat=True)) - {"Loyalty points"}


def place(basket, code="standard", repository=ThreeWaysWithMixin):
    """Place the order as both checkouts do, delivered with the method of the code."""
    method = methods_of(basket, repository)[code]
    charge = method.calculate(basket)
    return get_class("order.utils", "OrderCreator")().place_order(
        basket=basket,
        total=get_class("checkout.calculators", "OrderTotalCalculator")().calculate(basket, charge),
        shipping_method=method,
        shipping_charge=charge,
        user=basket.owner,
    )


# When the offers are in force


def test_a_shop_without_perks_has_no_offer_of_theirs(programme):
    assert carriers.align_offers(now=timezone.now()) == 0
    assert in_force() == set()


def test_an_offer_is_in_force_while_a_perk_needs_it(programme, member):
    make_tiers(programme, silver=[("FREE_SHIPPING", {})])
    assert in_force() == {BENEFIT, "Benefits of membership"}
    TierPerk.objects.all()[0].delete()
    assert in_force() == set()
    grant = give(member.member, "FREE_SHIPPING", programme=programme)
    assert in_force() == {BENEFIT, "Benefits of membership"}
    revoke_grant(grant_id=grant.pk, reason="", now=timezone.now())
    assert in_force() == set()
    give(member.member, "FREE_RETURNS", programme=programme)
    assert in_force() == {"Benefits of membership"}
    assert ConditionalOffer.objects.filter(name=BENEFIT).count() == 1


def test_the_sweep_ends_and_repairs_what_time_and_staff_changed(programme, member):
    give(
        member.member,
        "FREE_SHIPPING",
        programme=programme,
        active_to=timezone.now() + timedelta(days=1),
    )
    ConditionalOffer.objects.filter(name=BENEFIT).update(exclusive=True, priority=7)
    sweep(now=timezone.now())
    offer = ConditionalOffer.objects.get(name=BENEFIT)
    assert (offer.exclusive, offer.priority) == (False, carriers.SHIPPING.priority)
    sweep(now=timezone.now() + timedelta(days=2))
    assert in_force() == set()


def test_past_versions_need_no_offer(programme):
    make_tiers(programme, silver=[("FREE_SHIPPING", {})])
    world.change_programme(programme)
    carriers.align_offers(now=timezone.now())
    assert in_force() == set()


def test_taking_the_app_out_takes_the_offers_out(silver):
    assert remove_from_shop(now=timezone.now()).offers == 3
    assert not ConditionalOffer.objects.exists()
    assert not get_model("offer", "Benefit").objects.filter(proxy_class__contains="oscar_loyalty").exists()


def test_staff_who_rename_the_offer_keep_their_name(silver):
    with translation.override("de"):
        assert carriers.translate_offer_name("Free ride") == "Free ride"
        assert carriers.translate_offer_name(BENEFIT) == carriers.SHIPPING.get_name()


# Traps of Oscar's


def test_oscar_uses_the_first_offer_for_all_methods_the_mixin_the_best_for_each(silver):
    half_shipping()
    basket = world.make_basket(silver.user)
    charges = {code: str(method.calculate(basket).incl_tax) for code, method in methods_of(basket).items()}
    assert charges == {"standard": "0.00", "express": "4.95", "pick-up": "0.00"}


def test_a_method_that_costs_nothing_is_not_wrapped(silver):
    basket = world.make_basket(silver.user)
    assert not methods_of(basket)["pick-up"].is_discounted


def test_an_order_that_fails_and_is_tried_again_records_the_same(silver):
    half_shipping()
    basket = world.make_basket(silver.user)
    methods = methods_of(basket)
    basket.shipping_discounts[0]["message"] = ""
    assert methods["standard"].discount(basket) == Decimal("0.00"), "the shop's own offer is being recorded"
    assert methods_of(basket)["standard"].discount(basket) == Decimal("4.90")
    assert recorded_by(place(basket)) == {BENEFIT: "4.90"}


def test_a_mistake_of_ours_leaves_oscars_own_answer(silver, monkeypatch):
    monkeypatch.setattr("oscar_loyalty.shop.shipping.choose_best", lambda *args: 1 / 0)
    basket = world.make_basket(silver.user)
    assert methods_of(basket)["standard"].calculate(basket).incl_tax == Decimal("4.90")


def test_perks_that_cannot_be_read_leave_the_shop_open(silver, monkeypatch):
    monkeypatch.setattr("oscar_loyalty.shop.perks.find_entitlements", lambda **values: 1 / 0)
    basket = world.make_basket(silver.user)
    assert place(basket).total_incl_tax == Decimal("34.90")


# Without the mixin


@pytest.mark.parametrize(
    ("perks", "charges"),
    [
        ([ALL_FREE], {"standard": "0.00", "express": "0.00"}),
        ([("FREE_SHIPPING", {"methods": ["standard"]})], {"standard": "0.00", "express": "5.00"}),
        ([EXPRESS], {"standard": "4.90", "express": "4.90"}),
        ([EXPRESS, ("FREE_SHIPPING", {"methods": ["standard"]})], {"standard": "0.00", "express": "0.00"}),
        ([("FREE_SHIPPING", {"countries": ["DE"]})], {"standard": "4.90", "express": "9.90"}),
        ([("FREE_SHIPPING", {"methods": ["drone"]})], {"standard": "4.90", "express": "9.90"}),
    ],
)
def test_without_the_mixin_perks_give_what_can_be_given(member, programme, monkeypatch, perks, charges):
    use_repository(monkeypatch, ThreeWays)
    for kind, parameters in perks:
        give(member.member, kind, parameters, programme=programme)
    basket = world.make_basket(member.user)
    found = methods_of(basket, ThreeWays)
    assert {code: str(found[code].calculate(basket).incl_tax) for code in charges} == charges
    order = place(basket, "express", ThreeWays)
    saved = Decimal("9.90") - Decimal(charges["express"])
    assert order.total_incl_tax == Decimal("39.90") - saved
    assert recorded_by(order) == ({BENEFIT: str(saved)} if saved else {})
    assert [use.saved for use in PerkUse.objects.all()] == ([saved] if saved else [])


def test_without_the_mixin_an_offer_of_the_shop_goes_first_and_is_recorded_once(
    member, programme, monkeypatch
):
    use_repository(monkeypatch, ThreeWays)
    half_shipping()
    give(member.member, "FREE_SHIPPING", programme=programme, uses_allowed=1)
    order = place(world.make_basket(member.user), repository=ThreeWays)
    assert order.total_incl_tax == Decimal("32.45")
    assert recorded_by(order) == {"Half delivery": "2.45", BENEFIT: "0.00"}
    assert order.shipping_before_discounts_incl_tax == Decimal("4.90")
    assert not PerkUse.objects.exists()


# Limits, freezing, cancelling


def test_a_limited_perk_is_used_by_one_order_and_returned_by_its_cancellation(member, programme, monkeypatch):
    use_repository(monkeypatch, ThreeWaysWithMixin)
    give(member.member, "FREE_SHIPPING", programme=programme, uses_allowed=1)
    first, second = (world.make_basket(member.user) for _ in range(2))
    order = place(first)
    with pytest.raises(PerkUnavailable, match="used for another order"):
        place(second)
    assert methods_of(second)["standard"].calculate(second).incl_tax == Decimal("4.90")
    order.set_status("Cancelled")
    reward_purchase(order_id=order.pk, now=timezone.now())
    assert PerkUse.objects.get().undone_at is not None
    again = place(world.load(second))
    assert again.total_incl_tax == Decimal("30.00")


def test_a_use_is_kept_when_delivery_was_free_anyway(member, programme, monkeypatch):
    use_repository(monkeypatch, ThreeWaysWithMixin)
    give(member.member, "FREE_SHIPPING", programme=programme, uses_allowed=1)
    place(world.make_basket(member.user), "pick-up")
    assert not PerkUse.objects.exists()


def test_an_order_keeps_what_it_was_promised_when_the_tier_is_lost(silver, programme):
    order = place(world.make_basket(silver.user))
    put_into_tier(silver.member, "", programme=programme)
    frozen = OrderPerks.objects.get(order_ref=order.number)
    assert frozen.tier_code == "silver"
    assert {perk["kind"] for perk in frozen.perks} == {"FREE_SHIPPING", "FREE_RETURNS"}


def test_perks_beside_the_price_are_frozen_too(member, programme):
    give(member.member, "RETURN_WINDOW", {"days": 100}, programme=programme)
    order = world.place(world.make_basket(member.user))
    assert OrderPerks.objects.get(order_ref=order.number).perks[0]["parameters"] == {"days": 100}
    assert not order.discounts.exists()


def test_switched_off_no_perk_acts(silver, settings):
    settings.OSCAR_LOYALTY_ENABLED = False
    assert place(world.make_basket(silver.user)).total_incl_tax == Decimal("34.90")
    assert not OrderPerks.objects.exists()


# Statements


def count_basket(basket):
    return count(lambda: methods_of(world.load(basket)))


def test_a_shop_without_perks_pays_no_statement(member, programme):
    basket = world.make_basket(member.user)
    make_tiers(programme)
    before = count_page(basket)
    put_into_tier(member.member, "gold", programme=programme)
    assert count_page(basket) == before


@pytest.mark.parametrize("lines", [1, 10])
def test_perks_cost_a_basket_one_statement_and_guests_one(silver, programme, lines):
    goods = [("3.00", 1, 19)] * lines
    basket = world.make_basket(silver.user, goods)
    guest = world.make_basket(None, goods)

    def show(basket):
        loaded = world.load(basket)
        method = methods_of(loaded)["standard"]
        method.calculate(loaded)
        hints = {"shipping_method": method, "language": "en", "now": timezone.now()}
        return find_perk_hints(loaded, **hints)

    with_perks, of_guest = count(lambda: show(basket)), count(lambda: show(guest))
    TierPerk.objects.all().delete()
    PerkGrant.objects.all().delete()
    carriers.align_offers(now=timezone.now())
    assert with_perks - count(lambda: show(basket)) == 1
    assert of_guest - count(lambda: show(guest)) == 1


# Hints


def hints_of(basket, language="en", method="standard"):
    chosen = methods_of(basket)[method]
    return find_perk_hints(basket, shipping_method=chosen, language=language, now=timezone.now())


def test_the_basket_tells_what_is_missing_to_free_delivery(silver):
    hints = hints_of(world.make_basket(silver.user, [("16.60", 1, 19)]))
    assert (hints.free_delivery.missing, hints.free_delivery.percent) == (Decimal("12.40"), 57)
    assert (hints.saved, hints.tier_name) == (Decimal(0), "Silver")


def test_the_basket_tells_what_is_saved_and_what_a_better_tier_gets(silver):
    hints = hints_of(world.make_basket(silver.user), language="de")
    assert (hints.saved, hints.tier_name, hints.free_delivery) == (Decimal("4.90"), "Silber", None)
    assert [(missed.tier_name, missed.kind) for missed in hints.missed] == [("Gold", "EXPRESS_AT_STANDARD")]


@pytest.mark.parametrize(
    ("price", "method", "is_told"),
    [
        # The delivery that is shown costs something, or it is another one that gold has free.
        ("16.60", "standard", True),
        ("30.00", "express", True),
        ("30.00", "standard", False),
        ("16.60", "pick-up", True),
    ],
)
def test_nobody_is_told_of_free_delivery_where_it_is_free(silver, price, method, is_told):
    hints = hints_of(world.make_basket(silver.user, [(price, 1, 19)]), method=method)
    assert ("FREE_SHIPPING" in [missed.kind for missed in hints.missed]) == is_told


def test_free_delivery_of_another_method_is_told_beside_one_that_is_free(silver):
    TierPerk.objects.filter(tier_code="gold", kind="FREE_SHIPPING").update(
        parameters={"methods": ["express"]}
    )
    TierPerk.objects.filter(tier_code="silver").delete()
    hints = hints_of(world.make_basket(silver.user), method="pick-up")
    assert ("Gold", "FREE_SHIPPING") in [(missed.tier_name, missed.kind) for missed in hints.missed]


def test_guests_see_what_they_miss(silver):
    basket = world.make_basket(None)
    hints = hints_of(basket)
    assert [(missed.tier_name, missed.kind) for missed in hints.missed] == [
        ("Silver", "FREE_SHIPPING"),
        ("Gold", "EXPRESS_AT_STANDARD"),
    ]
    assert not hints.is_member


def test_the_basket_page_says_it(silver, client):
    client.force_login(silver.user)
    client.post(f"/basket/add/{world.make_product('16.60', rate=0).pk}/", {"quantity": 1})
    page = " ".join(client.get("/basket/").content.decode().replace("\xa0", " ").split())
    assert "<strong>12.40 €</strong> to free delivery" in page
    assert "Gold members get:" in page
    assert "<li>Express delivery for the price of standard delivery</li>" in page
    client.post(f"/basket/add/{world.make_product('20.00', rate=0).pk}/", {"quantity": 1})
    page = " ".join(client.get("/basket/").content.decode().replace("\xa0", " ").split())
    assert "You save <strong>4.90 €</strong> as Silver member." in page


def test_the_api_says_it(silver, client):
    client.force_login(silver.user)
    assert client.get("/api/loyalty/v1/basket/perks").json()["shipping_methods"] == []
    client.post(f"/basket/add/{world.make_product('36.60', rate=0).pk}/", {"quantity": 1})
    told = client.get("/api/loyalty/v1/basket/perks").json()
    assert (told["tier"], told["tier_name"], told["saved"]) == ("silver", "Silver", "4.90")
    assert told["free_delivery"] is None
    assert told["shipping_methods"][0] == {
        "code": "standard",
        "name": "standard",
        "charge": "0.00",
        "saved": "4.90",
    }
    mine = client.get("/api/loyalty/v1/me/perks").json()
    assert mine["tier"] == "silver"
    assert mine["perks"][1] == {
        "kind": "FREE_RETURNS",
        "text": "Free returns",
        "parameters": {},
        "origin": "tier",
        "uses_left": None,
    }


def test_guests_of_the_api_see_what_they_miss_and_have_no_perks_of_their_own(silver, client):
    client.post(f"/basket/add/{world.make_product('16.60', rate=0).pk}/", {"quantity": 1})
    told = client.get("/api/loyalty/v1/basket/perks").json()
    assert [missed["tier"] for missed in told["missed"]] == ["silver", "gold"]
    assert client.get("/api/loyalty/v1/me/perks").status_code in (401, 403)


# Diagnosis


def codes_found():
    return [finding.code for finding in find_perks(timezone.now())]


def test_the_doctor_names_kinds_that_nobody_registered(member, programme):
    version = make_tiers(programme)
    TierPerk.objects.create(version=version, tier_code="silver", kind="FREE_BEER")
    assert codes_found() == ["W140"]


def test_the_doctor_says_when_the_mixin_is_needed(silver, monkeypatch):
    assert codes_found() == []
    half_shipping()
    use_repository(monkeypatch, ThreeWays)
    assert codes_found() == ["W141", "W142"]

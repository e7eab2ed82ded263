"""Points as an offer of the shop: made in the admin, chosen in Oscar's dashboard, booked with the order."""

import json
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone, translation
from oscar.core.loading import get_model
from oscar.test import factories

from oscar_loyalty.flows.membership import join_programme
from oscar_loyalty.flows.purchases import reward_purchase
from oscar_loyalty.flows.receipts import find_order_points
from oscar_loyalty.flows.redemption import redeem
from oscar_loyalty.flows.setting_up import remove_from_shop
from oscar_loyalty.points.models import Entry
from oscar_loyalty.programmes.models import Programme
from oscar_loyalty.rest_api.texts import entry_text
from oscar_loyalty.shop.bonus_models import OfferBonus, OrderBonus
from oscar_loyalty.shop.bonus_offers import BonusBenefit, make_benefit
from oscar_loyalty.testing.ledger import assert_ledger_balanced
from tests.rest_api.conftest import make_customer

from . import world
from .test_checkout import Selector
from .test_statements import count

ConditionalOffer = get_model("offer", "ConditionalOffer")
Benefit = get_model("offer", "Benefit")
Order = get_model("order", "Order")

THREE = [("10.00", 3, 19)]
FIVE = [("10.00", 5, 19)]


@pytest.fixture
def member(programme):
    """As in the other tests of points, whatever kind of user the shop has."""
    return world.make_member(user=make_customer("ada"))


def make_bonus_offer(points=200, *, buy=2, once=False, text_de="", text_en="", exclusive=False, **offer):
    """ "Buy two, get 200 points", on everything."""
    everything = factories.RangeFactory(includes_all_products=True)
    benefit = make_benefit()
    OfferBonus.objects.create(
        benefit_ref=benefit.pk, points=points, once_per_order=once, text_de=text_de, text_en=text_en
    )
    return ConditionalOffer.objects.create(
        **{
            "name": "Tea weeks",
            "offer_type": ConditionalOffer.SITE,
            "exclusive": exclusive,
            "condition": factories.ConditionFactory(range=everything, type="Count", value=buy),
            "benefit": Benefit.objects.get(pk=benefit.pk),
            **offer,
        }
    )


def actions(basket):
    return [(action["name"], str(action["description"])) for action in basket.post_order_actions]


def reward(order, *, later=timedelta(0)):
    reward_purchase(order_id=order.pk, now=timezone.now() + later)


def bonuses(order):
    return Entry.objects.filter(idempotency_key__startswith=f"offer:{order.number}:")


# In the basket


@pytest.mark.parametrize(
    ("lines", "once", "said"),
    [
        ([("10.00", 1, 19)], False, []),
        (THREE, False, [("Tea weeks", "200 points as a bonus")]),
        (FIVE, False, [("Tea weeks", "400 points as a bonus")]),
        (FIVE, True, [("Tea weeks", "200 points as a bonus")]),
    ],
)
def test_a_basket_tells_the_bonus_of_all_applications(member, lines, once, said):
    make_bonus_offer(once=once)
    assert actions(world.make_basket(member.user, lines)) == said


def test_the_text_of_the_staff_is_told_in_the_language_of_the_reader(member):
    make_bonus_offer(text_de="Teewochen", text_en="thank you for trying our teas")
    basket = world.make_basket(member.user, FIVE)
    assert actions(basket)[0][1] == "400 points: thank you for trying our teas"
    with translation.override("de"):
        assert actions(basket)[0][1].endswith(": Teewochen")


@pytest.mark.parametrize("who", ["guest", "customer"])
def test_whoever_takes_no_part_sees_what_they_miss(programme, who):
    make_bonus_offer()
    basket = world.make_basket(factories.UserFactory() if who == "customer" else None, THREE)
    assert actions(basket) == [("Tea weeks", "Members of our loyalty programme get 200 points")]


def test_a_programme_that_earns_nothing_promises_nothing(member, programme, settings):
    make_bonus_offer()
    Programme.objects.update(earning_paused=True)
    assert actions(world.make_basket(member.user, THREE)) == []
    Programme.objects.update(earning_paused=False)
    assert actions(world.make_basket(member.user, THREE))
    settings.OSCAR_LOYALTY_ENABLED = False
    assert actions(world.make_basket(member.user, THREE)) == []


def test_a_condition_that_uses_nothing_up_is_met_once(member, programme):
    """The condition of the points offer is one: it is met as long as points are reserved."""
    points_offer = get_model("offer", "Condition").objects.get(proxy_class__endswith="PointsCondition")
    make_bonus_offer(condition=points_offer)
    basket = world.make_basket(member.user, FIVE)
    redeem(basket=basket, points=100, now=timezone.now())
    assert actions(world.load(basket)) == [("Tea weeks", "200 points as a bonus")]


def test_a_benefit_without_terms_gives_nothing(member):
    offer = make_bonus_offer()
    OfferBonus.objects.all().delete()
    assert actions(world.make_basket(member.user, THREE)) == []
    assert offer.benefit.name == "Bonus points (not set)"


def test_a_mistake_of_ours_leaves_the_basket_without_a_bonus(member, monkeypatch, caplog):
    make_bonus_offer()
    monkeypatch.setattr("oscar_loyalty.shop.bonus_offers.programmes.find_policy", lambda **values: 1 / 0)
    basket = world.make_basket(member.user, THREE)
    assert actions(basket) == []
    assert "could not be applied" in caplog.text


def test_a_bonus_goes_with_points_that_pay_and_with_other_offers(member):
    make_bonus_offer()
    world.make_discount(10)
    basket = world.make_basket(member.user, THREE)
    redeem(basket=basket, points=500, now=timezone.now())
    order = world.place(basket)
    reward(order)
    assert bonuses(order).get().points == 200
    assert order.discounts.count() == 3
    assert str(order.total_incl_tax) == "22.00"


@pytest.mark.parametrize("lines", [THREE, [("10.00", 3, 19)] * 9])
def test_a_basket_with_a_bonus_costs_three_statements_more_whatever_its_size(member, lines):
    basket = world.make_basket(member.user, lines)
    without = count(lambda: world.load(basket).post_order_actions)
    offer = make_bonus_offer(once=True)
    with_offer = count(lambda: world.load(basket).post_order_actions)
    assert get_model("offer", "ConditionalOffer").objects.filter(pk=offer.pk).exists()
    # The range of Oscar's own condition is read and asked as well: that costs an ordinary offer the same.
    offer.delete()
    world.make_discount(10)
    with_discount = count(lambda: world.load(basket).post_order_actions)
    assert with_offer - without <= 3 + with_discount - without


# In the order


def test_an_order_promises_the_bonus_and_the_flow_books_it_once(member):
    offer = make_bonus_offer(text_en="thank you")
    order = world.place(world.make_basket(member.user, FIVE))
    kept = OrderBonus.objects.get()
    assert (kept.order_ref, kept.offer_ref, kept.points, kept.times) == (str(order.number), offer.pk, 400, 2)
    row = order.discounts.get()
    assert (row.category, row.frequency, row.amount, row.message) == (
        "Deferred",
        2,
        0,
        "400 points: thank you",
    )
    for _ in range(3):
        reward(order)
    entry = bonuses(order).get()
    assert (entry.points, entry.order_ref, entry.explanation["rule"]) == (400, kept.order_ref, "OFFER")
    assert entry.idempotency_key == f"offer:{order.number}:{offer.pk}"
    purchase = Entry.objects.get(idempotency_key=f"purchase:{order.number}")
    member.refresh_from_db()
    assert member.pending == purchase.points + 400
    assert find_order_points(order=order).points == purchase.points + 400
    assert entry_text(entry) == f"Bonus for order {order.number}"
    assert_ledger_balanced(member)


def test_what_was_promised_is_booked_although_staff_changed_or_ended_the_offer(member):
    offer = make_bonus_offer()
    order = world.place(world.make_basket(member.user, THREE))
    OfferBonus.objects.update(points=5)
    offer.delete()
    reward(order)
    assert bonuses(order).get().points == 200


def test_a_bonus_waits_and_is_undone_with_its_order(member, programme):
    world.change_programme(programme, spendable_status="Complete", waiting_days=14)
    make_bonus_offer()
    order = world.place(world.make_basket(member.user, THREE))
    reward(order)
    lots = get_model("oscar_loyalty", "Lot").objects.filter(source_ref=f"order:{order.number}")
    assert {lot.active_at.year for lot in lots} == {9000}
    for status in ("Being processed", "Shipped", "Complete"):
        order.set_status(status)
    reward(order)
    assert {(lot.active_at - timezone.now()).days for lot in lots.all()} == {13}
    assert lots.count() == 2
    Order.objects.filter(pk=order.pk).update(status="Cancelled")
    for _ in range(2):
        reward(order)
    member.refresh_from_db()
    assert (member.pending, member.available, member.debt) == (0, 10_000, 0)
    assert Entry.objects.filter(kind="CLAWBACK").count() == 2
    assert_ledger_balanced(member)


def test_an_order_that_earns_nothing_else_brings_its_bonus(member, programme):
    world.change_programme(programme, rate={"earn_amount": "10000.00"})
    make_bonus_offer()
    order = world.place(world.make_basket(member.user, THREE))
    reward(order)
    assert Entry.objects.filter(order_ref=order.number).get().points == 200
    Order.objects.filter(pk=order.pk).update(status="Cancelled")
    reward(order)
    member.refresh_from_db()
    assert member.pending == 0


def test_a_customer_outside_the_programme_gets_no_bonus_until_they_join(programme):
    world.change_programme(programme, claim_days=30)
    make_bonus_offer()
    user = factories.UserFactory()
    order = world.place(world.make_basket(user, THREE))
    reward(order)
    assert not bonuses(order).exists()
    join_programme(user_id=user.pk, now=timezone.now())
    reward(order)
    assert bonuses(order).get().points == 200


def test_an_order_whose_bonus_cannot_be_kept_is_placed_all_the_same(member, monkeypatch, caplog):
    make_bonus_offer()
    basket = world.make_basket(member.user, THREE)

    def fail(**values):
        raise RuntimeError

    monkeypatch.setattr(OrderBonus.objects, "get_or_create", fail)
    order = world.place(basket)
    assert "was not kept" in caplog.text
    reward(order)
    assert not bonuses(order).exists()


def test_rewarding_an_order_without_a_bonus_costs_no_statement_more(member):
    plain = world.place(world.make_basket(member.user, THREE))
    without = count(lambda: reward(plain))
    make_bonus_offer()
    order = world.place(world.make_basket(member.user, THREE))
    # One to read what was promised; the rest books it.
    assert count(lambda: reward(order)) > without
    OrderBonus.objects.all().delete()
    ConditionalOffer.objects.filter(name="Tea weeks").delete()
    again = world.place(world.make_basket(member.user, THREE))
    assert count(lambda: reward(again)) == without


def test_removing_the_app_from_a_shop_removes_such_offers(member):
    make_bonus_offer()
    removed = remove_from_shop(now=timezone.now())
    assert removed.offers == 2
    assert not Benefit.objects.exclude(proxy_class=None).exists()
    assert actions(world.make_basket(member.user, THREE)) == []


# In the dashboard and in the admin


@pytest.fixture
def staff(client, db):
    user = make_customer("boss")
    user.is_staff = user.is_superuser = True
    user.save()
    client.force_login(user)
    return client


def make_in_admin(staff, **values):
    posted = {"points": "200", "text_de": "Teewochen", "text_en": "tea weeks", **values}
    return staff.post(reverse("admin:oscar_loyalty_bonusbenefit_add"), posted)


@pytest.mark.host
def test_staff_make_a_bonus_and_choose_it_in_oscars_dashboard(staff, member):
    assert make_in_admin(staff).status_code == 302
    benefit = BonusBenefit.objects.get(proxy_class__endswith="BonusBenefit")
    everything = factories.RangeFactory(includes_all_products=True)
    staff.post(
        reverse("dashboard:offer-metadata"), {"name": "Tea weeks", "description": "", "offer_type": "Site"}
    )
    page = staff.get(reverse("dashboard:offer-benefit")).content.decode()
    assert "200 points as a bonus: tea weeks" in page
    staff.post(reverse("dashboard:offer-benefit"), {"custom_benefit": benefit.pk})
    staff.post(reverse("dashboard:offer-condition"), {"range": everything.pk, "type": "Count", "value": "2"})
    answer = staff.post(reverse("dashboard:offer-restrictions"), {"priority": "0"})
    assert answer.status_code == 302, answer.context["form"].errors
    offer = ConditionalOffer.objects.get(name="Tea weeks")
    assert offer.benefit_id == benefit.pk
    # Walking through the dashboard's forms once more changes neither the row nor our terms.
    before = Benefit.objects.filter(pk=benefit.pk).values().get()
    staff.post(reverse("dashboard:offer-benefit", args=[offer.pk]), {"custom_benefit": benefit.pk})
    assert Benefit.objects.filter(pk=benefit.pk).values().get() == before
    assert OfferBonus.objects.get().points == 200
    order = world.place(world.make_basket(member.user, THREE))
    reward(order)
    assert bonuses(order).get().points == 200
    assert staff.get(reverse("dashboard:offer-detail", args=[offer.pk])).status_code == 200
    assert staff.get(reverse("dashboard:offer-list")).status_code == 200


def test_staff_change_and_delete_a_bonus(staff):
    make_in_admin(staff)
    benefit = BonusBenefit.objects.get(proxy_class__endswith="BonusBenefit")
    assert staff.get(reverse("admin:oscar_loyalty_bonusbenefit_changelist")).status_code == 200
    change = reverse("admin:oscar_loyalty_bonusbenefit_change", args=[benefit.pk])
    assert 'value="200"' in staff.get(change).content.decode()
    staff.post(change, {"points": "300", "once_per_order": "on", "text_de": "", "text_en": ""})
    bonus = OfferBonus.objects.get()
    assert (bonus.points, bonus.once_per_order, bonus.text) == (300, True, "")
    staff.post(reverse("admin:oscar_loyalty_bonusbenefit_delete", args=[benefit.pk]), {"post": "yes"})
    assert not OfferBonus.objects.exists()
    assert not BonusBenefit.objects.filter(pk=benefit.pk).exists()


@pytest.mark.parametrize("points", ["", "0", "-1", "1000001", "many"])
def test_points_that_make_no_sense_are_refused(staff, points):
    answer = make_in_admin(staff, points=points)
    assert answer.status_code == 200
    assert answer.context["adminform"].form.errors["points"]
    assert not OfferBonus.objects.exists()


# Through the checkouts


@pytest.mark.host
def test_shoppers_see_the_bonus_from_basket_to_order(client, member, monkeypatch):
    monkeypatch.setattr("oscar.apps.basket.middleware.selector", Selector())
    make_bonus_offer(text_de="Teewochen", text_en="tea weeks")
    country = factories.CountryFactory(iso_3166_1_a2="DE", printable_name="Germany")
    address = factories.UserAddressFactory(user=member.user, country=country)
    client.force_login(member.user)
    client.post(f"/basket/add/{world.make_product('10.00').pk}/", {"quantity": 5})
    assert "400 points: tea weeks" in client.get("/basket/").content.decode()
    client.post("/checkout/shipping-address/", {"action": "ship_to", "address_id": address.pk})
    client.get("/checkout/shipping-method/")
    assert "400 points: tea weeks" in client.post("/checkout/preview/", {}).content.decode()
    client.post("/checkout/preview/", {"action": "place_order"})
    order = Order.objects.get()
    assert "400 points: tea weeks" in client.get("/checkout/thank-you/").content.decode()
    reward(order)
    assert bonuses(order).get().points == 400
    page = client.get(f"/accounts/orders/{order.number}/").content.decode()
    assert f"Bonus for order {order.number}" in page
    assert "Tea weeks" in page


def test_orders_through_django_oscar_api_bring_the_bonus(client, member):
    pytest.importorskip("oscarapi")
    make_bonus_offer()
    factories.CountryFactory(iso_3166_1_a2="DE", printable_name="Germany")
    client.force_login(member.user)
    product = world.make_product("10.00", rate=0)
    client.post(
        "/api/basket/add-product/",
        json.dumps({"url": f"http://testserver/api/products/{product.pk}/", "quantity": 4}),
        content_type="application/json",
    )
    basket = get_model("basket", "Basket").open.get()
    placed = client.post(
        "/api/checkout/",
        json.dumps(
            {
                "basket": f"http://testserver/api/baskets/{basket.pk}/",
                "shipping_address": {
                    "country": "http://testserver/api/countries/DE/",
                    "first_name": "Ada",
                    "last_name": "Lovelace",
                    "line1": "Marktplatz 1",
                    "line4": "Bremen",
                    "postcode": "28195",
                },
            }
        ),
        content_type="application/json",
    )
    assert placed.status_code == 200, placed.content
    order = Order.objects.get()
    reward(order)
    assert bonuses(order).get().points == 400

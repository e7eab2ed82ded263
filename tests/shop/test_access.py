"""Products that members may buy first, or only they: at adding, in the basket, at placement, in lists."""

from datetime import timedelta

import pytest
from django.contrib.messages import get_messages
from django.utils import timezone
from oscar.core.loading import get_model
from oscar.test import factories

from oscar_loyalty.shop.perk_products import find_closed, only_visible
from oscar_loyalty.shop.perks import PerkUnavailable
from oscar_loyalty.shop.strategy import LoyaltyStrategyMixin
from oscar_loyalty.tiers.entitlements import NOTHING, find_entitlements
from oscar_loyalty.tiers.models import ProductAccess
from tests.tiers.perk_world import make_tiers, put_into_tier

from . import world
from .test_statements import count, show

Basket = get_model("basket", "Basket")
Category = get_model("catalogue", "Category")
ConditionalOffer = get_model("offer", "ConditionalOffer")
Order = get_model("order", "Order")
Product = get_model("catalogue", "Product")
Range = get_model("offer", "Range")


class MembersFirst(LoyaltyStrategyMixin, world.PricesWithTax):
    pass


@pytest.fixture
def tiers(programme):
    make_tiers(
        programme,
        silver=[("EARLY_ACCESS", {"hours": 24})],
        gold=[("EARLY_ACCESS", {"hours": 48}), ("EXCLUSIVE_PRODUCTS", {})],
    )
    return programme


def member_of(tier, programme):
    account = world.make_member()
    put_into_tier(account.member, tier, programme=programme)
    return account.user


def close(product, *, hours=36):
    """Open to everybody so many hours from now; never with ``None``."""
    opens_at = None if hours is None else timezone.now() + timedelta(hours=hours)
    return ProductAccess.objects.create(product_id=product.pk, opens_at=opens_at)


def titles(basket):
    return [line.product.title for line in basket.all_lines()]


def test_nobody_buys_before_their_time(tiers):
    early, exclusive, free = (world.make_product() for _ in range(3))
    close(early)
    close(exclusive, hours=None)
    for tier, allowed in [("", [free]), ("silver", [free]), ("gold", [early, exclusive, free])]:
        basket = Basket.objects.create(owner=member_of(tier, tiers))
        basket.strategy = world.PricesWithTax()
        for product in (early, exclusive, free):
            basket.add_product(product)
        world.apply_offers(basket)
        assert titles(basket) == [product.title for product in allowed], tier
    ProductAccess.objects.filter(product_id=early.pk).update(opens_at=timezone.now() + timedelta(hours=12))
    basket = Basket.objects.create(owner=member_of("silver", tiers))
    basket.strategy = world.PricesWithTax()
    basket.add_product(early)
    world.apply_offers(basket)
    assert titles(basket) == [early.title]
    assert world.place(basket)


@pytest.mark.database
def test_variants_and_categories_follow_what_is_above_them(tiers):
    parent = factories.create_product(structure="parent")
    child = factories.create_product(structure="child", parent=parent)
    top = Category.add_root(name="Tea")
    in_category = world.make_product()
    top.add_child(name="Green").product_set.add(in_category)
    other = world.make_product()
    close(parent)
    ProductAccess.objects.create(category_id=top.pk, opens_at=None)
    closed = find_closed(now=timezone.now())
    assert set(closed) == {parent.pk, child.pk, in_category.pk}
    assert closed[in_category.pk].is_exclusive
    assert find_closed(now=timezone.now(), product_ids=[other.pk]) == {}
    visible = only_visible(Product.objects.all(), entitled=NOTHING, now=timezone.now())
    assert list(visible) == [other]


@pytest.mark.database
def test_a_range_is_closed_with_all_that_oscar_says_is_in_it(tiers):
    top = Category.add_root(name="Tea")
    parent = factories.create_product(structure="parent")
    by_category, by_class, left_out, other = (world.make_product() for _ in range(4))
    child = factories.create_product(structure="child", parent=parent)
    top.add_child(name="Green").product_set.add(by_category, left_out)
    by_class.product_class = factories.ProductClassFactory(name="Cups")
    by_class.save()
    some = factories.RangeFactory(name="some")
    some.included_categories.add(top)
    some.included_products.add(parent)
    some.classes.add(by_class.product_class)
    some.excluded_products.add(left_out)
    later = timezone.now() + timedelta(hours=1)
    rule = ProductAccess.objects.create(range=some, opens_at=later)
    now = timezone.now()
    closed = find_closed(now=now)
    assert set(closed) == {parent.pk, child.pk, by_category.pk, by_class.pk}
    assert {reason.opens_at for reason in closed.values()} == {later}
    assert set(only_visible(Product.objects.all(), entitled=NOTHING, now=now)) == {left_out, other}
    everything = factories.RangeFactory(name="all but tea", includes_all_products=True)
    everything.excluded_categories.add(top)
    rule.range, rule.opens_at = everything, None
    rule.save()
    closed = find_closed(now=now)
    assert set(closed) == {parent.pk, child.pk, by_class.pk, other.pk}
    assert all(reason.is_exclusive for reason in closed.values())


def test_a_range_with_a_class_of_the_shop_closes_nothing(tiers):
    world.make_product()
    own = factories.RangeFactory(includes_all_products=True)
    Range.objects.filter(pk=own.pk).update(proxy_class="shop.ranges.Own")
    ProductAccess.objects.create(range=own)
    assert find_closed(now=timezone.now()) == {}


def test_what_is_in_a_closed_range_is_guarded_like_any_other(tiers):
    product = world.make_product()
    tea = factories.RangeFactory(name="tea")
    tea.included_products.add(product)
    ProductAccess.objects.create(range=tea)
    basket = world.make_basket(member_of("silver", tiers))
    basket.add_product(product)
    assert product.title not in titles(world.load(basket))
    basket = world.make_basket(member_of("gold", tiers))
    basket.add_product(product)
    assert product.title in titles(world.load(basket))


def test_a_rule_ends_with_its_range(tiers):
    tea = factories.RangeFactory()
    ProductAccess.objects.create(range=tea)
    tea.delete()
    assert not ProductAccess.objects.exists()


@pytest.mark.database
@pytest.mark.parametrize(("tier", "sees"), [("", set()), ("silver", set()), ("gold", {0, 1})])
def test_lists_of_a_shop_that_wants_it_hide_what_is_closed(tiers, tier, sees):
    products = [world.make_product(), world.make_product()]
    close(products[0])
    close(products[1], hours=None)
    now = timezone.now()
    entitled = find_entitlements(user_id=member_of(tier, tiers).pk, now=now)
    found = only_visible(Product.objects.all(), entitled=entitled, now=now)
    assert set(found) == {products[index] for index in sees}


def test_a_tier_lost_between_basket_and_placement_stops_the_order(tiers):
    product = world.make_product()
    close(product)
    user = member_of("gold", tiers)
    basket = Basket.objects.create(owner=user)
    basket.strategy = world.PricesWithTax()
    basket.add_product(product)
    basket.add_product(world.make_product())
    world.apply_offers(basket)
    put_into_tier(user.loyalty_member, "", programme=tiers)
    again = world.load(basket)
    assert len(again.all_lines()) == 1
    with pytest.raises(PerkUnavailable, match="can be bought from"):
        world.place(again)
    assert not Order.objects.exists()
    assert world.place(world.load(basket)).lines.count() == 1, "the customer has seen the basket now"


def test_a_frozen_basket_keeps_its_lines_and_is_refused(tiers):
    product = world.make_product()
    close(product)
    user = member_of("gold", tiers)
    basket = Basket.objects.create(owner=user)
    basket.strategy = world.PricesWithTax()
    basket.add_product(product)
    world.apply_offers(basket)
    basket.freeze()
    put_into_tier(user.loyalty_member, "", programme=tiers)
    again = world.load(basket)
    assert len(again.all_lines()) == 1
    with pytest.raises(PerkUnavailable):
        world.place(again)


def test_adding_it_on_a_page_takes_it_out_again_and_says_why(tiers, client):
    product = world.make_product(rate=0)
    close(product)
    response = client.post(f"/basket/add/{product.pk}/", {"quantity": 1})
    told = " ".join(str(message) for message in get_messages(response.wsgi_request))
    assert f"“{product.title}” can be bought from" in told
    assert "Members first" not in told
    assert not get_model("basket", "Line").objects.exists()
    assert client.get("/basket/").status_code == 200


def test_adding_it_through_django_oscar_api_leaves_the_basket_without_it(tiers, client):
    pytest.importorskip("oscarapi")
    product = world.make_product(rate=0)
    close(product)
    added = client.post(
        "/api/basket/add-product/",
        {"url": f"http://testserver/api/products/{product.pk}/", "quantity": 1},
        content_type="application/json",
    )
    assert added.status_code == 200
    assert client.get("/api/basket/").json()["total_incl_tax"] == "0.00"
    assert not get_model("basket", "Line").objects.exists()


def test_a_strategy_with_the_mixin_says_so_before_the_click(tiers):
    product = world.make_product()
    close(product, hours=None)
    strategy = MembersFirst()
    info = strategy.fetch_for_product(product)
    assert not info.availability.is_available_to_buy
    assert info.availability.message == f"“{product.title}” is for members of certain tiers only."
    assert strategy.fetch_for_product(world.make_product()).availability.is_available_to_buy
    mine = MembersFirst()
    mine.user = member_of("gold", tiers)
    assert mine.fetch_for_product(product).availability.is_available_to_buy


def test_previews_of_points_say_that_it_is_for_members(tiers, client):
    product = world.make_product()
    close(product)
    wanted = {"items": [{"product": product.pk}]}
    url = "/api/loyalty/v1/earn-previews"
    told = client.post(url, wanted, content_type="application/json").json()["items"][0]
    assert (told["state"], told["points"]) == ("members_only", 0)
    client.force_login(member_of("gold", tiers))
    told = client.post(url, wanted, content_type="application/json").json()["items"][0]
    assert told["state"] == "earning"


def test_the_guard_is_in_force_only_while_something_is_closed(programme):
    product = world.make_product()
    rule = close(product)
    assert ConditionalOffer.active.filter(name="Members first").exists()
    ProductAccess.objects.update(opens_at=timezone.now())
    rule.refresh_from_db()
    rule.save()
    assert not ConditionalOffer.active.filter(name="Members first").exists()


def test_the_guard_costs_guests_one_statement_and_members_none_besides_their_perks(tiers, settings):
    close(world.make_product())
    for owner, most in [(None, 1), (member_of("gold", tiers), 1 + 1 + 1)]:
        basket = world.make_basket(owner)
        with_guard = count(lambda basket=basket: show(basket))
        settings.OSCAR_LOYALTY_ENABLED = False
        without = count(lambda basket=basket: show(basket))
        settings.OSCAR_LOYALTY_ENABLED = True
        assert with_guard - without <= most


@pytest.mark.database
@pytest.mark.parametrize("lines", [1, 10])
def test_guard_member_price_and_another_offer_cost_three_statements_together(tiers, settings, lines):
    """The owner's perks, what is known of the products, and which offers combine."""
    everything = factories.RangeFactory(includes_all_products=True)
    make_tiers(tiers, gold=[("MEMBER_PRICE", {"percent": "10", "range": everything.pk})])
    close(world.make_product())
    world.make_discount(10, exclusive=False)
    basket = world.make_basket(
        member_of("gold", tiers), [(f"{price}.00", 1, 19) for price in range(20, 20 + lines)]
    )
    assert sum(bool(one["discount"]) for one in show(basket).offer_applications) == 2
    with_perks = count(lambda: show(basket))
    settings.OSCAR_LOYALTY_ENABLED = False
    without = count(lambda: show(basket))
    # One of them is that of points, which members pay in any basket.
    assert with_perks - without - 1 == 3

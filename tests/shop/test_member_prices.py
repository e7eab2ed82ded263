"""Member prices: on ranges, beside other offers, with and without VAT."""

from decimal import Decimal

import pytest
from django.db import connection
from django.utils import timezone
from oscar.core.loading import get_model
from oscar.test import factories

from oscar_loyalty.flows.redemption import redeem
from oscar_loyalty.shop.offers import make_room_for_voucher
from oscar_loyalty.shop.perk_products import find_in_ranges
from oscar_loyalty.tiers.models import PerkUse
from tests.tiers.perk_world import give, make_tiers, put_into_tier

from . import world
from .test_perk_totals import recorded_by
from .test_statements import count, show

Category = get_model("catalogue", "Category")


@pytest.fixture
def everything(db):
    return factories.RangeFactory(includes_all_products=True)


@pytest.fixture
def gold(member, programme, everything):
    make_tiers(programme, gold=[("MEMBER_PRICE", {"percent": "11", "range": everything.pk})])
    put_into_tier(member.member, "gold", programme=programme)
    return member


@pytest.mark.parametrize(
    ("strategy", "total", "tax"),
    [
        (world.PricesWithTax, "26.70", "4.27"),
        (world.PricesWithoutTax, "31.77", "5.07"),
        (world.TaxUnknown, "26.70", None),
    ],
)
def test_a_member_pays_the_member_price(gold, strategy, total, tax):
    basket = world.make_basket(gold.user, [("10.00", 3, 19)], strategy=strategy())
    if tax is None:
        assert basket.total_excl_tax == Decimal(total)
        return
    order = world.place(basket)
    assert (str(order.total_incl_tax), str(order.total_incl_tax - order.total_excl_tax)) == (total, tax)
    saved = order.total_before_discounts_incl_tax - order.total_incl_tax
    saved = saved.quantize(Decimal("0.01"))
    assert recorded_by(order) == {"Member price": str(saved)}
    assert [(use.kind, use.saved) for use in PerkUse.objects.all()] == [("MEMBER_PRICE", saved)]
    assert sum(row.amount for line in order.lines.all() for row in line.discounts.all()) == saved


def test_odd_prices_are_rounded_for_each_piece(gold):
    basket = world.make_basket(gold.user, [("9.99", 3, 19), ("0.01", 1, 7)])
    assert [line.line_price_incl_tax_incl_discounts for line in basket.all_lines()] == [
        Decimal("26.67"),
        Decimal("0.01"),
    ]


def test_others_pay_the_shelf_price(gold):
    assert world.make_basket(factories.UserFactory()).total_incl_tax == Decimal("30.00")
    assert world.make_basket(None).total_incl_tax == Decimal("30.00")


def test_what_may_not_be_discounted_keeps_its_price(gold):
    assert world.make_basket(gold.user, discountable=False).total_incl_tax == Decimal("30.00")


@pytest.mark.parametrize(
    ("percent", "exclusive", "total"),
    [
        # They add up where they may be combined, and the better one counts where not.
        (10, False, "23.70"),
        (10, True, "26.70"),
        (20, True, "24.00"),
    ],
)
def test_member_prices_beside_an_offer_of_the_shop(gold, percent, exclusive, total):
    world.make_discount(percent, exclusive=exclusive)
    assert str(world.make_basket(gold.user).total_incl_tax) == total


def test_an_exclusive_voucher_added_later_finds_the_lines_free(gold):
    voucher = world.make_discount(50, exclusive=True, voucher_code="HALF")
    basket = world.make_basket(gold.user)
    basket.vouchers.add(voucher)
    make_room_for_voucher(basket)
    world.apply_offers(basket)
    assert basket.total_incl_tax == Decimal("15.00")


def test_offers_applied_twice_take_the_price_off_once(gold):
    basket = world.make_basket(gold.user)
    world.apply_offers(basket)
    assert basket.total_incl_tax == Decimal("26.70")


def test_points_pay_for_what_is_left(gold):
    basket = world.make_basket(gold.user)
    redeem(basket=basket, points=1000, now=timezone.now())
    order = world.place(basket)
    assert order.total_incl_tax == Decimal("16.70")
    assert recorded_by(order) == {"Member price": "3.30", "Loyalty points": "10.00"}


def test_the_best_of_several_counts_for_each_product(gold, programme):
    some = factories.RangeFactory(includes_all_products=False)
    basket = world.make_basket(gold.user, [("10.00", 1, 19), ("20.00", 1, 19)])
    some.add_product(basket.all_lines()[0].product)
    give(gold.member, "MEMBER_PRICE", {"percent": "50", "range": some.pk}, programme=programme)
    assert [line.line_price_incl_tax_incl_discounts for line in world.load(basket).all_lines()] == [
        Decimal("5.00"),
        Decimal("17.80"),
    ]


@pytest.mark.database
@pytest.mark.parametrize("lines", [1, 10])
@pytest.mark.parametrize("beside", [False, True])
def test_perks_and_member_prices_cost_three_statements_at_most(gold, settings, lines, beside):
    if beside:
        world.make_discount(10)
    basket = world.make_basket(gold.user, [("3.00", 1, 19)] * lines)
    with_perks = count(lambda: show(basket))
    settings.OSCAR_LOYALTY_ENABLED = False
    without = count(lambda: show(basket))
    # One of them is that of points, which members pay in any basket.
    assert with_perks - without - 1 <= 3


@pytest.mark.database
def test_ranges_hold_what_oscars_own_ranges_hold(db):
    top = Category.add_root(name="Coffee")
    below = top.add_child(name="Beans")
    parent = factories.create_product(structure="parent")
    products = [
        factories.create_product(),
        factories.create_product(structure="child", parent=parent),
        parent,
        *(factories.create_product(product_class=f"Class {number}") for number in range(3)),
    ]
    below.product_set.add(products[0])
    top.product_set.add(parent)
    ranges = [
        factories.RangeFactory(includes_all_products=True, name="all"),
        factories.RangeFactory(includes_all_products=True, name="but coffee"),
        factories.RangeFactory(includes_all_products=True, name="but the first"),
        factories.RangeFactory(includes_all_products=False, name="nothing"),
        factories.RangeFactory(includes_all_products=False, name="coffee"),
        factories.RangeFactory(includes_all_products=False, name="coffee but the parent"),
        factories.RangeFactory(includes_all_products=False, name="a class"),
        factories.RangeFactory(includes_all_products=False, name="one, and a parent"),
    ]
    ranges[1].excluded_categories.add(top)
    ranges[2].excluded_products.add(products[0])
    ranges[4].included_categories.add(top)
    ranges[5].included_categories.add(top)
    ranges[5].excluded_products.add(parent)
    ranges[6].classes.add(products[3].product_class)
    ranges[7].included_products.add(products[4], parent)
    found = find_in_ranges([one.pk for one in products], range_ids=[one.pk for one in ranges])
    named = [{one.name for one in ranges if one.pk in found[product.pk]} for product in products]
    assert named == [
        {"all", "coffee", "coffee but the parent"},
        {"all", "but the first", "coffee", "one, and a parent"},
        {"all", "but the first", "coffee", "one, and a parent"},
        {"all", "but coffee", "but the first", "a class"},
        {"all", "but coffee", "but the first", "one, and a parent"},
        {"all", "but coffee", "but the first"},
    ]
    if connection.vendor != "mysql":  # Oscar's own statement for categories is none that MariaDB reads.
        for product, names in zip(products, named, strict=True):
            assert names == {one.name for one in ranges if one.contains_product(product)}, product.pk

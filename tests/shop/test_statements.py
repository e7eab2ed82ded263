"""What points add to a page and to an order, counted in statements; the same for one line and for ten."""

import pytest
from django.db import connection
from django.utils import timezone
from oscar.core.loading import get_model
from oscar.test import factories

from oscar_loyalty.flows.redemption import get_redemption, redeem
from oscar_loyalty.points.models import Lot

from . import world

#: Statements of transactions are not statements of the app.
_FRAME = ("SAVEPOINT", "RELEASE SAVEPOINT", "ROLLBACK", "BEGIN", "COMMIT")
GOODS = [("20.00", 1, 19)]
MANY_GOODS = [(f"{price}.00", 2, 19 if price % 2 else 7) for price in range(11, 21)]


def count(action):
    statements = []

    def note(execute, sql, params, many, context):
        if not sql.startswith(_FRAME):
            statements.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        action()
    return len(statements)


def spend(basket, points=500):
    redeem(basket=basket, points=points, now=timezone.now())
    return basket


def show(basket):
    """Oscar loads a basket, applies its offers and tells its totals."""
    basket = world.load(basket)
    assert basket.total_incl_tax >= basket.total_excl_tax
    return basket


def count_page(basket):
    """A page asks what points can do as well."""
    return count(lambda: get_redemption(basket=show(basket), now=timezone.now()))


def count_page_without(basket, settings):
    settings.OSCAR_LOYALTY_ENABLED = False
    statements = count(lambda: show(basket))
    settings.OSCAR_LOYALTY_ENABLED = True
    return statements


@pytest.mark.parametrize("lines", [GOODS, MANY_GOODS], ids=["one line", "ten lines"])
def test_a_basket_page_costs_two_statements_more(member, settings, lines):
    basket = world.make_basket(member.user, lines)
    without = count_page_without(basket, settings)
    assert count_page(basket) - without == 2
    spend(basket)
    assert count_page(basket) - without == 2


def test_a_basket_page_costs_one_statement_for_customers_who_take_no_part(programme, settings):
    basket = world.make_basket(factories.UserFactory())
    assert count_page(basket) - count_page_without(basket, settings) == 1


def test_a_basket_page_costs_guests_nothing(programme, settings):
    basket = world.make_basket(None)
    assert count_page(basket) == count_page_without(basket, settings)


@pytest.mark.parametrize("lines", [GOODS, MANY_GOODS], ids=["one line", "ten lines"])
@pytest.mark.parametrize("exclusive", [True, False])
def test_points_beside_another_offer_cost_no_statement_for_each_line(member, settings, lines, exclusive):
    """Oscar asks for every line and offer which others combine with it."""
    world.make_discount(10, exclusive=exclusive)
    basket = world.make_basket(member.user, lines)
    without = count_page_without(basket, settings)
    spend(basket)
    assert count_page(basket) - without == 3


def count_order(basket):
    return count(lambda: world.place(world.load(basket)))


def order_costs(lines, *, lots=1):
    """Statements that an order with points needs beyond one with an equal discount of Oscar's own."""
    buyer = factories.UserFactory()
    discount = world.make_discount(value="5.00")
    with_discount = count_order(world.make_basket(buyer, lines))
    get_model("offer", "ConditionalOffer").objects.filter(pk=discount.pk).delete()
    member = world.make_member(points=0)
    for _ in range(lots):
        world.give_points(member, 500 // lots)
    with_points = count_order(spend(world.make_basket(member.user, lines)))
    assert Lot.objects.filter(account=member, spent__gt=0).count() == lots
    return with_points - with_discount


def test_placing_an_order_costs_twelve_statements_more_at_most(programme):
    costs = order_costs(GOODS)
    assert costs <= 12
    assert order_costs(MANY_GOODS) <= costs


@pytest.mark.parametrize("lots", [2, 4])
def test_every_further_lot_costs_one_statement_more_at_most(programme, lots):
    assert order_costs(GOODS, lots=lots) <= order_costs(GOODS) + lots - 1

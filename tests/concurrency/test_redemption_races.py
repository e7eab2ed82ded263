"""Baskets of one member redeem and are ordered at the same instant."""

import threading
from collections import Counter
from functools import partial

import pytest
from django.db import IntegrityError, OperationalError, transaction
from django.utils import timezone
from oscar.core.loading import get_model

from oscar_loyalty.flows.expiry import end_expired_holds
from oscar_loyalty.flows.redemption import RedemptionRefused, redeem, undo_redemption
from oscar_loyalty.points.models import Entry, Hold
from oscar_loyalty.points.services import settle_account
from oscar_loyalty.shop.baskets import lock_basket
from oscar_loyalty.shop.offers import PointsUnavailable, ensure_offer
from oscar_loyalty.testing.ledger import assert_ledger_balanced
from tests.shop import world

from .race import run_at_once

pytestmark = [
    pytest.mark.database,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("row_locks"),
]

SESSIONS = 16
ROUNDS = 50
Order = get_model("order", "Order")


@pytest.fixture
def product():
    ensure_offer()
    world.make_programme()
    return world.make_product("30.00", stock=10**6)


def make_basket(member, product):
    basket = get_model("basket", "Basket").objects.create(owner=member.user)
    basket.strategy = world.PricesWithTax()
    basket.add_product(product)
    return world.load(basket)


def spend(basket, points):
    return redeem(basket=basket, points=points, now=timezone.now())


def outcomes_of(results):
    return Counter(getattr(result, "code", None) or type(result).__name__ for result in results)


def test_of_sixteen_baskets_that_want_the_same_points_one_gets_them(product):
    member = world.make_member(points=3000)
    baskets = [make_basket(member, product) for _ in range(SESSIONS)]
    for _ in range(ROUNDS):
        results = run_at_once([partial(spend, basket, 3000) for basket in baskets])
        assert outcomes_of(results) == {"Redemption": 1, "insufficient_points": SESSIONS - 1}
        member.refresh_from_db()
        assert (member.available, member.held) == (0, 3000)
        [winner] = [
            basket
            for basket, result in zip(baskets, results, strict=True)
            if not isinstance(result, RedemptionRefused)
        ]
        undo_redemption(basket=winner, now=timezone.now())
    assert_ledger_balanced(member)


@pytest.mark.parametrize("same_number", [True, False])
def test_a_basket_that_is_ordered_twice_at_once_is_ordered_once(product, same_number):
    member = world.make_member(points=500 * ROUNDS)
    for number in range(1, ROUNDS + 1):
        basket = make_basket(member, product)
        spend(basket, 500)
        jobs = [
            partial(world.place, world.load(basket), number=f"{number}-{0 if same_number else session}")
            for session in range(2)
        ]
        results = run_at_once(jobs)
        [refused] = [result for result in results if not isinstance(result, Order)]
        assert isinstance(refused, PointsUnavailable | IntegrityError | ValueError), refused
        assert Order.objects.filter(number__startswith=f"{number}-").count() == 1
        basket.submit()
    assert_ledger_balanced(member)
    assert (member.available, member.held, member.spent) == (0, 0, 500 * ROUNDS)
    assert Entry.objects.filter(account=member, kind=Entry.Kind.SPEND).count() == ROUNDS


def test_ordering_undoing_and_expiring_at_once_ends_one_way(product, settings):
    settings.OSCAR_LOYALTY_HOLD_MINUTES = 0
    member = world.make_member(points=500 * ROUNDS)
    spent = 0
    for number in range(ROUNDS):
        basket = make_basket(member, product)
        spend(basket, 500)
        ordered, *_others = run_at_once(
            [
                partial(world.place, world.load(basket), number=f"order-{number}"),
                partial(undo_redemption, basket=world.load(basket), now=timezone.now()),
                partial(end_expired_holds, now=timezone.now()),
            ]
        )
        if isinstance(ordered, Order):
            spent += 500
        else:
            assert isinstance(ordered, PointsUnavailable), ordered
        member.refresh_from_db()
        assert member.spent == spent
        basket.submit()
    assert_ledger_balanced(member)
    assert not Hold.objects.filter(account=member, state=Hold.State.CAPTURED).exclude(captured=500).exists()


def test_a_shopper_who_pays_and_fills_the_basket_at_once_waits_instead_of_failing(product, monkeypatch):
    assert not collide(product)
    # The twin: points first and basket later is a deadlock that the database ends for one of the two.
    monkeypatch.setattr("oscar_loyalty.flows.redemption.lock_basket", lambda basket: None)
    assert collide(product)


def collide(product):
    """Errors of a request that spends points and then adds a line, beside one that places the order."""
    member = world.make_member(points=3000)
    basket = make_basket(member, product)
    points_are_held, basket_is_locked = threading.Event(), threading.Event()

    def fill():
        with transaction.atomic():
            spend(world.load(basket), 500)
            points_are_held.set()
            basket_is_locked.wait(timeout=1)
            basket.lines.create(
                product=product, line_reference="later", stockrecord=product.stockrecords.get()
            )

    def pay():
        points_are_held.wait(timeout=5)
        with transaction.atomic():
            lock_basket(basket)
            basket_is_locked.set()
            settle_account(account_id=member.pk, now=timezone.now())

    return [result for result in run_at_once([fill, pay]) if isinstance(result, OperationalError)]

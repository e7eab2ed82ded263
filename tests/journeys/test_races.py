"""Points and baskets that several requests want at the same moment, through whole checkouts."""

import itertools
from collections import Counter
from contextlib import contextmanager
from functools import partial

import pytest
from django.conf import settings
from django.db.models import QuerySet
from django.test import Client
from django.utils import timezone
from oscar.core.loading import get_class, get_model

from oscar_loyalty.flows.redemption import get_redemption, redeem
from oscar_loyalty.payments import services
from oscar_loyalty.shop.offers import ensure_offer
from oscar_loyalty.testing.ledger import assert_ledger_balanced
from tests.concurrency import processes
from tests.concurrency.race import run_at_once
from tests.payments.conftest import Shop, shop, stripe_process, stripe_server  # noqa: F401
from tests.payments.test_races import CLICKS, THANK_YOU, TRIES, charges, press_pay_at_once, start_over
from tests.shop import world

from .test_hosts import go_to_preview_with_points, member, shopper  # noqa: F401

pytestmark = [
    pytest.mark.database,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("row_locks", "fresh_order_numbers"),
    pytest.mark.timeout(420),
]

ROUNDS = 50
#: Each of these is a whole checkout with its card.
PAID_ROUNDS = 2 * processes.ROUNDS
SESSIONS = 16
Order = get_model("order", "Order")


@pytest.fixture
def fresh_order_numbers(monkeypatch):
    """Every attempt gets a number of its own, so that Oscar's unique number does not hide a second order."""
    numbers = itertools.count(500000)
    generator = get_class("order.utils", "OrderNumberGenerator")
    monkeypatch.setattr(generator, "order_number", lambda self, basket: next(numbers))
    return numbers


@pytest.fixture
def programme():
    ensure_offer()
    return world.make_programme()


def make_basket_with_points(account, points):
    basket = world.make_basket(account.user, lines=(("30.00", 1, 19),))
    redeem(basket=basket, points=points, now=timezone.now())
    return basket


def place_the_same_basket_at_once(rounds, numbers):
    """How two requests end that place one basket with 1,000 points on it, as often as there are rounds."""
    outcomes = Counter()
    for _ in range(rounds):
        account = world.make_member(points=1000)
        basket = make_basket_with_points(account, 1000)
        copies = [world.load(basket), world.load(basket)]
        results = run_at_once([partial(world.place, copy, number=str(next(numbers))) for copy in copies])
        account.refresh_from_db()
        spent = sum(order.total_discount_incl_tax for order in Order.objects.filter(user=account.user))
        outcomes[(*sorted(type(result).__name__ for result in results), account.spent, int(spent))] += 1
        assert_ledger_balanced(account)
    return outcomes


def test_the_same_basket_placed_twice_at_once_is_one_order_and_spends_its_points_once(
    programme, fresh_order_numbers
):
    outcomes = place_the_same_basket_at_once(ROUNDS, fresh_order_numbers)
    assert outcomes == {("Order", "PointsUnavailable", 1000, 10): ROUNDS}


def test_without_the_lock_the_same_basket_goes_wrong(programme, fresh_order_numbers, monkeypatch):
    """Then only the database's constraints stop the second one, and it breaks without a clear answer."""
    for _ in range(10):
        with without_row_locks(monkeypatch):
            outcomes = place_the_same_basket_at_once(10, fresh_order_numbers)
        if outcomes != {("Order", "PointsUnavailable", 1000, 10): 10}:
            return
    pytest.fail("100 rounds without the lock went well by chance")


def test_oscars_own_checkout_confirmed_twice_at_once_is_one_order(shopper, member):  # noqa: F811
    """Without our payment views: one confirmation wins, the other is shown why it did not."""
    for number in range(1, 3 * processes.ROUNDS + 1):
        go_to_preview_with_points(shopper, 100)
        clicks = [Client(), Client()]
        for click in clicks:
            click.cookies.update(shopper.cookies)
        confirm = [partial(click.post, "/checkout/preview/", {"action": "place_order"}) for click in clicks]
        answers = sorted(run_at_once(confirm), key=lambda answer: answer.status_code)
        assert [answer.status_code for answer in answers] == [200, 302]
        assert answers[1].headers["Location"] == THANK_YOU
        assert "Your points are no longer available as before" in answers[0].content.decode()
        assert Order.objects.count() == number
        member.refresh_from_db()
        assert (member.held, member.spent) == (0, 100 * number)
    assert_ledger_balanced(member)


def redeem_and_place(basket, number):
    redeem(basket=basket, points=1000, now=timezone.now())
    return world.place(basket, number=str(number))


def test_of_sixteen_baskets_of_one_member_one_gets_the_points(programme, fresh_order_numbers):
    """Each session fills a basket of its own with the same points and orders."""
    for _ in range(processes.ROUNDS):
        account = world.make_member(points=1000)
        baskets = [world.make_basket(account.user, lines=(("30.00", 1, 19),)) for _ in range(SESSIONS)]
        jobs = [partial(redeem_and_place, basket, next(fresh_order_numbers)) for basket in baskets]
        kinds = Counter(type(result).__name__ for result in run_at_once(jobs))
        assert kinds == {"Order": 1, "RedemptionRefused": SESSIONS - 1}
        account.refresh_from_db()
        assert (account.available, account.held, account.spent) == (0, 0, 1000)
        assert Order.objects.get(user=account.user).total_discount_incl_tax == 10
        assert_ledger_balanced(account)


@pytest.fixture
def shops_member(programme, shop):  # noqa: F811
    return world.make_member(points=100_000, user=shop.user)


def begin_with_points(shop, stripe_server):  # noqa: F811
    """A basket of 12.34 with 500 points on it, up to the payment."""
    start_over(shop, stripe_server)
    basket = shop.client.get("/basket/").context["basket"]
    answer = shop.client.post("/loyalty/basket/redeem/", {"points": "500"})
    assert answer.status_code == 302
    assert get_redemption(basket=world.load(basket), now=timezone.now()).applied == 500
    shop.go_to_payment()


def test_several_clicks_on_pay_spend_the_points_once_and_charge_the_rest_once(
    shop,  # noqa: F811
    shops_member,
    stripe_server,  # noqa: F811
):
    for number in range(1, PAID_ROUNDS + 1):
        begin_with_points(shop, stripe_server)
        assert press_pay_at_once(shop, shop.choose_card()) == [THANK_YOU] * CLICKS
        assert len(shop.orders()) == 1
        assert charges(stripe_server) == [734]
        shops_member.refresh_from_db()
        assert (shops_member.held, shops_member.spent) == (0, 500 * number)
    assert_ledger_balanced(shops_member)


def test_without_the_claim_clicks_get_into_each_others_way(
    shop,  # noqa: F811
    shops_member,
    stripe_server,  # noqa: F811
    monkeypatch,
):
    """The test above can fail: this is what it would see if two clicks could freeze one basket."""
    monkeypatch.setattr(services, "claim_basket", lambda basket_id: True)
    for _ in range(TRIES):
        begin_with_points(shop, stripe_server)
        if press_pay_at_once(shop, shop.choose_card()) != [THANK_YOU] * CLICKS:
            return
    pytest.fail(f"{TRIES} rounds without the claim went well by chance")


@contextmanager
def without_row_locks(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(QuerySet, "select_for_update", lambda self, **_: self.all())
        # The fast path has its lock in the database.
        patch.setattr(settings, "OSCAR_LOYALTY_FAST_PATH", False, raising=False)
        yield

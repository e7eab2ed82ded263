"""Two clicks of one clerk cannot both fit into what is left of a budget."""

import uuid
from functools import partial

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone
from oscar.test.factories import OrderFactory

from oscar_loyalty.flows.goodwill import approve_goodwill, give_goodwill
from oscar_loyalty.returns.models import Goodwill, GoodwillBudget
from oscar_loyalty.testing.ledger import assert_ledger_balanced
from tests.returns.world import make_policy
from tests.shop import world as shop

from .race import run_at_once

pytestmark = [
    pytest.mark.database,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("row_locks"),
]
SESSIONS = 4


@pytest.fixture
def account(db):
    make_policy(shop.make_programme(waiting_days=0), goodwill_points=100)
    return shop.make_member(points=0)


@pytest.fixture
def clerk(db):
    return get_user_model().objects.create_user("clerk", "clerk@example.com", "secret")


def give(order, clerk, public_id=None):
    return give_goodwill(
        order_id=order.pk,
        points=60,
        reason="Cup broken",
        clerk_id=clerk.pk,
        public_id=public_id or uuid.uuid4(),
        now=timezone.now(),
    )


def test_clicks_at_once_fit_into_the_budget_once(account, clerk):
    # An order each, so that nothing but the budget makes them wait for each other.
    orders = [OrderFactory(user=account.user) for _session in range(SESSIONS)]
    results = run_at_once([partial(give, order, clerk) for order in orders])
    assert sorted(one.state for one in results) == ["GIVEN"] + ["REQUESTED"] * (SESSIONS - 1)
    assert GoodwillBudget.objects.count() == 1
    assert_ledger_balanced(account)


def test_a_double_click_gives_once(account, clerk):
    order, key = OrderFactory(user=account.user), uuid.uuid4()
    results = run_at_once([partial(give, order, clerk, key)] * SESSIONS)
    assert {one.pk for one in results} == {Goodwill.objects.get().pk}


def test_two_approvals_at_once_give_once(account, clerk):
    boss = get_user_model().objects.create_user("boss", "boss@example.com", "secret")
    order = OrderFactory(user=account.user)
    give(order, clerk)
    waits = give(order, clerk)
    before = account.entries.count()
    approve = partial(approve_goodwill, goodwill_id=waits.pk, actor_id=boss.pk, now=timezone.now())
    results = run_at_once([approve] * SESSIONS)
    assert {one.state for one in results} == {"GIVEN"}
    assert account.entries.count() == before + 1

"""Orders at the same instant never get more from a rule together than its limits."""

from contextlib import nullcontext
from functools import partial
from unittest import mock

import pytest
from django.utils import timezone
from oscar.test import factories

from oscar_loyalty.earning.models import EarningRule, RuleBudget
from oscar_loyalty.earning.queries import find_budgets
from oscar_loyalty.flows import earning as flow
from oscar_loyalty.flows.membership import join_programme
from oscar_loyalty.flows.occasions import reward_occasion
from oscar_loyalty.flows.purchases import reward_purchase
from oscar_loyalty.points.models import Account, EarnedLine, Entry
from oscar_loyalty.programmes.models import ProgrammeVersion
from oscar_loyalty.testing.ledger import assert_ledger_balanced
from tests.flows.conftest import place_order
from tests.shop import world

from .race import run_at_once

pytestmark = [
    pytest.mark.database,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("row_locks"),
]

SESSIONS = 6
ROUNDS = 3


@pytest.fixture
def now():
    return timezone.now()


@pytest.fixture
def programme():
    world.make_programme()


def add_rule(code="double", **values):
    EarningRule.objects.create(
        version=ProgrammeVersion.objects.latest("number"),
        code=code,
        name=code,
        **{"kind": "MULTIPLIER", "parameters": {"factor": "2"}, **values},
    )


def place(user, *, number, at):
    return place_order(user=user, prices=("30.00",), number=str(number), at=at).pk


def reward_at_once(order_ids, *, now):
    results = run_at_once([partial(reward_purchase, order_id=pk, now=now) for pk in order_ids])
    assert results == [None] * len(order_ids)


def given(code="double"):
    return sum(line.points for line in EarnedLine.objects.filter(rule_code=code))


def without_lock(name):
    """The lock is asked for and not taken; what was read is thought about for a moment."""
    return mock.patch.object(flow, name, _UNLOCKED[name])


class _NoLocks:
    def __init__(self, real):
        self._real = real

    def __getattr__(self, name):
        return getattr(self._real, name)

    def lock_accounts(self, account_ids):
        return []

    def lock_budgets(self, *, programme_id, codes):
        return find_budgets(programme_id=programme_id, codes=codes)


_UNLOCKED = {"services": _NoLocks(flow.services), "budgets": _NoLocks(flow.budgets)}


@pytest.mark.parametrize("protected", [True, False])
def test_one_member_ordering_at_once_gets_no_more_than_the_limit(programme, now, protected):
    add_rule(cap_member_points=50, cap_member_period="EVER")
    exceeded = 0
    for number in range(ROUNDS):
        user = factories.UserFactory()
        account = join_programme(user_id=user.pk, now=now)
        orders = [place(user, number=f"{number}-{n}", at=now) for n in range(SESSIONS)]
        before = given()
        with nullcontext() if protected else without_lock("services"):
            reward_at_once(orders, now=now)
        assert Entry.objects.filter(account=account, kind="EARN").count() == SESSIONS
        assert_ledger_balanced(account)
        exceeded += given() - before > 50
    assert bool(exceeded) is not protected


@pytest.mark.parametrize("protected", [True, False])
def test_many_members_ordering_at_once_get_no_more_than_the_budget(programme, now, protected):
    exceeded = 0
    for number in range(ROUNDS):
        EarningRule.objects.all().delete()
        add_rule(f"campaign-{number}", budget_points=100)
        RuleBudget.objects.create(programme_id=_programme_id(), rule_code=f"campaign-{number}")
        users = [factories.UserFactory() for _ in range(SESSIONS)]
        for user in users:
            join_programme(user_id=user.pk, now=now)
        orders = [place(user, number=f"{number}-{n}", at=now) for n, user in enumerate(users)]
        with nullcontext() if protected else without_lock("budgets"):
            reward_at_once(orders, now=now)
        got, budget = given(f"campaign-{number}"), RuleBudget.objects.get(rule_code=f"campaign-{number}")
        exceeded += got > 100 or budget.granted != got
    assert bool(exceeded) is not protected
    for account in Account.objects.all():
        assert_ledger_balanced(account)


def _programme_id():
    return ProgrammeVersion.objects.latest("number").programme_id


def test_orders_that_begin_a_budget_at_once_share_it(programme, now):
    add_rule(budget_points=100)
    users = [factories.UserFactory() for _ in range(SESSIONS)]
    for user in users:
        join_programme(user_id=user.pk, now=now)
    reward_at_once([place(user, number=n, at=now) for n, user in enumerate(users)], now=now)
    assert (given(), RuleBudget.objects.get().granted) == (100, 100)


def test_an_occasion_told_twice_at_once_is_rewarded_once(programme, now):
    add_rule("welcome", kind="BONUS", parameters={"points": 9, "per": "ORDER"}, occasion="PROFILE_COMPLETED")
    account = join_programme(user_id=factories.UserFactory().pk, now=now)
    tell = partial(
        reward_occasion, member_id=account.member_id, occasion="PROFILE_COMPLETED", ref="once", now=now
    )
    results = run_at_once([tell] * SESSIONS)
    assert sorted(one.is_new for one in results) == [False] * (SESSIONS - 1) + [True]
    assert given("welcome") == 9

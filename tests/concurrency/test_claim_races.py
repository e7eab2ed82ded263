"""Two members claim one guest's order at the same instant: one of them gets it."""

from contextlib import nullcontext
from datetime import timedelta
from functools import partial

import pytest
from django.db.models import QuerySet
from django.utils import timezone
from oscar.core.loading import get_model
from oscar.test import factories

from oscar_loyalty.flows import claims
from oscar_loyalty.flows.claims import Claimed, ClaimRefused, claim_by_token, make_token
from oscar_loyalty.flows.membership import join_programme
from oscar_loyalty.members.models import ClaimedOrder
from oscar_loyalty.points.models import Account, Entry
from oscar_loyalty.shop.orders import find_guest_order
from oscar_loyalty.testing.ledger import assert_ledger_balanced
from tests.flows.conftest import place_order
from tests.shop import world

from .hooks import in_another_session, run_after
from .race import run_at_once

pytestmark = [
    pytest.mark.database,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("row_locks"),
]

ROUNDS = 8
SESSIONS = 6


@pytest.fixture
def now():
    return timezone.now()


@pytest.fixture
def members(now):
    world.make_programme()
    users = [factories.UserFactory() for _ in range(SESSIONS)]
    for user in users:
        join_programme(user_id=user.pk, now=now - timedelta(days=1))
    return users


def make_link(number, *, now):
    order = place_order(user=None, number=str(number), guest_email="guest@example.com", at=now)
    return make_token(guest_order=find_guest_order(order_id=order.pk))


def test_of_members_who_claim_one_order_at_once_one_gets_it(members, now):
    for number in range(ROUNDS):
        token = make_link(number, now=now)
        results = run_at_once([partial(claim_by_token, token=token, user_id=u.pk, now=now) for u in members])
        won = [one for one in results if isinstance(one, Claimed)]
        lost = [one for one in results if isinstance(one, ClaimRefused)]
        assert ([one.is_new for one in won], {one.code for one in lost}) == (
            [True],
            {"order_already_claimed"},
        ), results
        assert len(lost) == SESSIONS - 1
        assert Entry.objects.filter(order_ref=str(number), kind="EARN").count() == 1
        assert ClaimedOrder.objects.filter(order_number=str(number)).count() == 1
    for account in Account.objects.all():
        assert_ledger_balanced(account)


def test_a_member_who_clicks_twice_at_once_claims_once(members, now):
    token = make_link(1, now=now)
    claim = partial(claim_by_token, token=token, user_id=members[0].pk, now=now)
    results = run_at_once([claim] * SESSIONS)
    assert sorted(one.is_new for one in results) == [False] * (SESSIONS - 1) + [True]
    assert Entry.objects.count() == 1


@pytest.mark.parametrize("protected", [True, False])
def test_it_is_the_orders_lock_that_makes_the_second_one_wait(members, now, monkeypatch, protected):
    """
    Without it, both find the order unclaimed, and only the constraint of the database is left: whoever
    loses gets an error of the database instead of an answer.
    """
    token = make_link(1, now=now)
    first, second = (partial(claim_by_token, token=token, user_id=user.pk, now=now) for user in members[:2])
    if not protected:
        monkeypatch.setattr(QuerySet, "select_for_update", lambda self, **_: self.all())
    with (
        nullcontext()
        if protected
        else run_after("oscar_loyalty.flows.claims:_waiting", partial(in_another_session, second))
    ):
        try:
            results = run_at_once([first, second]) if protected else [first()]
        except Exception as error:  # noqa: BLE001 - what was raised is the result
            results = [error]
    kinds = sorted(type(one).__name__ for one in results)
    assert kinds == (["ClaimRefused", "Claimed"] if protected else ["IntegrityError"])
    # The constraint keeps the points from being booked twice all the same.
    assert Entry.objects.filter(kind="EARN").count() == 1
    assert claims.ClaimedOrder.objects.count() == 1
    assert get_model("order", "Order").objects.get().user is None

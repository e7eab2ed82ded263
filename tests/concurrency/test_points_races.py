"""
What many processes do to the same points at the same instant, on every engine.

Each race has a twin without the locks that asserts that it goes wrong, or which constraint of the
database stops what the lock would have ordered: a race that cannot be lost proves nothing.
"""

from collections import Counter
from datetime import timedelta
from functools import partial

import pytest

from oscar_loyalty.members.models import Member
from oscar_loyalty.points import services
from oscar_loyalty.points.models import Account, Entry, Hold
from oscar_loyalty.programmes.models import Programme

from .ledger import (
    NOW,
    award,
    capture,
    hold,
    in_order,
    is_in_order,
    is_lost_without_row_locks,
    make_account,
    redeem,
    release,
)
from .processes import ROUNDS, kinds, run_in_processes

pytestmark = [
    pytest.mark.database,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("processes", "no_deadlock"),
]
MONTH = timedelta(days=40)


def went_wrong(results, *accounts):
    """Whether some process met the database's own refusal, or the ledger no longer adds up."""
    errors = {"IntegrityError", "OperationalError", "LedgerInconsistent"} & set(kinds(results))
    return bool(errors) or not all(is_in_order(account) for account in accounts)


# The same points for many


def three_times(account, number):
    """A shopper who orders three times in a row for 100 points each, until the points are gone."""
    outcomes = Counter()
    for attempt in range(3):
        try:
            redeem(account, 100, basket=f"{number}-{attempt}")
            outcomes["spent"] += 1
        except services.InsufficientPoints:
            outcomes["refused"] += 1
    return outcomes


@pytest.mark.parametrize("shoppers", [2, 8, 16])
def test_however_many_processes_redeem_no_more_is_spent_than_there_is(shoppers):
    for _ in range(ROUNDS):
        account = make_account(1000)
        results = run_in_processes([partial(three_times, account, number) for number in range(shoppers)])
        assert kinds(results) == {"Counter": shoppers}, results
        spent = min(10, 3 * shoppers)
        assert sum(results, Counter()) == Counter(spent=spent, refused=3 * shoppers - spent)
        assert in_order(account).spent == 100 * spent


def test_without_the_lock_the_same_points_are_wanted_twice():
    def race():
        account = make_account(1000)
        results = run_in_processes([partial(three_times, account, number) for number in range(8)])
        return went_wrong(results, account)

    assert is_lost_without_row_locks(race)


# One reservation


def test_a_hold_captured_for_many_orders_at_once_is_spent_once():
    for _ in range(ROUNDS):
        account = make_account(100)
        hold(account, 80)
        jobs = [partial(capture, account, 80, order=str(number)) for number in range(4)]
        assert kinds(run_in_processes(jobs)) == {"Entry": 1, "HoldNotOpen": 3}
        assert (in_order(account).available, account.spent) == (20, 80)


def test_without_the_lock_a_hold_is_captured_for_two_orders():
    def race():
        account = make_account(100)
        hold(account, 80)
        results = run_in_processes([partial(capture, account, 80, order=str(number)) for number in range(4)])
        return went_wrong(results, account)

    assert is_lost_without_row_locks(race)


def test_a_hold_that_is_captured_and_cancelled_at_once_ends_one_way():
    for _ in range(2 * ROUNDS):
        account = make_account(100)
        hold(account, 80)
        captured, released = run_in_processes([partial(capture, account, 80), partial(release, account)])
        in_order(account)
        if released == 80:
            assert isinstance(captured, services.HoldNotOpen)
            assert (account.available, account.spent) == (100, 0)
        else:
            assert (released, type(captured)) == (0, Entry)
            assert (account.available, account.spent) == (20, 80)


def test_without_the_lock_a_hold_is_captured_and_cancelled():
    def race():
        account = make_account(100)
        hold(account, 80)
        return went_wrong(
            run_in_processes([partial(capture, account, 80), partial(release, account)]), account
        )

    assert is_lost_without_row_locks(race)


def test_many_clicks_on_redeem_make_one_reservation():
    for _ in range(ROUNDS):
        account = make_account(1000)
        results = run_in_processes([partial(hold, account, 300)] * 8)
        assert len({reserved.pk for reserved in results}) == 1
        assert (in_order(account).available, account.held) == (700, 300)


def test_without_the_lock_a_basket_has_one_reservation_by_its_key_alone():
    def race():
        account = make_account(1000)
        return went_wrong(run_in_processes([partial(hold, account, 300)] * 8), account)

    assert is_lost_without_row_locks(race)


# Time against a decision


def test_points_that_expire_while_they_are_reserved_are_gone_or_reserved():
    for _ in range(ROUNDS):
        account = make_account(100, months=1)
        jobs = [partial(hold, account, 60, basket=str(number)) for number in range(2)]
        jobs += [partial(services.settle_account, account_id=account.pk, now=NOW + MONTH)] * 2
        results = run_in_processes(jobs)
        assert set(kinds(results)) <= {"Hold", "InsufficientPoints", "NoneType"}, results
        in_order(account)
        assert account.available + account.held + account.expired == 100
        assert account.held == sum(result.points for result in results[:2] if isinstance(result, Hold))


def test_without_the_lock_expired_points_are_reserved():
    def race():
        account = make_account(100, months=1)
        jobs = [partial(hold, account, 60)] * 2
        jobs += [partial(services.settle_account, account_id=account.pk, now=NOW + MONTH)] * 2
        return went_wrong(run_in_processes(jobs), account)

    assert is_lost_without_row_locks(race)


def test_points_that_become_spendable_while_they_are_taken_back_are_taken_back():
    for _ in range(ROUNDS):
        account = make_account(100, active_at=NOW + MONTH)
        results = run_in_processes(activation_against_clawback(account))
        assert not [result for result in results if isinstance(result, Exception)], results
        in_order(account)
        assert (account.pending, account.available, account.debt, account.reversed) == (0, 0, 0, 100)


def test_without_the_lock_points_become_spendable_after_they_were_taken_back():
    def race():
        account = make_account(100, active_at=NOW + MONTH)
        return went_wrong(run_in_processes(activation_against_clawback(account)), account)

    assert is_lost_without_row_locks(race)


def activation_against_clawback(account):
    earned = Entry.objects.get(account=account)
    settle = partial(services.settle_account, account_id=account.pk, now=NOW + MONTH)
    take_back = partial(services.clawback_points, account_id=account.pk, earned=earned, now=NOW)
    keys = ("cancel:1", "cancel:1", "cancel:2")
    return [settle, settle, *(partial(take_back, idempotency_key=key) for key in keys)]


# Once


def test_the_same_award_at_once_is_booked_once():
    for _ in range(ROUNDS):
        account = make_account(100)
        entries = run_in_processes([partial(award, account, 50, number=2)] * 8)
        assert len({entry.pk for entry in entries}) == 1
        assert in_order(account).available == 150


def test_without_the_lock_the_same_award_is_stopped_by_its_key_or_its_number():
    def race():
        account = make_account(100)
        results = run_in_processes([partial(award, account, 50, number=2)] * 8)
        # The constraints hold even then: one entry stands.
        assert Entry.objects.filter(account=account, idempotency_key="purchase:2").count() <= 1
        return went_wrong(results, account)

    assert is_lost_without_row_locks(race)


def test_two_clicks_on_join_make_one_account():
    programme, _ = Programme.objects.get_or_create(code="default", defaults={"name": "Points"})
    for _ in range(ROUNDS):
        member = Member.objects.create(joined_at=NOW, terms_version="1", terms_accepted_at=NOW)
        open_account = partial(services.open_account, member_id=member.pk, programme_id=programme.pk)
        accounts = run_in_processes([open_account] * 8)
        assert len({account.pk for account in accounts}) == 1
        assert Account.objects.filter(member=member).count() == 1

"""
Returns that are undone by many processes at once, or while their points expire, on every engine.

Each race has a twin without the locks that asserts that it goes wrong.
"""

from datetime import timedelta
from functools import partial

import pytest

from oscar_loyalty.points import services
from oscar_loyalty.points.models import Entry

from .ledger import NOW, in_order, is_in_order, is_lost_without_row_locks, make_account, redeem
from .processes import ROUNDS, kinds, run_in_processes

pytestmark = [
    pytest.mark.database,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("processes", "no_deadlock"),
]
MONTH = timedelta(days=40)


def clawed_back(points):
    """An account with 100 points, so many of which were taken back, and its clawback."""
    account = make_account(100, months=1)
    taken = services.clawback_points(
        account_id=account.pk,
        earned=Entry.objects.get(account=account, kind="EARN"),
        idempotency_key="return",
        points=points,
        now=NOW,
    )
    return account, taken


def withdrawals(account, taken, *, now=NOW):
    """The same return is withdrawn under three keys, by two clerks each."""
    undo = partial(services.undo_clawback, account_id=account.pk, clawback=taken, grace_days=30, now=now)
    return [partial(undo, idempotency_key=f"withdrawn:{number // 2}") for number in range(6)]


def went_wrong(results, account):
    errors = {"IntegrityError", "OperationalError", "LedgerInconsistent"} & set(kinds(results))
    return bool(errors) or not is_in_order(account)


def test_a_return_that_is_withdrawn_by_many_at_once_is_undone_once():
    for _ in range(ROUNDS):
        account, taken = clawed_back(60)
        results = run_in_processes(withdrawals(account, taken))
        assert kinds(results) == {"Entry": 2, "NoneType": 4}, results
        assert (in_order(account).available, account.reversed) == (100, 0)


def test_without_the_lock_a_return_is_undone_by_several():
    def race():
        account, taken = clawed_back(60)
        return went_wrong(run_in_processes(withdrawals(account, taken)), account)

    assert is_lost_without_row_locks(race)


def expiry_against_withdrawal(account, taken):
    settle = partial(services.settle_account, account_id=account.pk, now=NOW + MONTH)
    return [settle, settle, *withdrawals(account, taken, now=NOW + MONTH)]


def test_what_expires_while_it_is_given_again_lives_for_the_grace():
    for _ in range(ROUNDS):
        account, taken = clawed_back(60)
        results = run_in_processes(expiry_against_withdrawal(account, taken))
        assert kinds(results) == {"Entry": 2, "NoneType": 6}, results
        assert (in_order(account).available, account.expired, account.reversed) == (60, 40, 0)


def test_without_the_lock_points_expire_that_are_being_given_again():
    def race():
        account, taken = clawed_back(60)
        return went_wrong(run_in_processes(expiry_against_withdrawal(account, taken)), account)

    assert is_lost_without_row_locks(race)


def spent_and_returned():
    account = make_account(100)
    spent = redeem(account, 80, basket="1")
    returned = services.return_spend(
        account_id=account.pk, spent=spent, idempotency_key="return", grace_days=30, now=NOW
    )
    undo = partial(services.undo_spend_return, account_id=account.pk, returned=returned, now=NOW)
    jobs = [partial(undo, idempotency_key=f"withdrawn:{number // 2}") for number in range(4)]
    return account, [*jobs, partial(redeem, account, 50, basket="2")]


def test_what_is_spent_again_by_many_at_once_is_spent_once_and_owed_if_need_be():
    for _ in range(ROUNDS):
        account, jobs = spent_and_returned()
        *undone, other = run_in_processes(jobs)
        assert kinds(undone) == {"Entry": 2, "NoneType": 2}, undone
        bought = other.points if isinstance(other, Entry) else 0
        assert in_order(account).available - account.debt == 20 - bought


def test_without_the_lock_a_redemption_is_spent_again_by_several():
    def race():
        account, jobs = spent_and_returned()
        return went_wrong(run_in_processes(jobs), account)

    assert is_lost_without_row_locks(race)

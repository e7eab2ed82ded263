"""Two accounts at once: transfers and merges in both directions, with what undoes orders in between."""

from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from functools import partial

import pytest
from django.db import OperationalError, connection

from oscar_loyalty.members.models import Member
from oscar_loyalty.points import services
from oscar_loyalty.points.book import Book
from oscar_loyalty.points.models import Account, Entry
from oscar_loyalty.programmes.models import Programme
from oscar_loyalty.testing.ledger import assert_ledger_balanced, assert_moves_balanced

from .race import run_at_once
from .test_points_races import NOW

pytestmark = [
    pytest.mark.database,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("row_locks"),
]

ROUNDS = 5


def make_account(points=0, *, order="1"):
    programme, _ = Programme.objects.get_or_create(code="default", defaults={"name": "Points"})
    member = Member.objects.create(joined_at=NOW, terms_version="1", terms_accepted_at=NOW)
    account = services.open_account(member_id=member.pk, programme_id=programme.pk)
    if points:
        services.award_points(
            account_id=account.pk,
            points=points,
            idempotency_key=f"purchase:{order}",
            source_ref=f"order:{order}",
            order_ref=order,
            active_at=NOW,
            expiry_months=36,
            unit_value=Decimal("0.01"),
            currency="EUR",
            now=NOW,
        )
    return account


def balance(*accounts):
    assert_moves_balanced(accounts)
    for account in accounts:
        assert_ledger_balanced(account)
    return [(account.available, account.debt) for account in accounts]


@pytest.fixture(autouse=True)
def first_try_counts(monkeypatch):
    """A deadlock is a failure here, however well the next try may go."""
    monkeypatch.setattr("oscar_loyalty.transactions.RETRIES", 0)


def give(giver, receiver, points, *, key):
    return services.transfer_points(
        from_account_id=giver.pk,
        to_account_id=receiver.pk,
        points=points,
        idempotency_key=key,
        actor_ref="user:1",
        now=NOW,
    )


def give_in_both_directions(rounds):
    """Sixteen sessions swap points; returns what was raised."""
    raised = []
    for _ in range(rounds):
        one, two = make_account(1000), make_account(1000)
        jobs = [
            partial(give, *pair, 10, key=f"transfer:{number}")
            for number in range(8)
            for pair in ((one, two), (two, one))
        ]
        raised += [result for result in run_at_once(jobs) if isinstance(result, Exception)]
        balances = balance(one, two)
        assert sum(available for available, _debt in balances) == 2000
    return raised


@contextmanager
def locked_as_named(monkeypatch):
    """What the order of locks protects from: each session locks in the order in which it names accounts."""

    def open_all(cls, account_ids, *, now, actor_ref="system"):
        books = {pk: cls._lock(pk, now=now, actor_ref=actor_ref) for pk in account_ids}
        for book in books.values():
            book.settle()
        return books

    with monkeypatch.context() as patch:
        patch.setattr(Book, "open_all", classmethod(open_all))
        yield


def test_points_that_are_swapped_at_once_neither_deadlock_nor_vanish():
    assert give_in_both_directions(ROUNDS) == []


def test_they_deadlock_when_accounts_are_locked_in_any_order(monkeypatch):
    with locked_as_named(monkeypatch):
        raised = give_in_both_directions(3)
    assert any(isinstance(error, OperationalError) for error in raised)


def test_the_same_points_are_given_to_one_of_many():
    for _ in range(ROUNDS):
        giver = make_account(100)
        receivers = [make_account() for _ in range(8)]
        results = run_at_once(
            [partial(give, giver, receiver, 100, key=f"t:{receiver.pk}") for receiver in receivers]
        )
        kinds = sorted(type(result).__name__ for result in results)
        assert kinds == ["InsufficientPoints"] * 7 + ["tuple"]
        assert sum(available for available, _ in balance(giver, *receivers)) == 100


def merge(source, target, *, key="merge:1"):
    return services.merge_accounts(
        source_id=source.pk, target_id=target.pk, idempotency_key=key, actor_ref="user:1", now=NOW
    )


def test_two_accounts_merged_into_each_other_at_once_become_one():
    for _ in range(ROUNDS):
        one, two = make_account(100, order="1"), make_account(50, order="2")
        jobs = [partial(merge, *pair) for _ in range(4) for pair in ((one, two), (two, one))]
        results = run_at_once(jobs)
        assert {type(result).__name__ for result in results} == {"UUID", "AccountNotOpen"}
        assert sorted(balance(one, two)) == [(0, 0), (150, 0)]
        assert Account.objects.filter(pk__in=[one.pk, two.pk], status="MERGED").count() == 1


@pytest.fixture
def second_tries_where_savepoints_keep_locks(monkeypatch, first_try_counts):
    """
    Whoever finds that an account was merged meanwhile lets go of it and locks both in order. MariaDB keeps
    a row lock that was taken after a savepoint, so that two may wait in a circle there; the one that the
    database ends is tried again.
    """
    if connection.vendor == "mysql":
        monkeypatch.setattr("oscar_loyalty.transactions.RETRIES", 5)


@pytest.mark.usefixtures("second_tries_where_savepoints_keep_locks")
@pytest.mark.parametrize("source_is_older", [True, False])
def test_orders_undone_while_their_accounts_merge_are_undone_once(source_is_older):
    """Clawback and return, each twice, against the merge and its repetition, from both sides."""
    for number in range(ROUNDS):
        first, second = make_account(), make_account()
        source, target = (first, second) if source_is_older else (second, first)
        earned = services.award_points(
            account_id=source.pk,
            points=100,
            idempotency_key="purchase:1",
            source_ref="order:1",
            active_at=NOW,
            expiry_months=36,
            unit_value=Decimal("0.01"),
            currency="EUR",
            now=NOW,
        )
        ref = f"basket:{source.pk}-{number}"
        services.hold_points(
            account_id=source.pk,
            ref=ref,
            requested=60,
            currency="EUR",
            expires_at=NOW + timedelta(minutes=30),
            now=NOW,
        )
        spent = services.capture_hold(
            ref=ref, points=60, amount=Decimal("0.60"), order_ref=f"{source.pk}-{number}", now=NOW
        )
        back = partial(
            services.return_spend,
            account_id=source.pk,
            spent=spent,
            idempotency_key="undo",
            grace_days=30,
            now=NOW,
        )
        away = partial(
            services.clawback_points, account_id=source.pk, earned=earned, idempotency_key="claw", now=NOW
        )
        join = partial(merge, source, target)
        results = run_at_once([back, join, away, back, away, join, back, away])
        assert not [result for result in results if isinstance(result, Exception)], results
        assert balance(source, target) == [(0, 0), (0, 0)]
        assert Entry.objects.filter(reverses=earned).count() == 1
        assert Entry.objects.filter(reverses=spent).count() == 1

"""
Two accounts at once, by processes: transfers and merges in both directions.

Twins without the order of locks, which must meet deadlocks, and without locks at all.
"""

from contextlib import contextmanager
from functools import partial
from unittest import mock

import pytest
from django.db import connection

from oscar_loyalty.points import services
from oscar_loyalty.points.book import Book
from oscar_loyalty.points.models import Account
from oscar_loyalty.testing.ledger import assert_moves_balanced

from .ledger import NOW, in_order, is_in_order, is_lost_without_row_locks, make_account
from .processes import ROUNDS, deadlocks, kinds, run_in_processes

pytestmark = [
    pytest.mark.database,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("processes"),
]


def give(giver, receiver, times, name):
    """``times`` transfers of 10 points, one after the other."""
    for number in range(times):
        services.transfer_points(
            from_account_id=giver.pk,
            to_account_id=receiver.pk,
            points=10,
            idempotency_key=f"transfer:{name}-{number}",
            actor_ref="user:1",
            now=NOW,
        )


def swap(one, two, *, processes=8, times=3):
    """Half of the processes give from one to two, the other half back."""
    pairs = [(one, two), (two, one)] * (processes // 2)
    return run_in_processes([partial(give, *pair, times, number) for number, pair in enumerate(pairs)])


def merge(source, target):
    return services.merge_accounts(
        source_id=source.pk,
        target_id=target.pk,
        idempotency_key=f"merge:{source.pk}",
        actor_ref="user:1",
        now=NOW,
    )


@contextmanager
def locked_as_named():
    """Everybody locks accounts in the order in which they think of them, and thinks in between."""
    lock = Book._lock

    def open_all(cls, account_ids, *, now, actor_ref="system"):
        books = {}
        for pk in account_ids:
            books[pk] = lock(pk, now=now, actor_ref=actor_ref)
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_sleep(0.05)" if connection.vendor == "postgresql" else "SELECT SLEEP(0.05)"
                )
        for book in books.values():
            book.settle()
        return books

    with (
        mock.patch.object(Book, "open_all", classmethod(open_all)),
        # Whoever is ended by the database would try again, and only PostgreSQL counts.
        mock.patch("oscar_loyalty.transactions.RETRIES", 0),
    ):
        yield


def test_points_that_are_swapped_at_once_neither_vanish_nor_wait_in_a_circle(no_deadlock):
    for _ in range(ROUNDS):
        one, two = make_account(1000), make_account(1000)
        assert kinds(swap(one, two)) == {"NoneType": 8}
        assert in_order(one).available + in_order(two).available == 2000
        assert_moves_balanced([one, two])


def test_without_the_order_of_locks_they_wait_in_a_circle(row_locks):
    one, two = make_account(1000), make_account(1000)
    for _ in range(10):
        before = deadlocks()
        with locked_as_named():
            results = swap(one, two, times=1)
        assert is_in_order(one)
        assert is_in_order(two)
        if deadlocks() > before or "OperationalError" in kinds(results):
            return
    pytest.fail("nobody waited in a circle")


def test_without_locks_swapped_points_vanish_or_are_refused():
    def race():
        one, two = make_account(1000), make_account(1000)
        results = swap(one, two)
        return set(kinds(results)) != {"NoneType"} or not (is_in_order(one) and is_in_order(two))

    assert is_lost_without_row_locks(race)


def test_accounts_merged_into_each_other_at_once_become_one(no_deadlock):
    for _ in range(ROUNDS):
        one, two = make_account(100), make_account(50)
        results = run_in_processes([partial(merge, *pair) for pair in ((one, two), (two, one)) * 3])
        assert set(kinds(results)) == {"UUID", "AccountNotOpen"}, results
        assert sorted(in_order(account).available for account in (one, two)) == [0, 150]
        assert sorted(account.status for account in (one, two)) == ["MERGED", "OPEN"]
        assert_moves_balanced([one, two])


def test_without_locks_both_accounts_are_merged_into_the_other():
    def race():
        one, two = make_account(100), make_account(50)
        results = run_in_processes([partial(merge, *pair) for pair in ((one, two), (two, one)) * 3])
        merged = Account.objects.filter(pk__in=[one.pk, two.pk], status="MERGED").count()
        return set(kinds(results)) != {"UUID", "AccountNotOpen"} or merged != 1 or not is_in_order(one)

    assert is_lost_without_row_locks(race)

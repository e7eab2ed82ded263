"""What the database ends for the sake of another transaction is tried again, by whoever began it."""

import sqlite3
import threading
import time
from datetime import timedelta
from functools import partial

import pytest
from django.db import OperationalError, connection, transaction

from oscar_loyalty import transactions
from oscar_loyalty.points import services
from oscar_loyalty.points.models import Account, Entry
from oscar_loyalty.testing.ledger import assert_ledger_balanced
from oscar_loyalty.transactions import atomic_with_retries, is_passing

from .race import run_at_once
from .test_points_races import NOW, make_account


def on_servers(test):
    for mark in (
        pytest.mark.usefixtures("row_locks"),
        pytest.mark.django_db(transaction=True),
        pytest.mark.database,
    ):
        test = mark(test)
    return test


def lock(account):
    Account.objects.select_for_update().get(pk=account.pk)


class Crossing:
    """Two transactions that lock the same two rows in opposite order, and meet in the middle."""

    def __init__(self, first, second):
        self.pair = (first, second)
        self.meeting = threading.Barrier(2)
        self.calls = 0

    def go(self, *, backwards):
        self.calls += 1
        met = self.calls > 2
        first, second = reversed(self.pair) if backwards else self.pair
        lock(first)
        if not met:
            self.meeting.wait(timeout=20)
        lock(second)
        return "done"

    def race(self, atomic):
        return run_at_once([partial(atomic(self.go), backwards=backwards) for backwards in (False, True)])


@on_servers
def test_a_deadlock_ends_well_for_both():
    crossing = Crossing(make_account(100), make_account(100))
    assert crossing.race(atomic_with_retries) == ["done", "done"]
    assert crossing.calls == 3


@on_servers
def test_a_deadlock_ends_badly_for_one_without_another_try():
    crossing = Crossing(make_account(100), make_account(100))
    results = crossing.race(transaction.atomic)
    [error] = [result for result in results if result != "done"]
    assert isinstance(error, OperationalError)
    assert is_passing(error)


@on_servers
def test_within_a_transaction_of_the_caller_nothing_is_tried_again():
    crossing = Crossing(make_account(100), make_account(100))

    def within(function):
        def caller(**arguments):
            with transaction.atomic():
                return atomic_with_retries(function)(**arguments)

        return caller

    results = crossing.race(within)
    assert sorted(type(result).__name__ for result in results) == ["OperationalError", "str"]
    assert crossing.calls == 2


@on_servers
def test_a_lock_that_is_held_for_too_long_is_waited_for_again_or_given_up_for_good():
    """MariaDB ends a wait after innodb_lock_wait_timeout, and we wait again. On PostgreSQL the fast path
    waits for three seconds; then the caller hears of it and its transaction can go on."""
    account = make_account(100)
    held, released = threading.Event(), threading.Event()

    def hold_the_lock():
        with transaction.atomic():
            lock(account)
            held.set()
            if connection.vendor == "mysql":
                time.sleep(1.5)
            else:
                released.wait(timeout=20)

    def book():
        held.wait(timeout=20)
        if connection.vendor == "mysql":
            with connection.cursor() as cursor:
                cursor.execute("SET SESSION innodb_lock_wait_timeout = 1")
            return reserve()
        try:
            with transaction.atomic():
                started = time.monotonic()
                with pytest.raises(OperationalError, match="lock timeout"):
                    reserve()
                assert 2.5 < time.monotonic() - started < 10
                return Entry.objects.filter(account=account).count()
        finally:
            released.set()

    def reserve():
        return services.hold_points(
            account_id=account.pk,
            ref="basket:1",
            requested=10,
            currency="EUR",
            expires_at=NOW + timedelta(hours=1),
            now=NOW,
        ).points

    _, booked = run_at_once([hold_the_lock, book])
    assert booked == (10 if connection.vendor == "mysql" else 2)
    assert_ledger_balanced(account)


def test_it_is_tried_five_times_again_and_no_more(monkeypatch, tmp_path, db):
    busy = OperationalError("busy")
    busy.__cause__ = busy_sqlite(tmp_path / "shop.sqlite3")
    monkeypatch.setattr(transactions, "connection", Outermost())
    monkeypatch.setattr(transactions.time, "sleep", lambda seconds: None)
    calls = []

    @atomic_with_retries
    def book():
        calls.append(1)
        raise busy

    with pytest.raises(OperationalError):
        book()
    assert len(calls) == 6


def test_an_error_that_will_not_pass_is_raised_at_once(monkeypatch, db):
    monkeypatch.setattr(transactions, "connection", Outermost())
    calls = []

    @atomic_with_retries
    def book():
        calls.append(1)
        raise OperationalError("the server is gone")

    with pytest.raises(OperationalError):
        book()
    assert len(calls) == 1


class Outermost:
    in_atomic_block = False


def busy_sqlite(file):
    """What SQLite says when another connection is writing."""
    writer = sqlite3.connect(file, isolation_level=None)
    other = sqlite3.connect(file, isolation_level=None, timeout=0)
    writer.execute("BEGIN IMMEDIATE")
    try:
        other.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        return error
    finally:
        writer.close()
        other.close()
    raise AssertionError("both may write")

"""Audits, sweeps and settling by several processes, while a shop goes on booking."""

import itertools
import multiprocessing
import os
import re
import signal
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from importlib import import_module

import pytest
from django.db import connection

from oscar_loyalty.flows.auditing import audit_ledger
from oscar_loyalty.flows.expiry import end_expired_holds, settle_due_accounts
from oscar_loyalty.members.models import Member
from oscar_loyalty.outbox.models import OutboxMessage
from oscar_loyalty.outbox.services import relay_messages
from oscar_loyalty.points import services
from oscar_loyalty.points.audit import audit_account, reading
from oscar_loyalty.points.models import Account, Entry, Hold
from oscar_loyalty.points.settling import has_function
from oscar_loyalty.processes import share_work
from oscar_loyalty.programmes.models import Programme

from .processes import results_of, run_in_processes, start_processes

pytestmark = [
    pytest.mark.database,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("row_locks"),
]

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
SHOPS = itertools.count()


def make_accounts(count, *, lots=2):
    programme, _ = Programme.objects.get_or_create(code="default", defaults={"name": "Points"})
    accounts = []
    for number in range(count):
        member = Member.objects.create(joined_at=NOW, terms_version="1", terms_accepted_at=NOW)
        account = services.open_account(member_id=member.pk, programme_id=programme.pk)
        for lot in range(lots):
            award(account, f"{number}-{lot}")
        accounts.append(account)
    return accounts


def award(account, number, *, now=NOW, active_at=NOW + DAY):
    services.award_points(
        account_id=account.pk,
        points=100,
        idempotency_key=f"purchase:{number}",
        source_ref=f"order:{number}",
        active_at=active_at,
        expiry_months=12,
        unit_value=Decimal("0.01"),
        currency="EUR",
        now=now,
    )


def install_function():
    if connection.vendor == "postgresql":
        for name in ("0003_postgresql_functions", "0004_settling_functions"):
            with connection.cursor() as cursor:
                cursor.execute(import_module(f"oscar_loyalty.migrations.{name}").SQL.read_text())


@contextmanager
def a_busy_shop(accounts):
    """
    Members earn, reserve and spend all the time. In processes: what forks beside a thread takes a copy
    of its connection along, and the client of MariaDB says goodbye on the copy.
    """
    shop, stop = next(SHOPS), multiprocessing.get_context("fork").Event()

    def book(process):
        for number in itertools.count(process, 2):
            if stop.is_set():
                return
            account = accounts[number % len(accounts)]
            basket = f"basket:{shop}-{number}"
            award(account, f"busy-{shop}-{number}", active_at=NOW)
            services.hold_points(
                account_id=account.pk,
                ref=basket,
                requested=60,
                currency="EUR",
                expires_at=NOW + DAY,
                now=NOW,
            )
            services.capture_hold(
                ref=basket, points=60, amount=Decimal(1), order_ref=f"{shop}-{number}", now=NOW
            )

    workers = start_processes([partial(book, number) for number in range(2)])
    try:
        yield
    finally:
        stop.set()
        assert results_of(workers) == [None, None]


def findings_under_load(accounts, *, seconds=4):
    found, audits = [], 0
    with a_busy_shop(accounts):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for account in accounts:
                found += audit_account(account.pk)
                audits += 1
    assert audits > 5
    return found


def test_an_audit_of_accounts_that_are_booked_on_finds_nothing():
    accounts = make_accounts(2)
    assert findings_under_load(accounts) == []
    assert Entry.objects.filter(kind="SPEND").count() > 10


def test_without_a_snapshot_it_would_find_what_is_not_there(monkeypatch):
    @contextmanager
    def no_view(account_id=None):
        yield

    monkeypatch.setattr(reading, "consistent_view", no_view)
    accounts = make_accounts(1)
    assert any(findings_under_load(accounts, seconds=2) for _ in range(30))


def test_a_whole_audit_by_two_processes_beside_a_busy_shop_is_clean():
    accounts = make_accounts(250, lots=1)
    with a_busy_shop(accounts[:3]):
        run = audit_ledger(clock=lambda: NOW + DAY, processes=2)
    assert (run.accounts, run.findings) == (250, 0)
    assert run.shards.count() > 1


def test_an_audit_whose_process_was_killed_is_resumed(monkeypatch):
    make_accounts(40, lots=1)
    monkeypatch.setattr(reading, "PIECE", 4)
    Account.objects.filter(pk=Account.objects.order_by("pk")[30].pk).update(earned=150, spent=50)

    def audit_until_killed():
        from oscar_loyalty.points.audit import runs

        store, steps = runs._store, []

        def store_and_die(*args):
            steps.append(store(*args))
            if len(steps) == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            return steps[-1]

        runs._store = store_and_die
        audit_ledger(clock=lambda: NOW)

    assert share_work(audit_until_killed, processes=1) == 1
    run = audit_ledger(clock=lambda: NOW, resume=True)
    assert (run.accounts, run.entries, run.findings) == (40, 40, 2)
    assert type(run).objects.count() == 1


@pytest.mark.parametrize("by_function", [True, False], ids=["in batches", "one by one"])
def test_three_processes_settle_everything_once(by_function, settings):
    settings.OSCAR_LOYALTY_FAST_PATH = by_function
    install_function()
    accounts = make_accounts(60)
    assert settle_due_accounts(now=NOW + 2 * DAY, processes=3) == 60
    assert settle_due_accounts(now=NOW + 2 * DAY, processes=3) == 0
    assert set(Account.objects.values_list("available", "pending")) == {(200, 0)}
    assert settle_due_accounts(now=NOW + 800 * DAY, processes=3) == 60
    assert set(Account.objects.values_list("available", "expired", "seq")) == {(0, 200, 6)}
    assert all(audit_account(account.pk, announced_since=NOW) == [] for account in accounts)


def test_processes_that_settle_take_turns_with_a_busy_shop(settings):
    settings.OSCAR_LOYALTY_FAST_PATH = True
    install_function()
    accounts = make_accounts(30)
    with a_busy_shop(accounts):
        settle_due_accounts(now=NOW + 2 * DAY, processes=2)
        time.sleep(1)
    while settle_due_accounts(now=NOW + 2 * DAY):
        pass
    found = {account.pk: audit_account(account.pk) for account in accounts}
    assert not any(found.values()), found


def slow_function(*, locks_first):
    """The function, with a second between what it sees of the accounts and their locks."""
    sql = import_module("oscar_loyalty.migrations.0004_settling_functions").SQL.read_text()
    locking = re.search(r"SELECT array_agg.*?\n\) due;\n", sql, re.DOTALL)[0]
    reads = "WHERE a.id = ANY (account_ids)"
    assert (locking.count("WHERE"), sql.count(reads)) == (1, 1)
    slow = locking.replace("WHERE", "WHERE (SELECT pg_sleep(1) IS NOT NULL) AND")
    if locks_first:
        return sql.replace(locking, slow)
    in_one = slow[slow.index("WHERE") : slow.index(") due;")]
    return sql.replace(locking, "").replace(reads, in_one)


@pytest.mark.parametrize("locks_first", [True, False], ids=["locks first", "in one statement"])
def test_what_is_booked_before_an_account_is_locked_is_not_forgotten(settings, locks_first):
    """In one statement new accounts would be settled with old lots: the twin shows what goes wrong."""
    if connection.vendor != "postgresql":
        assert not has_function()
        return
    settings.OSCAR_LOYALTY_FAST_PATH = True
    (account,) = make_accounts(1)
    soon = NOW + 5 * DAY

    def buy():
        time.sleep(0.5)
        award(account, "meanwhile", active_at=soon)

    with connection.cursor() as cursor:
        cursor.execute(slow_function(locks_first=locks_first))
    try:
        run_in_processes([partial(settle_due_accounts, now=NOW + 2 * DAY), buy])
    finally:
        install_function()
    account.refresh_from_db()
    assert (account.available, account.pending) == (200, 100)
    assert (account.due_at == soon) == locks_first
    assert (audit_account(account.pk) == []) == locks_first


def test_sweeps_at_once_end_each_reservation_once():
    accounts = make_accounts(12, lots=1)
    settle_due_accounts(now=NOW + DAY)
    for number, account in enumerate(accounts):
        services.hold_points(
            account_id=account.pk,
            ref=f"basket:{number}",
            requested=40,
            currency="EUR",
            expires_at=NOW + 2 * DAY,
            now=NOW + DAY,
        )
    assert share_work(_end_holds, processes=3) == 0
    end_expired_holds(now=NOW + 3 * DAY)
    assert set(Hold.objects.values_list("state", flat=True)) == {"EXPIRED"}
    assert Entry.objects.filter(kind="RELEASE").count() == 12
    found = {account.pk: audit_account(account.pk) for account in accounts}
    assert not any(found.values()), found


def _end_holds():
    end_expired_holds(now=NOW + 3 * DAY)


def test_relays_at_once_send_each_message_once():
    make_accounts(20, lots=2)
    waiting = OutboxMessage.objects.filter(waiting=True).count()
    assert waiting >= 40
    assert share_work(_relay_all, processes=3) == 0
    while relay_messages(now=NOW + DAY):
        pass
    assert not OutboxMessage.objects.filter(waiting=True).exists()
    assert set(OutboxMessage.objects.values_list("attempts", flat=True)) == {1}


def _relay_all():
    while relay_messages(now=NOW + DAY, limit=3):
        pass

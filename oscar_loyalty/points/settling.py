"""
Due accounts brought up to date in batches. On PostgreSQL a batch is one statement (see
``migrations/sql/settling_functions.sql``); elsewhere, and for accounts that are not plain, an account is
one transaction. Several processes may do this at once: what one has locked the others pass over.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import DatabaseError, connection, transaction

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.points.book import Book
from oscar_loyalty.points.models import Account, Hold
from oscar_loyalty.points.services.spending import release_hold

logger = logging.getLogger(__name__)

#: Accounts in one call and transaction.
BATCH = 1000
#: Accounts whose ids are read at once where each is settled on its own.
_PORTABLE_BATCH = 200
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Settled:
    """Accounts looked at in one batch, and those among them that failed, which the log explains."""

    accounts: int
    failed: int = 0


def settle_in_batches(*, now: datetime, batch: int | None = None) -> Iterator[Settled]:
    """
    Settle the accounts that are due, longest overdue first, once each. Safe to stop after any batch, to
    run twice and in parallel; one account's error stops no other account.
    """
    if has_function():
        yield from _settle_by_function(now=now, batch=batch or BATCH)
    else:
        yield from _settle_one_by_one(now=now, batch=batch or _PORTABLE_BATCH)


def has_function() -> bool:
    """Whether the database has the function that settles a batch, and the shop wants it."""
    if connection.vendor != "postgresql" or not loyalty_settings.fast_path:
        return False
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regproc('oscar_loyalty_settle_1') IS NOT NULL")
        return bool(cursor.fetchone()[0])


def _settle_by_function(*, now: datetime, batch: int) -> Iterator[Settled]:
    due_at, pk = _LONG_AGO, 0
    while True:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(
                    "SELECT * FROM oscar_loyalty_settle_1(%s, %s, %s, %s)", [now, due_at, pk, batch]
                )
                settled, _activated, _expired, left, next_due_at, next_pk = cursor.fetchone()
        except DatabaseError:
            # One account of them is at fault; the others need not wait for it.
            logger.exception("A batch could not be settled at once; its accounts are settled one by one")
            due = _next_due(now=now, due_at=due_at, pk=pk, batch=batch)
            settled, left = 0, [account_id for _, account_id in due]
            next_due_at, next_pk = due[-1] if due else (None, None)
        # Not plain: a deficit is repaid, reservations keep what expires first.
        failed = sum(not _settle_portably(account_id, now=now) for account_id in left)
        if next_due_at is None:
            return
        due_at, pk = next_due_at, next_pk
        yield Settled(accounts=settled + len(left) - failed, failed=failed)


def _settle_one_by_one(*, now: datetime, batch: int) -> Iterator[Settled]:
    due_at, pk = _LONG_AGO, 0
    while rows := _next_due(now=now, due_at=due_at, pk=pk, batch=batch):
        due_at, pk = rows[-1]
        failed = sum(not _settle_portably(account_id, now=now) for _, account_id in rows)
        yield Settled(accounts=len(rows) - failed, failed=failed)


def _next_due(*, now: datetime, due_at: datetime, pk: int, batch: int) -> list[tuple[datetime, int]]:
    """Moments and ids of the next due accounts after one of them."""
    due = Account.objects.filter(due_at__lte=now).order_by("due_at", "pk").values_list("due_at", "pk")
    # In two steps, each of which every engine reads off the index.
    rows = list(due.filter(due_at=due_at, pk__gt=pk)[:batch])
    if len(rows) < batch:
        rows += due.filter(due_at__gt=due_at)[: batch - len(rows)]
    return rows


def _settle_portably(account_id: int, *, now: datetime) -> bool:
    """Settle one account unless somebody else has it; ``False`` when that failed, which is logged."""
    try:
        with transaction.atomic():
            if _lock_unless_taken(account_id, due_at__lte=now):
                Book.open(account_id, now=now)
    except Exception:
        logger.exception("Account %s could not be settled", account_id)
        return False
    return True


@transaction.atomic
def end_hold(*, ref: str, account_id: int, now: datetime) -> bool:
    """
    End the reservation of ``ref`` because its time is over; ``False`` when it has ended, or when
    somebody is booking on the account at this moment: then it may be wanted after all.
    """
    if not _lock_unless_taken(account_id):
        return False
    return bool(release_hold(ref=ref, now=now, state=Hold.State.EXPIRED))


def _lock_unless_taken(account_id: int, **condition: object) -> bool:
    """Where the engine cannot pass over locked rows it waits for them."""
    locks = Account.objects.select_for_update(
        skip_locked=connection.features.has_select_for_update_skip_locked,
        no_key=connection.features.has_select_for_no_key_update,
    )
    return locks.filter(pk=account_id, **condition).values_list("pk").first() is not None

"""Accounts to race for, and the protections that a twin of a race does without."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from unittest import mock

from django.db import connection
from django.db.models import QuerySet
from django.test import override_settings

from oscar_loyalty.members.models import Member
from oscar_loyalty.points import services
from oscar_loyalty.points.book import Book
from oscar_loyalty.points.models import Account, Entry, Hold
from oscar_loyalty.programmes.models import Programme
from oscar_loyalty.testing.ledger import assert_ledger_balanced

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
HALF_AN_HOUR = timedelta(minutes=30)


def make_account(points: int = 0, *, active_at: datetime = NOW, months: int = 36) -> Account:
    """An account of a member of its own with ``points`` of one order, whose entry is ``purchase:1``."""
    programme, _ = Programme.objects.get_or_create(code="default", defaults={"name": "Points"})
    member = Member.objects.create(joined_at=NOW, terms_version="1", terms_accepted_at=NOW)
    account = services.open_account(member_id=member.pk, programme_id=programme.pk)
    if points:
        award(account, points, active_at=active_at, months=months)
    return account


def award(
    account: Account, points: int, *, number: int = 1, active_at: datetime = NOW, months: int = 36
) -> Entry:
    return services.award_points(
        account_id=account.pk,
        points=points,
        idempotency_key=f"purchase:{number}",
        source_ref=f"order:{number}",
        active_at=active_at,
        expiry_months=months,
        unit_value=Decimal("0.01"),
        currency="EUR",
        now=NOW,
    )


def hold(account: Account, points: int, *, basket: str = "1", now: datetime = NOW) -> Hold:
    """A reservation; baskets and orders are numbered within the account."""
    return services.hold_points(
        account_id=account.pk,
        ref=f"basket:{account.pk}-{basket}",
        requested=points,
        currency="EUR",
        expires_at=now + HALF_AN_HOUR,
        now=now,
    )


def capture(
    account: Account, points: int, *, basket: str = "1", order: str = "1", now: datetime = NOW
) -> Entry:
    return services.capture_hold(
        ref=f"basket:{account.pk}-{basket}",
        points=points,
        amount=Decimal(points) / 100,
        order_ref=f"{account.pk}-{order}",
        now=now,
    )


def release(account: Account, *, basket: str = "1", now: datetime = NOW) -> int:
    return services.release_hold(ref=f"basket:{account.pk}-{basket}", now=now)


def redeem(account: Account, points: int, *, basket: str) -> Entry:
    """A basket that is filled and ordered; all of ``points`` or what there is."""
    reserved = hold(account, points, basket=basket)
    return capture(account, reserved.points, basket=basket, order=basket)


def in_order(account: Account) -> Account:
    """The account as it is now, replayed from its first entry."""
    account.refresh_from_db()
    assert_ledger_balanced(account)
    return account


def is_in_order(account: Account) -> bool:
    try:
        in_order(account)
    except AssertionError:
        return False
    return True


@contextmanager
def without_row_locks(*, dawdle: float = 0.02) -> Iterator[None]:
    """Nobody waits for anybody, and everybody thinks for a moment about what they have read."""
    settle = Book.settle

    def dawdling(self: Book, *, again: bool = False) -> None:
        time.sleep(dawdle)
        settle(self, again=again)

    with ExitStack() as stack:
        if connection.vendor == "sqlite":
            # Here the lock is taken by BEGIN IMMEDIATE.
            options = connection.settings_dict["OPTIONS"]
            stack.enter_context(mock.patch.dict(options, transaction_mode="DEFERRED", timeout=0.2))
            # Whoever is refused the file tries again, and would find it free.
            stack.enter_context(mock.patch("oscar_loyalty.transactions.RETRIES", 0))
        # The fast path has its locks in the database.
        stack.enter_context(override_settings(OSCAR_LOYALTY_FAST_PATH=False))
        stack.enter_context(mock.patch.object(QuerySet, "select_for_update", lambda self, **_: self.all()))
        stack.enter_context(mock.patch.object(Book, "settle", dawdling))
        yield


def is_lost_without_row_locks(race: Callable[[], bool]) -> bool:
    """
    Whether the race goes wrong, as it tells itself, in one of a few tries. Each of them thinks longer
    than the one before: on a busy machine the others need longer to come in between.
    """
    for dawdle in (0.02, 0.1, 0.3, 1, 3):
        with without_row_locks(dawdle=dawdle):
            if race():
                return True
    return False

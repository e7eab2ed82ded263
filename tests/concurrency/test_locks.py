"""
Each lock of the ledger is needed: without that one alone, its race goes wrong.

Not on SQLite, whose lock is taken when a transaction begins (``test_points_races`` does without it).
"""

import ast
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.contrib.auth import get_user_model
from django.db.models import QuerySet

import oscar_loyalty.points
from oscar_loyalty.points import services
from oscar_loyalty.points.models import Adjustment
from oscar_loyalty.points.services.backfilling import Award, award_many

from .ledger import NOW, is_in_order, make_account, redeem
from .processes import kinds, run_in_processes

pytestmark = [
    pytest.mark.database,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("row_locks", "processes"),
]
REFUSED = {"IntegrityError", "OperationalError", "LedgerInconsistent"}


@contextmanager
def without_lock_in(site: str, *, dawdle: float) -> Iterator[None]:
    """One function locks nothing, and thinks for a moment about what it has read."""
    lock, get, first = QuerySet.select_for_update, QuerySet.get, QuerySet.first

    def select_for_update(self: Any, **options: Any) -> Any:
        # Called by the function, or by the manager that it called.
        callers = (sys._getframe(1).f_code.co_qualname, sys._getframe(2).f_code.co_qualname)
        if site in callers:
            return self.all()
        if {"Book._lock", "Book.open_many", "lock_accounts"}.isdisjoint(callers):
            time.sleep(dawdle / 3)  # so that the others come while it thinks, and not before
        return lock(self, **options)

    def dawdling_get(self: Any, *args: Any, **kwargs: Any) -> Any:
        caller = sys._getframe(1).f_code.co_qualname
        try:
            return get(self, *args, **kwargs)
        finally:
            if caller in (site, "QuerySet.get_or_create"):
                time.sleep(dawdle)

    def dawdling_first(self: Any) -> Any:
        found = first(self)
        if sys._getframe(1).f_code.co_qualname == site:
            time.sleep(dawdle)
        return found

    with (
        mock.patch("django.conf.settings.OSCAR_LOYALTY_FAST_PATH", False, create=True),
        mock.patch.object(QuerySet, "select_for_update", select_for_update),
        mock.patch.object(QuerySet, "get", dawdling_get),
        mock.patch.object(QuerySet, "first", dawdling_first),
    ):
        yield


def clerk() -> Any:
    return get_user_model().objects.get_or_create(username="clerk", email="clerk@example.com")[0]


def terms() -> dict[str, Any]:
    return {"expiry_months": 36, "unit_value": 1, "currency": "EUR", "actor_id": clerk().pk, "now": NOW}


def wish(account: Any) -> Callable[[], Adjustment]:
    return partial(
        services.request_adjustment,
        account_id=account.pk,
        points=50,
        reason_code="GOODWILL",
        actor_id=clerk().pk,
        now=NOW,
    )


def spending() -> bool:
    account = make_account(100)
    results = run_in_processes([partial(redeem, account, 100, basket=str(n)) for n in range(6)])
    return bool(REFUSED & set(kinds(results))) or not is_in_order(account)


def asking() -> bool:
    account = make_account(100)
    run_in_processes([wish(account)] * 4)
    return Adjustment.objects.filter(account=account).count() > 1


def deciding() -> bool:
    """One books, one rejects; whether both believe to have decided, or the decision is not what was done."""
    account = make_account(100)
    adjustment = wish(account)()
    book = partial(services.book_adjustment, adjustment=adjustment, **terms())
    reject = partial(services.reject_adjustment, adjustment=adjustment, actor_id=clerk().pk, now=NOW)
    booked, rejected = run_in_processes([book, reject])
    adjustment.refresh_from_db()
    account.refresh_from_db()
    both = isinstance(booked, Adjustment) and getattr(rejected, "state", "") == "REJECTED"
    return both or (adjustment.state == "BOOKED") != (account.available == 150)


def undoing() -> bool:
    account = make_account(100)
    adjustment = services.book_adjustment(adjustment=wish(account)(), **terms())
    undo = partial(services.undo_adjustment, adjustment=adjustment, **terms())
    return bool(REFUSED & set(kinds(run_in_processes([undo] * 4))))


def merging() -> bool:
    """The same question for a merge."""
    source, target = make_account(100), make_account(50)
    merge = services.request_merge(source_id=source.pk, target_id=target.pk, actor_id=clerk().pk, now=NOW)
    decide = {"merge": merge, "actor_id": clerk().pk, "now": NOW}
    booked, rejected = run_in_processes(
        [partial(services.book_merge, **decide), partial(services.reject_merge, **decide)]
    )
    source.refresh_from_db()
    merge.refresh_from_db()
    both = getattr(booked, "state", "") == "BOOKED" and getattr(rejected, "state", "") == "REJECTED"
    return both or (merge.state == "BOOKED") != (source.status == "MERGED")


def backfilling() -> bool:
    """Several backfills at once, each with other orders of the same member."""
    account = make_account(100)
    results = run_in_processes([partial(award_in_bulk, account.pk, number) for number in range(8)])
    return bool(REFUSED & set(kinds(results))) or not is_in_order(account)


def award_in_bulk(account_id: int, process: int) -> None:
    for turn in range(5):
        award = Award(
            account_id=account_id,
            points=10,
            idempotency_key=f"purchase:{process}-{turn}",
            source_ref=f"order:{process}-{turn}",
            active_at=NOW,
            expiry_months=36,
            unit_value=Decimal("0.01"),
            currency="EUR",
        )
        award_many([award], now=NOW)


RACES = {
    "Book._lock": spending,
    "request_adjustment": asking,
    "book_adjustment": deciding,
    "reject_adjustment": deciding,
    "undo_adjustment": undoing,
    "book_merge": merging,
    "reject_merge": merging,
    "Book.open_many": backfilling,
}
#: Locks that another one stands behind; docs/explanation/mutants.md says which.
BACKED = {"lock_accounts", "capture_hold", "_lock_unless_taken"}
LOCKING = {"select_for_update", "_locking"}


@pytest.mark.parametrize("site", RACES)
def test_without_this_lock_alone_its_race_goes_wrong(site):
    # On a busy machine the others need longer to come in between.
    for dawdle in (0.3, 3):
        with without_lock_in(site, dawdle=dawdle):
            if RACES[site]():
                return
    pytest.fail("nothing goes wrong without it")


@pytest.mark.parametrize("race", sorted(set(RACES.values()), key=lambda race: race.__name__))
def test_with_all_locks_it_does_not(race):
    assert not race()


def test_every_lock_of_the_services_has_a_race():
    found = set()
    for path in Path(oscar_loyalty.points.__file__).parent.rglob("*.py"):
        if "audit" in path.parts:  # it reads only
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            scope = node.body if isinstance(node, ast.ClassDef | ast.Module) else []
            for function in (child for child in scope if isinstance(child, ast.FunctionDef)):
                if LOCKING & {getattr(n, "attr", "") for n in ast.walk(function)}:
                    prefix = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
                    found.add(prefix + function.name)
    assert found == {*RACES, *BACKED, "Book._locking"}

"""Assertions on the ledger for the tests of a shop."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from django.db import DEFAULT_DB_ALIAS, connections

from oscar_loyalty.points import append_only
from oscar_loyalty.points.audit import audit_account
from oscar_loyalty.points.models import Account, Posting


@contextmanager
def lifted_triggers(using: str = DEFAULT_DB_ALIAS) -> Iterator[None]:
    """
    Let a test change rows of the ledger, to see that it is noticed. Write with SQL or a plain
    ``QuerySet(model)``: the models' own managers still refuse.

    :raises TransactionManagementError: within a transaction on MariaDB or MySQL; such a test needs
        ``TransactionTestCase`` or ``django_db(transaction=True)``
    """
    with append_only.lifted(connections[using]):
        yield


def assert_ledger_balanced(account: Account) -> None:
    """
    Replay an account's history from its postings and compare every counter, lot, hold and hash with
    what is stored, as ``loyalty_audit`` does. Raises ``AssertionError`` with all that differs.
    """
    account.refresh_from_db()
    findings = audit_account(account.pk)
    assert not findings, "\n".join(str(finding) for finding in findings)


def assert_moves_balanced(accounts: Iterable[Account]) -> None:
    """
    What left accounts by moves has arrived on accounts, for each act on its own. Name all accounts that
    points moved between. Raises ``AssertionError`` with the first act in which points were lost or made.
    """
    sums: Counter[object] = Counter()
    moves = Posting.objects.filter(entry__account__in=list(accounts)).select_related("entry")
    for posting in moves:
        if posting.credit == Posting.Code.MOVED:
            sums[posting.entry.group_id] += posting.points
        if posting.debit == Posting.Code.MOVED:
            sums[posting.entry.group_id] -= posting.points
    lost = {group: points for group, points in sums.items() if points}
    assert not lost, f"points that left and did not arrive, by group: {lost}"

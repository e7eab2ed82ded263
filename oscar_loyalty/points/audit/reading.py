"""Rows for the audit: tuples instead of instances, in one consistent view, in bounded pieces."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection, models, transaction
from django.db.models import Exists, F, Max, OuterRef, Q, QuerySet, Sum, Value
from django.db.models.functions import Cast, Concat

from oscar_loyalty.outbox.models import OutboxMessage
from oscar_loyalty.points.audit.replay import FROM_SOURCE, EntryRow, Facts, LotRow, PostingRow
from oscar_loyalty.points.models import COUNTERS, LOT_COLUMNS, Account, EarnedLine, Entry, Hold, Lot, Posting

#: Entries that are read at once; more of one account are read in pieces of so many.
PIECE = 5_000
_IDS_AT_ONCE = 500


#: Which accounts: lookups of their ids, ``{"gte": 1, "lte": 9}`` or ``{"in": [1, 9]}``.
Which = dict[str, Any]


class Microseconds(models.Func):
    """
    Whole microseconds since 1970 of a moment, computed by the database: a number is many times cheaper to
    hand over and to compare than a moment with a time zone.
    """

    arity = 1
    output_field = models.BigIntegerField()

    def get_db_converters(self, connection: Any) -> list[Any]:
        return []  # It is an integer already.

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = "(extract(epoch FROM %(expressions)s) * 1000000)::bigint"
        return self.as_sql(compiler, connection, template=template, **context)

    def as_mysql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', %(expressions)s)"
        return self.as_sql(compiler, connection, template=template, **context)

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        # Stored as text, with six digits behind the second or none.
        template = (
            "(CAST(strftime('%%%%s', substr(%(expressions)s, 1, 19)) AS INTEGER) * 1000000"
            " + CAST(substr(%(expressions)s || '.000000', 21, 6) AS INTEGER))"
        )
        return self.as_sql(compiler, connection, template=template, **context)


def _uuid_text(name: str) -> Any:
    """A uuid as text where the engine knows uuids; elsewhere it comes as what Django makes of it."""
    return Cast(name, models.TextField()) if connection.features.has_native_uuid_field else F(name)


def _of(which: Which, path: str = "account_id") -> dict[str, Any]:
    return {f"{path}__{lookup}": value for lookup, value in which.items()}


class AccountRow(NamedTuple):
    id: int
    public_id: str
    programme_id: int
    member_id: int
    status: str
    merged_into_id: int | None
    open_key: str | None
    seq: int
    head_hash: str
    due_us: int
    counters: tuple[int, ...]


@contextmanager
def consistent_view(account_id: int | None = None) -> Iterator[None]:
    """
    All that is read inside shows the ledger at one moment, while the shop goes on booking.

    A transaction of its own reads a snapshot and locks nobody out. Inside somebody else's transaction
    that cannot be had: there the account's row is locked, so that nobody books on it meanwhile.
    """
    if connection.in_atomic_block:
        if account_id is not None:
            Account.objects.select_for_update().filter(pk=account_id).values_list("pk").first()
        yield
        return
    vendor = connection.vendor
    with connection.cursor() as cursor:
        if vendor == "sqlite":
            # Django's own transactions begin IMMEDIATE here, which would keep the shop from writing.
            cursor.execute("BEGIN DEFERRED")
            try:
                yield
            finally:
                cursor.execute("ROLLBACK")
            return
        if vendor == "mysql":
            # For the next transaction only, whatever level the shop has chosen for itself.
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    with transaction.atomic():
        if vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                # A piece is a few thousand rows out of any number: reading each by its index is right for
                # every shop, while a plan for young tables reads all of a large one for each piece.
                cursor.execute(
                    "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off;"
                    " SET LOCAL enable_mergejoin = off; SET LOCAL max_parallel_workers_per_gather = 0;"
                    " SET LOCAL jit = off"
                )
        yield


def read_accounts(
    *, first_id: int, last_id: int, since_entry: int | None = None, limit: int = 1000
) -> list[AccountRow]:
    """Accounts of a range of ids in order; with ``since_entry`` those whose newest entry is not older."""
    rows = Account.objects.filter(pk__gte=first_id, pk__lte=last_id).order_by("pk")
    if since_entry is not None:
        rows = rows.filter(
            Exists(Entry.objects.filter(account_id=OuterRef("pk"), seq=OuterRef("seq"), pk__gte=since_entry))
        )
    values = rows.annotate(due_us=Microseconds("due_at")).values_list(
        *("pk", "public_id", "programme_id", "member_id", "status", "merged_into_id", "open_key"),
        *("seq", "head_hash", "due_us"),
        *COUNTERS,
    )
    return [AccountRow._make((row[0], str(row[1]), *row[2:10], row[10:])) for row in values[:limit]]


_TEXT = models.TextField()
_ENTRY_VALUES = tuple(
    {"group_id": "group_text", "explanation": "told"}.get(name, name) for name in EntryRow._fields
)


def _entries(which: Which, *, from_seq: int | None, to_seq: int | None) -> QuerySet[Entry]:
    entries = Entry.objects.filter(**_of(which))
    if from_seq is not None:
        entries = entries.filter(seq__gte=from_seq)
    return entries if to_seq is None else entries.filter(seq__lte=to_seq)


def read_entries(*, which: Which, after_seq: int, limit: int) -> list[EntryRow]:
    """Entries of a range of accounts with numbers above ``after_seq``, in order."""
    entries = _entries(which, from_seq=after_seq + 1 if after_seq else None, to_seq=None)
    rows = (
        # As text: most of them say the same, and parsing each would cost more than all the rest.
        entries.annotate(
            told=Cast("explanation", _TEXT),
            group_text=_uuid_text("group_id"),
            effective_us=Microseconds("effective_at"),
            created_us=Microseconds("created_at"),
        )
        .order_by("account_id", "seq")
        .values_list(*_ENTRY_VALUES)
    )
    return [EntryRow._make(row) for row in rows[:limit]]


def _read_hashes(entries: list[EntryRow]) -> dict[int, str]:
    """Hashes of the entries that these undo; most of them are among these."""
    wanted = {entry.reverses_id for entry in entries if entry.reverses_id is not None}
    if not wanted:
        return {}
    hashes = {entry.id: entry.hash for entry in entries if entry.id in wanted}
    for some in _pieces(sorted(wanted - hashes.keys())):
        hashes.update(Entry.objects.filter(pk__in=some).values_list("pk", "hash"))
    return hashes


def read_postings(*, which: Which, from_seq: int | None, to_seq: int | None) -> dict[int, list[PostingRow]]:
    """Postings of the entries of a range of accounts, by entry, in the order in which they were made."""
    postings = Posting.objects.filter(**_of(which, "entry__account_id"))
    if from_seq is not None:
        postings = postings.filter(entry__seq__gte=from_seq, entry__seq__lte=to_seq)
    by_entry: dict[int, list[PostingRow]] = defaultdict(list)
    for row in postings.order_by("pk").values_list("entry_id", "lot_id", "debit", "credit", "points"):
        by_entry[row[0]].append(row)
    return by_entry


_LOT_VALUES = (
    *("pk", "account_id", "public_text", "source_ref", "amount", "open", "active_us", "expires_us"),
    "parent_lot_id",
    *LOT_COLUMNS,
)


def _read_lots(lots: QuerySet[Lot]) -> list[LotRow]:
    rows = lots.annotate(
        public_text=_uuid_text("public_id"),
        active_us=Microseconds("active_at"),
        expires_us=Microseconds("expires_at"),
    ).values_list(*_LOT_VALUES)
    return [
        LotRow(
            pk, account_id, str(public_id), source, amount, tuple(columns), is_open, active, expires, parent
        )
        for pk, account_id, public_id, source, amount, is_open, active, expires, parent, *columns in rows
    ]


def read_lots(*, which: Which, after_id: int = 0, limit: int | None = None) -> list[LotRow]:
    """Lots of a range of accounts; with ``limit`` so many of them in order of their ids."""
    lots = Lot.objects.filter(**_of(which))
    if limit is not None:
        lots = lots.filter(pk__gt=after_id).order_by("pk")[:limit]
    return _read_lots(lots)


def read_lots_by_id(ids: set[int]) -> dict[int, LotRow]:
    return {
        lot.id: lot for some in _pieces(sorted(ids)) for lot in _read_lots(Lot.objects.filter(pk__in=some))
    }


def sum_postings_of_lots(*, account_id: int, first_id: int, last_id: int) -> list[tuple[int, str, str, int]]:
    """``(lot, debit, credit, points)`` over all that was ever posted to lots of an account."""
    return list(
        Posting.objects.filter(lot__account_id=account_id, lot_id__gte=first_id, lot_id__lte=last_id)
        .values_list("lot_id", "debit", "credit")
        .annotate(Sum("points"))
        .order_by()
    )


def read_facts(entries: list[EntryRow], lots: dict[int, LotRow]) -> Facts:
    """What entries refer to beyond themselves and their lots."""
    spent = [entry.order_ref for entry in entries if entry.kind == Entry.Kind.SPEND]
    holds = {
        order or "": (str(public_id), account_id)
        for some in _pieces(spent)
        for order, public_id, account_id in Hold.objects.filter(
            order_ref__in=some, state=Hold.State.CAPTURED
        ).values_list("order_ref", "public_id", "account_id")
    }
    taken_back = sorted({entry.reverses_id or 0 for entry in entries if entry.kind in FROM_SOURCE})
    return Facts(lots=lots, holds=holds, families=_families_of(taken_back), hashes=_read_hashes(entries))


def _families_of(entry_ids: list[int]) -> dict[int, set[int]]:
    """The lots that entries credited, and those that descend from them, by entry."""
    families: dict[int, set[int]] = defaultdict(set)
    for some in _pieces(entry_ids):
        heirs: dict[int, set[int]] = defaultdict(set)
        found = Posting.objects.filter(entry_id__in=some, lot__isnull=False)
        for entry_id, lot_id in found.values_list("entry_id", "lot_id"):
            heirs[lot_id].add(entry_id)
        while heirs:
            for lot_id, of_entries in heirs.items():
                for entry_id in of_entries:
                    families[entry_id].add(lot_id)
            # Only a lot from which something moved has children; they are younger, so this ends.
            children = Lot.objects.filter(parent_lot_id__in=list(heirs), parent_lot_id__lt=F("pk"))
            heirs = {child: heirs[parent] for child, parent in children.values_list("pk", "parent_lot_id")}
    return families


# Open reservations, and those that say they were spent


def read_open_holds(*, which: Which) -> dict[int, list[tuple[int, str, int]]]:
    """``(id, public id, points)`` of the open reservations of a range of accounts, by account."""
    by_account = defaultdict(list)
    holds = Hold.objects.filter(**_of(which), state=Hold.State.OPEN)
    for account_id, pk, public_id, points in holds.values_list("account_id", "pk", "public_id", "points"):
        by_account[account_id].append((pk, str(public_id), points))
    return by_account


def read_unspent_captures(*, which: Which) -> list[tuple[int, int, int]]:
    """``(account, hold, points)`` of captured reservations without a spending entry of their points."""
    spent = Entry.objects.filter(
        order_ref=OuterRef("order_ref"),
        kind=Entry.Kind.SPEND,
        account_id=OuterRef("account_id"),
        points=OuterRef("captured"),
    )
    holds = Hold.objects.filter(**_of(which), state=Hold.State.CAPTURED)
    return list(holds.filter(~Exists(spent)).values_list("account_id", "pk", "captured"))


# Undoing


def read_excessive_reversals(reversals: list[EntryRow]) -> list[tuple[int, int, int]]:
    """
    ``(entry, points, undone)`` of entries of which more was undone than they booked, less what was undone
    of that again. Each is told once, by the newest entry that undoes it.
    """
    newest = {entry.id for entry in reversals}
    found = []
    for some in _pieces(sorted({entry.reverses_id or 0 for entry in reversals})):
        again = _sum_by(Entry.objects.filter(reverses__reverses_id__in=some), "reverses__reverses_id")
        rows = Entry.objects.filter(pk__in=some).annotate(
            undone=Sum("reversed_by__points"), last=Max("reversed_by__pk")
        )
        for pk, points, undone, last in rows.values_list("pk", "points", "undone", "last"):
            net = undone - again.get((pk,), 0)
            if net > points and last in newest:
                found.append((pk, points, net))
    return found


def read_excessive_returns(reversals: list[EntryRow]) -> list[tuple[int, int, int, int]]:
    """``(spending entry, lot, spent, returned)`` of lots that got back more than was spent of them, once or
    again."""
    found = []
    for some in _pieces(sorted({e.reverses_id or 0 for e in reversals if e.kind == Entry.Kind.SPEND_RETURN})):
        spent: Counter[Any] = Counter(
            _sum_by(Posting.objects.filter(entry_id__in=some, credit="RED"), "entry_id", "lot_id")
        )
        spent += Counter(
            _sum_by(
                Posting.objects.filter(entry__reverses__reverses_id__in=some, credit="RED"),
                *("entry__reverses__reverses_id", "lot_id"),
            )
        )
        returned = _sum_by(
            Posting.objects.filter(entry__reverses_id__in=some, debit="RED"), "entry__reverses_id", "lot_id"
        )
        for (entry_id, lot_id), points in returned.items():
            if points > spent.get((entry_id, lot_id), 0):
                found.append((entry_id, lot_id, spent.get((entry_id, lot_id), 0), points))
    return found


def read_lines_taken_back_twice(reversals: list[EntryRow]) -> list[tuple[int, str, int, int]]:
    """``(earning, line, earned, taken back)`` of order lines of which more was taken back than earned."""
    found = []
    for some in _pieces(sorted({e.reverses_id or 0 for e in reversals if e.kind == Entry.Kind.CLAWBACK})):
        line = ("line_ref", "rule_code")
        earned = _sum_by(EarnedLine.objects.filter(entry_id__in=some), "entry_id", *line)
        taken = _sum_by(
            EarnedLine.objects.filter(entry__reverses_id__in=some, entry__kind=Entry.Kind.CLAWBACK),
            "entry__reverses_id",
            *line,
        )
        undone = _sum_by(
            EarnedLine.objects.filter(
                entry__reverses__reverses_id__in=some, entry__kind=Entry.Kind.CLAWBACK_UNDONE
            ),
            "entry__reverses__reverses_id",
            *line,
        )
        for key, points in taken.items():
            net = points - undone.get(key, 0)
            if net > earned.get(key, 0):
                found.append((key[0], key[1], earned.get(key, 0), net))
    return found


def read_lines_that_differ(*, which: Which) -> list[tuple[int, int, int, int]]:
    """``(account, earning, points, points of its lines)`` where lines do not add up to their earning."""
    lines = EarnedLine.objects.filter(**_of(which, "entry__account_id"), entry__kind=Entry.Kind.EARN)
    return list(
        lines.values_list("entry__account_id", "entry_id", "entry__points")
        .annotate(total=Sum("points"))
        .exclude(total=F("entry__points"))
        .order_by()
    )


# Between lots and between accounts


def read_odd_children(ids: list[int]) -> list[tuple[int, int, int]]:
    """``(account, lot, parent)`` of those lots that cannot descend from their parent."""
    odd = Q(pk__lte=F("parent_lot_id")) | Q(currency=F("parent_lot__currency")) & ~Q(
        unit_value=F("parent_lot__unit_value")
    )
    return [
        row
        for some in _pieces(ids)
        for row in Lot.objects.filter(odd, pk__in=some).values_list("account_id", "pk", "parent_lot_id")
    ]


def read_excessive_children(parents: list[int]) -> list[tuple[int, int, int]]:
    """``(lot, moved, points of its children)`` where children hold more than was moved out of a lot."""
    return [
        row
        for some in _pieces(parents)
        for row in Lot.objects.filter(parent_lot_id__in=some, currency=F("parent_lot__currency"))
        .values_list("parent_lot_id", "parent_lot__moved")
        .annotate(total=Sum("amount"))
        .filter(total__gt=F("parent_lot__moved"))
        .order_by()
    ]


def read_clearing(account_id: int, groups: set[Any]) -> dict[Any, tuple[int, int]]:
    """
    What entries of a group put into clearing less what they took out, over this account and those that
    it gave lots to, got lots from or was merged with: ``group: (points, id of the first entry)``.
    """
    related = {
        account_id,
        *Lot.objects.filter(parent_lot__account_id=account_id)
        .values_list("account_id", flat=True)
        .distinct(),
        *Lot.objects.filter(account_id=account_id, parent_lot__isnull=False)
        .values_list("parent_lot__account_id", flat=True)
        .distinct(),
        *Account.objects.filter(merged_into_id=account_id).values_list("pk", flat=True),
        *Account.objects.filter(pk=account_id, merged_into__isnull=False).values_list(
            "merged_into_id", flat=True
        ),
    }
    clearing = ("MOV", "FXC")
    found: dict[Any, list[int]] = {}
    for some in _pieces(sorted(groups)):
        postings = Posting.objects.filter(
            Q(debit__in=clearing) | Q(credit__in=clearing),
            entry__account_id__in=related,
            entry__group_id__in=some,
        )
        for group, entry_id, debit, credit, points in postings.values_list(
            "entry__group_id", "entry_id", "debit", "credit", "points"
        ):
            state = found.setdefault(str(group), [0, entry_id])
            state[0] += points * ((credit in clearing) - (debit in clearing))
            state[1] = min(state[1], entry_id)
    return {group: (points, first) for group, (points, first) in found.items()}


def read_statuses(ids: set[int]) -> dict[int, str]:
    return dict(Account.objects.filter(pk__in=ids).values_list("pk", "status"))


def read_missing_messages(
    *, which: Which, since: datetime, from_seq: int | None, to_seq: int | None
) -> list[tuple[int, int]]:
    """``(account, entry)`` of entries booked since a moment whose message is not in the outbox."""
    loud = _entries(which, from_seq=from_seq, to_seq=to_seq).filter(created_at__gte=since)
    loud = loud.exclude(kind__in=(Entry.Kind.HOLD, Entry.Kind.RELEASE))
    if connection.vendor == "postgresql":
        key = Concat(Value("points_posted:"), Cast(OuterRef("public_id"), _TEXT), output_field=_TEXT)
        announced = Exists(OutboxMessage.objects.filter(key=key))
        return list(loud.filter(~announced).values_list("account_id", "pk"))
    # Elsewhere an index of text does not find what was put together from a uuid.
    rows = loud.values_list("public_id", "account_id", "pk")
    keys = {f"points_posted:{public_id}": (account_id, pk) for public_id, account_id, pk in rows}
    for some in _pieces(list(keys)):
        for told in OutboxMessage.objects.filter(key__in=some).values_list("key", flat=True):
            keys.pop(told, None)
    return list(keys.values())


def _sum_by(rows: QuerySet[Any], *columns: str) -> dict[Any, int]:
    return {
        tuple(key): points
        for *key, points in rows.values_list(*columns).annotate(total=Sum("points")).order_by()
    }


def _pieces(values: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(values), _IDS_AT_ONCE):
        yield values[start : start + _IDS_AT_ONCE]

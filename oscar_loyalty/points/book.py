"""
One locked account inside one transaction. Movements gather here and are written in few statements.

Internal to the room: doors and flows call ``services``.
"""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, models, transaction
from django.db.models import Min, OuterRef, Q, Subquery

from oscar_loyalty.outbox.models import OutboxMessage
from oscar_loyalty.outbox.services import write_messages
from oscar_loyalty.points import chart
from oscar_loyalty.points.errors import IdempotencyKeyReused, InvalidPoints, LedgerInconsistent
from oscar_loyalty.points.hashing import chain_hash, digest
from oscar_loyalty.points.models import (
    COUNTERS,
    LOT_COLUMNS,
    MOST_POINTS_PER_ENTRY,
    Account,
    EarnedLine,
    Entry,
    Lot,
    Posting,
)
from oscar_loyalty.points.texts import check_texts
from oscar_loyalty.programmes.models import Programme
from oscar_loyalty.programmes.rules import FAR_FUTURE, expiry_after

_Code = Posting.Code
#: Reservations come and go with every basket; nobody needs to hear of them.
_UNANNOUNCED = {Entry.Kind.HOLD, Entry.Kind.RELEASE}


def check_points(points: object) -> int:
    """``points`` if they can be booked. Django would store 1.5 as 1 without a word.

    :raises InvalidPoints: not an ``int`` above zero, or too many
    """
    if type(points) is not int or not 0 < points <= MOST_POINTS_PER_ENTRY:
        raise InvalidPoints(points)
    return points


@dataclass(frozen=True)
class Move:
    """``points`` from one ledger code to another, in a lot where one is touched."""

    debit: str
    credit: str
    points: int
    lot: Lot | None = None


@dataclass
class _Draft:
    entry: Entry
    moves: list[Move]
    lines: Sequence[EarnedLine]


class Book:
    def __init__(self, account: Account, *, now: datetime, actor_ref: str) -> None:
        self.account = account
        self.now = now
        self.actor_ref = actor_ref
        self._drafts: list[_Draft] = []
        self._new_lots: list[Lot] = []
        self._touched: dict[int, Lot] = {}

    @classmethod
    def open(cls, account_id: int | Subquery, *, now: datetime, actor_ref: str = "system") -> "Book":
        """
        Lock the account row and settle what is due. Call inside a transaction, as its first ledger
        statement: what was read before may be stale. ``account_id`` may be a subquery that finds it.

        How long to wait for the lock is left to the database and the shop's connection: here it would
        cost a statement in each booking, and hold for the rest of the caller's transaction. (The
        functions of the fast path have their own three seconds.)
        """
        book = cls._lock(account_id, now=now, actor_ref=actor_ref)
        book.settle()
        return book

    @classmethod
    def open_all(
        cls, account_ids: Iterable[int], *, now: datetime, actor_ref: str = "system"
    ) -> "dict[int, Book]":
        """Like :meth:`open` for several accounts: all rows are locked, the lowest id first, before
        anything else is read, so that nobody waits in a circle."""
        books = {pk: cls._lock(pk, now=now, actor_ref=actor_ref) for pk in sorted(set(account_ids))}
        for book in books.values():
            book.settle()
        return books

    @classmethod
    def open_many(
        cls, account_ids: Iterable[int], *, now: datetime, actor_ref: str = "system"
    ) -> "dict[int, Book]":
        """Like :meth:`open_all` for hundreds of accounts, which one statement locks in the same order. (On
        a small table MariaDB may read, and so lock, all of it: too much for two.)"""
        accounts = cls._locking().filter(pk__in=set(account_ids)).order_by("pk")
        books = {account.pk: cls(account, now=now, actor_ref=actor_ref) for account in accounts}
        for book in books.values():
            book.settle()
        return books

    @classmethod
    def follow(
        cls, account_id: int, *, now: datetime, with_trail: bool = False
    ) -> "tuple[list[int], dict[int, Book]]":
        """
        Open the account that books for ``account_id`` today: itself, or the one that it was merged
        into. Returns the ids from it to that one, and the books that were opened: of the last id, and
        ``with_trail`` of those before it.

        A merge is final, so the trail may be read before the lock. Only "not merged" may be out of date
        by then: what was locked is let go of (MariaDB keeps it until the end) and the trail goes on.
        """
        trail = _trail_of_merges(account_id)
        while True:
            wanted = trail if with_trail else trail[-1:]
            with suppress(_MergedMeanwhile), transaction.atomic():
                books = cls.open_all(wanted, now=now)
                last = books[trail[-1]].account
                if last.merged_into_id is not None:
                    raise _MergedMeanwhile
                return trail, books
            assert last.merged_into_id is not None
            trail += _trail_of_merges(last.merged_into_id)

    @classmethod
    def _lock(cls, account_id: int | Subquery, *, now: datetime, actor_ref: str) -> "Book":
        return cls(cls._locking().get(pk=account_id), now=now, actor_ref=actor_ref)

    @staticmethod
    def _locking() -> models.QuerySet[Account]:
        no_key = connection.features.has_select_for_no_key_update
        # Read along, not locked: the time zone says when a day ends.
        time_zone = Programme.objects.filter(pk=OuterRef("programme_id")).values("time_zone")
        return Account.objects.annotate(time_zone=Subquery(time_zone)).select_for_update(no_key=no_key)

    def expiry_of(self, active_at: datetime, *, months: int | None) -> datetime:
        """When points expire that become spendable at ``active_at``, which may not be known yet."""
        if active_at == FAR_FUTURE:
            return FAR_FUTURE
        return expiry_after(active_at, months=months, time_zone=self.account.time_zone)  # type: ignore[attr-defined]

    # Reading under the lock

    def find_entry(
        self, idempotency_key: str, *, fingerprint: str, trail: Sequence[int] = ()
    ) -> Entry | None:
        """
        The entry that was booked under the key, on this account or on those of the ``trail`` that were
        merged into it. :raises IdempotencyKeyReused: for another request
        """
        among = list(trail) or [self.account.pk]
        booked = Entry.objects.filter(account_id__in=among, key_digest=digest(idempotency_key))
        earlier = min(booked, key=lambda entry: among.index(entry.account_id), default=None)
        if earlier is not None and earlier.fingerprint != fingerprint:
            raise IdempotencyKeyReused(idempotency_key)
        return earlier

    def get_entry(self, idempotency_key: str) -> Entry:
        return Entry.objects.get(account=self.account, key_digest=digest(idempotency_key))

    def is_waiting(self, lot: Lot) -> bool:
        """Whether points may still be pending in a lot. A clock that went back does not let them become
        spendable twice."""
        if lot.active_at <= self.now:
            return False
        activated = Entry.objects.filter(account=lot.account_id, key_digest=digest(_activation_key(lot)))
        return not activated.exists()

    def open_lots(self) -> list[Lot]:
        """All lots with points pending or left, by earliest expiry."""
        rows = Lot.objects.filter(account=self.account, open=True).order_by("expires_at", "id")
        return [self._touched.get(lot.pk, lot) for lot in rows]

    def family_of(self, lots: Iterable[Lot]) -> list[Lot]:
        """The lots and whatever became of their points, as far as it is on this account, oldest first."""
        family = {lot.pk: lot for lot in lots}
        generation = list(family.values())
        # Only a lot from which something moved has children.
        while parents := [lot.pk for lot in generation if lot.moved]:
            generation = [lot for lot in Lot.objects.filter(parent_lot__in=parents) if lot.pk not in family]
            family.update({lot.pk: lot for lot in generation})
        own = (lot for lot in family.values() if lot.account_id == self.account.pk)
        return sorted((self._touched.get(lot.pk, lot) for lot in own), key=lambda lot: lot.pk)

    def take(
        self, points: int, *, first: Iterable[Lot] = (), unexpired: bool = False
    ) -> list[tuple[Lot, int]]:
        """
        ``points`` out of lots, ``first`` ones before the rest, which come by earliest expiry; only
        ``unexpired`` ones where they are to live on elsewhere: a reservation keeps what has expired.
        """
        taken: list[tuple[Lot, int]] = []
        seen: set[object] = set()
        in_order = self._in_order(first)
        while points and (lot := next(in_order, None)) is not None:
            if lot.public_id in seen:
                continue
            seen.add(lot.public_id)
            if unexpired and lot.expires_at <= self.now:
                continue
            share = min(points, lot.remaining)
            if share:
                taken.append((lot, share))
                points -= share
        if points:
            raise LedgerInconsistent(f"Lots of account {self.account.pk} hold {points} points too few.")
        return taken

    def _in_order(self, first: Iterable[Lot]) -> Iterator[Lot]:
        yield from first
        rows = Lot.objects.filter(account=self.account, open=True, remaining__gt=0).order_by(
            "expires_at", "id"
        )
        offset, size = 0, 4
        while True:
            chunk = list(rows[offset : offset + size])
            for lot in chunk:
                yield self._touched.get(lot.pk, lot)
            if len(chunk) < size:
                return
            offset += size
            size *= 4

    # Writing

    def add_lot(self, **values: Any) -> Lot:
        """A new lot without points yet; the posting that creates it fills it."""
        lot = Lot(account=self.account, created_at=self.now, **values)
        check_texts(lot)
        self._new_lots.append(lot)
        return lot

    def post(
        self,
        kind: str,
        moves: list[Move],
        *,
        idempotency_key: str,
        points: int,
        fingerprint: str = "",
        effective_at: datetime | None = None,
        order_ref: str = "",
        reason_code: str = "",
        explanation: dict[str, Any] | None = None,
        reverses: Entry | None = None,
        group_id: uuid.UUID | None = None,
        lines: Sequence[EarnedLine] = (),
    ) -> Entry:
        """Apply balanced moves to counters and lots and draft the entry that records them."""
        if not isinstance(order_ref, str):
            # Oscar's generator makes numbers; the database would store text, and the hash would differ.
            raise TypeError(f"order_ref must be text, not {order_ref!r}")
        account = self.account
        for move in moves:
            check_points(move.points)
            for counter, sign in chart.counter_effects(move.debit, move.credit):
                setattr(account, counter, getattr(account, counter) + sign * move.points)
            if move.lot is not None:
                self._apply_to_lot(move.lot, move)
        account.seq += 1
        entry = Entry(
            account=account,
            group_id=group_id or uuid.uuid4(),
            kind=kind,
            idempotency_key=idempotency_key,
            key_digest=digest(idempotency_key),
            fingerprint=fingerprint or digest([kind, points]),
            points=check_points(points),
            seq=account.seq,
            available_after=account.available,
            effective_at=effective_at or self.now,
            created_at=self.now,
            actor_ref=self.actor_ref,
            order_ref=order_ref,
            reason_code=reason_code,
            explanation=explanation or {},
            reverses=reverses,
            prev_hash=account.head_hash,
        )
        check_texts(entry)
        entry.hash = entry_hash(entry, moves)
        account.head_hash = entry.hash
        for line in lines:
            check_texts(line)
        self._drafts.append(_Draft(entry=entry, moves=moves, lines=lines))
        return entry

    def _apply_to_lot(self, lot: Lot, move: Move) -> None:
        for column, sign in chart.lot_effects(move.debit, move.credit):
            setattr(lot, column, getattr(lot, column) + sign * move.points)
        lot.open = lot.pending + lot.remaining > 0
        self.touch(lot)

    def touch(self, lot: Lot) -> None:
        """Remember a lot that changed, and when it next asks for attention."""
        if lot.pk is not None:
            self._touched[lot.pk] = lot
        if lot.pending:
            self.account.due_at = min(self.account.due_at, lot.active_at)
        elif lot.remaining and lot.expires_at > self.now:
            self.account.due_at = min(self.account.due_at, lot.expires_at)

    def repay_debt(self, *, first: Iterable[Lot] = ()) -> None:
        """What becomes available pays the deficit before anything else."""
        points = min(self.account.debt, self.account.available)
        if points <= 0:
            return
        moves = [
            Move(_Code.AVAILABLE, _Code.DEBT, share, lot) for lot, share in self.take(points, first=first)
        ]
        self.post(Entry.Kind.REPAY, moves, points=points, idempotency_key=f"repay:{self.account.seq + 1}")

    def settle(self, *, again: bool = False) -> None:
        """
        Activate and expire what is due at ``now``, so that a late job never changes a decision.

        Costs nothing when nothing is due. Held points do not expire, and a reservation keeps what
        expires first, because its order will take that; so whoever releases them settles ``again``.
        """
        if not again and self.account.due_at > self.now:
            return
        due = list(
            Lot.objects.filter(account=self.account, open=True)
            .filter(Q(pending__gt=0, active_at__lte=self.now) | Q(remaining__gt=0, expires_at__lte=self.now))
            .order_by("active_at", "id")
        )
        due = [self._touched.get(lot.pk, lot) for lot in due]
        for lot in due:
            if lot.pending:
                self._activate(lot)
        over = [lot for lot in due if lot.expires_at <= self.now]
        held = self.account.held
        for lot in sorted(over, key=lambda lot: (lot.expires_at, lot.pk)):
            kept = min(held, lot.remaining)
            held -= kept
            self._expire(lot, lot.remaining - kept)
        self.flush()
        self._find_next_due()

    def _activate(self, lot: Lot) -> None:
        points = lot.pending
        self.post(
            Entry.Kind.ACTIVATE,
            [Move(_Code.PENDING, _Code.AVAILABLE, points, lot)],
            points=points,
            idempotency_key=_activation_key(lot),
            effective_at=lot.active_at,
            order_ref=_order_of(lot),
        )
        self.repay_debt(first=[lot])

    def _expire(self, lot: Lot, points: int) -> None:
        if not points:
            return
        self.post(
            Entry.Kind.EXPIRE,
            [Move(_Code.AVAILABLE, _Code.BREAKAGE, points, lot)],
            points=points,
            idempotency_key=f"expire:{lot.public_id}:{self.account.seq + 1}",
            effective_at=lot.expires_at,
            order_ref=_order_of(lot),
        )

    def _find_next_due(self) -> None:
        lots = Lot.objects.filter(account=self.account, open=True).aggregate(
            active_at=Min("active_at", filter=Q(pending__gt=0)),
            expires_at=Min("expires_at", filter=Q(remaining__gt=0, expires_at__gt=self.now)),
        )
        due_at = min(lots["active_at"] or FAR_FUTURE, lots["expires_at"] or FAR_FUTURE)
        if due_at != self.account.due_at:
            self.account.due_at = due_at
            self.account.save(update_fields=["due_at"])

    def settle_lot(self, lot: Lot) -> None:
        """Settle a new lot on a settled account without reservations: nothing else can be due."""
        if lot.active_at <= self.now:
            self._activate(lot)
            if lot.expires_at <= self.now:
                self._expire(lot, lot.remaining)

    def flush(self) -> None:
        """Write what was gathered."""
        write_books([self])

    def _news(self, entry: Entry) -> OutboxMessage:
        return OutboxMessage(
            topic="points_posted",
            key=f"points_posted:{entry.public_id}",
            payload={"entry_id": entry.pk, "member_id": self.account.member_id, "kind": str(entry.kind)},
            created_at=self.now,
            available_at=self.now,
        )


def write_books(books: list[Book]) -> None:
    """
    Write what was gathered for locked accounts: accounts first, then their children (the other order
    deadlocks on MariaDB).
    """
    books = [book for book in books if book._drafts or book._touched or book._new_lots]
    if not books:
        return
    update_rows([book.account for book in books], [*COUNTERS, "seq", "head_hash", "due_at"])
    insert_rows([lot for book in books for lot in book._new_lots])
    changed = [lot for book in books for lot in book._touched.values()]
    if changed:
        update_rows(changed, [*LOT_COLUMNS, "open", "active_at", "expires_at"])
    drafts = [draft for book in books for draft in book._drafts]
    insert_rows([draft.entry for draft in drafts])
    Posting.objects.bulk_create(
        Posting(entry=draft.entry, lot=move.lot, debit=move.debit, credit=move.credit, points=move.points)
        for draft in drafts
        for move in draft.moves
    )
    lines = []
    for draft in drafts:
        for line in draft.lines:
            line.entry = draft.entry
            lines.append(line)
    EarnedLine.objects.bulk_create(lines)
    write_messages(
        [
            book._news(draft.entry)
            for book in books
            for draft in book._drafts
            if draft.entry.kind not in _UNANNOUNCED
        ]
    )
    for book in books:
        book._drafts, book._new_lots, book._touched = [], [], {}


def update_rows(rows: list[Any], columns: Sequence[str]) -> None:
    """Write the same columns of some rows of one table."""
    if len(rows) == 1:
        rows[0].save(update_fields=columns)
        return
    # One statement for each, sent together: bulk_update writes a CASE of every row for every column.
    options = type(rows[0])._meta
    quote = connection.ops.quote_name
    assignments = ", ".join(f"{quote(column)} = %s" for column in columns)
    sql = f"UPDATE {quote(options.db_table)} SET {assignments} WHERE id = %s"  # noqa: S608
    fields = [options.get_field(column) for column in columns]
    values = [
        [*(field.get_db_prep_save(getattr(row, field.attname), connection) for field in fields), row.pk]
        for row in rows
    ]
    with connection.cursor() as cursor:
        cursor.executemany(sql, values)


def entry_hash(entry: Entry, moves: Iterable[Move] | Iterable[Posting]) -> str:
    """The hash that chains an entry to the one before it on the same account."""
    return chain_hash(
        prev_hash=entry.prev_hash,
        account=str(entry.account.public_id),
        seq=entry.seq,
        kind=str(entry.kind),
        key_digest=entry.key_digest,
        fingerprint=entry.fingerprint,
        points=entry.points,
        available_after=entry.available_after,
        effective_at=entry.effective_at,
        created_at=entry.created_at,
        actor_ref=entry.actor_ref,
        order_ref=entry.order_ref,
        reason_code=entry.reason_code,
        explanation_digest=digest(entry.explanation),
        reverses=entry.reverses.hash if entry.reverses else "",
        moves=(
            (str(move.debit), str(move.credit), move.points, str(move.lot.public_id) if move.lot else "")
            for move in moves
        ),
    )


class _MergedMeanwhile(Exception):
    """The account was merged between reading where it leads and locking it."""


def _trail_of_merges(account_id: int) -> list[int]:
    """The account, the one it was merged into, and so on to the one that was not."""
    trail = [account_id]
    while True:
        into = Account.objects.filter(pk=trail[-1]).values_list("merged_into_id", flat=True).first()
        if into is None:
            return trail
        trail.append(into)


def final_account_id(account_id: int) -> int:
    """The account that books for this one today, unless a merge comes between."""
    return _trail_of_merges(account_id)[-1]


def _activation_key(lot: Lot) -> str:
    return f"activate:{lot.public_id}"


def _order_of(lot: Lot) -> str:
    kind, _, number = lot.source_ref.partition(":")
    return number if kind == "order" else ""


def insert_rows(rows: list[Any]) -> None:
    """Insert rows and learn their ids, in one statement where the engine returns them."""
    if len(rows) > 1 and connection.features.can_return_rows_from_bulk_insert:
        type(rows[0]).objects.bulk_create(rows)
        return
    for row in rows:
        models.Model.save(row, force_insert=True)

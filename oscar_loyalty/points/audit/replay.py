"""
One account, entry by entry: what its history adds up to, in memory that grows with its open lots and
reservations but not with its entries. Reads nothing; whoever reads feeds it.
"""

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import lru_cache
from json import loads
from typing import Any, NamedTuple

from oscar_loyalty.points import chart
from oscar_loyalty.points.audit.findings import Finding
from oscar_loyalty.points.hashing import digest, link_hash
from oscar_loyalty.points.models import COUNTERS, LOT_COLUMNS, Entry, Posting

_Code = Posting.Code
_Kind = Entry.Kind

_PENDING, _AVAILABLE, _HELD, _DEBT = (COUNTERS.index(n) for n in ("pending", "available", "held", "debt"))
_TAKEN_BACK = COUNTERS.index("reversed")
_LOT_PENDING, _REMAINING, _REVERSED = (LOT_COLUMNS.index(n) for n in ("pending", "remaining", "reversed"))
_CLEARING = (_Code.MOVED, _Code.CONVERSION)

#: Which postings an entry may have, by its kind.
_SHAPES: dict[str, set[tuple[str, str]]] = {
    _Kind.EARN: {("EXP", "PND")},
    _Kind.ACTIVATE: {("PND", "AVL")},
    _Kind.HOLD: {("AVL", "HLD")},
    _Kind.RELEASE: {("HLD", "AVL")},
    _Kind.SPEND: {("HLD", "RED")},
    # The last two pairs: what was owed since an earlier return was undone.
    _Kind.SPEND_RETURN: {("RED", "AVL"), ("RED", "MOV"), ("MOV", "AVL"), ("TBK", "DBT"), ("EXP", "AVL")},
    _Kind.SPEND_AGAIN: {("AVL", "RED"), ("DBT", "EXP")},
    _Kind.CLAWBACK: {("PND", "EXP"), ("AVL", "EXP"), ("DBT", "EXP")},
    _Kind.CLAWBACK_UNDONE: {
        *(("TBK", "PND"), ("TBK", "AVL"), ("TBK", "DBT"), ("EXP", "AVL")),
        *(("TBK", "MOV"), ("MOV", "PND"), ("MOV", "AVL")),
    },
    _Kind.EXPIRE: {("AVL", "BRK")},
    _Kind.ADJUST_UP: {("EXP", "AVL")},
    # The other pair undoes a write-off.
    _Kind.ADJUST_DOWN: {("AVL", "EXP"), ("DBT", "EXP")},
    _Kind.REPAY: {("AVL", "DBT")},
    _Kind.WRITE_OFF: {("EXP", "DBT")},
    _Kind.MOVE_OUT: {("AVL", "MOV"), ("PND", "MOV"), ("DBT", "MOV")},
    _Kind.MOVE_IN: {("MOV", "AVL"), ("MOV", "PND"), ("MOV", "DBT")},
    "FORFEIT": {("PND", "BRK"), ("AVL", "BRK")},
    "CONVERT": {("AVL", "FXC"), ("PND", "FXC"), ("FXC", "AVL"), ("FXC", "PND")},
}
#: Kinds that take points by choice: first to expire goes first, and what has expired cannot be taken.
#: A conversion takes the lots of one currency and leaves the others.
_TAKING = {
    *(_Kind.HOLD, _Kind.SPEND, _Kind.SPEND_AGAIN, _Kind.CLAWBACK, _Kind.ADJUST_DOWN, _Kind.MOVE_OUT),
    "CONVERT",
}
_OF_HOLDS = {_Kind.HOLD, _Kind.RELEASE, _Kind.SPEND}
_IN_ORDER = {
    *(_Kind.SPEND, _Kind.SPEND_AGAIN, _Kind.CLAWBACK, _Kind.ADJUST_DOWN, _Kind.MOVE_OUT, _Kind.REPAY),
}
#: Kinds that first take what one entry gave, from wherever it was moved.
FROM_SOURCE = {_Kind.CLAWBACK, _Kind.SPEND_AGAIN}


class _Effect(NamedTuple):
    counters: tuple[tuple[int, int], ...]
    columns: tuple[tuple[int, int], ...]
    #: What the posting does to the points that its lot has left: -1, 0 or 1.
    left: int


@lru_cache(maxsize=256)
def _effect(debit: str, credit: str) -> _Effect | None:
    """``None`` for codes that the chart does not know, or that are one."""
    try:
        columns = tuple((LOT_COLUMNS.index(name), sign) for name, sign in chart.lot_effects(debit, credit))
        counters = tuple((COUNTERS.index(name), sign) for name, sign in chart.counter_effects(debit, credit))
    except (KeyError, ValueError):
        return None
    left = sum(sign for index, sign in columns if index == _REMAINING)
    return _Effect(counters, columns, left) if debit != credit else None


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(us: int) -> datetime:
    """What so many microseconds since 1970 are; only for people, comparing numbers is faster."""
    return _EPOCH + timedelta(microseconds=us)


class LotRow(NamedTuple):
    """A lot as stored. ``columns`` in the order of ``LOT_COLUMNS``, moments in microseconds since 1970."""

    id: int
    account_id: int
    public_id: str
    source_ref: str
    amount: int
    columns: tuple[int, ...]
    open: bool
    active_us: int
    expires_us: int
    parent_id: int | None


class EntryRow(NamedTuple):
    """An entry as stored, with moments in microseconds since 1970."""

    id: int
    account_id: int
    group_id: Any
    kind: str
    idempotency_key: str
    key_digest: str
    fingerprint: str
    points: int
    seq: int
    available_after: int
    effective_us: int
    created_us: int
    actor_ref: str
    order_ref: str
    reason_code: str
    explanation: str
    reverses_id: int | None
    prev_hash: str
    hash: str


#: entry id, lot id, debit, credit, points
PostingRow = tuple[int, int | None, str, str, int]


class Facts(NamedTuple):
    """What the entries of one piece refer to beyond themselves."""

    lots: dict[int, LotRow]
    #: order: (public id of the captured hold, its account)
    holds: dict[str, tuple[str, int]]
    #: entry that gave what is taken first: its lots, and whatever became of their points
    families: dict[int, set[int]]
    #: entry undone: its hash
    hashes: dict[int, str]


@lru_cache(maxsize=4096)
def _digest_of_json(text: str) -> str:
    return digest(loads(text))


class Replay:
    """Feed :meth:`add` every entry in order, then compare with :meth:`finish`."""

    def __init__(self, account_id: int, public_id: str, *, fold_lots: bool) -> None:
        self.account_id = account_id
        self.public_id = public_id
        self.findings: list[Finding] = []
        self.counters = [0] * len(COUNTERS)
        self.seq = 0
        self.hash = ""
        #: Columns of every lot, unless there are too many to keep.
        self.folded: dict[int, list[int]] | None = {} if fold_lots else None
        #: Points reserved by hold, while there are any.
        self.held: dict[str, int] = defaultdict(int)
        #: Entries whose clearing other accounts must balance: group and what it lacks.
        self.open_groups: list[tuple[Any, int, int]] = []
        self.unknown_hold = False
        self._left: dict[int, int] = {}
        self._queue: list[tuple[int, int]] = []
        self._credited: set[int] = set()

    def note(self, code: str, expected: object, found: object, **ids: int | None) -> None:
        self.findings.append(
            Finding(code=code, account=self.public_id, expected=str(expected), found=str(found), **ids)
        )

    def _note(
        self, entry: EntryRow, code: str, expected: object, found: object, lot: LotRow | None = None
    ) -> None:
        self.note(code, expected, found, entry_id=entry.id, lot_id=lot.id if lot else None)

    def add(self, entry: EntryRow, postings: Sequence[PostingRow], facts: Facts) -> None:
        """Take the next entry into account. ``postings`` in the order in which they were made."""
        kind, counters, created_us = entry.kind, self.counters, entry.created_us
        if entry.seq != self.seq + 1:
            self._note(entry, "seq_gap", self.seq + 1, entry.seq)
        self.seq = entry.seq
        if kind in _TAKING:
            self._check_expired_are_held(entry)

        shape = _SHAPES.get(kind, ())
        moves = []
        total = clearing_in = clearing_out = 0
        taken: list[tuple[int, int]] = []
        credited: set[int] = set()
        for _entry_id, lot_id, debit, credit, points in postings:
            lot = facts.lots[lot_id] if lot_id is not None else None
            moves.append(f"{debit}>{credit}:{points}:{lot.public_id if lot else ''}")
            effect = _effect(debit, credit)
            if effect is None or points <= 0:
                self._note(entry, "posting_invalid", "two codes", f"{debit}>{credit}:{points}", lot)
                continue
            if (debit, credit) not in shape:
                self._note(entry, "posting_out_of_place", kind, f"{debit}>{credit}", lot)
            total += points
            if credit in _CLEARING:
                clearing_in += points
            elif debit in _CLEARING:
                clearing_out += points
            for index, sign in effect.counters:
                counters[index] += sign * points
            if lot is None:
                continue
            if lot.account_id != self.account_id:
                self._note(entry, "lot_of_other_account", self.account_id, lot.account_id, lot)
                continue
            if self.folded is not None:
                columns = self.folded.get(lot.id)
                if columns is None:
                    columns = self.folded[lot.id] = [0] * len(LOT_COLUMNS)
                for index, sign in effect.columns:
                    columns[index] += sign * points
            if effect.left:
                self._change_left(lot, effect.left * points)
                if effect.left > 0:
                    credited.add(lot.id)
                else:
                    taken.append((lot.expires_us, lot.id))
                    if kind == "EXPIRE" and created_us < lot.expires_us:
                        self._note(entry, "expired_early", moment(lot.expires_us), moment(created_us), lot)
            if kind == "ACTIVATE" and created_us < lot.active_us:
                self._note(entry, "activated_early", moment(lot.active_us), moment(created_us), lot)

        if not postings:
            self._note(entry, "entry_without_postings", entry.points, 0)
        elif entry.points not in (total, total - clearing_out, total - clearing_in):
            self._note(entry, "entry_points_differ", total, entry.points)
        if kind == "CONVERT":
            self._check_conversion(entry, clearing_in, clearing_out)
        elif clearing_in != clearing_out:
            self.open_groups.append((entry.group_id, entry.id, clearing_in - clearing_out))
        if min(counters) < 0:
            for name, value in zip(COUNTERS, counters, strict=True):
                if value < 0:
                    self._note(entry, "counter_negative", "0 or more", f"{name} {value}")
        if kind in _IN_ORDER and taken and self._queue:
            self._check_order(entry, taken, facts)
        if credited:
            self._credited = credited
        elif kind == "RELEASE":
            self._credited = set()
        if kind in _OF_HOLDS:
            self._follow_hold(entry, facts)
        self._check_text(entry, ";".join(moves), facts)

    def _change_left(self, lot: LotRow, change: int) -> None:
        before = self._left.get(lot.id, 0)
        after = before + change
        place = (lot.expires_us, lot.id)
        if before <= 0 < after:
            insort(self._queue, place)
        elif before > 0 >= after:
            del self._queue[bisect_left(self._queue, place)]
        if after:
            self._left[lot.id] = after
        else:
            self._left.pop(lot.id, None)

    def _check_order(self, entry: EntryRow, taken: list[tuple[int, int]], facts: Facts) -> None:
        """Of what expires earlier than the last lot that was taken from, nothing may be left."""
        last = max(taken)
        if self._queue[0] >= last:
            return
        # What has expired stays with the reservations; it cannot go on living on another account.
        start = bisect_left(self._queue, (entry.created_us, 1 << 63)) if entry.kind == _Kind.MOVE_OUT else 0
        earliest = self._queue[start] if start < len(self._queue) else last
        if entry.kind == _Kind.REPAY:
            # A credit repays the deficit out of itself.
            taken = [place for place in taken if place[1] not in self._credited]
        elif entry.kind in FROM_SOURCE:
            family = facts.families.get(entry.reverses_id or 0, set())
            taken = [place for place in taken if place[1] not in family]
        if taken and earliest < max(taken):
            self._note(entry, "fifo_broken", f"lot {earliest[1]} first", f"lot {max(taken)[1]}")

    def _check_expired_are_held(self, entry: EntryRow) -> None:
        """Whoever takes points has settled before: what is left of expired lots is reserved."""
        if not self._queue or self._queue[0][0] > entry.created_us:
            return
        over = 0
        for expires_us, lot_id in self._queue:
            if expires_us > entry.created_us:
                break
            over += self._left[lot_id]
        if over > self.counters[_HELD]:
            self._note(entry, "used_after_expiry", f"at most {self.counters[_HELD]} expired", over)

    def _check_conversion(self, entry: EntryRow, before: int, after: int) -> None:
        """Points times rate, rounded down once: what is converted is as many points of another worth."""
        try:
            expected = int(before * Fraction(loads(entry.explanation)["rate"]))
        except (KeyError, TypeError, ValueError, ZeroDivisionError):
            self._note(entry, "conversion_differs", "a rate", entry.explanation)
            return
        if after != expected:
            self._note(entry, "conversion_differs", expected, after)

    def _follow_hold(self, entry: EntryRow, facts: Facts) -> None:
        if entry.kind == _Kind.SPEND:
            hold, account_id = facts.holds.get(entry.order_ref, ("", 0))
            if account_id != self.account_id:
                self._note(entry, "spend_without_hold", f"a hold captured for {entry.order_ref}", "none")
                self.unknown_hold = True
                return
            change = -entry.points
        else:
            # hold:<public id>:<seq>, release:<public id>:<seq>
            hold = entry.idempotency_key.split(":")[1] if ":" in entry.idempotency_key else ""
            change = entry.points if entry.kind == _Kind.HOLD else -entry.points
        self.held[hold] += change
        if not self.held[hold]:
            del self.held[hold]

    def _check_text(self, entry: EntryRow, moves: str, facts: Facts) -> None:
        if entry.available_after != self.counters[_AVAILABLE]:
            self._note(entry, "available_after_differs", self.counters[_AVAILABLE], entry.available_after)
        key_digest = digest(entry.idempotency_key)
        if entry.key_digest != key_digest:
            self._note(entry, "key_digest_differs", key_digest, entry.key_digest)
        if len(entry.fingerprint) != 64:
            self._note(entry, "fingerprint_missing", "64 hexadecimal digits", entry.fingerprint or "nothing")
        if entry.prev_hash != self.hash:
            self._note(entry, "prev_hash_differs", self.hash or "nothing", entry.prev_hash or "nothing")
        told = link_hash(
            *(entry.prev_hash, self.public_id, entry.seq, entry.kind, entry.key_digest, entry.fingerprint),
            *(entry.points, entry.available_after, entry.effective_us, entry.created_us, entry.actor_ref),
            *(entry.order_ref, entry.reason_code, _digest_of_json(entry.explanation)),
            facts.hashes.get(entry.reverses_id, "") if entry.reverses_id is not None else "",
            moves,
        )
        if told != entry.hash:
            self._note(entry, "hash_differs", told, entry.hash)
        self.hash = entry.hash

    # After the last entry

    def check_account(self, *, stored: Sequence[int], seq: int, head_hash: str) -> None:
        """Compare with the account's row. ``stored`` in the order of ``COUNTERS``."""
        for name, expected, found in zip(COUNTERS, self.counters, stored, strict=True):
            if expected != found:
                self.note("counter_differs", f"{name} {expected}", f"{name} {found}")
        if self.counters[_DEBT] > 0 and self.counters[_AVAILABLE] > 0:
            self.note(
                "debt_beside_balance", "one of them", f"{self.counters[_DEBT]}, {self.counters[_AVAILABLE]}"
            )
        if seq != self.seq:
            self.note("head_seq_differs", self.seq, seq)
        if head_hash != self.hash:
            self.note("head_hash_differs", self.hash or "nothing", head_hash or "nothing")

    def check_holds(self, open_holds: Iterable[tuple[int, str, int]]) -> None:
        """Compare with the open reservations: ``(id, public id, points)``."""
        for pk, public_id, points in open_holds:
            reserved = self.held.pop(public_id, 0)
            if reserved != points:
                self.note("hold_differs", reserved, points, hold_id=pk)
        if not self.unknown_hold:
            for public_id, reserved in self.held.items():
                self.note("hold_differs", f"{reserved} by {public_id or 'an unnamed hold'}", "no open hold")


class LotSums:
    """The lots of one account, compared one by one with what their postings add up to, and summed."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._pending = self._remaining = self._reversed = 0
        self._held = max(replay.counters[_HELD], 0)
        self._due_us: int | None = None
        self._left: list[tuple[int, int, int]] = []

    def add(self, lot: LotRow, folded: Sequence[int] | None) -> None:
        folded = folded or [0] * len(LOT_COLUMNS)
        note = self._replay.note
        if tuple(folded) != lot.columns:
            for name, expected, found in zip(LOT_COLUMNS, folded, lot.columns, strict=True):
                if expected != found:
                    note("lot_differs", f"{name} {expected}", f"{name} {found}", lot_id=lot.id)
        if sum(folded) != lot.amount:
            note("lot_amount_differs", sum(folded), lot.amount, lot_id=lot.id)
        pending, remaining = folded[_LOT_PENDING], folded[_REMAINING]
        self._pending += pending
        self._remaining += remaining
        self._reversed += folded[_REVERSED]
        if lot.open != (pending + remaining > 0):
            note("lot_open_differs", pending + remaining > 0, lot.open, lot_id=lot.id)
        if pending > 0:
            self._ask_for(lot.active_us)
        if remaining > 0:
            self._left.append((lot.expires_us, lot.id, remaining))

    def _ask_for(self, us: int) -> None:
        self._due_us = us if self._due_us is None else min(self._due_us, us)

    def finish(self, *, due_us: int) -> None:
        counters = self._replay.counters
        for name, expected, found in (
            ("left", counters[_AVAILABLE] + counters[_HELD], self._remaining),
            ("pending", counters[_PENDING], self._pending),
            ("reversed", counters[_TAKEN_BACK] - counters[_DEBT], self._reversed),
        ):
            if expected != found:
                self._replay.note("lots_differ_from_account", f"{name} {expected}", f"{name} {found}")
        # Reservations keep what expires first, and what they keep wholly asks for nothing.
        held = self._held
        for expires_us, _pk, remaining in sorted(self._left):
            held -= remaining
            if held < 0:
                self._ask_for(expires_us)
                break
        if self._due_us is not None and due_us > self._due_us:
            self._replay.note("due_late", f"at most {moment(self._due_us)}", moment(due_us))

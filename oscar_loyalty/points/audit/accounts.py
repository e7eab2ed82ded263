"""A range of accounts, replayed in one consistent view for as many as fit into one piece."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from operator import attrgetter

from oscar_loyalty.points import chart
from oscar_loyalty.points.audit import reading
from oscar_loyalty.points.audit.findings import Finding
from oscar_loyalty.points.audit.reading import AccountRow
from oscar_loyalty.points.audit.replay import EntryRow, LotRow, LotSums, Replay
from oscar_loyalty.points.models import LOT_COLUMNS, Account

_ENDED = (Account.Status.CLOSED, Account.Status.MERGED)


@dataclass
class Audited:
    """What was looked at, up to and including the account ``last_id``."""

    last_id: int
    accounts: int = 0
    entries: int = 0
    findings: list[Finding] = field(default_factory=list)


def audit_account(account_id: int, *, announced_since: datetime | None = None) -> list[Finding]:
    """
    Replay one account and return what is wrong with it. Never wrong about an account that is being
    booked on: outside of a transaction it reads a snapshot, inside of one it locks the account's row.

    ``announced_since``: entries from then on must have their message in the outbox; older messages may
    have been deleted. Without it messages are not looked for.
    """
    pieces = audit_range(account_id, account_id, announced_since=announced_since)
    return [finding for piece in pieces for finding in piece.findings]


def audit_range(
    first_id: int,
    last_id: int,
    *,
    since_entry: int | None = None,
    announced_since: datetime | None = None,
) -> Iterator[Audited]:
    """
    Replay the accounts of a range of ids, piece by piece: each is complete when it is handed out, and
    the next one begins after its ``last_id``.
    """
    while first_id <= last_id:
        with reading.consistent_view(first_id if first_id == last_id else None):
            rows = reading.read_accounts(first_id=first_id, last_id=last_id, since_entry=since_entry)
            if not rows:
                yield Audited(last_id=last_id)
                return
            together = _as_many_as_fit(rows)
            try:
                piece = _Piece(together, every=since_entry is None, announced_since=announced_since).audit()
            except _TooManyEntries:
                together = rows[:1]
                piece = _Piece(together, every=True, announced_since=announced_since, large=True).audit()
        piece.last_id = last_id if together[-1].id == last_id else together[-1].id
        first_id = piece.last_id + 1
        yield piece


def _as_many_as_fit(rows: list[AccountRow]) -> list[AccountRow]:
    """The first accounts that have no more than a piece of entries together; at least one."""
    entries, count = rows[0].seq, 1
    while count < len(rows) and entries + rows[count].seq <= reading.PIECE:
        entries += rows[count].seq
        count += 1
    return rows[:count]


class _TooManyEntries(Exception):
    """Accounts say that they have fewer entries than they have."""


class _Piece:
    def __init__(
        self,
        rows: list[AccountRow],
        *,
        every: bool,
        announced_since: datetime | None,
        large: bool = False,
    ) -> None:
        self.rows = rows
        self.announced_since = announced_since
        ids = [row.id for row in rows]
        self.which: reading.Which = {"gte": ids[0], "lte": ids[-1]} if every else {"in": ids}
        # Lots of one account that has more entries than a piece may be too many to keep.
        self.is_large = large or (len(rows) == 1 and rows[0].seq > reading.PIECE)
        self.replays = {row.id: Replay(row.id, row.public_id, fold_lots=not self.is_large) for row in rows}
        self.result = Audited(last_id=rows[-1].id, accounts=len(rows))

    def audit(self) -> Audited:
        self._replay_entries()
        self._check_holds()
        self._check_lots()
        self._check_accounts()
        for replay in self.replays.values():
            self.result.findings += replay.findings
        return self.result

    def _replay_entries(self) -> None:
        lots: dict[int, LotRow] = {}
        if not self.is_large:
            lots = {lot.id: lot for lot in reading.read_lots(which=self.which)}
        self.lots = lots
        after_seq = 0
        limit = reading.PIECE if self.is_large else 2 * reading.PIECE
        while True:
            entries = reading.read_entries(which=self.which, after_seq=after_seq, limit=limit)
            if not entries:
                return
            if not self.is_large and len(entries) == limit:
                raise _TooManyEntries
            self._replay_some(entries, lots)
            if not self.is_large:
                return
            after_seq = entries[-1].seq

    def _replay_some(self, entries: list[EntryRow], lots: dict[int, LotRow]) -> None:
        from_seq = entries[0].seq if self.is_large else None
        to_seq = entries[-1].seq if self.is_large else None
        postings = reading.read_postings(which=self.which, from_seq=from_seq, to_seq=to_seq)
        named = {row[1] for rows in postings.values() for row in rows if row[1] is not None}
        known = lots if not self.is_large else {}
        facts = reading.read_facts(entries, {**known, **reading.read_lots_by_id(named - known.keys())})
        for account_id, of_account in groupby(entries, key=attrgetter("account_id")):
            replay = self.replays.get(account_id)
            if replay is not None:
                for entry in of_account:
                    replay.add(entry, postings.get(entry.id, ()), facts)
        self.result.entries += len(entries)
        self._check_reversals([entry for entry in entries if entry.reverses_id is not None])
        self._check_messages(from_seq, to_seq)

    def _check_reversals(self, reversals: list[EntryRow]) -> None:
        if not reversals:
            return
        by_original = {entry.reverses_id: self.replays[entry.account_id] for entry in reversals}
        for entry_id, points, undone in reading.read_excessive_reversals(reversals):
            by_original[entry_id].note("reversed_too_much", f"at most {points}", undone, entry_id=entry_id)
        for entry_id, lot_id, spent, returned in reading.read_excessive_returns(reversals):
            by_original[entry_id].note(
                "reversed_too_much_of_lot", f"at most {spent}", returned, entry_id=entry_id, lot_id=lot_id
            )
        for entry_id, line, earned, taken in reading.read_lines_taken_back_twice(reversals):
            by_original[entry_id].note(
                "line_taken_back_twice", f"{line} at most {earned}", taken, entry_id=entry_id
            )

    def _check_messages(self, from_seq: int | None, to_seq: int | None) -> None:
        if self.announced_since is None:
            return
        for account_id, entry_id in reading.read_missing_messages(
            which=self.which, since=self.announced_since, from_seq=from_seq, to_seq=to_seq
        ):
            if account_id in self.replays:
                self.replays[account_id].note("message_missing", "a message", "none", entry_id=entry_id)

    def _check_holds(self) -> None:
        open_holds = reading.read_open_holds(which=self.which)
        for account_id, replay in self.replays.items():
            replay.check_holds(open_holds.get(account_id, ()))
        for account_id, hold_id, points in reading.read_unspent_captures(which=self.which):
            if account_id in self.replays:
                self.replays[account_id].note("hold_not_spent", points, "no such entry", hold_id=hold_id)

    def _check_lots(self) -> None:
        sums = {account_id: LotSums(replay) for account_id, replay in self.replays.items()}
        if self.is_large:
            self._check_many_lots(sums[self.rows[0].id])
        else:
            self._check_descent(list(self.lots.values()))
            for lot in sorted(self.lots.values()):
                if lot.account_id in sums:
                    folded = self.replays[lot.account_id].folded
                    assert folded is not None
                    sums[lot.account_id].add(lot, folded.get(lot.id))
        for row in self.rows:
            sums[row.id].finish(due_us=row.due_us)
        for account_id, entry_id, points, total in reading.read_lines_that_differ(which=self.which):
            if account_id in self.replays:
                self.replays[account_id].note("lines_differ", points, total, entry_id=entry_id)

    def _check_many_lots(self, sums: LotSums) -> None:
        """The lots of one account, piece by piece, with what the database adds up for them."""
        account_id, after_id = self.rows[0].id, 0
        while lots := reading.read_lots(which=self.which, after_id=after_id, limit=reading.PIECE):
            folded: dict[int, list[int]] = defaultdict(lambda: [0] * len(LOT_COLUMNS))
            for lot_id, debit, credit, points in reading.sum_postings_of_lots(
                account_id=account_id, first_id=lots[0].id, last_id=lots[-1].id
            ):
                for column, sign in chart.lot_effects(debit, credit):
                    folded[lot_id][LOT_COLUMNS.index(column)] += sign * points
            self._check_descent(lots)
            for lot in lots:
                sums.add(lot, folded.get(lot.id))
            after_id = lots[-1].id

    def _check_descent(self, lots: list[LotRow]) -> None:
        """A lot is looked at with its parent and all that descend from that, wherever those are."""
        children = {lot.id: lot for lot in lots if lot.parent_id is not None}
        if not children:
            return
        for account_id, lot_id, parent_id in reading.read_odd_children(sorted(children)):
            self.replays[account_id].note("lot_parent_invalid", "an older lot", parent_id, lot_id=lot_id)
        parents = {lot.parent_id or 0: lot.account_id for lot in children.values()}
        for parent_id, moved, total in reading.read_excessive_children(sorted(parents)):
            self.replays[parents[parent_id]].note(
                "lot_children_exceed", f"at most {moved}", total, lot_id=parent_id
            )

    def _check_accounts(self) -> None:
        targets = {row.merged_into_id for row in self.rows if row.merged_into_id is not None}
        statuses = reading.read_statuses(targets) if targets else {}
        for row in self.rows:
            replay = self.replays[row.id]
            replay.check_account(stored=row.counters, seq=row.seq, head_hash=row.head_hash)
            if replay.open_groups:
                self._check_groups(replay)
            self._check_state(row, replay, statuses)

    def _check_groups(self, replay: Replay) -> None:
        found = reading.read_clearing(replay.account_id, {group for group, _, _ in replay.open_groups})
        for group, entry_id, _lacks in replay.open_groups:
            points, first = found.get(str(group), (0, entry_id))
            if points and first == entry_id:
                replay.note("group_unbalanced", 0, points, entry_id=entry_id)

    def _check_state(self, row: AccountRow, replay: Replay, statuses: dict[int, str]) -> None:
        pending, available, held, debt, *_ = row.counters
        if row.status in _ENDED and (pending or available or held or debt):
            replay.note(
                "ended_account_not_empty", 0, f"{pending} + {available} + {held} points, {debt} deficit"
            )
        is_merged = row.status == Account.Status.MERGED
        if is_merged != (row.merged_into_id is not None) or row.merged_into_id == row.id:
            replay.note("redirect_invalid", "a successor" if is_merged else "none", row.merged_into_id)
        key = None if row.status in _ENDED else f"{row.programme_id}:{row.member_id}"
        if row.open_key != key:
            replay.note("open_key_differs", key, row.open_key)

"""
Many awards at once: the rows that :func:`award_points` would write one after the other, in few statements.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from decimal import Decimal
from functools import reduce
from itertools import islice
from operator import or_
from typing import Any

from django.db import transaction
from django.db.models import Min, Q

from oscar_loyalty.points.book import Book, Move, check_points, write_books
from oscar_loyalty.points.errors import AccountNotOpen, IdempotencyKeyReused, InvalidPoints
from oscar_loyalty.points.hashing import award_fingerprint, digest
from oscar_loyalty.points.models import EarnedLine, Entry, Lot, Posting
from oscar_loyalty.points.rules import LineEarning
from oscar_loyalty.points.services.common import require_taking
from oscar_loyalty.points.services.earning import award_points
from oscar_loyalty.programmes.rules import FAR_FUTURE

_Code = Posting.Code
#: SQLite follows an expression a thousand steps deep.
_ACCOUNTS_AT_ONCE = 500


@dataclass(frozen=True, kw_only=True)
class Award:
    """The arguments of :func:`award_points`. With ``expires_from`` the months until expiry are counted
    from that moment, where it is later than the one at which the points become spendable."""

    account_id: int
    points: int
    idempotency_key: str
    source_ref: str
    active_at: datetime
    expiry_months: int | None
    unit_value: Decimal
    currency: str
    order_ref: str = ""
    lines: tuple[LineEarning, ...] = ()
    explanation: dict[str, Any] = field(default_factory=dict)
    effective_at: datetime | None = None
    expires_from: datetime | None = None

    def as_arguments(self) -> dict[str, Any]:
        """For :func:`award_points`, which knows no ``expires_from``."""
        return {name: getattr(self, name) for name in _ARGUMENTS}


_ARGUMENTS = tuple(one.name for one in fields(Award) if one.name != "expires_from")


@dataclass(frozen=True, kw_only=True)
class Awarded:
    """
    What became of an award: its ``entry``, which ``is_new`` unless the key was booked before, or the
    ``error`` that :func:`award_points` would have raised.
    """

    entry: Entry | None = None
    is_new: bool = False
    error: Exception | None = None


@transaction.atomic
def award_many(awards: Sequence[Award], *, now: datetime) -> list[Awarded]:
    """
    Book awards in the order given, each as :func:`award_points` would; return what became of each.

    All accounts are locked by one statement in ascending order, so that two of these never wait for each
    other. What one award is refused for concerns no other; what the database refuses undoes all of them.
    """
    by_account: dict[int, list[int]] = defaultdict(list)
    for position, award in enumerate(awards):
        by_account[award.account_id].append(position)
    books = Book.open_many(by_account, now=now)
    earlier = _find_entries(awards)
    done: dict[int, Awarded] = {}
    immediate: list[Book] = []
    new_lots: dict[int, list[Lot]] = {}
    for account_id, positions in by_account.items():
        book = books[account_id]
        ours = [awards[position] for position in positions]
        if book.account.held and any(_is_over(book, award) for award in ours):
            # Which points are reserved decides which may expire: that needs every lot, so one by one.
            for position, award in zip(positions, ours, strict=True):
                done[position] = _award_one(award, now=now)
            continue
        lots = new_lots[account_id] = []
        for position, award in zip(positions, ours, strict=True):
            done[position] = awarded = _award(book, award, earlier=earlier, lots=lots)
            if awarded.entry is not None:
                earlier[account_id, awarded.entry.key_digest] = awarded.entry
        if any(lot.active_at <= now for lot in lots):
            immediate.append(book)
    _find_next_due(immediate, new_lots=new_lots, now=now)
    write_books(list(books.values()))
    return [done[position] for position in range(len(awards))]


def _find_entries(awards: Iterable[Award]) -> dict[tuple[int, str], Entry]:
    keys: dict[int, list[str]] = defaultdict(list)
    for award in awards:
        keys[award.account_id].append(digest(award.idempotency_key))
    entries: dict[tuple[int, str], Entry] = {}
    # Each account with its own keys: all accounts with all keys would be looked up crosswise.
    pairs = iter(keys.items())
    while batch := list(islice(pairs, _ACCOUNTS_AT_ONCE)):
        wanted = [Q(account_id=account_id, key_digest__in=digests) for account_id, digests in batch]
        for entry in Entry.objects.filter(reduce(or_, wanted)):
            entries[entry.account_id, entry.key_digest] = entry
    return entries


def _award(book: Book, award: Award, *, earlier: dict[tuple[int, str], Entry], lots: list[Lot]) -> Awarded:
    fingerprint = award_fingerprint(points=award.points, source_ref=award.source_ref, lines=award.lines)
    entry = earlier.get((award.account_id, digest(award.idempotency_key)))
    if entry is not None:
        if entry.fingerprint == fingerprint:
            return Awarded(entry=entry)
        return Awarded(error=IdempotencyKeyReused(award.idempotency_key))
    try:
        check_points(award.points)
        require_taking(book.account)
    except (InvalidPoints, AccountNotOpen) as error:
        return Awarded(error=error)
    lot = book.add_lot(
        amount=award.points,
        source_ref=award.source_ref,
        active_at=award.active_at,
        expires_at=_expiry_of(book, award),
        expiry_months=award.expiry_months,
        unit_value=award.unit_value,
        currency=award.currency,
    )
    lots.append(lot)
    entry = book.post(
        Entry.Kind.EARN,
        [Move(_Code.EXPENSE, _Code.PENDING, award.points, lot)],
        points=award.points,
        idempotency_key=award.idempotency_key,
        fingerprint=fingerprint,
        order_ref=award.order_ref,
        explanation=award.explanation,
        effective_at=award.effective_at,
        lines=[
            EarnedLine(line_ref=line.ref, rule_code=line.rule_code, basis=line.basis, points=line.points)
            for line in award.lines
        ],
    )
    book.settle_lot(lot)
    return Awarded(entry=entry, is_new=True)


def _award_one(award: Award, *, now: datetime) -> Awarded:
    is_new = not Entry.objects.filter(
        account_id=award.account_id, key_digest=digest(award.idempotency_key)
    ).exists()
    try:
        return Awarded(entry=award_points(**award.as_arguments(), now=now), is_new=is_new)
    except (InvalidPoints, AccountNotOpen, IdempotencyKeyReused) as error:
        return Awarded(error=error)


def _expiry_of(book: Book, award: Award) -> datetime:
    active_at = award.active_at
    if award.expires_from is not None and active_at != FAR_FUTURE:
        active_at = max(active_at, award.expires_from)
    return book.expiry_of(active_at, months=award.expiry_months)


def _is_over(book: Book, award: Award) -> bool:
    return award.active_at <= book.now and _expiry_of(book, award) <= book.now


def _find_next_due(books: list[Book], *, new_lots: dict[int, list[Lot]], now: datetime) -> None:
    """As after settling: the exact moment, where awarding alone only brings it forward."""
    if not books:
        return
    due = dict.fromkeys((book.account.pk for book in books), FAR_FUTURE)
    stored = Lot.objects.filter(account_id__in=due, open=True).values("account_id").order_by()
    for row in stored.annotate(
        active=Min("active_at", filter=Q(pending__gt=0)),
        expires=Min("expires_at", filter=Q(remaining__gt=0, expires_at__gt=now)),
    ):
        moments = (row["active"] or FAR_FUTURE, row["expires"] or FAR_FUTURE)
        due[row["account_id"]] = min(moments)
    for book in books:
        moment = due[book.account.pk]
        for lot in new_lots[book.account.pk]:
            if lot.pending:
                moment = min(moment, lot.active_at)
            elif lot.remaining and lot.expires_at > now:
                moment = min(moment, lot.expires_at)
        book.account.due_at = moment

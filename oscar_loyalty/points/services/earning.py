"""Points come in on orders, become spendable, and are taken back."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet

from oscar_loyalty.points import fast
from oscar_loyalty.points.book import Book, Move, check_points
from oscar_loyalty.points.errors import InsufficientPoints, InvalidShare
from oscar_loyalty.points.fast import with_fast_path
from oscar_loyalty.points.hashing import award_fingerprint, digest
from oscar_loyalty.points.models import Account, EarnedLine, Entry, Lot, Posting
from oscar_loyalty.points.rules import LineEarning, points_to_take_back, share_out
from oscar_loyalty.points.services.common import require_on_trail, require_taking, spread
from oscar_loyalty.points.texts import check_json, check_references, check_text
from oscar_loyalty.programmes.rules import FAR_FUTURE
from oscar_loyalty.transactions import atomic_with_retries

_Code = Posting.Code


@with_fast_path(fast.award_points)
@atomic_with_retries
def award_points(
    *,
    account_id: int,
    points: int,
    idempotency_key: str,
    source_ref: str,
    active_at: datetime,
    expiry_months: int | None,
    unit_value: Decimal,
    currency: str,
    now: datetime,
    order_ref: str = "",
    lines: Sequence[LineEarning] = (),
    explanation: dict[str, Any] | None = None,
    effective_at: datetime | None = None,
) -> Entry:
    """
    Book ``points`` as pending; they become spendable at ``active_at`` (``FAR_FUTURE``: not known yet,
    see :func:`schedule_activation`) and expire ``expiry_months`` after that.

    :raises IdempotencyKeyReused: the key was first used for another award
    :raises AccountNotOpen: the account was closed or merged; a frozen one goes on earning
    """
    check_points(points)
    check_references(idempotency_key, source_ref, order_ref, *(line.ref for line in lines))
    check_text(currency, most=3)
    check_json(explanation or {})
    fingerprint = award_fingerprint(points=points, source_ref=source_ref, lines=lines)
    book = Book.open(account_id, now=now)
    if earlier := book.find_entry(idempotency_key, fingerprint=fingerprint):
        return earlier
    require_taking(book.account)
    lot = book.add_lot(
        amount=points,
        source_ref=source_ref,
        active_at=active_at,
        expires_at=book.expiry_of(active_at, months=expiry_months),
        expiry_months=expiry_months,
        unit_value=unit_value,
        currency=currency,
    )
    entry = book.post(
        Entry.Kind.EARN,
        [Move(_Code.EXPENSE, _Code.PENDING, points, lot)],
        points=points,
        idempotency_key=idempotency_key,
        fingerprint=fingerprint,
        order_ref=order_ref,
        explanation=explanation,
        effective_at=effective_at,
        lines=[
            EarnedLine(
                line_ref=line.ref,
                rule_code=line.rule_code,
                basis=line.basis,
                points=line.points,
            )
            for line in lines
        ],
    )
    book.flush()
    book.settle()
    return entry


@atomic_with_retries
def schedule_activation(*, account_id: int, source_ref: str, active_at: datetime, now: datetime) -> int:
    """
    Let pending points of a source become spendable at ``active_at``; return how many that concerns.
    Only the first moment counts: an order that reaches its status again starts no new waiting period.
    """
    trail, books = Book.follow(account_id, now=now)
    book = books[trail[-1]]
    lots = list(
        Lot.objects.filter(
            account=book.account, source_ref=source_ref, pending__gt=0, active_at=FAR_FUTURE
        ).order_by("id")
    )
    for lot in lots:
        lot.active_at = active_at
        lot.expires_at = book.expiry_of(active_at, months=lot.expiry_months)
        book.touch(lot)
    points = sum(lot.pending for lot in lots)
    book.flush()
    book.settle()
    return points


@atomic_with_retries
def clawback_points(
    *,
    account_id: int,
    earned: Entry,
    idempotency_key: str,
    now: datetime,
    points: int | None = None,
    shares: Mapping[str, Fraction] | None = None,
) -> Entry | None:
    """
    Take back ``points`` of an earning (all that is left of it by default), whatever rule is in force
    today: pending ones first, then from the lot they came in, then by earliest expiry. What is already
    spent becomes a deficit that later credits repay. ``None`` when nothing is left to take.

    Or say in ``shares`` which part of each order line, 0 to 1, has been given back so far in all: then so
    many points are taken that this part of what was recorded for the line, rule by rule and rounded down,
    is gone. ``""`` names the whole order, for what was recorded for none of its lines. In however many
    steps, and whatever came before, it ends at the same points as all at once.

    Where the account was merged into another one, the points are taken there. From a closed account
    nothing is taken: what it had was given up, and nobody is left to owe anything.

    :raises InsufficientPoints: more than is left of the earning
    :raises InvalidShare: less than nothing of a line, more than all of it, or no exact part
    :raises ValueError: both ``points`` and ``shares``, or an earning of another account
    """
    if points is not None and shares is not None:
        raise ValueError("Either points or shares.")
    told = [] if shares is None else [_as_text(shares)]
    fingerprint = digest(["CLAWBACK", earned.pk, points, *told])
    trail, books = Book.follow(earned.account_id, now=now)
    require_on_trail(account_id, trail)
    book = books[trail[-1]]
    if earlier := book.find_entry(idempotency_key, fingerprint=fingerprint, trail=trail):
        return earlier
    if book.account.status == Account.Status.CLOSED:
        return None
    parts = _parts_of(earned)
    taken = _points_by_part(parts, points=points, shares=shares)
    points = sum(taken)
    if points == 0:
        return None
    # In two steps: joined, a planner with old statistics may read every lot there is.
    lot_ids = list(Posting.objects.filter(entry=earned).values_list("lot_id", flat=True))
    source_lots = book.family_of(Lot.objects.filter(pk__in=lot_ids))
    moves = [
        Move(_Code.PENDING, _Code.EXPENSE, share, lot)
        for lot, share in spread(points, [(lot, lot.pending) for lot in source_lots])
    ]
    uncovered = points - sum(move.points for move in moves)
    available = min(uncovered, book.account.available)
    moves += [
        Move(_Code.AVAILABLE, _Code.EXPENSE, share, lot)
        for lot, share in book.take(available, first=source_lots)
    ]
    if uncovered > available:
        moves.append(Move(_Code.DEBT, _Code.EXPENSE, uncovered - available))
    entry = book.post(
        Entry.Kind.CLAWBACK,
        moves,
        points=points,
        idempotency_key=idempotency_key,
        fingerprint=fingerprint,
        order_ref=earned.order_ref,
        reverses=earned,
        lines=[
            EarnedLine(
                line_ref=part.line.line_ref,
                rule_code=part.line.rule_code,
                basis=part.line.basis,
                points=share,
            )
            for part, share in zip(parts, taken, strict=True)
            if share and part.line is not None
        ],
    )
    book.flush()
    return entry


def _as_text(shares: Mapping[str, Fraction]) -> dict[str, str]:
    """Shares as one text each, however they were computed."""
    check_references(*shares)
    for share in shares.values():
        # A float is near a share, not equal to it.
        if not isinstance(share, int | Fraction) or not 0 <= share <= 1:
            raise InvalidShare(share)
    return {ref: str(Fraction(share)) for ref, share in shares.items()}


@dataclass(frozen=True, kw_only=True)
class _Part:
    """What was recorded of an earning for one line by one rule, or for no line at all, and what of it is
    gone: taken back, and not given again."""

    line: EarnedLine | None
    points: int
    gone: int

    @property
    def ref(self) -> str:
        return "" if self.line is None else self.line.line_ref

    @property
    def left(self) -> int:
        return self.points - self.gone


def _parts_of(earned: Entry) -> list[_Part]:
    """An earning by line and rule, and last what exceeds its lines."""
    standing = list(standing_clawbacks(earned).values_list("pk", "points"))
    gone: dict[tuple[str, str], int] = defaultdict(int)
    for line in EarnedLine.objects.filter(entry__in=[pk for pk, _points in standing]):
        gone[line.line_ref, line.rule_code] += line.points
    parts = [
        _Part(line=line, points=line.points, gone=gone[line.line_ref, line.rule_code])
        for line in earned.lines.order_by("id")
    ]
    beyond = _Part(
        line=None,
        points=earned.points - sum(part.points for part in parts),
        gone=sum(points for _pk, points in standing) - sum(gone.values()),
    )
    return [*parts, beyond]


def standing_clawbacks(earned: Entry) -> QuerySet[Entry]:
    """What was taken back of an earning and not given again, on whatever account: the member's accounts
    may have been merged meanwhile."""
    undone = Entry.objects.filter(reverses=OuterRef("pk"), kind=Entry.Kind.CLAWBACK_UNDONE)
    return Entry.objects.filter(~Exists(undone), reverses=earned, kind=Entry.Kind.CLAWBACK)


def _points_by_part(
    parts: Sequence[_Part], *, points: int | None, shares: Mapping[str, Fraction] | None
) -> list[int]:
    """How many points of each part go now."""
    if shares is not None:
        return [
            max(points_to_take_back(part.points, share=Fraction(shares.get(part.ref, 0))) - part.gone, 0)
            for part in parts
        ]
    lefts = [part.left for part in parts]
    if points is None:
        return lefts
    if check_points(points) > sum(lefts):
        raise InsufficientPoints
    return share_out(points, [Fraction(left) for left in lefts])

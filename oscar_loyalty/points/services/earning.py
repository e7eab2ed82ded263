"""Points come in on orders, become spendable, and are taken back."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from django.db.models import Sum

from oscar_loyalty.points import fast
from oscar_loyalty.points.book import Book, Move, check_points
from oscar_loyalty.points.errors import InsufficientPoints
from oscar_loyalty.points.fast import with_fast_path
from oscar_loyalty.points.hashing import award_fingerprint, digest
from oscar_loyalty.points.models import Account, EarnedLine, Entry, Lot, Posting
from oscar_loyalty.points.rules import LineEarning, points_to_take_back, share_out
from oscar_loyalty.points.services.common import require_on_trail, require_taking, spread
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
    fingerprint = award_fingerprint(points=points, source_ref=source_ref, lines=lines)
    check_points(points)
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
    lines: Mapping[str, Decimal] | None = None,
) -> Entry | None:
    """
    Take back ``points`` of an earning (all that is left of it by default), whatever rule is in force
    today: pending ones first, then from the lot they came in, then by earliest expiry. What is already
    spent becomes a deficit that later credits repay. ``None`` when nothing is left to take.

    Or say in ``lines`` how much money of each order line has been given back so far: then so many points
    are taken that each line keeps its share of what was recorded. In however many steps, and whatever
    came before, it ends at the same points as all at once.

    Where the account was merged into another one, the points are taken there. From a closed account
    nothing is taken: what it had was given up, and nobody is left to owe anything.

    :raises InsufficientPoints: more than is left of the earning
    :raises ValueError: both ``points`` and ``lines``, or an earning of another account
    """
    if points is not None and lines is not None:
        raise ValueError("Either points or lines.")
    money = None if lines is None else {ref: f"{amount.normalize():f}" for ref, amount in lines.items()}
    fingerprint = digest(["CLAWBACK", earned.pk, points, *([money] if money is not None else [])])
    trail, books = Book.follow(earned.account_id, now=now)
    require_on_trail(account_id, trail)
    book = books[trail[-1]]
    if earlier := book.find_entry(idempotency_key, fingerprint=fingerprint, trail=trail):
        return earlier
    if book.account.status == Account.Status.CLOSED:
        return None
    left = earned.points - _points_reversed(earned, kind=Entry.Kind.CLAWBACK)
    lines_left = _lines_left(earned)
    if lines is not None:
        taken = _lines_returned(lines_left, lines)
        points = min(sum(share for _line, share in taken), left)
    elif points is None or points == left:
        points, taken = left, lines_left
    elif check_points(points) > left:
        raise InsufficientPoints
    else:
        most = [Fraction(share) for _line, share in lines_left]
        shares = share_out(min(points, sum(share for _line, share in lines_left)), most)
        taken = [(line, share) for (line, _left), share in zip(lines_left, shares, strict=True)]
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
            EarnedLine(line_ref=line.line_ref, rule_code=line.rule_code, basis=line.basis, points=share)
            for line, share in taken
            if share
        ],
    )
    book.flush()
    return entry


def _points_reversed(entry: Entry, *, kind: str) -> int:
    """On whatever account: the member's accounts may have been merged meanwhile."""
    return entry.reversed_by.filter(kind=kind).aggregate(points=Sum("points"))["points"] or 0


def _lines_left(earned: Entry) -> list[tuple[EarnedLine, int]]:
    """What was not taken back yet of each line of an earning."""
    gone: dict[tuple[str, str], int] = defaultdict(int)
    for line in EarnedLine.objects.filter(entry__reverses=earned, entry__kind=Entry.Kind.CLAWBACK):
        gone[line.line_ref, line.rule_code] += line.points
    return [
        (line, line.points - gone[line.line_ref, line.rule_code])
        for line in earned.lines.order_by("id")
        if line.points > gone[line.line_ref, line.rule_code]
    ]


def _lines_returned(
    lines_left: list[tuple[EarnedLine, int]], returned: Mapping[str, Decimal]
) -> list[tuple[EarnedLine, int]]:
    """How many points of each line go when so much of its money has been returned in all."""
    return [
        (line, max(points_to_take_back(line.points, basis=line.basis, returned=money) - gone, 0))
        for line, gone, money in (
            (line, line.points - left, returned[line.line_ref])
            for line, left in lines_left
            if line.line_ref in returned
        )
    ]

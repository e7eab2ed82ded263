from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import QuerySet, Sum

from oscar_loyalty.returns.models import (
    NOTHING,
    Condition,
    Return,
    ReturnEvent,
    ReturnLabel,
    ReturnLine,
    ReturnPolicy,
)
from oscar_loyalty.returns.rules import WITHDRAWAL_DAYS, Gone
from oscar_loyalty.returns.states import OPEN, VOID


@dataclass(frozen=True, kw_only=True)
class Booked:
    """What all earlier returns of an order took back: by line, and of the delivery charge."""

    lines: Mapping[int, Gone]
    delivery: Decimal


def find_policy(*, programme_id: int | None, currency: str, at: datetime) -> ReturnPolicy:
    """
    The policy in force at a moment; before the first one, that. Where the shop has none for a currency, what
    the law grants: 14 days, free of charge (not stored, without a key).
    """
    found = ReturnPolicy.objects.filter(currency=currency)
    if programme_id is not None:
        found = found.filter(programme_id=programme_id)
    return (
        found.filter(active_from__lte=at).order_by("-active_from").first()
        or found.order_by("active_from").first()
        or ReturnPolicy(currency=currency, window_days=WITHDRAWAL_DAYS)
    )


def find_return(*, number: str) -> Return | None:
    return Return.objects.filter(number=number.strip().upper()).first()


def list_returns_of_order(*, order_ref: str) -> QuerySet[Return]:
    """Oldest first, whatever became of them."""
    return Return.objects.filter(order_ref=order_ref).order_by("id").prefetch_related("lines")


def find_returned_pieces(*, order_ref: str) -> dict[int, int]:
    """
    Pieces by line that are on their way back, came back or were refused: none of them can be returned again.
    What was promised and not in the parcel can.
    """
    pieces: dict[int, int] = defaultdict(int)
    lines = ReturnLine.objects.filter(of_return__order_ref=order_ref).exclude(of_return__state__in=VOID)
    for line in lines:
        missing = line.accepted is not None and line.condition == Condition.MISSING
        pieces[line.line_id] += line.accepted or 0 if missing else line.quantity
    return dict(pieces)


def sum_booked(*, order_ref: str, but_not: int | None = None) -> Booked:
    """What returns of an order that are booked took back, without the one with the key ``but_not``."""
    returns = Return.objects.filter(order_ref=order_ref, booked_at__isnull=False)
    if but_not is not None:
        returns = returns.exclude(pk=but_not)
    lines: dict[int, Gone] = {}
    for line in ReturnLine.objects.filter(of_return__in=returns, accepted__gt=0):
        before = lines.get(line.line_id, Gone())
        lines[line.line_id] = Gone(
            pieces=before.pieces + (line.accepted or 0),
            amount=before.amount + line.amount,
            deducted=before.deducted + line.deduction,
        )
    delivery = returns.aggregate(total=Sum("delivery_amount"))["total"]
    return Booked(lines=lines, delivery=delivery or NOTHING)


def sum_not_paid_out(*, order_ref: str) -> Decimal:
    """
    What returns of an order that are booked gave back in another way than as money: as points, or set off
    against points that were spent.
    """
    returns = Return.objects.filter(order_ref=order_ref, booked_at__isnull=False)
    as_points = returns.filter(credit_points__gt=0).aggregate(total=Sum("refund_amount"))["total"]
    set_off = returns.aggregate(total=Sum("set_off_amount"))["total"]
    return (as_points or NOTHING) + (set_off or NOTHING)


def sum_kept(*, order_ref: str) -> Decimal:
    """Money for goods of an order that were refunded and stayed with the customer."""
    kept = Return.objects.filter(order_ref=order_ref, keeps_goods=True, booked_at__isnull=False)
    return kept.aggregate(total=Sum("goods_amount"))["total"] or NOTHING


def count_events(*, order_ref: str) -> int:
    """Everything that ever happened to returns of an order: it only grows."""
    return ReturnEvent.objects.filter(of_return__order_ref=order_ref).count()


def list_open() -> QuerySet[Return]:
    return Return.objects.filter(state__in=OPEN).order_by("requested_at", "id")


def list_returns_of_user(*, user_id: int) -> QuerySet[Return]:
    """Newest first, with their lines."""
    return Return.objects.filter(user_id=user_id).order_by("-id").prefetch_related("lines")


def find_ready_label(*, return_id: int) -> ReturnLabel | None:
    return ReturnLabel.objects.filter(of_return_id=return_id, state=ReturnLabel.State.READY).first()


def find_return_by_key(*, key: str) -> Return | None:
    return Return.objects.filter(idempotency_key=key).first()

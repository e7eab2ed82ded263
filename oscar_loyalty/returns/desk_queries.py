"""What the returns desk looks for: by code, by how urgent it is, by where it stands."""

import re
from collections.abc import Collection
from datetime import datetime

from django.db.models import Case, Count, F, IntegerField, Q, QuerySet, Value, When

from oscar_loyalty.returns.models import Return
from oscar_loyalty.returns.states import OPEN, State

#: A scanner may read more than a code, never so much more.
LONGEST_SCAN = 200
_COMING = (State.REQUESTED, State.LABEL_SENT, State.IN_TRANSIT)
_DECIDED = (State.INSPECTED, State.PARTLY_ACCEPTED)
#: Refunded in advance, arrived, and nobody has looked into the parcel yet.
_UNCHECKED = Q(is_instant=True, decision="", received_at__isnull=False)


def list_by_scan(text: str) -> list[Return]:
    """
    Returns that a scanned or typed code means, newest first: the number of a return, the code of its label,
    or the number of an order. Of an order with one open return it is that one.
    """
    text = text.strip().lstrip("#")[:LONGEST_SCAN]
    if not text:
        return []
    number = re.sub(r"[\s-]", "", text).upper()
    found = list(Return.objects.filter(Q(number=number) | Q(label__tracking_code=text))[:2])
    if not found:
        found = list(Return.objects.filter(order_ref=text).order_by("-id")[:50])
        open_ones = [one for one in found if one.state in OPEN]
        found = open_ones if len(open_ones) == 1 else found
    return found


def count_at_desk(*, failed: Collection[str], now: datetime) -> dict[str, int]:
    """
    How many of :func:`list_at_desk` there are (``waiting``), and of :func:`list_overdue`: one statement.
    """
    return Return.objects.aggregate(
        waiting=Count("pk", filter=_is_waiting(failed)), overdue=Count("pk", filter=_is_overdue(now))
    )


def _is_waiting(failed: Collection[str]) -> Q:
    no_parcel = Q(state__in=OPEN, refund_due_at__isnull=False)
    return Q(state=State.RECEIVED) | no_parcel | _UNCHECKED | Q(number__in=failed)


def _is_overdue(now: datetime) -> Q:
    return Q(state__in=(*OPEN, *_DECIDED), refund_due_at__lte=now)


def list_at_desk(*, failed: Collection[str], now: datetime) -> QuerySet[Return]:
    """
    What somebody at the desk can do something about: refunds in ``failed`` (numbers of returns) first, then
    what is overdue, then by the day for which the refund was promised.
    """
    waiting = Return.objects.filter(_is_waiting(failed))
    rank = Case(
        When(number__in=failed, then=Value(0)),
        When(refund_due_at__lte=now, then=Value(1)),
        default=Value(2),
        output_field=IntegerField(),
    )
    return waiting.annotate(rank=rank).order_by("rank", F("refund_due_at").asc(nulls_last=True), "id")


def list_coming() -> QuerySet[Return]:
    """What is expected, longest expected first."""
    # Refunded in advance, it is on its way all the same.
    expected = Q(state__in=_COMING, keeps_goods=False) | Q(state=State.REFUNDED, is_instant=True)
    return Return.objects.filter(expected, received_at=None).order_by("requested_at", "id")


def list_awaiting_money() -> QuerySet[Return]:
    """Decided, and the money is not out yet."""
    return Return.objects.filter(state__in=_DECIDED).order_by("booked_at", "id")


def list_overdue(*, now: datetime) -> QuerySet[Return]:
    """
    The refund was promised for a moment that is over: arrived goods, and withdrawals from what never came.
    """
    return Return.objects.filter(_is_overdue(now)).order_by("refund_due_at", "id")


def list_missing(*, expired_before: datetime) -> QuerySet[Return]:
    """Refunded in advance, should have been sent by then, and never came."""
    return Return.objects.filter(
        is_instant=True,
        keeps_goods=False,
        booked_at__isnull=False,
        received_at=None,
        send_until__lt=expired_before,
    ).order_by("send_until", "id")


def list_unsent(*, expired_before: datetime) -> QuerySet[Return]:
    """
    Should have been sent by then, and nobody has seen a parcel. Not withdrawals: who has declared one has no
    contract any more, parcel or not.
    """
    return Return.objects.filter(
        kind=Return.Kind.RETURN,
        state__in=(State.REQUESTED, State.LABEL_SENT),
        send_until__lt=expired_before,
    ).order_by("id")

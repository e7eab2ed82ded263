"""Writes about goodwill: what a clerk's budget of a month still holds, and what was decided."""

import uuid
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from django.db.models import Sum

from oscar_loyalty.outbox.models import OutboxMessage
from oscar_loyalty.outbox.services import write_messages
from oscar_loyalty.returns.models import NOTHING, Goodwill, GoodwillBudget
from oscar_loyalty.transactions import make_unless_there

#: Of the outbox: a customer is to be told what they were given.
GIVEN_TOPIC = "goodwill_given"


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a clerk gave in a month without asking anybody: whole points, and money in one currency."""

    points: int
    amount: Decimal


def lock_budget(*, programme_id: int, clerk_id: int, month: date) -> None:
    """What a clerk gives in a month is given one after the other from here to the end of the transaction."""
    row = {"programme_id": programme_id, "clerk_id": clerk_id, "month": month}
    make_unless_there([GoodwillBudget(**row)], key="clerk_id")
    GoodwillBudget.objects.select_for_update().get(**row)


def sum_given(*, programme_id: int, clerk_id: int, month: date, currency: str) -> Given:
    """Without what a second person approved. Whoever decides on it holds the lock of :func:`lock_budget`."""
    given = Goodwill.objects.filter(
        programme_id=programme_id,
        clerk_id=clerk_id,
        month=month,
        state=Goodwill.State.GIVEN,
        decided_by_id=None,
    )
    return Given(
        points=given.aggregate(total=Sum("points"))["total"] or 0,
        amount=given.filter(currency=currency).aggregate(total=Sum("amount"))["total"] or NOTHING,
    )


def lock_goodwill(*, goodwill_id: int) -> Goodwill:
    """Under its row lock, after that of the order. :raises Goodwill.DoesNotExist"""
    return Goodwill.objects.select_for_update().get(pk=goodwill_id)


def find_goodwill(*, public_id: uuid.UUID) -> Goodwill | None:
    return Goodwill.objects.filter(public_id=public_id).first()


def mark_given(*, goodwill: Goodwill, decided_by_id: int | None, now: datetime) -> None:
    """Write down that it was given, and have the customer told where the clerk wished it."""
    goodwill.state = Goodwill.State.GIVEN
    goodwill.decided_by_id = decided_by_id
    goodwill.decided_at = now
    goodwill.save()
    if goodwill.tells_customer:
        message = OutboxMessage(
            topic=GIVEN_TOPIC,
            key=f"{GIVEN_TOPIC}:{goodwill.public_id}",
            payload={"goodwill": str(goodwill.public_id)},
            created_at=now,
            available_at=now,
        )
        write_messages([message])


def mark_rejected(*, goodwill: Goodwill, decided_by_id: int, now: datetime) -> None:
    goodwill.state = Goodwill.State.REJECTED
    goodwill.decided_by_id = decided_by_id
    goodwill.decided_at = now
    goodwill.save()

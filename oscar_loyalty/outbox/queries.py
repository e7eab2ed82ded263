from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Min, Q, QuerySet

from oscar_loyalty.outbox.models import OutboxMessage


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Messages that nobody has sent yet; ``failed`` were tried and will be tried again."""

    total: int
    due: int
    failed: int
    oldest: datetime | None


def count_waiting(*, now: datetime) -> Waiting:
    """How much news waits to go out: one statement."""
    found = OutboxMessage.objects.filter(waiting=True).aggregate(
        total=Count("pk"),
        due=Count("pk", filter=Q(available_at__lte=now)),
        failed=Count("pk", filter=Q(attempts__gt=0)),
        oldest=Min("created_at"),
    )
    return Waiting(**found)


def list_failing() -> QuerySet[OutboxMessage]:
    """Messages that could not be sent so far, most tries first."""
    return OutboxMessage.objects.filter(waiting=True, attempts__gt=0).order_by("-attempts", "id")

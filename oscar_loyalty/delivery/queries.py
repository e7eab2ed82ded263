from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date, datetime

from django.db.models import Count, F, Q, QuerySet
from django.db.models.functions import TruncMonth

from oscar_loyalty.delivery.models import DeliveryPromise


@dataclass(frozen=True, kw_only=True)
class OnTimeRate:
    """Of what arrived in a month by one method: how much of it by the promised day."""

    month: date
    method: str
    delivered: int
    on_time: int

    @property
    def percent(self) -> float:
        return 100 * self.on_time / self.delivered


def find_promise(*, order_ref: str) -> DeliveryPromise | None:
    return DeliveryPromise.objects.filter(order_ref=order_ref).first()


def list_open_promises(*, batch: int = 500) -> Iterator[list[DeliveryPromise]]:
    """Promises of orders that are under way, longest due first, ``batch`` at a time."""
    after: tuple[datetime, int] | None = None
    while True:
        waiting = DeliveryPromise.objects.filter(delivered_at=None, void_at=None).order_by("due_at", "pk")
        if after is not None:
            due_at, pk = after
            waiting = waiting.filter(Q(due_at__gt=due_at) | Q(due_at=due_at, pk__gt=pk))
        rows = list(waiting[:batch])
        if not rows:
            return
        after = (rows[-1].due_at, rows[-1].pk)
        yield rows


def list_unapologised(*, due_after: datetime) -> list[str]:
    """Orders whose promise was broken not longer ago than ``due_after`` and that nobody apologised for."""
    broken = DeliveryPromise.objects.filter(
        late_since__isnull=False, apologised_at=None, void_at=None, due_at__gte=due_after
    )
    return list(broken.order_by("due_at", "pk").values_list("order_ref", flat=True))


def list_promised_refs(order_refs: Collection[str]) -> set[str]:
    """Those of the orders that have a promise: one statement."""
    promises = DeliveryPromise.objects.filter(order_ref__in=order_refs)
    return set(promises.values_list("order_ref", flat=True))


def list_on_time_rates(*, since: date, until: date) -> list[OnTimeRate]:
    """
    On-time rate = arrived by the promised day / arrived, of what was promised from ``since`` to before
    ``until``, newest month first. What has not arrived yet counts for nothing; see the late ones for that.
    One statement.
    """
    arrived = DeliveryPromise.objects.filter(
        delivered_at__isnull=False, void_at=None, promised_date__gte=since, promised_date__lt=until
    )
    rows = (
        arrived.annotate(month=TruncMonth("promised_date"))
        .values("month", "method")
        .annotate(delivered=Count("pk"), on_time=Count("pk", filter=Q(delivered_at__lt=F("due_at"))))
        .order_by("-month", "method")
    )
    return [OnTimeRate(**row) for row in rows]


def list_late() -> QuerySet[DeliveryPromise]:
    """Orders that should have arrived and have not, longest due first."""
    late = DeliveryPromise.objects.filter(delivered_at=None, void_at=None, late_since__isnull=False)
    return late.order_by("due_at", "pk")

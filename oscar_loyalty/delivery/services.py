"""Promises are made, kept, broken and apologised for. Each service is safe to repeat."""

from datetime import date, datetime, time

from django.db import IntegrityError, transaction

from oscar_loyalty.delivery.models import DeliveryPromise


def make_promise(
    *,
    order_ref: str,
    method: str,
    method_code: str,
    promised_date: date,
    due_at: datetime,
    now: datetime,
    window_from: time | None = None,
    window_until: time | None = None,
) -> DeliveryPromise:
    """
    Store what was promised for an order, once: what was said first counts. ``due_at`` is the moment from
    which the order is late.
    """
    try:
        with transaction.atomic():
            return DeliveryPromise.objects.create(
                order_ref=order_ref,
                method=method,
                method_code=method_code,
                promised_date=promised_date,
                window_from=window_from,
                window_until=window_until,
                due_at=due_at,
                made_at=now,
            )
    except IntegrityError:
        return DeliveryPromise.objects.get(order_ref=order_ref)


def record_delivery(*, order_ref: str, delivered_at: datetime) -> bool:
    """
    The order has arrived; return whether that was news. The first report counts. An order that was taken
    for late because the report came late is on time after all.
    """
    with transaction.atomic():
        promise = _lock(order_ref)
        if promise is None or promise.delivered_at is not None or promise.void_at is not None:
            return False
        promise.delivered_at = delivered_at
        promise.late_since = promise.due_at if delivered_at >= promise.due_at else None
        promise.save(update_fields=["delivered_at", "late_since"])
        return True


def void_promise(*, order_ref: str, now: datetime) -> bool:
    """The order was cancelled before it arrived: nobody waits for it; return whether that was news."""
    open_ones = DeliveryPromise.objects.filter(order_ref=order_ref, delivered_at=None, void_at=None)
    return bool(open_ones.update(void_at=now, late_since=None))


def mark_late(*, order_ref: str, now: datetime) -> bool:
    """The promised day is over and nobody has reported an arrival; return whether that was news."""
    with transaction.atomic():
        promise = _lock(order_ref)
        if (
            promise is None
            or promise.delivered_at is not None
            or promise.void_at is not None
            or promise.late_since is not None
            or not promise.is_due(now)
        ):
            return False
        promise.late_since = promise.due_at
        promise.save(update_fields=["late_since"])
        return True


def lock_for_apology(*, order_ref: str) -> DeliveryPromise | None:
    """
    The promise under its row lock, if it was broken and nobody has apologised; call in a transaction, so
    that of two who apologise at once the second finds nothing.
    """
    promise = _lock(order_ref)
    if promise is None or promise.late_since is None or promise.apologised_at or promise.void_at:
        return None
    return promise


def record_apology(*, promise: DeliveryPromise, points: int, now: datetime) -> None:
    """Call in the transaction of :func:`lock_for_apology`."""
    promise.apologised_at = now
    promise.apology_points = points
    promise.save(update_fields=["apologised_at", "apology_points"])


def _lock(order_ref: str) -> DeliveryPromise | None:
    return DeliveryPromise.objects.select_for_update().filter(order_ref=order_ref).first()

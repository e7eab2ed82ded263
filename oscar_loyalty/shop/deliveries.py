"""What Oscar's orders say about delivery: which have arrived, which were cancelled, which need a promise."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Q
from oscar.core.loading import get_model

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.delivery.queries import list_promised_refs
from oscar_loyalty.shop.delivery import Promised, find_promise, get_methods
from oscar_loyalty.shop.orders import find_statuses_reached_at

_BATCH = 500


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """What is known of an order: ``delivered_at`` is ``None`` while nobody has reported that it came."""

    delivered_at: datetime | None
    is_cancelled: bool


@dataclass(frozen=True, kw_only=True)
class Recipient:
    """Who waits for an order: a customer, or a guest with an address."""

    user_id: int | None
    guest_email: str
    currency: str


def find_promise_of(order: Any) -> Promised | None:
    """
    What an order at hand was promised by its method. No statement for shops without such methods, and for
    others at most that for the address.
    """
    code = order.shipping_code
    if not code:
        return None
    return find_promise(code=code, address=lambda: order.shipping_address, placed_at=order.date_placed)


def list_unpromised_orders(*, placed_after: datetime) -> Iterator[Any]:
    """
    Orders from a moment on whose method promises a day and for which none was stored: the nudge was lost,
    or the shop has begun to promise since. No statement without such methods.
    """
    methods = get_methods()
    if not methods:
        return
    wanted = reduce(or_, (method.orders_with() for method in methods), Q())
    orders = get_model("order", "Order").objects.filter(wanted, date_placed__gte=placed_after)
    orders = orders.select_related("shipping_address").order_by("pk")
    last = 0
    while batch := list(orders.filter(pk__gt=last)[:_BATCH]):
        last = batch[-1].pk
        known = list_promised_refs([order.number for order in batch])
        yield from (order for order in batch if order.number not in known)


def find_arrivals(order_refs: Collection[str], *, now: datetime) -> dict[str, Arrival]:
    """
    What has become of orders, by their numbers; nothing for those that are gone. Four statements, however
    many orders. An order has arrived when it reached a status of ``OSCAR_LOYALTY_DELIVERED_STATUSES``, when
    all its lines have one, or when shipping events of ``OSCAR_LOYALTY_DELIVERED_EVENTS`` cover all of it.
    """
    statuses = loyalty_settings.delivered_statuses
    rows = get_model("order", "Order").objects.filter(number__in=order_refs)
    orders = {pk: (number, status) for pk, number, status in rows.values_list("pk", "number", "status")}
    if not orders:
        return {}
    reached = find_statuses_reached_at(list(orders), statuses=statuses)
    lines = _lines_of(list(orders))
    events = list_reported_pieces(list(orders))
    arrivals = {}
    for pk, (number, status) in orders.items():
        moments = [moment for (order_id, _status), moment in reached.items() if order_id == pk]
        if not moments and (status in statuses or _is_all(lines[pk], statuses)):
            # Set by an import or in the admin, without a history.
            moments = [now]
        if (covered := _covered_at(lines[pk], events[pk])) is not None:
            moments.append(covered)
        arrivals[number] = Arrival(
            delivered_at=min(moments, default=None),
            is_cancelled=status in loyalty_settings.cancelled_statuses,
        )
    return arrivals


def find_recipient(order_ref: str) -> Recipient | None:
    """Who waits for an order; ``None`` when it is gone."""
    order = get_model("order", "Order").objects.filter(number=order_ref).first()
    if order is None:
        return None
    return Recipient(
        user_id=order.user_id, guest_email=order.guest_email or "", currency=order.currency or ""
    )


def find_order_ref(order_id: int) -> str | None:
    """The number of an order; ``None`` when it is gone."""
    numbers = get_model("order", "Order").objects.filter(pk=order_id).values_list("number", flat=True)
    number: str | None = numbers.first()
    return number


def is_order_of(order_ref: str, *, user_id: int) -> bool:
    """Whether a customer placed an order."""
    orders = get_model("order", "Order").objects
    return bool(orders.filter(number=order_ref, user_id=user_id).exists())


def _lines_of(order_ids: Collection[int]) -> dict[int, list[tuple[int, int, str]]]:
    """(line, quantity, status) of the lines that were not cancelled, by order."""
    lines: dict[int, list[tuple[int, int, str]]] = defaultdict(list)
    rows = get_model("order", "Line").objects.filter(order_id__in=order_ids)
    for order_id, pk, quantity, status in rows.values_list("order_id", "pk", "quantity", "status"):
        if status not in loyalty_settings.cancelled_statuses:
            lines[order_id].append((pk, quantity, status))
    return lines


def list_reported_pieces(order_ids: Collection[int]) -> dict[int, list[tuple[datetime, int, int]]]:
    """(moment, line, quantity) that shipping events say have arrived, by order, oldest first."""
    events: dict[int, list[tuple[datetime, int, int]]] = defaultdict(list)
    codes = loyalty_settings.delivered_events
    if not codes:
        return events
    rows = get_model("order", "ShippingEventQuantity").objects.filter(
        event__order_id__in=order_ids, event__event_type__code__in=codes
    )
    rows = rows.order_by("event__date_created", "pk")
    for order_id, moment, line_id, quantity in rows.values_list(
        "event__order_id", "event__date_created", "line_id", "quantity"
    ):
        events[order_id].append((moment, line_id, quantity))
    return events


def _is_all(lines: Iterable[tuple[int, int, str]], statuses: Collection[str]) -> bool:
    states = [status for _pk, _quantity, status in lines]
    return bool(states) and all(status in statuses for status in states)


def _covered_at(
    lines: Iterable[tuple[int, int, str]], events: Iterable[tuple[datetime, int, int]]
) -> datetime | None:
    """The moment of the event with which the last piece of the last line had arrived."""
    missing = {pk: quantity for pk, quantity, _status in lines if quantity}
    if not missing:
        return None
    for moment, line_id, quantity in events:
        if line_id in missing:
            missing[line_id] -= quantity
            if missing[line_id] <= 0:
                del missing[line_id]
            if not missing:
                return moment
    return None

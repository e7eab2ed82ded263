"""Whose an order is, and where its parcel went: for customers who send something back, and for guests."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from oscar.core.loading import get_model


@dataclass(frozen=True, kw_only=True)
class OwnedOrder:
    """``email``: where whoever placed it is reached; empty when nobody is any more."""

    order_id: int
    number: str
    user_id: int | None
    email: str
    placed_at: datetime


def find_owned_order(*, number: str) -> OwnedOrder | None:
    found = find_owned_orders([number])
    return found[0] if found else None


def get_owned_order(*, order_id: int) -> OwnedOrder | None:
    """By its key; ``None`` when it is gone."""
    order = _orders().filter(pk=order_id).first()
    return None if order is None else _owned(order)


def find_owned_orders(numbers: Collection[str]) -> list[OwnedOrder]:
    """Orders by their numbers, oldest first; numbers of none are passed over."""
    return [_owned(order) for order in _orders().filter(number__in=numbers).order_by("pk")]


def find_sender(*, order_id: int) -> tuple[str, ...]:
    """Lines of the address that an order went to; where it went to none, of the one that was billed."""
    order = _orders().select_related("shipping_address", "billing_address").filter(pk=order_id).first()
    address = order and (order.shipping_address or order.billing_address)
    if not address:
        return ()
    lines = (
        address.name,
        address.line1,
        address.line2,
        address.line3,
        f"{address.postcode or ''} {address.line4 or ''}",
        address.state,
        address.country.printable_name,
    )
    return tuple(line.strip() for line in lines if line and line.strip())


def _orders() -> QuerySet[Any]:
    orders: QuerySet[Any] = get_model("order", "Order").objects.select_related("user")
    return orders


def _owned(order: Any) -> OwnedOrder:
    return OwnedOrder(
        order_id=order.pk,
        number=str(order.number),
        user_id=order.user_id,
        email=(order.user.email if order.user_id else order.guest_email) or "",
        placed_at=order.date_placed,
    )

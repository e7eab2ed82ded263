"""
Orders as returns see them: what was sold for how much, what has arrived; and Oscar's own record of returns.
"""

import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import F
from oscar.core.loading import get_class, get_model

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.returns.models import ReturnPolicy
from oscar_loyalty.shop.deliveries import find_arrivals, list_reported_pieces
from oscar_loyalty.shop.offers import find_offer
from oscar_loyalty.shop.orders import PurchaseFacts, PurchaseMissing, get_purchase_facts, lock_weakly
from oscar_loyalty.shop.products import find_excluded_product_ids
from oscar_loyalty.transactions import spare_transaction

logger = logging.getLogger(__name__)

#: Oscar's kind of shipping event for goods that came back.
RETURNED_CODE = "returned"


@dataclass(frozen=True, kw_only=True)
class SoldItem:
    """
    A line of an order that was not cancelled. ``amount``: money paid for all its pieces, with VAT.
    ``paid_by_points``: money that points saved on it, as its share of all lines.
    """

    line_id: int
    title: str
    sku: str
    upc: str
    product_id: int | None
    product_class_id: int | None
    quantity: int
    #: Pieces that shipping events report, where there are such events.
    reported: int
    amount: Decimal
    paid_by_points: Decimal


@dataclass(frozen=True, kw_only=True)
class SoldOrder:
    """An order with all that decides what may come back. ``purchase`` is the same order as points see it."""

    purchase: PurchaseFacts
    email: str
    delivered_at: datetime | None
    #: Whether anything is known from shipping events.
    has_reports: bool
    shipping: Decimal
    items: tuple[SoldItem, ...]

    @property
    def number(self) -> str:
        return self.purchase.number

    @property
    def currency(self) -> str:
        return self.purchase.currency


def get_sold_order(*, order_id: int, now: datetime, lock: bool = False) -> SoldOrder:
    """
    An order as it stands, under its row lock if ``lock`` says so (call inside a transaction then).

    :raises PurchaseMissing: it is gone
    """
    orders = get_model("order", "Order").objects
    order = (lock_weakly(orders) if lock else orders).filter(pk=order_id).first()
    if order is None:
        raise PurchaseMissing(order_id)
    number = str(order.number)
    arrival = find_arrivals([number], now=now).get(number)
    reported: dict[int, int] = defaultdict(int)
    for _moment, line_id, pieces in list_reported_pieces([order.pk])[order.pk]:
        reported[line_id] += pieces
    saved = _saved_by_points(order)
    return SoldOrder(
        purchase=get_purchase_facts(order),
        email=order.guest_email or "",
        delivered_at=arrival.delivered_at if arrival else None,
        has_reports=bool(reported),
        shipping=order.shipping_incl_tax,
        items=tuple(
            SoldItem(
                line_id=line.pk,
                title=line.title,
                sku=line.partner_sku or "",
                upc=line.upc or "",
                product_id=line.product_id,
                product_class_id=_class_of(line.product),
                quantity=line.quantity,
                reported=reported[line.pk],
                amount=line.line_price_incl_tax,
                paid_by_points=saved[line.pk],
            )
            for line in order.lines.select_related("product__parent").order_by("pk")
            if line.quantity and line.status not in loyalty_settings.cancelled_statuses
        ),
    )


def find_excluded(order: SoldOrder, *, policy: ReturnPolicy) -> frozenset[int]:
    """Lines whose products the policy takes back only when they are faulty."""
    products = find_excluded_product_ids([item.product_id for item in order.items], policy=policy)
    return frozenset(
        item.line_id
        for item in order.items
        if item.product_id in products or item.product_class_id in policy.excluded_product_class_ids
    )


# Oscar's own books


def record_returned(*, order_id: int, pieces: Mapping[int, int], reference: str, user_id: int | None) -> None:
    """
    Note with Oscar that goods came back. What Oscar refuses is logged: its record of events never decides
    what a customer gets.
    """
    pieces = {line_id: count for line_id, count in pieces.items() if count}
    if not pieces:
        return
    order = get_model("order", "Order").objects.get(pk=order_id)
    kind, _created = get_model("order", "ShippingEventType").objects.get_or_create(
        code=RETURNED_CODE, defaults={"name": "Returned"}
    )
    lines = list(order.lines.filter(pk__in=pieces).order_by("pk"))
    handler = get_class("order.processing", "EventHandler")(_user(user_id))
    try:
        with spare_transaction():
            handler.handle_shipping_event(
                order, kind, lines, [pieces[line.pk] for line in lines], reference=reference
            )
    except Exception:
        logger.exception("Order %s: its shop did not take note of the return %s", order.number, reference)


def restock(*, pieces: Mapping[int, int]) -> dict[int, int]:
    """
    Put pieces of order lines back on sale and return how many of each: units that were never shipped are
    freed, others are added to the stock, so that stock alerts and watchers hear of it. None where the product
    or its stock record is gone, or the stock is not counted.
    """
    back: dict[int, int] = {}
    # In the order of the stock, as Oscar's checkout locks it.
    lines = get_model("order", "Line").objects.filter(pk__in=pieces).order_by("stockrecord_id", "pk")
    for line in lines.select_related("product"):
        count = pieces[line.pk]
        record = _lock_record(line)
        if record is None or not count:
            continue
        if line.num_allocated >= count and not line.allocation_cancelled:
            line.cancel_allocation(count)
        else:
            _change_stock(record, by=count)
        back[line.pk] = count
    return back


def take_from_stock(*, pieces: Mapping[int, int]) -> None:
    """Undo :func:`restock`: the goods go out again."""
    lines = get_model("order", "Line").objects.filter(pk__in=pieces).order_by("stockrecord_id", "pk")
    for line in lines.select_related("product"):
        record = _lock_record(line)
        if record is None or not pieces[line.pk]:
            continue
        if line.allocation_cancelled:
            # All of it had been waiting to be sent, and waits again.
            record.allocate(pieces[line.pk])
            type(line).objects.filter(pk=line.pk).update(
                num_allocated=F("num_allocated") + pieces[line.pk], allocation_cancelled=False
            )
        else:
            _change_stock(record, by=-pieces[line.pk])


def _change_stock(record: Any, *, by: int) -> None:
    """Of a record that is locked, as Oscar changes it: stock alerts and who watches the stock hear of it."""
    record.pre_save_signal()
    left = max((record.num_in_stock or 0) + by, 0)
    type(record).objects.filter(pk=record.pk).update(num_in_stock=left)
    record.refresh_from_db()
    record.post_save_signal()


def _lock_record(line: Any) -> Any | None:
    if line.product is None or line.stockrecord_id is None:
        return None
    if not line.product.get_product_class().track_stock:
        return None
    records = get_model("partner", "StockRecord").objects.select_for_update()
    return records.filter(pk=line.stockrecord_id).first()


def _saved_by_points(order: Any) -> dict[int, Decimal]:
    """What points took off each line, net or gross: only the proportions are used."""
    saved: dict[int, Decimal] = defaultdict(Decimal)
    offer = find_offer()
    if offer is None:
        return saved
    discounts = get_model("order", "OrderLineDiscount").objects
    rows = discounts.filter(order_discount__order=order, order_discount__offer_id=offer.pk)
    for line_id, amount in rows.values_list("line_id", "amount"):
        saved[line_id] += amount
    return saved


def _class_of(product: Any) -> int | None:
    if product is None:
        return None
    own: int | None = product.product_class_id or (product.parent and product.parent.product_class_id)
    return own


def _user(user_id: int | None) -> Any:
    return None if user_id is None else get_user_model().objects.filter(pk=user_id).first()

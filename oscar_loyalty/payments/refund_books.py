"""Refunds in Oscar's own books: its payment sources and payment events."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from oscar.core.loading import get_model

from .refund_models import Refund
from .refund_money import OrderMoney

EVENT_NAME = "Refunded"


def write_refund(refund: Refund, money: OrderMoney) -> None:
    """Write down that the money went back. Runs once, on the way into ``SUCCEEDED``; ``money`` is locked."""
    _write(refund, money, [(source, amount) for source, amount in _shares(refund, money) if amount])


def undo_refund(refund: Refund, money: OrderMoney) -> None:
    """Write down that it came back to us after all. Runs once, on the way out of ``SUCCEEDED``."""
    _write(refund, money, [(source, -refund.amount) for source in _source_of(refund, money)], sign=-1)


def _write(refund: Refund, money: OrderMoney, shares: list[tuple[Any, Decimal]], sign: int = 1) -> None:
    reference = refund.gateway_id or refund.reference
    for source, amount in shares:
        # Oscar's own method has no cap and does not lock: both is done by whoever calls this.
        source.refund(amount, reference=reference, status=str(refund.state))
    if money.order is not None:
        event_type, _created = get_model("order", "PaymentEventType")._default_manager.get_or_create(
            name=EVENT_NAME
        )
        money.order.payment_events.create(
            event_type=event_type, amount=sign * refund.amount, reference=reference[:128]
        )


def _shares(refund: Refund, money: OrderMoney) -> Iterator[tuple[Any, Decimal]]:
    """What was paid by hand for several sources together is spread over them in their order."""
    if refund.source_id is not None:
        yield from ((source, refund.amount) for source in _source_of(refund, money))
        return
    rest = Decimal(0) if refund.payment_id else refund.amount
    for paid in money.sources:
        if paid.source is not None:
            share = max(Decimal(0), min(rest, paid.left))
            rest -= share
            yield paid.source, share


def _source_of(refund: Refund, money: OrderMoney) -> list[Any]:
    return [
        paid.source
        for paid in money.sources
        if paid.source is not None and paid.source_id == refund.source_id
    ]

"""What an order was paid with, and how much of it may still go back."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _
from oscar.core.loading import get_model

from .gateway import GatewayRefused, get_gateway
from .models import CardPayment
from .refund_models import Refund

ZERO = Decimal(0)


class RefundExceedsPaid(Exception):
    """More would go back than was paid."""


@dataclass(frozen=True)
class PaidSource:
    """One of the ways in which an order was paid. ``intent_id`` is empty where no provider can pay back."""

    source: Any
    payment: CardPayment | None
    intent_id: str
    label: str
    paid: Decimal
    refunded: Decimal

    @property
    def left(self) -> Decimal:
        return self.paid - self.refunded

    @property
    def source_id(self) -> int | None:
        return self.source.pk if self.source is not None else None

    def is_source_of(self, refund: Refund) -> bool:
        return _is_of(refund, self.source_id, self.payment)


@dataclass(frozen=True)
class OrderMoney:
    """All that was paid for one order, cards first, and what went back or is on its way back."""

    order: Any
    currency: str
    sources: list[PaidSource]
    refunds: list[Refund]
    paid: Decimal
    refunded: Decimal

    @property
    def left(self) -> Decimal:
        return self.paid - self.refunded

    def is_overdrawn_by(self, refund: Refund) -> bool:
        """Whether more than was paid is on its way back, now that ``refund`` counts."""
        return self.left < 0 or any(source.left < 0 for source in self.sources if source.is_source_of(refund))

    @property
    def next_source(self) -> PaidSource | None:
        """Where the next money goes back to."""
        return next((source for source in self.sources if source.left > 0), None)

    def find_source(self, amount: Decimal) -> PaidSource | None:
        """
        Return the first source that ``amount`` can go back to alone; ``None`` when it takes several.

        :raises RefundExceedsPaid: all together were not paid so much
        """
        if amount > self.left:
            raise RefundExceedsPaid
        return next((source for source in self.sources if source.left >= amount), None)


def read_order_money(*, order_number: str) -> OrderMoney:
    """As it is now; whoever decides on it locks it instead."""
    payments = list(_payments_of(order_number))
    sources = list(_sources_of(order_number).order_by("pk"))
    return _add_up(order_number, payments, sources, list(_refunds_of(order_number, payments)))


def lock_order_money(*, order_number: str) -> OrderMoney:
    """
    The same, locked until the transaction ends, so that two refunds of one order queue here.

    The order of locks is card payment, Oscar's payment sources, refunds; where an order has neither of the
    first two its own row is locked.
    """
    payments = list(_payments_of(order_number).select_for_update())
    # Locked by their keys: a join would lock the order too.
    ids = list(_sources_of(order_number).values_list("pk", flat=True))
    sources = list(_source_model().select_for_update().filter(pk__in=ids).order_by("pk"))
    if not payments and not sources:
        list(_orders().select_for_update().filter(number=order_number))
    # Read with a lock too: also where the operator chose REPEATABLE READ it is the latest.
    refund_ids = list(_refunds_of(order_number, payments).values_list("pk", flat=True))
    refunds = list(Refund.objects.select_for_update().filter(pk__in=refund_ids).order_by("pk"))
    return _add_up(order_number, payments, sources, refunds)


def _add_up(
    order_number: str, payments: list[CardPayment], oscar_sources: list[Any], refunds: list[Refund]
) -> OrderMoney:
    order = _orders().filter(number=order_number).first() if order_number else None
    payment = next(iter(payments), None)
    currency = order.currency if order is not None else payment.currency if payment is not None else ""
    rows = [source for source in oscar_sources if source.currency == currency]
    sources = [_of_source(source, payment, refunds) for source in rows]
    if payment is not None and all(source.payment is None for source in sources):
        sources.append(_of_payment(payment, refunds))
    paid = sum((source.paid for source in sources), ZERO)
    if order is not None and payment is None and not oscar_sources:
        # The shop does not tell Oscar how orders are paid.
        paid = order.total_incl_tax
    return OrderMoney(
        order=order,
        currency=currency,
        sources=sorted(sources, key=lambda source: (not source.intent_id, source.source_id or 0)),
        refunds=refunds,
        paid=paid,
        refunded=_refunded(sum((source.amount_refunded for source in rows), ZERO), refunds),
    )


def _of_source(source: Any, payment: CardPayment | None, refunds: list[Refund]) -> PaidSource:
    if payment is None or payment.intent_id != source.reference:
        payment = None
    ours = [refund for refund in refunds if _is_of(refund, source.pk, payment)]
    by_provider = payment is not None or _is_of_provider(source.reference)
    return PaidSource(
        source=source,
        payment=payment,
        intent_id=source.reference if by_provider else "",
        label=source.label or source.source_type.name,
        # Many shops only note what was allocated.
        paid=_taken(payment) if payment is not None else source.amount_debited or source.amount_allocated,
        refunded=_refunded(source.amount_refunded, ours),
    )


def _of_payment(payment: CardPayment, refunds: list[Refund]) -> PaidSource:
    return PaidSource(
        source=None,
        payment=payment,
        intent_id=payment.intent_id or "",
        label=_("Card"),
        paid=_taken(payment),
        refunded=_refunded(ZERO, [refund for refund in refunds if _is_of(refund, None, payment)]),
    )


def _is_of(refund: Refund, source_id: int | None, payment: CardPayment | None) -> bool:
    if payment is not None and refund.payment_id == payment.pk:
        return True
    return source_id is not None and refund.source_id == source_id


def _taken(payment: CardPayment) -> Decimal:
    """What is only authorised counts: it is about to be captured, and a refund waits for that."""
    taken = (CardPayment.State.AUTHORISED, CardPayment.State.CAPTURED)
    return payment.amount if payment.state in taken else ZERO


def _refunded(in_books: Decimal, refunds: list[Refund]) -> Decimal:
    """What the shop's own code wrote into Oscar's books counts as well as what we know of."""
    done = sum((one.amount for one in refunds if one.state == Refund.State.SUCCEEDED), ZERO)
    under_way = sum((one.amount for one in refunds if one.state in Refund.OPEN), ZERO)
    return max(in_books, done) + under_way


def _is_of_provider(reference: str) -> bool:
    if not reference:
        return False
    try:
        return get_gateway().is_intent_id(reference)
    except (GatewayRefused, ImportError):
        return False  # no provider is set up here


def _payments_of(order_number: str) -> Any:
    return CardPayment.objects.filter(order_number=order_number)


def _sources_of(order_number: str) -> Any:
    return _source_model().filter(order__number=order_number).select_related("source_type")


def _refunds_of(order_number: str, payments: list[CardPayment]) -> Any:
    if not order_number:
        return Refund.objects.none()
    # Also those of a payment that had no order yet when its refund was noted.
    return Refund.objects.filter(
        Q(order_number=order_number) | Q(payment__in=[payment.pk for payment in payments])
    ).order_by("pk")


def _source_model() -> Any:
    return get_model("payment", "Source")._default_manager


def _orders() -> Any:
    return get_model("order", "Order")._default_manager

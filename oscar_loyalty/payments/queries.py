"""What this room can tell about payments without changing anything."""

import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet, Sum
from django.utils.translation import gettext
from oscar.core.loading import get_model

from ..conf import loyalty_settings
from .gateway import GatewayRefund
from .models import CardPayment
from .refund_models import Refund
from .refund_money import read_order_money


def find_open_payment(*, basket_id: object) -> CardPayment | None:
    """Return the one payment of this basket that may still become money, or has."""
    return CardPayment.objects.filter(open_key=str(basket_id)).first()


def list_unpaid_orders() -> QuerySet[CardPayment]:
    """Payments whose order is placed but whose money can no longer be taken: staff must call the customer."""
    given_up = CardPayment.objects.filter(order_number__isnull=False, state__in=CardPayment.GIVEN_UP)
    cancelled = _list_cancelled_orders().filter(number=OuterRef("order_number"))
    return given_up.exclude(Exists(cancelled)).order_by("pk")


def is_for_cancelled_order(payment: CardPayment) -> bool:
    return bool(_list_cancelled_orders().filter(number=payment.order_number).exists())


def _list_cancelled_orders() -> Any:
    orders = get_model("order", "Order")._default_manager
    return orders.filter(status__in=loyalty_settings.cancelled_statuses)


def list_strays() -> QuerySet[CardPayment]:
    """Payments that took money although no order was placed: staff must give it back."""
    return CardPayment.objects.filter(order_number__isnull=True, state=CardPayment.State.CAPTURED).order_by(
        "pk"
    )


def find_order(*, basket_id: object) -> Any:
    """Return the order that was placed from this basket, if any."""
    return get_model("order", "Order")._default_manager.filter(basket_id=basket_id).first()


# Refunds


@dataclass(frozen=True)
class Refundable:
    """What may still go back for an order, and which way the next money goes."""

    paid: Decimal
    refunded: Decimal
    left: Decimal
    currency: str
    method: str
    """``CARD`` or ``MANUAL``."""
    label: str
    """For the customer: the card, or the name of the other way to pay. May be empty."""


def find_refundable(*, order_number: str) -> Refundable:
    """Return what may still go back; for an order that nobody knows or that nobody paid that is nothing."""
    money = read_order_money(order_number=order_number)
    source = money.next_source
    by_card = source is not None and bool(source.intent_id)
    return Refundable(
        paid=money.paid,
        refunded=money.refunded,
        left=max(Decimal(0), money.left),
        currency=money.currency,
        method=str(Refund.Method.CARD if by_card else Refund.Method.MANUAL),
        label=source.label if source is not None else "",
    )


def sum_still_owed(*, order_number: str) -> Decimal:
    """Refunds of an order that have failed and wait for somebody to try them again or to pay them by hand."""
    failed = Refund.objects.filter(
        order_number=order_number, state=Refund.State.FAILED, replaced_by__isnull=True
    )
    return failed.aggregate(total=Sum("amount"))["total"] or Decimal(0)


def name_way_of(refund: Refund) -> str:
    """For the customer: the card, or the other way to pay, that a refund goes back to. Empty: several."""
    sources = read_order_money(order_number=refund.order_number).sources
    name = next((str(source.label) for source in sources if source.is_source_of(refund)), "")
    # Oscar stores one name of a way to pay; those that we know are told in the reader's language.
    return gettext(name) if name else ""


@dataclass(frozen=True)
class IntentOwner:
    """Whose an intent is: a card payment of ours, or an order that was paid through another checkout."""

    order_number: str
    payment: CardPayment | None
    source_id: int | None


def find_owner_of_intent(*, intent_id: str) -> IntentOwner | None:
    # MariaDB finds "PI_a" when it is asked for "pi_A".
    payments = CardPayment.objects.filter(intent_id=intent_id)
    payment = next((one for one in payments if one.intent_id == intent_id), None)
    sources = get_model("payment", "Source")._default_manager.filter(reference=intent_id)
    found = sources.select_related("order").order_by("pk")
    source = next((one for one in found if one.reference == intent_id), None)
    source_id = source.pk if source is not None else None
    if payment is not None:
        return IntentOwner(payment.order_number or "", payment, source_id)
    return IntentOwner(source.order.number, None, source_id) if source is not None else None


def find_refund_at_gateway(seen: GatewayRefund) -> Refund | None:
    """Return our row of a refund that the provider told of."""
    if known := Refund.objects.filter(gateway_id=seen.refund_id).first():
        return known
    try:
        public_id = uuid.UUID(seen.reference)
    except ValueError:
        return None
    return Refund.objects.filter(public_id=public_id).first()


def list_refunds_that_need_staff() -> QuerySet[Refund]:
    """Refunds that failed and were not tried again, are to be paid by hand, or are not what we asked for."""
    return Refund.objects.filter(
        Q(state=Refund.State.FAILED, replaced_by=None)
        | Q(state=Refund.State.REQUESTED, method=Refund.Method.MANUAL)
        | Q(failure_code__startswith=Refund.MISMATCH)
    ).order_by("pk")

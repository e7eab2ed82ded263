"""What this room can tell about payments without changing anything."""

from typing import Any

from django.db.models import Exists, OuterRef, QuerySet
from oscar.core.loading import get_model

from ..conf import loyalty_settings
from .models import CardPayment


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

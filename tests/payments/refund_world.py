"""Orders that were paid, and what can be asked of their money."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from oscar.core.loading import get_model
from oscar.test.factories import create_order

from oscar_loyalty.payments import refunds, services
from oscar_loyalty.payments.models import CardPayment
from oscar_loyalty.payments.refund_models import Refund

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=2)
ORDER = "100007"
PAID = Decimal("12.34")


def authorised_order(
    *, number: str = ORDER, amount: Decimal = PAID, card: str = "pm_card_visa", basket: str = "7"
) -> CardPayment:
    """The card payment of a placed order whose money is reserved and not taken yet."""
    payment = services.prepare_payment(basket_id=basket, amount=amount, currency="EUR", now=NOW).payment
    services.authorise_payment(
        payment_id=payment.pk, payment_method=card, return_url="http://testserver/back", now=NOW
    )
    order = make_order(number)
    add_source(order, name="Card", amount=amount, reference=payment.intent_id or "")
    return services.record_order(payment_id=payment.pk, order_number=number)


def paid_order(**values: Any) -> CardPayment:
    """The same, with the money taken."""
    payment = authorised_order(**values)
    return services.capture_payment(payment_id=payment.pk, now=NOW)


def make_order(number: str = ORDER) -> Any:
    order = create_order(number=number)
    type(order).objects.filter(pk=order.pk).update(currency="EUR")
    order.currency = "EUR"
    return order


def add_source(order: Any, *, name: str, amount: Decimal, reference: str = "", **more: Any) -> Any:
    source_type, _ = get_model("payment", "SourceType").objects.get_or_create(name=name)
    return order.sources.create(
        source_type=source_type, currency="EUR", amount_allocated=amount, reference=reference, **more
    )


def source_of(number: str = ORDER) -> Any:
    return get_model("payment", "Source").objects.get(order__number=number)


def request(amount: str = "5.00", cause: str = "return:1", **changes: Any) -> Refund:
    values = {
        "order_number": ORDER,
        "amount": Decimal(amount),
        "currency": "EUR",
        "cause_ref": cause,
        "now": NOW,
        **changes,
    }
    with transaction.atomic():
        return refunds.request_refund(**values)


def send(refund: Refund, now: datetime = NOW) -> Refund:
    return refunds.send_refund(refund_id=refund.pk, now=now)


def refunded(amount: str = "5.00", cause: str = "return:1") -> Refund:
    return send(request(amount, cause))


def at_stripe(server: Any) -> list[dict[str, Any]]:
    """All refunds that the server knows, oldest first."""
    return list(reversed(server.control("state")["refund"]))


def settle(server: Any, refund: Refund, status: str) -> None:
    """Have the bank decide on a refund."""
    server.control("refunds", refund=refund.gateway_id, status=status)

"""A provider of the simplest kind, in memory: it pays back whatever it is asked for and checks nothing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from oscar_loyalty.payments.gateway import (
    GatewayRefund,
    GatewayRefused,
    GatewayUnavailable,
    RefundStatus,
)


@dataclass
class Vault:
    """What the bank remembers, and how its next answers go."""

    refunds: dict[str, GatewayRefund] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    manner: str = "succeeds"
    """``succeeds``, ``pends``, ``refuses``, ``is down``, or ``loses its answer``."""

    @property
    def paid_back(self) -> Decimal:
        void = (RefundStatus.FAILED, RefundStatus.CANCELLED)
        return sum((one.amount for one in self.refunds.values() if one.status not in void), Decimal(0))


vault = Vault()


class PlainBank:
    """The part of the gateway's promise that refunds need. Named by ``OSCAR_LOYALTY_PAYMENT_GATEWAY``."""

    def create_refund(
        self, *, intent_id: str, amount: Decimal, currency: str, reference: str, idempotency_key: str
    ) -> GatewayRefund:
        if known := vault.keys.get(idempotency_key):
            return vault.refunds[known]
        if vault.manner == "is down":
            raise GatewayUnavailable("refund")
        if vault.manner == "refuses":
            raise GatewayRefused("no")
        refund = GatewayRefund(
            refund_id=f"re_{len(vault.refunds)}",
            intent_id=intent_id,
            status=RefundStatus.PENDING if vault.manner == "pends" else RefundStatus.SUCCEEDED,
            amount=amount,
            currency=currency,
            reference=reference,
        )
        vault.refunds[refund.refund_id] = refund
        vault.keys[idempotency_key] = refund.refund_id
        if vault.manner == "loses its answer":
            raise GatewayUnavailable("refund")
        return refund

    def retrieve_refund(self, *, refund_id: str) -> GatewayRefund:
        return vault.refunds[refund_id]

    def list_refunds(self, *, intent_id: str) -> list[GatewayRefund]:
        return [one for one in vault.refunds.values() if one.intent_id == intent_id]

    def is_intent_id(self, reference: str) -> bool:
        return reference.startswith("bank-")


def settle(refund_id: str, status: RefundStatus, **more: Any) -> None:
    """The bank decides on a refund; what has failed stays failed."""
    known = vault.refunds[refund_id]
    if known.status not in (RefundStatus.FAILED, RefundStatus.CANCELLED):
        vault.refunds[refund_id] = replace(known, status=status, **more)


def forget() -> None:
    vault.refunds.clear()
    vault.keys.clear()
    vault.manner = "succeeds"

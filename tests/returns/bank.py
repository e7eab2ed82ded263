"""A payment provider that lives in this process: for tests that make thousands of refunds."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from oscar_loyalty.payments.gateway import GatewayRefund, GatewayRefused, Intent, IntentStatus, RefundStatus


class Bank:
    """
    Keeps what was paid and what went back. ``next_status`` is what becomes of the next refund. Like the real
    one it does the same thing once for one key; it would pay out too much, so that only we prevent it.
    """

    paid: dict[str, Decimal] = {}
    refunds: dict[str, GatewayRefund] = {}
    by_key: dict[str, str] = {}
    next_status = RefundStatus.SUCCEEDED

    @classmethod
    def forget(cls) -> None:
        cls.paid, cls.refunds, cls.by_key = {}, {}, {}
        cls.next_status = RefundStatus.SUCCEEDED

    @classmethod
    def settle(cls, refund_id: str, status: RefundStatus) -> None:
        code = "expired_or_canceled_card" if status == RefundStatus.FAILED else ""
        cls.refunds[refund_id] = replace(cls.refunds[refund_id], status=status, failure_code=code)

    @classmethod
    def paid_back(cls, intent_id: str) -> Decimal:
        return sum(
            (
                refund.amount
                for refund in cls.refunds.values()
                if refund.intent_id == intent_id and refund.status == RefundStatus.SUCCEEDED
            ),
            Decimal(0),
        )

    def create_refund(
        self, *, intent_id: str, amount: Decimal, currency: str, reference: str, idempotency_key: str
    ) -> GatewayRefund:
        if intent_id not in self.paid:
            raise GatewayRefused("unknown_intent")
        if idempotency_key not in self.by_key:
            refund_id = f"re_{len(self.refunds) + 1}"
            self.by_key[idempotency_key] = refund_id
            self.refunds[refund_id] = GatewayRefund(
                refund_id=refund_id,
                intent_id=intent_id,
                status=self.next_status,
                amount=amount,
                currency=currency,
                reference=reference,
            )
        return self.refunds[self.by_key[idempotency_key]]

    def retrieve_refund(self, *, refund_id: str) -> GatewayRefund:
        return self.refunds[refund_id]

    def list_refunds(self, *, intent_id: str) -> list[GatewayRefund]:
        return [refund for refund in self.refunds.values() if refund.intent_id == intent_id]

    def is_intent_id(self, reference: str) -> bool:
        return reference in self.paid

    def retrieve_intent(self, *, intent_id: str) -> Intent:
        amount = self.paid[intent_id]
        return Intent(
            intent_id=intent_id,
            status=IntentStatus.CAPTURED,
            amount=amount,
            currency="EUR",
            reference="",
        )

    def read_event(self, *, payload: bytes, signature: str, now: datetime) -> None:
        raise NotImplementedError

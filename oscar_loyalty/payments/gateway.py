"""What this room needs from a payment provider, in our words. Stripe is one way to keep this promise."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from django.utils.module_loading import import_string

from ..conf import loyalty_settings


class IntentStatus(StrEnum):
    """Where an intent to pay stands at the provider."""

    PENDING = "PENDING"
    """Waits for a card."""
    ACTION_REQUIRED = "ACTION_REQUIRED"
    """The shopper must prove who they are (3-D Secure)."""
    PROCESSING = "PROCESSING"
    """The provider has not decided yet."""
    AUTHORISED = "AUTHORISED"
    """The money is reserved and can be taken."""
    CAPTURED = "CAPTURED"
    """The money is taken."""
    CANCELLED = "CANCELLED"
    """Nothing is reserved, and nothing ever will be."""


@dataclass(frozen=True)
class Intent:
    """One intent to pay as the provider sees it now. Amounts are in units of ``currency``, not in cents."""

    intent_id: str
    status: IntentStatus
    amount: Decimal
    currency: str
    reference: str
    """Our own id of the payment, handed in when the intent was created."""
    capturable: Decimal = Decimal(0)
    redirect_url: str = ""
    """Where the shopper must go when the status is ``ACTION_REQUIRED``."""
    card_label: str = ""
    """The card in the shopper's words, like "Visa •••• 4242", once it is known."""
    customer_ref: str | None = None
    """The provider's id of whom it belongs to; empty: nobody, ``None``: it does not say."""
    is_live: bool | None = None
    """Whether real money moves; ``None``: the provider does not say."""
    client_secret: str = field(default="", repr=False)
    """Lets the shopper's browser confirm this one intent. Never stored, never logged."""


class RefundStatus(StrEnum):
    """Where a refund stands at the provider."""

    PENDING = "PENDING"
    """The provider or the bank has not decided yet."""
    SUCCEEDED = "SUCCEEDED"
    """The money is on its way to the customer. The bank may still send it back."""
    FAILED = "FAILED"
    """The money did not arrive, or came back; this refund will never pay."""
    CANCELLED = "CANCELLED"
    """Taken back before anything was paid."""


@dataclass(frozen=True)
class GatewayRefund:
    """One payment back as the provider sees it now."""

    refund_id: str
    intent_id: str
    status: RefundStatus
    amount: Decimal
    currency: str
    reference: str
    """Our own id of the refund; empty when it was made at the provider's own pages."""
    failure_code: str = ""
    customer_ref: str | None = None
    """To whom what is paid back belonged; empty: nobody, ``None``: the provider does not say."""
    is_live: bool | None = None
    """Whether real money moves; ``None``: the provider does not say."""
    key_is_live: bool | None = None
    """The same of the key with which it was asked for."""


@dataclass(frozen=True)
class GatewayEvent:
    """News whose sender is proved. Only a hint to look again: what it says is not believed."""

    event_id: str
    kind: str
    object_id: str
    refunds_of: str = ""
    """The intent whose refunds are to be looked at again, when the news is about refunds."""


class CardDeclined(Exception):
    """The bank said no. ``code`` is the provider's reason; the shopper may try another card."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class GatewayRefused(Exception):
    """The provider understood and will not do it, however often it is asked. ``code`` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class GatewayUnavailable(Exception):
    """No answer, or none that says what happened. Asking again with the same key is safe."""


class ForgedEvent(Exception):
    """The call was not signed with our secret, or not just now."""


class InexactAmount(ValueError):
    """The amount is not a whole number of the smallest coins of its currency."""


class PaymentGateway(Protocol):
    """
    A provider that can reserve money first and take it later.

    Each call that changes something carries an idempotency key: the same key twice does it once.

    :raises GatewayUnavailable: from every method that calls the provider
    :raises GatewayRefused: the same
    """

    def create_intent(
        self, *, amount: Decimal, currency: str, reference: str, basket_id: str, idempotency_key: str
    ) -> Intent:
        """Announce a payment that is to be authorised first and captured later."""

    def retrieve_intent(self, *, intent_id: str) -> Intent:
        """Return the intent as it is now."""

    def confirm_intent(
        self, *, intent_id: str, payment_method: str, return_url: str, idempotency_key: str
    ) -> Intent:
        """
        Try to reserve the money on this card.

        :raises CardDeclined: the bank refused; the intent can be confirmed with another card
        """

    def capture_intent(
        self, *, intent_id: str, amount: Decimal, currency: str, idempotency_key: str
    ) -> Intent:
        """Take the money that was reserved, at most once."""

    def cancel_intent(self, *, intent_id: str, idempotency_key: str) -> Intent:
        """Let go of what was reserved."""

    def create_refund(
        self, *, intent_id: str, amount: Decimal, currency: str, reference: str, idempotency_key: str
    ) -> GatewayRefund:
        """Pay back a part of what was captured, or all of it."""

    def retrieve_refund(self, *, refund_id: str) -> GatewayRefund:
        """Return the refund as it is now."""

    def list_refunds(self, *, intent_id: str) -> list[GatewayRefund]:
        """Return all refunds of an intent, whoever made them."""

    def is_intent_id(self, reference: str) -> bool:
        """
        Whether a payment source of Oscar with this reference was paid here, perhaps through another
        checkout, and can be refunded here. Asks nobody.
        """

    def read_event(self, *, payload: bytes, signature: str, now: datetime) -> GatewayEvent:
        """
        Check who sent these bytes and return what they are about.

        :raises ForgedEvent: not signed by the provider, too old, or from the future
        """


def get_gateway() -> PaymentGateway:
    """Return the gateway named by ``OSCAR_LOYALTY_PAYMENT_GATEWAY``."""
    return import_string(loyalty_settings.payment_gateway)()  # type: ignore[no-any-return]

"""Stripe's Payment Intents behind our protocol: manual capture, one idempotency key per POST."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import stripe

from ..conf import loyalty_settings
from .gateway import (
    CardDeclined,
    ForgedEvent,
    GatewayEvent,
    GatewayRefund,
    GatewayRefused,
    GatewayUnavailable,
    Intent,
    IntentStatus,
    RefundStatus,
)
from .money import from_coins, to_coins

logger = logging.getLogger(__name__)

STATUSES = {
    "requires_payment_method": IntentStatus.PENDING,
    "requires_confirmation": IntentStatus.PENDING,
    "requires_action": IntentStatus.ACTION_REQUIRED,
    "processing": IntentStatus.PROCESSING,
    "requires_capture": IntentStatus.AUTHORISED,
    "succeeded": IntentStatus.CAPTURED,
    "canceled": IntentStatus.CANCELLED,
}
REFUND_STATUSES = {
    "pending": RefundStatus.PENDING,
    "requires_action": RefundStatus.PENDING,
    "succeeded": RefundStatus.SUCCEEDED,
    "failed": RefundStatus.FAILED,
    "canceled": RefundStatus.CANCELLED,
}
OUR_ID = "oscar_loyalty_payment"
OUR_REFUND_ID = "oscar_loyalty_refund"
REFUND_NEWS = ("refund.", "charge.refund")
MOST_PER_PAGE = 100
CARD = ["latest_charge"]
#: A refund itself knows neither its customer nor whether it is live: its intent does.
INTENT = "payment_intent"
SIGNATURE_TOLERANCE_SECONDS = 300


class StripeGateway:
    """The gateway of a shop with an account at Stripe, or with a server that speaks like it."""

    def __init__(self) -> None:
        client = _get_client(
            loyalty_settings.stripe_secret_key,
            loyalty_settings.stripe_api_base,
            loyalty_settings.stripe_timeout_seconds,
        )
        self._intents = client.v1.payment_intents
        self._refunds = client.v1.refunds

    def create_intent(
        self, *, amount: Any, currency: str, reference: str, basket_id: str, idempotency_key: str
    ) -> Intent:
        with _plain_errors("create", reference):
            return _to_intent(
                self._intents.create(
                    {
                        "amount": to_coins(amount, currency),
                        "currency": currency.lower(),
                        "capture_method": "manual",
                        "allowed_payment_method_types": ["card"],
                        "metadata": {OUR_ID: reference, "basket": basket_id},
                    },
                    {"idempotency_key": idempotency_key},
                )
            )

    def retrieve_intent(self, *, intent_id: str) -> Intent:
        with _plain_errors("retrieve", intent_id):
            return _to_intent(self._intents.retrieve(intent_id, {"expand": CARD}))

    def confirm_intent(
        self, *, intent_id: str, payment_method: str, return_url: str, idempotency_key: str
    ) -> Intent:
        with _plain_errors("confirm", intent_id):
            return _to_intent(
                self._intents.confirm(
                    intent_id,
                    {"payment_method": payment_method, "return_url": return_url},
                    {"idempotency_key": idempotency_key},
                )
            )

    def capture_intent(self, *, intent_id: str, amount: Any, currency: str, idempotency_key: str) -> Intent:
        with _plain_errors("capture", intent_id):
            return _to_intent(
                self._intents.capture(
                    intent_id,
                    {"amount_to_capture": to_coins(amount, currency), "expand": CARD},
                    {"idempotency_key": idempotency_key},
                )
            )

    def cancel_intent(self, *, intent_id: str, idempotency_key: str) -> Intent:
        with _plain_errors("cancel", intent_id):
            return _to_intent(
                self._intents.cancel(
                    intent_id,
                    {"cancellation_reason": "abandoned"},
                    {"idempotency_key": idempotency_key},
                )
            )

    def create_refund(
        self, *, intent_id: str, amount: Any, currency: str, reference: str, idempotency_key: str
    ) -> GatewayRefund:
        with _plain_errors("refund", reference):
            return _to_refund(
                self._refunds.create(
                    {
                        "payment_intent": intent_id,
                        "amount": to_coins(amount, currency),
                        "metadata": {OUR_REFUND_ID: reference},
                        "expand": [INTENT],
                    },
                    {"idempotency_key": idempotency_key},
                )
            )

    def retrieve_refund(self, *, refund_id: str) -> GatewayRefund:
        with _plain_errors("retrieve", refund_id):
            return _to_refund(self._refunds.retrieve(refund_id, {"expand": [INTENT]}))

    def list_refunds(self, *, intent_id: str) -> list[GatewayRefund]:
        with _plain_errors("list refunds", intent_id):
            found = self._refunds.list(
                {"payment_intent": intent_id, "limit": MOST_PER_PAGE, "expand": [f"data.{INTENT}"]}
            )
            return [_to_refund(refund) for refund in found.auto_paging_iter()]

    def is_intent_id(self, reference: str) -> bool:
        return reference.startswith("pi_")

    def read_event(self, *, payload: bytes, signature: str, now: datetime) -> GatewayEvent:
        try:
            stripe.WebhookSignature.verify_header(
                payload, signature, loyalty_settings.stripe_webhook_secret, tolerance=None
            )
            # The SDK accepts any moment in the future, so both sides of the clock are checked here.
            signed_at, _ = stripe.WebhookSignature._get_timestamp_and_signatures(signature, "v1")
            if abs(now.timestamp() - signed_at) > SIGNATURE_TOLERANCE_SECONDS:
                raise ForgedEvent("signed too long ago or in the future")
            event = json.loads(payload)
            if bool(event["livemode"]) != _is_live_key():
                raise ForgedEvent("test news for a live shop, or the other way round")
            about, kind = event["data"]["object"], str(event["type"])
            return GatewayEvent(
                event_id=str(event["id"]),
                kind=kind,
                object_id=str(about.get("id", "")),
                # Charges and refunds both name their intent.
                refunds_of=str(about.get("payment_intent") or "") if kind.startswith(REFUND_NEWS) else "",
            )
        except (stripe.SignatureVerificationError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ForgedEvent(type(error).__name__) from error


@functools.lru_cache(maxsize=4)
def _get_client(secret_key: str, api_base: str, timeout: float) -> stripe.StripeClient:
    if not secret_key:
        raise GatewayRefused("no_secret_key")
    return stripe.StripeClient(
        secret_key,
        base_addresses={"api": api_base.rstrip("/")} if api_base else None,
        http_client=stripe.RequestsClient(timeout=timeout),
        max_network_retries=2,
    )


def _is_live_key() -> bool:
    return "_live_" in loyalty_settings.stripe_secret_key


@contextmanager
def _plain_errors(call: str, about: str) -> Iterator[None]:
    """Turn what the SDK raises into our few errors; only ids reach the log, never Stripe's message."""
    try:
        yield
    except stripe.CardError as error:
        code = getattr(error.error, "decline_code", None) or error.code or "card_declined"
        logger.info("Stripe declined the card: %s %s (%s)", call, about, code)
        raise CardDeclined(code) from error
    except (stripe.APIConnectionError, stripe.RateLimitError) as error:
        logger.warning("Stripe did not answer: %s %s (%s)", call, about, type(error).__name__)
        raise GatewayUnavailable(call) from error
    except stripe.StripeError as error:
        code = error.code or type(error).__name__
        if error.http_status is None or error.http_status >= 500 or error.http_status == 409:
            logger.warning("Stripe failed: %s %s (%s)", call, about, code)
            raise GatewayUnavailable(call) from error
        logger.error("Stripe refused: %s %s (%s)", call, about, code)
        raise GatewayRefused(code) from error


def _to_intent(found: stripe.PaymentIntent) -> Intent:
    action = found.next_action
    redirect = getattr(action, "redirect_to_url", None) if action else None
    return Intent(
        intent_id=found.id,
        status=STATUSES.get(found.status, IntentStatus.PROCESSING),
        amount=from_coins(found.amount, found.currency),
        currency=found.currency.upper(),
        reference=found.metadata.to_dict().get(OUR_ID, "") if found.metadata else "",
        capturable=from_coins(found.amount_capturable or 0, found.currency),
        redirect_url=(redirect.url or "") if redirect else "",
        card_label=_card_label(found),
        customer_ref=_id_of(found.customer),
        is_live=bool(found.livemode),
        client_secret=found.client_secret or "",
    )


def _card_label(found: stripe.PaymentIntent) -> str:
    charge = found.latest_charge
    details = getattr(charge, "payment_method_details", None)
    card = getattr(details, "card", None)
    return f"{str(card.brand).title()} •••• {card.last4}" if card else ""


def _id_of(found: Any) -> str:
    """Of what may have been expanded, or may not be there."""
    return str(getattr(found, "id", found) or "")


def _to_refund(found: stripe.Refund) -> GatewayRefund:
    intent = found.payment_intent if isinstance(found.payment_intent, stripe.PaymentIntent) else None
    return GatewayRefund(
        refund_id=found.id,
        intent_id=_id_of(found.payment_intent),
        status=REFUND_STATUSES.get(found.status or "", RefundStatus.PENDING),
        amount=from_coins(found.amount, found.currency),
        currency=found.currency.upper(),
        reference=found.metadata.to_dict().get(OUR_REFUND_ID, "") if found.metadata else "",
        failure_code=getattr(found, "failure_reason", None) or "",
        customer_ref=_id_of(intent.customer) if intent else None,
        is_live=bool(intent.livemode) if intent else None,
        key_is_live=_is_live_key(),
    )

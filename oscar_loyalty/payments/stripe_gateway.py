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
    GatewayRefused,
    GatewayUnavailable,
    Intent,
    IntentStatus,
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
OUR_ID = "oscar_loyalty_payment"
SIGNATURE_TOLERANCE_SECONDS = 300


class StripeGateway:
    """The gateway of a shop with an account at Stripe, or with a server that speaks like it."""

    def __init__(self) -> None:
        self._intents = _get_client(
            loyalty_settings.stripe_secret_key,
            loyalty_settings.stripe_api_base,
            loyalty_settings.stripe_timeout_seconds,
        ).v1.payment_intents

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
            return _to_intent(self._intents.retrieve(intent_id))

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
                    {"amount_to_capture": to_coins(amount, currency)},
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
            if bool(event["livemode"]) != ("_live_" in loyalty_settings.stripe_secret_key):
                raise ForgedEvent("test news for a live shop, or the other way round")
            return GatewayEvent(
                event_id=str(event["id"]),
                kind=str(event["type"]),
                object_id=str(event["data"]["object"].get("id", "")),
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
        client_secret=found.client_secret or "",
    )

"""The contract of the gateway, against the Stripe-shaped server over HTTP."""

from decimal import Decimal

import pytest

from oscar_loyalty.payments.gateway import (
    CardDeclined,
    GatewayRefused,
    GatewayUnavailable,
    IntentStatus,
    get_gateway,
)

from .conftest import answer_3d_secure

CREATE = {
    "amount": Decimal("12.34"),
    "currency": "EUR",
    "reference": "our-id",
    "basket_id": "7",
    "idempotency_key": "create:1",
}
CONFIRM = {"return_url": "http://testserver/back", "idempotency_key": "confirm:1"}


def test_an_intent_is_authorised_then_captured(gateway):
    intent = gateway.create_intent(**CREATE)
    assert (intent.status, intent.amount, intent.currency) == (IntentStatus.PENDING, Decimal("12.34"), "EUR")
    assert intent.reference == "our-id"
    assert intent.client_secret.startswith(intent.intent_id)

    held = gateway.confirm_intent(intent_id=intent.intent_id, payment_method="pm_card_visa", **CONFIRM)
    assert (held.status, held.capturable) == (IntentStatus.AUTHORISED, Decimal("12.34"))

    paid = gateway.capture_intent(
        intent_id=intent.intent_id, amount=Decimal("12.34"), currency="EUR", idempotency_key="capture:1"
    )
    assert (paid.status, paid.capturable) == (IntentStatus.CAPTURED, 0)
    assert gateway.retrieve_intent(intent_id=intent.intent_id) == paid


def test_the_client_secret_is_not_in_the_repr(gateway):
    intent = gateway.create_intent(**CREATE)
    assert intent.client_secret not in repr(intent)


def test_the_same_key_creates_once(gateway, intents_at_stripe):
    assert gateway.create_intent(**CREATE) == gateway.create_intent(**CREATE)
    assert len(intents_at_stripe()) == 1


def test_the_same_key_with_another_amount_is_refused(gateway):
    gateway.create_intent(**CREATE)
    with pytest.raises(GatewayRefused):
        gateway.create_intent(**{**CREATE, "amount": Decimal("1.00")})


@pytest.mark.parametrize(
    ("card", "code"),
    [
        ("pm_card_visa_chargeDeclined", "generic_decline"),
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "insufficient_funds"),
    ],
)
def test_a_declined_card_leaves_an_intent_that_takes_another_card(gateway, card, code):
    intent = gateway.create_intent(**CREATE)
    with pytest.raises(CardDeclined) as declined:
        gateway.confirm_intent(intent_id=intent.intent_id, payment_method=card, **CONFIRM)
    assert declined.value.code == code
    again = gateway.confirm_intent(
        intent_id=intent.intent_id,
        payment_method="pm_card_visa",
        return_url=CONFIRM["return_url"],
        idempotency_key="confirm:2",
    )
    assert again.status == IntentStatus.AUTHORISED


@pytest.mark.parametrize(
    ("outcome", "status"), [("complete", IntentStatus.AUTHORISED), ("fail", IntentStatus.PENDING)]
)
def test_3d_secure_is_a_result_with_an_address(gateway, outcome, status):
    intent = gateway.create_intent(**CREATE)
    asked = gateway.confirm_intent(
        intent_id=intent.intent_id, payment_method="pm_card_authenticationRequired", **CONFIRM
    )
    assert asked.status == IntentStatus.ACTION_REQUIRED
    assert answer_3d_secure(asked.redirect_url, outcome).startswith("/back?")
    assert gateway.retrieve_intent(intent_id=intent.intent_id).status == status


def test_a_cancelled_intent_holds_nothing(gateway):
    intent = gateway.create_intent(**CREATE)
    gateway.confirm_intent(intent_id=intent.intent_id, payment_method="pm_card_visa", **CONFIRM)
    cancelled = gateway.cancel_intent(intent_id=intent.intent_id, idempotency_key="cancel:1")
    assert (cancelled.status, cancelled.capturable) == (IntentStatus.CANCELLED, 0)
    with pytest.raises(GatewayRefused):
        gateway.capture_intent(
            intent_id=intent.intent_id, amount=Decimal("12.34"), currency="EUR", idempotency_key="capture:1"
        )


def test_more_than_was_authorised_is_never_captured(gateway):
    intent = gateway.create_intent(**CREATE)
    gateway.confirm_intent(intent_id=intent.intent_id, payment_method="pm_card_visa", **CONFIRM)
    with pytest.raises(GatewayRefused) as refused:
        gateway.capture_intent(
            intent_id=intent.intent_id, amount=Decimal("12.35"), currency="EUR", idempotency_key="capture:1"
        )
    assert refused.value.code == "amount_too_large"


@pytest.mark.parametrize("fault", ["drop_after_commit", "error_500", "rate_limit"])
def test_one_fault_is_retried_with_the_same_key(gateway, stripe_server, intents_at_stripe, fault):
    stripe_server.control("chaos", fault=fault, method="POST")
    try:
        gateway.create_intent(**CREATE)
    except GatewayUnavailable:
        gateway.create_intent(**CREATE)
    assert len(intents_at_stripe()) == 1


def test_a_server_that_keeps_failing_is_unavailable(gateway, stripe_server):
    stripe_server.control("chaos", fault="error_500", times="always")
    with pytest.raises(GatewayUnavailable):
        gateway.create_intent(**CREATE)


def test_a_server_that_is_not_there_is_unavailable(stripe_server, settings):
    settings.OSCAR_LOYALTY_STRIPE_API_BASE = "http://127.0.0.1:9"
    with pytest.raises(GatewayUnavailable):
        get_gateway().create_intent(**CREATE)


def test_an_answer_that_comes_too_late_is_asked_for_again(stripe_server, settings, intents_at_stripe):
    settings.OSCAR_LOYALTY_STRIPE_TIMEOUT_SECONDS = 0.2
    stripe_server.control("chaos", fault="slow", seconds=0.5)
    assert get_gateway().create_intent(**CREATE).status == IntentStatus.PENDING
    assert len(intents_at_stripe()) == 1


def test_without_a_key_nothing_is_sent(stripe_server, settings):
    settings.OSCAR_LOYALTY_STRIPE_SECRET_KEY = ""
    with pytest.raises(GatewayRefused):
        get_gateway()


def test_logs_hold_ids_and_codes_only(gateway, caplog):
    intent = gateway.create_intent(**CREATE)
    caplog.set_level("DEBUG", logger="oscar_loyalty")
    with pytest.raises(CardDeclined):
        gateway.confirm_intent(
            intent_id=intent.intent_id, payment_method="pm_card_visa_chargeDeclined", **CONFIRM
        )
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("oscar_loyalty")]
    assert ours == [f"Stripe declined the card: confirm {intent.intent_id} (generic_decline)"]


def test_a_currency_without_coins_is_counted_in_whole_units(gateway, intents_at_stripe):
    intent = gateway.create_intent(**{**CREATE, "amount": Decimal("1500.00"), "currency": "JPY"})
    assert intent.amount == Decimal(1500)
    assert intents_at_stripe()[0]["amount"] == 1500

"""
What our payment code relies on, told once and run twice: against the sandbox's server, and, with a key of
Stripe's test mode in the environment, against Stripe (marker ``stripe_live``).
"""

from __future__ import annotations

import uuid

import pytest
import stripe

from .conftest import RETURN_URL


@pytest.fixture(params=["sandbox", pytest.param("stripe", marks=pytest.mark.stripe_live)])
def api(request):
    name = "client" if request.param == "sandbox" else "live_client"
    return request.getfixturevalue(name).v1


@pytest.fixture
def authorised(api):
    return api.payment_intents.create(
        {
            "amount": 10_000,
            "currency": "eur",
            "capture_method": "manual",
            "allowed_payment_method_types": ["card"],
            "payment_method": "pm_card_visa",
            "confirm": True,
            "metadata": {"basket": "7"},
        }
    )


def test_an_intent_begins_without_a_card_and_keeps_our_metadata(api):
    intent = api.payment_intents.create(
        {
            "amount": 2599,
            "currency": "EUR",
            "capture_method": "manual",
            "automatic_payment_methods": {"enabled": True},
            "description": "Bestellung ☕ 100 %",
            "metadata": {"basket": "7", "grüße": "a=b&c[d]"},
        }
    )
    assert intent.id.startswith("pi_")
    assert intent.client_secret.startswith(f"{intent.id}_secret_")
    assert intent.status == "requires_payment_method"
    assert (intent.amount, intent.currency, intent.livemode) == (2599, "eur", False)
    assert (intent.amount_capturable, intent.amount_received, intent.latest_charge) == (0, 0, None)
    assert intent.metadata.to_dict() == {"basket": "7", "grüße": "a=b&c[d]"}
    assert intent.description == "Bestellung ☕ 100 %"
    assert intent.automatic_payment_methods.enabled is True


def test_manual_capture_authorises_first(api, authorised):
    assert authorised.status == "requires_capture"
    assert (authorised.amount_capturable, authorised.amount_received) == (10_000, 0)
    charge = api.charges.retrieve(authorised.latest_charge)
    assert (charge.captured, charge.paid, charge.status) == (False, True, "succeeded")
    assert (charge.amount, charge.amount_captured, charge.amount_refunded) == (10_000, 0, 0)
    assert charge.payment_intent == authorised.id
    assert charge.payment_method_details.card.last4 == "4242"


def test_capture_takes_the_money(api, authorised):
    intent = api.payment_intents.capture(authorised.id, {"expand": ["latest_charge"]})
    assert (intent.status, intent.amount_capturable, intent.amount_received) == ("succeeded", 0, 10_000)
    assert (intent.latest_charge.captured, intent.latest_charge.amount_captured) == (True, 10_000)


def test_a_partial_capture_lets_go_of_the_rest_without_a_refund(api, authorised):
    intent = api.payment_intents.capture(
        authorised.id, {"amount_to_capture": 7_500, "expand": ["latest_charge"]}
    )
    assert (intent.status, intent.amount, intent.amount_received) == ("succeeded", 10_000, 7_500)
    charge = intent.latest_charge
    assert (charge.amount_captured, charge.amount_refunded, charge.refunded) == (7_500, 0, False)
    assert api.refunds.list({"payment_intent": intent.id}).data == []


def test_more_than_was_authorised_cannot_be_captured(api, authorised):
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        api.payment_intents.capture(authorised.id, {"amount_to_capture": 10_001})
    assert (refusal.value.http_status, refusal.value.code) == (400, "amount_too_large")


@pytest.mark.parametrize("amount", [0, -1])
def test_nothing_cannot_be_captured_or_paid_back(api, authorised, amount):
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        api.payment_intents.capture(authorised.id, {"amount_to_capture": amount})
    assert (refusal.value.http_status, refusal.value.param) == (400, "amount_to_capture")
    api.payment_intents.capture(authorised.id)
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        api.refunds.create({"payment_intent": authorised.id, "amount": amount})
    assert (refusal.value.http_status, refusal.value.param) == (400, "amount")


def test_a_second_capture_is_an_unexpected_state(api, authorised):
    api.payment_intents.capture(authorised.id)
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        api.payment_intents.capture(authorised.id)
    assert (refusal.value.http_status, refusal.value.code) == (400, "payment_intent_unexpected_state")
    assert refusal.value.error.payment_intent.status == "succeeded"


def test_canceling_lets_go_of_the_authorisation(api, authorised):
    intent = api.payment_intents.cancel(authorised.id, {"cancellation_reason": "abandoned"})
    assert (intent.status, intent.cancellation_reason) == ("canceled", "abandoned")
    assert (intent.amount_capturable, intent.amount_received) == (0, 0)
    assert intent.canceled_at >= intent.created
    charge = api.charges.retrieve(intent.latest_charge)
    assert (charge.captured, charge.amount_captured, charge.amount_refunded) == (False, 0, 0)
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        api.payment_intents.capture(authorised.id)
    assert refusal.value.code == "payment_intent_unexpected_state"
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        api.payment_intents.cancel(authorised.id)
    assert refusal.value.code == "payment_intent_unexpected_state"


@pytest.mark.parametrize(
    ("card", "code", "decline_code"),
    [
        ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
    ],
)
def test_a_declined_card_leaves_an_intent_that_another_card_can_pay(api, card, code, decline_code):
    intent = api.payment_intents.create(
        {"amount": 1000, "currency": "eur", "allowed_payment_method_types": ["card"]}
    )
    with pytest.raises(stripe.CardError) as decline:
        api.payment_intents.confirm(intent.id, {"payment_method": card})
    error = decline.value
    assert (error.http_status, error.code, error.error.type) == (402, code, "card_error")
    assert error.error.decline_code == decline_code
    assert error.error.payment_intent.id == intent.id
    assert error.error.charge.startswith("ch_")

    intent = api.payment_intents.retrieve(intent.id)
    assert (intent.status, intent.payment_method) == ("requires_payment_method", None)
    assert intent.last_payment_error.decline_code == decline_code
    assert intent.last_payment_error.payment_method.card.last4
    charge = api.charges.retrieve(intent.latest_charge)
    assert (charge.status, charge.paid, charge.failure_code) == ("failed", False, code)

    intent = api.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    assert (intent.status, intent.last_payment_error) == ("succeeded", None)


def test_a_card_that_asks_for_3d_secure_sends_the_customer_to_a_page(api):
    intent = api.payment_intents.create(
        {
            "amount": 1000,
            "currency": "eur",
            "automatic_payment_methods": {"enabled": True},
            "payment_method": "pm_card_authenticationRequired",
            "confirm": True,
            "return_url": RETURN_URL,
        }
    )
    assert intent.status == "requires_action"
    assert intent.next_action.type == "redirect_to_url"
    assert intent.next_action.redirect_to_url.return_url == RETURN_URL
    assert intent.next_action.redirect_to_url.url.startswith("http")
    assert intent.latest_charge is None


def test_nobody_can_answer_3d_secure_off_session(api):
    customer = api.customers.create({"email": "anna@shop.example"})
    with pytest.raises(stripe.CardError) as decline:
        api.payment_intents.create(
            {
                "amount": 1000,
                "currency": "eur",
                "allowed_payment_method_types": ["card"],
                "customer": customer.id,
                "payment_method": "pm_card_authenticationRequired",
                "confirm": True,
                "off_session": True,
            }
        )
    assert decline.value.code == "authentication_required"


def test_confirming_needs_somewhere_to_return_to_unless_redirects_are_off(api):
    ask = {"amount": 1000, "currency": "eur", "payment_method": "pm_card_visa", "confirm": True}
    with pytest.raises(stripe.InvalidRequestError, match="return_url"):
        api.payment_intents.create({**ask, "automatic_payment_methods": {"enabled": True}})
    for methods in (
        {"automatic_payment_methods": {"enabled": True, "allow_redirects": "never"}},
        {"allowed_payment_method_types": ["card"]},
    ):
        assert api.payment_intents.create({**ask, **methods}).status == "succeeded"


def test_a_confirmed_intent_cannot_be_confirmed_again(api, authorised):
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        api.payment_intents.confirm(authorised.id, {"payment_method": "pm_card_visa"})
    assert refusal.value.code == "payment_intent_unexpected_state"


def test_the_amount_may_change_until_the_money_is_held(api, authorised):
    intent = api.payment_intents.create(
        {"amount": 1000, "currency": "eur", "allowed_payment_method_types": ["card"]}
    )
    intent = api.payment_intents.update(intent.id, {"amount": 1500, "metadata": {"basket": "8"}})
    assert (intent.amount, intent.metadata["basket"]) == (1500, "8")
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        api.payment_intents.update(authorised.id, {"amount": 1500})
    assert refusal.value.code == "payment_intent_unexpected_state"
    assert api.payment_intents.update(authorised.id, {"metadata": {"order": "9"}}).metadata.to_dict() == {
        "basket": "7",
        "order": "9",
    }


def test_partial_refunds_add_up_and_cannot_exceed_what_was_captured(api, authorised):
    api.payment_intents.capture(authorised.id, {"amount_to_capture": 9_000})
    first = api.refunds.create(
        {"payment_intent": authorised.id, "amount": 2_500, "metadata": {"return": "1"}}
    )
    assert (first.status, first.amount, first.currency) == ("succeeded", 2_500, "eur")
    assert first.charge == authorised.latest_charge
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        api.refunds.create({"payment_intent": authorised.id, "amount": 6_501})
    assert refusal.value.http_status == 400
    rest = api.refunds.create({"charge": authorised.latest_charge, "reason": "requested_by_customer"})
    assert rest.amount == 6_500
    charge = api.charges.retrieve(authorised.latest_charge)
    assert (charge.amount_refunded, charge.refunded) == (9_000, True)
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        api.refunds.create({"payment_intent": authorised.id})
    assert refusal.value.code == "charge_already_refunded"
    listed = api.refunds.list({"payment_intent": authorised.id})
    assert [refund.id for refund in listed.data] == [rest.id, first.id]
    assert api.refunds.retrieve(first.id).metadata["return"] == "1"


def test_a_refund_to_a_card_cannot_be_canceled(api, authorised):
    api.payment_intents.capture(authorised.id)
    refund = api.refunds.create({"payment_intent": authorised.id, "amount": 100})
    with pytest.raises(stripe.InvalidRequestError):
        api.refunds.cancel(refund.id)


def test_what_is_only_held_cannot_be_refunded(api, authorised):
    for of in ({"payment_intent": authorised.id}, {"charge": authorised.latest_charge}):
        with pytest.raises(stripe.InvalidRequestError):
            api.refunds.create(of)


def test_a_customers_card_can_be_used_again(api):
    customer = api.customers.create({"email": "anna@shop.example", "name": "Anna", "metadata": {"user": "1"}})
    assert api.customers.retrieve(customer.id).email == "anna@shop.example"
    card = api.payment_methods.attach("pm_card_visa", {"customer": customer.id})
    assert card.customer == customer.id
    assert api.payment_methods.retrieve(card.id).card.brand == "visa"
    for amount in (500, 600):
        intent = api.payment_intents.create(
            {
                "amount": amount,
                "currency": "eur",
                "customer": customer.id,
                "payment_method": card.id,
                "confirm": True,
                "allowed_payment_method_types": ["card"],
            }
        )
        assert intent.status == "succeeded"
    page = api.payment_intents.list({"customer": customer.id, "limit": 1, "created": {"gte": 0}})
    assert ([found.amount for found in page.data], page.has_more) == ([600], True)
    page = api.payment_intents.list({"customer": customer.id, "starting_after": page.data[0].id})
    assert ([found.amount for found in page.data], page.has_more) == ([500], False)


def test_the_same_key_gives_the_same_answer_and_no_second_intent(api):
    key = {"idempotency_key": f"test-{uuid.uuid4()}"}
    ask = {"amount": 1000, "currency": "eur", "allowed_payment_method_types": ["card"]}
    first = api.payment_intents.create(ask, key)
    again = api.payment_intents.create(ask, key)
    assert again.id == first.id
    assert "idempotent-replayed" not in {name.lower() for name in first.last_response.headers}
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    with pytest.raises(stripe.IdempotencyError) as refusal:
        api.payment_intents.create({**ask, "amount": 1001}, key)
    assert (refusal.value.http_status, refusal.value.error.type) == (400, "idempotency_error")


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"amount": 49}, "amount_too_small", "amount"),
        ({"amount": 100_000_000}, "amount_too_large", "amount"),
        ({"amount": "10.5"}, "parameter_invalid_integer", "amount"),
        ({"amount": None}, "parameter_missing", "amount"),
        ({"colour": "red"}, "parameter_unknown", "colour"),
        ({"payment_method_types": ["card"]}, "payment_method_types_no_longer_supported", None),
        ({"customer": "cus_nobody"}, "resource_missing", "customer"),
        ({"payment_method": "pm_nothing"}, "resource_missing", "payment_method"),
    ],
)
def test_a_bad_request_names_what_is_wrong(api, change, code, param):
    ask = {"amount": 1000, "currency": "eur", **change}
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        api.payment_intents.create({name: value for name, value in ask.items() if value is not None})
    assert (refusal.value.http_status, refusal.value.code) == (400, code)
    if param:
        assert refusal.value.param == param


def test_an_unknown_intent_is_404(api):
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        api.payment_intents.retrieve("pi_nothing")
    assert (refusal.value.http_status, refusal.value.code) == (404, "resource_missing")


def test_what_happened_can_be_asked_for(api, authorised):
    events = [
        event
        for event in api.events.list({"limit": 100}).data
        if authorised.id in (event.data.object.id, getattr(event.data.object, "payment_intent", None))
    ]
    assert {event.type for event in events} >= {
        "payment_intent.created",
        "payment_intent.amount_capturable_updated",
        "charge.succeeded",
    }
    assert api.events.retrieve(events[0].id).type == events[0].type

"""PaymentIntents and their charges: the states, and what moves one to the next."""

from __future__ import annotations

import hmac
from datetime import timedelta
from typing import Any

from . import cards
from .call import Call, public
from .charges import new_charge
from .customers import declined, find_payment_method, new_payment_method, used_up
from .errors import ApiError, refuse
from .forms import merged_metadata
from .money import as_money, check_amount
from .store import new_id

AUTHORISATION_LASTS = timedelta(days=7)
UNCONFIRMED = ("requires_payment_method", "requires_confirmation", "requires_action")
CANCELABLE = (
    "requires_payment_method",
    "requires_capture",
    "requires_reauthorization",
    "requires_confirmation",
    "requires_action",
    "processing",
)
# What a browser, holding the publishable key and the client secret, is shown.
SHOWN_TO_BROWSERS = (
    "id",
    "object",
    "amount",
    "automatic_payment_methods",
    "canceled_at",
    "cancellation_reason",
    "capture_method",
    "client_secret",
    "confirmation_method",
    "created",
    "currency",
    "description",
    "last_payment_error",
    "livemode",
    "next_action",
    "payment_method",
    "payment_method_types",
    "processing",
    "receipt_email",
    "setup_future_usage",
    "shipping",
    "status",
)
FAILED_AUTHENTICATION = (
    "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a new"
    " PaymentMethod to attempt to fulfill this PaymentIntent again."
)


def create(call: Call) -> dict[str, Any]:
    given = call.params
    check_amount(given["amount"], given["currency"])
    if "automatic_payment_methods" in given and "allowed_payment_method_types" in given:
        raise refuse(
            "You may only specify one of these parameters: allowed_payment_method_types,"
            " automatic_payment_methods."
        )
    if "card" not in given.get("allowed_payment_method_types", ["card"]):
        raise refuse("Only cards can pay here.", param="allowed_payment_method_types")
    for name in ("off_session", "return_url"):
        if name in given and not given.get("confirm"):
            raise refuse(f"The parameter `{name}` can only be used with `confirm=true`.", param=name)
    if given.get("customer"):
        call.get("customer", given["customer"], param="customer", status=400)
    automatic = given.get("automatic_payment_methods")
    if automatic is None and "allowed_payment_method_types" not in given:
        automatic = {"enabled": True}
    intent_id = new_id("pi")
    intent = {
        "id": intent_id,
        "object": "payment_intent",
        "amount": given["amount"],
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": automatic and {"allow_redirects": "always", **automatic},
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": given.get("capture_method", "automatic_async"),
        "client_secret": f"{intent_id}_secret_{new_id('', 25)[1:]}",
        "confirmation_method": "automatic",
        "created": call.now,
        "currency": given["currency"],
        "customer": given.get("customer"),
        "description": given.get("description"),
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "metadata": merged_metadata({}, given.get("metadata", {})),
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_options": {"card": {}},
        "payment_method_types": ["card"],
        "processing": None,
        "receipt_email": given.get("receipt_email"),
        "review": None,
        "setup_future_usage": given.get("setup_future_usage"),
        "shipping": given.get("shipping"),
        "source": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
    }
    _take_payment_method(call, intent)
    if given.get("confirm"):
        _check_confirmable(call, intent)
    call.store.save(intent)
    call.announce("payment_intent.created", intent)
    if given.get("confirm"):
        _confirm(call, intent)
    return _shown(call, intent)


def retrieve(call: Call, wanted: str) -> dict[str, Any]:
    return _shown(call, _find(call, wanted))


def list_intents(call: Call) -> dict[str, Any]:
    return call.listed("payment_intent", customer=call.params.get("customer"))


def update(call: Call, wanted: str) -> dict[str, Any]:
    intent = _find(call, wanted)
    given = call.params
    for name in sorted(given.keys() - {"metadata", "description", "receipt_email", "shipping", "expand"}):
        if intent["status"] not in UNCONFIRMED:
            raise _unexpected_state(
                intent,
                f"This PaymentIntent's {name} could not be updated because it has a status of"
                f" {intent['status']}. You may only update the {name} of a PaymentIntent with one of the"
                f" following statuses: {', '.join(UNCONFIRMED)}.",
            )
    check_amount(given.get("amount", intent["amount"]), given.get("currency", intent["currency"]))
    if given.get("customer"):
        call.get("customer", given["customer"], param="customer", status=400)
        if intent["customer"] not in (None, given["customer"]):
            raise refuse(
                "You cannot modify `customer` on a PaymentIntent once it already has been set.",
                param="customer",
            )
    before = public(intent)
    plain = (
        "amount",
        "currency",
        "customer",
        "description",
        "setup_future_usage",
        "capture_method",
        "receipt_email",
        "shipping",
    )
    intent.update({name: given[name] for name in plain if name in given})
    if "metadata" in given:
        intent["metadata"] = merged_metadata(intent["metadata"], given["metadata"])
    _take_payment_method(call, intent)
    if intent["status"] == "requires_action" and intent["amount"] != before["amount"]:
        intent.update(status="requires_confirmation", next_action=None)
    call.store.save(intent)
    return _shown(call, intent)


def confirm(call: Call, wanted: str) -> dict[str, Any]:
    intent = _find(call, wanted)
    given = call.params
    if intent["status"] in ("succeeded", "requires_capture", "processing"):
        raise _unexpected_state(
            intent,
            "You cannot confirm this PaymentIntent because it has already succeeded after being previously"
            " confirmed.",
        )
    if intent["status"] == "canceled":
        raise _unexpected_state(
            intent,
            "You cannot confirm this PaymentIntent because it has a status of canceled. Only a"
            " PaymentIntent with one of the following statuses may be confirmed: requires_confirmation,"
            " requires_action.",
        )
    for name in ("setup_future_usage", "capture_method", "receipt_email", "shipping"):
        if name in given:
            intent[name] = given[name]
    _take_payment_method(call, intent)
    _check_confirmable(call, intent)
    _confirm(call, intent)
    return _shown(call, intent)


def capture(call: Call, wanted: str) -> dict[str, Any]:
    intent = _find(call, wanted)
    if intent["status"] == "succeeded":
        raise _unexpected_state(
            intent, "This PaymentIntent could not be captured because it has already been captured."
        )
    if intent["status"] != "requires_capture":
        raise _unexpected_state(
            intent,
            "This PaymentIntent could not be captured because it has a status of"
            f" {intent['status']}. Only a PaymentIntent with one of the following statuses may be captured:"
            " requires_capture.",
        )
    amount = call.params.get("amount_to_capture", intent["amount_capturable"])
    if amount > intent["amount_capturable"]:
        raise refuse(
            f"The amount to capture ({as_money(amount, intent['currency'])}) is greater than the capturable"
            f" amount ({as_money(intent['amount_capturable'], intent['currency'])}).",
            code="amount_too_large",
            param="amount_to_capture",
        )
    if "metadata" in call.params:
        intent["metadata"] = merged_metadata(intent["metadata"], call.params["metadata"])
    charge = call.get("charge", intent["latest_charge"])
    charge.update(captured=True, amount_captured=amount, balance_transaction=new_id("txn"))
    intent.update(status="succeeded", amount_received=amount, amount_capturable=0)
    call.store.save(charge)
    call.store.save(intent)
    call.announce("charge.captured", charge, captured=False, amount_captured=0)
    call.announce("payment_intent.succeeded", intent)
    return _shown(call, intent)


def cancel(call: Call, wanted: str) -> dict[str, Any]:
    intent = _find(call, wanted)
    if intent["status"] not in CANCELABLE:
        raise _unexpected_state(
            intent,
            f"You cannot cancel this PaymentIntent because it has a status of {intent['status']}. Only a"
            f" PaymentIntent with one of the following statuses may be canceled: {', '.join(CANCELABLE)}.",
        )
    _cancel(call, intent, call.params.get("cancellation_reason"))
    return _shown(call, intent)


def expire_authorisation(call: Call, wanted: str) -> None:
    """Let go of an authorisation that nobody captured in time."""
    intent = call.get("payment_intent", wanted)
    if intent["status"] == "requires_capture":
        _cancel(call, intent, "expired")
        call.announce("charge.expired", call.get("charge", intent["latest_charge"]))


def answer_challenge(call: Call, wanted: str, *, passed: bool) -> dict[str, Any]:
    """
    Finish 3-D Secure with the customer's answer and return the intent.

    A second answer changes nothing.
    """
    intent = call.get("payment_intent", wanted)
    if intent["status"] != "requires_action":
        return intent
    intent["next_action"] = None
    if not passed:
        error = refuse(
            FAILED_AUTHENTICATION,
            code="payment_intent_authentication_failure",
            payment_method=public(call.get("payment_method", intent["payment_method"])),
        ).error
        _fail(call, intent, error)
        return intent
    try:
        _charge(call, intent)
    except ApiError as error:
        if not error.keeps_changes:
            raise
    return intent


def _find(call: Call, wanted: str) -> dict[str, Any]:
    """Look the intent up; a browser must show its client secret."""
    intent = call.get("payment_intent", wanted, param="intent")
    secret = call.params.get("client_secret")
    if call.publishable and not secret:
        raise refuse(
            "Missing required param: client_secret.", code="parameter_missing", param="client_secret"
        )
    if secret and not hmac.compare_digest(secret.encode(), intent["client_secret"].encode()):
        raise refuse(
            "The client_secret provided does not match the client_secret associated with the PaymentIntent.",
            code="payment_intent_invalid_parameter",
            param="client_secret",
        )
    return intent


def _shown(call: Call, intent: dict[str, Any]) -> dict[str, Any]:
    if call.publishable:
        return {name: intent[name] for name in SHOWN_TO_BROWSERS}
    return call.shown(intent)


def _take_payment_method(call: Call, intent: dict[str, Any]) -> None:
    given = call.params
    if "payment_method_data" in given:
        method = new_payment_method(call, given["payment_method_data"])
    elif "payment_method" in given:
        method = find_payment_method(call, given["payment_method"])
    else:
        return
    if method["customer"] and method["customer"] != intent["customer"]:
        hint = (
            "Please include the Customer in the `customer` parameter on the PaymentIntent."
            if intent["customer"] is None
            else "The PaymentIntent has another Customer."
        )
        raise refuse(
            f"The PaymentMethod {method['id']} belongs to the Customer {method['customer']}. {hint}",
            param="payment_method",
        )
    if method.get("_used") and not method["customer"]:
        raise used_up(param="payment_method")
    intent.update(payment_method=method["id"], status="requires_confirmation", next_action=None)


def _check_confirmable(call: Call, intent: dict[str, Any]) -> None:
    """Refuse before anything is written what a confirmation lacks."""
    if not intent["payment_method"]:
        raise _unexpected_state(
            intent,
            "You cannot confirm this PaymentIntent because it's missing a payment method. You can either"
            " update the PaymentIntent with a payment method and then confirm it again, or confirm it again"
            " directly with a payment method or ConfirmationToken.",
        )
    automatic = intent["automatic_payment_methods"]
    if (
        automatic
        and automatic["enabled"]
        and automatic["allow_redirects"] == "always"
        and not call.params.get("return_url")
        and not call.params.get("use_stripe_sdk")
        and not call.params.get("off_session")
    ):
        raise refuse(
            "This PaymentIntent is configured to accept payment methods enabled in your Dashboard. Because"
            " some of these payment methods might redirect your customer off of your page, you must provide"
            " a `return_url`. If you don't want to accept redirect-based payment methods, set"
            " `automatic_payment_methods[enabled]` to `true` and"
            " `automatic_payment_methods[allow_redirects]` to `never` when creating Setup Intents and"
            " Payment Intents.",
            payment_intent=public(intent) if call.store.find("payment_intent", intent["id"]) else None,
        )


def _confirm(call: Call, intent: dict[str, Any]) -> None:
    card = _card(call, intent)
    intent["last_payment_error"] = None
    if not card.challenge:
        _charge(call, intent)
    elif call.params.get("off_session"):
        _decline(call, intent, cards.NEEDS_AUTHENTICATION)
    else:
        return_url = call.params.get("return_url")
        page = f"{call.url}/3d_secure/{intent['id']}/{intent['client_secret']}"
        intent["status"] = "requires_action"
        intent["_return_url"] = return_url
        intent["next_action"] = (
            {"type": "redirect_to_url", "redirect_to_url": {"return_url": return_url, "url": page}}
            if return_url and not call.params.get("use_stripe_sdk")
            else {
                "type": "use_stripe_sdk",
                "use_stripe_sdk": {"type": "three_d_secure_redirect", "stripe_js": page},
            }
        )
        call.store.save(intent)
        call.announce("payment_intent.requires_action", intent)


def _card(call: Call, intent: dict[str, Any]) -> cards.TestCard:
    return cards.BY_NUMBER[call.get("payment_method", intent["payment_method"])["_number"]]


def _charge(call: Call, intent: dict[str, Any]) -> None:
    """Ask the bank: an authorisation or a payment, or an error for the caller."""
    card = _card(call, intent)
    if card.decline:
        _decline(call, intent, card.decline)
    method = call.get("payment_method", intent["payment_method"])
    if intent["customer"] and intent["setup_future_usage"] and not method["customer"]:
        method["customer"] = intent["customer"]
    method["_used"] = True
    call.store.save(method)
    manual = intent["capture_method"] == "manual"
    charge = new_charge(call, intent, method)
    charge.update(
        amount_captured=0 if manual else intent["amount"],
        balance_transaction=None if manual else new_id("txn"),
        captured=not manual,
        paid=True,
        status="succeeded",
    )
    if manual:
        expiry = call.now + int(AUTHORISATION_LASTS.total_seconds())
        charge["payment_method_details"]["card"]["capture_before"] = expiry
        call.store.set_timer(expiry, "expire_authorisation", intent["id"])
    call.store.save(charge)
    intent.update(
        latest_charge=charge["id"],
        next_action=None,
        status="requires_capture" if manual else "succeeded",
        amount_capturable=intent["amount"] if manual else 0,
        amount_received=0 if manual else intent["amount"],
    )
    call.store.save(intent)
    call.announce("charge.succeeded", charge)
    call.announce(
        "payment_intent.amount_capturable_updated" if manual else "payment_intent.succeeded", intent
    )


def _decline(call: Call, intent: dict[str, Any], decline: cards.Decline) -> None:
    """Record the failed charge and raise the error for the caller; the record stays."""
    method = call.get("payment_method", intent["payment_method"])
    charge = new_charge(call, intent, method)
    charge.update(
        failure_code=decline.code,
        failure_message=decline.message,
        outcome={
            "network_status": "declined_by_network",
            "reason": decline.decline_code,
            "risk_level": "normal",
            "seller_message": "The bank did not return any further details with this decline.",
            "type": "issuer_declined",
        },
        status="failed",
    )
    call.store.save(charge)
    call.announce("charge.failed", charge)
    refusal = declined(decline, charge=charge["id"], payment_method=public(method))
    intent["latest_charge"] = charge["id"]
    _fail(call, intent, refusal.error)
    shown = _shown(call, intent) if call.publishable else public(intent)
    raise ApiError(402, {**refusal.error, "payment_intent": shown}, keeps_changes=True)


def _fail(call: Call, intent: dict[str, Any], error: dict[str, Any]) -> None:
    intent.update(
        last_payment_error=error, next_action=None, payment_method=None, status="requires_payment_method"
    )
    call.store.save(intent)
    call.announce("payment_intent.payment_failed", intent)


def _cancel(call: Call, intent: dict[str, Any], reason: str | None) -> None:
    intent.update(
        status="canceled",
        canceled_at=call.now,
        cancellation_reason=reason,
        amount_capturable=0,
        next_action=None,
    )
    call.store.save(intent)
    call.announce("payment_intent.canceled", intent)


def _unexpected_state(intent: dict[str, Any], message: str) -> ApiError:
    return refuse(message, code="payment_intent_unexpected_state", payment_intent=public(intent))

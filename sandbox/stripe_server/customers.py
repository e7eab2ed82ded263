"""Customers and their cards."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from . import cards
from .call import Call
from .errors import ApiError, refuse
from .forms import anything, choice, integer, merged_metadata, metadata, nested, required, text
from .store import new_id

CREATE_CUSTOMER = {
    "email": text,
    "name": text,
    "phone": text,
    "description": text,
    "metadata": metadata,
    "address": anything,
    "shipping": anything,
    "preferred_locales": anything,
    "payment_method": text,
}
CARD = nested(number=text, exp_month=integer, exp_year=integer, cvc=text, token=text, networks=anything)
CREATE_PAYMENT_METHOD = {
    "type": required(choice("card")),
    "card": CARD,
    "billing_details": anything,
    "metadata": metadata,
    "allow_redisplay": choice("always", "limited", "unspecified"),
}
ATTACH = {"customer": required(text)}
BY_ID: dict[str, Any] = {}


def create_customer(call: Call) -> dict[str, Any]:
    given = call.params
    customer = {
        "id": new_id("cus", 14),
        "object": "customer",
        "address": given.get("address"),
        "balance": 0,
        "created": call.now,
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": given.get("description"),
        "discount": None,
        "email": given.get("email"),
        "invoice_prefix": new_id("", 8)[1:].upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": merged_metadata({}, given.get("metadata", {})),
        "name": given.get("name"),
        "phone": given.get("phone"),
        "preferred_locales": given.get("preferred_locales", []),
        "shipping": given.get("shipping"),
        "tax_exempt": "none",
        "test_clock": None,
    }
    call.store.save(customer)
    if wanted := given.get("payment_method"):
        bind(call, find_payment_method(call, wanted), customer["id"])
    call.announce("customer.created", customer)
    return call.shown(customer)


def retrieve_customer(call: Call, wanted: str) -> dict[str, Any]:
    return call.shown(call.get("customer", wanted))


def create_payment_method(call: Call) -> dict[str, Any]:
    return call.shown(new_payment_method(call, call.params))


def retrieve_payment_method(call: Call, wanted: str) -> dict[str, Any]:
    return call.shown(find_payment_method(call, wanted, param="payment_method", status=404))


def attach_payment_method(call: Call, wanted: str) -> dict[str, Any]:
    method = find_payment_method(call, wanted, param="payment_method", status=404)
    customer = call.get("customer", call.params["customer"], param="customer", status=400)
    if method["customer"]:
        raise refuse(
            "The payment method you provided has already been attached to a customer.",
            code="payment_method_unexpected_state",
        )
    return call.shown(bind(call, method, customer["id"]))


def bind(call: Call, method: dict[str, Any], customer_id: str) -> dict[str, Any]:
    """Attach a card to a customer; the bank is asked, so a bad card is declined here already."""
    card = cards.BY_NUMBER[method["_number"]]
    if card.decline and not card.attaches:
        raise declined(card.decline)
    if method.get("_used"):
        raise used_up(param="payment_method")
    method["customer"] = customer_id
    call.store.save(method)
    call.announce("payment_method.attached", method)
    return method


def declined(decline: cards.Decline, **more: Any) -> ApiError:
    return refuse(
        decline.message,
        code=decline.code,
        decline_code=decline.decline_code,
        status=402,
        kind="card_error",
        **more,
    )


def used_up(*, param: str) -> ApiError:
    return refuse(
        "The provided PaymentMethod was previously used with a PaymentIntent without Customer attachment,"
        " shared with a connected account without Customer attachment, or was detached from a Customer."
        " It may not be used again. To use a PaymentMethod multiple times, you must attach it to a"
        " Customer first.",
        code="payment_method_unexpected_state",
        param=param,
    )


def find_payment_method(
    call: Call, wanted: str, *, param: str = "payment_method", status: int = 400
) -> dict[str, Any]:
    """Look a card up. A well-known name such as ``pm_card_visa`` makes a new one each time."""
    if card := cards.BY_NAME.get(wanted):
        return new_payment_method(call, {"type": "card", "card": {"number": card.number}})
    return call.get("payment_method", wanted, param=param, status=status)


def new_payment_method(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    asked = given.get("card")
    if not asked:
        raise refuse("Missing required param: card.", code="parameter_missing", param="card")
    number = asked.get("number", "").replace(" ", "").replace("-", "")
    if token := asked.get("token"):
        named = cards.BY_NAME.get(token.replace("tok_", "pm_card_"))
        if named is None:
            raise refuse(f"No such token: '{token}'", code="resource_missing", param="card[token]")
        number = named.number
    if not number:
        raise refuse("Missing required param: card[number].", code="parameter_missing", param="card[number]")
    today = datetime.fromtimestamp(call.now, UTC)
    year = asked.get("exp_year", today.year + 4)
    month = asked.get("exp_month", 12)
    year += 2000 if year < 100 else 0
    card = cards.BY_NUMBER.get(number)
    if card is None:
        raise _unusable(number)
    if not 1 <= month <= 12:
        raise _card_error("Your card's expiration month is invalid.", "invalid_expiry_month", "exp_month")
    if (year, month) < (today.year, today.month):
        raise _card_error("Your card's expiration year is invalid.", "invalid_expiry_year", "exp_year")
    method = {
        "id": new_id("pm"),
        "object": "payment_method",
        "allow_redisplay": given.get("allow_redisplay", "unspecified"),
        "billing_details": {
            "address": None,
            "email": None,
            "name": None,
            "phone": None,
            "tax_id": None,
            **given.get("billing_details", {}),
        },
        "card": {
            "brand": card.brand,
            "checks": {
                "address_line1_check": None,
                "address_postal_code_check": None,
                "cvc_check": "pass" if asked.get("cvc") else None,
            },
            "country": card.country,
            "display_brand": card.brand,
            "exp_month": month,
            "exp_year": year,
            "fingerprint": hashlib.sha256(number.encode()).hexdigest()[:16],
            "funding": card.funding,
            "generated_from": None,
            "last4": number[-4:],
            "networks": {"available": [card.brand], "preferred": None},
            "regulated_status": "unregulated",
            "three_d_secure_usage": {"supported": True},
            "wallet": None,
        },
        "created": call.now,
        "customer": None,
        "livemode": False,
        "metadata": merged_metadata({}, given.get("metadata", {})),
        "type": "card",
        "_number": number,
    }
    return call.store.save(method)


def _card_error(message: str, code: str, field: str, **more: Any) -> ApiError:
    return refuse(message, code=code, param=field, status=402, kind="card_error", **more)


def _unusable(number: str) -> ApiError:
    if number.isascii() and number.isdigit() and 12 <= len(number) <= 19 and passes_luhn(number):
        return _card_error(
            "Your card was declined. Your request was in test mode, but used a non test card. For a list"
            " of valid test cards, visit: https://stripe.com/docs/testing.",
            "card_declined",
            "",
            decline_code="test_mode_live_card",
        )
    return _card_error("Your card number is incorrect.", "incorrect_number", "number")


def passes_luhn(number: str) -> bool:
    digits = [int(digit) for digit in reversed(number)]
    return (sum(digits[::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])) % 10 == 0

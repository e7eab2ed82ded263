"""What calls about PaymentIntents may carry."""

from __future__ import annotations

from typing import Any

from .customers import CREATE_PAYMENT_METHOD
from .errors import refuse
from .forms import LIST, anything, boolean, choice, metadata, nested, positive, required, text, texts, url
from .money import check_currency

USAGE = choice("off_session", "on_session")
CAPTURE_METHOD = choice("automatic", "automatic_async", "manual")
PAYMENT_METHOD_DATA = nested(**CREATE_PAYMENT_METHOD)


def no_longer_supported(value: Any, name: str) -> None:
    """This API version took the parameter away and answers with a code of its own."""
    raise refuse(
        f"The parameter `{name}` is no longer supported. Use `allowed_payment_method_types` or"
        " `excluded_payment_method_types` instead.",
        code="payment_method_types_no_longer_supported",
        param=name,
    )


CONFIRM = {
    "payment_method": text,
    "payment_method_data": PAYMENT_METHOD_DATA,
    "off_session": boolean,
    "return_url": url,
    "use_stripe_sdk": boolean,
    "setup_future_usage": USAGE,
    "capture_method": CAPTURE_METHOD,
    "receipt_email": text,
    "shipping": anything,
    "payment_method_types": no_longer_supported,
    "client_secret": text,
}
CREATE = {
    **{name: field for name, field in CONFIRM.items() if name != "client_secret"},
    "amount": required(positive),
    "currency": required(check_currency),
    "confirm": boolean,
    "customer": text,
    "description": text,
    "metadata": metadata,
    "automatic_payment_methods": nested(enabled=required(boolean), allow_redirects=choice("always", "never")),
    "allowed_payment_method_types": texts,
}
UPDATE = {
    "amount": positive,
    "currency": check_currency,
    "customer": text,
    "description": text,
    "metadata": metadata,
    "payment_method": text,
    "payment_method_data": PAYMENT_METHOD_DATA,
    "setup_future_usage": USAGE,
    "capture_method": CAPTURE_METHOD,
    "receipt_email": text,
    "shipping": anything,
    "payment_method_types": no_longer_supported,
}
RETRIEVE = {"client_secret": text}
CAPTURE = {
    "amount_to_capture": positive,
    "metadata": metadata,
}
CANCEL = {"cancellation_reason": choice("duplicate", "fraudulent", "requested_by_customer", "abandoned")}
LIST_INTENTS = {**LIST, "customer": text}

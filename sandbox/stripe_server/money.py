"""Amounts in the smallest unit of a currency: what Stripe accepts and how it writes them."""

from __future__ import annotations

from typing import Any

from .errors import refuse
from .forms import text

# Least amount of one charge, in the smallest unit.
LEAST = {
    "aud": 50,
    "bgn": 100,
    "cad": 50,
    "chf": 50,
    "czk": 1500,
    "dkk": 250,
    "eur": 50,
    "gbp": 30,
    "hkd": 400,
    "huf": 17500,
    "jpy": 50,
    "nok": 300,
    "nzd": 50,
    "pln": 200,
    "ron": 200,
    "sek": 300,
    "sgd": 50,
    "usd": 50,
}
MOST = 99_999_999
WITHOUT_DECIMALS = {"jpy"}
SIGNS = {"eur": "€", "usd": "$", "gbp": "£", "jpy": "¥"}


def as_money(amount: int, currency: str, language: str = "en") -> str:
    plain = f"{amount:,}" if currency in WITHOUT_DECIMALS else f"{amount // 100:,}.{amount % 100:02d}"
    if language == "de":
        return f"{plain.translate(str.maketrans(',.', '.,'))} {SIGNS.get(currency, currency.upper())}"
    return f"{SIGNS[currency]}{plain}" if currency in SIGNS else f"{plain} {currency}"


def check_currency(value: Any, name: str) -> str:
    currency = text(value, name).lower()
    if currency not in LEAST:
        raise refuse(
            f"Invalid currency: {currency}. Stripe currently supports these currencies: {', '.join(LEAST)}",
            param=name,
        )
    return currency


def check_amount(amount: int, currency: str) -> None:
    if amount < LEAST[currency]:
        raise refuse(
            f"Amount must be at least {as_money(LEAST[currency], currency)} {currency}",
            code="amount_too_small",
            param="amount",
        )
    if amount > MOST:
        raise refuse(
            f"Amount must be no more than {as_money(MOST, currency)}", code="amount_too_large", param="amount"
        )

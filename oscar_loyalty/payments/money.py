"""Decimal amounts to and from the whole coins that a card network counts in."""

from decimal import Decimal

from .gateway import InexactAmount

# Stripe counts these in whole units. ISK and UGX have no coins either, but are counted in hundredths.
WITHOUT_COINS = frozenset(
    ["BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"],
)
WITH_THOUSANDTHS = frozenset(["BHD", "JOD", "KWD", "OMR", "TND"])


def places(currency: str) -> int:
    """Return how many decimal places amounts in this currency have at the card network."""
    code = currency.upper()
    if code in WITHOUT_COINS:
        return 0
    return 3 if code in WITH_THOUSANDTHS else 2


def to_coins(amount: Decimal, currency: str) -> int:
    """
    Return ``amount`` in the smallest coins of ``currency``: 12.34 EUR is 1234, 500 JPY is 500.

    :raises InexactAmount: the amount cannot be paid in whole coins; nothing is rounded here
    """
    coins = amount.scaleb(places(currency))
    # Networks take amounts with three places only in steps of ten thousandths.
    step = 10 if places(currency) == 3 else 1
    if not coins.is_finite() or coins % step != 0:
        raise InexactAmount(f"{amount} {currency}")
    return int(coins)


def from_coins(coins: int, currency: str) -> Decimal:
    """Return the amount for ``coins`` smallest coins of ``currency``."""
    return Decimal(coins).scaleb(-places(currency))

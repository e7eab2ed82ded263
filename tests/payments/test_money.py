from decimal import Decimal

import pytest

from oscar_loyalty.payments.gateway import InexactAmount
from oscar_loyalty.payments.money import from_coins, to_coins


@pytest.mark.parametrize(
    ("amount", "currency", "coins"),
    [
        ("12.34", "EUR", 1234),
        ("0.01", "EUR", 1),
        ("10", "EUR", 1000),
        ("500", "JPY", 500),
        ("500.00", "jpy", 500),
        ("5.120", "KWD", 5120),
        ("9", "ISK", 900),
        ("99999999.99", "EUR", 9999999999),
    ],
)
def test_amounts_are_whole_coins_and_back(amount, currency, coins):
    assert to_coins(Decimal(amount), currency) == coins
    assert from_coins(coins, currency) == Decimal(amount)


@pytest.mark.parametrize(
    ("amount", "currency"),
    [("0.001", "EUR"), ("1.5", "JPY"), ("1.001", "KWD"), ("NaN", "EUR"), ("Infinity", "EUR")],
)
def test_no_amount_is_rounded(amount, currency):
    with pytest.raises(InexactAmount):
        to_coins(Decimal(amount), currency)

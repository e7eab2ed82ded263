"""
Any sequence of returns, cancellations, refunds that fail, claims, expiry and time, over orders of a real
basket.

After each step: no line and no order brings more money than was paid for it, the ledger proves itself, and
Oscar's books say what the bank did. At the end everything comes back, and every member is where they would be
without these orders. Quick by default; 2,000 histories by ``HYPOTHESIS_PROFILE=nightly``.
"""

import os
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from oscar_loyalty.tiers.models import TierPerk
from tests.shop import world as shop

from .machine_promises import ReturnMachine
from .world import make_order, make_policy, make_tier

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"

#: Lines of (price, pieces, VAT in percent), and what is special about the order.
ORDERS: tuple[tuple[Any, dict[str, Any]], ...] = (
    ((("30.00", 3, 19), ("20.00", 1, 7)), {"points": 700}),
    ((("10.01", 3, 19), ("3.33", 7, 7), ("99.99", 1, 0)), {"voucher": True, "shipping": "0.00"}),
    ((("5.00", 2, 19),), {"points": 900, "voucher": True, "shipping": "0.00"}),
    ((("49.95", 2, 19), ("0.50", 5, 7)), {"points": 1234, "shipping": "6.90"}),
    ((("17.50", 2, 19), ("8.20", 3, 7)), {"guest": True}),
    ((("19.99", 4, 7),), {"delivered": False}),
    ((("12.34", 2, 19), ("6.50", 2, 7)), {"points": 500, "voucher": True, "delivered": False}),
)


class Told(ReturnMachine):
    """Says how far a long night has come."""

    histories = 0

    def teardown(self) -> None:
        super().teardown()
        Told.histories += 1
        if NIGHTLY and self.histories % 50 == 0:
            print(f"{self.histories} histories", flush=True)


def open_shop(*, spent_points: str) -> Any:
    """A shop with a silver tier that is refunded at once, where who returns little keeps it."""
    programme = shop.make_programme(waiting_days=10, expiry_months=18, claim_days=365)
    version = make_tier(programme, entry=150, keep=100)
    TierPerk.objects.create(version=version, tier_code="silver", kind="INSTANT_REFUND", parameters={})
    make_policy(
        programme,
        fee=Decimal("4.95"),
        fault_days=3600,
        instant_refund_limit=Decimal(40),
        keep_item_below=Decimal(7),
        offers_store_credit=True,
        store_credit_bonus_percent=Decimal(10),
        spent_points=spent_points,
    )
    return programme


@pytest.mark.database
@pytest.mark.timeout(0)
@pytest.mark.django_db
@pytest.mark.parametrize("spent_points", ["DEBT", "SET_OFF", "WAIVE"])
def test_no_sequence_of_returns_gives_or_takes_a_cent_or_a_point_too_much(spent_points: str) -> None:
    open_shop(spent_points=spent_points)
    account = shop.make_member(points=5000)
    shop.make_discount(percent=10)
    voucher = shop.make_discount(value=Decimal("7.77"), voucher_code="MINUS7")
    Told.orders = [
        make_order(
            None if special.get("guest") else account.user,
            lines,
            points=special.get("points", 0),
            voucher=voucher if special.get("voucher") else None,
            shipping=special.get("shipping", "4.90"),
            delivered=special.get("delivered", True),
        )
        for lines, special in ORDERS
    ]
    Told.account_id = account.pk
    Told.at_start = 5000
    examples = settings().max_examples // 3 + 1 if NIGHTLY else max(settings().max_examples // 8, 3)
    run_state_machine_as_test(
        Told, settings=settings(stateful_step_count=40 if NIGHTLY else 25, max_examples=examples)
    )

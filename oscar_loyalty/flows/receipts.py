"""What an order brings its customer in points: for the page that thanks them."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.flows.earning import preview_under_policy
from oscar_loyalty.flows.purchases import counts_for
from oscar_loyalty.points import queries as points
from oscar_loyalty.points.models import Entry
from oscar_loyalty.points.rules import value_of
from oscar_loyalty.programmes import queries as programmes
from oscar_loyalty.shop.orders import get_purchase_facts


@dataclass(frozen=True, kw_only=True)
class OrderPoints:
    """
    ``state`` is ``BOOKED`` (the ledger has them), ``EXPECTED`` (a member's order that is not booked yet)
    or ``MISSED`` (what a guest or a customer outside the programme would have earned).
    """

    state: str
    points: int
    value: Decimal
    currency: str
    waiting_days: int
    spendable_status: str


def find_order_points(*, order: Any) -> OrderPoints | None:
    """The points of an order, judged by the version in force when it was placed; ``None`` when it
    earns nothing. Reads only."""
    purchase = get_purchase_facts(order)
    policy = programmes.find_policy(currency=purchase.currency, at=purchase.placed_at)
    if policy is None or policy.rate is None:
        return None
    account = points.find_account_of_user(
        user_id=purchase.user_id, programme_code=loyalty_settings.programme_code
    )
    booked = account and points.find_entry_of_order(
        programme_id=policy.programme_id, order_ref=purchase.number, kind=Entry.Kind.EARN
    )
    if booked:
        state, earned = "BOOKED", booked.points
    else:
        preview = preview_under_policy(lines=purchase.lines, policy=policy)
        takes_part = account is not None and counts_for(purchase, account=account, policy=policy)
        state, earned = "EXPECTED" if takes_part else "MISSED", preview.points if preview else 0
    if earned == 0 or purchase.is_cancelled:
        return None
    return OrderPoints(
        state=state,
        points=earned,
        value=value_of(earned, rate=policy.rate),
        currency=purchase.currency,
        waiting_days=policy.waiting_days,
        spendable_status=policy.spendable_status,
    )

"""What an order brings its customer in points: for the page that thanks them."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.flows.earning import preview_purchase
from oscar_loyalty.flows.purchases import counts_for
from oscar_loyalty.flows.wording import Part, describe_parts, list_parts, name_part
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
    #: What each rule brings; nothing where only the base rate acts.
    parts: Sequence[Part] = ()


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
    booked = account and points.list_earnings_of_order(
        programme_id=policy.programme_id, order_ref=purchase.number
    )
    if booked:
        state, earned = "BOOKED", sum(entry.points for entry in booked)
        parts = _parts_of(booked)
    else:
        preview = preview_purchase(purchase, policy=policy)
        takes_part = account is not None and counts_for(purchase, account=account, policy=policy)
        state, earned = "EXPECTED" if takes_part else "MISSED", preview.points if preview else 0
        parts = describe_parts(preview.earning) if preview else []
    if earned == 0 or purchase.is_cancelled:
        return None
    return OrderPoints(
        state=state,
        points=earned,
        value=value_of(earned, rate=policy.rate),
        currency=purchase.currency,
        waiting_days=policy.waiting_days,
        spendable_status=policy.spendable_status,
        parts=parts,
    )


def _parts_of(earnings: Sequence[Entry]) -> list[Part]:
    """Of everything that an order earned; the base rate's points too where one booking had only those."""
    if not any("rules" in entry.explanation for entry in earnings):
        return []
    parts = []
    for entry in earnings:
        parts += list_parts(entry.explanation) or [
            Part(code="PURCHASE", points=entry.points, text=name_part({"code": "PURCHASE"}))
        ]
    return parts

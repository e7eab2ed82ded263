"""What a purchase earns: one engine for previews and for the booking."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from oscar_loyalty.points.rules import Earning, PurchaseLine, bases_for, points_for_lines, value_of
from oscar_loyalty.programmes import queries as programmes
from oscar_loyalty.programmes.rules import Policy
from oscar_loyalty.shop.products import find_excluded_product_ids


@dataclass(frozen=True, kw_only=True)
class EarnPreview:
    """What a purchase would earn now: whole ``points``, and the money they would save later."""

    points: int
    value: Decimal
    currency: str
    basis: Decimal
    version: int
    earning: Earning


def preview_earning(*, lines: Sequence[PurchaseLine], currency: str, now: datetime) -> EarnPreview | None:
    """What the lines would earn if they were ordered now; ``None`` when the programme earns nothing."""
    policy = programmes.find_policy(currency=currency, at=now)
    return preview_under_policy(lines=lines, policy=policy) if policy else None


def preview_under_policy(*, lines: Sequence[PurchaseLine], policy: Policy) -> EarnPreview | None:
    """The same under a policy at hand, so that a page of previews reads it once."""
    return preview_each({0: lines}, policy=policy).get(0)


def preview_each(
    purchases: Mapping[int, Sequence[PurchaseLine]], *, policy: Policy
) -> dict[int, EarnPreview]:
    """
    What each purchase would earn if it were ordered alone; at most one statement for all of them, so
    that a page of products costs as much as one. Empty when the programme earns nothing.
    """
    if not policy.can_earn() or policy.rate is None:
        return {}
    excluded = find_excluded_product_ids(
        [line.product_id for lines in purchases.values() for line in lines], policy=policy
    )
    previews = {}
    for key, lines in purchases.items():
        earning = _earning(lines, policy=policy, excluded=excluded)
        previews[key] = EarnPreview(
            points=earning.points,
            value=value_of(earning.points, rate=policy.rate),
            currency=policy.rate.currency,
            basis=earning.basis,
            version=policy.version,
            earning=earning,
        )
    return previews


def earning_under_policy(*, lines: Sequence[PurchaseLine], policy: Policy) -> Earning:
    """Points per line under a policy that can earn."""
    excluded = find_excluded_product_ids([line.product_id for line in lines], policy=policy)
    return _earning(lines, policy=policy, excluded=excluded)


def earnings_under_policy(
    purchases: Mapping[int, Sequence[PurchaseLine]], *, policy: Policy
) -> dict[int, Earning]:
    """The same for many purchases, with at most one statement."""
    products = [line.product_id for lines in purchases.values() for line in lines]
    excluded = find_excluded_product_ids(products, policy=policy)
    return {key: _earning(lines, policy=policy, excluded=excluded) for key, lines in purchases.items()}


def _earning(lines: Sequence[PurchaseLine], *, policy: Policy, excluded: frozenset[int]) -> Earning:
    assert policy.rate is not None
    bases = bases_for(lines, policy=policy, excluded_product_ids=excluded)
    return points_for_lines(bases, rate=policy.rate)

"""Tiers and perks as staff look at them: who would land where, which tier has which perk."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.utils.translation import ngettext

from oscar_loyalty.flows.part_wording import name_perk
from oscar_loyalty.flows.tier_wording import say_perk
from oscar_loyalty.flows.wording import number
from oscar_loyalty.programmes.models import ProgrammeVersion
from oscar_loyalty.registry import perks
from oscar_loyalty.shop.orders import CustomerTotal, Period, list_customer_totals
from oscar_loyalty.tiers.models import Tier, TierPerk, TierScheme
from oscar_loyalty.tiers.queries import name_of

#: What "last year" means here, in days.
LAST_YEAR_DAYS = 365


@dataclass(frozen=True, kw_only=True)
class PerkCell:
    """What a kind of perk gives a tier, in one sentence; empty when it does not."""

    tier_name: str
    text: str


@dataclass(frozen=True, kw_only=True)
class PerkRow:
    """One kind of perk, with a cell for each tier in the order of ranks."""

    label: str
    cells: tuple[PerkCell, ...]


@dataclass(frozen=True, kw_only=True)
class Landing:
    """How many of last year's customers would be in a tier; ``tier`` is ``None`` for those in none."""

    tier: Tier | None
    tier_name: str
    customers: int
    share: Decimal


def list_tiers(version: ProgrammeVersion) -> list[Tier]:
    """Lowest first."""
    return list(version.tiers.order_by("rank"))


def build_perk_matrix(
    version: ProgrammeVersion,
    *,
    tiers: Sequence[Tier],
    name_methods: Callable[[], Mapping[str, str]] = dict,
) -> list[PerkRow]:
    """Kinds of perks that any tier has, by tiers: one statement."""
    found: dict[str, dict[str, TierPerk]] = {}
    for perk in version.tier_perks.order_by("kind"):
        found.setdefault(perk.kind, {})[perk.tier_code] = perk
    rows = []
    known = [kind.code for kind in perks]
    for code in sorted(found, key=lambda code: (known.index(code) if code in known else len(known), code)):
        by_tier = found[code]
        rows.append(
            PerkRow(
                label=name_perk(code),
                cells=tuple(
                    PerkCell(
                        tier_name=name_of(tier),
                        text=say_perk_to_staff(by_tier[tier.code], name_methods=name_methods)
                        if tier.code in by_tier
                        else "",
                    )
                    for tier in tiers
                ),
            )
        )
    return rows


def say_perk_to_staff(perk: TierPerk, *, name_methods: Callable[[], Mapping[str, str]]) -> str:
    """
    What a perk gives in one sentence, and how often; one that nobody can describe is named by its code.
    """
    said = say_perk(perk.kind, perk.parameters, name_methods=name_methods) or perk.kind
    if (uses := perk.uses_per_period) is None:
        return said
    return ngettext("%(perk)s (%(uses)s time a year)", "%(perk)s (%(uses)s times a year)", uses) % {
        "perk": said,
        "uses": number(uses),
    }


def count_landings(version: ProgrammeVersion, *, scheme: TierScheme, now: datetime) -> list[Landing]:
    """
    Of the customers who ordered in the last 365 days, how many have what each tier of a version asks for;
    highest first, those in none last. Qualifying points are taken as the base rate gives them, so what
    rules add is not in it. One statement, in bounded memory.
    """
    tiers = list_tiers(version)
    thresholds = [tier.entry_threshold for tier in tiers]
    rate = _points_per_unit(version, scheme=scheme)
    counted: Counter[int] = Counter()
    period = Period(since=now - timedelta(days=LAST_YEAR_DAYS), until=now)
    totals = list_customer_totals(period, currency=scheme.currency, with_tax=version.includes_tax)
    for total in totals:
        counted[bisect_right(thresholds, _value_of(total, scheme=scheme, rate=rate))] += 1
    everybody = sum(counted.values())
    ranked: list[tuple[int, Tier | None]] = [(rank, tiers[rank - 1]) for rank in range(len(tiers), 0, -1)]
    return [
        Landing(
            tier=tier,
            tier_name=name_of(tier) if tier is not None else "",
            customers=counted[rank],
            share=Decimal(100) * counted[rank] / everybody if everybody else Decimal(0),
        )
        for rank, tier in [*ranked, (0, None)]
    ]


def _points_per_unit(version: ProgrammeVersion, *, scheme: TierScheme) -> Decimal:
    rate: Any = version.rates.filter(currency=scheme.currency).first()
    return Decimal(rate.earn_points) / rate.earn_amount if rate is not None else Decimal(0)


def _value_of(total: CustomerTotal, *, scheme: TierScheme, rate: Decimal) -> Decimal:
    if scheme.metric == TierScheme.Metric.ORDERS:
        return Decimal(total.orders)
    if scheme.metric == TierScheme.Metric.POINTS:
        return (total.spend * rate).to_integral_value(rounding="ROUND_FLOOR")
    return total.spend

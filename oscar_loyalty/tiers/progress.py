"""What a member reads of their tier: where they stand, what is missing, what keeps it, what would be lost."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from oscar_loyalty.points.rules import Earning
from oscar_loyalty.programmes.rules import FAR_FUTURE, Policy
from oscar_loyalty.tiers.models import Tier, TierChange, TierScheme
from oscar_loyalty.tiers.queries import TierTable, find_tier_table, list_changes
from oscar_loyalty.tiers.reading import read_histories, read_rules
from oscar_loyalty.tiers.rules import Contribution, Standing

#: So many changes are shown; nobody has more in a year.
MOST_CHANGES = 20


@dataclass(frozen=True, kw_only=True)
class Progress:
    """
    Where a member stands, computed now. Amounts are in units of ``metric``: whole points, orders, or money
    of ``currency``. Moments are ``None`` where there is nothing to say.
    """

    table: TierTable
    standing: Standing
    now: datetime

    @property
    def metric(self) -> str:
        return self.table.scheme.metric

    @property
    def currency(self) -> str:
        return self.table.scheme.currency

    @property
    def is_money(self) -> bool:
        return self.table.thresholds_are_money

    @property
    def is_rolling(self) -> bool:
        return self.table.scheme.period == TierScheme.Period.ROLLING

    @property
    def months(self) -> int:
        return (
            12 if self.table.scheme.period == TierScheme.Period.CALENDAR else self.table.scheme.period_months
        )

    @property
    def time_zone(self) -> str:
        return self.table.version.programme.time_zone

    @property
    def programme_name(self) -> str:
        return self.table.version.programme.name

    @property
    def tier(self) -> Tier | None:
        """The tier that is held."""
        return self.table.find(self.standing.tier_code)

    @property
    def qualified(self) -> Decimal:
        return self.standing.qualified

    @property
    def next_tier(self) -> Tier | None:
        """The next one to reach: above what was earned, and above what staff gave."""
        rank = self.tier.rank if self.tier else 0
        return next((tier for tier in self.table.tiers if tier.rank > rank), None)

    @property
    def missing(self) -> Decimal:
        """What is still to be bought for the next tier."""
        if self.next_tier is None:
            return Decimal(0)
        return max(self.next_tier.entry_threshold - self.qualified, Decimal(0))

    @property
    def missing_until(self) -> datetime | None:
        """When more will be missing, because a period ends or an order stops counting."""
        known = self.next_tier is not None and self.standing.counts_until < FAR_FUTURE
        return self.standing.counts_until if known else None

    @property
    def percent(self) -> int:
        """How far the next tier is reached, whole and rounded down; 100 on the highest."""
        if self.next_tier is None:
            return 100
        return int(max(min(self.qualified / self.next_tier.entry_threshold, Decimal(1)), Decimal(0)) * 100)

    @property
    def is_given(self) -> bool:
        """Whether the tier is there because staff gave it."""
        return self.standing.tier_code != self.standing.earned_code

    @property
    def lost_at(self) -> datetime | None:
        """When the tier is lost if nothing more is bought."""
        return self.standing.lost_at if self.standing.lost_at < FAR_FUTURE else None

    @property
    def is_in_grace(self) -> bool:
        """No longer earned, and kept for some days more."""
        return self.standing.short_from <= self.now

    @property
    def is_waiting(self) -> bool:
        """The period in which the tier has to be earned again has not begun."""
        return FAR_FUTURE > self.standing.keep_from > self.now

    @property
    def keep_missing(self) -> Decimal | None:
        """What is to be bought by ``keep_by`` (from ``keep_from`` on) so that the tier is not lost then."""
        return self.standing.keep_missing if self.standing.keep_by < FAR_FUTURE else None

    @property
    def keep_from(self) -> datetime:
        return self.standing.keep_from

    @property
    def keep_by(self) -> datetime | None:
        return self.standing.keep_by if self.standing.keep_by < FAR_FUTURE else None

    @property
    def falls_to(self) -> Tier | None:
        """What is left when the tier is lost, as far as the scheme alone says: of one that staff gave, what
        was earned beside it."""
        if self.tier is not None and self.standing.earned_code != self.tier.code:
            return self.table.find(self.standing.earned_code)
        if self.tier is None or self.table.scheme.downgrade != TierScheme.Downgrade.ONE_STEP:
            return None
        return next((tier for tier in self.table.tiers if tier.rank == self.tier.rank - 1), None)


@dataclass(frozen=True, kw_only=True)
class PastChange:
    """One line of a member's history of tiers."""

    at: datetime
    from_name: str
    to_name: str
    reason: str
    #: The same in words.
    reason_text: str
    order_ref: str


def read_progress(*, member_id: int, now: datetime, table: TierTable | None = None) -> Progress | None:
    """
    Where a member stands; ``None`` while there are no tiers. Computed and not looked up, so that it is
    right even when the job that stores it is late. Five statements, three with the ``table`` at hand.
    """
    table = table or find_tier_table(at=now)
    if table is None:
        return None
    return Progress(table=table, standing=_stand(member_id=member_id, table=table, now=now), now=now)


@dataclass(frozen=True, kw_only=True)
class Projection:
    """Where an order would lead that is placed now. Codes and names are empty for no tier, and for the
    next one where there is none above."""

    code: str
    name: str
    #: Whether the order reaches a tier above the one that is held.
    rises: bool
    next_code: str
    next_name: str
    #: What would be missing for that one, in units of ``metric``.
    missing: Decimal
    metric: str
    currency: str


def project_tier(
    *, member_id: int, policy: Policy, earning: Earning, currency: str, now: datetime
) -> Projection | None:
    """
    The tier that a member would have after an order placed now. Three statements; none, and ``None``,
    where the programme never had tiers.
    """
    if not policy.has_tiers:
        return None
    rules = read_rules(programme_id=policy.programme_id, now=now)
    scheme = rules.scheme
    if scheme is None:
        return None
    history = read_histories([member_id], programme_id=policy.programme_id)[member_id]
    order = Contribution(
        occurred_at=now,
        order_ref="",
        points=earning.points,
        spend=earning.basis,
        currency=currency,
        orders=1,
    )
    held = scheme.rank_of(history.fold(rules=rules, now=now).tier_code)
    after = history.fold(rules=rules, now=now, extra=[order])
    rank = scheme.rank_of(after.tier_code)
    above = scheme.tiers[rank] if rank < len(scheme.tiers) else None
    return Projection(
        code=after.tier_code,
        name=rules.name_of(after.tier_code) if after.tier_code else "",
        rises=rank > held,
        next_code=above.code if above else "",
        next_name=rules.name_of(above.code) if above else "",
        missing=max(above.entry - after.qualified, Decimal(0)) if above else Decimal(0),
        metric=scheme.metric,
        currency=scheme.currency,
    )


def read_past_changes(*, member_id: int, table: TierTable) -> list[PastChange]:
    """What a member was told of their tiers, newest first: one statement."""
    return [
        PastChange(
            at=change.changed_at,
            from_name=table.name_of(change.from_code),
            to_name=table.name_of(change.to_code),
            reason=change.reason,
            reason_text=str(TierChange.Reason(change.reason).label),
            order_ref=change.order_ref,
        )
        for change in list_changes(member_id=member_id)[:MOST_CHANGES]
    ]


def _stand(*, member_id: int, table: TierTable, now: datetime) -> Standing:
    programme_id = table.version.programme_id
    rules = read_rules(programme_id=programme_id, now=now)
    return read_histories([member_id], programme_id=programme_id)[member_id].fold(rules=rules, now=now)

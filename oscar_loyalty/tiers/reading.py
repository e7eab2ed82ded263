"""What the fold needs, read from the database: a few statements for however many members."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils.translation import get_language

from oscar_loyalty.members.models import Member
from oscar_loyalty.programmes.models import Programme, ProgrammeVersion
from oscar_loyalty.tiers.models import QualifyingEntry
from oscar_loyalty.tiers.rules import (
    NOTHING,
    Contribution,
    Override,
    Scheme,
    Schemes,
    Standing,
    TierRule,
    fold,
)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What a programme has said about tiers up to a moment: ``schemes`` in order of time."""

    programme_id: int
    time_zone: str
    schemes: Schemes
    #: Number of the version in force; 0 before the first one.
    version: int
    #: What its tiers are called, by code: in German and in English.
    names: Mapping[str, tuple[str, str]]

    def name_of(self, code: str) -> str:
        """In the language of the reader."""
        german, english = self.names.get(code, (code, code))
        return german if (get_language() or "").startswith("de") else english

    @property
    def scheme(self) -> Scheme | None:
        """The one in force."""
        return self.schemes[-1][1] if self.schemes else None


def read_rules(*, programme_id: int, now: datetime) -> Rules:
    """Every scheme that has been in force, with its tiers: one statement."""
    rows = (
        ProgrammeVersion.objects.filter(programme_id=programme_id, active_from__lte=now)
        .order_by("active_from", "tiers__rank")
        .values_list(
            *("number", "active_from", "programme__time_zone", "tier_scheme__metric"),
            *("tier_scheme__currency", "tier_scheme__period", "tier_scheme__period_months"),
            *("tier_scheme__grace_days", "tier_scheme__downgrade"),
            *("tiers__code", "tiers__name_de", "tiers__name_en"),
            *("tiers__entry_threshold", "tiers__keep_threshold"),
        )
    )
    time_zone, version = "", 0
    found: dict[datetime, tuple[Any, list[TierRule]]] = {}
    names: dict[str, tuple[str, str]] = {}
    for number, active_from, zone, *about, code, german, english, entry, keep in rows:
        if number != version:
            names = {}
        time_zone, version = zone, number
        tiers = found.setdefault(active_from, (None if about[0] is None else tuple(about), []))[1]
        if code is not None:
            tiers.append(TierRule(code=code, entry=entry, keep=keep))
            names[code] = german, english
    if not version:
        time_zone = Programme.objects.values_list("time_zone", flat=True).get(pk=programme_id)
    return Rules(
        programme_id=programme_id,
        time_zone=time_zone,
        schemes=[(begin, _scheme(about, tiers)) for begin, (about, tiers) in found.items()],
        version=version,
        names=names,
    )


def _scheme(about: tuple[str, str, str, int, int, str] | None, tiers: list[TierRule]) -> Scheme | None:
    """A scheme without tiers is none."""
    if about is None or not tiers:
        return None
    metric, currency, period, months, grace, downgrade = about
    return Scheme(
        metric=metric,
        currency=currency,
        period=period,
        months=months,
        grace_days=grace,
        downgrade=downgrade,
        tiers=tuple(tiers),
    )


@dataclass(kw_only=True)
class History:
    """
    What one member brings along. ``joined_at``: of the earliest of those who are this member today;
    ``None`` when they take no part.
    """

    joined_at: datetime | None = None
    #: When they stopped taking part.
    left_at: datetime | None = None
    contributions: list[Contribution] = field(default_factory=list)
    overrides: list[Override] = field(default_factory=list)

    def fold(self, *, rules: Rules, now: datetime, extra: Iterable[Contribution] = ()) -> Standing:
        """Where the member stands; ``extra`` is what they might buy besides."""
        if self.joined_at is None:
            since = self.left_at or now
            return Standing(tier_code="", earned_code="", since=since, qualified=NOTHING)
        return fold(
            contributions=[*self.contributions, *extra],
            overrides=self.overrides,
            schemes=rules.schemes,
            joined_at=self.joined_at,
            time_zone=rules.time_zone,
            now=now,
        )


def read_histories(member_ids: Collection[int], *, programme_id: int) -> dict[int, History]:
    """
    Histories of members: two statements, whatever their number. What merged members brought belongs
    to the member who remained. Who left and joined again begins anew: what was booked before they joined
    does not count.
    """
    histories = {member_id: History() for member_id in member_ids}
    # Two halves, each of which every engine reads off an index.
    rows = Member.objects.filter(pk__in=member_ids).values_list(*_OF_MEMBER)
    found = list(rows.union(Member.objects.filter(merged_into__in=member_ids).values_list(*_OF_MEMBER)))
    belongs_to: dict[int, int] = {}
    joined_at: dict[int, datetime] = {}
    for pk, merged_into, status, joined, left, *_override in found:
        remained = merged_into or pk
        if pk in histories and status != Member.Status.ACTIVE:
            histories[pk].left_at = left
        if remained in histories:
            belongs_to[pk], joined_at[pk] = remained, joined
    for pk, remained in belongs_to.items():
        history = histories[remained]
        if history.left_at is None:
            history.joined_at = min(history.joined_at or joined_at[pk], joined_at[pk])
    for pk, _into, _status, joined, _left, of_programme, code, active_from, active_to, ended_at in found:
        if pk in belongs_to and of_programme == programme_id:
            end = min(active_to, ended_at or active_to)
            if end > active_from >= joined:
                override = Override(tier_code=code, active_from=active_from, active_to=end)
                histories[belongs_to[pk]].overrides.append(override)
    for remained, contributions in _contributions(belongs_to, joined_at, programme_id=programme_id).items():
        histories[remained].contributions = contributions
    return histories


_OF_MEMBER = (
    *("pk", "merged_into_id", "status", "joined_at", "left_at"),
    *("tier_overrides__programme_id", "tier_overrides__tier_code"),
    *("tier_overrides__active_from", "tier_overrides__active_to", "tier_overrides__ended_at"),
)


def _contributions(
    belongs_to: dict[int, int], joined_at: dict[int, datetime], *, programme_id: int
) -> dict[int, list[Contribution]]:
    """What is left of each order after its returns."""
    entries = QualifyingEntry.objects.filter(member_id__in=belongs_to, programme_id=programme_id)
    sums: dict[int, dict[object, _Sum]] = defaultdict(dict)
    for pk, member_id, order_ref, occurred_at, booked_at, points, spend, currency, orders in (
        entries.order_by("id")
        .values_list(
            *("pk", "member_id", "order_ref", "occurred_at", "booked_at"),
            *("points", "spend", "currency", "orders"),
        )
        .iterator(chunk_size=5000)
    ):
        of_member = sums[belongs_to[member_id]]
        # The first entry of an order says since when it is known; corrections stand alone.
        one = of_member.setdefault(
            order_ref or pk,
            _Sum(
                occurred_at=occurred_at,
                order_ref=order_ref,
                currency=currency,
                counts=booked_at >= joined_at[member_id],
            ),
        )
        one.points += points
        one.spend += spend
        one.orders += orders
    return {
        remained: [
            Contribution(
                occurred_at=one.occurred_at,
                order_ref=one.order_ref,
                points=one.points,
                spend=one.spend,
                currency=one.currency,
                orders=one.orders,
            )
            for one in of_member.values()
            if one.counts and (one.points or one.spend or one.orders)
        ]
        for remained, of_member in sums.items()
    }


@dataclass(kw_only=True, slots=True)
class _Sum:
    occurred_at: datetime
    order_ref: str
    currency: str
    counts: bool
    points: int = 0
    spend: Decimal = NOTHING
    orders: int = 0

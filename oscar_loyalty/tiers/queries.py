from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Mod
from django.utils.translation import get_language

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.programmes.models import ProgrammeVersion
from oscar_loyalty.tiers.models import (
    OrderPerks,
    QualifyingEntry,
    Tier,
    TierChange,
    TierOverride,
    TierScheme,
    TierStatus,
)

#: Statuses that are recomputed in one transaction.
BATCH = 500
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def list_keys(*, programme_id: int, order_ref: str) -> list[str]:
    """The events that decided what an order counts for, oldest first."""
    counts = QualifyingEntry.objects.filter(programme_id=programme_id, order_ref=order_ref)
    return list(counts.order_by("id").values_list("key", flat=True))


def find_tier_code(*, member_id: int, at: datetime, before_order: str = "") -> str:
    """
    The tier that a member held at a moment, as far as was known of it; empty for none. What the order
    ``before_order`` itself changed is left out: it is judged by the tier held before it. One statement.
    """
    changes = TierChange.objects.filter(
        programme__code=loyalty_settings.programme_code, member_id=member_id, changed_at__lte=at
    )
    if before_order:
        changes = changes.exclude(order_ref=before_order)
    return changes.order_by("-id").values_list("to_code", flat=True).first() or ""


def find_held_tier(*, member_id: int, at: datetime) -> Tier | None:
    """The tier that a member holds as far as it was computed, with its names: one statement."""
    held = TierStatus.objects.filter(member_id=member_id, programme=OuterRef("version__programme"))
    return (
        Tier.objects.filter(
            version__programme__code=loyalty_settings.programme_code,
            version__active_from__lte=at,
            code=Subquery(held.values("tier_code")[:1]),
        )
        .order_by("-version__active_from")
        .first()
    )


def find_tier_codes(asked: Collection[tuple[int, datetime, str]]) -> dict[tuple[int, datetime, str], str]:
    """The same for many: by member, moment and order. One statement, and none for nobody."""
    if not asked:
        return {}
    changes: dict[int, list[tuple[datetime, str, str]]] = {}
    rows = TierChange.objects.filter(
        programme__code=loyalty_settings.programme_code,
        member_id__in={member_id for member_id, _at, _order in asked},
    )
    for member_id, *change in rows.order_by("-id").values_list(
        "member_id", "changed_at", "order_ref", "to_code"
    ):
        changes.setdefault(member_id, []).append(tuple(change))  # type: ignore[arg-type]
    return {
        (member_id, at, order): next(
            (
                code
                for changed_at, order_ref, code in changes.get(member_id, ())
                if changed_at <= at and not (order and order_ref == order)
            ),
            "",
        )
        for member_id, at, order in asked
    }


def find_frozen_perks(*, order_ref: str) -> list[tuple[str, dict[str, Any]]]:
    """Kind and details of each perk that a member had when they placed an order."""
    frozen = OrderPerks.objects.filter(order_ref=order_ref).first()
    return [(perk["kind"], perk["parameters"]) for perk in frozen.perks] if frozen else []


def find_status(*, member_id: int, programme_id: int) -> TierStatus | None:
    """Where a member stood when that was last computed: one statement."""
    return TierStatus.objects.filter(member_id=member_id, programme_id=programme_id).first()


def list_changes(*, member_id: int) -> QuerySet[TierChange]:
    """History of a member and of those who were merged into them, newest first."""
    return TierChange.objects.filter(Q(member_id=member_id) | Q(member__merged_into_id=member_id)).order_by(
        "-id"
    )


def list_overrides(*, member_id: int) -> QuerySet[TierOverride]:
    """What staff gave a member, newest first."""
    return TierOverride.objects.filter(Q(member_id=member_id) | Q(member__merged_into_id=member_id)).order_by(
        "-id"
    )


@dataclass(frozen=True, kw_only=True)
class TierTable:
    """The tiers of one programme version, lowest first, and how they are reached."""

    version: ProgrammeVersion
    scheme: TierScheme
    tiers: list[Tier]

    def name_of(self, code: str) -> str:
        """What people read; the code itself for a tier that there is no longer."""
        return next((name_of(tier) for tier in self.tiers if tier.code == code), code)

    def find(self, code: str) -> Tier | None:
        return next((tier for tier in self.tiers if tier.code == code), None)

    @property
    def thresholds_are_money(self) -> bool:
        return self.scheme.metric == TierScheme.Metric.SPEND


def find_tier_table(*, at: datetime) -> TierTable | None:
    """Tiers of the version in force; ``None`` when there is none or it has none. Two statements at most."""
    version = (
        ProgrammeVersion.objects.select_related("programme", "tier_scheme")
        .filter(programme__code=loyalty_settings.programme_code, active_from__lte=at)
        .order_by("-active_from")
        .first()
    )
    return None if version is None else find_tier_table_of(version)


def find_tier_table_of(version: ProgrammeVersion) -> TierTable | None:
    """Tiers of one version, in force or not."""
    try:
        scheme = version.tier_scheme
    except TierScheme.DoesNotExist:
        return None
    tiers = list(version.tiers.order_by("rank"))
    return TierTable(version=version, scheme=scheme, tiers=tiers) if tiers else None


def name_of(tier: Tier) -> str:
    """In the language of the reader."""
    return tier.name_de if (get_language() or "").startswith("de") else tier.name_en


def count_due(*, programme_id: int, version: int, now: datetime) -> int:
    """How many statuses :func:`iterate_due` has to offer."""
    return TierStatus.objects.filter(
        Q(due_at__lte=now) | ~Q(version_number=version), programme_id=programme_id
    ).count()


def iterate_due(*, programme_id: int, version: int, now: datetime, batch: int = BATCH) -> Iterator[list[int]]:
    """
    Ids of statuses that time or a new version of the programme has made due, longest overdue first, each
    once. Each batch begins after the last row of the one before it, and what was recomputed is due no more,
    so that a run that was stopped goes on where it was.
    """
    mine = TierStatus.objects.filter(programme_id=programme_id)
    due_at, pk = _LONG_AGO, 0
    due = mine.filter(due_at__lte=now).order_by("due_at", "pk").values_list("due_at", "pk")
    while True:
        # In two steps, each of which every engine reads off the index.
        rows = list(due.filter(due_at=due_at, pk__gt=pk)[:batch])
        if len(rows) < batch:
            rows += due.filter(due_at__gt=due_at)[: batch - len(rows)]
        if not rows:
            break
        due_at, pk = rows[-1]
        yield [status_id for _due_at, status_id in rows]
    yield from _iterate_outdated(mine, version=version, batch=batch)


def _iterate_outdated(mine: QuerySet[TierStatus], *, version: int, batch: int) -> Iterator[list[int]]:
    for others in (Q(version_number__lt=version), Q(version_number__gt=version)):
        number, pk = -1, 0
        outdated = mine.filter(others).order_by("version_number", "pk").values_list("version_number", "pk")
        while True:
            rows = list(outdated.filter(version_number=number, pk__gt=pk)[:batch])
            if len(rows) < batch:
                rows += outdated.filter(version_number__gt=number)[: batch - len(rows)]
            if not rows:
                break
            number, pk = rows[-1]
            yield [status_id for _number, status_id in rows]


def list_statuses(*, programme_id: int, part: int = 0, parts: int = 1) -> QuerySet[TierStatus]:
    """Every status; of these, cut into ``parts``, number ``part``."""
    statuses = TierStatus.objects.filter(programme_id=programme_id)
    return statuses.annotate(part=Mod("pk", parts)).filter(part=part) if parts > 1 else statuses


def iterate_rows(statuses: QuerySet[TierStatus], *, batch: int = BATCH) -> Iterator[list[TierStatus]]:
    """In order of their ids, so many at a time."""
    pk = 0
    while rows := list(statuses.filter(pk__gt=pk).order_by("pk")[:batch]):
        pk = rows[-1].pk
        yield rows


def list_statuses_to_warn(
    *, programme_id: int, lost_after: datetime, lost_before: datetime, after: tuple[datetime, int] | None
) -> QuerySet[TierStatus]:
    """Members whose tier is lost between two moments, by that moment; pages begin after a row."""
    found = TierStatus.objects.filter(
        programme_id=programme_id, lost_at__gt=lost_after, lost_at__lte=lost_before
    ).exclude(tier_code="")
    if after is not None:
        lost_at, pk = after
        found = found.filter(lost_at__gte=lost_at).exclude(lost_at=lost_at, pk__lte=pk)
    return found.select_related("member").order_by("lost_at", "pk")


def quantity(value: Decimal, *, table: TierTable) -> Decimal | int:
    """An amount of the metric as people write it: money as it is, the others whole."""
    return value if table.thresholds_are_money else int(value)

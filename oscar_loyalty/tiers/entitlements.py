"""What a customer is entitled to now: read in one statement, and in none for guests."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.db.models import Count, F, IntegerField, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.fields import BigIntegerField, CharField
from django.db.models.functions import Coalesce

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.members.models import Member
from oscar_loyalty.programmes.models import ProgrammeVersion
from oscar_loyalty.tiers.models import PerkGrant, PerkUse, Tier, TierPerk, TierStatus
from oscar_loyalty.tiers.perks import perks

#: "Uses per year" of a tier's perk are those of so many days back from now.
PERIOD = timedelta(days=365)


@dataclass(frozen=True, kw_only=True)
class Entitlement:
    """One perk that a customer has: of their tier, or by a grant when ``grant_id`` is set."""

    kind: str
    parameters: Mapping[str, Any]
    tier_code: str
    grant_id: int | None = None
    #: ``None``: as often as they like.
    uses_left: int | None = None


@dataclass(frozen=True, kw_only=True)
class TierOffering:
    """A perk of a tier of the version in force, whoever asks."""

    kind: str
    parameters: Mapping[str, Any]
    tier_code: str
    rank: int
    name_de: str
    name_en: str

    def name(self, language: str) -> str:
        return self.name_de if language.startswith("de") else self.name_en


@dataclass(frozen=True, kw_only=True)
class Entitlements:
    """Perks of one customer; what has been used up is not among them."""

    tier_code: str = ""
    all: tuple[Entitlement, ...] = ()
    #: Of the member; ``None`` for guests and customers who take no part.
    member_id: int | None = None
    programme_id: int = 0
    version_number: int = 0
    #: What each tier gives, the lowest tier first.
    offerings: tuple[TierOffering, ...] = ()

    def find(self, kind: str) -> Entitlement | None:
        """The best one of a kind."""
        return next(iter(self.of(kind)), None)

    def of(self, kind: str) -> tuple[Entitlement, ...]:
        """All of a kind, the best one first. A grant that is as good as the tier's perk comes after it, so
        that its uses are kept."""
        return self._by_kind.get(kind, ())

    def has(self, *kinds: str) -> bool:
        return any(kind in self._by_kind for kind in kinds)

    @cached_property
    def rank(self) -> int:
        """Of the member's tier; 0 for none, and where the tier gives nothing."""
        return next((tier.rank for tier in self.offerings if tier.tier_code == self.tier_code), 0)

    def better_offerings(self, kind: str) -> Iterator[TierOffering]:
        """What tiers above the customer's give of a kind, the nearest first."""
        return (tier for tier in self.offerings if tier.kind == kind and tier.rank > self.rank)

    @cached_property
    def _by_kind(self) -> dict[str, tuple[Entitlement, ...]]:
        found: dict[str, list[Entitlement]] = {}
        for entitlement in self.all:
            known = found.setdefault(entitlement.kind, [])
            kind = perks.get(entitlement.kind)
            place = next(
                (
                    index
                    for index, other in enumerate(known)
                    if kind.is_better(entitlement.parameters, other.parameters)
                ),
                len(known),
            )
            known.insert(place, entitlement)
        return {kind: tuple(known) for kind, known in found.items()}


NOTHING = Entitlements()


def find_entitlements(*, user_id: int | None, now: datetime) -> Entitlements:
    """
    Everything a customer is entitled to at ``now``: perks of their tier in the version in force, and
    their grants. One statement; none for guests, who are entitled to nothing.
    """
    return NOTHING if user_id is None else read_perks(user_id=user_id, now=now)


def read_perks(*, user_id: int | None, now: datetime) -> Entitlements:
    """Like :func:`find_entitlements`, and for guests as well with what each tier gives: one statement."""
    rows = _tier_rows(user_id=user_id, now=now)
    if user_id is not None:
        rows = rows.union(_grant_rows(user_id=user_id, now=now), all=True)
    tier_code, member_id, programme_id, version_number = "", None, 0, 0
    entitlements, offerings = [], []
    for row in rows:
        (grant_id, kind, parameters, perk_tier, allowed, used, held, member) = row[:8]
        programme_id = row[8]
        member_id = member_id or member
        if grant_id is None:
            tier_code, version_number = held or "", row[9]
        if kind not in perks or not are_readable(kind, parameters):
            continue
        left = None if allowed is None else max(allowed - (used or 0), 0)
        if grant_id is None:
            offerings.append(
                TierOffering(
                    kind=kind,
                    parameters=parameters,
                    tier_code=perk_tier,
                    rank=row[10] or 0,
                    name_de=row[11] or perk_tier,
                    name_en=row[12] or perk_tier,
                )
            )
        mine = grant_id is not None or (bool(held) and held == perk_tier)
        if mine and left != 0:
            entitlements.append(
                Entitlement(
                    kind=kind,
                    parameters=parameters,
                    tier_code=perk_tier or "",
                    grant_id=grant_id,
                    uses_left=left,
                )
            )
    entitlements.sort(key=lambda entitlement: (entitlement.grant_id is not None, entitlement.grant_id or 0))
    return Entitlements(
        tier_code=tier_code,
        all=tuple(entitlements),
        member_id=member_id,
        programme_id=programme_id,
        version_number=version_number,
        offerings=tuple(sorted(offerings, key=lambda tier: (tier.rank, tier.tier_code, tier.kind))),
    )


def are_readable(kind: str, parameters: Any) -> bool:
    """Details that were stored under other rules than today's give nothing, instead of an error."""
    if not isinstance(parameters, dict):
        return False
    try:
        perks.get(kind).validate(parameters)
    except Exception:  # noqa: BLE001 - a kind of the shop may raise anything
        return False
    return True


def _member(user_id: int | None) -> QuerySet[Member, Any]:
    """The one member a user is today; who was merged into another member is that one."""
    return (
        Member.objects.filter(
            Q(user_id=user_id) | Q(merged_from__user_id=user_id), status=Member.Status.ACTIVE
        )
        .order_by("pk")
        .values("pk")[:1]
    )


def _nothing(field: Any) -> Value:
    return Value(None, output_field=field)


def _tier_rows(*, user_id: int | None, now: datetime) -> QuerySet[ProgrammeVersion, Any]:
    in_force = (
        ProgrammeVersion.objects.filter(programme__code=loyalty_settings.programme_code, active_from__lte=now)
        .order_by("-active_from")
        .values("pk")[:1]
    )
    held: Any = _nothing(CharField())
    used: Any = _nothing(BigIntegerField())
    member: Any = _nothing(BigIntegerField())
    if user_id is not None:
        member = Subquery(_member(user_id))
        statuses = TierStatus.objects.filter(
            programme_id=OuterRef("programme_id"), member_id=Subquery(_member(user_id))
        )
        held = Subquery(statuses.values("tier_code")[:1])
        used = Subquery(
            PerkUse.objects.filter(
                programme_id=OuterRef("programme_id"),
                member_id=Subquery(_member(user_id)),
                kind=OuterRef("tier_perks__kind"),
                grant=None,
                undone_at=None,
                used_at__gt=now - PERIOD,
            )
            .values("kind")
            .annotate(times=Count("pk"))
            .values("times")
        )
    tier = Tier.objects.filter(version_id=OuterRef("pk"), code=OuterRef("tier_perks__tier_code"))
    return (
        ProgrammeVersion.objects.filter(pk=Subquery(in_force))
        .annotate(
            grant_id=_nothing(BigIntegerField()),
            used=used,
            held=held,
            of_member=member,
            tier_rank=Subquery(tier.values("rank")[:1]),
            tier_de=Subquery(tier.values("name_de")[:1]),
            tier_en=Subquery(tier.values("name_en")[:1]),
        )
        .values_list(
            "grant_id",
            "tier_perks__kind",
            "tier_perks__parameters",
            "tier_perks__tier_code",
            "tier_perks__uses_per_period",
            "used",
            "held",
            "of_member",
            "programme_id",
            "number",
            "tier_rank",
            "tier_de",
            "tier_en",
        )
    )


def _grant_rows(*, user_id: int, now: datetime) -> QuerySet[PerkGrant, Any]:
    used = (
        PerkUse.objects.filter(grant_id=OuterRef("pk"), undone_at=None)
        .values("grant_id")
        .annotate(times=Count("pk"))
        .values("times")
    )
    return (
        PerkGrant.objects.filter(
            programme__code=loyalty_settings.programme_code,
            member_id=Subquery(_member(user_id)),
            revoked_at=None,
            active_from__lte=now,
            active_to__gt=now,
        )
        .annotate(
            used=Subquery(used),
            perk_tier=Value("", output_field=CharField()),
            held=_nothing(CharField()),
            of_member=F("member_id"),
            number=_nothing(IntegerField()),
            tier_rank=_nothing(IntegerField()),
            tier_de=_nothing(CharField()),
            tier_en=_nothing(CharField()),
        )
        .values_list(
            "pk",
            "kind",
            "parameters",
            "perk_tier",
            "uses_allowed",
            "used",
            "held",
            "of_member",
            "programme_id",
            "number",
            "tier_rank",
            "tier_de",
            "tier_en",
        )
    )


def list_kinds_in_use(*, now: datetime) -> set[str]:
    """
    Kinds that somebody has, or will have: of tiers of the version in force and of those that are planned,
    and of grants that have not ended. One statement.
    """
    programme = {"programme__code": loyalty_settings.programme_code}
    in_force = ProgrammeVersion.objects.filter(**programme, active_from__lte=now).order_by("-active_from")
    of_tiers = TierPerk.objects.filter(
        version__programme__code=loyalty_settings.programme_code,
        version__active_from__gte=Coalesce(Subquery(in_force.values("active_from")[:1]), Value(now)),
    ).values_list("kind")
    of_grants = PerkGrant.objects.filter(**programme, revoked_at=None, active_to__gt=now).values_list("kind")
    return {kind for (kind,) in of_tiers.union(of_grants)}

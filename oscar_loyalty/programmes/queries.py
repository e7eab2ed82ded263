from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.db.models import Exists, F, FilteredRelation, OuterRef, Q, QuerySet
from django.db.models.expressions import OrderBy
from django.utils import timezone

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.programmes.models import ConversionRate, Programme, ProgrammeVersion
from oscar_loyalty.programmes.rules import Policy, Rate

_PROGRAMME = ("code", "name", "time_zone", "earning_paused", "redemption_paused")
_RATE = ("currency", "earn_points", "earn_amount", "redeem_points", "redeem_amount", "card_minimum")
_VERSION = (
    "includes_tax",
    "includes_shipping",
    "spendable_status",
    "waiting_days",
    "expiry_months",
    "return_grace_days",
    "minimum_points",
    "step_points",
    "maximum_share_percent",
    "four_eyes_points",
    "transfers_allowed",
    "claim_days",
    "terms_version",
)

#: What rooms above this one want to know of a version without a statement of their own, by field of the
#: policy: a condition on the row of the version.
_flags: dict[str, Callable[[], Q]] = {}


def tell_with_policy(flag: str, condition: Callable[[], Q]) -> None:
    """Have ``condition`` read in the one statement of the policy, into its field ``flag``."""
    _flags[flag] = condition


class ProgrammeMissing(LookupError):
    """The shop's programme has no version in force; ``loyalty_setup`` makes one."""


def get_programme() -> Programme:
    """The programme that this shop runs. :raises ProgrammeMissing: it was not set up yet"""
    try:
        return Programme.objects.get(code=loyalty_settings.programme_code)
    except Programme.DoesNotExist as error:
        raise ProgrammeMissing from error


def find_programme() -> Programme | None:
    """Like :func:`get_programme`, where a shop without a programme is nothing unusual."""
    return Programme.objects.filter(code=loyalty_settings.programme_code).first()


def find_time_zone() -> str:
    """Where the days of the shop begin and end; without a programme, that of its settings."""
    programme = find_programme()
    return programme.time_zone if programme else timezone.get_default_timezone_name()


def find_policy(*, currency: str, at: datetime) -> Policy | None:
    """What the shop's programme promised at a moment, with the rate of ``currency``: one statement."""
    row = _policy_rows(currency=currency).filter(active_from__lte=at).order_by("-active_from").first()
    return _policy_from(row) if row else None


def find_policy_of_version(*, currency: str, number: int) -> Policy | None:
    """What one version of the shop's programme promised, whenever it was in force; what a draft would
    promise. One statement."""
    row = _policy_rows(currency=currency).filter(number=number).first()
    return _policy_from(row) if row else None


def list_policies(*, currency: str) -> list[tuple[datetime, Policy]]:
    """Every version with the moment it came into force, oldest first, for judging many purchases."""
    rows = _policy_rows(currency=currency).filter(active_from__isnull=False).order_by("active_from")
    return [(row["active_from"], _policy_from(row)) for row in rows]


def _policy_rows(*, currency: str) -> QuerySet[ProgrammeVersion, dict[str, Any]]:
    with_tiers = ProgrammeVersion.objects.filter(programme=OuterRef("programme"), tier_scheme__isnull=False)
    rows: QuerySet[ProgrammeVersion, dict[str, Any]] = (
        ProgrammeVersion.objects.filter(programme__code=loyalty_settings.programme_code)
        .annotate(rate=FilteredRelation("rates", condition=Q(rates__currency=currency)))
        .annotate(
            has_tiers=Exists(with_tiers),
            has_rules=Exists(ProgrammeVersion.objects.filter(pk=OuterRef("pk"), earning_rules__isnull=False)),
            **{flag: condition() for flag, condition in _flags.items()},
        )
        .values(
            "number",
            "active_from",
            "programme_id",
            "has_rules",
            *_flags,
            "excluded_category_ids",
            "excluded_product_class_ids",
            "has_tiers",
            *_VERSION,
            *(f"programme__{name}" for name in _PROGRAMME),
            *(f"rate__{name}" for name in _RATE),
        )
    )
    return rows


def get_policy(*, currency: str, at: datetime) -> Policy:
    """Like :func:`find_policy`. :raises ProgrammeMissing: no version was in force"""
    policy = find_policy(currency=currency, at=at)
    if policy is None:
        raise ProgrammeMissing
    return policy


def get_version(*, at: datetime) -> ProgrammeVersion:
    """The version row in force at a moment. :raises ProgrammeMissing: there was none"""
    version = (
        ProgrammeVersion.objects.select_related("programme")
        .filter(programme__code=loyalty_settings.programme_code, active_from__lte=at)
        .order_by("-active_from")
        .first()
    )
    if version is None:
        raise ProgrammeMissing
    return version


def list_versions(*, now: datetime) -> QuerySet[ProgrammeVersion]:
    """
    Versions of all programmes, each knowing whether a later one has come into force (``is_followed``):
    :func:`state_of` reads it. In the order of :func:`newest_first`.
    """
    later = ProgrammeVersion.objects.filter(
        programme=OuterRef("programme"), active_from__gt=OuterRef("active_from"), active_from__lte=now
    )
    return ProgrammeVersion.objects.annotate(is_followed=Exists(later)).order_by(*newest_first())


def newest_first() -> tuple[OrderBy, str]:
    """Drafts before what is scheduled, that before what is in force; where NULL goes differs by engine."""
    return F("active_from").desc(nulls_first=True), "-number"


def list_published(*, programme_id: int) -> QuerySet[ProgrammeVersion]:
    """A programme's versions that are, were or will be in force, newest first: no drafts."""
    return ProgrammeVersion.objects.filter(programme_id=programme_id, active_from__isnull=False).order_by(
        "-active_from"
    )


def find_version_in_force(*, programme_id: int, at: datetime) -> ProgrammeVersion | None:
    """The version of a programme in force at a moment, also one that is scheduled for before it."""
    return list_published(programme_id=programme_id).filter(active_from__lte=at).first()


def state_of(version: ProgrammeVersion, *, is_followed: bool, now: datetime) -> ProgrammeVersion.State:
    """``is_followed``: a later version has come into force."""
    if version.active_from is None:
        state = ProgrammeVersion.State
        return state.ARCHIVED if version.archived_at is not None else state.DRAFT
    if version.active_from > now:
        return ProgrammeVersion.State.SCHEDULED
    return ProgrammeVersion.State.ARCHIVED if is_followed else ProgrammeVersion.State.LIVE


def is_editable(version: ProgrammeVersion, *, now: datetime) -> bool:
    """Whether a version and what belongs to it may still change: it has not come into force."""
    if version.archived_at is not None:
        return False
    return version.active_from is None or version.active_from > now


def list_editable_versions(*, now: datetime) -> QuerySet[ProgrammeVersion]:
    """Versions for which :func:`is_editable` holds, in one statement."""
    coming = Q(active_from=None) | Q(active_from__gt=now)
    return ProgrammeVersion.objects.filter(coming, archived_at=None)


def list_currencies(*, at: datetime) -> list[str]:
    """Currencies in which points are earned or spent at a moment, in alphabetical order."""
    try:
        return sorted(get_version(at=at).rates.values_list("currency", flat=True))
    except ProgrammeMissing:
        return []


def find_conversion_rate(
    *, programme_id: int, from_currency: str, to_currency: str, at: datetime
) -> ConversionRate | None:
    """The rate in force at a moment."""
    return (
        ConversionRate.objects.filter(
            programme_id=programme_id,
            from_currency=from_currency,
            to_currency=to_currency,
            valid_from__lte=at,
        )
        .order_by("-valid_from")
        .first()
    )


def _policy_from(row: dict[str, Any]) -> Policy:
    has_rate = row["rate__currency"] is not None
    return Policy(
        programme_id=row["programme_id"],
        programme_code=row["programme__code"],
        programme_name=row["programme__name"],
        time_zone=row["programme__time_zone"],
        earning_paused=row["programme__earning_paused"],
        redemption_paused=row["programme__redemption_paused"],
        version=row["number"],
        excluded_category_ids=frozenset(row["excluded_category_ids"]),
        excluded_product_class_ids=frozenset(row["excluded_product_class_ids"]),
        has_tiers=row["has_tiers"],
        rate=Rate(**{name: row[f"rate__{name}"] for name in _RATE}) if has_rate else None,
        has_rules=row["has_rules"],
        **{flag: row[flag] for flag in _flags},
        **{name: row[name] for name in _VERSION},
    )

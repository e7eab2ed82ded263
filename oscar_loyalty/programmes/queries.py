from datetime import datetime
from typing import Any

from django.db.models import FilteredRelation, Q, QuerySet

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


def find_policy(*, currency: str, at: datetime) -> Policy | None:
    """What the shop's programme promised at a moment, with the rate of ``currency``: one statement."""
    row = _policy_rows(currency=currency).filter(active_from__lte=at).order_by("-active_from").first()
    return _policy_from(row) if row else None


def find_policy_of_version(*, currency: str, number: int) -> Policy | None:
    """What one version of the shop's programme promised, whenever it was in force: one statement."""
    row = _policy_rows(currency=currency).filter(number=number).first()
    return _policy_from(row) if row else None


def list_policies(*, currency: str) -> list[tuple[datetime, Policy]]:
    """Every version with the moment it came into force, oldest first, for judging many purchases."""
    rows = _policy_rows(currency=currency).order_by("active_from")
    return [(row["active_from"], _policy_from(row)) for row in rows]


def _policy_rows(*, currency: str) -> QuerySet[ProgrammeVersion, dict[str, Any]]:
    rows: QuerySet[ProgrammeVersion, dict[str, Any]] = (
        ProgrammeVersion.objects.filter(programme__code=loyalty_settings.programme_code)
        .annotate(rate=FilteredRelation("rates", condition=Q(rates__currency=currency)))
        .values(
            "number",
            "active_from",
            "programme_id",
            "excluded_category_ids",
            "excluded_product_class_ids",
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
        rate=Rate(**{name: row[f"rate__{name}"] for name in _RATE}) if has_rate else None,
        **{name: row[name] for name in _VERSION},
    )

"""What pages, mails and the API say about tiers, in the reader's words."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.formats import date_format
from django.utils.translation import gettext, ngettext

from oscar_loyalty.flows.wording import count_points, money, number
from oscar_loyalty.tiers.models import Tier, TierScheme
from oscar_loyalty.tiers.perks import describe_perk, perks
from oscar_loyalty.tiers.progress import Progress
from oscar_loyalty.tiers.queries import TierTable, name_of


def amount_text(value: Decimal, *, table: TierTable) -> str:
    """An amount of the metric: "€83.20", "120 points", "2 orders"."""
    scheme = table.scheme
    if scheme.metric == TierScheme.Metric.SPEND:
        return money(value, scheme.currency)
    # What is missing in part is missing as a whole.
    whole = int(value.to_integral_value(rounding="ROUND_CEILING"))
    if scheme.metric == TierScheme.Metric.ORDERS:
        return ngettext("%(orders)s order", "%(orders)s orders", whole) % {"orders": number(whole)}
    return count_points(whole)


def last_day_text(moment: datetime, *, time_zone: str) -> str:
    """The last day before a moment."""
    return date_format((moment - timedelta(microseconds=1)).astimezone(ZoneInfo(time_zone)), "DATE_FORMAT")


def day_text(moment: datetime, *, time_zone: str) -> str:
    return date_format(moment.astimezone(ZoneInfo(time_zone)), "DATE_FORMAT")


def next_sentence(progress: Progress) -> str:
    """ "€83.20 to Gold by December 31, 2026"; for the highest tier that there is none above it."""
    if progress.next_tier is None:
        return gettext("This is the highest tier.")
    values = {
        "amount": amount_text(progress.missing, table=progress.table),
        "tier": name_of(progress.next_tier),
    }
    if progress.missing_until is None:
        return gettext("%(amount)s to %(tier)s") % values
    values["day"] = last_day_text(progress.missing_until, time_zone=progress.time_zone)
    return gettext("%(amount)s to %(tier)s by %(day)s") % values


def counted_sentence(progress: Progress) -> str:
    """What counts today, and what the next tier takes: the bar in words."""
    have = amount_text(progress.qualified, table=progress.table)
    if progress.next_tier is None:
        return gettext("%(have)s count today.") % {"have": have}
    values = {
        "have": have,
        "want": amount_text(progress.next_tier.entry_threshold, table=progress.table),
        "tier": name_of(progress.next_tier),
        "percent": progress.percent,
    }
    return gettext("%(have)s of %(want)s for %(tier)s (%(percent)s%%)") % values


def keep_sentence(progress: Progress) -> str:
    """What keeps the tier; empty for who has none."""
    if progress.tier is None:
        return ""
    tier = name_of(progress.tier)
    if progress.lost_at is None:
        return gettext("You keep %(tier)s.") % {"tier": tier}
    if progress.keep_missing is None or progress.keep_by is None:
        if progress.is_given:
            day = last_day_text(progress.lost_at, time_zone=progress.time_zone)
            return gettext("%(tier)s was given to you until %(day)s.") % {"tier": tier, "day": day}
        return ""
    values = {
        "tier": tier,
        "amount": amount_text(progress.keep_missing, table=progress.table),
        "day": last_day_text(progress.keep_by, time_zone=progress.time_zone),
        "from": day_text(progress.keep_from, time_zone=progress.time_zone),
    }
    if progress.is_waiting:
        return gettext("To keep %(tier)s you need %(amount)s from %(from)s to %(day)s.") % values
    return gettext("To keep %(tier)s you need %(amount)s more by %(day)s.") % values


def loss_sentence(progress: Progress) -> str:
    """Until when the tier is held without buying more, and what follows; empty where nothing is lost."""
    if progress.tier is None or progress.lost_at is None:
        return ""
    values = {
        "tier": name_of(progress.tier),
        "day": last_day_text(progress.lost_at, time_zone=progress.time_zone),
        "below": name_of(progress.falls_to) if progress.falls_to else "",
    }
    if progress.is_in_grace:
        if progress.falls_to:
            return (
                gettext("%(tier)s is no longer earned. You still have it until %(day)s, then %(below)s.")
                % values
            )
        return gettext("%(tier)s is no longer earned. You still have it until %(day)s.") % values
    if progress.falls_to:
        return gettext("Without further orders you have %(tier)s until %(day)s, then %(below)s.") % values
    return gettext("Without further orders you have %(tier)s until %(day)s.") % values


def sentences(progress: Progress) -> list[str]:
    """All of that, for a mail or an app."""
    said = [next_sentence(progress), keep_sentence(progress), loss_sentence(progress)]
    return [one for one in said if one]


def period_text(table: TierTable) -> str:
    """Over which time orders count."""
    scheme = table.scheme
    if scheme.period == TierScheme.Period.CALENDAR:
        return gettext("in a calendar year")
    if scheme.period == TierScheme.Period.ANNIVERSARY:
        return ngettext(
            "within %(months)s month, counted from the day of joining",
            "within %(months)s months, counted from the day of joining",
            scheme.period_months,
        ) % {"months": scheme.period_months}
    return ngettext("within the last month", "within the last %(months)s months", scheme.period_months) % {
        "months": scheme.period_months
    }


def reach_text(tier: Tier, *, table: TierTable) -> str:
    return amount_text(tier.entry_threshold, table=table)


def keep_text(tier: Tier, *, table: TierTable) -> str:
    """With what a tier is kept; a tier that is kept with nothing is kept for good."""
    if not tier.keep_threshold:
        return gettext("kept for good")
    return amount_text(tier.keep_threshold, table=table)


def rules_sentences(table: TierTable) -> list[str]:
    """How tiers are reached and kept, for the rules in full."""
    scheme = table.scheme
    said = [
        {
            TierScheme.Metric.SPEND: gettext(
                "What you pay for goods counts, after all discounts, %(period)s."
            ),
            TierScheme.Metric.POINTS: gettext("The points that you earn with orders count, %(period)s."),
            TierScheme.Metric.ORDERS: gettext("The number of your orders counts, %(period)s."),
        }[TierScheme.Metric(scheme.metric)]
        % {"period": period_text(table)},
        gettext("Spending points never costs you a tier. What you return does not count."),
    ]
    if scheme.period != TierScheme.Period.ROLLING:
        said.append(gettext("A tier is held to the end of the period after the one it was reached in."))
    if scheme.grace_days:
        said.append(
            ngettext(
                "A tier that is no longer earned is kept for %(days)s day more.",
                "A tier that is no longer earned is kept for %(days)s days more.",
                scheme.grace_days,
            )
            % {"days": scheme.grace_days}
        )
    if scheme.downgrade == TierScheme.Downgrade.ONE_STEP:
        said.append(gettext("After that you go one tier down, not more at a time."))
    else:
        said.append(gettext("After that you have the tier that you have earned."))
    return said


def say_perk(
    kind: str, parameters: Mapping[str, Any], *, name_methods: Callable[[], Mapping[str, str]] = dict
) -> str:
    """
    What a perk gives, as a sentence; empty for one that nobody can describe. Ways of delivery are said by
    their names, which are only read where a perk is for some of them.
    """
    if codes := parameters.get("methods"):
        names = name_methods()
        parameters = {**parameters, "methods": [names.get(code, code) for code in codes]}
    return describe_perk(kind, parameters)


def perk_sentences(
    table: TierTable, *, name_methods: Callable[[], Mapping[str, str]] = dict
) -> dict[str, list[str]]:
    """What members of each tier get, by the tier's code; a perk that nobody can describe is left out."""
    known = [kind.code for kind in perks]
    found: dict[str, list[str]] = {}
    described = [perk for perk in table.version.tier_perks.all() if perk.kind in known]
    for perk in sorted(described, key=lambda perk: known.index(perk.kind)):
        if said := say_perk(perk.kind, perk.parameters, name_methods=name_methods):
            found.setdefault(perk.tier_code, []).append(said)
    return found


def preview_sentence(table: TierTable) -> str:
    """The steps of a scheme in one sentence, for whoever writes it."""
    steps = [
        gettext("%(tier)s from %(entry)s (%(keep)s)")
        % {
            "tier": name_of(tier),
            "entry": reach_text(tier, table=table),
            "keep": gettext("kept for good")
            if not tier.keep_threshold
            else gettext("kept with %(amount)s") % {"amount": keep_text(tier, table=table)},
        }
        for tier in table.tiers
    ]
    return f"{', '.join(steps)}."

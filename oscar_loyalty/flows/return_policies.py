"""Return policies: what one means for a customer, in words and by tier; which one may still change."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext, ngettext

from oscar_loyalty.flows.wording import count_points, money, number
from oscar_loyalty.programmes.queries import find_version_in_force
from oscar_loyalty.returns.models import Condition, Return, ReturnPolicy, SpentPoints
from oscar_loyalty.tiers.models import TierPerk
from oscar_loyalty.tiers.queries import name_of

_KINDS = ("RETURN_WINDOW", "FREE_RETURNS", "INSTANT_REFUND")


@dataclass(frozen=True, kw_only=True)
class ForTier:
    """What a policy means to members of a tier; the empty name stands for everybody else."""

    name: str
    sentences: tuple[str, ...]


def is_editable(policy: ReturnPolicy, *, now: datetime) -> bool:
    """A promise is kept: what was in force, or was applied to a return, no longer changes."""
    return policy.pk is None or (
        policy.active_from > now and not Return.objects.filter(policy=policy).exists()
    )


def describe_policy(policy: ReturnPolicy) -> list[str]:
    """What holds for all customers, sentence by sentence."""
    said = [_window(policy.window_days), _faults(policy), _fee(policy.fee, currency=policy.currency)]
    if policy.excluded_category_ids or policy.excluded_product_class_ids:
        said.append(gettext("Some goods are taken back only when they are faulty."))
    said += [_delivery(policy), _promise(policy), _points(policy), _stock(policy)]
    if policy.keep_item_below:
        said.append(
            gettext("Who returns goods worth less than %(money)s keeps them and is refunded at once.")
            % {"money": money(policy.keep_item_below, policy.currency)}
        )
    if policy.offers_store_credit:
        said.append(_store_credit(policy))
    said.append(_goodwill(policy))
    return said


def describe_for_tiers(policy: ReturnPolicy, *, now: datetime) -> list[ForTier]:
    """What members of each tier have more, by the version that is in force with the policy; lowest first."""
    at = max(policy.active_from, now) if policy.active_from else now
    version = find_version_in_force(programme_id=policy.programme_id, at=at)
    if version is None:
        return []
    perks: dict[str, dict[str, dict[str, Any]]] = {}
    for perk in TierPerk.objects.filter(version=version, kind__in=_KINDS):
        perks.setdefault(perk.tier_code, {})[perk.kind] = perk.parameters
    return [
        ForTier(name=name_of(tier), sentences=_for_tier(policy, perks.get(tier.code, {})))
        for tier in version.tiers.order_by("rank")
    ]


def _for_tier(policy: ReturnPolicy, perks: dict[str, dict[str, Any]]) -> tuple[str, ...]:
    days = int(perks.get("RETURN_WINDOW", {}).get("days", 0))
    said = []
    if days > policy.window_days:
        said.append(_window(days))
    if "FREE_RETURNS" in perks and policy.fee:
        said.append(gettext("Returning is free."))
    if "INSTANT_REFUND" in perks:
        limit = policy.instant_refund_limit
        if limit is None:
            said.append(gettext("The refund is sent as soon as the carrier has the parcel."))
        else:
            said.append(
                gettext("Up to %(money)s the refund is sent as soon as the carrier has the parcel.")
                % {"money": money(limit, policy.currency)}
            )
    return tuple(said) or (gettext("Like everybody else."),)


def _window(days: int) -> str:
    return ngettext(
        "Goods can be returned for %(days)s day after delivery.",
        "Goods can be returned for %(days)s days after delivery.",
        days,
    ) % {"days": number(days)}


def _faults(policy: ReturnPolicy) -> str:
    return ngettext(
        "What is faulty, damaged or wrong: for %(days)s day, always free of charge.",
        "What is faulty, damaged or wrong: for %(days)s days, always free of charge.",
        max(policy.fault_days, policy.window_days),
    ) % {"days": number(max(policy.fault_days, policy.window_days))}


def _fee(fee: Any, *, currency: str) -> str:
    if not fee:
        return gettext("Returning is free.")
    return gettext("Returning costs %(money)s, taken off the refund.") % {"money": money(fee, currency)}


def _delivery(policy: ReturnPolicy) -> str:
    if not policy.refunds_delivery:
        return gettext("The delivery charge is not refunded.")
    if policy.delivery_refund_limit is None:
        return gettext("When everything comes back, the delivery charge is refunded too.")
    return gettext("When everything comes back, up to %(money)s of the delivery charge are refunded too.") % {
        "money": money(policy.delivery_refund_limit, policy.currency)
    }


def _promise(policy: ReturnPolicy) -> str:
    return ngettext(
        "The money is sent within %(days)s working day after the goods have arrived.",
        "The money is sent within %(days)s working days after the goods have arrived.",
        policy.refund_days,
    ) % {"days": number(policy.refund_days)}


def _points(policy: ReturnPolicy) -> str:
    return {
        SpentPoints.DEBT: gettext(
            "Points earned on the goods are taken back; what is spent already is a deficit that later points "
            "repay."
        ),
        SpentPoints.SET_OFF: gettext(
            "Points earned on the goods are taken back; what is spent already is taken off the refund, "
            "if the customer agrees, and is a deficit otherwise."
        ),
        SpentPoints.WAIVE: gettext(
            "Points earned on the goods are taken back, as far as they are not spent."
        ),
    }[SpentPoints(policy.spent_points)]


def _stock(policy: ReturnPolicy) -> str:
    labels = dict(Condition.choices)
    if not policy.restock_conditions:
        return gettext("Nothing goes back on sale by itself.")
    names = ", ".join(str(labels.get(code, code)) for code in policy.restock_conditions)
    return gettext("Goes back on sale: %(conditions)s.") % {"conditions": names}


def _store_credit(policy: ReturnPolicy) -> str:
    bonus = policy.store_credit_bonus_percent
    if not bonus:
        return gettext("Members may have points instead of the money.")
    return gettext("Members may have points instead of the money, and %(percent)s %% more.") % {
        "percent": number(bonus.normalize())
    }


def _goodwill(policy: ReturnPolicy) -> str:
    if not (policy.goodwill_points or policy.goodwill_amount):
        return gettext("Every goodwill needs a second person.")
    return gettext(
        "A clerk gives up to %(points)s and %(money)s of goodwill a month alone; more needs a second person."
    ) % {
        "points": count_points(policy.goodwill_points),
        "money": money(policy.goodwill_amount, policy.currency),
    }

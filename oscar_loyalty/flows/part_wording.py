"""What staff wrote into a version, in plain sentences: with the names that the shop has for what is meant."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from oscar_loyalty.earning.models import EarningRule
from oscar_loyalty.earning.queries import read_rules
from oscar_loyalty.earning.wording import describe_rule
from oscar_loyalty.flows.tier_wording import say_perk
from oscar_loyalty.registry import perks
from oscar_loyalty.shop.existence import KINDS, find_names
from oscar_loyalty.tiers.models import Tier, TierPerk
from oscar_loyalty.tiers.queries import name_of

#: Reads what the shop's ways of delivery are called, by code.
NameMethods = Callable[[], Mapping[str, str]]


@dataclass(frozen=True, kw_only=True)
class Wording:
    """How a part is said: the sentence, and the columns that its name and the sentence tell."""

    columns: frozenset[str]
    say: Callable[[Any, NameMethods], str]


def say_rule(rule: EarningRule) -> str:
    """
    What an earning rule does; empty for one that nobody can read. A statement for each kind of thing that
    the rule names by number.
    """
    found = read_rules([rule])
    if not found:
        return ""
    return describe_rule(found[0], time_zone=rule.version.programme.time_zone, names=_names_for(rule))


def _names_for(rule: EarningRule) -> Mapping[str, Mapping[Any, str]]:
    names: dict[str, Mapping[Any, str]] = {
        kind: find_names(kind, rule.conditions[kind]) for kind in KINDS if rule.conditions.get(kind)
    }
    if rule.conditions.get("tiers"):
        names["tiers"] = name_tiers(rule.version_id)
    return names


def name_tiers(*version_ids: int) -> dict[str, str]:
    """
    What the tiers of these versions are called, by code, lowest first; the name in the latest counts. Of all
    versions when none is named.
    """
    tiers = Tier.objects.order_by("version__number", "rank")
    if version_ids:
        tiers = tiers.filter(version__in=version_ids)
    return {tier.code: name_of(tier) for tier in tiers}


def name_part_row(row: Any) -> str:
    """What one part of a version is called, in the reader's language."""
    if isinstance(row, Tier):
        return name_of(row)
    if isinstance(row, TierPerk):
        tier = name_tiers().get(row.tier_code, row.tier_code)
        return f"{tier}: {name_perk(row.kind)}"
    return str(row)


def name_perk(code: str) -> str:
    """What staff call a kind of perk; the code itself of one that nobody registered."""
    kind = perks.find(code)
    return str(kind.label) if kind is not None else code


def _say_rule(rule: EarningRule, _name_methods: NameMethods) -> str:
    return say_rule(rule)


def _say_perk(perk: TierPerk, name_methods: NameMethods) -> str:
    return say_perk(perk.kind, perk.parameters, name_methods=name_methods)


#: By model of the part.
WORDINGS: Mapping[type[Any], Wording] = {
    EarningRule: Wording(
        columns=frozenset(
            {
                *("kind", "parameters", "conditions", "exclusion_group"),
                *("cap_order_points", "cap_member_points", "cap_member_period", "budget_points"),
            }
        ),
        say=_say_rule,
    ),
    TierPerk: Wording(columns=frozenset({"tier_code", "kind", "parameters"}), say=_say_perk),
}

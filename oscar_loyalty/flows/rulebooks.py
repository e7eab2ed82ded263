"""What the rules of a version need to know, and the facts for it: a fixed number of statements a batch."""

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from functools import cached_property
from typing import Any, NamedTuple

from django.db.models import Exists, OuterRef, Q

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.earning import queries as earning
from oscar_loyalty.earning.facts import Context, Line, MemberFacts, Multiplier
from oscar_loyalty.earning.limits import periods_of
from oscar_loyalty.earning.rules import TIER, Engine, Rule
from oscar_loyalty.earning.segments import find_segments
from oscar_loyalty.points import queries as points
from oscar_loyalty.points.models import Account
from oscar_loyalty.points.rules import PurchaseLine
from oscar_loyalty.programmes.queries import tell_with_policy
from oscar_loyalty.programmes.rules import Policy, Rate
from oscar_loyalty.shop.customers import find_group_ids
from oscar_loyalty.shop.orders import find_earlier_orders, find_payment_methods
from oscar_loyalty.shop.products import Traits, find_excluded_product_ids, find_traits
from oscar_loyalty.tiers import queries as tiers
from oscar_loyalty.tiers.models import PerkGrant, Tier, TierPerk

#: The perk that multiplies what is earned, with the parameter ``factor``.
MULTIPLIER_PERK = "EARNING_MULTIPLIER"


def _has_multipliers() -> Q:
    of_tier = TierPerk.objects.filter(version=OuterRef("pk"), kind=MULTIPLIER_PERK)
    granted = PerkGrant.objects.filter(programme=OuterRef("programme_id"), kind=MULTIPLIER_PERK)
    return Exists(of_tier) | Exists(granted)


tell_with_policy("has_multipliers", _has_multipliers)


class Case(NamedTuple):
    """
    One purchase to be judged, ordered or not: at the moment ``at``, by a customer or a guest. Placed orders
    have an ``order_id`` and a ``number``, by which what they changed themselves is left out.
    """

    key: Hashable
    lines: Sequence[PurchaseLine]
    at: datetime
    user_id: int | None = None
    order_id: int | None = None
    number: str = ""
    channel: str = ""
    shipping_method: str = ""


@dataclass(frozen=True, kw_only=True)
class Rulebook:
    """
    The rules of one version, read and made ready once. ``multipliers`` are those of its tiers by code. Make
    one by hand for a version that is not in force: what is judged is what stands in it.
    """

    rules: tuple[Rule, ...] = ()
    multipliers: Mapping[str, Multiplier] = field(default_factory=dict)
    has_grants: bool = False

    @cached_property
    def is_empty(self) -> bool:
        return not (self.rules or self.multipliers or self.has_grants)

    @cached_property
    def by_code(self) -> dict[str, Rule]:
        return {rule.code: rule for rule in self.rules}

    @cached_property
    def multiplies(self) -> bool:
        return bool(self.multipliers or self.has_grants)

    @cached_property
    def periods(self) -> frozenset[str]:
        return periods_of(self.rules)

    @cached_property
    def budget_codes(self) -> frozenset[str]:
        return frozenset(rule.code for rule in self.rules if rule.budget_points is not None)

    @cached_property
    def segments(self) -> frozenset[str]:
        return frozenset().union(*(rule.conditions.segments for rule in self.rules))

    @cached_property
    def needs_tier(self) -> bool:
        return bool(self.multipliers or self.segments) or any(rule.conditions.tiers for rule in self.rules)

    @cached_property
    def needs_member(self) -> bool:
        return self.needs_tier or self.has_grants or bool(self.periods)

    @cached_property
    def needs_groups(self) -> bool:
        return bool(self.segments) or any(rule.conditions.group_ids for rule in self.rules)

    @cached_property
    def needs_orders(self) -> bool:
        return bool(self.segments) or any(
            rule.conditions.nth_order or rule.conditions.every_nth_order for rule in self.rules
        )

    @cached_property
    def needs_payment(self) -> bool:
        return any(rule.waits_for_payment for rule in self.rules)

    def engine(self, rate: Rate) -> Engine:
        """The rules made ready for orders in the currency of a rate; once for each."""
        if rate not in self._engines:
            self._engines[rate] = Engine(self.rules, rate=rate)
        return self._engines[rate]

    @cached_property
    def _engines(self) -> dict[Rate, Engine]:
        return {}


def read_rulebook(policy: Policy) -> Rulebook:
    """What a version has beside its base rate: no statement when there is nothing."""
    rules: list[Rule] = []
    multipliers: dict[str, Multiplier] = {}
    if policy.has_rules:
        rules = earning.list_rules(programme_id=policy.programme_id, version=policy.version)
    if policy.has_multipliers:
        multipliers = _read_multipliers(policy)
    return Rulebook(rules=tuple(rules), multipliers=multipliers, has_grants=policy.has_multipliers)


def _read_multipliers(policy: Policy) -> dict[str, Multiplier]:
    names = Tier.objects.filter(version=OuterRef("version"), code=OuterRef("tier_code"))
    rows = (
        TierPerk.objects.filter(
            version__programme_id=policy.programme_id, version__number=policy.version, kind=MULTIPLIER_PERK
        )
        .annotate(name_de=names.values("name_de")[:1], name_en=names.values("name_en")[:1])
        .values_list("tier_code", "parameters", "name_de", "name_en")
    )
    return {
        code: Multiplier(TIER, factor, name_de or code, name_en or code)
        for code, parameters, name_de, name_en in rows
        if (factor := _factor_of(parameters)) is not None
    }


def _factor_of(parameters: Mapping[str, Any]) -> Fraction | None:
    try:
        factor = Fraction(str(parameters["factor"]))
    except (KeyError, ValueError, ZeroDivisionError):
        return None
    return factor if factor > 1 else None


class Facts(NamedTuple):
    """What the engine takes of one case, and whose it is."""

    lines: tuple[Line, ...]
    context: Context
    member_id: int | None


def gather(
    cases: Sequence[Case],
    *,
    policy: Policy,
    rulebook: Rulebook,
    accounts: Mapping[int, Account] | None = None,
    payment_known: bool = False,
    tier_codes: Mapping[Hashable, str] | None = None,
) -> dict[Hashable, Facts]:
    """
    Facts for the engine, as far as some rule asks for them. ``accounts`` of the customers where they are
    at hand; ``payment_known`` for orders that are confirmed; ``tier_codes`` by key of the case where
    somebody else works them out, as a simulation does.
    """
    product_ids = {line.product_id for case in cases for line in case.lines if line.product_id is not None}
    excluded = find_excluded_product_ids(product_ids, policy=policy)
    traits = _find_traits(product_ids, rulebook)
    user_ids = {case.user_id for case in cases if case.user_id is not None}
    if accounts is None:
        accounts = find_accounts(user_ids) if rulebook.needs_member else {}
    groups = find_group_ids(user_ids) if rulebook.needs_groups and user_ids else {}
    asked = [(case.user_id, case.at, case.order_id) for case in cases if case.user_id is not None]
    earlier = find_earlier_orders(asked) if rulebook.needs_orders else {}
    paid: Mapping[int, frozenset[str]] = {}
    if payment_known and rulebook.needs_payment:
        paid = find_payment_methods([case.order_id for case in cases if case.order_id is not None])
    if tier_codes is None:
        tier_codes = _find_tier_codes(cases, accounts) if rulebook.needs_tier else {}
    grants = _find_grants(accounts, policy) if rulebook.has_grants else {}
    facts = {}
    for case in cases:
        account = accounts.get(case.user_id) if case.user_id is not None else None
        member = account.member if account is not None else None
        tier_code = tier_codes.get(case.key, "")
        group_ids = groups.get(case.user_id, frozenset()) if case.user_id is not None else frozenset()
        before = earlier.get((case.user_id, case.at, case.order_id)) if case.user_id is not None else None
        order_number = before.count + 1 if before is not None else None
        segments: frozenset[str] = frozenset()
        if rulebook.segments:
            known = MemberFacts(
                at=case.at,
                joined_at=member.joined_at if member else None,
                order_number=order_number,
                last_order_at=before.last_at if before else None,
                tier_code=tier_code,
                group_ids=group_ids,
            )
            segments = find_segments(known, wanted=rulebook.segments)
        multipliers = [rulebook.multipliers[tier_code]] if tier_code in rulebook.multipliers else []
        if member is not None:
            multipliers += [
                multiplier
                for active_from, active_to, multiplier in grants.get(member.pk, ())
                if active_from <= case.at < active_to
            ]
        facts[case.key] = Facts(
            lines=_lines_of(case.lines, policy=policy, excluded=excluded, traits=traits),
            context=Context(
                currency=policy.rate.currency if policy.rate else "",
                placed_at=case.at,
                time_zone=policy.time_zone,
                tier_code=tier_code,
                segments=segments,
                group_ids=group_ids,
                order_number=order_number,
                channel=case.channel,
                shipping_method=case.shipping_method,
                payment_methods=paid.get(case.order_id, frozenset())
                if payment_known and case.order_id is not None
                else None,
                multipliers=tuple(multipliers),
            ),
            member_id=member.pk if member else None,
        )
    return facts


#: Of a product that is gone, and of shipping.
_UNKNOWN = Traits()


def _lines_of(
    lines: Iterable[PurchaseLine],
    *,
    policy: Policy,
    excluded: frozenset[int],
    traits: Mapping[int, Traits],
) -> tuple[Line, ...]:
    made = []
    for line in lines:
        known = traits.get(line.product_id, _UNKNOWN) if line.product_id is not None else _UNKNOWN
        made.append(
            Line(
                ref=line.ref,
                amount=line.incl_tax if policy.includes_tax else line.excl_tax,
                excluded=(not policy.includes_shipping)
                if line.is_shipping
                else line.product_id in excluded
                or line.product_class_id in policy.excluded_product_class_ids,
                quantity=line.quantity,
                is_shipping=line.is_shipping,
                product_id=line.product_id,
                parent_id=known.parent_id,
                product_class_id=line.product_class_id,
                category_ids=known.category_ids,
                range_ids=known.range_ids,
                attributes=known.attributes,
            )
        )
    return tuple(made)


def _find_traits(product_ids: Collection[int], rulebook: Rulebook) -> dict[int, Traits]:
    conditions = [rule.conditions for rule in rulebook.rules]
    category_ids = {pk for one in conditions for pk in one.category_ids}
    range_ids = {pk for one in conditions for pk in one.range_ids}
    codes = {code for one in conditions for code in one.attributes}
    if not (category_ids or range_ids or codes or any(one.product_ids for one in conditions)):
        return {}
    return find_traits(product_ids, category_ids=category_ids, range_ids=range_ids, attribute_codes=codes)


def find_accounts(user_ids: Collection[int]) -> dict[int, Account]:
    """Open accounts of customers who take part, by customer."""
    if len(user_ids) > 1:
        return points.find_accounts_of_users(
            user_ids=user_ids, programme_code=loyalty_settings.programme_code
        )
    accounts = {}
    for user_id in user_ids:
        account = points.find_account_of_user(user_id=user_id, programme_code=loyalty_settings.programme_code)
        if account is not None:
            accounts[user_id] = account
    return accounts


def _find_tier_codes(cases: Sequence[Case], accounts: Mapping[int, Account]) -> dict[Hashable, str]:
    """The tier held before each purchase: one statement."""
    whose = {
        case.key: accounts[case.user_id].member_id
        for case in cases
        if case.user_id is not None and case.user_id in accounts
    }
    asked = {(whose[case.key], case.at, case.number) for case in cases if case.key in whose}
    found = tiers.find_tier_codes(asked)
    return {case.key: found[whose[case.key], case.at, case.number] for case in cases if case.key in whose}


def _find_grants(
    accounts: Mapping[int, Account], policy: Policy
) -> dict[int, list[tuple[datetime, datetime, Multiplier]]]:
    """Multipliers that were given to single members, with the time in which they act: one statement."""
    member_ids = {account.member_id for account in accounts.values()}
    if not member_ids:
        return {}
    rows = PerkGrant.objects.filter(
        programme_id=policy.programme_id, kind=MULTIPLIER_PERK, member_id__in=member_ids
    )
    grants: dict[int, list[tuple[datetime, datetime, Multiplier]]] = {}
    for grant in rows:
        factor = _factor_of(grant.parameters)
        if factor is not None:
            until = min(grant.active_to, grant.revoked_at) if grant.revoked_at else grant.active_to
            row = (grant.active_from, until, Multiplier(TIER, factor))
            grants.setdefault(grant.member_id, []).append(row)
    return grants

"""
The engine: facts of a purchase and the rules of a version in, whole points per line and rule out.

Pure and exact: fractions until the end, then rounded down once for the whole order. In this order:

1. Base: the programme's rate; where a RATE matches a line, the first of them by position instead.
2. What adds to it, each for itself and by the base of step 1: multipliers (of perks too) and bonuses.
3. The limits of each rule: per order, what is left for the member, what is left of its budget.
4. Of the rules of one exclusion group, only the one that then brings most.
5. The smallest CAP that holds, per order or what is left of it for the member: everything shrinks in
   proportion.
6. Whole points: the sum is rounded down; what that leaves goes to the rules, and within a rule to the
   lines, with the largest fractions. A rule that is at its limit never gets more.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from oscar_loyalty.earning.conditions import Conditions
from oscar_loyalty.earning.facts import Context, Line
from oscar_loyalty.earning.kinds import Kind, Role
from oscar_loyalty.points.rules import EarnedPart, Earning, LineEarning, floor_together, share_out
from oscar_loyalty.programmes.rules import Rate

#: The base rate's rule code, and that of the earning multiplier of a tier. No rule may be called so.
PURCHASE, TIER = "PURCHASE", "TIER"
RESERVED_CODES = (PURCHASE, TIER)

_NOTHING = Fraction(0)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One earning rule of a version, ready to be applied. Limits are ``None`` where there are none."""

    code: str
    kind: Kind
    parameters: Mapping[str, Any]
    conditions: Conditions = field(default_factory=Conditions)
    name: str = ""
    text_de: str = ""
    text_en: str = ""
    position: int = 0
    exclusion_group: str = ""
    cap_order_points: int | None = None
    cap_member_points: int | None = None
    cap_member_period: str = ""
    budget_points: int | None = None
    qualifies: bool = False

    @property
    def waits_for_payment(self) -> bool:
        return bool(self.conditions.payment_methods)


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """
    What a purchase earns. ``member_caps`` are the CAP rules per
    member that hold for it. ``waits``: some rule depends on how the order is paid, which is not known.
    """

    earning: Earning
    member_caps: tuple[Rule, ...] = ()
    waits: bool = False
    #: Rules that hold, those that another one of their group excludes as well.
    holding: frozenset[str] = frozenset()


def judge(
    *,
    lines: Sequence[Line],
    rate: Rate,
    context: Context,
    rules: Sequence[Rule] = (),
    most_of: Mapping[str, int] | None = None,
    most: int | None = None,
) -> Judgement:
    """
    What a purchase earns under a rate and rules; ``rules`` in the order of their positions. ``most_of`` are
    whole points that rules may give at most for another reason than their limit per order, ``most`` the
    same for everything: what is left for the member, or of the budget.
    """
    bases = [Decimal(0) if line.excluded else max(line.amount, Decimal(0)) for line in lines]
    goods = sum((max(line.amount, Decimal(0)) for line in lines if not line.is_shipping), Decimal(0))
    waits = False
    holding: list[tuple[Rule, list[int]]] = []
    for rule in rules:
        if not rule.kind.applies(parameters=rule.parameters, context=context):
            continue
        if not _holds(rule.conditions, context=context, goods=goods):
            continue
        matching = [
            index for index, line in enumerate(lines) if bases[index] and matches(rule.conditions, line)
        ]
        if not matching:
            continue
        if rule.waits_for_payment and context.payment_methods is None:
            waits = True
        else:
            holding.append((rule, matching))

    per_amount = Fraction(rate.earn_points) / Fraction(rate.earn_amount)
    base = [_exactly(amount) * per_amount for amount in bases]
    base_codes = [PURCHASE] * len(lines)
    for rule, matching in holding:
        if rule.kind.role is Role.BASE:
            free = [index for index in matching if base_codes[index] == PURCHASE]
            for index, points in zip(free, _ask(rule, free, lines, base, context), strict=True):
                base[index], base_codes[index] = points, rule.code

    cells: dict[str, dict[int, Fraction]] = {}
    for index, code in enumerate(base_codes):
        cells.setdefault(code, {})[index] = base[index]
    for rule, matching in holding:
        if rule.kind.role is Role.ADD:
            cells[rule.code] = dict(zip(matching, _ask(rule, matching, lines, base, context), strict=True))
    for code, factor in _best_of(context).items():
        cells[code] = {index: points * (factor - 1) for index, points in enumerate(base)}

    limits = {rule.code: rule.cap_order_points for rule, _matching in holding}
    for code, of_rule in cells.items():
        left = [one for one in (limits.get(code), (most_of or {}).get(code)) if one is not None]
        if left:
            cells[code] = _shrink(of_rule, min(left))
    _exclude(cells, [rule for rule, _matching in holding])
    caps = [rule for rule, _matching in holding if rule.kind.role is Role.CAP]
    order_caps = [rule.parameters["points"] for rule in caps if rule.parameters["per"] == "ORDER"]
    if most is not None:
        order_caps.append(most)
    if order_caps:
        whole = _add(points for of_rule in cells.values() for points in of_rule.values())
        if whole > min(order_caps):
            share = min(order_caps) / whole
            cells = {code: {i: points * share for i, points in one.items()} for code, one in cells.items()}

    earning = _in_whole_points(cells, lines=lines, bases=bases)
    return Judgement(
        earning=with_parts(earning, rules=[rule for rule, _matching in holding], context=context),
        member_caps=tuple(rule for rule in caps if rule.parameters["per"] != "ORDER"),
        waits=waits,
        holding=frozenset(rule.code for rule, _matching in holding),
    )


def limit_earning(earning: Earning, *, most_of: Mapping[str, int], most: int | None = None) -> Earning:
    """
    An earning with at most so many whole points of each rule code, and ``most`` of everything. What is
    cut is cut in proportion from the lines of the rule, and from everything.
    """
    lines = list(earning.lines)
    for code, limit in most_of.items():
        lines = _cut(lines, [i for i, line in enumerate(lines) if line.rule_code == code], limit)
    if most is not None:
        lines = _cut(lines, list(range(len(lines))), most)
    if lines == list(earning.lines):
        return earning
    kept = tuple(line for line in lines if line.points or _is_base(line, earning))
    points = sum(line.points for line in kept)
    parts = tuple(replace(part, points=_sum_of(kept, part.rule_code)) for part in earning.parts)
    return replace(
        earning,
        points=points,
        lines=kept,
        parts=tuple(part for part in parts if part.points or part.rule_code == PURCHASE),
    )


def only_rules(earning: Earning, codes: frozenset[str]) -> Earning:
    """What some rules alone brought."""
    lines = tuple(line for line in earning.lines if line.rule_code in codes)
    return replace(
        earning,
        points=sum(line.points for line in lines),
        lines=lines,
        parts=tuple(part for part in earning.parts if part.rule_code in codes),
    )


def matches(conditions: Conditions, line: Line) -> bool:
    """Whether a rule means this line. Shipping is meant only where no goods are picked."""
    if not conditions.picks_lines:
        return True
    if line.is_shipping:
        return False
    if conditions.product_ids and not conditions.product_ids & {line.product_id, line.parent_id}:
        return False
    if conditions.category_ids and not conditions.category_ids & line.category_ids:
        return False
    if conditions.product_class_ids and line.product_class_id not in conditions.product_class_ids:
        return False
    if conditions.range_ids and not conditions.range_ids & line.range_ids:
        return False
    return all(
        wanted & line.attributes.get(code, frozenset()) for code, wanted in conditions.attributes.items()
    )


def holds_for_member(conditions: Conditions, *, context: Context) -> bool:
    """Whether a rule that needs no order holds for a member now."""
    if conditions.tiers and context.tier_code not in conditions.tiers:
        return False
    if conditions.segments and not conditions.segments & context.segments:
        return False
    if conditions.group_ids and not conditions.group_ids & context.group_ids:
        return False
    if conditions.active_from and context.placed_at < conditions.active_from:
        return False
    if conditions.active_to and context.placed_at >= conditions.active_to:
        return False
    if conditions.weekdays or conditions.hours:
        local = context.placed_at.astimezone(_zone(context.time_zone))
        if conditions.weekdays and local.weekday() not in conditions.weekdays:
            return False
        if conditions.hours and not _within(local.hour * 60 + local.minute, *conditions.hours):
            return False
    return True


def _holds(conditions: Conditions, *, context: Context, goods: Decimal) -> bool:
    """Whether what a rule asks of the whole order is so; of the payment, as far as it is known."""
    if not holds_for_member(conditions, context=context):
        return False
    if conditions.nth_order and context.order_number != conditions.nth_order:
        return False
    if conditions.every_nth_order and (
        context.order_number is None or context.order_number % conditions.every_nth_order
    ):
        return False
    if conditions.minimum_value:
        least = conditions.minimum_value.get(context.currency)
        if least is None or goods < least:
            return False
    if conditions.channels and context.channel not in conditions.channels:
        return False
    if conditions.shipping_methods and context.shipping_method not in conditions.shipping_methods:
        return False
    paid_with = context.payment_methods
    return not conditions.payment_methods or paid_with is None or bool(conditions.payment_methods & paid_with)


def _within(minute: int, start: int, end: int) -> bool:
    if start < end:
        return start <= minute < end
    return minute >= start or minute < end


def _add(values: Iterable[Fraction]) -> Fraction:
    """Like ``sum``, made short once instead of after each step: much of what an order costs."""
    numerator, denominator = 0, 1
    for value in values:
        if value.denominator == denominator:
            numerator += value.numerator
        else:
            numerator = numerator * value.denominator + value.numerator * denominator
            denominator *= value.denominator
    return Fraction(numerator, denominator)


@lru_cache(maxsize=4096)
def _exactly(amount: Decimal) -> Fraction:
    """Prices repeat."""
    return Fraction(amount)


@lru_cache(maxsize=32)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _ask(
    rule: Rule, indexes: Sequence[int], lines: Sequence[Line], base: Sequence[Fraction], context: Context
) -> list[Fraction]:
    if not indexes:
        return []
    given = rule.kind.points(
        parameters=rule.parameters,
        lines=[lines[index] for index in indexes],
        base=[base[index] for index in indexes],
        context=context,
    )
    return [max(points if isinstance(points, Fraction) else Fraction(points), _NOTHING) for points in given]


def _best_of(context: Context) -> dict[str, Fraction]:
    best: dict[str, Fraction] = {}
    for code, factor, *_texts in context.multipliers:
        if factor > 1:
            best[code] = max(best.get(code, factor), Fraction(factor))
    return best


def _shrink(of_rule: dict[int, Fraction], most: int) -> dict[int, Fraction]:
    whole = _add(of_rule.values())
    if whole <= most:
        return of_rule
    return {index: points * most / whole for index, points in of_rule.items()}


def _exclude(cells: dict[str, dict[int, Fraction]], rules: Sequence[Rule]) -> None:
    """Leave of each exclusion group the rule that brings most, the first of them on a tie."""
    best: dict[str, tuple[Fraction, str]] = {}
    for rule in rules:
        if rule.exclusion_group and rule.kind.role is Role.ADD:
            brings = _add(cells[rule.code].values())
            kept = best.get(rule.exclusion_group)
            if kept is None or brings > kept[0]:
                if kept is not None:
                    del cells[kept[1]]
                best[rule.exclusion_group] = (brings, rule.code)
            else:
                del cells[rule.code]


def _in_whole_points(
    cells: Mapping[str, Mapping[int, Fraction]], *, lines: Sequence[Line], bases: Sequence[Decimal]
) -> Earning:
    """First whole points for each rule, then for each of its lines. Were all cells rounded together, a
    rule at its limit could get what another one lost."""
    codes = list(cells)
    exact = [_add(cells[code].values()) for code in codes]
    whole = dict(zip(codes, floor_together(exact), strict=True))
    rows: list[tuple[int, int, LineEarning]] = []
    for place, code in enumerate(codes):
        indexes = list(cells[code])
        shares = _share_of_rule([cells[code][index] for index in indexes], whole[code])
        rows += [
            (
                index,
                place,
                LineEarning(ref=lines[index].ref, basis=bases[index], points=points, rule_code=code),
            )
            for index, points in zip(indexes, shares, strict=True)
        ]
    rows.sort(key=lambda row: row[:2])
    base_of: set[int] = set()
    kept = []
    for index, _place, row in rows:
        # The first row of a line is its base: it says what the line was worth, even when it earned nothing.
        if index not in base_of or row.points:
            kept.append(row)
        base_of.add(index)
    return Earning(points=sum(whole.values()), basis=sum(bases, Decimal(0)), lines=tuple(kept))


def _share_of_rule(exact: Sequence[Fraction], whole: int) -> list[int]:
    """Whole points of a rule's lines that sum to ``whole``: the floor of their sum, or one more."""
    shares = [math.floor(points) for points in exact]
    lost = whole - sum(shares)
    if lost:
        by_fraction = sorted(range(len(exact)), key=lambda i: (shares[i] - exact[i], i))
        for i in by_fraction[:lost]:
            shares[i] += 1
    return shares


def _cut(lines: list[LineEarning], indexes: Sequence[int], most: int) -> list[LineEarning]:
    whole = sum(lines[index].points for index in indexes)
    if whole <= most:
        return lines
    shares = share_out(max(most, 0), [Fraction(lines[index].points) for index in indexes])
    for index, points in zip(indexes, shares, strict=True):
        lines[index] = replace(lines[index], points=points)
    return lines


def _is_base(line: LineEarning, earning: Earning) -> bool:
    first = next(one for one in earning.lines if one.ref == line.ref)
    return first.rule_code == line.rule_code


def _sum_of(lines: Sequence[LineEarning], code: str) -> int:
    return sum(line.points for line in lines if line.rule_code == code)


def with_parts(earning: Earning, *, rules: Sequence[Rule], context: Context) -> Earning:
    """The earning with what each rule brought, in the order of the steps; none when only the base did."""
    codes = list(dict.fromkeys(line.rule_code for line in earning.lines))
    if codes in ([], [PURCHASE]):
        return earning
    by_code = {rule.code: rule for rule in rules}
    perks = {one.code: one for one in sorted(context.multipliers, key=lambda one: one.factor)}
    codes.sort(key=lambda code: _step_of(code, by_code))
    parts = []
    for code in codes:
        points = _sum_of(earning.lines, code)
        if not points and code != PURCHASE:
            continue
        if code in by_code:
            rule = by_code[code]
            parts.append(
                EarnedPart(
                    rule_code=code,
                    points=points,
                    kind=rule.kind.code,
                    text_de=rule.text_de,
                    text_en=rule.text_en,
                    parameters=dict(rule.parameters),
                    qualifies=rule.qualifies,
                )
            )
        elif code in perks:
            perk = perks[code]
            parts.append(
                EarnedPart(
                    rule_code=code,
                    points=points,
                    kind="MULTIPLIER",
                    text_de=perk.text_de,
                    text_en=perk.text_en,
                    parameters={"factor": _as_text(perk.factor)},
                    qualifies=True,
                )
            )
        else:
            parts.append(EarnedPart(rule_code=code, points=points, kind="RATE", qualifies=True))
    return replace(earning, parts=tuple(parts))


def _step_of(code: str, by_code: Mapping[str, Rule]) -> tuple[int, int]:
    if code == PURCHASE:
        return (0, 0)
    if code not in by_code:
        return (2, 0)
    rule = by_code[code]
    return (1 if rule.kind.role is Role.BASE else 3, rule.position)


def _as_text(factor: Fraction) -> str:
    return f"{Decimal(factor.numerator) / Decimal(factor.denominator):f}"

"""
The engine: facts of a purchase and the rules of a version in, whole points per line and rule out.

Pure and exact: fractions (as whole numbers over one denominator, see ``shares.py``) until the end, then
rounded down once for the whole order. In this order:

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
from functools import cached_property
from itertools import chain
from typing import Any

from oscar_loyalty.earning.conditions import Conditions
from oscar_loyalty.earning.facts import Context, Line, Multiplier
from oscar_loyalty.earning.kinds import Kind, Role
from oscar_loyalty.earning.matching import checks_of, picker_of
from oscar_loyalty.earning.shares import Giver, Shares, Sheet, giver_of, multiply_base
from oscar_loyalty.points.rules import EarnedPart, Earning, LineEarning, share_out, spread
from oscar_loyalty.programmes.rules import Rate

#: The base rate's rule code, and that of the earning multiplier of a tier. No rule may be called so.
PURCHASE, TIER = "PURCHASE", "TIER"
RESERVED_CODES = (PURCHASE, TIER)

_NO_MONEY = Decimal(0)


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
    """What one purchase earns; ``rules`` in the order of their positions. See :meth:`Engine.judge`."""
    return Engine(rules, rate=rate).judge(lines=lines, context=context, most_of=most_of, most=most)


class Engine:
    """The rules of one version and its rate in one currency, made ready once for any number of orders."""

    def __init__(self, rules: Iterable[Rule], *, rate: Rate) -> None:
        """``rules`` in the order of their positions."""
        self._rules = [_Ready(rule) for rule in rules]
        self._per_amount = Fraction(rate.earn_points) / Fraction(rate.earn_amount)
        self._asks_for_goods = any(one.rule.conditions.minimum_value for one in self._rules)

    def judge(
        self,
        *,
        lines: Sequence[Line],
        context: Context,
        most_of: Mapping[str, int] | None = None,
        most: int | None = None,
    ) -> Judgement:
        """
        What a purchase earns. ``most_of`` are whole points that rules may give at most for another reason
        than their limit per order, ``most`` the same for everything: what is left for the member, or of
        the budget.
        """
        sheet = Sheet(lines, context=context, per_amount=self._per_amount)
        holding, waits = self._find_holding(sheet)
        cells = _base_of(sheet, holding)
        base_codes = len(cells)
        for one, indexes in holding:
            if one.role is Role.ADD:
                cells[one.code] = one.give(sheet, indexes)
        for code, factor in _best_of(context).items():
            cells[code] = multiply_base(factor - 1)(sheet, range(len(lines)))
        for one, _indexes in holding:
            if one.most is not None and one.code in cells:
                cells[one.code] = cells[one.code].shrink(one.most)
        for code, limit in (most_of or {}).items():
            if code in cells:
                cells[code] = cells[code].shrink(limit)
        caps = [one.rule for one, _indexes in holding if one.role is Role.CAP]
        _exclude(cells, [one.rule for one, _indexes in holding if one.excludes])
        _cap(cells, [rule for rule in caps if rule.parameters["per"] == "ORDER"], most=most)
        return Judgement(
            earning=_in_whole_points(cells, sheet, base_codes=base_codes, holding=holding),
            member_caps=tuple(rule for rule in caps if rule.parameters["per"] != "ORDER"),
            waits=waits,
            holding=frozenset([one.code for one, _indexes in holding]),
        )

    def _find_holding(self, sheet: Sheet) -> "tuple[Holding, bool]":
        """Rules that hold, each with the lines that it means; and whether another one waits to be judged."""
        context, worth = sheet.context, sheet.worth
        goods = sheet.goods if self._asks_for_goods else _NO_MONEY
        waits = False
        holding: Holding = []
        for one in self._rules:
            if not one.holds(context, goods):
                continue
            picks = one.picks
            matching = worth if picks is None else [index for index in worth if picks(sheet.lines[index])]
            if not matching:
                continue
            if one.waits_for_payment and context.payment_methods is None:
                waits = True
            else:
                holding.append((one, matching))
        return holding, waits


class _Ready:
    """A rule with its conditions and details read once."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.code = rule.code
        self.role = rule.kind.role
        self.most = rule.cap_order_points
        self.waits_for_payment = rule.waits_for_payment
        self.excludes = bool(rule.exclusion_group) and self.role is Role.ADD
        self.picks = picker_of(rule.conditions)
        self._checks = checks_of(rule.conditions)
        self._always_applies = type(rule.kind).applies is Kind.applies

    def holds(self, context: Context, goods: Decimal) -> bool:
        for check in self._checks:
            if not check(context, goods):
                return False
        return self._always_applies or self.rule.kind.applies(
            parameters=self.rule.parameters, context=context
        )

    @cached_property
    def give(self) -> Giver:
        """Read when it is needed first: details that nobody can read hurt only where the rule holds."""
        return giver_of(self.rule.kind, self.rule.parameters)

    @property
    def step(self) -> tuple[int, int]:
        return (1 if self.role is Role.BASE else 3, self.rule.position)

    def part(self, points: int) -> EarnedPart:
        rule = self.rule
        return EarnedPart(
            rule_code=self.code,
            points=points,
            kind=rule.kind.code,
            text_de=rule.text_de,
            text_en=rule.text_en,
            parameters=rule.parameters,
            qualifies=rule.qualifies,
        )


Holding = list[tuple[_Ready, list[int]]]


def _best_of(context: Context) -> dict[str, Fraction]:
    best: dict[str, Fraction] = {}
    for code, factor, *_texts in context.multipliers:
        if factor > 1:
            best[code] = max(best.get(code, factor), Fraction(factor))
    return best


def _base_of(sheet: Sheet, holding: "Holding") -> dict[str, Shares]:
    """Step 1: what each line earns by the rate that counts for it, by the code of that rate."""
    codes = [PURCHASE] * len(sheet.lines)
    for one, matching in holding:
        if one.role is Role.BASE:
            free = [index for index in matching if codes[index] == PURCHASE]
            if free:
                sheet.replace_base(one.give(sheet, free))
                for index in free:
                    codes[index] = one.code
    lines_of: dict[str, list[int]] = {}
    for index, code in enumerate(codes):
        lines_of.setdefault(code, []).append(index)
    base, whole = sheet.base, sheet.base_whole
    return {
        code: Shares(indexes, [base[index] for index in indexes], whole) for code, indexes in lines_of.items()
    }


def _exclude(cells: dict[str, Shares], rules: Sequence[Rule]) -> None:
    """Step 4: leave of each exclusion group the rule that brings most, the first of them on a tie."""
    best: dict[str, tuple[int, int, str]] = {}
    for rule in rules:
        brings, whole = sum(cells[rule.code].parts), cells[rule.code].whole
        kept = best.get(rule.exclusion_group)
        if kept is not None and brings * kept[1] <= kept[0] * whole:
            del cells[rule.code]
            continue
        if kept is not None:
            del cells[kept[2]]
        best[rule.exclusion_group] = (brings, whole, rule.code)


def _cap(cells: dict[str, Shares], caps: Sequence[Rule], *, most: int | None) -> None:
    """Step 5: shrink everything to the smallest cap."""
    limits = [rule.parameters["points"] for rule in caps]
    if most is not None:
        limits.append(most)
    if not limits:
        return
    limit = min(limits)
    whole = math.lcm(*[one.whole for one in cells.values()])
    together = sum([sum(one.parts) * (whole // one.whole) for one in cells.values()])
    if together > limit * whole:
        for code, one in cells.items():
            more = limit * (whole // one.whole)
            cells[code] = Shares(one.indexes, [part * more for part in one.parts], together)


def _in_whole_points(
    cells: Mapping[str, Shares], sheet: Sheet, *, base_codes: int, holding: "Holding"
) -> Earning:
    """
    Step 6. First whole points for each rule, then for each of its lines. Were all cells rounded together, a
    rule at its limit could get what another one lost. The first ``base_codes`` of the cells are the base.
    """
    whole = math.lcm(*[one.whole for one in cells.values()])
    exact = [sum(one.parts) * (whole // one.whole) for one in cells.values()]
    total = sum(exact) // whole
    by_code = dict(zip(cells, spread(exact, whole, total=total), strict=True))
    lines, bases = sheet.lines, sheet.bases
    rows: list[list[LineEarning]] = [[] for _line in lines]
    for place, (code, one) in enumerate(cells.items()):
        points_of_rule = by_code[code]
        # The first row of a line is its base: it says what the line was worth, even when it earned nothing.
        if not points_of_rule and place >= base_codes:
            continue
        shares = spread(one.parts, one.whole, total=points_of_rule)
        for index, points in zip(one.indexes, shares, strict=True):
            if points or place < base_codes:
                rows[index].append(LineEarning(lines[index].ref, bases[index], points, code))
    kept = tuple(chain.from_iterable(rows))
    return Earning(
        points=total,
        basis=sum(bases, _NO_MONEY),
        lines=kept,
        parts=_parts_of(kept, by_code, holding=holding, context=sheet.context),
    )


def _parts_of(
    lines: Iterable[LineEarning], points: Mapping[str, int], *, holding: "Holding", context: Context
) -> tuple[EarnedPart, ...]:
    """What each rule brought, in the order of the steps; none when only the base did."""
    codes = list(dict.fromkeys([line.rule_code for line in lines]))
    if codes in ([], [PURCHASE]):
        return ()
    by_code = {one.code: one for one, _indexes in holding}
    codes.sort(key=lambda code: _step_of(code, by_code))
    perks = {one.code: one for one in sorted(context.multipliers, key=lambda one: one.factor)}
    parts = []
    for code in codes:
        if not points[code] and code != PURCHASE:
            continue
        if code in by_code:
            parts.append(by_code[code].part(points[code]))
        elif code in perks:
            parts.append(_part_of_perk(perks[code], points[code]))
        else:
            parts.append(EarnedPart(rule_code=code, points=points[code], kind="RATE", qualifies=True))
    return tuple(parts)


def _step_of(code: str, by_code: Mapping[str, _Ready]) -> tuple[int, int]:
    if code == PURCHASE:
        return (0, 0)
    return by_code[code].step if code in by_code else (2, 0)


def _part_of_perk(perk: Multiplier, points: int) -> EarnedPart:
    return EarnedPart(
        rule_code=perk.code,
        points=points,
        kind="MULTIPLIER",
        text_de=perk.text_de,
        text_en=perk.text_en,
        parameters={"factor": _as_text(perk.factor)},
        qualifies=True,
    )


def _as_text(factor: Fraction) -> str:
    return f"{Decimal(factor.numerator) / Decimal(factor.denominator):f}"


# Limits


def limit_earning(earning: Earning, *, most_of: Mapping[str, int], most: int | None = None) -> Earning:
    """
    An earning with at most so many whole points of each rule code, and ``most`` of everything. What is
    cut is cut in proportion from the lines of the rule, and from everything.
    """
    if is_within(earning, most_of=most_of, most=most):
        return earning
    lines = list(earning.lines)
    for code, limit in most_of.items():
        lines = _cut(lines, [i for i, line in enumerate(lines) if line.rule_code == code], limit)
    if most is not None:
        lines = _cut(lines, list(range(len(lines))), most)
    kept = tuple(line for line in lines if line.points or _is_base(line, earning))
    points = sum(line.points for line in kept)
    parts = tuple(part._replace(points=_sum_of(kept, part.rule_code)) for part in earning.parts)
    return replace(
        earning,
        points=points,
        lines=kept,
        parts=tuple(part for part in parts if part.points or part.rule_code == PURCHASE),
    )


def is_within(earning: Earning, *, most_of: Mapping[str, int], most: int | None) -> bool:
    """Whether an earning keeps limits that :func:`limit_earning` would cut it to."""
    return (most is None or earning.points <= most) and all(
        _sum_of(earning.lines, code) <= limit for code, limit in most_of.items()
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


def _cut(lines: list[LineEarning], indexes: Sequence[int], most: int) -> list[LineEarning]:
    whole = sum(lines[index].points for index in indexes)
    if whole <= most:
        return lines
    shares = share_out(max(most, 0), [Fraction(lines[index].points) for index in indexes])
    for index, points in zip(indexes, shares, strict=True):
        lines[index] = lines[index]._replace(points=points)
    return lines


def _is_base(line: LineEarning, earning: Earning) -> bool:
    first = next(one for one in earning.lines if one.ref == line.ref)
    return first.rule_code == line.rule_code


def _sum_of(lines: Sequence[LineEarning], code: str) -> int:
    return sum(line.points for line in lines if line.rule_code == code)

"""
The engine once more, slowly: fractions throughout, written down as the decision on how rules combine says it
(docs/decisions/0012). It shares nothing with the engine but the facts that go in and the records that come
out.
"""

import math
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

from oscar_loyalty.earning.kinds import Role
from oscar_loyalty.earning.rules import PURCHASE, Judgement
from oscar_loyalty.points.rules import EarnedPart, Earning, LineEarning


def judge(*, lines, rate, context, rules=(), most_of=None, most=None):
    worth = [Decimal(0) if line.excluded else max(line.amount, Decimal(0)) for line in lines]
    waits, holding = False, []
    for rule in rules:
        matching = [index for index, line in enumerate(lines) if worth[index] and means(rule, line)]
        if not matching or not holds(rule, lines, context):
            continue
        if rule.conditions.payment_methods and context.payment_methods is None:
            waits = True
        else:
            holding.append((rule, matching))

    def ask(rule, indexes):
        given = rule.kind.points(
            parameters=rule.parameters,
            lines=[lines[index] for index in indexes],
            base=[base[index] for index in indexes],
            context=context,
        )
        return {index: max(Fraction(one), Fraction(0)) for index, one in zip(indexes, given, strict=True)}

    # 1. The base.
    base = [Fraction(amount) * rate.earn_points / Fraction(rate.earn_amount) for amount in worth]
    code_of = [PURCHASE for _line in lines]
    for rule, matching in holding:
        if rule.kind.role is Role.BASE and (free := [i for i in matching if code_of[i] == PURCHASE]):
            for index, points in ask(rule, free).items():
                base[index], code_of[index] = points, rule.code
    cells = {
        code: {index: base[index] for index, one in enumerate(code_of) if one == code}
        for code in dict.fromkeys(code_of)
    }
    # 2. What adds to it.
    for rule, matching in holding:
        if rule.kind.role is Role.ADD:
            cells[rule.code] = ask(rule, matching)
    for code in dict.fromkeys(one.code for one in context.multipliers if one.factor > 1):
        factor = max(one.factor for one in context.multipliers if one.code == code)
        cells[code] = {index: points * (factor - 1) for index, points in enumerate(base)}
    # 3. The limits of each rule.
    limits = [(rule.code, rule.cap_order_points) for rule, _matching in holding] + list(
        (most_of or {}).items()
    )
    for code, limit in limits:
        if code in cells and limit is not None:
            cells[code] = shrunk(cells[code], limit, together=sum(cells[code].values()))
    # 4. The best of each exclusion group.
    for group in {rule.exclusion_group for rule, _matching in holding} - {""}:
        codes = [
            rule.code
            for rule, _matching in holding
            if rule.exclusion_group == group and rule.kind.role is Role.ADD
        ]
        if codes:
            best = max(codes, key=lambda code: sum(cells[code].values()))
            for code in set(codes) - {best}:
                del cells[code]
    # 5. The smallest cap.
    caps = [rule for rule, _matching in holding if rule.kind.role is Role.CAP]
    caps_of_order = [rule.parameters["points"] for rule in caps if rule.parameters["per"] == "ORDER"]
    together = sum(sum(of_rule.values()) for of_rule in cells.values())
    for limit in [min([*caps_of_order, *([] if most is None else [most])], default=None)]:
        if limit is not None:
            cells = {code: shrunk(of_rule, limit, together=together) for code, of_rule in cells.items()}
    # 6. Whole points.
    sums = {code: sum(of_rule.values()) for code, of_rule in cells.items()}
    whole = largest_remainders(sums, math.floor(sum(sums.values())))
    rows = []
    for place, (code, of_rule) in enumerate(cells.items()):
        for index, points in largest_remainders(of_rule, whole[code]).items():
            if points or code_of[index] == code:
                row = LineEarning(ref=lines[index].ref, basis=worth[index], points=points, rule_code=code)
                rows.append((index, place, row))
    earned = tuple(row for _index, _place, row in sorted(rows, key=lambda row: row[:2]))
    by_code = {rule.code: rule for rule, _matching in holding}
    return Judgement(
        earning=Earning(
            points=sum(whole.values()),
            basis=sum(worth, Decimal(0)),
            lines=earned,
            parts=parts_of(earned, whole, by_code, context),
        ),
        member_caps=tuple(rule for rule in caps if rule.parameters["per"] != "ORDER"),
        waits=waits,
        holding=frozenset(by_code),
    )


def shrunk(of_rule, limit, *, together):
    if together <= limit:
        return of_rule
    return {index: points * limit / together for index, points in of_rule.items()}


def largest_remainders(exact, total):
    """The floors, and what is missing from ``total`` by the largest fractions, the first ones on a tie."""
    shares = {key: math.floor(value) for key, value in exact.items()}
    by_fraction = sorted(exact, key=lambda key: exact[key] - shares[key], reverse=True)
    for key in by_fraction[: total - sum(shares.values())]:
        shares[key] += 1
    return shares


def parts_of(earned, whole, by_code, context):
    codes = list(dict.fromkeys(row.rule_code for row in earned))
    if codes in ([], [PURCHASE]):
        return ()

    def step(code):
        if code == PURCHASE:
            return (0, 0)
        if code not in by_code:
            return (2, 0)
        return (1 if by_code[code].kind.role is Role.BASE else 3, by_code[code].position)

    return tuple(
        part_of(code, whole[code], by_code, context)
        for code in sorted(codes, key=step)
        if whole[code] or code == PURCHASE
    )


def part_of(code, points, by_code, context):
    if code == PURCHASE:
        return EarnedPart(rule_code=code, points=points, kind="RATE", qualifies=True)
    if code not in by_code:
        perk = max((one for one in context.multipliers if one.code == code), key=lambda one: one.factor)
        factor = Decimal(perk.factor.numerator) / Decimal(perk.factor.denominator)
        return EarnedPart(
            rule_code=code,
            points=points,
            kind="MULTIPLIER",
            text_de=perk.text_de,
            text_en=perk.text_en,
            parameters={"factor": f"{factor:f}"},
        )
    rule = by_code[code]
    return EarnedPart(
        rule_code=code,
        points=points,
        kind=rule.kind.code,
        text_de=rule.text_de,
        text_en=rule.text_en,
        parameters=rule.parameters,
        qualifies=rule.qualifies,
    )


def means(rule, line):
    wanted = rule.conditions
    if not wanted.picks_lines:
        return True
    return not line.is_shipping and all(
        [
            not wanted.product_ids or wanted.product_ids & {line.product_id, line.parent_id},
            not wanted.category_ids or wanted.category_ids & line.category_ids,
            not wanted.product_class_ids or line.product_class_id in wanted.product_class_ids,
            not wanted.range_ids or wanted.range_ids & line.range_ids,
            *(texts & line.attributes.get(code, frozenset()) for code, texts in wanted.attributes.items()),
        ]
    )


def holds(rule, lines, context):
    wanted, number, paid = rule.conditions, context.order_number, context.payment_methods
    goods = sum(max(line.amount, Decimal(0)) for line in lines if not line.is_shipping)
    local = context.placed_at.astimezone(ZoneInfo(context.time_zone))
    minute = local.hour * 60 + local.minute
    start, end = wanted.hours or (0, 24 * 60)
    return rule.kind.applies(parameters=rule.parameters, context=context) and all(
        [
            not wanted.tiers or context.tier_code in wanted.tiers,
            not wanted.segments or wanted.segments & context.segments,
            not wanted.group_ids or wanted.group_ids & context.group_ids,
            not wanted.nth_order or number == wanted.nth_order,
            not wanted.every_nth_order or (number is not None and number % wanted.every_nth_order == 0),
            not wanted.minimum_value
            or (context.currency in wanted.minimum_value and goods >= wanted.minimum_value[context.currency]),
            not wanted.active_from or context.placed_at >= wanted.active_from,
            not wanted.active_to or context.placed_at < wanted.active_to,
            not wanted.weekdays or local.weekday() in wanted.weekdays,
            start <= minute < end if start < end else minute >= start or minute < end,
            not wanted.channels or context.channel in wanted.channels,
            not wanted.shipping_methods or context.shipping_method in wanted.shipping_methods,
            not wanted.payment_methods or paid is None or wanted.payment_methods & paid,
        ]
    )

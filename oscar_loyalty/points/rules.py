"""
Arithmetic of earning and redeeming: pure functions on facts, exact, no database and no clock. What an order
has many of is a tuple: made in a third of the time.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Any, NamedTuple

from oscar_loyalty.programmes.rules import Policy, Rate


class PurchaseLine(NamedTuple):
    """One line of a purchase as the shop states it: money for the whole line, net of every discount
    and of points, with and without VAT. Shipping is a line too, with ``is_shipping`` set."""

    ref: str
    product_id: int | None
    product_class_id: int | None
    incl_tax: Decimal
    excl_tax: Decimal
    is_shipping: bool = False
    quantity: int = 1


def bases_for(
    lines: Iterable[PurchaseLine], *, policy: Policy, excluded_product_ids: frozenset[int]
) -> list["LineBasis"]:
    """The money on which each line earns under a policy."""
    return [
        LineBasis(
            ref=line.ref,
            amount=line.incl_tax if policy.includes_tax else line.excl_tax,
            excluded=(not policy.includes_shipping)
            if line.is_shipping
            else line.product_id in excluded_product_ids
            or line.product_class_id in policy.excluded_product_class_ids,
        )
        for line in lines
    ]


class LineBasis(NamedTuple):
    """One line of a purchase. ``amount`` is the money that the merchant receives for the whole line,
    net of every discount and of points; what earns nothing has ``excluded`` set."""

    ref: str
    amount: Decimal
    excluded: bool = False


class LineEarning(NamedTuple):
    """What one line earns by one rule: whole ``points`` on ``basis`` money."""

    ref: str
    basis: Decimal
    points: int
    rule_code: str = "PURCHASE"


class EarnedPart(NamedTuple):
    """What one rule brought to an earning, and what it was computed from; texts say why to its customer."""

    rule_code: str
    points: int
    kind: str = ""
    text_de: str = ""
    text_en: str = ""
    parameters: Mapping[str, Any] = MappingProxyType({})
    #: Whether these points count for tiers.
    qualifies: bool = True


@dataclass(frozen=True, kw_only=True)
class Earning:
    """``lines`` by line and rule sum to ``points``, and so do ``parts`` by rule; there are none of these
    where only the base rate acted."""

    points: int
    basis: Decimal
    lines: tuple[LineEarning, ...]
    parts: tuple[EarnedPart, ...] = ()


def points_for_lines(lines: Iterable[LineBasis], *, rate: Rate) -> Earning:
    """
    Whole points for the lines of one purchase.

    Exact per line, floored once for the sum; the points that flooring each line would lose go to the
    lines with the largest fractions (largest remainder method), the earlier line first on a tie.
    Negative amounts count as zero.
    """
    lines = tuple(lines)
    bases = _worth_of(lines)
    exact, whole = _at_rate(bases, points=rate.earn_points, amount=rate.earn_amount)
    total = sum(exact) // whole
    shares = spread(exact, whole, total=total)
    return Earning(
        points=total,
        basis=sum(bases, _NOTHING),
        lines=tuple(
            LineEarning(line.ref, basis, points)
            for line, basis, points in zip(lines, bases, shares, strict=True)
        ),
    )


def sum_at_rate(lines: Sequence[LineBasis], *, rate: Rate) -> tuple[int, Decimal]:
    """The ``points`` and the ``basis`` of :func:`points_for_lines`, for whoever asks for nothing more."""
    bases = _worth_of(lines)
    exact, whole = _at_rate(bases, points=rate.earn_points, amount=rate.earn_amount)
    return sum(exact) // whole, sum(bases, _NOTHING)


_NOTHING = Decimal(0)


def _worth_of(lines: Sequence[LineBasis]) -> list[Decimal]:
    return [line.amount if line.amount >= _NOTHING and not line.excluded else _NOTHING for line in lines]


def _at_rate(bases: Sequence[Decimal], *, points: int, amount: Decimal) -> tuple[list[int], int]:
    """
    Each of ``bases`` at ``points`` for every ``amount``, in whole numbers over one denominator: rounding
    these takes a quarter of the time that fractions take. Every preview and simulation goes through here.
    """
    ratios = [basis.as_integer_ratio() for basis in bases]
    common = math.lcm(*(denominator for _numerator, denominator in ratios))
    paid, paid_parts = amount.as_integer_ratio()
    whole = common * paid
    exact = [numerator * (common // denominator) * points * paid_parts for numerator, denominator in ratios]
    return exact, whole


def spread(exact: Sequence[int], whole: int, *, total: int) -> list[int]:
    """
    Whole numbers that sum to ``total``: the floor of each ``exact`` over ``whole``, and what is then missing
    by the largest fractions, the earlier one first on a tie.
    """
    if len(exact) == 1:
        return [total]
    shares = [value // whole for value in exact]
    if missing := total - sum(shares):
        fractions = [value % whole for value in exact]
        for i in sorted(range(len(exact)), key=fractions.__getitem__, reverse=True)[:missing]:
            shares[i] += 1
    return shares


def share_out(total: int, weights: Sequence[Fraction]) -> list[int]:
    """Split a whole ``total`` in proportion to ``weights`` (largest remainder); sums to ``total``."""
    whole = sum(weights, Fraction(0))
    if not whole:
        return [0] * len(weights)
    return floor_together([weight * total / whole for weight in weights])


def floor_together(exact: Sequence[Fraction]) -> list[int]:
    """Whole numbers that sum to the floor of the sum: each floored, and what that loses by fraction."""
    shares = [int(value) for value in exact]
    lost = int(sum(exact, Fraction(0))) - sum(shares)
    by_fraction = sorted(range(len(exact)), key=lambda i: (shares[i] - exact[i], i))
    for i in by_fraction[:lost]:
        shares[i] += 1
    return shares


def points_to_take_back(points: int, *, share: Fraction) -> int:
    """
    What of ``points`` is gone when ``share``, 0 to 1, of what earned them has been given back so far:
    rounded down, and all of them only at 1. Counted from the beginning each time, so that it does not
    matter in how many steps.
    """
    return math.floor(points * share)


def points_left(earning: Earning, *, shares: Mapping[str, Fraction]) -> int:
    """What is left of an earning when ``shares`` of its lines have been given back."""
    gone = (
        points_to_take_back(line.points, share=shares.get(line.ref, Fraction(0))) for line in earning.lines
    )
    return earning.points - sum(gone)


@dataclass(frozen=True, kw_only=True)
class RedemptionLimits:
    """Limits of one redemption: points in ``step`` from ``minimum`` up, at most ``share_percent`` of
    the goods, leaving nothing or at least ``card_minimum`` of money to pay."""

    rate: Rate
    minimum: int
    step: int
    share_percent: Decimal


@dataclass(frozen=True, kw_only=True)
class RedemptionQuote:
    """``points`` that are spent and the ``amount`` of money they save. ``reasons`` say, in stable codes,
    why it is less than what was asked for: ``balance``, ``share``, ``goods``, ``card_minimum``,
    ``step``, ``minimum``."""

    points: int
    amount: Decimal
    reasons: tuple[str, ...] = ()


def quote_redemption(
    *,
    requested: int,
    available: int,
    goods: Decimal,
    limits: RedemptionLimits,
    besides: Decimal = Decimal(0),
) -> RedemptionQuote:
    """
    How many of the ``requested`` points can be spent on ``goods`` (money, what is still to pay for them)
    when ``besides`` is to be paid as well, for what points cannot pay.

    Never more than was asked for, never more than is available, never negative. The last point may
    save less than its value when everything is covered.
    """
    reasons: list[str] = []
    points = requested
    if points > available:
        points = available
        reasons.append("balance")

    ceiling = (goods * limits.share_percent / 100).quantize(limits.rate.cent, rounding=ROUND_DOWN)
    most, covers_all = _points_up_to(ceiling, goods=goods, limits=limits)
    if points >= most:
        if points > most:
            reasons.append("goods" if covers_all else "share")
        points = most
        amount = min(value_of(points, rate=limits.rate), ceiling)
    else:
        points, stepped = _round_down_to_step(points, limits.step)
        if stepped:
            reasons.append("step")
        amount = value_of(points, rate=limits.rate)

    left = goods + besides - amount
    if amount and 0 < left < limits.rate.card_minimum:
        keep = max(goods + besides - limits.rate.card_minimum, Decimal(0))
        points, _ = _round_down_to_step(_points_within(keep, rate=limits.rate), limits.step)
        amount = value_of(points, rate=limits.rate)
        reasons.append("card_minimum")

    if points < limits.minimum or amount <= 0:
        if points:
            reasons.append("minimum")
        return RedemptionQuote(points=0, amount=Decimal(0), reasons=tuple(reasons))
    # A point that saves nothing stays with the member.
    enough = _round_up_to_step(points_worth(amount, rate=limits.rate), limits.step)
    points = min(points, max(enough, limits.minimum))
    return RedemptionQuote(points=points, amount=amount, reasons=tuple(reasons))


def value_of(points: int, *, rate: Rate) -> Decimal:
    """Money that ``points`` save, rounded down to the smallest coin."""
    return (points * rate.redeem_amount / rate.redeem_points).quantize(rate.cent, rounding=ROUND_DOWN)


def points_worth(amount: Decimal, *, rate: Rate) -> int:
    """The fewest points that save ``amount``."""
    return math.ceil(Fraction(amount) * rate.redeem_points / Fraction(rate.redeem_amount))


def _points_within(amount: Decimal, *, rate: Rate) -> int:
    """The most points whose value is not above ``amount``."""
    return int(Fraction(amount) * rate.redeem_points / Fraction(rate.redeem_amount))


def _points_up_to(ceiling: Decimal, *, goods: Decimal, limits: RedemptionLimits) -> tuple[int, bool]:
    """The most points that may be spent under ``ceiling``, and whether they cover all goods."""
    within = _points_within(ceiling, rate=limits.rate)
    if ceiling < goods:
        return _round_down_to_step(within, limits.step)[0], False
    # Everything may be covered: then the last point, or the last step, may save less than its value.
    enough = within if value_of(within, rate=limits.rate) >= ceiling else within + 1
    return enough, True


def _round_up_to_step(points: int, step: int) -> int:
    return points + -points % step


def _round_down_to_step(points: int, step: int) -> tuple[int, bool]:
    rounded = points - points % step
    return rounded, rounded != points

"""
Exact points without ``Fraction``: whole numbers over one denominator, which takes a tenth of the time.

What each kind gives is written down as a formula in ``kinds.py``. Here stand the same formulas in whole
numbers, found by the formula itself: a shop's own kind, and one that changes a formula, is asked by its
``points`` and answers in fractions.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from oscar_loyalty.earning.facts import Context, Line
from oscar_loyalty.earning.kinds import BonusKind, Kind, MultiplierKind, RateKind

_NOTHING = Decimal(0)


@dataclass(slots=True)
class Shares:
    """Points of some lines of an order: of each of ``indexes`` one of ``parts``, over ``whole``."""

    indexes: Sequence[int]
    parts: list[int]
    whole: int

    def shrink(self, most: int) -> "Shares":
        """In proportion, to ``most`` points together."""
        together = sum(self.parts)
        if together <= most * self.whole:
            return self
        return Shares(self.indexes, [part * most for part in self.parts], together)


class Sheet:
    """One order while it is judged: the money of its lines (what earns nothing has none), and its base."""

    __slots__ = ("amounts", "base", "base_whole", "bases", "coin", "context", "lines", "worth")

    def __init__(self, lines: Sequence[Line], *, context: Context, per_amount: Fraction) -> None:
        self.lines = lines
        self.context = context
        #: Money, as it is stored.
        self.bases = [
            line.amount if line.amount >= _NOTHING and not line.excluded else _NOTHING for line in lines
        ]
        ratios = [basis.as_integer_ratio() for basis in self.bases]
        #: The same money, in whole numbers of one ``coin``-th.
        self.coin = math.lcm(*[denominator for _numerator, denominator in ratios])
        self.amounts = [numerator * (self.coin // denominator) for numerator, denominator in ratios]
        #: Lines that are worth something.
        self.worth = [index for index, amount in enumerate(self.amounts) if amount]
        self.base = [amount * per_amount.numerator for amount in self.amounts]
        self.base_whole = self.coin * per_amount.denominator

    @property
    def goods(self) -> Decimal:
        """Money for the goods, what earns nothing among them."""
        return sum(
            (line.amount for line in self.lines if not line.is_shipping and line.amount > _NOTHING), _NOTHING
        )

    def replace_base(self, shares: Shares) -> None:
        """Some lines have another base than the others."""
        whole = math.lcm(self.base_whole, shares.whole)
        if whole != self.base_whole:
            more = whole // self.base_whole
            self.base = [part * more for part in self.base]
            self.base_whole = whole
        more = whole // shares.whole
        for index, part in zip(shares.indexes, shares.parts, strict=True):
            self.base[index] = part * more


#: What a rule gives to lines of an order, by their indexes.
Giver = Callable[[Sheet, Sequence[int]], Shares]


def giver_of(kind: Kind, parameters: Mapping[str, Any]) -> Giver:
    """What a rule of a kind gives, with what staff filled in read once."""
    in_whole_numbers = _IN_WHOLE_NUMBERS.get(type(kind).points)
    return in_whole_numbers(parameters) if in_whole_numbers else _in_fractions(kind, parameters)


def multiply_base(more: Fraction) -> Giver:
    """The base of each line again, ``more`` times."""

    def give(sheet: Sheet, indexes: Sequence[int]) -> Shares:
        base = sheet.base
        return Shares(
            indexes, [base[index] * more.numerator for index in indexes], sheet.base_whole * more.denominator
        )

    return give


def _multiplier(parameters: Mapping[str, Any]) -> Giver:
    return multiply_base(max(Fraction(parameters["factor"]) - 1, Fraction(0)))


def _rate(parameters: Mapping[str, Any]) -> Giver:
    rate = Fraction(parameters["points"]) / Fraction(parameters["amount"])

    def give(sheet: Sheet, indexes: Sequence[int]) -> Shares:
        amounts = sheet.amounts
        return Shares(
            indexes, [amounts[index] * rate.numerator for index in indexes], sheet.coin * rate.denominator
        )

    return give


def _bonus(parameters: Mapping[str, Any]) -> Giver:
    given = int(parameters["points"])

    def give_for_each_unit(sheet: Sheet, indexes: Sequence[int]) -> Shares:
        lines = [sheet.lines[index] for index in indexes]
        return Shares(indexes, [0 if line.is_shipping else given * line.quantity for line in lines], 1)

    def give_once(sheet: Sheet, indexes: Sequence[int]) -> Shares:
        amounts = [sheet.amounts[index] for index in indexes]
        return Shares(indexes, [given * amount for amount in amounts], sum(amounts))

    return give_for_each_unit if parameters["per"] == "UNIT" else give_once


def _in_fractions(kind: Kind, parameters: Mapping[str, Any]) -> Giver:
    """What a kind answers itself. What is negative counts as zero."""

    def give(sheet: Sheet, indexes: Sequence[int]) -> Shares:
        given = kind.points(
            parameters=parameters,
            lines=[sheet.lines[index] for index in indexes],
            base=[Fraction(sheet.base[index], sheet.base_whole) for index in indexes],
            context=sheet.context,
        )
        exact = [max(Fraction(points), Fraction(0)) for points, _index in zip(given, indexes, strict=True)]
        whole = math.lcm(*[points.denominator for points in exact])
        return Shares(indexes, [points.numerator * (whole // points.denominator) for points in exact], whole)

    return give


_IN_WHOLE_NUMBERS: Mapping[Any, Callable[[Mapping[str, Any]], Giver]] = {
    MultiplierKind.points: _multiplier,
    RateKind.points: _rate,
    BonusKind.points: _bonus,
}

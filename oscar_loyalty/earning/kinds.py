"""
Kinds of earning rules: what a rule gives. A shop's own kind is one short class with
``@earning_rules.register``; see ``docs/how-to/add-an-earning-rule.md``.
"""

import enum
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, ClassVar

from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from oscar_loyalty.earning.facts import Context, Line
from oscar_loyalty.parameters import Format, InvalidParameters, Parameter, read_parameters
from oscar_loyalty.registry import earning_rules

__all__ = [
    "BonusKind",
    "CapKind",
    "Format",
    "InvalidParameters",
    "Kind",
    "MultiplierKind",
    "Parameter",
    "RateKind",
    "Role",
]

#: No rule gives more at once, so that a slip of the keyboard cannot give away the shop.
MOST_POINTS = 1_000_000
MOST_FACTOR = Decimal(100)


class Role(enum.Enum):
    """At which step a kind acts: it replaces the base rate, adds to it, or limits the whole order."""

    BASE = "BASE"
    ADD = "ADD"
    CAP = "CAP"


class Kind:
    """
    What kinds have in common. Points are exact fractions; the engine rounds down once for the order.

    :meth:`points` gets the lines that match the conditions of the rule and have a price, and what each of
    them earns by the base rate; it returns the points of each line, in the same order. What is negative
    counts as zero.
    """

    code: ClassVar[str]
    label: ClassVar[Any]
    role: ClassVar[Role] = Role.ADD
    #: Whether points of a new rule count for tiers, unless staff decide otherwise.
    qualifies: ClassVar[bool] = False
    parameters: ClassVar[tuple[Parameter, ...]] = ()

    def validate(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters as they are stored. :raises InvalidParameters: something is missing or wrong"""
        return read_parameters(self.parameters, parameters)

    def applies(self, *, parameters: Mapping[str, Any], context: Context) -> bool:
        """Whether the rule can give anything to such an order at all, whatever its lines."""
        return True

    def points(
        self,
        *,
        parameters: Mapping[str, Any],
        lines: Sequence[Line],
        base: Sequence[Fraction],
        context: Context,
    ) -> Sequence[Fraction]:
        raise NotImplementedError

    def describe(self, parameters: Mapping[str, Any]) -> str:
        """What the rule gives, in one plain sentence without a full stop."""
        raise NotImplementedError


@earning_rules.register
class RateKind(Kind):
    """So many points for so much money, instead of the base rate. The first one that matches wins."""

    code = "RATE"
    label = _("rate: other points per money than usual")
    role = Role.BASE
    qualifies = True
    parameters = (
        Parameter(
            name="points",
            label=_("points"),
            format=Format.NUMBER,
            required=True,
            minimum=0,
            maximum=MOST_POINTS,
        ),
        Parameter(
            name="amount",
            label=_("for every (money)"),
            format=Format.DECIMAL,
            required=True,
            minimum=Decimal("0.01"),
        ),
        Parameter(name="currency", label=_("currency"), format=Format.CURRENCY, required=True),
    )

    def applies(self, *, parameters: Mapping[str, Any], context: Context) -> bool:
        return bool(parameters["currency"] == context.currency)

    def points(
        self,
        *,
        parameters: Mapping[str, Any],
        lines: Sequence[Line],
        base: Sequence[Fraction],
        context: Context,
    ) -> Sequence[Fraction]:
        rate = Fraction(parameters["points"]) / Fraction(parameters["amount"])
        return [Fraction(line.amount) * rate for line in lines]

    def describe(self, parameters: Mapping[str, Any]) -> str:
        return ngettext(
            "%(points)s point for every %(amount)s %(currency)s, instead of the usual rate",
            "%(points)s points for every %(amount)s %(currency)s, instead of the usual rate",
            parameters["points"],
        ) % dict(parameters)


@earning_rules.register
class MultiplierKind(Kind):
    """The base again, ``factor`` − 1 times: 2 doubles it. Several multipliers add up."""

    code = "MULTIPLIER"
    label = _("multiplier: for example double points")
    qualifies = True
    parameters = (
        Parameter(
            name="factor",
            label=_("factor"),
            format=Format.DECIMAL,
            required=True,
            minimum=Decimal(1),
            maximum=MOST_FACTOR,
        ),
    )

    def points(
        self,
        *,
        parameters: Mapping[str, Any],
        lines: Sequence[Line],
        base: Sequence[Fraction],
        context: Context,
    ) -> Sequence[Fraction]:
        more = Fraction(parameters["factor"]) - 1
        return [share * more for share in base]

    def describe(self, parameters: Mapping[str, Any]) -> str:
        return gettext("%(factor)s times the usual points") % dict(parameters)


@earning_rules.register
class BonusKind(Kind):
    """
    Fixed points, once for the order or for each unit. Once for the order they are spread over the matching
    lines in proportion to their money, so that each takes its share with it when it is returned.
    """

    code = "BONUS"
    label = _("bonus: fixed points")
    parameters = (
        Parameter(
            name="points",
            label=_("points"),
            format=Format.NUMBER,
            required=True,
            minimum=1,
            maximum=MOST_POINTS,
        ),
        Parameter(
            name="per",
            label=_("given"),
            format=Format.CHOICE,
            required=True,
            choices=(("ORDER", _("once for the order")), ("UNIT", _("for each unit"))),
            default="ORDER",
        ),
    )

    def points(
        self,
        *,
        parameters: Mapping[str, Any],
        lines: Sequence[Line],
        base: Sequence[Fraction],
        context: Context,
    ) -> Sequence[Fraction]:
        given = Fraction(parameters["points"])
        if parameters["per"] == "UNIT":
            return [Fraction(0) if line.is_shipping else given * line.quantity for line in lines]
        amounts = [Fraction(line.amount) for line in lines]
        whole = sum(amounts, Fraction(0))
        return [given * amount / whole for amount in amounts]

    def describe(self, parameters: Mapping[str, Any]) -> str:
        if parameters["per"] == "UNIT":
            return ngettext(
                "%(points)s point for each unit", "%(points)s points for each unit", parameters["points"]
            ) % dict(parameters)
        return ngettext("%(points)s point once", "%(points)s points once", parameters["points"]) % dict(
            parameters
        )


@earning_rules.register
class CapKind(Kind):
    """The most that all rules and the base together give: per order, or per member and period."""

    code = "CAP"
    label = _("limit: the most points in all")
    role = Role.CAP
    parameters = (
        Parameter(name="points", label=_("points"), format=Format.NUMBER, required=True, minimum=0),
        Parameter(
            name="per",
            label=_("per"),
            format=Format.CHOICE,
            required=True,
            choices=(
                ("ORDER", _("order")),
                ("DAY", _("member and day")),
                ("WEEK", _("member and week")),
                ("MONTH", _("member and month")),
                ("YEAR", _("member and year")),
                ("EVER", _("member")),
            ),
            default="ORDER",
        ),
    )

    def describe(self, parameters: Mapping[str, Any]) -> str:
        per = str(dict(self.parameters[1].choices)[parameters["per"]])
        return ngettext(
            "at most %(points)s point per %(per)s",
            "at most %(points)s points per %(per)s",
            parameters["points"],
        ) % {"points": parameters["points"], "per": per}

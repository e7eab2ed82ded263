"""
Kinds of perks. A kind says which details it needs, checks them, compares two of its kind and tells the
customer in one sentence what it gives; where it acts is the shop's side of it.

A shop adds its own with ``@perks.register``; see ``docs/how-to/add-a-perk.md``.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, ClassVar

from babel import Locale
from babel.numbers import format_currency, format_decimal
from django.utils.translation import get_language, gettext, ngettext, to_locale
from django.utils.translation import gettext_lazy as _

from oscar_loyalty.parameters import Format, InvalidParameters, Parameter, read_parameters
from oscar_loyalty.registry import perks

__all__ = [
    "Format",
    "InvalidParameters",
    "LimitNotCounted",
    "Parameter",
    "PerkKind",
    "check_limit",
    "describe_perk",
    "perks",
]


class LimitNotCounted(ValueError):
    """A limit of uses for a kind whose uses are not counted; the text is for staff."""


class PerkKind:
    """
    What all kinds have in common. A kind of a shop sets ``code``, ``label`` and ``parameters`` and says
    :meth:`describe`; the rest may stay as it is.
    """

    code: ClassVar[str]
    label: ClassVar[Any]
    parameters: ClassVar[tuple[Parameter, ...]] = ()
    #: Whether somebody records each use (``perk_services.record_use``): only then uses can be limited.
    counts_uses: ClassVar[bool] = False

    def validate(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The details as they are stored. :raises InvalidParameters: some are wrong or unknown"""
        clean = read_parameters(self.parameters, parameters)
        if errors := self.check(clean):
            raise InvalidParameters(errors)
        return clean

    def check(self, clean: dict[str, Any]) -> dict[str, str]:
        """Errors of details that do not fit each other, by their names."""
        return {}

    def describe(self, parameters: Mapping[str, Any]) -> str:
        """What a customer gets, as a sentence in their language."""
        return str(self.label)

    def is_better(self, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
        """Whether a customer who has both would rather have ``one``."""
        return False


def check_limit(kind: PerkKind, *, uses: int | None) -> None:
    """:raises LimitNotCounted: a limit of uses that nobody would count"""
    if uses is not None and not kind.counts_uses:
        raise LimitNotCounted(gettext("Nobody counts the uses of this perk, so they cannot be limited."))


def describe_perk(code: str, parameters: Mapping[str, Any]) -> str:
    """
    The sentence of a stored perk. Empty for one that nobody registered, or whose stored details its kind
    cannot read any more: nothing is promised that nobody can keep.
    """
    kind = perks.find(code)
    if kind is None:
        return ""
    try:
        return str(kind.describe(parameters))
    except (KeyError, TypeError, ValueError, ArithmeticError):
        return ""


# Delivery


@perks.register
class FreeShipping(PerkKind):
    """Nothing is charged for delivery, from a value of goods, for some methods or some countries."""

    code = "FREE_SHIPPING"
    label = _("free delivery")
    counts_uses = True
    parameters = (
        Parameter(
            name="minimum",
            label=_("from a value of goods"),
            format=Format.MONEY,
            help_text=_("Before discounts. Empty: always."),
        ),
        Parameter(name="currency", label=_("currency"), format=Format.CURRENCY),
        Parameter(
            name="methods",
            label=_("delivery methods"),
            format=Format.CODES,
            help_text=_("Their codes, with a comma between them. Empty: all."),
        ),
        Parameter(
            name="countries",
            label=_("countries"),
            format=Format.COUNTRIES,
            help_text=_("Two letters each, with a comma between them. Empty: all."),
        ),
    )

    def check(self, clean: dict[str, Any]) -> dict[str, str]:
        if Decimal(clean.get("minimum", "0")) == 0:
            clean.pop("minimum", None)
            clean.pop("currency", None)
        elif "currency" not in clean:
            return {"currency": gettext("Say in which currency the value of goods is.")}
        return {}

    def describe(self, parameters: Mapping[str, Any]) -> str:
        values = {
            "minimum": money(parameters["minimum"], parameters["currency"])
            if "minimum" in parameters
            else "",
            "methods": ", ".join(parameters.get("methods", ())),
            "countries": name_countries(parameters.get("countries", ())),
        }
        sentence = (
            gettext("Free delivery for orders from %(minimum)s")
            if values["minimum"]
            else gettext("Free delivery")
        )
        if values["methods"]:
            sentence += " " + gettext("with %(methods)s")
        if values["countries"]:
            sentence += " " + gettext("to %(countries)s")
        return sentence % values

    def is_better(self, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
        return self._openness(one) > self._openness(other)

    def _openness(self, parameters: Mapping[str, Any]) -> tuple[bool, bool, Decimal, int, int]:
        return (
            not parameters.get("methods"),
            not parameters.get("countries"),
            -Decimal(parameters.get("minimum", "0")),
            len(parameters.get("methods", ())),
            len(parameters.get("countries", ())),
        )


@perks.register
class ExpressAtStandard(PerkKind):
    """The fast method costs what the ordinary one costs this customer, so nothing where that is free."""

    code = "EXPRESS_AT_STANDARD"
    label = _("express for the price of standard")
    counts_uses = True
    parameters = (
        Parameter(
            name="express",
            label=_("codes of the fast methods"),
            format=Format.CODES,
            required=True,
            help_text=_("With a comma between them."),
        ),
        Parameter(name="standard", label=_("code of the ordinary method"), format=Format.TEXT, required=True),
        Parameter(
            name="countries",
            label=_("countries"),
            format=Format.COUNTRIES,
            help_text=_("Two letters each, with a comma between them. Empty: all."),
        ),
    )

    def check(self, clean: dict[str, Any]) -> dict[str, str]:
        if clean["standard"] in clean["express"]:
            return {"standard": gettext("These are two different methods.")}
        return {}

    def describe(self, parameters: Mapping[str, Any]) -> str:
        sentence = gettext("Express delivery for the price of standard delivery")
        if countries := name_countries(parameters.get("countries", ())):
            sentence += " " + gettext("to %(countries)s") % {"countries": countries}
        return sentence

    def is_better(self, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
        return not one.get("countries") and bool(other.get("countries"))


@perks.register
class DeliveryDay(PerkKind):
    code = "DELIVERY_DAY"
    label = _("delivery on a day of choice")

    def describe(self, parameters: Mapping[str, Any]) -> str:
        return gettext("You choose the day of delivery")


@perks.register
class ParcelLocker(PerkKind):
    code = "PARCEL_LOCKER"
    label = _("delivery to a parcel locker")

    def describe(self, parameters: Mapping[str, Any]) -> str:
        return gettext("Delivery to a parcel locker of your choice")


# Returns


@perks.register
class FreeReturns(PerkKind):
    code = "FREE_RETURNS"
    label = _("free returns")

    def describe(self, parameters: Mapping[str, Any]) -> str:
        return gettext("Free returns")


@perks.register
class ReturnWindow(PerkKind):
    code = "RETURN_WINDOW"
    label = _("longer time to return")
    parameters = (
        Parameter(name="days", label=_("days"), format=Format.NUMBER, required=True, minimum=1, maximum=3650),
    )

    def describe(self, parameters: Mapping[str, Any]) -> str:
        days = parameters["days"]
        return ngettext(
            "%(days)s day to return what you bought", "%(days)s days to return what you bought", days
        ) % {"days": days}

    def is_better(self, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
        return bool(one["days"] > other["days"])


@perks.register
class InstantRefund(PerkKind):
    code = "INSTANT_REFUND"
    label = _("refund at once")

    def describe(self, parameters: Mapping[str, Any]) -> str:
        return gettext("Your money back as soon as the return is on its way")


# Goods


@perks.register
class EarlyAccess(PerkKind):
    """May buy what opens for everybody later: so many hours before."""

    code = "EARLY_ACCESS"
    label = _("early access to products")
    parameters = (
        Parameter(
            name="hours",
            label=_("hours before everybody"),
            format=Format.NUMBER,
            required=True,
            minimum=1,
            maximum=24 * 365,
        ),
    )

    def describe(self, parameters: Mapping[str, Any]) -> str:
        hours = parameters["hours"]
        if hours % 24 == 0:
            days = hours // 24
            return ngettext(
                "New products %(days)s day earlier", "New products %(days)s days earlier", days
            ) % {"days": days}
        return ngettext(
            "New products %(hours)s hour earlier", "New products %(hours)s hours earlier", hours
        ) % {"hours": hours}

    def is_better(self, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
        return bool(one["hours"] > other["hours"])


@perks.register
class ExclusiveProducts(PerkKind):
    code = "EXCLUSIVE_PRODUCTS"
    label = _("exclusive products")

    def describe(self, parameters: Mapping[str, Any]) -> str:
        return gettext("Products that are for members only")


@perks.register
class MemberPrice(PerkKind):
    code = "MEMBER_PRICE"
    label = _("member price")
    counts_uses = True
    parameters = (
        Parameter(
            name="percent",
            label=_("percent off"),
            format=Format.FACTOR,
            required=True,
            minimum=Decimal("0.01"),
            maximum=Decimal(100),
        ),
        Parameter(name="range", label=_("range of products"), format=Format.RANGE, required=True, minimum=1),
    )

    def describe(self, parameters: Mapping[str, Any]) -> str:
        return gettext("%(percent)s %% off selected products") % {"percent": number(parameters["percent"])}

    def is_better(self, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
        return Decimal(one["percent"]) > Decimal(other["percent"])


@perks.register
class BirthdayGift(PerkKind):
    code = "BIRTHDAY_GIFT"
    label = _("birthday gift")
    counts_uses = True
    parameters = (
        Parameter(
            name="product",
            label=_("product"),
            format=Format.PRODUCT,
            required=True,
            minimum=1,
            help_text=_("Its number: it ends the address of the product's page."),
        ),
    )

    def describe(self, parameters: Mapping[str, Any]) -> str:
        return gettext("A gift for your birthday")


# Service and points


@perks.register
class PrioritySupport(PerkKind):
    code = "PRIORITY_SUPPORT"
    label = _("priority support")
    parameters = (
        Parameter(
            name="contact",
            label=_("contact"),
            format=Format.TEXT,
            help_text=_("A telephone number or an address."),
        ),
    )

    def describe(self, parameters: Mapping[str, Any]) -> str:
        if contact := parameters.get("contact"):
            return gettext("Priority support: %(contact)s") % {"contact": contact}
        return gettext("Priority support")


@perks.register
class EarningMultiplier(PerkKind):
    code = "EARNING_MULTIPLIER"
    label = _("more points")
    parameters = (
        Parameter(
            name="factor",
            label=_("factor"),
            format=Format.FACTOR,
            required=True,
            minimum=Decimal(1),
            maximum=Decimal(100),
        ),
    )

    def describe(self, parameters: Mapping[str, Any]) -> str:
        return gettext("%(factor)s times as many points") % {"factor": number(parameters["factor"])}

    def is_better(self, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
        return Decimal(one["factor"]) > Decimal(other["factor"])


def money(amount: Any, currency: str) -> str:
    return format_currency(Decimal(amount), currency, locale=_locale())


def number(value: Any) -> str:
    return format_decimal(Decimal(value), locale=_locale())


def name_countries(codes: Iterable[str]) -> str:
    territories = Locale.parse(_locale()).territories
    return ", ".join(territories.get(code, code) for code in codes)


def _locale() -> str:
    return to_locale(get_language() or "en")

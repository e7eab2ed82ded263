"""
Kinds of perks. A kind says which details it needs, checks them, compares two of its kind and tells the
customer in one sentence what it gives; where it acts is the shop's side of it.

A shop adds its own with ``@perks.register``; see ``docs/how-to/add-a-perk.md``.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any, ClassVar

from babel import Locale
from babel.numbers import format_currency, format_decimal
from django.utils.translation import get_language, gettext, ngettext, to_locale
from django.utils.translation import gettext_lazy as _

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

#: The biggest whole number a detail may be; ids of the shop's rows fit.
MOST = 2**31 - 1


class InvalidParameters(ValueError):
    """Details that a kind does not take. ``errors`` has a translated sentence for each wrong one."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {text}" for name, text in errors.items()))
        self.errors = dict(errors)


class LimitNotCounted(ValueError):
    """A limit of uses for a kind whose uses are not counted; the text is for staff."""


class Format(Enum):
    """How a detail is written, and what it is in the database's JSON."""

    MONEY = "money"  # "49.00"
    FACTOR = "factor"  # "1.5"
    NUMBER = "number"  # 30
    TEXT = "text"
    CODES = "codes"  # ["standard", "pick-up"]
    COUNTRIES = "countries"  # ["AT", "DE"]
    CURRENCY = "currency"  # "EUR"
    RANGE = "range"  # id of one of Oscar's ranges
    PRODUCT = "product"  # id of a product


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One detail of a kind. Without ``required`` it may be left out, and is then not stored."""

    name: str
    label: Any
    format: Format
    required: bool = False
    minimum: Decimal | int | None = None
    maximum: Decimal | int | None = None
    help_text: Any = ""


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
        errors = {
            name: gettext("There is no such detail.")
            for name in parameters
            if name not in {parameter.name for parameter in self.parameters}
        }
        clean = {}
        for parameter in self.parameters:
            raw = parameters.get(parameter.name)
            if raw is None or raw in ("", [], ()):
                if parameter.required:
                    errors[parameter.name] = gettext("This is needed.")
                continue
            try:
                clean[parameter.name] = _READERS[parameter.format](raw, parameter)
            except ValueError as error:
                errors[parameter.name] = str(error)
        if not errors:
            errors = self.check(clean)
        if errors:
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


# How details are read


def _read_decimal(raw: Any, parameter: Parameter) -> str:
    if isinstance(raw, (bool, float)):
        raise ValueError(gettext("Write a number."))
    try:
        value = Decimal(str(raw).strip())
    except InvalidOperation:
        raise ValueError(gettext("Write a number.")) from None
    if not value.is_finite():
        raise ValueError(gettext("Write a number."))
    if int(value.as_tuple().exponent) < -2:  # finite, so an int
        raise ValueError(gettext("Write at most two decimal places."))
    _check_limits(value, parameter)
    return f"{value:f}"


def _read_number(raw: Any, parameter: Parameter) -> int:
    if isinstance(raw, bool) or not re.fullmatch(r"-?\d{1,10}", str(raw).strip()):
        raise ValueError(gettext("Write a whole number."))
    value = int(raw)
    _check_limits(value, parameter)
    return value


def _check_limits(value: Decimal | int, parameter: Parameter) -> None:
    minimum = 0 if parameter.minimum is None else parameter.minimum
    maximum = MOST if parameter.maximum is None else parameter.maximum
    if value < minimum:
        raise ValueError(gettext("This must be at least %(minimum)s.") % {"minimum": minimum})
    if value > maximum:
        raise ValueError(gettext("This must be at most %(maximum)s.") % {"maximum": maximum})


def _read_text(raw: Any, parameter: Parameter) -> str:
    text = str(raw).strip()
    if not isinstance(raw, str) or not text or len(text) > 200:
        raise ValueError(gettext("Write between 1 and 200 characters."))
    return text


def _read_codes(raw: Any, parameter: Parameter) -> list[str]:
    codes = raw.replace(",", " ").split() if isinstance(raw, str) else list(raw)
    if not all(isinstance(code, str) and 0 < len(code) <= 128 for code in codes):
        raise ValueError(gettext("Write codes with a comma between them."))
    return sorted(set(codes))


def _read_countries(raw: Any, parameter: Parameter) -> list[str]:
    codes = [code.upper() for code in _read_codes(raw, parameter)]
    if not all(re.fullmatch(r"[A-Z]{2}", code) for code in codes):
        raise ValueError(gettext("Write two letters for each country: DE, AT."))
    return sorted(set(codes))


def _read_currency(raw: Any, parameter: Parameter) -> str:
    code = str(raw).strip().upper()
    if not re.fullmatch(r"[A-Z]{3}", code):
        raise ValueError(gettext("Write a currency code of three letters: EUR."))
    return code


_READERS: dict[Format, Callable[[Any, Parameter], Any]] = {
    Format.MONEY: _read_decimal,
    Format.FACTOR: _read_decimal,
    Format.NUMBER: _read_number,
    Format.TEXT: _read_text,
    Format.CODES: _read_codes,
    Format.COUNTRIES: _read_countries,
    Format.CURRENCY: _read_currency,
    Format.RANGE: _read_number,
    Format.PRODUCT: _read_number,
}


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
            help_text=_("Their codes. Empty: all."),
        ),
        Parameter(
            name="countries",
            label=_("countries"),
            format=Format.COUNTRIES,
            help_text=_("Two letters each. Empty: all."),
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
        Parameter(name="express", label=_("code of the fast method"), format=Format.CODES, required=True),
        Parameter(name="standard", label=_("code of the ordinary method"), format=Format.TEXT, required=True),
        Parameter(
            name="countries",
            label=_("countries"),
            format=Format.COUNTRIES,
            help_text=_("Two letters each. Empty: all."),
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
        Parameter(name="product", label=_("product"), format=Format.PRODUCT, required=True, minimum=1),
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

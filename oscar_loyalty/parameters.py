"""
What staff fill in for a kind of rule or of perk: what it is called, how it is written, what is stored of it.
Kinds list their parameters; forms are built from them, and whatever comes in is checked by them.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any

from django.utils.translation import gettext

#: The biggest whole number a parameter may be; ids of the shop's rows fit.
MOST = 2**31 - 1


class InvalidParameters(ValueError):
    """Values that a kind does not take. ``errors`` has a translated sentence for each wrong one."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {text}" for name, text in errors.items()))
        self.errors = dict(errors)


class Format(Enum):
    """How a parameter is written, and what it is in the database's JSON."""

    MONEY = "money"  # "49.00"
    FACTOR = "factor"  # "1.5"
    DECIMAL = "decimal"  # "0.125"
    NUMBER = "number"  # 30
    TEXT = "text"
    CHOICE = "choice"  # "ORDER"
    CODES = "codes"  # ["standard", "pick-up"]
    COUNTRIES = "countries"  # ["AT", "DE"]
    CURRENCY = "currency"  # "EUR"
    RANGE = "range"  # id of one of Oscar's ranges
    PRODUCT = "product"  # id of a product


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """
    One thing that staff fill in. Without ``required`` it may be left out, and is then not stored unless it
    has a ``default``. Limits are inclusive; numbers are never below zero unless ``minimum`` says so.
    ``choices`` are pairs of what is stored and what staff read.
    """

    name: str
    label: Any
    format: Format
    required: bool = False
    minimum: Decimal | int | None = None
    maximum: Decimal | int | None = None
    choices: tuple[tuple[str, Any], ...] = ()
    default: Any = None
    help_text: Any = ""


def read_parameters(parameters: Sequence[Parameter], given: Mapping[str, Any]) -> dict[str, Any]:
    """The values as they are stored. :raises InvalidParameters: some are missing, wrong or unknown"""
    known = {parameter.name for parameter in parameters}
    errors = {str(name): gettext("There is no such detail.") for name in given if name not in known}
    clean = {}
    for parameter in parameters:
        raw = given.get(parameter.name, parameter.default)
        if raw is None or raw in ("", [], ()):
            if parameter.required:
                errors[parameter.name] = gettext("This is needed.")
            continue
        try:
            clean[parameter.name] = _READERS[parameter.format](raw, parameter)
        except ValueError as error:
            errors[parameter.name] = str(error)
    if errors:
        raise InvalidParameters(errors)
    return clean


def _read_decimal(raw: Any, parameter: Parameter) -> str:
    if isinstance(raw, (bool, float)):
        raise ValueError(gettext("Write a number."))
    try:
        value = Decimal(str(raw).strip())
    except InvalidOperation:
        raise ValueError(gettext("Write a number.")) from None
    if not value.is_finite():
        raise ValueError(gettext("Write a number."))
    _check_limits(value, parameter)
    return f"{value:f}"


def _read_cents(raw: Any, parameter: Parameter) -> str:
    text = _read_decimal(raw, parameter)
    if int(Decimal(text).as_tuple().exponent) < -2:  # finite, so an int
        raise ValueError(gettext("Write at most two decimal places."))
    return text


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


def _read_choice(raw: Any, parameter: Parameter) -> str:
    if not isinstance(raw, str) or raw not in dict(parameter.choices):
        raise ValueError(gettext("This is not one of the choices."))
    return raw


_READERS: dict[Format, Callable[[Any, Parameter], Any]] = {
    Format.MONEY: _read_cents,
    Format.FACTOR: _read_cents,
    Format.DECIMAL: _read_decimal,
    Format.NUMBER: _read_number,
    Format.TEXT: _read_text,
    Format.CHOICE: _read_choice,
    Format.CODES: _read_codes,
    Format.COUNTRIES: _read_countries,
    Format.CURRENCY: _read_currency,
    Format.RANGE: _read_number,
    Format.PRODUCT: _read_number,
}

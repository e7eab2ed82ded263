"""When an earning rule holds, and for which lines: what staff set, read from JSON into a frozen record."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from django.utils.translation import gettext as _

#: Minutes of a day; "24:00" is allowed as an end.
_DAY = 24 * 60


class InvalidConditions(ValueError):
    """``errors``: what is wrong, by name of the condition."""

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {error}" for name, error in errors.items()))
        self.errors = errors


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """
    All that are set must hold; of the values of one condition, any.

    The first five pick lines. The others are about the whole order: ``minimum_value`` is money for the goods
    by currency (an order in another currency fails), ``active_from`` and ``active_to`` a period (end
    exclusive), ``weekdays`` (Monday is 0) and ``hours`` (minutes of the day, end exclusive, over midnight
    where the end is before the start) are in the programme's time zone. ``nth_order`` and
    ``every_nth_order`` count the orders of the customer, cancelled ones aside; 1 is the first.
    """

    product_ids: frozenset[int] = frozenset()
    category_ids: frozenset[int] = frozenset()
    product_class_ids: frozenset[int] = frozenset()
    range_ids: frozenset[int] = frozenset()
    attributes: Mapping[str, frozenset[str]] = field(default_factory=dict)

    tiers: frozenset[str] = frozenset()
    segments: frozenset[str] = frozenset()
    group_ids: frozenset[int] = frozenset()
    nth_order: int | None = None
    every_nth_order: int | None = None
    minimum_value: Mapping[str, Decimal] = field(default_factory=dict)
    active_from: datetime | None = None
    active_to: datetime | None = None
    weekdays: frozenset[int] = frozenset()
    hours: tuple[int, int] | None = None
    channels: frozenset[str] = frozenset()
    shipping_methods: frozenset[str] = frozenset()
    payment_methods: frozenset[str] = frozenset()

    @property
    def picks_lines(self) -> bool:
        return bool(
            self.product_ids
            or self.category_ids
            or self.product_class_ids
            or self.range_ids
            or self.attributes
        )


LINE_CONDITIONS = ("product_ids", "category_ids", "product_class_ids", "range_ids", "attributes")
#: What a rule without an order can ask for.
MEMBER_CONDITIONS = ("tiers", "segments", "group_ids", "active_from", "active_to", "weekdays", "hours")


def read_conditions(stored: Mapping[str, Any]) -> Conditions:
    """
    Conditions from their JSON; nothing set where a name is missing, null or empty.

    :raises InvalidConditions: unknown names, or values of the wrong kind
    """
    if not isinstance(stored, Mapping):
        raise InvalidConditions({"": _("Conditions are an object of names and values.")})
    errors: dict[str, str] = {}
    values: dict[str, Any] = {}
    for name, value in stored.items():
        read = _READERS.get(name)
        if read is None:
            errors[str(name)] = _("There is no such condition.")
        elif value not in (None, "", [], {}):
            try:
                values[name] = read(value)
            except (ValueError, TypeError, ArithmeticError, AttributeError):
                errors[name] = _("This value cannot be read: %(value)s") % {"value": repr(value)[:80]}
    conditions = Conditions(**values)
    if conditions.active_from and conditions.active_to and conditions.active_to <= conditions.active_from:
        errors["active_to"] = _("The period ends before it begins.")
    if errors:
        raise InvalidConditions(errors)
    return conditions


def write_conditions(conditions: Conditions) -> dict[str, Any]:
    """The JSON that :func:`read_conditions` reads; only what is set."""
    written: dict[str, Any] = {}
    for one in fields(conditions):
        value = getattr(conditions, one.name)
        if value in (None, frozenset(), {}):
            continue
        if isinstance(value, frozenset):
            value = sorted(value)
        elif isinstance(value, datetime):
            value = value.isoformat()
        elif one.name == "hours":
            value = [f"{minutes // 60:02}:{minutes % 60:02}" for minutes in value]
        elif one.name == "attributes":
            value = {code: sorted(wanted) for code, wanted in sorted(value.items())}
        elif one.name == "minimum_value":
            value = {currency: f"{amount:f}" for currency, amount in sorted(value.items())}
        written[one.name] = value
    return written


def _ids(value: Any) -> frozenset[int]:
    if not isinstance(value, list) or any(type(one) is not int or one < 1 for one in value):
        raise ValueError(value)
    return frozenset(value)


def _codes(value: Any) -> frozenset[str]:
    if not isinstance(value, list) or any(not isinstance(one, str) or not one for one in value):
        raise ValueError(value)
    return frozenset(value)


def _weekdays(value: Any) -> frozenset[int]:
    if not isinstance(value, list) or any(type(one) is not int or not 0 <= one <= 6 for one in value):
        raise ValueError(value)
    return frozenset(value)


def _count(value: Any) -> int:
    if type(value) is not int or value < 1:
        raise ValueError(value)
    return value


def _attributes(value: Any) -> dict[str, frozenset[str]]:
    return {str(code): _codes(wanted) for code, wanted in value.items()}


def _money(value: Any) -> dict[str, Decimal]:
    amounts = {}
    for currency, amount in value.items():
        if not isinstance(amount, str | int) or isinstance(amount, bool) or len(currency) != 3:
            raise ValueError(value)
        try:
            amounts[currency] = Decimal(amount)
        except InvalidOperation as error:
            raise ValueError(value) from error
        if not amounts[currency].is_finite() or amounts[currency] < 0:
            raise ValueError(value)
    return amounts


def _moment(value: Any) -> datetime:
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError(value)
    return moment


def _hours(value: Any) -> tuple[int, int]:
    start, end = (_minutes(one) for one in value)
    if start in (end, _DAY):
        raise ValueError(value)
    return start, end


def _minutes(text: str) -> int:
    hour, minute = (int(part) for part in text.split(":"))
    minutes = hour * 60 + minute
    if not (0 <= minute < 60 and hour >= 0 and minutes <= _DAY):
        raise ValueError(text)
    return minutes


_READERS: dict[str, Callable[[Any], Any]] = {
    "product_ids": _ids,
    "category_ids": _ids,
    "product_class_ids": _ids,
    "range_ids": _ids,
    "attributes": _attributes,
    "tiers": _codes,
    "segments": _codes,
    "group_ids": _ids,
    "nth_order": _count,
    "every_nth_order": _count,
    "minimum_value": _money,
    "active_from": _moment,
    "active_to": _moment,
    "weekdays": _weekdays,
    "hours": _hours,
    "channels": _codes,
    "shipping_methods": _codes,
    "payment_methods": _codes,
}

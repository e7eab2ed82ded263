"""Fields that say exactly what they mean: REST framework's own are more forgiving than points allow."""

from decimal import Decimal
from typing import Any

from babel.numbers import get_currency_precision
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers


class WholeNumberField(serializers.Field):  # type: ignore[type-arg]
    """A JSON integer: not ``"12"``, not ``1.0``, not ``true``. What is sent in needs a ``max_value``."""

    default_error_messages = {
        "invalid_integer": _("Send a whole JSON number."),
        "min_value": _("Must be at least {min_value}."),
        "max_value": _("Must be at most {max_value}."),
    }

    def __init__(self, *, min_value: int, max_value: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.min_value = min_value
        self.max_value = max_value
        limits = {"minimum": min_value} | ({} if max_value is None else {"maximum": max_value})
        extend_schema_field({"type": "integer", "format": "int64", **limits})(self)  # type: ignore[type-var]

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            self.fail("invalid_integer")
        if data < self.min_value:
            self.fail("min_value", min_value=self.min_value)
        if self.max_value is not None and data > self.max_value:
            self.fail("max_value", max_value=self.max_value)
        return data

    def to_representation(self, value: int) -> int:
        return value


class YesOrNoField(serializers.BooleanField):
    """A JSON boolean. A consent is not guessed from ``"on"`` or ``1``."""

    default_error_messages = {"invalid": _("Send true or false.")}

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


@extend_schema_field({"type": "string", "format": "decimal", "pattern": r"^-?\d+(\.\d+)?$"})
class DecimalStringField(serializers.Field):  # type: ignore[type-arg]
    """A decimal as a string, as exact as it is."""

    def to_representation(self, value: Decimal) -> str:
        return f"{value:f}"


class MoneyField(DecimalStringField):
    """Money as a decimal string. Its currency stands beside it; see :func:`in_coins`."""


def in_coins(amount: Decimal, currency: str) -> Decimal:
    """The amount with as many places as its currency has: 0.00 EUR, 0 JPY."""
    return amount.quantize(Decimal(1).scaleb(-get_currency_precision(currency)))

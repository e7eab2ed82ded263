"""The part of a form that is made from the parameters of a kind, so that nobody has to write JSON."""

from collections.abc import Mapping
from typing import Any, Protocol

from django import forms
from django.db.models import QuerySet
from django.utils.text import capfirst
from oscar.core.loading import get_model

from oscar_loyalty.parameters import Format, InvalidParameters, Parameter

PARAMETER = "parameter_"


class HasParameters(Protocol):
    """A kind of earning rule or of perk."""

    @property
    def parameters(self) -> tuple[Parameter, ...]: ...

    def validate(self, parameters: Mapping[str, Any]) -> dict[str, Any]: ...


class ParametersForm(forms.ModelForm):  # type: ignore[type-arg]
    """A form of something with a JSON column ``parameters``, which is filled from fields of their own."""

    def is_valid(self) -> bool:
        # "Preview" shows the page again, with what is typed, instead of saving it.
        return super().is_valid() and "_preview" not in self.data

    def add_parameters(self, kind: HasParameters) -> None:
        stored = self.instance.parameters if isinstance(self.instance.parameters, dict) else {}
        for parameter in kind.parameters:
            field, value = _field_of(parameter), stored.get(parameter.name, parameter.default)
            field.initial = ", ".join(value) if isinstance(value, list) else value
            self.fields[f"{PARAMETER}{parameter.name}"] = field

    def read_parameters(self, kind: HasParameters, cleaned: Mapping[str, Any]) -> dict[str, Any]:
        """What was typed, as it is stored. What the kind does not take is said at its field."""
        given = {
            name.removeprefix(PARAMETER): value
            for name, value in cleaned.items()
            if name.startswith(PARAMETER) and value not in (None, "")
        }
        try:
            return kind.validate(given)
        except InvalidParameters as error:
            for name, text in error.errors.items():
                field = f"{PARAMETER}{name}"
                # What the field itself has refused is missing here, and that has been said.
                if field not in self.errors:
                    self.add_error(field if field in self.fields else None, text)
            return {}


def _field_of(parameter: Parameter) -> forms.Field:
    shared: dict[str, Any] = {
        "label": capfirst(parameter.label),
        "required": parameter.required,
        "help_text": parameter.help_text,
    }
    if parameter.format in (Format.NUMBER, Format.PRODUCT):
        return forms.IntegerField(**shared)
    if parameter.format in (Format.MONEY, Format.FACTOR, Format.DECIMAL):
        return forms.DecimalField(**shared)
    if parameter.format is Format.CHOICE:
        return forms.ChoiceField(choices=parameter.choices, **shared)
    if parameter.format is Format.RANGE:
        return forms.TypedChoiceField(
            choices=lambda: [("", "---------"), *readable_ranges().values_list("pk", "name")],
            coerce=int,
            empty_value=None,
            **shared,
        )
    return forms.CharField(**shared)


def readable_ranges() -> QuerySet[Any]:
    """Without those with a class of the shop's own, which cannot be read in one statement."""
    ranges: QuerySet[Any] = get_model("offer", "Range").objects.filter(proxy_class=None).order_by("name")
    return ranges

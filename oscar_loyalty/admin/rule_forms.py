"""
The form of an earning rule: a field for each detail of its kind and for each condition, so that nobody has
to write JSON. What staff type is read into both columns, and the rule checks itself.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, time
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import Group
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from oscar_loyalty.admin import choices
from oscar_loyalty.admin.parameter_forms import ParametersForm
from oscar_loyalty.admin.programmes import PickList
from oscar_loyalty.earning.conditions import Conditions, InvalidConditions, read_conditions
from oscar_loyalty.earning.models import EarningRule
from oscar_loyalty.earning.wording import name_weekday
from oscar_loyalty.registry import earning_rules, segments

CONDITION = "condition_"
_MIDNIGHT = 24 * 60


class CodesField(forms.CharField):
    """Codes with a comma between them, as a list."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"required": False, "max_length": 1000, **kwargs})

    def prepare_value(self, value: Any) -> Any:
        return value if isinstance(value, str) or value is None else ", ".join(map(str, value))

    def to_python(self, value: Any) -> Any:
        return [part for part in (one.strip() for one in (value or "").split(",")) if part]


class IdsField(CodesField):
    """The same for whole numbers."""

    def to_python(self, value: Any) -> Any:
        parts = super().to_python(value)
        if any(re.fullmatch(r"[1-9][0-9]{0,9}", part) is None for part in parts):
            raise forms.ValidationError(_("Write numbers with a comma between them: 12, 14."))
        return sorted({int(part) for part in parts})


class PairsField(forms.CharField):
    """Lines of a name and what belongs to it: ``brand: Hario, Bialetti``."""

    widget = forms.Textarea

    def __init__(self, *, example: str, **kwargs: Any) -> None:
        self.example = example
        widget = forms.Textarea(attrs={"rows": 2, "cols": 60})
        super().__init__(**{"required": False, "widget": widget, "max_length": 4000, **kwargs})

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return "\n".join(f"{name}: {self.join(one)}" for name, one in value.items())

    def join(self, value: Any) -> str:
        return ", ".join(value) if isinstance(value, Iterable) and not isinstance(value, str) else str(value)

    def to_python(self, value: Any) -> Any:
        pairs: dict[str, Any] = {}
        for line in (value or "").splitlines():
            if not line.strip():
                continue
            name, colon, rest = (part.strip() for part in line.partition(":"))
            if not (name and colon and rest) or name in pairs:
                raise forms.ValidationError(
                    _("One line for each, written so: %(example)s"), params={"example": self.example}
                )
            pairs[name] = self.read(rest)
        return pairs

    def read(self, text: str) -> Any:
        return [part for part in (one.strip() for one in text.split(",")) if part]


class MoneyPairsField(PairsField):
    def read(self, text: str) -> Any:
        return text

    def to_python(self, value: Any) -> Any:
        return {name.upper(): amount for name, amount in super().to_python(value).items()}


#: Columns of the table; both JSON columns are filled from fields of their own.
COLUMNS = [
    *("version", "code", "name", "text_de", "text_en", "kind", "occasion", "event_code", "position"),
    *("exclusion_group", "cap_order_points", "cap_member_points", "cap_member_period"),
    *("budget_points", "qualifies"),
]


class RuleForm(ParametersForm):
    """One rule of ``kind``; the version that it belongs to is chosen before, or stays."""

    class Meta:
        model = EarningRule
        fields = COLUMNS
        widgets = {"kind": forms.HiddenInput, "version": forms.HiddenInput}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        code = self.data.get("kind") or self.initial.get("kind") or self.instance.kind
        self.kind = earning_rules.find(code)
        if "kind" not in self.fields:
            return  # a page to be read only
        self.fields["kind"].disabled = self.fields["version"].disabled = bool(self.instance.pk)
        version_id = self.instance.version_id or self._chosen_version()
        if self.kind is not None:
            self.add_parameters(self.kind)
        for name, field in _condition_fields(version_id).items():
            field.initial = _initial_of(self.instance.conditions.get(name), name)
            self.fields[CONDITION + name] = field
        for field in self.fields.values():
            field.label = capfirst(field.label or "")

    def _chosen_version(self) -> int | None:
        chosen = str(self.data.get("version") or self.initial.get("version") or "")
        return int(chosen) if chosen.isdecimal() else None

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if self.kind is None:
            raise forms.ValidationError(_("Choose what kind of rule it is."))
        self.instance.parameters = self.read_parameters(self.kind, cleaned)
        conditions = {
            name.removeprefix(CONDITION): value
            for name, value in cleaned.items()
            if name.startswith(CONDITION) and value not in (None, "", [], {})
        }
        conditions["hours"] = _hours_of(conditions.pop("hours_from", None), conditions.pop("hours_to", None))
        for name in ("active_from", "active_to"):
            if isinstance(conditions.get(name), datetime):
                conditions[name] = conditions[name].isoformat()
        conditions["weekdays"] = [int(day) for day in conditions.get("weekdays", ())]
        self.instance.conditions = {name: value for name, value in conditions.items() if value}
        self._blame_conditions()
        return cleaned

    def _blame_conditions(self) -> None:
        """Say at its own field what cannot be read; contradictions the rule finds itself."""
        try:
            read_conditions(self.instance.conditions)
        except InvalidConditions as error:
            for name, text in error.errors.items():
                field = CONDITION + ("hours_from" if name == "hours" else name)
                self.add_error(field if field in self.fields else None, text)
            self.instance.conditions = {}

    def _get_validation_exclusions(self) -> set[str]:
        # Both columns are filled from other fields, and checked all the same.
        excluded = super()._get_validation_exclusions()  # type: ignore[misc]
        return {name for name in excluded if name not in ("parameters", "conditions")}

    def _update_errors(self, errors: Any) -> None:
        """What the rule says of its two columns belongs above the form: their fields have other names."""
        found = getattr(errors, "error_dict", None)
        if found is not None:
            for name in ("parameters", "conditions"):
                if name in found:
                    if any(one.startswith(name.rstrip("s")) for one in self.errors):
                        del found[name]
                        continue
                    found.setdefault("__all__", []).extend(found.pop(name))
        super()._update_errors(errors)  # type: ignore[misc]


def _condition_fields(version_id: int | None) -> dict[str, forms.Field]:
    def pick(label: Any, among: Any, **more: Any) -> forms.Field:
        return forms.TypedMultipleChoiceField(
            label=label,
            coerce=int,
            required=False,
            choices=among,
            widget=PickList(str(label), is_stacked=False),
            **more,
        )

    def tick(label: Any, among: Any, **more: Any) -> forms.Field:
        return forms.MultipleChoiceField(
            label=label, required=False, choices=among, widget=forms.CheckboxSelectMultiple, **more
        )

    return {
        "product_ids": IdsField(
            label=_("products"),
            help_text=_("Their numbers, with a comma between them. A product stands for its variants."),
        ),
        "category_ids": pick(_("categories"), choices.category_choices, help_text=_("And those below them.")),
        "product_class_ids": pick(_("product types"), choices.product_class_choices),
        "range_ids": pick(_("ranges"), choices.range_choices),
        "attributes": PairsField(
            label=_("attributes"),
            example="brand: Hario, Bialetti",
            help_text=_("One line for each: code of the attribute, colon, values with a comma between them."),
        ),
        "tiers": tick(
            _("tiers"),
            lambda: choices.tier_choices(version_id),
            help_text=_("The tier that a member held before the order."),
        ),
        "segments": tick(_("members who are"), lambda: [(one.code, one.label) for one in segments]),
        "group_ids": pick(
            _("customer groups"), lambda: Group.objects.order_by("name").values_list("pk", "name")
        ),
        "nth_order": forms.IntegerField(
            label=_("only order number"), required=False, min_value=1, help_text=_("1: the first order.")
        ),
        "every_nth_order": forms.IntegerField(label=_("every … order"), required=False, min_value=1),
        "minimum_value": MoneyPairsField(
            label=_("from a value of goods"),
            example="EUR: 50.00",
            help_text=_("One line for each currency: EUR: 50.00"),
        ),
        "active_from": forms.SplitDateTimeField(
            label=_("orders from"), required=False, widget=admin.widgets.AdminSplitDateTime
        ),
        "active_to": forms.SplitDateTimeField(
            label=_("until before"), required=False, widget=admin.widgets.AdminSplitDateTime
        ),
        "weekdays": tick(_("weekdays"), lambda: [(str(day), name_weekday(day)) for day in range(7)]),
        "hours_from": forms.TimeField(label=_("from o'clock"), required=False),
        "hours_to": forms.TimeField(
            label=_("to o'clock"), required=False, help_text=_("Over midnight, where it is earlier.")
        ),
        "channels": CodesField(label=_("channels"), help_text=_("Codes with a comma between them.")),
        "shipping_methods": CodesField(
            label=_("shipping methods"), help_text=_("Their codes, with a comma between them.")
        ),
        "payment_methods": CodesField(
            label=_("payment methods"),
            help_text=_("Their codes, with a comma between them. Judged when the order is confirmed."),
        ),
    }


CONDITION_GROUPS: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (
        _("Only for these goods"),
        ("product_ids", "category_ids", "product_class_ids", "range_ids", "attributes"),
    ),
    (_("Only for these members"), ("tiers", "segments", "group_ids")),
    (
        _("Only for these orders"),
        ("nth_order", "every_nth_order", "minimum_value", "channels", "shipping_methods", "payment_methods"),
    ),
    (_("Only at these times"), ("active_from", "active_to", "weekdays", "hours_from", "hours_to")),
)


def _initial_of(stored: Any, name: str) -> Any:
    if stored and name in ("active_from", "active_to"):
        return datetime.fromisoformat(stored)
    return stored


def _hours_of(start: time | None, end: time | None) -> list[str] | None:
    """``["18:00", "24:00"]``; one of the two alone means from or to midnight."""
    if start is None and end is None:
        return None
    first = start or time(0)
    last = "24:00" if end is None or end == time(0) else f"{end:%H:%M}"
    return [f"{first:%H:%M}", last]


def hours_as_initial(conditions: Conditions) -> dict[str, time]:
    if conditions.hours is None:
        return {}
    first, last = (minutes % _MIDNIGHT for minutes in conditions.hours)
    return {
        "hours_from": time(first // 60, first % 60),
        "hours_to": time(last // 60, last % 60),
    }


def unknown_kind_text(code: str) -> str:
    return gettext("Nobody registered the kind “%(code)s”, so the rule does nothing.") % {"code": code}

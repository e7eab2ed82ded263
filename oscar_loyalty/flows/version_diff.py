"""What is different in another version, part by part, in the words of the forms."""

import enum
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import models
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.text import capfirst
from django.utils.translation import gettext

from oscar_loyalty.flows.part_wording import WORDINGS, NameMethods, name_part_row
from oscar_loyalty.flows.wording import number
from oscar_loyalty.programmes.copying import list_parts
from oscar_loyalty.programmes.models import ProgrammeVersion
from oscar_loyalty.shop.existence import find_names

#: They say which version it is, not what it promises.
_NOT_PROMISED = {"id", "programme", "number", "active_from", "archived_at", "note"}
_CATALOGUE = {
    "excluded_category_ids": "category_ids",
    "excluded_product_class_ids": "product_class_ids",
}


class What(enum.StrEnum):
    ADDED = "ADDED"
    REMOVED = "REMOVED"
    CHANGED = "CHANGED"


@dataclass(frozen=True, kw_only=True)
class FieldChange:
    """One value, in words; ``name`` is the column, ``label`` what forms call it."""

    name: str
    label: str
    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class Change:
    """
    One part that is new, gone or different. ``model`` is the name of its model, ``part`` what it is called
    ("rate", "tier" …; empty for the version itself), ``key`` what tells it from others of its kind.
    """

    what: What
    model: str
    part: str
    key: str
    title: str
    fields: tuple[FieldChange, ...] = ()

    @property
    def headline(self) -> str:
        return name_part(self.part, self.title) if self.title else self.part


def name_part(kind: str, title: object) -> str:
    """Rate “EUR”, with the reader's quotation marks."""
    return gettext("%(kind)s “%(title)s”") % {"kind": kind, "title": title}


def compare_versions(
    before: ProgrammeVersion | None, after: ProgrammeVersion, *, name_methods: NameMethods = dict
) -> list[Change]:
    """
    What ``after`` promises otherwise than ``before``; everything is new without one. Two statements for
    each kind of part. Parts are the same one when what makes them unique in their version is the same.
    """
    changes = [*_compare_promises(before, after)]
    for model, key in list_parts():
        old = _by_identity(model, key, before) if before is not None else {}
        new = _by_identity(model, key, after)
        changes += _compare_parts(model, key, old, new, name_methods=name_methods)
    return changes


def fingerprint(version: ProgrammeVersion) -> str:
    """Changes whenever the version or a part of it does: SHA-256 over all their columns."""
    digest = hashlib.sha256()
    names = [field.attname for field in version._meta.concrete_fields if field.name not in _NOT_PROMISED]
    promises = ProgrammeVersion.objects.values(*names).get(pk=version.pk)
    digest.update(json.dumps(promises, default=str, sort_keys=True).encode())
    for model, key in list_parts():
        for row in model._default_manager.filter(**{key: version}).order_by("pk").values():
            digest.update(json.dumps(row, default=str, sort_keys=True).encode())
    return digest.hexdigest()


def _compare_promises(before: ProgrammeVersion | None, after: ProgrammeVersion) -> Iterator[Change]:
    fields = _differences(before, after, leave_out=_NOT_PROMISED)
    if fields and before is not None:
        yield Change(
            what=What.CHANGED,
            model="programmeversion",
            part=gettext("Promises"),
            key="",
            title="",
            fields=fields,
        )


def _compare_parts(
    model: type[models.Model],
    key: str,
    old: Mapping[Any, Any],
    new: Mapping[Any, Any],
    *,
    name_methods: NameMethods,
) -> Iterator[Change]:
    part = capfirst(str(model._meta.verbose_name))
    for identity in (*old, *(one for one in new if one not in old)):
        was, is_now = old.get(identity), new.get(identity)
        fields = _differences(
            was, is_now, leave_out={"id", key, *getattr(model, "not_copied", ())}, name_methods=name_methods
        )
        if was is None:
            what = What.ADDED
        elif is_now is None:
            what = What.REMOVED
        elif fields:
            what = What.CHANGED
        else:
            continue
        yield Change(
            what=what,
            model=str(model._meta.model_name),
            part=part,
            key=" ".join(str(one) for one in identity),
            title=name_part_row(is_now or was) if identity else "",
            fields=fields,
        )


def _by_identity(
    model: type[models.Model], key: str, version: ProgrammeVersion
) -> dict[tuple[Any, ...], models.Model]:
    names = identity_of(model, key)
    rows = model._default_manager.filter(**{key: version}).order_by(*names, "pk")
    found: dict[tuple[Any, ...], models.Model] = {}
    for number_of_row, row in enumerate(rows):
        identity: tuple[Any, ...] = tuple(getattr(row, name) for name in names)
        if not names and not getattr(model._meta.get_field(key), "unique", False):
            identity = (number_of_row,)
        found[identity] = row
    return found


def identity_of(model: type[models.Model], key: str) -> tuple[str, ...]:
    """The columns that tell parts of one version from each other: those of the first unique constraint
    with the version. Empty when a version has one such part, or when nothing tells them apart."""
    for constraint in model._meta.constraints:
        if isinstance(constraint, models.UniqueConstraint) and key in constraint.fields:
            return tuple(name for name in constraint.fields if name != key)
    return ()


def _differences(
    before: models.Model | None,
    after: models.Model | None,
    *,
    leave_out: set[str],
    name_methods: NameMethods = dict,
) -> tuple[FieldChange, ...]:
    row = after if after is not None else before
    assert row is not None
    changes = list(_list_differences(row, before, after, leave_out=leave_out))
    wording = WORDINGS.get(type(row))
    if wording is None or not any(change.name in wording.columns for change in changes):
        return tuple(changes)
    said = [wording.say(one, name_methods) if one is not None else "" for one in (before, after)]
    if said[0] == said[1]:
        # The sentence does not say what is different: the values do.
        return tuple(changes)
    sentence = FieldChange(
        name="sentence", label=gettext("What it does"), before=said[0] or "—", after=said[1] or "—"
    )
    return (sentence, *(change for change in changes if change.name not in wording.columns))


def _list_differences(
    row: models.Model, before: models.Model | None, after: models.Model | None, *, leave_out: set[str]
) -> Iterator[FieldChange]:
    for field in row._meta.concrete_fields:
        if field.name in leave_out:
            continue
        was = getattr(before, field.attname) if before is not None else None
        is_now = getattr(after, field.attname) if after is not None else None
        if before is not None and after is not None and was == is_now:
            continue
        told = (_tell(before, field, was), _tell(after, field, is_now))
        if told[0] == told[1] == "—":
            continue
        yield FieldChange(
            name=field.name, label=capfirst(str(field.verbose_name)), before=told[0], after=told[1]
        )


def _tell(row: models.Model | None, field: "models.Field[Any, Any]", value: Any) -> str:
    """A value in words."""
    if row is None:
        return "—"
    if field.choices:
        return str(getattr(row, f"get_{field.name}_display")()) or "—"
    if field.name in _CATALOGUE:
        names = find_names(_CATALOGUE[field.name], value or [])
        return ", ".join(names.get(one, f"#{one}") for one in value or []) or "—"
    if field.name == "spendable_status" and value:
        return gettext(value)
    return say_value(value)


def say_value(value: Any) -> str:
    """Whatever a column holds, for people."""
    if value is None or value == "" or value == [] or value == {}:
        return "—"
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    if isinstance(value, Decimal):
        return number(value.normalize())
    if isinstance(value, int):
        return number(value)
    if isinstance(value, datetime):
        return date_format(timezone.localtime(value), "SHORT_DATETIME_FORMAT")
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {say_value(one)}" for name, one in sorted(value.items()))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(say_value(one) for one in value)
    return str(value)

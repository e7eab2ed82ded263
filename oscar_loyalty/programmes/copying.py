"""
Everything that belongs to a version, copied to another one.

A part of a version is whatever is deleted with it: a table with a foreign key to it that cascades. They are
found by that, not by a list, so that a room above this one adds a table and it is copied. A model may name
columns that a copy does not take over in ``not_copied``: what happened to a row, not what staff decided.
"""

from collections.abc import Callable, Collection, Iterator
from typing import Any

from django.db import models

from oscar_loyalty.programmes.models import ProgrammeVersion


def list_parts(of: type[models.Model] = ProgrammeVersion) -> list[tuple[type[models.Model], str]]:
    """Models whose rows are deleted with a row of ``of``, each with the name of its foreign key."""
    return [
        (relation.related_model, relation.field.name)
        for relation in of._meta.get_fields(include_hidden=True)
        if isinstance(relation, models.ManyToOneRel) and relation.on_delete is models.CASCADE
    ]


def copy_parts(
    *,
    source: ProgrammeVersion,
    target: ProgrammeVersion,
    leave_out: Collection[type[models.Model]] = (),
    save: Callable[[models.Model], None] | None = None,
) -> None:
    """Give ``target`` a copy of each part of ``source``, and of the parts of these. Call in a transaction."""
    _copy(source, target, leave_out=leave_out, save=save or _insert)


def _copy(
    source: models.Model,
    target: models.Model,
    *,
    leave_out: Collection[type[models.Model]],
    save: Callable[[models.Model], None],
) -> None:
    for model, key in list_parts(type(source)):
        if model in leave_out:
            continue
        for row in _rows(model, key, source):
            copy = as_new(row)
            setattr(copy, key, target)
            save(copy)
            _copy(row, copy, leave_out=leave_out, save=save)


def _rows(model: type[models.Model], key: str, whole: models.Model) -> Iterator[models.Model]:
    return iter(model._default_manager.filter(**{key: whole}).order_by("pk"))


def as_new(row: models.Model) -> models.Model:
    """The values of a row as one that is not saved yet. What must be unique is made anew."""
    reset = getattr(row, "not_copied", ())
    values: dict[str, Any] = {}
    for field in row._meta.concrete_fields:
        if field.primary_key or field.name in reset or (field.unique and not field.is_relation):
            continue
        values[field.attname] = getattr(row, field.attname)
    return type(row)(**values)


def _insert(row: models.Model) -> None:
    row.save(force_insert=True)

"""A new version has a copy of everything that belongs to the one it is based on."""

import datetime
from decimal import Decimal

import pytest
from django.apps import apps
from django.db import models

from oscar_loyalty.programmes.copying import list_parts
from oscar_loyalty.programmes.models import ProgrammeVersion
from oscar_loyalty.programmes.services import create_draft, set_up_programme

#: What cannot be filled in beside the rest of a row.
TOGETHER = {"EarningRule": {"event_code": "", "cap_member_points": 5, "cap_member_period": "DAY"}}
#: Tables that name a version and are no part of it: reports about it, for example.
NO_PARTS: set[str] = set()
NOW = datetime.datetime(2026, 3, 10, tzinfo=datetime.UTC)


def naming_a_version():
    return {
        model
        for model in apps.get_app_config("oscar_loyalty").get_models(include_auto_created=True)
        for field in model._meta.concrete_fields
        if field.is_relation and field.related_model is ProgrammeVersion and model is not ProgrammeVersion
    }


def parts():
    found, todo = {}, [ProgrammeVersion]
    while todo:
        for model, key in list_parts(todo.pop()):
            assert model not in found, f"{model.__name__} belongs to two things: it would be copied twice"
            found[model] = key
            todo.append(model)
    return found


def filled(model, number, **values):
    """A row with something in every column."""
    makes = {
        models.CharField: lambda field: (
            field.choices[0][0] if field.choices else f"x{number}"[: field.max_length]
        ),
        models.DecimalField: lambda _field: Decimal(number),
        models.JSONField: lambda _field: {"a": number},
        models.BooleanField: lambda _field: True,
        models.IntegerField: lambda _field: number,
        models.DateTimeField: lambda _field: NOW + datetime.timedelta(days=number),
        models.DateField: lambda _field: NOW.date(),
        models.TextField: lambda _field: f"x{number}",
        models.UUIDField: lambda field: field.get_default(),
        models.DurationField: lambda _field: datetime.timedelta(days=number),
        models.TimeField: lambda _field: NOW.time(),
    }
    for field in model._meta.concrete_fields:
        if field.primary_key or field.name in values or field.is_relation:
            continue
        make = next(made for kind, made in makes.items() if isinstance(field, kind))
        values[field.name] = make(field)
    return model.objects.create(**values)


def content(rows, key):
    return [
        {
            field.attname: getattr(row, field.attname)
            for field in row._meta.concrete_fields
            if not field.primary_key
            and field.name != key
            and not (field.unique and not field.is_relation)
            and field.name not in getattr(row, "not_copied", ())
        }
        for row in rows
    ]


def test_every_table_that_names_a_version_is_a_part_of_it_or_is_known_not_to_be_one():
    assert {model for model in naming_a_version() if model.__name__ not in NO_PARTS} <= set(parts())


def test_parts_of_versions_have_no_many_to_many():
    assert [model for model in parts() if model._meta.many_to_many] == []


@pytest.mark.django_db
@pytest.mark.parametrize("model", sorted(parts(), key=lambda model: model.__name__), ids=lambda m: m.__name__)
def test_a_draft_gets_a_copy_of(model):
    programme = set_up_programme(
        code="default", name="Points", time_zone="UTC", currencies=[], terms_version="1", now=NOW
    )
    key = parts()[model]
    assert model._meta.get_field(key).related_model is ProgrammeVersion, "give it a whole to belong to"
    old = programme.versions.get()
    many = not model._meta.get_field(key).unique
    for number in range(1, 3 if many else 2):
        filled(model, number, **{key: old}, **TOGETHER.get(model.__name__, {}))
    new = create_draft(based_on=old)
    copies = model.objects.filter(**{key: new}).order_by("pk")
    assert len(copies) == (2 if many else 1)
    originals = model.objects.filter(**{key: old}).order_by("pk")
    assert content(copies, key) == content(originals, key)
    assert not {row.pk for row in copies} & {row.pk for row in originals}


@pytest.mark.django_db
def test_what_happened_to_a_row_is_not_copied(monkeypatch):
    from oscar_loyalty.programmes.copying import as_new
    from oscar_loyalty.tiers.models import TierPerk

    monkeypatch.setattr(TierPerk, "not_copied", ("uses_per_period",), raising=False)
    assert as_new(TierPerk(tier_code="gold", uses_per_period=3)).uses_per_period is None

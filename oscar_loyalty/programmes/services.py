from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from oscar_loyalty.programmes.models import CurrencyRate, Programme, ProgrammeVersion


class VersionInForce(ValueError):
    """A version that has come into force cannot be changed: publish a new one."""


def publish_version(
    *, version: ProgrammeVersion, rates: list[CurrencyRate], active_from: datetime, now: datetime
) -> ProgrammeVersion:
    """
    Store ``version`` as the newest one of its programme, in force from ``active_from``.

    Give it the rows of an older version to build on: keys are assigned here. A moment in the past is
    moved to ``now``, because orders were already placed under the version of that time.
    """
    with transaction.atomic():
        programme = Programme.objects.select_for_update().get(pk=version.programme_id)
        latest = programme.versions.order_by("-number").first()
        version.pk = None
        version._state.adding = True
        version.number = latest.number + 1 if latest else 1
        version.active_from = max(active_from, now) if latest else active_from
        version.save(force_insert=True)
        for rate in rates:
            rate.pk = None
            rate._state.adding = True
            rate.version = version
            rate.save(force_insert=True)
    return version


def revise_version(*, version: ProgrammeVersion, now: datetime) -> ProgrammeVersion:
    """
    Store a changed version that has not come into force yet. A moment in the past is moved to ``now``.

    :raises VersionInForce: it has come into force meanwhile; nothing was written
    """
    with transaction.atomic():
        Programme.objects.select_for_update().get(pk=version.programme_id)
        if ProgrammeVersion.objects.filter(pk=version.pk, active_from__lte=now).exists():
            raise VersionInForce(version.pk)
        version.active_from = max(version.active_from, now)
        version.save()
    return version


def set_up_programme(
    *,
    code: str,
    name: str,
    time_zone: str,
    currencies: list[str],
    terms_version: str,
    now: datetime,
    promises: Mapping[str, Any] | None = None,
) -> Programme:
    """
    Make the programme with a first version of sensible defaults, unless it is there: 1 point for every
    unit of money, 100 points save one unit, spendable after 14 days, gone after 36 months. ``promises``
    are other values of the version's columns.
    """
    programme, _created = Programme.objects.get_or_create(
        code=code, defaults={"name": name, "time_zone": time_zone}
    )
    if not programme.versions.exists():
        publish_version(
            version=ProgrammeVersion(programme=programme, terms_version=terms_version, **(promises or {})),
            rates=[CurrencyRate(currency=currency) for currency in currencies],
            active_from=now,
            now=now,
        )
    return programme

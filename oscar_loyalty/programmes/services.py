"""Writing of programmes and their versions. The row of the programme is the lock of all of it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction

from oscar_loyalty.programmes.copying import as_new, copy_parts
from oscar_loyalty.programmes.models import CurrencyRate, Programme, ProgrammeVersion
from oscar_loyalty.programmes.queries import is_editable, list_published


class VersionInForce(ValueError):
    """A version that has come into force cannot be changed: publish a new one."""


class NotADraft(ValueError):
    """The version is scheduled, in force or archived already: perhaps somebody else was faster."""


class MomentTaken(ValueError):
    """Another version of the programme comes into force at the same moment."""


def publish_version(
    *,
    version: ProgrammeVersion,
    rates: list[CurrencyRate],
    active_from: datetime,
    now: datetime,
    based_on: ProgrammeVersion | None = None,
) -> ProgrammeVersion:
    """
    Store ``version`` as the newest one of its programme, in force from ``active_from``.

    Give it the rows of an older version to build on: keys are assigned here. Whatever else belongs to
    ``based_on`` is copied. A moment in the past is moved to ``now``, because orders were already placed
    under the version of that time.
    """
    with transaction.atomic():
        add_draft(version=version, rates=rates, based_on=based_on)
        if list_published(programme_id=version.programme_id).exists():
            active_from = max(active_from, now)
        _put_into_force(version, active_from)
    return version


def add_draft(
    *,
    version: ProgrammeVersion,
    rates: Sequence[CurrencyRate],
    based_on: ProgrammeVersion | None = None,
) -> ProgrammeVersion:
    """Store ``version`` with its ``rates`` as a draft; whatever else belongs to ``based_on`` is copied."""
    with transaction.atomic():
        _lock(version.programme_id)
        # A locking read sees what was committed while we waited, at every level of isolation.
        versions = ProgrammeVersion.objects.select_for_update().filter(programme=version.programme_id)
        latest = versions.order_by("-number").first()
        version.pk = None
        version._state.adding = True
        version.number = latest.number + 1 if latest else 1
        version.active_from = version.archived_at = None
        version.save(force_insert=True)
        for rate in rates:
            rate.pk = None
            rate._state.adding = True
            rate.version = version
            rate.save(force_insert=True)
        if based_on is not None:
            copy_parts(source=based_on, target=version, leave_out=(CurrencyRate,))
    return version


def create_draft(*, based_on: ProgrammeVersion, note: str = "") -> ProgrammeVersion:
    """A draft that is the same as ``based_on`` in all that belongs to it."""
    copy = as_new(based_on)
    assert isinstance(copy, ProgrammeVersion)
    copy.note = note
    rates = list(based_on.rates.order_by("currency"))
    return add_draft(version=copy, rates=rates, based_on=based_on)


def schedule_version(*, version_id: int, active_from: datetime, now: datetime) -> ProgrammeVersion:
    """
    Let a draft come into force at a moment; one in the past is moved to ``now``. However often it is
    asked for at once, it happens once.

    :raises NotADraft: it is none any more; nothing was written
    :raises MomentTaken: another version comes into force at that moment
    """
    with transaction.atomic():
        version = _lock_version(version_id)
        if version.active_from is not None or version.archived_at is not None:
            raise NotADraft(version.pk)
        active_from = max(active_from, now)
        if list_published(programme_id=version.programme_id).filter(active_from=active_from).exists():
            raise MomentTaken(active_from)
        _put_into_force(version, active_from)
    return version


def publish_now(*, version_id: int, now: datetime) -> ProgrammeVersion:
    """Let a draft come into force at once. Raises what :func:`schedule_version` does."""
    return schedule_version(version_id=version_id, active_from=now, now=now)


def unschedule_version(*, version_id: int, now: datetime) -> ProgrammeVersion:
    """
    Make a draft again of what has not come into force yet; a draft stays one.

    :raises VersionInForce: it has come into force meanwhile; nothing was written
    """
    with transaction.atomic():
        version = lock_editable_version(version_id=version_id, now=now)
        version.active_from = None
        version.save(update_fields=["active_from"])
    return version


def archive_draft(*, version_id: int, now: datetime) -> ProgrammeVersion:
    """
    Put a draft away; once is enough. :func:`restore_draft` brings it back.

    :raises NotADraft: it is scheduled or in force
    """
    with transaction.atomic():
        version = _lock_version(version_id)
        if version.active_from is not None:
            raise NotADraft(version.pk)
        version.archived_at = version.archived_at or now
        version.save(update_fields=["archived_at"])
    return version


def restore_draft(*, version_id: int) -> ProgrammeVersion:
    """Take a draft out of the archive."""
    with transaction.atomic():
        version = _lock_version(version_id)
        version.archived_at = None
        version.save(update_fields=["archived_at"])
    return version


def lock_editable_version(*, version_id: int, now: datetime) -> ProgrammeVersion:
    """
    A version that may still change, which it does until the transaction ends: nobody publishes it
    meanwhile. For whatever writes something that belongs to a version.

    :raises VersionInForce: it has come into force, or is archived
    """
    version = _lock_version(version_id)
    if not is_editable(version, now=now):
        raise VersionInForce(version.pk)
    return version


def revise_version(*, version: ProgrammeVersion, now: datetime) -> ProgrammeVersion:
    """
    Store a changed version that has not come into force yet. A moment in the past is moved to ``now``;
    whether it is a draft is not changed here.

    :raises VersionInForce: it has come into force meanwhile; nothing was written
    """
    with transaction.atomic():
        stored = lock_editable_version(version_id=version.pk, now=now)
        if stored.active_from is None or version.active_from is None:
            version.active_from = stored.active_from
        else:
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
    are other values of the version's columns. Drafts are no promise: they do not count as a version.
    """
    programme, _created = Programme.objects.get_or_create(
        code=code, defaults={"name": name, "time_zone": time_zone}
    )
    if not list_published(programme_id=programme.pk).exists():
        publish_version(
            version=ProgrammeVersion(programme=programme, terms_version=terms_version, **(promises or {})),
            rates=[CurrencyRate(currency=currency) for currency in currencies],
            active_from=now,
            now=now,
        )
    return programme


def _lock(programme_id: int) -> Programme:
    return Programme.objects.select_for_update().get(pk=programme_id)


def _lock_version(version_id: int) -> ProgrammeVersion:
    """A version under the lock of its programme, as it is now that the lock is held."""
    programme = _lock(ProgrammeVersion.objects.values_list("programme_id", flat=True).get(pk=version_id))
    # A locking read, because a plain one may show what was the case before we waited for the lock.
    version = ProgrammeVersion.objects.select_for_update().get(pk=version_id)
    version.programme = programme
    return version


def _put_into_force(version: ProgrammeVersion, active_from: datetime) -> None:
    version.active_from = active_from
    version.save(update_fields=["active_from"])

"""A shop starts with the programme, and can let go of it again."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from oscar_loyalty.points.models import Hold
from oscar_loyalty.points.queries import list_open_holds
from oscar_loyalty.points.services import release_hold
from oscar_loyalty.programmes.models import Programme, ProgrammeVersion
from oscar_loyalty.programmes.queries import list_published
from oscar_loyalty.programmes.services import set_up_programme
from oscar_loyalty.returns.services import make_first_policies
from oscar_loyalty.shop import carriers, mail, offers


@dataclass(frozen=True, kw_only=True)
class SetUp:
    """What a set-up made and what it found: ``currencies`` have a rate in the newest version."""

    programme: Programme
    version: ProgrammeVersion
    currencies: list[str]
    currencies_without_rate: list[str]
    programme_made: bool
    offer_made: bool
    mails_made: int
    policies_made: int = 0


def set_up_shop(
    *,
    code: str,
    name: str,
    time_zone: str,
    currencies: list[str],
    terms_version: str,
    promises: Mapping[str, Any],
    returns: Mapping[str, Any] | None = None,
    now: datetime,
) -> SetUp:
    """
    Make whatever the programme needs in the database and is not there yet; safe to repeat. ``returns``: terms
    of a return policy for each currency that has none; ``None``: none is made.
    """
    with transaction.atomic():
        programme_made = not Programme.objects.filter(code=code, versions__active_from__isnull=False).exists()
        programme = set_up_programme(
            code=code,
            name=name,
            time_zone=time_zone,
            currencies=currencies,
            terms_version=terms_version,
            promises=promises,
            now=now,
        )
        version = list_published(programme_id=programme.pk).first()
        assert version is not None
        rated = sorted(version.rates.values_list("currency", flat=True))
        offer_made = offers.find_offer() is None
        offers.ensure_offer()
        carriers.align_offers(now=now)
        return SetUp(
            programme=programme,
            version=version,
            currencies=rated,
            currencies_without_rate=[currency for currency in currencies if currency not in rated],
            programme_made=programme_made,
            offer_made=offer_made,
            mails_made=mail.ensure_mail_types(),
            policies_made=0
            if returns is None
            else make_first_policies(programme_id=programme.pk, currencies=rated, terms=returns, now=now),
        )


@dataclass(frozen=True, kw_only=True)
class Removed:
    holds: int
    offers: int


def remove_from_shop(*, now: datetime) -> Removed:
    """
    Let go of the shop before the app is taken out of it: give reserved points back and delete the offer,
    which would break every basket without the app's code. Ledger and members stay. Safe to repeat;
    :func:`set_up_shop` brings it back.
    """
    with transaction.atomic():
        removed = offers.remove_offers() + carriers.remove_offers()
        holds = 0
        if _has_ledger():
            for ref in list(list_open_holds().values_list("ref", flat=True)):
                holds += bool(release_hold(ref=ref, now=now))
        return Removed(holds=holds, offers=removed)


def _has_ledger() -> bool:
    """Whether the ledger's tables are there: they may have been deleted first."""
    return Hold._meta.db_table in connection.introspection.table_names()

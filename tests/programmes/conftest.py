from datetime import UTC, datetime

import pytest

from oscar_loyalty.programmes.models import CurrencyRate, ProgrammeVersion
from oscar_loyalty.programmes.services import publish_version, set_up_programme

START = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


@pytest.fixture
def programme(db):
    return set_up_programme(
        code="default",
        name="Points",
        time_zone="Europe/Berlin",
        currencies=["EUR", "CHF"],
        terms_version="1",
        now=START,
    )


@pytest.fixture
def live(programme):
    return programme.versions.get()


def publish(programme, *, at, now=NOW, **terms):
    return publish_version(
        version=ProgrammeVersion(programme=programme, terms_version="2", **terms),
        rates=[CurrencyRate(currency="EUR")],
        active_from=at,
        now=now,
    )

from datetime import UTC, datetime

import pytest
from django.db import connection

from oscar_loyalty.members.models import Member
from oscar_loyalty.points.models import Account
from oscar_loyalty.points.services import open_account
from oscar_loyalty.programmes.models import Programme

# What only PostgreSQL has is no test elsewhere.
collect_ignore = [] if connection.vendor == "postgresql" else ["test_fast_path.py"]

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


@pytest.fixture
def programme(db) -> Programme:
    return Programme.objects.create(code="default", name="Points", time_zone="Europe/Berlin")


@pytest.fixture
def account(programme) -> Account:
    member = Member.objects.create(joined_at=NOW, terms_version="1", terms_accepted_at=NOW)
    return open_account(member_id=member.pk, programme_id=programme.pk)

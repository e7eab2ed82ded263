"""The clock jumps, ends summer time, or the programme moves: points expire at their moment, not before."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from oscar_loyalty.points import services
from oscar_loyalty.points.models import Entry, Lot
from oscar_loyalty.programmes.models import Programme
from oscar_loyalty.testing.ledger import assert_ledger_balanced
from tests.faults.requests import NOW, START, make_accounts, redeem
from tests.faults.test_numbers_and_texts import _award

pytestmark = [pytest.mark.database, pytest.mark.django_db]
BERLIN = ZoneInfo("Europe/Berlin")
SECOND = timedelta(seconds=1)


@pytest.fixture
def account(db):
    return make_accounts(1)[0]


def lot_of(entry) -> Lot:
    return Lot.objects.get(postings__entry=entry)


def settle(account, now):
    services.settle_account(account_id=account.pk, now=now)
    account.refresh_from_db()
    assert_ledger_balanced(account)
    return account


@pytest.mark.parametrize(
    ("active", "months", "expires"),
    [
        # A day ends at midnight where the programme is, whatever the offset is by then.
        (datetime(2026, 2, 28, 12, tzinfo=BERLIN), 1, datetime(2026, 3, 29, tzinfo=BERLIN)),
        (datetime(2026, 9, 25, 12, tzinfo=BERLIN), 1, datetime(2026, 10, 26, tzinfo=BERLIN)),
        (datetime(2026, 3, 29, 1, 59, 59, tzinfo=BERLIN), 12, datetime(2027, 3, 30, tzinfo=BERLIN)),
        (datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN), 12, datetime(2027, 10, 26, tzinfo=BERLIN)),
        (datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1), 12, datetime(2027, 10, 26, tzinfo=BERLIN)),
        (datetime(2028, 2, 29, 12, tzinfo=BERLIN), 12, datetime(2029, 3, 1, tzinfo=BERLIN)),
        (datetime(2027, 2, 28, 12, tzinfo=BERLIN), 12, datetime(2028, 2, 29, tzinfo=BERLIN)),
        (datetime(2026, 3, 10, 23, 59, 59, tzinfo=BERLIN), 1, datetime(2026, 4, 11, tzinfo=BERLIN)),
    ],
)
def test_points_expire_at_the_second_and_not_before(account, active, months, expires):
    Programme.objects.update(time_zone="Europe/Berlin")
    now = active - timedelta(days=1)
    lot = lot_of(_award(account, 40, active_at=active, expiry_months=months, now=now))
    assert lot.expires_at == expires
    start = settle(account, active - SECOND).available
    assert settle(account, active).available == start + 40
    assert settle(account, expires - SECOND).available == start + 40
    assert settle(account, expires).available == start
    assert settle(account, expires + SECOND).expired == 40


def test_a_clock_that_jumps_ahead_and_back_books_nothing_twice(account):
    active = NOW + timedelta(days=14)
    lot = lot_of(_award(account, 40, active_at=active, expiry_months=1))
    start = settle(account, NOW).available
    for now, available, expired in (
        (active + SECOND, start + 40, 0),
        (NOW, start + 40, 0),
        (active - SECOND, start + 40, 0),
        (lot.expires_at, start, 40),
        (NOW, start, 40),
        (active, start, 40),
        (lot.expires_at + SECOND, start, 40),
    ):
        settle(account, now)
        assert (account.available, account.expired) == (available, expired)
    kinds = Entry.objects.filter(account=account, postings__lot=lot).values_list("kind", flat=True)
    assert list(kinds.order_by("seq")) == ["EARN", "ACTIVATE", "EXPIRE"]


def test_points_that_expired_on_a_clock_gone_wrong_cannot_be_spent_when_it_is_right_again(account):
    lot = lot_of(_award(account, 40, active_at=NOW + SECOND, expiry_months=1))
    settle(account, lot.expires_at)
    assert settle(account, NOW + SECOND).available == START
    lot.refresh_from_db()
    assert (lot.remaining, lot.expired) == (0, 40)
    with pytest.raises(services.InsufficientPoints):
        redeem(account.pk, START + 1, key="too much", now=NOW + SECOND)


def test_points_keep_their_expiry_when_the_programme_moves_to_another_time_zone(account):
    active = datetime(2026, 3, 20, 12, tzinfo=BERLIN)
    old = lot_of(_award(account, 40, active_at=active, expiry_months=1))
    Programme.objects.update(time_zone="Pacific/Auckland")
    new = lot_of(
        _award(account, 5, idempotency_key="new", source_ref="order:new", active_at=active, expiry_months=1)
    )
    assert old.expires_at == datetime(2026, 4, 21, tzinfo=BERLIN)
    # There it is the 21st already when it is noon of the 20th in Berlin.
    assert new.expires_at == datetime(2026, 4, 22, tzinfo=ZoneInfo("Pacific/Auckland")).astimezone(UTC)
    assert settle(account, old.expires_at - SECOND).expired == 0
    assert settle(account, old.expires_at).expired == 40
    assert settle(account, new.expires_at - SECOND).expired == 40
    assert settle(account, new.expires_at).expired == 45

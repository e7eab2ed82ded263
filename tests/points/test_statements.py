"""What a booking costs: statements without BEGIN, COMMIT and SAVEPOINT, when nothing is due."""

from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from django.db import connection

from oscar_loyalty.points import services
from oscar_loyalty.points.models import Account
from oscar_loyalty.points.queries import get_balance
from oscar_loyalty.points.rules import LineEarning, share_out
from oscar_loyalty.programmes.rules import FAR_FUTURE

from .conftest import NOW

pytestmark = [pytest.mark.database, pytest.mark.django_db]

LATER = NOW + timedelta(days=1)
TRANSACTIONS = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE", "ROLLBACK")


@contextmanager
def statements():
    """The statements that were sent meanwhile."""
    sent = []

    def note(execute, sql, params, many, context):
        if not sql.startswith(TRANSACTIONS):
            sent.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield sent


@pytest.fixture
def portable_path(settings):
    settings.OSCAR_LOYALTY_FAST_PATH = False


def award(account, points, *, number, active_at=NOW, lines=0, now=NOW):
    return services.award_points(
        account_id=account.pk,
        points=points,
        idempotency_key=f"purchase:{number}",
        source_ref=f"order:{number}",
        order_ref=str(number),
        active_at=active_at,
        expiry_months=36,
        unit_value=Decimal("0.01"),
        currency="EUR",
        lines=[
            LineEarning(ref=f"{line}", basis=Decimal(1), points=share)
            for line, share in enumerate(share_out(points, [Fraction(1)] * lines))
        ],
        explanation={"rule": "PURCHASE"},
        now=now,
    )


def hold(account, points, *, ref="basket:1", now=LATER):
    return services.hold_points(
        account_id=account.pk,
        ref=ref,
        requested=points,
        currency="EUR",
        expires_at=now + timedelta(minutes=30),
        now=now,
    )


def capture(points, *, now=LATER):
    return services.capture_hold(
        ref="basket:1", points=points, amount=Decimal(points) / 100, order_ref="100", now=now
    )


@pytest.mark.usefixtures("portable_path")
@pytest.mark.parametrize("active_at", [FAR_FUTURE, NOW + timedelta(days=14)])
def test_an_award_with_lines_takes_eight_statements_at_most(account, active_at):
    with statements() as sent:
        award(account, 30, number=1, active_at=active_at, lines=10)
    assert len(sent) <= 8, sent


@pytest.mark.usefixtures("portable_path")
@pytest.mark.parametrize("before", [0, 10])
def test_a_reservation_takes_six_statements_at_most(account, before):
    award(account, 100, number=1)
    if before:
        hold(account, before)
    with statements() as sent:
        hold(account, 60)
    assert len(sent) <= 6, sent


@pytest.mark.usefixtures("portable_path")
@pytest.mark.parametrize("lots", [1, 2, 4, 30])
def test_a_redemption_takes_eight_statements_and_no_more_than_three_for_many_lots(account, lots):
    for number in range(lots):
        award(account, 10, number=number)
    hold(account, 10 * lots)
    with statements() as sent:
        capture(10 * lots)
    # The lots are written in one statement and read in chunks of 4, 16, 64 …
    assert len(sent) <= 8 + min(lots, 3), sent


@pytest.mark.usefixtures("portable_path")
def test_only_as_many_lots_are_read_as_are_needed(account):
    for number in range(30):
        award(account, 10, number=number)
    hold(account, 40)
    with statements() as sent:
        capture(40)
    assert sum("expires_at" in sql and "LIMIT" in sql and "remaining" in sql for sql in sent) == 1, sent


def test_a_balance_takes_one_statement(account):
    award(account, 100, number=1)
    with statements() as sent:
        balance = get_balance(account=Account.objects.get(pk=account.pk), now=LATER)
    assert (balance.available, len(sent)) == (100, 1)

"""Due accounts in batches: the same rows as one account at a time, whoever else is at work."""

from datetime import timedelta
from decimal import Decimal
from importlib import import_module

import hypothesis.strategies as st
import pytest
from django.db import connection, transaction
from django.test import override_settings
from hypothesis import HealthCheck, given, settings

from oscar_loyalty.flows.expiry import settle_due_accounts
from oscar_loyalty.members.models import Member
from oscar_loyalty.outbox.models import OutboxMessage
from oscar_loyalty.points import services, settling
from oscar_loyalty.points.audit import audit_account
from oscar_loyalty.points.models import COUNTERS, LOT_COLUMNS, Account, Entry, Hold, Lot, Posting
from oscar_loyalty.programmes.models import Programme
from oscar_loyalty.programmes.rules import FAR_FUTURE

from .conftest import NOW

DAY = timedelta(days=1)
pytestmark = pytest.mark.database


@pytest.fixture
def function(db):
    """
    What the migration installs is not there when tests make the tables without migrations. Engines
    without functions of ours settle one by one either way.
    """
    if connection.vendor != "postgresql":
        assert not settling.has_function()
        return
    for name in ("0003_postgresql_functions", "0004_settling_functions"):
        migration = import_module(f"oscar_loyalty.migrations.{name}")
        with connection.cursor() as cursor:
            cursor.execute(migration.SQL.read_text(encoding="utf-8"))
    assert settling.has_function()


def open_account(programme):
    member = Member.objects.create(joined_at=NOW, terms_version="1", terms_accepted_at=NOW)
    return services.open_account(member_id=member.pk, programme_id=programme.pk)


def award(account, number, *, points=100, active_at=NOW + DAY, months=12, now=NOW, source="order"):
    return services.award_points(
        account_id=account.pk,
        points=points,
        idempotency_key=f"purchase:{number}",
        source_ref=f"{source}:{number}",
        active_at=active_at,
        expiry_months=months,
        unit_value=Decimal("0.01"),
        currency="EUR",
        now=now,
    )


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["award", "award", "award", "hold", "spend", "claw back", "pass"]),
        st.integers(1, 400),
        st.integers(0, 40),
        st.sampled_from([1, 2, 12, None]),
        st.sampled_from(["order", "gift"]),
    ),
    min_size=1,
    max_size=9,
)


def live_through(account, actions):
    """Some time in the life of an account; returns when it ends. Nothing is settled for its own sake."""
    now, earned = NOW, []
    for number, (what, points, days, months, source) in enumerate(actions):
        if what == "award":
            active_at = FAR_FUTURE if days == 40 else now + days * DAY
            earned.append(
                award(
                    account, number, points=points, active_at=active_at, months=months, now=now, source=source
                )
            )
        elif what in ("hold", "spend"):
            try:
                held = services.hold_points(
                    account_id=account.pk,
                    ref="basket:1",
                    requested=points,
                    currency="EUR",
                    expires_at=now + DAY,
                    now=now,
                )
            except services.InsufficientPoints:
                continue
            if what == "spend":
                services.capture_hold(
                    ref="basket:1",
                    points=held.points,
                    amount=Decimal(1),
                    order_ref=f"{account.pk}-{number}",
                    now=now,
                )
        elif what == "claw back" and earned:
            services.clawback_points(
                account_id=account.pk, earned=earned.pop(), idempotency_key=f"cancel:{number}", now=now
            )
        else:
            now += days * DAY
    return now


def told(account):
    """Everything that is stored of an account, without what is drawn by lot or counted up."""
    lots = {lot.pk: number for number, lot in enumerate(Lot.objects.filter(account=account).order_by("pk"))}
    row = Account.objects.get(pk=account.pk)
    entries = Entry.objects.filter(account=account).order_by("seq")

    def text(value):
        for lot in Lot.objects.filter(account=account):
            value = value.replace(str(lot.public_id), f"lot {lots[lot.pk]}")
        return value

    return (
        {name: getattr(row, name) for name in (*COUNTERS, "seq", "due_at", "status")},
        [
            [getattr(lot, name) for name in (*LOT_COLUMNS, "amount", "open", "active_at", "expires_at")]
            for lot in Lot.objects.filter(account=account).order_by("pk")
        ],
        [
            (
                *(entry.kind, text(entry.idempotency_key), entry.fingerprint),
                *(entry.points, entry.seq, entry.available_after, entry.effective_at, entry.created_at),
                *(entry.actor_ref, entry.reason_code, entry.explanation, entry.reverses_id is None),
                [
                    (posting.debit, posting.credit, posting.points, lots.get(posting.lot_id))
                    for posting in Posting.objects.filter(entry=entry).order_by("pk")
                ],
                list(
                    OutboxMessage.objects.filter(key=f"points_posted:{entry.public_id}").values_list(
                        "topic", "payload__kind", "created_at", "available_at", "waiting", "attempts"
                    )
                ),
            )
            for entry in entries
            if entry.kind in ("ACTIVATE", "EXPIRE", "REPAY")
        ],
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories=st.lists(ACTIONS, min_size=1, max_size=4), wait=st.integers(0, 500))
def test_a_batch_leaves_the_rows_that_one_account_at_a_time_leaves(function, histories, wait):
    with transaction.atomic():
        programme = Programme.objects.create(code="default", name="Points", time_zone="Europe/Berlin")
        with override_settings(OSCAR_LOYALTY_FAST_PATH=False):
            pairs = []
            for actions in histories:
                pair = []
                for _ in range(2):
                    account = open_account(programme)
                    end = live_through(account, actions)
                    # A basket is held by one member at a time.
                    Hold.objects.filter(account=account, open_key="basket:1").update(
                        open_key=f"basket of {account.pk}"
                    )
                    pair.append(account)
                pairs.append((*pair, end))
            now = max(end for _, _, end in pairs) + wait * DAY
            for one, _other, _ in pairs:
                services.settle_account(account_id=one.pk, now=now)
        settled = sum(some.accounts for some in settling.settle_in_batches(now=now, batch=3))
        assert settled <= len(pairs)
        for one, other, _ in pairs:
            assert told(one) == told(other)
            assert audit_account(other.pk, announced_since=NOW) == []
        transaction.set_rollback(True)


@pytest.fixture(params=["in batches", "one by one"])
def way(request, db):
    if request.param == "in batches":
        request.getfixturevalue("function")
        yield request.param
    else:
        with override_settings(OSCAR_LOYALTY_FAST_PATH=False):
            yield request.param


def test_all_due_accounts_are_settled_once_in_order(programme, way):
    accounts = [open_account(programme) for _ in range(7)]
    for number, account in enumerate(accounts):
        award(account, number, active_at=NOW + (number % 3) * DAY + timedelta(hours=1))
    seen = [some.accounts for some in settling.settle_in_batches(now=NOW + 10 * DAY, batch=2)]
    assert sum(seen) == 7
    assert list(settling.settle_in_batches(now=NOW + 10 * DAY, batch=2)) == []
    assert set(Account.objects.values_list("available", flat=True)) == {100}
    assert all(audit_account(account.pk, announced_since=NOW) == [] for account in accounts)


def test_settling_takes_at_most_about_the_limit_and_tells_how_far_it_is(programme, way):
    for number in range(6):
        award(open_account(programme), number)
    told = []
    assert settle_due_accounts(now=NOW + 2 * DAY, limit=2, on_progress=lambda *now: told.append(now)) == 2
    assert told == [(2, 6)]
    assert settle_due_accounts(now=NOW + 2 * DAY, limit=None) == 4


def test_one_account_that_cannot_be_settled_stops_no_other(programme, way, caplog):
    accounts = [open_account(programme) for _ in range(4)]
    for number, account in enumerate(accounts):
        award(account, number)
    # The counter says less than the lot: the database would not let it go below zero.
    Account.objects.filter(pk=accounts[1].pk).update(pending=0, earned=0)
    assert settle_due_accounts(now=NOW + 2 * DAY) == 3
    assert "could not be settled" in caplog.text
    assert list(Account.objects.order_by("pk").values_list("available", flat=True)) == [100, 0, 100, 100]


def test_accounts_that_are_not_plain_are_settled_too(programme, way):
    indebted, holding = open_account(programme), open_account(programme)
    earned = award(indebted, 1, points=50, active_at=NOW)
    services.hold_points(
        account_id=indebted.pk, ref="b:1", requested=50, currency="EUR", expires_at=NOW + DAY, now=NOW
    )
    services.capture_hold(ref="b:1", points=50, amount=Decimal(1), order_ref="1", now=NOW)
    services.clawback_points(account_id=indebted.pk, earned=earned, idempotency_key="c", now=NOW)
    award(indebted, 2, points=80)
    award(holding, 3, active_at=NOW, months=1)
    services.hold_points(
        account_id=holding.pk, ref="b:2", requested=30, currency="EUR", expires_at=NOW + DAY, now=NOW
    )
    assert settle_due_accounts(now=NOW + 60 * DAY) == 2
    indebted.refresh_from_db()
    holding.refresh_from_db()
    assert (indebted.available, indebted.debt) == (30, 0)
    assert (holding.available, holding.held, holding.expired) == (0, 30, 70)
    assert audit_account(indebted.pk) == audit_account(holding.pk) == []

"""What is due is settled first, points are taken in order, and what is written says why and when."""

from datetime import timedelta
from decimal import Decimal

import pytest

from oscar_loyalty.outbox.models import OutboxMessage
from oscar_loyalty.points import services
from oscar_loyalty.points.errors import LedgerInconsistent
from oscar_loyalty.points.models import Account, Entry, Lot
from oscar_loyalty.points.rules import LineEarning
from oscar_loyalty.programmes.models import Programme
from oscar_loyalty.programmes.rules import FAR_FUTURE

from .conftest import NOW
from .test_moving import clawback, make_account, merge, owe, owe_beside_a_reservation, standing, transfer
from .test_services import adjust, award, capture, hold

DAY = timedelta(days=1)


@pytest.fixture
def other(programme) -> Account:
    return make_account(programme)


def settle(account, *, now):
    services.settle_account(account_id=account.pk, now=now)


# What is due


def test_single_points_become_spendable_and_expire_one_by_one(account):
    for number in (1, 2):
        award(account, 1, key=f"purchase:{number}", active_at=NOW + number * DAY, months=number)
    settle(account, now=NOW + DAY)
    assert standing(account) == (1, 1, 0, 0)
    settle(account, now=NOW + 2 * DAY)
    assert standing(account) == (0, 2, 0, 0)
    first, second = Lot.objects.order_by("pk").values_list("expires_at", flat=True)
    settle(account, now=first)
    assert standing(account) == (0, 1, 0, 0)
    hold(account, 1, now=first)
    capture(1, now=first)
    assert standing(account) == (0, 0, 0, 0)
    settle(account, now=second)
    assert (account.spent, account.expired) == (1, 1)


def test_a_single_point_that_nobody_spends_is_gone_at_its_moment(account):
    award(account, 1, active_at=NOW + DAY, months=1)
    settle(account, now=NOW + DAY)
    settle(account, now=Lot.objects.get().expires_at)
    assert standing(account) == (0, 0, 0, 0)
    assert account.expired == 1


def test_a_day_ends_where_the_programme_is(account):
    elsewhere = make_account(Programme.objects.create(code="other", name="Other", time_zone="Asia/Tokyo"))
    for one in (account, elsewhere):
        award(one, 1, months=1)
    ends = Lot.objects.order_by("pk").values_list("expires_at", flat=True)
    assert [moment.isoformat() for moment in ends] == [
        "2026-04-10T22:00:00+00:00",
        "2026-04-10T15:00:00+00:00",
    ]


def test_a_single_point_is_owed_and_repaid(account):
    owe(account, 1)
    assert standing(account) == (0, 0, 0, 1)
    award(account, 1)
    assert standing(account) == (0, 0, 0, 0)


def test_a_reservation_keeps_of_several_lots_as_much_as_it_holds(account):
    for number in (1, 2, 3):
        award(account, 50, key=f"purchase:{number}", months=number)
    hold(account, 60)
    settle(account, now=NOW + 200 * DAY)
    assert standing(account) == (0, 0, 60, 0)
    assert list(Lot.objects.order_by("expires_at").values_list("remaining", "expired")) == [
        *((50, 0), (10, 40)),
        (0, 50),
    ]


def test_an_account_knows_when_it_is_due_again(account):
    award(account, 10, key="purchase:1", active_at=NOW + 5 * DAY)
    award(account, 10, key="purchase:2", months=1)
    soon = Lot.objects.get(source_ref="order:2").expires_at
    account.refresh_from_db()
    assert account.due_at == NOW + 5 * DAY
    settle(account, now=NOW + 5 * DAY)
    account.refresh_from_db()
    assert account.due_at == soon
    hold(account, 10, now=NOW + 6 * DAY)
    settle(account, now=soon)
    account.refresh_from_db()
    # What a reservation keeps is not due, what became spendable is.
    assert account.due_at == Lot.objects.get(source_ref="order:1").expires_at


@pytest.mark.parametrize("how", ["transfer", "merge"])
def test_what_is_due_on_two_accounts_is_settled_before_points_move(account, other, how):
    award(account, 100, key="purchase:1", active_at=NOW + DAY)
    award(account, 50, key="purchase:2", months=1)
    award(other, 7, key="purchase:3", months=1)
    late = NOW + 60 * DAY
    if how == "transfer":
        transfer(account, other, 100, now=late)
    else:
        merge(account, other, now=late)
    assert standing(account, other) == [(0, 0, 0, 0), (0, 100, 0, 0)]
    assert (account.expired, other.expired) == (50, 7)
    assert set(Entry.objects.filter(kind="EXPIRE").values_list("actor_ref", flat=True)) == {"user:1"}


def test_what_becomes_spendable_repays_and_leaves_a_reservation_its_lot(account):
    reserved = owe_beside_a_reservation(account, 30)
    award(account, 50)
    reserved.refresh_from_db()
    assert reserved.remaining == 30
    assert standing(account) == (0, 20, 30, 0)


# What is taken


@pytest.mark.parametrize("lots", [4, 5, 20, 21])
def test_points_come_from_as_many_lots_as_it_takes(account, lots):
    for number in range(lots):
        award(account, 10, key=f"purchase:{number}")
    hold(account, 10 * lots)
    capture(10 * lots)
    assert standing(account) == (0, 0, 0, 0)
    assert account.spent == 10 * lots


def test_what_its_own_lot_cannot_give_back_comes_from_the_others(account):
    earned = award(account, 100, key="purchase:1", months=12)
    hold(account, 70)
    capture(70)
    for number, months in ((2, 36), (3, 6), (4, 24)):
        award(account, 50, key=f"purchase:{number}", months=months)
    clawback(account, earned)
    assert standing(account) == (0, 80, 0, 0)
    assert list(Lot.objects.order_by("pk").values_list("remaining", flat=True)) == [0, 50, 0, 30]


def test_lots_that_hold_too_few_points_are_an_error_and_nothing_is_written(account):
    award(account, 100)
    hold(account, 60)
    Lot.objects.update(remaining=59, expired=41)
    seq = Account.objects.get().seq
    with pytest.raises(LedgerInconsistent):
        capture(60)
    assert Account.objects.get().seq == seq


# What is written


def test_a_settlement_says_when_it_took_effect_and_of_which_order(account):
    award(account, 100, active_at=NOW + DAY, months=1)
    late = NOW + 90 * DAY
    settle(account, now=late)
    lot = Lot.objects.get()
    entries = Entry.objects.order_by("seq").values_list("kind", "effective_at", "created_at", "order_ref")
    assert list(entries) == [
        ("EARN", NOW, NOW, "1"),
        ("ACTIVATE", lot.active_at, late, "1"),
        ("EXPIRE", lot.expires_at, late, "1"),
    ]


def test_points_that_no_order_earned_name_none_when_they_expire(account, other):
    adjust(account, 50)
    award(other, 50, months=1)
    transfer(other, account, 20)
    settle(account, now=NOW + 4000 * DAY)
    expired = Entry.objects.filter(account=account, kind="EXPIRE")
    assert list(expired.values_list("order_ref", flat=True)) == ["", ""]


def test_news_go_out_of_all_but_reservations(account):
    award(account, 100)
    hold(account, 60)
    services.release_hold(ref="basket:1", now=NOW)
    told = OutboxMessage.objects.order_by("pk").values_list("topic", "payload", "created_at", "available_at")
    entries = Entry.objects.filter(kind__in=["EARN", "ACTIVATE"]).order_by("pk")
    assert list(told) == [
        (
            "points_posted",
            {"entry_id": entry.pk, "member_id": account.member_id, "kind": entry.kind},
            *(NOW, NOW),
        )
        for entry in entries
    ]


@pytest.mark.database
@pytest.mark.parametrize(
    ("line", "values"),
    [
        ({}, {"source_ref": "a\0b"}),
        ({}, {"order_ref": "x" * 129}),
        ({"ref": "\ud800"}, {}),
        ({"rule_code": "\0"}, {}),
    ],
)
def test_what_not_every_engine_stores_is_not_booked(account, line, values):
    with pytest.raises(services.InvalidText):
        services.award_points(
            account_id=account.pk,
            points=10,
            idempotency_key="purchase:1",
            active_at=FAR_FUTURE,
            expiry_months=36,
            unit_value=Decimal("0.01"),
            currency="EUR",
            lines=[LineEarning(**{"ref": "line:1", "basis": Decimal(1), "points": 10, **line})],
            now=NOW,
            **{"source_ref": "order:1", **values},
        )
    assert not Entry.objects.exists()


@pytest.mark.parametrize(
    "values",
    [
        {"order_ref": "a\0b"},
        {"currency": "EURO"},
        {"explanation": {"a": ["\ud800"]}},
        {"explanation": {"\0": 1}},
    ],
)
def test_what_not_every_engine_stores_is_no_repetition_either(account, values):
    terms = {"source_ref": "order:1", "active_at": NOW, "expiry_months": 36, "unit_value": Decimal("0.01")}
    terms |= {"account_id": account.pk, "points": 10, "idempotency_key": "purchase:1", "now": NOW}
    services.award_points(currency="EUR", **terms)
    with pytest.raises(services.InvalidText):
        services.award_points(**{"currency": "EUR", **terms, **values})


def test_of_two_entries_with_one_key_it_is_that_of_the_account_that_was_asked(account, other):
    earned = award(account, 100)
    theirs = award(other, 100)
    first = clawback(account, earned, points=30, key="same")
    second = clawback(other, theirs, points=40, key="same")
    merge(account, other)
    assert clawback(account, earned, points=30, key="same") == first
    assert clawback(other, theirs, points=40, key="same") == second
    assert standing(account, other) == [(0, 0, 0, 0), (0, 130, 0, 0)]

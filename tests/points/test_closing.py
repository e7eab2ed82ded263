from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth import get_user_model

from oscar_loyalty.points import services
from oscar_loyalty.points.models import Account, Adjustment, Entry, Hold, MemberMerge
from oscar_loyalty.points.services import open_account
from oscar_loyalty.programmes.models import Programme
from oscar_loyalty.programmes.rules import FAR_FUTURE

from .conftest import NOW
from .test_moving import make_account, merge, owe, standing
from .test_services import award, hold

TERMS = {"expiry_months": 36, "unit_value": Decimal("0.01"), "currency": "EUR", "now": NOW}


@pytest.fixture
def other(programme) -> Account:
    return make_account(programme)


@pytest.fixture
def clerk(db):
    return get_user_model().objects.create(username="clerk", email="clerk@example.com")


@pytest.fixture
def boss(db):
    return get_user_model().objects.create(username="boss", email="boss@example.com")


def close(account, *, now=NOW):
    return services.close_account(
        account_id=account.pk, idempotency_key="close:1", actor_ref="user:1", now=now
    )


def write_off(account, points=None, *, key="write-off:1"):
    return services.write_off_debt(
        account_id=account.pk,
        points=points,
        reason_code="WRITE_OFF",
        idempotency_key=key,
        actor_ref="user:1",
        now=NOW,
    )


# Closing


def test_closing_gives_up_what_is_left_and_ends_reservations(account):
    award(account, 100, key="purchase:1")
    award(account, 50, key="purchase:2", active_at=NOW + timedelta(days=5))
    hold(account, 30, ref="basket:1")
    hold(account, 30, ref="basket:2")
    close(account)
    assert standing(account) == (0, 0, 0, 0)
    assert (account.status, account.open_key, account.expired) == ("CLOSED", None, 150)
    assert account.due_at == FAR_FUTURE
    assert set(Hold.objects.values_list("state", flat=True)) == {"RELEASED"}
    entry = Entry.objects.get(kind="FORFEIT")
    assert (entry.points, entry.actor_ref) == (150, "user:1")


def test_closing_twice_changes_nothing_more(account):
    award(account, 100)
    close(account)
    seq = close(account).seq
    account.refresh_from_db()
    assert account.seq == seq
    assert standing(account) == (0, 0, 0, 0)


def test_a_deficit_is_written_off_when_its_account_closes(account):
    owe(account, 30)
    award(account, 50, key="purchase:p", active_at=NOW + timedelta(days=3))
    close(account)
    assert standing(account) == (0, 0, 0, 0)
    entry = Entry.objects.get(kind="WRITE_OFF")
    assert (entry.points, entry.reason_code, entry.actor_ref) == (30, "CLOSED", "user:1")


def test_a_released_reservation_repays_before_the_rest_is_given_up(account):
    earned = award(account, 100)
    hold(account, 60)
    services.clawback_points(account_id=account.pk, earned=earned, idempotency_key="c", now=NOW)
    assert standing(account) == (0, 0, 60, 60)
    close(account)
    assert standing(account) == (0, 0, 0, 0)
    assert not Entry.objects.filter(kind__in=["FORFEIT", "WRITE_OFF"]).exists()


def test_a_reservation_that_had_run_out_is_not_renewed_after_closing(account):
    award(account, 100)
    held = hold(account, 30)
    services.release_hold(ref="basket:1", now=NOW + timedelta(hours=1), state="EXPIRED")
    close(account)
    with pytest.raises(services.AccountNotOpen):
        services.renew_hold(hold=held, expires_at=NOW + timedelta(hours=2), now=NOW)
    assert Hold.objects.get().state == "RELEASED"


def test_points_that_had_expired_count_as_expired(account):
    award(account, 100, months=1)
    close(account, now=NOW + timedelta(days=60))
    assert standing(account) == (0, 0, 0, 0)
    assert not Entry.objects.filter(kind="FORFEIT").exists()
    assert Entry.objects.get(kind="EXPIRE").actor_ref == "user:1"


def test_a_closed_account_takes_no_points_and_its_member_can_have_a_new_one(account):
    award(account, 100)
    close(account)
    with pytest.raises(services.AccountNotOpen):
        award(account, 1, key="purchase:2")
    again = open_account(member_id=account.member_id, programme_id=account.programme_id)
    assert again != account
    award(again, 5, key="purchase:3")
    assert standing(account, again) == [(0, 0, 0, 0), (0, 5, 0, 0)]


def test_a_frozen_account_can_be_closed_and_a_merged_one_cannot(account, other):
    Account.objects.filter(pk=account.pk).update(status="FROZEN")
    assert close(account).status == "CLOSED"
    third = open_account(member_id=account.member_id, programme_id=account.programme_id)
    merge(third, other)
    with pytest.raises(services.AccountNotOpen):
        close(third)


# Deficits


def test_a_deficit_is_forgiven_in_part_or_whole(account):
    owe(account, 30)
    entry = write_off(account, 10)
    assert (entry.kind, entry.reason_code, entry.actor_ref) == ("WRITE_OFF", "WRITE_OFF", "user:1")
    assert write_off(account, 10) == entry
    with pytest.raises(services.IdempotencyKeyReused):
        write_off(account, 11)
    assert standing(account) == (0, 0, 0, 20)
    assert write_off(account, key="write-off:2").points == 20
    assert write_off(account, key="write-off:3") is None
    assert standing(account) == (0, 0, 0, 0)


def test_no_more_is_forgiven_than_is_owed(account):
    owe(account, 30)
    with pytest.raises(services.DeficitTooSmall):
        write_off(account, 31)
    with pytest.raises(services.InvalidPoints):
        write_off(account, 0)
    assert standing(account) == (0, 0, 0, 30)


def test_a_deficit_is_forgiven_where_it_was_moved_to(account, other):
    owe(account, 30)
    merge(account, other)
    with pytest.raises(services.AccountNotOpen):
        write_off(account)
    write_off(other)
    assert standing(account, other) == [(0, 0, 0, 0), (0, 0, 0, 0)]


# Staff


def ask(account, points, reason="GOODWILL", *, by):
    return services.request_adjustment(
        account_id=account.pk, points=points, reason_code=reason, actor_id=by.pk, now=NOW
    )


def test_staff_forgive_a_deficit_and_take_that_back(account, clerk):
    owe(account, 30)
    forgiven = services.book_adjustment(
        adjustment=ask(account, 30, "WRITE_OFF", by=clerk), actor_id=clerk.pk, **TERMS
    )
    assert (forgiven.entry.kind, forgiven.entry.reason_code) == ("WRITE_OFF", "WRITE_OFF")
    award(account, 10, key="purchase:2")
    assert standing(account) == (0, 10, 0, 0)
    undone = services.undo_adjustment(adjustment=forgiven, actor_id=clerk.pk, **TERMS)
    assert undone.entry.kind == "ADJUST_DOWN"
    assert standing(account) == (0, 0, 0, 20)
    assert services.undo_adjustment(adjustment=forgiven, actor_id=clerk.pk, **TERMS) == undone
    assert standing(account) == (0, 0, 0, 20)


def test_a_deficit_cannot_be_forgiven_below_zero(account, clerk):
    with pytest.raises(services.InvalidPoints):
        ask(account, -30, "WRITE_OFF", by=clerk)


@pytest.mark.parametrize("sign", [1, -1])
def test_many_points_are_booked_by_a_second_person(account, clerk, boss, sign):
    award(account, 2000)
    adjustment = ask(account, sign * 1001, by=clerk)
    with pytest.raises(services.NeedsSecondPerson):
        services.book_adjustment(adjustment=adjustment, actor_id=clerk.pk, four_eyes_points=1000, **TERMS)
    adjustment.refresh_from_db()
    assert (adjustment.state, adjustment.entry) == ("REQUESTED", None)
    booked = services.book_adjustment(adjustment=adjustment, actor_id=boss.pk, four_eyes_points=1000, **TERMS)
    assert (booked.requested_by, booked.decided_by) == (clerk, boss)
    assert standing(account) == (0, 2000 + sign * 1001, 0, 0)


@pytest.mark.parametrize("limit", [1001, None])
def test_few_points_need_one_person(account, clerk, limit):
    adjustment = ask(account, 1001, by=clerk)
    services.book_adjustment(adjustment=adjustment, actor_id=clerk.pk, four_eyes_points=limit, **TERMS)
    assert standing(account) == (0, 1001, 0, 0)


def test_undoing_many_points_waits_for_a_second_person(account, clerk, boss):
    booked = services.book_adjustment(
        adjustment=ask(account, 5000, by=clerk), actor_id=boss.pk, four_eyes_points=1000, **TERMS
    )
    undo = {"adjustment": booked, "four_eyes_points": 1000, **TERMS}
    for _twice in range(2):
        opposite = services.undo_adjustment(actor_id=clerk.pk, **undo)
        assert opposite.state == Adjustment.State.REQUESTED
    assert standing(account) == (0, 5000, 0, 0)
    assert services.undo_adjustment(actor_id=boss.pk, **undo).state == Adjustment.State.BOOKED
    assert standing(account) == (0, 0, 0, 0)


# Requests to merge


def test_a_merge_of_many_points_is_booked_by_a_second_person(account, other, clerk, boss):
    award(account, 600)
    award(account, 300, key="purchase:2", active_at=NOW + timedelta(days=9))
    owe(other, 30)
    request = services.request_merge(
        source_id=account.pk, target_id=other.pk, actor_id=clerk.pk, internal_note="Two cards", now=NOW
    )
    limit = {"four_eyes_points": 899, "now": NOW}
    with pytest.raises(services.NeedsSecondPerson):
        services.book_merge(merge=request, actor_id=clerk.pk, **limit)
    booked = services.book_merge(merge=request, actor_id=boss.pk, **limit)
    assert (booked.state, booked.decided_by) == ("BOOKED", boss)
    assert services.book_merge(merge=request, actor_id=clerk.pk, **limit) == booked
    assert standing(account, other) == [(0, 0, 0, 0), (300, 570, 0, 0)]
    assert set(Entry.objects.filter(group_id=booked.group_id).values_list("actor_ref", flat=True)) == {
        f"user:{boss.pk}"
    }


def test_one_request_to_merge_waits_at_a_time(programme, account, other, clerk):
    ask = {"source_id": account.pk, "actor_id": clerk.pk, "now": NOW}
    first = services.request_merge(target_id=other.pk, **ask)
    assert services.request_merge(target_id=other.pk, **ask) == first
    third = make_account(programme)
    with pytest.raises(services.MergeRequested):
        services.request_merge(target_id=third.pk, **ask)
    services.reject_merge(merge=first, actor_id=clerk.pk, now=NOW)
    with pytest.raises(services.MergeRejected):
        services.book_merge(merge=first, actor_id=clerk.pk, now=NOW)
    second = services.request_merge(target_id=third.pk, **ask)
    services.book_merge(merge=second, actor_id=clerk.pk, now=NOW)
    services.reject_merge(merge=second, actor_id=clerk.pk, now=NOW)
    assert list(MemberMerge.objects.order_by("id").values_list("state", flat=True)) == ["REJECTED", "BOOKED"]
    assert standing(account, other, third) == [(0, 0, 0, 0)] * 3


def test_only_two_open_accounts_can_be_asked_to_merge(account, other, clerk):
    ask = {"actor_id": clerk.pk, "now": NOW}
    with pytest.raises(services.SameAccount):
        services.request_merge(source_id=account.pk, target_id=account.pk, **ask)
    elsewhere = make_account(Programme.objects.create(code="other", name="Other"))
    with pytest.raises(services.OtherProgramme):
        services.request_merge(source_id=account.pk, target_id=elsewhere.pk, **ask)
    for frozen in (account, other):
        Account.objects.filter(pk=frozen.pk).update(status="FROZEN")
        for source, target in ((account, other), (other, account)):
            with pytest.raises(services.AccountNotOpen):
                services.request_merge(source_id=source.pk, target_id=target.pk, **ask)
    assert not MemberMerge.objects.exists()


@pytest.mark.parametrize(("pending", "available", "held", "owed"), [(10, 20, 30, 0), (10, 0, 0, 50)])
def test_whatever_moves_counts_against_the_limit_of_one_person(
    account, other, clerk, pending, available, held, owed
):
    if owed:
        owe(account, owed)
    else:
        award(account, available + held)
        hold(account, held)
    award(account, pending, key="purchase:2", active_at=NOW + timedelta(days=9))
    request = services.request_merge(
        source_id=account.pk, target_id=other.pk, actor_id=clerk.pk, internal_note="Two cards", now=NOW
    )
    with pytest.raises(services.NeedsSecondPerson):
        services.book_merge(merge=request, actor_id=clerk.pk, four_eyes_points=59, now=NOW)
    services.end_holds(account_id=account.pk, now=NOW)
    services.book_merge(merge=request, actor_id=clerk.pk, four_eyes_points=60, now=NOW)
    assert standing(account, other)[0] == (0, 0, 0, 0)


def test_who_asked_for_a_merge_and_who_decided_is_kept(programme, account, other, clerk, boss):
    later = NOW + timedelta(days=1)
    ask = {"actor_id": clerk.pk, "internal_note": "Two cards", "now": NOW}
    booked = services.request_merge(source_id=account.pk, target_id=other.pk, **ask)
    services.book_merge(merge=booked, actor_id=boss.pk, now=later)
    services.book_merge(merge=booked, actor_id=clerk.pk, now=NOW)
    rejected = services.request_merge(source_id=other.pk, target_id=make_account(programme).pk, **ask)
    assert services.reject_merge(merge=rejected, actor_id=boss.pk, now=later) == rejected
    assert services.reject_merge(merge=rejected, actor_id=clerk.pk, now=NOW) == rejected
    for request, state in ((booked, "BOOKED"), (rejected, "REJECTED")):
        request.refresh_from_db()
        assert (request.internal_note, request.requested_by, request.requested_at) == (
            *("Two cards", clerk),
            NOW,
        )
        assert (request.state, request.decided_by, request.decided_at) == (state, boss, later)

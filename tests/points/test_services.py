from datetime import timedelta
from decimal import Decimal

import pytest

from oscar_loyalty.members.models import Member
from oscar_loyalty.points import services
from oscar_loyalty.points.models import Account, AppendOnlyRow, Entry, Hold, Lot, Posting
from oscar_loyalty.points.queries import get_balance
from oscar_loyalty.programmes.rules import FAR_FUTURE
from oscar_loyalty.testing.ledger import assert_ledger_balanced

from .conftest import NOW


def award(account, points, *, key="purchase:1", active_at=NOW, now=NOW, months=36):
    return services.award_points(
        account_id=account.pk,
        points=points,
        idempotency_key=key,
        source_ref=key.replace("purchase", "order"),
        order_ref=key.partition(":")[2],
        active_at=active_at,
        expiry_months=months,
        unit_value=Decimal("0.01"),
        currency="EUR",
        now=now,
    )


def hold(account, points, *, ref="basket:1", now=NOW):
    return services.hold_points(
        account_id=account.pk,
        ref=ref,
        requested=points,
        currency="EUR",
        expires_at=now + timedelta(minutes=30),
        now=now,
    )


def capture(points, *, ref="basket:1", order="100", now=NOW):
    return services.capture_hold(
        ref=ref, points=points, amount=Decimal(points) / 100, order_ref=order, now=now
    )


def balance(account):
    account.refresh_from_db()
    assert_ledger_balanced(account)
    return account.pending, account.available, account.held, account.debt


def test_points_are_pending_until_their_moment_comes(account):
    award(account, 100, active_at=NOW + timedelta(days=14))
    assert balance(account) == (100, 0, 0, 0)
    services.settle_account(account_id=account.pk, now=NOW + timedelta(days=13))
    assert balance(account) == (100, 0, 0, 0)
    services.settle_account(account_id=account.pk, now=NOW + timedelta(days=14))
    assert balance(account) == (0, 100, 0, 0)


def test_a_lot_without_a_known_moment_waits_for_it(account):
    award(account, 100, active_at=FAR_FUTURE)
    services.settle_account(account_id=account.pk, now=NOW + timedelta(days=4000))
    assert balance(account) == (100, 0, 0, 0)
    shipped = NOW + timedelta(days=2)
    assert (
        services.schedule_activation(
            account_id=account.pk, source_ref="order:1", active_at=shipped, now=NOW + timedelta(days=3)
        )
        == 100
    )
    assert balance(account) == (0, 100, 0, 0)


def test_only_what_waits_for_its_moment_is_given_one(account, programme):
    """Not another order, another member, what has its moment already, nor what was taken back."""
    soon, later = NOW + timedelta(days=1), NOW + timedelta(days=9)
    award(account, 1, active_at=FAR_FUTURE)
    award(account, 20, key="purchase:2", active_at=FAR_FUTURE)
    award(account, 3, key="purchase:3", active_at=soon)
    void = award(account, 4, key="purchase:4", active_at=FAR_FUTURE)
    services.clawback_points(account_id=account.pk, earned=void, idempotency_key="c", now=NOW)
    member = Member.objects.create(joined_at=NOW, terms_version="1", terms_accepted_at=NOW)
    other = services.open_account(member_id=member.pk, programme_id=programme.pk)
    award(other, 50, active_at=FAR_FUTURE)

    def schedule(source):
        return services.schedule_activation(
            account_id=account.pk, source_ref=source, active_at=later, now=NOW
        )

    assert [schedule(f"order:{number}") for number in (1, 3, 4, 1)] == [1, 0, 0, 0]
    moments = Lot.objects.filter(account=account).order_by("id").values_list("active_at", flat=True)
    assert list(moments) == [later, FAR_FUTURE, soon, FAR_FUTURE]
    assert Lot.objects.get(account=other).active_at == FAR_FUTURE


def test_booking_twice_with_the_same_key_books_once(account):
    first = award(account, 100)
    assert award(account, 100) == first
    assert balance(account) == (0, 100, 0, 0)


def test_a_key_used_for_something_else_is_refused_and_writes_nothing(account):
    award(account, 100)
    with pytest.raises(services.IdempotencyKeyReused):
        award(account, 101)
    assert balance(account) == (0, 100, 0, 0)


@pytest.mark.parametrize("points", [0, -1, 1.5, True, "12", 10**12 + 1, None])
def test_what_is_no_whole_number_of_points_is_refused(account, points):
    with pytest.raises(services.InvalidPoints):
        award(account, points)
    assert balance(account) == (0, 0, 0, 0)


def test_a_hold_takes_what_there_is_and_a_capture_gives_the_rest_back(account):
    award(account, 100)
    assert hold(account, 250).points == 100
    assert balance(account) == (0, 0, 100, 0)
    capture(60)
    assert balance(account) == (0, 40, 0, 0)
    assert Hold.objects.get().state == Hold.State.CAPTURED


def test_changing_a_hold_moves_only_the_difference(account):
    award(account, 100)
    hold(account, 80)
    hold(account, 30)
    assert balance(account) == (0, 70, 30, 0)
    hold(account, 100)
    assert balance(account) == (0, 0, 100, 0)
    assert Hold.objects.count() == 1


def test_capturing_twice_for_the_same_order_spends_once(account):
    award(account, 100)
    hold(account, 60)
    assert capture(60) == capture(60)
    assert balance(account) == (0, 40, 0, 0)


def test_a_captured_hold_is_not_captured_for_another_order(account):
    award(account, 100)
    hold(account, 60)
    capture(60)
    with pytest.raises(services.HoldNotOpen):
        capture(60, order="101")
    assert balance(account) == (0, 40, 0, 0)


def test_capturing_more_than_was_held_is_refused(account):
    award(account, 100)
    hold(account, 60)
    with pytest.raises(services.InsufficientPoints):
        capture(61)
    assert balance(account) == (0, 40, 60, 0)


def test_nothing_to_hold_is_refused_and_keeps_the_earlier_hold(account):
    with pytest.raises(services.InsufficientPoints):
        hold(account, 10)
    assert balance(account) == (0, 0, 0, 0)


def test_releasing_twice_gives_back_once(account):
    award(account, 100)
    hold(account, 60)
    assert services.release_hold(ref="basket:1", now=NOW) == 60
    assert services.release_hold(ref="basket:1", now=NOW) == 0
    assert balance(account) == (0, 100, 0, 0)


def test_an_expiry_job_does_not_end_a_hold_that_was_renewed(account):
    award(account, 100)
    hold(account, 60)
    assert services.release_hold(ref="basket:1", now=NOW, state=Hold.State.EXPIRED) == 0
    assert balance(account) == (0, 40, 60, 0)


def test_first_to_expire_is_first_spent(account):
    award(account, 100, key="purchase:1", months=36)
    award(account, 100, key="purchase:2", months=6)
    hold(account, 120)
    capture(120)
    left = dict(Lot.objects.values_list("source_ref", "remaining"))
    assert left == {"order:1": 80, "order:2": 0}


def test_points_expire_at_the_end_of_the_local_day(account):
    award(account, 100, months=1)
    # 10 April ends in Berlin (summer time) at 22:00 UTC.
    last_moment = NOW.replace(month=4, day=10, hour=21, minute=59, second=59)
    services.settle_account(account_id=account.pk, now=last_moment)
    assert balance(account) == (0, 100, 0, 0)
    services.settle_account(account_id=account.pk, now=last_moment + timedelta(seconds=1))
    assert balance(account) == (0, 0, 0, 0)
    assert account.expired == 100


def test_expired_points_cannot_be_held_even_when_the_job_is_late(account):
    award(account, 100, months=1)
    with pytest.raises(services.InsufficientPoints):
        hold(account, 10, now=NOW + timedelta(days=60))


def test_held_points_do_not_expire_until_they_are_released(account):
    award(account, 100, months=1)
    hold(account, 60)
    later = NOW + timedelta(days=60)
    services.settle_account(account_id=account.pk, now=later)
    assert balance(account) == (0, 0, 60, 0)
    services.release_hold(ref="basket:1", now=later)
    assert balance(account) == (0, 0, 0, 0)
    assert account.expired == 100


def test_a_reservation_keeps_the_points_that_expire_first(account):
    """The order will take them: what lives longer stays with the member."""
    award(account, 100, months=1)
    award(account, 100, key="purchase:2", months=36)
    hold(account, 100)
    later = NOW + timedelta(days=60)
    services.settle_account(account_id=account.pk, now=later)
    capture(100, now=later)
    assert balance(account) == (0, 100, 0, 0)
    assert account.expired == 0


def test_points_that_become_spendable_do_not_expire_in_place_of_reserved_ones(account):
    later = NOW + timedelta(days=60)
    award(account, 100, months=1)
    award(account, 50, key="purchase:2", active_at=later, months=36)
    hold(account, 100)
    account.refresh_from_db()
    assert get_balance(account=account, now=later).available == 50
    services.settle_account(account_id=account.pk, now=later)
    assert balance(account) == (0, 50, 100, 0)
    services.release_hold(ref="basket:1", now=later)
    assert balance(account) == (0, 50, 0, 0)
    assert account.expired == 100


def test_returned_points_go_back_to_their_lots_with_their_expiry(account):
    award(account, 100, key="purchase:1", months=36)
    award(account, 50, key="purchase:2", months=6)
    before = list(Lot.objects.order_by("id").values_list("remaining", "expires_at"))
    hold(account, 120)
    spent = capture(120)
    services.return_spend(
        account_id=account.pk, spent=spent, idempotency_key="cancel-spend:100", grace_days=30, now=NOW
    )
    assert balance(account) == (0, 150, 0, 0)
    assert list(Lot.objects.order_by("id").values_list("remaining", "expires_at")) == before


def test_returning_twice_returns_once(account):
    award(account, 100)
    hold(account, 60)
    spent = capture(60)
    for key in ("a", "a", "b"):
        services.return_spend(account_id=account.pk, spent=spent, idempotency_key=key, grace_days=30, now=NOW)
    assert balance(account) == (0, 100, 0, 0)


def test_returned_points_whose_lot_has_expired_live_for_the_grace_period(account):
    award(account, 100, months=1)
    hold(account, 60)
    spent = capture(60)
    later = NOW + timedelta(days=60)
    services.return_spend(account_id=account.pk, spent=spent, idempotency_key="a", grace_days=30, now=later)
    assert balance(account) == (0, 60, 0, 0)
    child = Lot.objects.get(parent_lot__isnull=False)
    assert child.remaining == 60
    assert timedelta(days=30) < child.expires_at - later < timedelta(days=31)
    services.settle_account(account_id=account.pk, now=child.expires_at)
    assert balance(account) == (0, 0, 0, 0)


def test_part_returns_end_where_a_whole_return_ends(account):
    award(account, 100)
    hold(account, 60)
    spent = capture(60)
    for key, points in (("a", 25), ("b", 35)):
        services.return_spend(
            account_id=account.pk, spent=spent, idempotency_key=key, grace_days=30, now=NOW, points=points
        )
    assert balance(account) == (0, 100, 0, 0)
    with pytest.raises(services.InsufficientPoints):
        services.return_spend(
            account_id=account.pk, spent=spent, idempotency_key="c", grace_days=30, now=NOW, points=1
        )


def test_pending_points_are_voided_first(account):
    earned = award(account, 100, active_at=FAR_FUTURE)
    services.clawback_points(account_id=account.pk, earned=earned, idempotency_key="c", now=NOW)
    assert balance(account) == (0, 0, 0, 0)
    assert account.reversed == 100


def test_what_is_already_spent_becomes_a_deficit_that_later_points_repay(account):
    earned = award(account, 100)
    hold(account, 70)
    capture(70)
    services.clawback_points(account_id=account.pk, earned=earned, idempotency_key="c", now=NOW)
    assert balance(account) == (0, 0, 0, 70)
    award(account, 50, key="purchase:2")
    assert balance(account) == (0, 0, 0, 20)
    award(account, 50, key="purchase:3")
    assert balance(account) == (0, 30, 0, 0)


def test_a_released_hold_repays_a_deficit(account):
    earned = award(account, 100)
    hold(account, 70)
    services.clawback_points(account_id=account.pk, earned=earned, idempotency_key="c", now=NOW)
    assert balance(account) == (0, 0, 70, 70)
    services.release_hold(ref="basket:1", now=NOW)
    assert balance(account) == (0, 0, 0, 0)


def test_taking_back_twice_takes_once(account):
    earned = award(account, 100)
    for key in ("c", "c", "d"):
        services.clawback_points(account_id=account.pk, earned=earned, idempotency_key=key, now=NOW)
    assert balance(account) == (0, 0, 0, 0)
    with pytest.raises(services.InsufficientPoints):
        services.clawback_points(account_id=account.pk, earned=earned, idempotency_key="e", now=NOW, points=1)


def adjust(account, points, *, key="adjustment:1"):
    return services.adjust_points(
        account_id=account.pk,
        points=points,
        reason_code="GOODWILL",
        idempotency_key=key,
        expiry_months=36,
        unit_value=Decimal("0.01"),
        currency="EUR",
        actor_ref="user:1",
        now=NOW,
    )


def test_staff_credit_and_deduct(account):
    adjust(account, 500)
    adjust(account, -200, key="adjustment:2")
    assert balance(account) == (0, 300, 0, 0)
    with pytest.raises(services.InsufficientPoints):
        adjust(account, -301, key="adjustment:3")
    assert balance(account) == (0, 300, 0, 0)


def test_a_closed_account_takes_and_gives_nothing(account):
    award(account, 100)
    Account.objects.update(status=Account.Status.CLOSED, open_key=None)
    with pytest.raises(services.AccountNotOpen):
        award(account, 1, key="purchase:2")
    with pytest.raises(services.AccountNotOpen):
        hold(account, 1)


@pytest.mark.parametrize("model", [Entry, Posting])
def test_no_row_of_the_ledger_is_changed_or_deleted(account, model):
    award(account, 100)
    row = model.objects.first()
    for attempt in (row.save, row.delete, model.objects.all().delete, lambda: model.objects.update(points=1)):
        with pytest.raises(AppendOnlyRow):
            attempt()


def test_expired_points_that_a_smaller_reservation_gives_back_are_gone(account):
    award(account, 100, months=1)
    after_expiry = NOW + timedelta(days=60)
    hold(account, 100)
    services.settle_account(account_id=account.pk, now=after_expiry)
    assert balance(account) == (0, 0, 100, 0)
    hold(account, 30, now=after_expiry)
    assert balance(account) == (0, 0, 30, 0)
    account.refresh_from_db()
    assert account.expired == 70


def test_a_frozen_account_spends_nothing_even_when_points_were_reserved_before(account):
    award(account, 100)
    hold(account, 100)
    Account.objects.filter(pk=account.pk).update(status=Account.Status.FROZEN)
    with pytest.raises(services.AccountNotOpen):
        capture(100)
    assert balance(account) == (0, 0, 100, 0)


def test_releasing_ends_the_wish_that_an_expired_reservation_left_behind(account):
    award(account, 100)
    hold(account, 100)
    later = NOW + timedelta(hours=1)
    assert services.release_hold(ref="basket:1", now=later, state=Hold.State.EXPIRED) == 100
    hold(account, 100, ref="basket:2")
    assert services.release_hold(ref="basket:2", now=later, state=Hold.State.EXPIRED) == 100
    assert services.release_hold(ref="basket:1", now=later) == 0
    assert list(Hold.objects.order_by("ref").values_list("state", flat=True)) == ["RELEASED", "EXPIRED"]
    assert balance(account) == (0, 100, 0, 0)


def test_an_order_number_that_is_no_text_is_refused(account):
    award(account, 100)
    hold(account, 60)
    with pytest.raises(TypeError):
        capture(60, order=100042)
    assert balance(account) == (0, 40, 60, 0)

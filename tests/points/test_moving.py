from datetime import timedelta
from decimal import Decimal

import pytest

from oscar_loyalty.members.models import Member
from oscar_loyalty.points import services
from oscar_loyalty.points.models import Account, Entry, Lot
from oscar_loyalty.points.services import open_account
from oscar_loyalty.programmes.models import Programme
from oscar_loyalty.programmes.rules import FAR_FUTURE
from oscar_loyalty.testing.ledger import assert_ledger_balanced, assert_moves_balanced

from .conftest import NOW
from .test_services import award, capture, hold


@pytest.fixture
def other(programme) -> Account:
    return make_account(programme)


def make_account(programme) -> Account:
    member = Member.objects.create(joined_at=NOW, terms_version="1", terms_accepted_at=NOW)
    return open_account(member_id=member.pk, programme_id=programme.pk)


def standing(*accounts):
    """Pending, available, held and deficit of each, after the proof that all of them balance."""
    for account in accounts:
        assert_ledger_balanced(account)
    assert_moves_balanced(accounts)
    found = [(a.pending, a.available, a.held, a.debt) for a in accounts]
    return found[0] if len(found) == 1 else found


def transfer(giver, receiver, points, *, key="transfer:1", now=NOW, **values):
    return services.transfer_points(
        from_account_id=giver.pk,
        to_account_id=receiver.pk,
        points=points,
        idempotency_key=key,
        actor_ref="user:1",
        now=now,
        **values,
    )


def merge(source, target, *, key="merge:1", now=NOW):
    return services.merge_accounts(
        source_id=source.pk, target_id=target.pk, idempotency_key=key, actor_ref="user:1", now=now
    )


def convert(account, rate, *, key="convert:1", now=NOW, unit_value="0.02", into="CHF"):
    return services.convert_points(
        account_id=account.pk,
        from_currency="EUR",
        to_currency=into,
        rate=Decimal(rate),
        unit_value=Decimal(unit_value),
        idempotency_key=key,
        actor_ref="user:7",
        now=now,
    )


def spend(account, points, *, order, now=NOW):
    hold(account, points, ref=f"basket:{order}", now=now)
    return capture(points, ref=f"basket:{order}", order=order, now=now)


def clawback(account, earned, *, key="return:1", now=NOW, **values):
    return services.clawback_points(
        account_id=account.pk, earned=earned, idempotency_key=key, now=now, **values
    )


def return_spend(account, spent, *, key="undo:1", now=NOW, **values):
    return services.return_spend(
        account_id=account.pk, spent=spent, idempotency_key=key, grace_days=30, now=now, **values
    )


def owe(account, points, *, order="debt"):
    """Earn, spend, and have it taken back: ``points`` of deficit."""
    earned = award(account, points, key=f"purchase:{order}")
    spend(account, points, order=f"{order}-spent")
    clawback(account, earned, key=f"cancel:{order}")


def owe_beside_a_reservation(account, points):
    """``points`` owed, and as many reserved of a lot that expires before all others."""
    earned = award(account, points, key="purchase:reserved", months=1)
    hold(account, points, ref="basket:reserved")
    clawback(account, earned, key="cancel:reserved")
    return Lot.objects.get(account=account)


# Transfers


def test_a_transfer_says_who_why_and_with_whom(account, other):
    award(account, 100)
    for entry in transfer(account, other, 60, note="Two cards"):
        entry.refresh_from_db()
        partner = other if entry.account == account else account
        assert entry.explanation == {"other_account": str(partner.public_id), "note": "Two cards"}
        assert (entry.reason_code, entry.actor_ref, entry.points) == ("TRANSFER", "user:1", 60)
    for entry in transfer(account, other, 5, key="transfer:2"):
        assert "note" not in entry.explanation


def test_all_that_is_available_may_be_given(account, other):
    award(account, 100)
    transfer(account, other, 100)
    assert standing(account, other) == [(0, 0, 0, 0), (0, 100, 0, 0)]


@pytest.mark.parametrize("how", ["transfer", "merge"])
def test_what_comes_repays_and_leaves_a_reservation_its_lot(account, other, how):
    reserved = owe_beside_a_reservation(other, 30)
    award(account, 50)
    if how == "transfer":
        transfer(account, other, 50)
    else:
        merge(account, other)
    reserved.refresh_from_db()
    assert reserved.remaining == 30
    assert standing(account, other) == [(0, 0, 0, 0), (0, 20, 30, 0)]


def test_a_transfer_takes_what_expires_first_and_keeps_its_expiry(account, other):
    award(account, 100, key="purchase:late", months=36)
    award(account, 40, key="purchase:soon", months=1)
    sent, received = transfer(account, other, 60)
    assert standing(account, other) == [(0, 80, 0, 0), (0, 60, 0, 0)]
    assert sent.group_id == received.group_id
    assert (sent.kind, received.kind) == ("MOVE_OUT", "MOVE_IN")
    soon, late = Lot.objects.filter(account=other).order_by("expires_at")
    assert (soon.amount, late.amount) == (40, 20)
    for child in (soon, late):
        parent = child.parent_lot
        assert child.expires_at == parent.expires_at
        assert (child.unit_value, child.currency) == (parent.unit_value, parent.currency)
        assert "soon" not in child.source_ref, "the receiver learns nothing of the giver's orders"


def test_a_transfer_repeated_moves_once(account, other):
    award(account, 100)
    assert transfer(account, other, 60) == transfer(account, other, 60)
    assert standing(account, other) == [(0, 40, 0, 0), (0, 60, 0, 0)]


def test_a_transfer_key_used_for_something_else_is_refused(account, other):
    award(account, 100)
    transfer(account, other, 60)
    with pytest.raises(services.IdempotencyKeyReused):
        transfer(account, other, 61)
    assert standing(account, other) == [(0, 40, 0, 0), (0, 60, 0, 0)]


def test_a_key_belongs_to_the_giver(programme, account, other):
    third = make_account(programme)
    award(account, 100)
    award(third, 100)
    for giver, receiver in ((account, other), (third, other), (other, account)):
        transfer(giver, receiver, 60, key="mine")
        transfer(giver, receiver, 60, key="mine")
    assert standing(account, other, third) == [(0, 100, 0, 0), (0, 60, 0, 0), (0, 40, 0, 0)]


def test_keys_of_two_accounts_stay_apart_when_both_are_merged_into_a_third(programme, account, other):
    third = make_account(programme)
    undone = []
    for number, one in enumerate((account, other)):
        award(one, 100)
        undone.append(spend(one, 50, order=str(number)))
        merge(one, third, key="merge")
    for spent in undone:
        return_spend(third, spent, key="undo")
    assert standing(account, other, third) == [(0, 0, 0, 0), (0, 0, 0, 0), (0, 200, 0, 0)]


def test_nobody_gives_more_than_is_available(account, other):
    award(account, 100)
    hold(account, 60)
    with pytest.raises(services.InsufficientPoints):
        transfer(account, other, 41)
    transfer(account, other, 40)
    assert standing(account, other) == [(0, 0, 60, 0), (0, 40, 0, 0)]


def test_points_reach_nobody_at_their_own_account(account):
    award(account, 100)
    with pytest.raises(services.SameAccount):
        transfer(account, account, 10)
    assert standing(account) == (0, 100, 0, 0)


@pytest.mark.parametrize("points", [0, -5, 1.5, True, "7"])
def test_only_whole_points_are_transferred(account, other, points):
    award(account, 100)
    with pytest.raises(services.InvalidPoints):
        transfer(account, other, points)
    assert standing(account, other) == [(0, 100, 0, 0), (0, 0, 0, 0)]


@pytest.mark.parametrize("status", ["FROZEN", "CLOSED", "MERGED"])
@pytest.mark.parametrize("who", [0, 1])
def test_both_must_be_open_for_a_transfer(account, other, status, who):
    award(account, 100)
    Account.objects.filter(pk=(account, other)[who].pk).update(status=status)
    with pytest.raises(services.AccountNotOpen):
        transfer(account, other, 10)
    assert not Entry.objects.filter(kind__in=["MOVE_OUT", "MOVE_IN"]).exists()


def test_points_do_not_leave_their_programme(account):
    elsewhere = make_account(Programme.objects.create(code="other", name="Other"))
    award(account, 100)
    with pytest.raises(services.OtherProgramme):
        transfer(account, elsewhere, 10)


def test_what_the_receiver_owes_is_repaid_first(account, other):
    award(account, 100)
    owe(other, 30)
    transfer(account, other, 50)
    assert standing(account, other) == [(0, 50, 0, 0), (0, 20, 0, 0)]


@pytest.mark.parametrize("wait", [timedelta(0), timedelta(days=20)])
def test_a_transfer_leaves_to_a_reservation_what_has_expired(account, other, wait):
    award(account, 50, key="purchase:old", months=1)
    award(account, 50, key="purchase:new", months=36)
    late = Lot.objects.get(source_ref="order:old").expires_at + wait
    services.hold_points(
        account_id=account.pk,
        ref="basket:1",
        requested=50,
        currency="EUR",
        expires_at=late + timedelta(days=1),
        now=NOW,
    )
    transfer(account, other, 50, now=late)
    assert Lot.objects.get(account=other).expires_at > late
    capture(50, now=late)
    assert standing(account, other) == [(0, 0, 0, 0), (0, 50, 0, 0)]


@pytest.mark.parametrize("how", ["deduct", "take back"])
def test_what_has_expired_stays_with_its_reservation_whoever_takes_points(account, how):
    award(account, 50, key="purchase:old", months=1)
    earned = award(account, 50, key="purchase:new", months=36)
    late = NOW + timedelta(days=60)
    services.hold_points(
        account_id=account.pk,
        ref="basket:1",
        requested=50,
        currency="EUR",
        expires_at=late + timedelta(days=1),
        now=NOW,
    )
    if how == "deduct":
        services.adjust_points(
            account_id=account.pk,
            points=-30,
            reason_code="CORRECTION",
            idempotency_key="adjustment:1",
            expiry_months=None,
            unit_value=Decimal("0.01"),
            currency="EUR",
            actor_ref="user:1",
            now=late,
        )
    else:
        old = Entry.objects.get(idempotency_key="purchase:old")
        clawback(account, old, points=30, now=late)
        assert earned.points == 50
    assert standing(account) == (0, 20, 50, 0)
    capture(50, now=late)
    assert standing(account) == (0, 20, 0, 0)


def test_what_was_given_away_is_owed_when_its_order_is_cancelled(account, other):
    earned = award(account, 100)
    transfer(account, other, 60)
    clawback(account, earned)
    assert standing(account, other) == [(0, 0, 0, 60), (0, 60, 0, 0)]


# Merges


def test_a_merge_moves_lots_as_they_are_and_ends_the_source(account, other):
    award(account, 100, key="purchase:1")
    award(account, 30, key="purchase:2", active_at=FAR_FUTURE)
    award(account, 20, key="purchase:3", active_at=NOW + timedelta(days=5), months=2)
    award(other, 7, key="purchase:4")
    group = merge(account, other)
    assert standing(account, other) == [(0, 0, 0, 0), (50, 107, 0, 0)]
    account.refresh_from_db()
    assert (account.status, account.merged_into, account.open_key) == ("MERGED", other, None)
    assert account.due_at == FAR_FUTURE
    assert set(Entry.objects.filter(group_id=group).values_list("account", "kind", "points")) == {
        (account.pk, "MOVE_OUT", 150),
        (other.pk, "MOVE_IN", 150),
    }
    for parent in Lot.objects.filter(account=account):
        child = Lot.objects.get(parent_lot=parent)
        assert child.account == other
        for name in ("source_ref", "active_at", "expires_at", "expiry_months", "unit_value", "currency"):
            assert getattr(child, name) == getattr(parent, name)
    services.settle_account(account_id=other.pk, now=NOW + timedelta(days=5))
    assert standing(account, other) == [(0, 0, 0, 0), (30, 127, 0, 0)]


def test_a_merge_says_who_why_and_with_whom(account, other):
    award(account, 50, active_at=NOW + timedelta(days=3))
    owe(account, 30)
    group = merge(account, other)
    entries = Entry.objects.filter(group_id=group).order_by("account_id", "seq")
    assert [(entry.kind, entry.points) for entry in entries] == [
        *(("MOVE_OUT", 50), ("MOVE_IN", 30)),
        *(("MOVE_IN", 50), ("MOVE_OUT", 30)),
    ]
    for entry in entries:
        partner = other if entry.account == account else account
        assert entry.explanation == {"other_account": str(partner.public_id)}
        assert (entry.reason_code, entry.actor_ref) == ("MERGE", "user:1")


def test_merging_again_moves_nothing_more(account, other):
    award(account, 100)
    group = merge(account, other)
    assert merge(account, other) == group
    assert merge(account, other, key="merge:another") == group
    assert standing(account, other) == [(0, 0, 0, 0), (0, 100, 0, 0)]


def test_an_empty_account_merges_without_an_entry(account, other):
    assert merge(account, other) is None
    assert merge(account, other) is None
    assert not Entry.objects.exists()
    account.refresh_from_db()
    assert account.status == "MERGED"


def test_what_was_merged_is_not_merged_elsewhere(programme, account, other):
    merge(account, other)
    third = make_account(programme)
    merge(make_account(programme), third)
    with pytest.raises(services.AccountNotOpen):
        merge(account, third)
    with pytest.raises(services.AccountNotOpen):
        merge(other, account)


def test_a_reservation_on_the_source_comes_first(account, other):
    award(account, 100)
    hold(account, 10)
    with pytest.raises(services.HoldsOpen):
        merge(account, other)
    assert standing(account, other) == [(0, 90, 10, 0), (0, 0, 0, 0)]


def test_a_reservation_on_the_target_stays(account, other):
    award(account, 100)
    award(other, 10, key="purchase:2")
    hold(other, 10)
    merge(account, other)
    assert standing(account, other) == [(0, 0, 0, 0), (0, 100, 10, 0)]


@pytest.mark.parametrize(
    ("owed", "there", "after"),
    [(30, 100, (0, 70, 0, 0)), (30, 10, (0, 0, 0, 20)), (30, 0, (0, 0, 0, 30)), (30, 30, (0, 0, 0, 0))],
)
def test_a_deficit_of_the_source_is_netted(account, other, owed, there, after):
    owe(account, owed)
    if there:
        award(other, there, key="purchase:there")
    merge(account, other)
    assert standing(account, other) == [(0, 0, 0, 0), after]


def test_a_deficit_of_the_target_is_repaid_by_what_comes(account, other):
    award(account, 100)
    owe(other, 30)
    merge(account, other)
    assert standing(account, other) == [(0, 0, 0, 0), (0, 70, 0, 0)]


def test_deficits_on_both_sides_add_up_and_pending_points_do_not_pay_them(account, other):
    owe(account, 30, order="a")
    award(account, 50, key="purchase:p", active_at=NOW + timedelta(days=3))
    owe(other, 20, order="b")
    merge(account, other)
    assert standing(account, other) == [(0, 0, 0, 0), (50, 0, 0, 50)]
    services.settle_account(account_id=other.pk, now=NOW + timedelta(days=3))
    assert standing(account, other) == [(0, 0, 0, 0), (0, 0, 0, 0)]


def test_what_the_source_earned_is_taken_back_from_the_target(programme, account, other):
    earned = award(account, 100)
    award(other, 500, key="purchase:2", months=1)
    merge(account, other)
    last = make_account(programme)
    merge(other, last, key="merge:2")
    entry = clawback(account, earned, points=30)
    assert (entry.account, entry.reverses) == (last, earned)
    assert Lot.objects.get(account=last, source_ref="order:1").reversed == 30, "from the lot it came in"
    # Whichever of its accounts is named, and with the key of before.
    assert clawback(last, earned, points=30) == entry
    assert clawback(other, earned, key="return:2").points == 70
    assert clawback(last, earned, key="return:3") is None
    assert standing(account, other, last) == [(0, 0, 0, 0), (0, 0, 0, 0), (0, 500, 0, 0)]


def test_a_clawback_from_before_the_merge_is_not_repeated_after_it(account, other):
    earned = award(account, 100)
    entry = clawback(account, earned, points=30)
    merge(account, other)
    assert clawback(account, earned, points=30) == entry
    assert clawback(other, earned, points=30) == entry
    assert standing(account, other) == [(0, 0, 0, 0), (0, 70, 0, 0)]


def test_pending_points_that_moved_are_taken_back_as_pending(account, other):
    earned = award(account, 100, active_at=FAR_FUTURE)
    award(other, 40, key="purchase:2")
    merge(account, other)
    clawback(account, earned)
    assert standing(account, other) == [(0, 0, 0, 0), (0, 40, 0, 0)]


def test_an_order_of_the_source_still_becomes_spendable(account, other):
    award(account, 100, active_at=FAR_FUTURE)
    merge(account, other)
    moved = services.schedule_activation(
        account_id=account.pk, source_ref="order:1", active_at=NOW + timedelta(days=14), now=NOW
    )
    assert moved == 100
    services.settle_account(account_id=other.pk, now=NOW + timedelta(days=14))
    assert standing(account, other) == [(0, 0, 0, 0), (0, 100, 0, 0)]
    assert Lot.objects.get(account=other).expires_at < FAR_FUTURE


def test_what_the_source_spent_comes_back_to_the_target_with_its_old_expiry(account, other):
    award(account, 100)
    spent = spend(account, 80, order="900")
    merge(account, other)
    entry = return_spend(account, spent, points=50)
    assert (entry.account, entry.kind, entry.reverses) == (account, "SPEND_RETURN", spent)
    assert entry.order_ref == "900"
    arrived = Entry.objects.get(group_id=entry.group_id, account=other)
    assert (arrived.kind, arrived.points, arrived.order_ref) == ("MOVE_IN", 50, "900")
    assert arrived.reason_code == "MERGE"
    assert return_spend(other, spent, points=50) == entry
    assert return_spend(other, spent, key="undo:2").points == 30
    assert return_spend(other, spent, key="undo:3") is None
    assert standing(account, other) == [(0, 0, 0, 0), (0, 100, 0, 0)]
    assert set(Lot.objects.filter(account=other).values_list("expires_at", flat=True)) == {
        Lot.objects.get(account=account).expires_at
    }


def test_what_the_source_spent_repays_what_the_target_owes(account, other):
    award(account, 100)
    spent = spend(account, 80, order="900")
    merge(account, other)
    owe(other, 50)
    assert standing(account, other) == [(0, 0, 0, 0), (0, 0, 0, 30)]
    return_spend(account, spent)
    assert standing(account, other) == [(0, 0, 0, 0), (0, 50, 0, 0)]


def test_a_return_after_merge_and_expiry_lives_for_the_grace_period(account, other):
    award(account, 100, months=1)
    spent = spend(account, 80, order="900")
    merge(account, other)
    late = NOW + timedelta(days=90)
    return_spend(account, spent, now=late)
    assert standing(account, other) == [(0, 0, 0, 0), (0, 80, 0, 0)]
    child = Lot.objects.get(account=other, parent_lot__account=account, remaining=80)
    assert late + timedelta(days=30) <= child.expires_at <= late + timedelta(days=31)


def test_an_undo_must_name_an_account_of_the_one_who_earned_or_spent(account, other):
    earned = award(account, 100)
    spent = spend(account, 10, order="900")
    with pytest.raises(ValueError, match="did not book that"):
        clawback(other, earned)
    with pytest.raises(ValueError, match="did not book that"):
        return_spend(other, spent)
    assert standing(account, other) == [(0, 90, 0, 0), (0, 0, 0, 0)]


def test_a_closed_account_neither_gets_nor_owes_what_is_undone(account, other):
    earned = award(account, 100)
    spent = spend(account, 10, order="900")
    merge(account, other)
    services.close_account(account_id=other.pk, idempotency_key="close:1", actor_ref="user:1", now=NOW)
    assert clawback(account, earned) is None
    assert return_spend(account, spent) is None
    assert standing(account, other) == [(0, 0, 0, 0), (0, 0, 0, 0)]


def test_a_frozen_account_earns_and_gives_back_but_spends_nothing(account):
    earned = award(account, 100)
    spent = spend(account, 10, order="900")
    Account.objects.update(status="FROZEN")
    return_spend(account, spent)
    clawback(account, earned)
    assert standing(account) == (0, 0, 0, 0)
    award(account, 30, key="purchase:2")
    with pytest.raises(services.AccountNotOpen):
        hold(account, 10)
    assert standing(account) == (0, 30, 0, 0)


def test_an_adjustment_from_before_a_merge_is_undone_on_the_target(account, other, django_user_model):
    boss = django_user_model.objects.create(username="boss")
    terms = {"expiry_months": 36, "unit_value": Decimal("0.01"), "currency": "EUR", "actor_id": boss.pk}
    given = services.book_adjustment(
        adjustment=services.request_adjustment(
            account_id=account.pk, points=50, reason_code="GOODWILL", actor_id=boss.pk, now=NOW
        ),
        now=NOW,
        **terms,
    )
    merge(account, other)
    services.undo_adjustment(adjustment=given, now=NOW, **terms)
    assert standing(account, other) == [(0, 0, 0, 0), (0, 0, 0, 0)]


# Conversion


def test_points_are_converted_per_lot_with_the_sum_rounded_once(account):
    award(account, 101, key="purchase:1", months=1)
    award(account, 101, key="purchase:2", months=2)
    award(account, 101, key="purchase:3", active_at=NOW + timedelta(days=9))
    entry = convert(account, "0.95")
    # 95 % of 303 is 287.85, of each lot 95.95, so the last fraction of a point goes nowhere.
    assert standing(account) == (95, 192, 0, 0)
    assert (entry.kind, entry.points, entry.actor_ref) == ("CONVERT", 303, "user:7")
    assert entry.explanation == {
        "from_currency": "EUR",
        "to_currency": "CHF",
        "rate": "0.95",
        "points_before": 303,
        "points_after": 287,
        "residue": "17/20",
    }
    for old in Lot.objects.filter(currency="EUR"):
        new = old.child_lots.get()
        assert (old.open, new.currency, new.unit_value) == (False, "CHF", Decimal("0.02"))
        assert (new.expires_at, new.active_at, new.source_ref) == (
            old.expires_at,
            old.active_at,
            old.source_ref,
        )


def test_converting_again_finds_nothing(account):
    award(account, 100)
    entry = convert(account, "1.1")
    assert convert(account, "1.1") == entry
    assert convert(account, "1.1", key="convert:2") is None
    assert standing(account) == (0, 110, 0, 0)


def test_points_in_other_currencies_stay(account):
    award(account, 100)
    convert(account, "0.5")
    award(account, 30, key="purchase:2")
    assert convert(account, "0.5", key="convert:2", into="USD").points == 30
    assert standing(account) == (0, 65, 0, 0)


def test_a_lot_too_small_for_a_point_is_gone_and_the_books_say_so(account):
    award(account, 1)
    entry = convert(account, "0.4")
    assert (entry.explanation["points_after"], entry.explanation["residue"]) == (0, "2/5")
    assert standing(account) == (0, 0, 0, 0)


def test_points_in_a_reservation_are_converted_when_it_has_ended(account):
    award(account, 100)
    hold(account, 10)
    with pytest.raises(services.HoldsOpen):
        convert(account, "2")
    services.release_hold(ref="basket:1", now=NOW)
    convert(account, "2")
    assert standing(account) == (0, 200, 0, 0)


@pytest.mark.parametrize("rate", ["0", "-1", "NaN", "Infinity"])
def test_a_rate_is_a_number_above_zero(account, rate):
    award(account, 100)
    with pytest.raises(services.InvalidRate):
        convert(account, rate)
    with pytest.raises(services.InvalidRate):
        convert(account, "1", into="EUR")
    assert standing(account) == (0, 100, 0, 0)


def test_a_conversion_into_more_than_can_be_booked_is_refused(account):
    award(account, 10**12)
    with pytest.raises(services.InvalidPoints):
        convert(account, "2")
    assert standing(account) == (0, 10**12, 0, 0)


def test_what_was_earned_before_a_conversion_is_taken_back_from_its_lots(account):
    earned = award(account, 100, key="purchase:1", months=36)
    award(account, 50, key="purchase:2", months=1)
    convert(account, "2")
    clawback(account, earned)
    assert standing(account) == (0, 200, 0, 0)
    assert Lot.objects.get(currency="CHF", source_ref="order:1").reversed == 100

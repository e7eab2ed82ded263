"""Staff correct a balance: asked for, decided on, booked, undone."""

import uuid
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth import get_user_model

from oscar_loyalty.points import services
from oscar_loyalty.points.models import Adjustment, Entry, Lot
from oscar_loyalty.points.services.closing import restore_debt
from oscar_loyalty.programmes.rules import FAR_FUTURE

from .conftest import NOW
from .test_closing import close
from .test_moving import make_account, merge, owe, standing
from .test_services import adjust, award, hold

LATER = NOW + timedelta(days=1)
TERMS = {"expiry_months": 6, "unit_value": Decimal("0.02"), "currency": "CHF"}


@pytest.fixture
def clerk(db):
    return get_user_model().objects.create(username="clerk", email="clerk@example.com")


@pytest.fixture
def boss(db):
    return get_user_model().objects.create(username="boss", email="boss@example.com")


def ask(account, points, *, by, reason="GOODWILL", now=NOW, **values):
    return services.request_adjustment(
        account_id=account.pk, points=points, reason_code=reason, actor_id=by.pk, now=now, **values
    )


def book(adjustment, *, by, now=NOW, **values):
    return services.book_adjustment(adjustment=adjustment, actor_id=by.pk, now=now, **TERMS, **values)


def undo(adjustment, *, by, now=NOW, **values):
    return services.undo_adjustment(adjustment=adjustment, actor_id=by.pk, now=now, **TERMS, **values)


def owe_beside_a_reservation(account):
    """30 points owed, and 50 reserved of a lot that expires soon."""
    earned = award(account, 50, key="purchase:soon", months=1)
    hold(account, 50, ref="basket:soon")
    services.clawback_points(
        account_id=account.pk, earned=earned, points=30, idempotency_key="cancel:soon", now=NOW
    )
    assert standing(account) == (0, 0, 50, 30)
    return Lot.objects.get(account=account)


# Booking


def test_a_credit_says_what_it_is_worth_and_how_long_it_lives(account, clerk):
    booked = book(ask(account, 50, by=clerk), by=clerk)
    lot = Lot.objects.get()
    assert (lot.amount, lot.remaining, lot.source_ref) == (50, 50, f"adjustment:{booked.pk}")
    assert (lot.unit_value, lot.currency, lot.expiry_months) == (Decimal("0.02"), "CHF", 6)
    assert (lot.active_at, lot.expires_at.date().isoformat()) == (NOW, "2026-09-10")
    entry = booked.entry
    assert (entry.kind, entry.points, entry.reason_code) == ("ADJUST_UP", 50, "GOODWILL")
    assert (entry.actor_ref, entry.idempotency_key) == (f"user:{clerk.pk}", f"adjustment:{booked.pk}")


def test_all_that_is_available_may_be_deducted(account):
    award(account, 100)
    entry = adjust(account, -100)
    assert standing(account) == (0, 0, 0, 0)
    assert (entry.kind, entry.points, entry.reason_code, entry.actor_ref) == (
        *("ADJUST_DOWN", 100),
        *("GOODWILL", "user:1"),
    )


@pytest.mark.parametrize("points", [1, -1])
def test_a_single_point_is_corrected(account, points):
    award(account, 5)
    adjust(account, points)
    assert standing(account) == (0, 5 + points, 0, 0)


def test_a_credit_in_no_currency_is_refused(account):
    with pytest.raises(services.InvalidText):
        services.adjust_points(
            account_id=account.pk,
            points=5,
            reason_code="GOODWILL",
            idempotency_key="adjustment:1",
            actor_ref="user:1",
            now=NOW,
            **{**TERMS, "currency": "EURO"},
        )


def test_a_correction_repeated_is_booked_once_and_another_with_its_key_never(account):
    first = adjust(account, 50)
    assert adjust(account, 50) == first
    with pytest.raises(services.IdempotencyKeyReused):
        adjust(account, 51)
    assert standing(account) == (0, 50, 0, 0)


@pytest.mark.parametrize("points", [0, 1.5, True, "7", 10**12 + 1, -(10**12) - 1])
def test_only_whole_points_are_corrected(account, clerk, points):
    award(account, 100)
    with pytest.raises(services.InvalidPoints):
        adjust(account, points)
    with pytest.raises(services.InvalidPoints):
        ask(account, points, by=clerk)
    assert standing(account) == (0, 100, 0, 0)
    assert not Adjustment.objects.exists()


@pytest.mark.parametrize("points", [10, -10])
def test_a_frozen_account_is_not_corrected(account, clerk, points):
    award(account, 100)
    services.freeze_account(account_id=account.pk, actor_id=clerk.pk, note="", now=NOW)
    with pytest.raises(services.AccountNotOpen):
        adjust(account, points)
    assert standing(account) == (0, 100, 0, 0)


def test_a_credit_repays_a_deficit_and_leaves_a_reservation_its_lot(account):
    reserved = owe_beside_a_reservation(account)
    adjust(account, 40)
    reserved.refresh_from_db()
    assert reserved.remaining == 50
    assert standing(account) == (0, 10, 50, 0)


def test_what_expires_while_staff_correct_is_booked_by_them(account):
    award(account, 100, months=1)
    services.adjust_points(
        account_id=account.pk,
        points=5,
        reason_code="GOODWILL",
        idempotency_key="adjustment:1",
        actor_ref="user:1",
        now=NOW + timedelta(days=60),
        **TERMS,
    )
    assert Entry.objects.get(kind="EXPIRE").actor_ref == "user:1"


# Asking


def test_a_wish_is_kept_as_it_was_stated(account, clerk):
    words = {"customer_text_de": "Verzeihung", "customer_text_en": "Sorry", "internal_note": "Late parcel"}
    wish = ask(account, -5, by=clerk, reason="CORRECTION", **words)
    wish.refresh_from_db()
    assert (wish.account, wish.points, wish.reason_code) == (account, -5, "CORRECTION")
    assert (wish.requested_by, wish.requested_at, wish.state) == (clerk, NOW, "REQUESTED")
    assert {name: getattr(wish, name) for name in words} == words
    assert standing(account) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    "words",
    [
        {"customer_text_de": "x" * 201},
        {"customer_text_en": "x" * 201},
        {"customer_text_de": "a\0b"},
        {"internal_note": "a\0b"},
        {"internal_note": "z" * (10**6 + 1)},
        {"internal_note": None},
    ],
)
def test_a_wish_in_words_that_cannot_be_stored_is_refused(account, clerk, words):
    with pytest.raises(services.InvalidText):
        ask(account, 5, by=clerk, **words)
    assert not Adjustment.objects.exists()


def test_a_text_has_two_hundred_characters_for_the_customer_and_a_million_for_staff(account, clerk):
    words = {"customer_text_de": "x" * 200, "customer_text_en": "y" * 200, "internal_note": "z" * 10**6}
    wish = ask(account, 5, by=clerk, **words)
    wish.refresh_from_db()
    assert {name: getattr(wish, name) for name in words} == words


def test_an_equal_wish_is_noted_once_while_it_waits(account, clerk, boss):
    wish = ask(account, 5, by=clerk)
    assert ask(account, 5, by=clerk, now=LATER) == wish
    others = [
        ask(account, 5, by=boss),
        ask(account, 6, by=clerk),
        ask(account, 5, by=clerk, reason="PROMOTION"),
    ]
    assert len({wish, *others}) == 4
    book(wish, by=clerk)
    assert ask(account, 5, by=clerk) != wish
    undone = undo(wish, by=clerk, four_eyes_points=4)
    assert ask(account, -5, by=clerk, reason="UNDO") != undone


def test_a_wish_with_a_name_is_the_same_whatever_became_of_it(account, clerk):
    name = uuid.uuid4()
    wish = ask(account, 5, by=clerk, public_id=name)
    assert (wish.public_id, wish.requested_at) == (name, NOW)
    book(wish, by=clerk)
    again = ask(account, 5, by=clerk, public_id=name, now=LATER)
    assert (again, again.state, again.requested_at) == (wish, "BOOKED", NOW)
    with pytest.raises(services.IdempotencyKeyReused):
        ask(account, 6, by=clerk, public_id=name)
    assert ask(account, 5, by=clerk, public_id=uuid.uuid4()) != wish
    assert standing(account) == (0, 5, 0, 0)


@pytest.mark.parametrize("points", [30, 1])
def test_a_deficit_may_be_asked_to_be_forgiven(account, clerk, points):
    owe(account, 30)
    assert ask(account, points, by=clerk, reason="WRITE_OFF").points == points
    with pytest.raises(services.InvalidPoints):
        ask(account, -1, by=clerk, reason="WRITE_OFF")
    assert ask(account, -1, by=clerk).points == -1


# Deciding


def test_who_decided_is_kept(account, clerk, boss):
    booked = book(ask(account, 5, by=clerk), by=boss, now=LATER)
    rejected = services.reject_adjustment(adjustment=ask(account, 6, by=clerk), actor_id=boss.pk, now=LATER)
    for wish, state in ((booked, "BOOKED"), (rejected, "REJECTED")):
        wish.refresh_from_db()
        assert (wish.state, wish.decided_by, wish.decided_at) == (state, boss, LATER)
    assert booked.entry.actor_ref == f"user:{boss.pk}"
    assert standing(account) == (0, 5, 0, 0)


def test_what_was_decided_stays_so(account, clerk, boss):
    booked = book(ask(account, 5, by=clerk), by=clerk)
    assert book(booked, by=boss, now=LATER) == booked
    services.reject_adjustment(adjustment=booked, actor_id=boss.pk, now=LATER)
    rejected = services.reject_adjustment(adjustment=ask(account, 6, by=clerk), actor_id=clerk.pk, now=NOW)
    services.reject_adjustment(adjustment=rejected, actor_id=boss.pk, now=LATER)
    with pytest.raises(services.AdjustmentRejected):
        book(rejected, by=boss, now=LATER)
    for wish, state in ((booked, "BOOKED"), (rejected, "REJECTED")):
        wish.refresh_from_db()
        assert (wish.state, wish.decided_by, wish.decided_at) == (state, clerk, NOW)
    assert standing(account) == (0, 5, 0, 0)


# Undoing


@pytest.mark.parametrize("points", [20, -20])
def test_the_opposite_is_booked_with_what_staff_say(account, clerk, boss, points):
    award(account, 100)
    given = book(ask(account, points, by=clerk), by=clerk)
    opposite = undo(given, by=boss, internal_note="Wrong member", now=LATER)
    assert (opposite.undoes, opposite.points, opposite.reason_code) == (given, -points, "UNDO")
    assert (opposite.internal_note, opposite.requested_by, opposite.requested_at) == (
        *("Wrong member", boss),
        LATER,
    )
    assert (opposite.state, opposite.decided_by, opposite.decided_at) == ("BOOKED", boss, LATER)
    assert (opposite.entry.reason_code, opposite.entry.actor_ref) == ("UNDO", f"user:{boss.pk}")
    assert standing(account) == (0, 100, 0, 0)


def test_what_was_not_booked_is_not_undone(account, clerk):
    waiting = ask(account, 5, by=clerk)
    with pytest.raises(services.AdjustmentNotBooked):
        undo(waiting, by=clerk)
    services.reject_adjustment(adjustment=waiting, actor_id=clerk.pk, now=NOW)
    with pytest.raises(services.AdjustmentNotBooked):
        undo(waiting, by=clerk)
    assert standing(account) == (0, 0, 0, 0)


def test_an_undo_that_was_rejected_stays_so(account, clerk, boss):
    given = book(ask(account, 50, by=clerk), by=clerk)
    opposite = undo(given, by=clerk, four_eyes_points=49)
    services.reject_adjustment(adjustment=opposite, actor_id=boss.pk, now=NOW)
    with pytest.raises(services.AdjustmentRejected):
        undo(given, by=boss, four_eyes_points=49)
    assert standing(account) == (0, 50, 0, 0)


def test_a_credit_that_was_spent_is_not_undone(account, clerk):
    given = book(ask(account, 50, by=clerk), by=clerk)
    hold(account, 1)
    with pytest.raises(services.InsufficientPoints):
        undo(given, by=clerk)
    assert standing(account) == (0, 49, 1, 0)


# Deficits


def restore(account, points, *, key="restore:1"):
    return restore_debt(
        account_id=account.pk,
        points=points,
        reason_code="UNDO",
        idempotency_key=key,
        actor_ref="user:1",
        now=NOW,
    )


def test_a_deficit_is_restored_once(account):
    award(account, 10)
    entry = restore(account, 30)
    assert (entry.kind, entry.points, entry.reason_code, entry.actor_ref) == (
        *("ADJUST_DOWN", 30),
        *("UNDO", "user:1"),
    )
    assert restore(account, 30) == entry
    with pytest.raises(services.IdempotencyKeyReused):
        restore(account, 31)
    assert standing(account) == (0, 0, 0, 20)


def test_nobody_owes_on_a_closed_account(account, clerk):
    owe(account, 30)
    forgiven = book(ask(account, 30, by=clerk, reason="WRITE_OFF"), by=clerk)
    assert forgiven.entry.actor_ref == f"user:{clerk.pk}"
    close(account)
    with pytest.raises(services.AccountNotOpen):
        undo(forgiven, by=clerk)
    assert standing(account) == (0, 0, 0, 0)


def test_a_deficit_of_a_frozen_account_is_forgiven_and_restored(account, clerk):
    owe(account, 30)
    services.freeze_account(account_id=account.pk, actor_id=clerk.pk, note="", now=NOW)
    forgiven = book(ask(account, 30, by=clerk, reason="WRITE_OFF"), by=clerk)
    assert standing(account) == (0, 0, 0, 0)
    undo(forgiven, by=clerk)
    assert standing(account) == (0, 0, 0, 30)


def test_a_credit_of_a_merged_account_without_expiry_is_undone_where_it_went(account, clerk, programme):
    other = make_account(programme)
    given = services.book_adjustment(
        adjustment=ask(account, 50, by=clerk),
        actor_id=clerk.pk,
        now=NOW,
        **{**TERMS, "expiry_months": None},
    )
    assert Lot.objects.get().expires_at == FAR_FUTURE
    merge(account, other)
    assert undo(given, by=clerk).account == other
    assert standing(account, other) == [(0, 0, 0, 0), (0, 0, 0, 0)]

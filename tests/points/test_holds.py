"""Reservations to the edge: renewed, ended by time, captured in part, beside a deficit."""

from datetime import timedelta
from decimal import Decimal

import pytest

from oscar_loyalty.points import services
from oscar_loyalty.points.models import Entry, Hold, Lot

from .conftest import NOW
from .test_services import award, balance, capture, hold

HALF_AN_HOUR = timedelta(minutes=30)


def end_by_time(reserved):
    return services.release_hold(ref=reserved.ref, state=Hold.State.EXPIRED, now=reserved.expires_at)


def renew(reserved, *, now):
    return services.renew_hold(hold=reserved, expires_at=now + HALF_AN_HOUR, now=now)


def indebted(account, *, reserved):
    """All points were taken back while some were reserved."""
    earned = award(account, 100)
    hold(account, reserved)
    services.clawback_points(account_id=account.pk, earned=earned, idempotency_key="c", now=NOW)
    assert balance(account) == (0, 0, reserved, reserved)


def test_an_open_reservation_lives_longer(account):
    award(account, 100)
    reserved = hold(account, 60)
    later = NOW + timedelta(minutes=10)
    renewed = renew(reserved, now=later)
    assert renewed.pk == reserved.pk
    renewed.refresh_from_db()
    assert (renewed.points, renewed.expires_at) == (60, later + HALF_AN_HOUR)
    assert balance(account) == (0, 40, 60, 0)


def test_a_reservation_ends_at_its_very_moment(account):
    award(account, 100)
    reserved = hold(account, 60)
    early = reserved.expires_at - timedelta(microseconds=1)
    assert services.release_hold(ref=reserved.ref, state=Hold.State.EXPIRED, now=early) == 0
    assert end_by_time(reserved) == 60
    reserved.refresh_from_db()
    assert (reserved.state, reserved.closed_at, reserved.open_key) == ("EXPIRED", reserved.expires_at, None)
    assert balance(account) == (0, 100, 0, 0)


def test_an_expired_reservation_is_made_again_for_what_there_is(account):
    award(account, 100)
    reserved = hold(account, 60)
    end_by_time(reserved)
    later = reserved.expires_at
    hold(account, 80, ref="basket:2", now=later)
    again = renew(reserved, now=later)
    assert again.pk != reserved.pk
    again.refresh_from_db()
    assert (again.account_id, again.ref, again.open_key) == (account.pk, "basket:1", "basket:1")
    assert (again.requested, again.points, again.currency) == (60, 20, "EUR")
    assert (again.created_at, again.expires_at) == (later, later + HALF_AN_HOUR)
    assert balance(account) == (0, 0, 100, 0)


@pytest.mark.parametrize("ended", ["released", "captured", "made again"])
def test_what_has_ended_or_become_another_is_not_renewed(account, ended):
    award(account, 100)
    reserved = hold(account, 60)
    if ended == "released":
        services.release_hold(ref=reserved.ref, now=NOW)
    elif ended == "captured":
        capture(60)
    else:
        end_by_time(reserved)
        hold(account, 30, now=reserved.expires_at)
    before = balance(account)
    with pytest.raises(services.HoldNotOpen):
        renew(reserved, now=reserved.expires_at)
    assert balance(account) == before


def test_what_a_capture_leaves_repays_a_deficit(account):
    indebted(account, reserved=80)
    capture(50)
    assert balance(account) == (0, 0, 0, 50)


def test_what_a_smaller_reservation_leaves_repays_a_deficit(account):
    indebted(account, reserved=80)
    assert hold(account, 50).points == 50
    assert balance(account) == (0, 0, 50, 50)


def test_what_a_capture_leaves_has_expired_meanwhile(account):
    award(account, 100, months=1)
    hold(account, 80)
    capture(50, now=NOW + timedelta(days=60))
    assert balance(account) == (0, 0, 0, 0)
    assert (account.spent, account.expired) == (50, 50)


def test_what_was_never_reserved_is_not_captured(account):
    award(account, 100)
    with pytest.raises(services.HoldNotOpen):
        capture(60)
    assert balance(account) == (0, 100, 0, 0)


def test_a_capture_says_what_it_saved(account):
    award(account, 100)
    reserved = hold(account, 60)
    entry = capture(50)
    reserved.refresh_from_db()
    assert entry.explanation == {"amount": "0.5", "currency": "EUR"}
    assert (reserved.amount, reserved.captured, reserved.order_ref) == (Decimal("0.5"), 50, "100")


def test_who_releases_is_kept(account):
    award(account, 100)
    hold(account, 60)
    services.release_hold(ref="basket:1", actor_ref="user:1", now=NOW)
    assert Entry.objects.get(kind="RELEASE").actor_ref == "user:1"


def test_returned_points_repay_a_deficit(account):
    earned = award(account, 100)
    hold(account, 100)
    spent = capture(100)
    services.clawback_points(account_id=account.pk, earned=earned, idempotency_key="c", now=NOW)
    assert balance(account) == (0, 0, 0, 100)
    services.return_spend(account_id=account.pk, spent=spent, idempotency_key="r", grace_days=30, now=NOW)
    assert balance(account) == (0, 0, 0, 0)


def test_points_returned_at_the_moment_of_their_expiry_get_the_grace_period(account):
    award(account, 100, months=1)
    hold(account, 60)
    spent = capture(60)
    over = Lot.objects.get().expires_at
    services.return_spend(account_id=account.pk, spent=spent, idempotency_key="r", grace_days=30, now=over)
    assert balance(account) == (0, 60, 0, 0)
    assert Lot.objects.get(parent_lot__isnull=False).expires_at > over + timedelta(days=30)


@pytest.mark.parametrize("points", [0, -1, 1.5, True, "12", None])
def test_only_whole_points_are_reserved_and_captured(account, points):
    award(account, 100)
    with pytest.raises(services.InvalidPoints):
        hold(account, points)
    hold(account, 60)
    with pytest.raises(services.InvalidPoints):
        services.capture_hold(ref="basket:1", points=points, amount=1, order_ref="100", now=NOW)
    assert balance(account) == (0, 40, 60, 0)


@pytest.mark.parametrize("ref", ["basket:\0", "b" * 129, "\ud800", 7])
def test_only_what_every_engine_stores_names_a_reservation(account, ref):
    award(account, 100)
    with pytest.raises(services.InvalidText):
        hold(account, 60, ref=ref)
    with pytest.raises(services.InvalidText):
        capture(60, ref=ref)
    with pytest.raises(services.InvalidText):
        services.release_hold(ref=ref, now=NOW)
    assert balance(account) == (0, 100, 0, 0)


def test_a_currency_has_three_letters(account):
    award(account, 100)
    with pytest.raises(services.InvalidText):
        services.hold_points(
            account_id=account.pk,
            ref="basket:1",
            requested=10,
            currency="EURO",
            expires_at=NOW + HALF_AN_HOUR,
            now=NOW,
        )
    assert balance(account) == (0, 100, 0, 0)


def test_what_a_release_pays_back_does_not_expire_as_well(account):
    earned = award(account, 100, months=1)
    hold(account, 100)
    services.clawback_points(account_id=account.pk, earned=earned, points=60, idempotency_key="c", now=NOW)
    assert balance(account) == (0, 0, 100, 60)
    # The lot is over, and lives on in the reservation; 60 of it pay what is owed, the rest expires.
    assert services.release_hold(ref="basket:1", now=NOW + timedelta(days=60)) == 100
    assert balance(account) == (0, 0, 0, 0)
    assert dict(Entry.objects.filter(kind__in=["REPAY", "EXPIRE"]).values_list("kind", "points")) == {
        "REPAY": 60,
        "EXPIRE": 40,
    }


def test_who_releases_is_written_in_a_text_that_every_engine_stores(account):
    award(account, 100)
    hold(account, 60)
    with pytest.raises(services.InvalidText):
        services.release_hold(ref="basket:1", now=NOW, actor_ref="staff\0")
    assert balance(account) == (0, 40, 60, 0)

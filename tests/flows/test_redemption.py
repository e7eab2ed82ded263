from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import time_machine
from django.utils import timezone
from oscar.core.loading import get_model
from oscar.test import factories

from oscar_loyalty.flows.expiry import end_expired_holds
from oscar_loyalty.flows.redemption import RedemptionRefused, get_redemption, redeem, undo_redemption
from oscar_loyalty.points.models import Entry, Hold
from oscar_loyalty.points.services import InvalidPoints
from oscar_loyalty.shop.offers import ensure_offer
from oscar_loyalty.testing.ledger import assert_ledger_balanced
from tests.shop import world
from tests.shop.world import load, make_basket, make_member

START = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
Basket = get_model("basket", "Basket")


@pytest.fixture
def clock():
    """Oscar applies offers at the time of the clock on the wall; this one stands until it is moved."""
    with time_machine.travel(START, tick=False) as traveller:
        yield traveller


@pytest.fixture
def programme(db, clock):
    ensure_offer()
    return world.make_programme()


@pytest.fixture
def member(programme):
    return make_member()


def spend(basket, points):
    return redeem(basket=basket, points=points, now=timezone.now())


def look(basket):
    return get_redemption(basket=basket, now=timezone.now())


def balance(account):
    assert_ledger_balanced(account)
    return account.available, account.held


# What is possible


def test_before_anything_is_asked_for_the_limits_are_told(member):
    state = look(make_basket(member.user))
    assert (state.state, state.currency, state.available, state.maximum) == (
        "redeemable",
        "EUR",
        10_000,
        3000,
    )
    assert (state.maximum_amount, state.maximum_reasons) == (Decimal("30.00"), ("goods",))
    assert (state.requested, state.applied, state.amount, state.reasons) == (0, 0, Decimal(0), ())
    assert (state.goods, state.total, state.balance_after) == (Decimal("30.00"), Decimal("30.00"), 10_000)
    assert (state.minimum, state.step, state.share_percent, state.expires_at) == (1, 1, Decimal(100), None)


def test_spending_reserves_points_and_tells_the_new_totals(member):
    basket = make_basket(member.user)
    state = spend(basket, 1000)
    assert (state.requested, state.applied, state.amount) == (1000, 1000, Decimal("10.00"))
    assert (state.goods, state.total, state.balance_after) == (Decimal("30.00"), Decimal("20.00"), 9000)
    assert state.maximum == 3000
    assert state.expires_at == START + timedelta(minutes=30)
    assert basket.total_incl_tax == Decimal("20.00")
    assert look(load(basket)) == state
    assert balance(member) == (9000, 1000)


def test_another_number_takes_the_place_of_the_first(member):
    basket = make_basket(member.user)
    for points in (1000, 2500, 300):
        assert spend(basket, points).applied == points
        assert balance(member) == (10_000 - points, points)
    assert basket.total_incl_tax == Decimal("27.00")
    assert Hold.objects.count() == 1


def test_a_double_click_spends_once(member):
    basket = make_basket(member.user)
    assert spend(basket, 1000) == spend(load(basket), 1000)
    assert balance(member) == (9000, 1000)


@pytest.mark.parametrize("points", [0, -1, 1.5, True, "100", 10**13])
def test_only_whole_points_above_zero_are_taken(member, points):
    basket = make_basket(member.user)
    with pytest.raises(InvalidPoints):
        spend(basket, points)
    assert not Hold.objects.exists()


@pytest.mark.parametrize(
    ("terms", "asked", "applied", "reasons"),
    [
        ({}, 50_000, 3000, ("balance", "goods")),
        ({"maximum_share_percent": Decimal(50)}, 2000, 1500, ("share",)),
        ({}, 2980, 2950, ("card_minimum",)),
        ({"step_points": 100}, 1234, 1200, ("step",)),
        ({"minimum_points": 500}, 500, 500, ()),
    ],
)
def test_what_is_applied_keeps_the_limits_and_says_why(member, programme, terms, asked, applied, reasons):
    world.change_programme(programme, **terms)
    state = spend(make_basket(member.user), asked)
    assert (state.requested, state.applied, state.reasons) == (asked, applied, reasons)


def test_everything_pays_for_all_goods(member):
    state = spend(make_basket(member.user, [("9.99", 3, 19)]), 10**12)
    assert (state.applied, state.total) == (2997, Decimal("0.00"))


# What is refused


def refusal(basket, points=1000):
    before = list(Hold.objects.values())
    with pytest.raises(RedemptionRefused) as refused:
        spend(basket, points)
    assert list(Hold.objects.values()) == before
    return refused.value.code


def test_a_guest_is_refused(programme):
    basket = make_basket(None)
    assert refusal(basket) == look(basket).state == "guest"
    assert look(basket).goods == Decimal("30.00")


def test_a_customer_who_takes_no_part_is_refused(programme):
    basket = make_basket(factories.UserFactory())
    assert refusal(basket) == look(basket).state == "not_member"


def test_a_paused_programme_refuses(member, programme):
    programme.redemption_paused = True
    programme.save()
    basket = make_basket(member.user)
    assert refusal(basket) == look(basket).state == "paused"


def test_a_frozen_account_is_refused(member):
    basket = make_basket(member.user)
    type(member).objects.update(status="FROZEN")
    world.load(basket)
    assert refusal(basket) == "account_frozen"


def test_a_shop_without_a_programme_refuses(db, clock):
    basket = make_basket(factories.UserFactory())
    assert refusal(basket) == "not_member"


def test_an_empty_basket_is_refused(member):
    basket = make_basket(member.user, [])
    assert refusal(basket) == look(basket).state == "basket_empty"


def test_a_basket_that_is_being_paid_can_be_neither_changed_nor_undone(member):
    basket = make_basket(member.user)
    spend(basket, 1000)
    basket.freeze()
    basket = load(basket)
    assert look(basket).state == "basket_frozen"
    assert look(basket).applied == 1000
    assert refusal(basket, 500) == "basket_frozen"
    with pytest.raises(RedemptionRefused, match="basket_frozen"):
        undo_redemption(basket=basket, now=timezone.now())
    assert balance(member) == (9000, 1000)


@pytest.mark.parametrize("status", ["Frozen", "Submitted"])
def test_a_basket_that_another_request_is_ordering_takes_no_points(member, status):
    basket = make_basket(member.user)
    Basket.objects.update(status=status)
    with pytest.raises(RedemptionRefused, match="basket_frozen"):
        spend(basket, 500)
    assert not Hold.objects.exists()
    assert basket.total_incl_tax == Decimal("30.00")


def test_who_has_no_points_is_refused(programme):
    basket = make_basket(make_member(points=0).user)
    assert refusal(basket) == look(basket).state == "insufficient_points"


def test_a_basket_too_small_for_any_redemption_is_refused(member):
    basket = make_basket(member.user, [("0.40", 1, 19), ("0.30", 1, 19)])
    world.change_programme(get_model("oscar_loyalty", "Programme").objects.get(), minimum_points=200)
    basket = load(basket)
    assert refusal(basket) == look(basket).state == "basket_too_small"


def test_fewer_points_than_the_smallest_redemption_are_refused_and_the_earlier_ones_stay(member, programme):
    world.change_programme(programme, minimum_points=500)
    basket = make_basket(member.user)
    spend(basket, 700)
    assert refusal(basket, 499) == "minimum"
    assert basket.total_incl_tax == Decimal("23.00")


def test_an_amount_that_leaves_nothing_after_its_limits_is_refused(member):
    basket = make_basket(member.user, [("0.40", 1, 19)])
    assert refusal(basket, 20) == "card_minimum"
    assert balance(member) == (10_000, 0)
    assert spend(basket, 40).total == Decimal("0.00")


@pytest.mark.parametrize("gone", [True, False])
def test_without_the_saved_offer_nothing_is_reserved(member, gone):
    offers = get_model("offer", "ConditionalOffer").objects
    offers.all().delete() if gone else offers.update(status="Suspended")
    basket = make_basket(member.user)
    assert refusal(basket) == "disabled"
    assert balance(member) == (10_000, 0)


# Undoing


def test_undoing_gives_everything_back_and_may_be_repeated(member):
    basket = make_basket(member.user)
    spend(basket, 1000)
    for _ in range(2):
        state = undo_redemption(basket=basket, now=timezone.now())
        assert (state.applied, state.requested, state.total) == (0, 0, Decimal("30.00"))
    assert basket.total_incl_tax == Decimal("30.00")
    assert balance(member) == (10_000, 0)
    assert Hold.objects.get().state == "RELEASED"


def test_undoing_after_expiry_ends_the_wish(member, clock):
    basket = make_basket(member.user)
    spend(basket, 1000)
    clock.shift(timedelta(hours=1))
    end_expired_holds(now=timezone.now())
    undo_redemption(basket=basket, now=timezone.now())
    assert load(basket).total_incl_tax == Decimal("30.00")
    assert look(load(basket)).requested == 0


# The basket changes


def test_the_wish_outlives_a_smaller_basket(member):
    basket = make_basket(member.user, [("30.00", 1, 19), ("10.00", 1, 7)])
    spend(basket, 3500)
    basket.lines.order_by("pk").first().delete()
    state = look(load(basket))
    assert (state.requested, state.applied, state.reasons) == (3500, 1000, ("goods",))
    again = load(basket)
    again.add_product(world.make_product("30.00"))
    assert look(load(again)).applied == 3500


def test_a_changed_quantity_is_quoted_anew(member, programme):
    world.change_programme(programme, maximum_share_percent=Decimal(50))
    basket = make_basket(member.user, [("10.00", 4, 19)])
    spend(basket, 2000)
    line = basket.lines.get()
    line.quantity = 1
    line.save()
    state = look(load(basket))
    assert (state.applied, state.total, state.reasons) == (500, Decimal("5.00"), ("share",))


def test_an_emptied_basket_keeps_the_wish(member):
    basket = make_basket(member.user)
    spend(basket, 1000)
    basket.flush()
    state = look(load(basket))
    assert (state.state, state.requested, state.applied) == ("basket_empty", 1000, 0)
    basket.add_product(world.make_product("30.00"))
    assert load(basket).total_incl_tax == Decimal("20.00")


def test_points_that_come_in_later_are_added_up_to_what_was_asked_for(member):
    basket = make_basket(member.user, [("200.00", 1, 19)])
    assert spend(basket, 12_000).reasons == ("balance",)
    world.give_points(member, 500)
    assert look(load(basket)).applied == 10_500
    assert balance(member) == (0, 10_500)


def test_new_terms_are_kept_at_once(member, programme):
    basket = make_basket(member.user)
    spend(basket, 2000)
    world.change_programme(programme, rate={"redeem_points": 200})
    state = look(load(basket))
    assert (state.applied, state.amount) == (2000, Decimal("10.00"))


# Two devices


def test_two_devices_see_one_basket(member):
    phone = make_basket(member.user)
    laptop = load(phone)
    spend(phone, 1000)
    spend(laptop, 2000)
    assert load(phone).total_incl_tax == Decimal("10.00")
    undo_redemption(basket=phone, now=timezone.now())
    assert load(laptop).total_incl_tax == Decimal("30.00")
    assert balance(member) == (10_000, 0)


def test_a_balance_drained_on_another_device_is_refused_not_guessed(member):
    phone = make_basket(member.user, [("100.00", 1, 19)])
    laptop = make_basket(member.user, [("100.00", 1, 19)])
    spend(laptop, 10_000)
    assert refusal(phone) == "insufficient_points"
    assert look(load(laptop)).applied == 10_000


# The life of a reservation


def test_a_reservation_that_nobody_touches_ends_and_the_wish_stays(member, clock):
    basket = make_basket(member.user)
    spend(basket, 1000)
    clock.shift(timedelta(minutes=29))
    assert end_expired_holds(now=timezone.now()) == 0
    clock.shift(timedelta(minutes=1))
    assert end_expired_holds(now=timezone.now()) == 1
    assert balance(member) == (10_000, 0)
    assert Hold.objects.get().state == "EXPIRED"
    assert look(load(basket)).applied == 1000
    assert balance(member) == (9000, 1000)


def test_a_member_who_is_about_keeps_the_reservation(member, clock):
    basket = make_basket(member.user)
    spend(basket, 1000)
    for _ in range(5):
        clock.shift(timedelta(minutes=20))
        load(basket)
        assert end_expired_holds(now=timezone.now()) == 0
    assert Hold.objects.get().expires_at == timezone.now() + timedelta(minutes=30)
    assert Entry.objects.filter(kind=Entry.Kind.HOLD).count() == 1


def test_looking_twice_in_a_short_time_writes_nothing(member, clock, django_assert_num_queries):
    basket = make_basket(member.user)
    spend(basket, 1000)
    clock.shift(timedelta(minutes=14))
    load(basket)
    assert Hold.objects.get().expires_at == START + timedelta(minutes=30)


def test_a_late_job_takes_nothing_from_a_member_who_is_about(member, clock):
    basket = make_basket(member.user)
    spend(basket, 1000)
    clock.shift(timedelta(hours=3))
    assert load(basket).total_incl_tax == Decimal("20.00")
    assert end_expired_holds(now=timezone.now()) == 0


def test_a_basket_that_waits_for_its_payment_keeps_its_points_for_a_day(member, clock, settings):
    settings.OSCAR_LOYALTY_PAYMENT_HOLD_HOURS = 24
    basket = make_basket(member.user)
    spend(basket, 1000)
    basket.freeze()
    clock.shift(timedelta(hours=24))
    assert end_expired_holds(now=timezone.now()) == 0
    assert balance(member) == (9000, 1000)
    clock.shift(timedelta(minutes=30))
    assert end_expired_holds(now=timezone.now()) == 1
    assert balance(member) == (10_000, 0)


def test_a_basket_thawed_after_a_declined_card_has_its_points_still(member):
    basket = make_basket(member.user)
    spend(basket, 1000)
    basket.freeze()
    basket.thaw()
    assert look(load(basket)).state == "redeemable"
    assert load(basket).total_incl_tax == Decimal("20.00")


def test_a_payment_that_comes_after_the_grace_takes_points_again_if_they_are_there(member, clock):
    basket = make_basket(member.user)
    spend(basket, 1000)
    basket.freeze()
    clock.shift(timedelta(days=3))
    assert end_expired_holds(now=timezone.now()) == 1
    order = world.place(load(basket))
    assert order.total_incl_tax == Decimal("20.00")
    assert balance(member) == (9000, 0)


def test_points_that_expire_while_they_are_reserved_can_still_be_spent(member, clock):
    basket = make_basket(member.user)
    spend(basket, 1000)
    clock.shift(timedelta(days=40 * 31))
    returned = load(basket)
    assert returned.total_incl_tax == Decimal("20.00")
    world.place(returned)
    member.refresh_from_db()
    assert (member.available, member.spent, member.expired) == (0, 1000, 9000)


def test_a_deleted_basket_frees_its_points(member):
    basket = make_basket(member.user)
    spend(basket, 1000)
    basket.delete()
    assert balance(member) == (10_000, 0)
    assert Hold.objects.get().state == "RELEASED"


def test_a_deleted_customer_leaves_no_reservation(member):
    spend(make_basket(member.user), 1000)
    member.user.delete()
    assert balance(member) == (10_000, 0)


# Baskets are merged


def test_a_guests_basket_merged_at_login_leaves_the_members_wish_alone(member):
    own = make_basket(member.user)
    spend(own, 1000)
    guest = make_basket(None, [("12.00", 1, 19)])
    own.merge(guest, add_quantities=False)
    state = look(load(own))
    assert (state.goods, state.applied) == (Decimal("42.00"), 1000)
    assert balance(member) == (9000, 1000)


def test_the_wish_of_the_basket_that_stays_wins(member):
    stays, goes = make_basket(member.user), make_basket(member.user)
    spend(stays, 1000)
    spend(goes, 2000)
    assert balance(member) == (7000, 3000)
    stays.merge(goes)
    assert look(load(stays)).requested == 1000
    assert balance(member) == (9000, 1000)


def test_the_wish_moves_along_when_the_basket_that_stays_has_none(member):
    stays, goes = make_basket(member.user), make_basket(member.user)
    spend(goes, 2000)
    stays.merge(goes)
    assert look(load(stays)).applied == 2000
    assert balance(member) == (8000, 2000)


def test_an_expired_wish_moves_along_too(member, clock):
    stays, goes = make_basket(member.user), make_basket(member.user)
    spend(goes, 2000)
    clock.shift(timedelta(hours=1))
    end_expired_holds(now=timezone.now())
    stays.merge(goes)
    assert look(load(stays)).applied == 2000


def test_merging_frees_the_points_when_there_is_nothing_to_move_them_to(member):
    goes = make_basket(member.user)
    spend(goes, 2000)
    goes.status = Basket.MERGED
    goes.save()
    assert balance(member) == (10_000, 0)


def test_merging_costs_guests_and_others_nothing(programme, django_assert_num_queries):
    guest = make_basket(None)
    guest.status = Basket.MERGED
    with django_assert_num_queries(1):
        guest.save()

"""The birthday gift: one piece, in the week of the birthday, once."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from oscar_loyalty.members.models import Birthday
from oscar_loyalty.shop.gift_offer import is_birthday_week
from oscar_loyalty.shop.perks import PerkUnavailable, get_shelf_value
from oscar_loyalty.tiers.models import PerkUse
from tests.tiers.perk_world import give

from . import world
from .test_perk_totals import recorded_by


@pytest.mark.parametrize(
    ("birthday", "today", "is_it"),
    [
        ((5, 10), date(2026, 5, 10), True),
        ((5, 10), date(2026, 5, 7), True),
        ((5, 10), date(2026, 5, 13), True),
        ((5, 10), date(2026, 5, 6), False),
        ((5, 10), date(2026, 5, 14), False),
        ((1, 1), date(2026, 12, 30), True),
        ((12, 31), date(2026, 1, 2), True),
        ((2, 29), date(2026, 2, 25), True),
        ((2, 29), date(2026, 3, 4), False),
        ((2, 29), date(2028, 3, 3), True),
    ],
)
def test_the_week_of_a_birthday(birthday, today, is_it):
    assert is_birthday_week(month=birthday[0], day=birthday[1], today=today) is is_it


def tell_birthday(member, day, *, days_ago=30):
    set_at = timezone.now() - timedelta(days=days_ago, minutes=1)
    Birthday.objects.update_or_create(
        member=member.member,
        defaults={"month": day.month, "day": day.day, "set_at": set_at, "set_by_ref": "test"},
    )


@pytest.fixture
def cake(member, programme):
    tell_birthday(member, timezone.localdate())
    product = world.make_product("12.00")
    give(member.member, "BIRTHDAY_GIFT", {"product": product.pk}, programme=programme)
    return product


def fill(member, cake, pieces=1):
    basket = world.make_basket(member.user)
    basket.add_product(cake, pieces)
    world.apply_offers(basket)
    return basket


def test_one_piece_is_free_once(member, cake):
    basket = fill(member, cake, 3)
    second = fill(member, cake)
    assert basket.total_incl_tax == Decimal("54.00")
    assert get_shelf_value(basket) == Decimal("54.00"), "the gift does not bring free delivery nearer"
    world.apply_offers(basket)
    assert basket.total_incl_tax == Decimal("54.00")
    order = world.place(basket)
    assert recorded_by(order) == {"Birthday gift": "12.00"}
    assert PerkUse.objects.get().saved == Decimal("12.00")
    with pytest.raises(PerkUnavailable):
        world.place(second)
    assert world.load(second).total_incl_tax == Decimal("42.00")


def test_nothing_is_free_without_the_gift_in_the_basket(member, cake):
    assert world.make_basket(member.user).total_incl_tax == Decimal("30.00")


def test_nothing_is_free_at_another_time(member, cake):
    tell_birthday(member, timezone.localdate() + timedelta(days=90))
    assert fill(member, cake).total_incl_tax == Decimal("42.00")


def test_nothing_is_free_for_whoever_told_no_birthday_or_told_it_just_now(member, cake):
    tell_birthday(member, timezone.localdate(), days_ago=29)
    assert fill(member, cake).total_incl_tax == Decimal("42.00")
    Birthday.objects.all().delete()
    assert fill(member, cake).total_incl_tax == Decimal("42.00")

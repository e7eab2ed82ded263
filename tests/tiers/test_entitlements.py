"""What customers are entitled to: by tier and by grant, with ends and limits of use."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone
from oscar.test import factories

from oscar_loyalty.flows.membership import join_programme
from oscar_loyalty.members.models import Member
from oscar_loyalty.registry import NotRegistered
from oscar_loyalty.tiers import perk_services
from oscar_loyalty.tiers.entitlements import NOTHING, find_entitlements, read_perks
from oscar_loyalty.tiers.models import OrderPerks, PerkUse, TierPerk
from oscar_loyalty.tiers.perks import InvalidParameters
from tests.shop import world

from .perk_world import give, make_tiers, put_into_tier

pytestmark = pytest.mark.django_db


@pytest.fixture
def programme(db):
    return world.make_programme()


@pytest.fixture
def member(programme):
    return join_programme(user_id=factories.UserFactory().pk, now=timezone.now()).member


def ask(member, **values):
    return find_entitlements(user_id=member.user_id, now=values.get("now", timezone.now()))


def use(entitled, kind, number="100001", *, saved="4.90", now=None):
    return perk_services.record_use(
        entitlement=entitled.find(kind),
        entitled=entitled,
        order_ref=number,
        saved=Decimal(saved),
        currency="EUR",
        now=now or timezone.now(),
    )


@pytest.mark.database
def test_a_member_has_the_perks_of_their_tier_and_their_own_in_one_statement(
    programme, member, django_assert_num_queries
):
    make_tiers(
        programme,
        silver=[("FREE_RETURNS", {}), ("RETURN_WINDOW", {"days": 30})],
        gold=[("RETURN_WINDOW", {"days": 100})],
    )
    put_into_tier(member, "silver", programme=programme)
    grant = give(member, "RETURN_WINDOW", {"days": 60}, programme=programme)
    with django_assert_num_queries(1):
        entitled = ask(member)
    assert (entitled.tier_code, entitled.member_id) == ("silver", member.pk)
    assert (entitled.programme_id, entitled.version_number) == (programme.pk, 1)
    assert {(one.kind, one.tier_code, one.grant_id) for one in entitled.all} == {
        ("FREE_RETURNS", "silver", None),
        ("RETURN_WINDOW", "silver", None),
        ("RETURN_WINDOW", "", grant.pk),
    }
    assert entitled.find("RETURN_WINDOW").parameters == {"days": 60}
    assert entitled.find("PARCEL_LOCKER") is None
    assert entitled.has("FREE_RETURNS")
    assert not entitled.has("PARCEL_LOCKER")
    assert entitled.rank == 1
    assert [offering.name("de-at") for offering in entitled.better_offerings("RETURN_WINDOW")] == ["Gold"]


def test_guests_are_entitled_to_nothing_and_cost_no_statement(programme, django_assert_num_queries):
    make_tiers(programme, silver=[("FREE_RETURNS", {})])
    with django_assert_num_queries(0):
        assert find_entitlements(user_id=None, now=timezone.now()) is NOTHING
    with django_assert_num_queries(1):
        seen = read_perks(user_id=None, now=timezone.now())
    assert seen.all == ()
    assert [one.name("en") for one in seen.offerings] == ["Silver"]


@pytest.mark.database
def test_a_tier_that_gives_nothing_is_known_all_the_same(programme, member):
    make_tiers(programme)
    put_into_tier(member, "gold", programme=programme)
    assert ask(member).tier_code == "gold"
    assert ask(member).all == ()


def test_customers_who_take_no_part_or_have_left_have_nothing(programme, member):
    make_tiers(programme, silver=[("FREE_RETURNS", {})])
    put_into_tier(member, "silver", programme=programme)
    give(member, "PARCEL_LOCKER", programme=programme)
    stranger = find_entitlements(user_id=factories.UserFactory().pk, now=timezone.now())
    assert (stranger.all, stranger.member_id, stranger.tier_code) == ((), None, "")
    Member.objects.update(status="LEFT", left_at=timezone.now())
    assert ask(member).all == ()


def test_who_was_merged_into_another_member_has_that_ones_perks(programme, member):
    other = join_programme(user_id=factories.UserFactory().pk, now=timezone.now()).member
    make_tiers(programme, silver=[("FREE_RETURNS", {})])
    put_into_tier(other, "silver", programme=programme)
    Member.objects.filter(pk=member.pk).update(status="MERGED", left_at=timezone.now(), merged_into=other)
    entitled = ask(member)
    assert (entitled.member_id, entitled.tier_code) == (other.pk, "silver")
    assert entitled.has("FREE_RETURNS")


def test_without_a_programme_there_is_nothing(db):
    assert find_entitlements(user_id=7, now=timezone.now()).all == ()


def test_the_version_in_force_counts(programme, member):
    make_tiers(programme, silver=[("FREE_RETURNS", {})])
    put_into_tier(member, "silver", programme=programme)
    before = timezone.now()
    world.change_programme(programme)
    assert not ask(member).has("FREE_RETURNS")
    assert ask(member, now=before).has("FREE_RETURNS")


def test_grants_act_from_and_until_and_not_once_taken_back(programme, member):
    now = timezone.now()
    grant = give(
        member,
        "FREE_RETURNS",
        programme=programme,
        active_from=now,
        active_to=now + timedelta(days=1),
    )
    assert not ask(member, now=now - timedelta(seconds=1)).has("FREE_RETURNS")
    assert ask(member, now=now).has("FREE_RETURNS")
    assert not ask(member, now=now + timedelta(days=1)).has("FREE_RETURNS")
    taken = perk_services.revoke_grant(grant_id=grant.pk, reason="By mistake", now=now)
    assert taken.reason == "Apology · By mistake"
    assert not ask(member, now=now).has("FREE_RETURNS")
    with pytest.raises(perk_services.GrantOver):
        perk_services.revoke_grant(grant_id=grant.pk, reason="Again", now=now)


def test_a_grant_needs_a_known_kind_and_right_details(programme, member):
    with pytest.raises(NotRegistered):
        give(member, "FREE_BEER", programme=programme)
    with pytest.raises(InvalidParameters):
        give(member, "RETURN_WINDOW", {"days": "many"}, programme=programme)


def test_stored_perks_that_nobody_can_read_give_nothing(programme, member):
    version = make_tiers(programme, silver=[("FREE_RETURNS", {})])
    put_into_tier(member, "silver", programme=programme)
    for kind, parameters in [("FREE_BEER", {}), ("RETURN_WINDOW", {}), ("EARLY_ACCESS", ["hours"])]:
        TierPerk.objects.create(version=version, tier_code="silver", kind=kind, parameters=parameters)
    assert [one.kind for one in ask(member).all] == ["FREE_RETURNS"]


# Uses


@pytest.mark.database
@pytest.mark.parametrize("granted", [True, False])
def test_a_limited_perk_is_used_up_and_comes_back_with_a_cancelled_order(programme, member, granted):
    if granted:
        give(member, "FREE_SHIPPING", programme=programme, uses_allowed=1)
    else:
        make_tiers(programme, silver=[("FREE_SHIPPING", {}, 1)])
        put_into_tier(member, "silver", programme=programme)
    entitled = ask(member)
    assert entitled.find("FREE_SHIPPING").uses_left == 1
    first = use(entitled, "FREE_SHIPPING")
    assert use(entitled, "FREE_SHIPPING") == first, "once for each order"
    assert not ask(member).has("FREE_SHIPPING")
    with pytest.raises(perk_services.PerkUsedUp):
        use(entitled, "FREE_SHIPPING", "100002")
    assert perk_services.undo_uses(order_ref="100001", now=timezone.now()) == 1
    assert perk_services.undo_uses(order_ref="100001", now=timezone.now()) == 0
    assert ask(member).has("FREE_SHIPPING")
    use(entitled, "FREE_SHIPPING", "100002")
    with pytest.raises(perk_services.PerkUsedUp):
        use(entitled, "FREE_SHIPPING")


def test_uses_of_a_tiers_perk_are_counted_over_a_year(programme, member):
    make_tiers(programme, silver=[("FREE_SHIPPING", {}, 1)])
    put_into_tier(member, "silver", programme=programme)
    now = timezone.now()
    use(ask(member), "FREE_SHIPPING", now=now)
    assert not ask(member, now=now + timedelta(days=364)).has("FREE_SHIPPING")
    assert ask(member, now=now + timedelta(days=365)).has("FREE_SHIPPING")


def test_uses_of_a_grant_do_not_count_for_the_tiers_perk(programme, member):
    make_tiers(programme, silver=[("FREE_SHIPPING", {"methods": ["standard"]}, 1)])
    put_into_tier(member, "silver", programme=programme)
    give(member, "FREE_SHIPPING", programme=programme)
    use(ask(member), "FREE_SHIPPING")
    assert len(ask(member).of("FREE_SHIPPING")) == 2


def test_a_grant_that_was_taken_back_meanwhile_is_not_used(programme, member):
    grant = give(member, "FREE_SHIPPING", programme=programme)
    entitled = ask(member)
    perk_services.revoke_grant(grant_id=grant.pk, reason="", now=timezone.now())
    with pytest.raises(perk_services.PerkUsedUp):
        use(entitled, "FREE_SHIPPING")
    assert not PerkUse.objects.exists()


def test_a_use_that_saved_nothing_in_the_end_was_none(programme, member):
    give(member, "FREE_SHIPPING", programme=programme)
    use(ask(member), "FREE_SHIPPING", saved="0")
    told = {"order_ref": "100001", "kind": "FREE_SHIPPING", "currency": "EUR"}
    perk_services.set_saved(**told, saved=Decimal("4.90"))
    assert PerkUse.objects.get().saved == Decimal("4.90")
    perk_services.set_saved(**told, saved=Decimal(0))
    assert not PerkUse.objects.exists()


def test_what_an_order_was_promised_is_frozen_once(programme, member):
    make_tiers(programme, silver=[("RETURN_WINDOW", {"days": 30})])
    put_into_tier(member, "silver", programme=programme)
    grant = give(member, "FREE_RETURNS", programme=programme)
    now = timezone.now()
    kept = perk_services.freeze_perks(order_ref="100001", entitled=ask(member), now=now)
    assert (kept.tier_code, kept.version_number, kept.member) == ("silver", 1, member)
    assert kept.perks == [
        {"kind": "RETURN_WINDOW", "parameters": {"days": 30}, "source": "tier:silver"},
        {"kind": "FREE_RETURNS", "parameters": {}, "source": f"grant:{grant.pk}"},
    ]
    TierPerk.objects.all().delete()
    assert perk_services.freeze_perks(order_ref="100001", entitled=ask(member), now=now) == kept
    assert perk_services.freeze_perks(order_ref="100002", entitled=NOTHING, now=now) is None
    assert OrderPerks.objects.get().perks == kept.perks

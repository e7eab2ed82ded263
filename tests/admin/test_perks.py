"""Perks in Django's admin: the kind first, then its form; grants with a reason, never deleted."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from oscar.test import factories

from oscar_loyalty.programmes.models import ProgrammeVersion
from oscar_loyalty.tiers.models import PerkGrant, ProductAccess, Tier, TierPerk
from tests.tiers.perk_world import give

GRANTS = "admin:oscar_loyalty_perkgrant"
PERKS = "admin:oscar_loyalty_tierperk"


@pytest.fixture
def planned(programme):
    """A version that is not in force yet, with one tier."""
    version = ProgrammeVersion.objects.create(
        programme=programme, number=2, active_from=timezone.now() + timedelta(days=7), terms_version="1"
    )
    Tier.objects.create(
        version=version,
        code="silver",
        name_de="Silber",
        name_en="Silver",
        rank=1,
        entry_threshold=100,
        keep_threshold=50,
    )
    return version


def test_the_kind_is_chosen_first(admin_client):
    page = admin_client.get(reverse(f"{PERKS}_add")).content.decode()
    assert "?kind=FREE_SHIPPING" in page
    assert "Free delivery" in page
    form = admin_client.get(reverse(f"{PERKS}_add"), {"kind": "RETURN_WINDOW"}).content.decode()
    assert 'name="parameter_days"' in form


def test_a_perk_is_given_to_a_tier_of_a_version_to_come(admin_client, planned):
    url = reverse(f"{PERKS}_add") + "?kind=RETURN_WINDOW"
    wrong = admin_client.post(url, {"version": planned.pk, "tier_code": "gold", "parameter_days": "0"})
    assert "This version has no such tier." in wrong.content.decode()
    assert "This must be at least 1." in wrong.content.decode()
    data = {"version": planned.pk, "tier_code": "silver", "parameter_days": "100"}
    assert admin_client.post(url, data).status_code == 302
    perk = TierPerk.objects.get()
    assert (perk.kind, perk.parameters) == ("RETURN_WINDOW", {"days": 100})
    assert "The tier has this perk already." in admin_client.post(url, data).content.decode()
    page = admin_client.get(reverse(f"{PERKS}_change", args=[perk.pk])).content.decode()
    assert "100 days to return what you bought" in page
    assert 'value="100"' in page
    data["parameter_days"] = "60"
    assert admin_client.post(reverse(f"{PERKS}_change", args=[perk.pk]), data).status_code == 302
    assert TierPerk.objects.get().parameters == {"days": 60}
    assert "60 days to return" in admin_client.get(reverse(f"{PERKS}_changelist")).content.decode()


def test_what_is_typed_is_said_in_words_before_it_is_saved(admin_client, planned, make_member):
    url = reverse(f"{PERKS}_add") + "?kind=RETURN_WINDOW"
    page = admin_client.get(url).content.decode()
    assert "Longer time to return" in page
    assert 'name="_preview"' in page
    data = {"version": planned.pk, "tier_code": "silver", "parameter_days": "100", "_preview": "Preview"}
    page = admin_client.post(url, data).content.decode()
    assert "Preview of what is typed below (not saved yet)" in page
    assert "100 days to return what you bought" in page
    assert 'value="100"' in page
    assert "not saved yet" not in admin_client.post(url, {**data, "parameter_days": "0"}).content.decode()
    assert not TierPerk.objects.exists()
    grant = {"member": make_member("anna").member.pk, "active_from_0": "2026-01-01", "active_from_1": "00:00"}
    grant |= {"parameter_factor": "2", "reason": "Late", "_preview": "Preview"}
    page = admin_client.post(reverse(f"{GRANTS}_add") + "?kind=EARNING_MULTIPLIER", grant).content.decode()
    assert "2 times as many points" in page
    assert not PerkGrant.objects.exists()


def test_a_version_in_force_is_only_read(admin_client, planned):
    perk = TierPerk.objects.create(
        version=planned, tier_code="silver", kind="RETURN_WINDOW", parameters={"days": 9}
    )
    ProgrammeVersion.objects.filter(pk=planned.pk).update(active_from=timezone.now() - timedelta(days=1))
    page = admin_client.get(reverse(f"{PERKS}_change", args=[perk.pk]))
    assert 'name="parameter_days"' not in page.content.decode()
    assert admin_client.post(reverse(f"{PERKS}_change", args=[perk.pk]), {}).status_code == 403
    assert admin_client.post(reverse(f"{PERKS}_delete", args=[perk.pk]), {"post": "yes"}).status_code == 403


def test_a_stored_perk_that_nobody_registered_is_shown_as_it_is(admin_client, planned):
    perk = TierPerk.objects.create(version=planned, tier_code="silver", kind="FREE_BEER")
    assert "FREE_BEER" in admin_client.get(reverse(f"{PERKS}_changelist")).content.decode()
    page = admin_client.get(reverse(f"{PERKS}_change", args=[perk.pk])).content.decode()
    assert "no kind of perk has this code" in page


def test_a_grant_is_given_with_a_reason_found_and_taken_back(admin_client, make_member):
    member = make_member("anna").member
    url = reverse(f"{GRANTS}_add") + "?kind=FREE_SHIPPING"
    data = {
        "member": member.pk,
        "active_from_0": "2026-01-01",
        "active_from_1": "00:00",
        "active_to_0": "2126-01-01",
        "active_to_1": "00:00",
        "uses_allowed": "1",
        "parameter_minimum": "29.00",
        "parameter_methods": "standard, pick-up",
    }
    refused = admin_client.post(url, data).content.decode()
    assert "Say in which currency the value of goods is." in refused
    assert "This field is required." in refused
    assert admin_client.post(url, {**data, "parameter_currency": "EUR", "reason": "Late"}).status_code == 302
    grant = PerkGrant.objects.get()
    assert (grant.member, grant.kind, grant.uses_allowed, grant.reason) == (
        member,
        "FREE_SHIPPING",
        1,
        "Late",
    )
    assert grant.parameters == {"minimum": "29.00", "currency": "EUR", "methods": ["pick-up", "standard"]}
    assert grant.source_ref.startswith("user:")
    for term, found in [("anna", 1), ("Late", 1), (grant.source_ref, 1), ("otto", 0)]:
        listed = admin_client.get(reverse(f"{GRANTS}_changelist"), {"q": term})
        assert listed.context["cl"].result_count == found, term
    change = reverse(f"{GRANTS}_change", args=[grant.pk])
    assert "Free delivery for orders from €29.00" in admin_client.get(change).content.decode()
    assert "Say why." in admin_client.post(change, {"take_back": "on"}).content.decode()
    assert admin_client.post(change, {"take_back": "on", "take_back_reason": "Mistake"}).status_code == 302
    grant.refresh_from_db()
    assert grant.revoked_at is not None
    assert grant.reason == "Late · Mistake"
    assert "taken back" in admin_client.get(reverse(f"{GRANTS}_changelist")).content.decode()
    assert admin_client.post(reverse(f"{GRANTS}_delete", args=[grant.pk]), {"post": "yes"}).status_code == 403


def test_uses_that_nobody_counts_cannot_be_limited(admin_client, make_member, planned):
    member = make_member("anna").member
    text = "Nobody counts the uses of this perk, so they cannot be limited."
    grant = {
        "member": member.pk,
        "active_from_0": "2026-01-01",
        "active_from_1": "00:00",
        "parameter_factor": "2",
        "reason": "Late",
        "uses_allowed": "1",
    }
    url = reverse(f"{GRANTS}_add") + "?kind=EARNING_MULTIPLIER"
    assert text in admin_client.post(url, grant).content.decode()
    assert admin_client.post(url, {**grant, "uses_allowed": ""}).status_code == 302
    assert PerkGrant.objects.get().uses_allowed is None
    perk = {"version": planned.pk, "tier_code": "silver", "parameter_factor": "2", "uses_per_period": "3"}
    url = reverse(f"{PERKS}_add") + "?kind=EARNING_MULTIPLIER"
    assert text in admin_client.post(url, perk).content.decode()
    assert not TierPerk.objects.exists()


def test_who_may_only_look_gives_and_takes_nothing(clerk, make_member, programme):
    grant = give(make_member("anna").member, "FREE_RETURNS", programme=programme)
    client = clerk("view_perkgrant")
    assert client.get(reverse(f"{GRANTS}_add")).status_code == 403
    change = reverse(f"{GRANTS}_change", args=[grant.pk])
    assert "take_back" not in client.get(change).content.decode()
    assert client.post(change, {"take_back": "on", "take_back_reason": "x"}).status_code == 403


def test_access_names_a_product_a_category_or_a_range_that_is_there(admin_client):
    url = reverse("admin:oscar_loyalty_productaccess_add")
    named = factories.RangeFactory(name="Tea")
    own = factories.RangeFactory(name="Own", proxy_class="shop.ranges.Own")
    for wrong in ({}, {"product_id": 7, "range": named.pk}):
        said = admin_client.post(url, wrong).content.decode()
        assert "Name a product, a category or a range, one of them." in said
    assert "That choice is not one of" in admin_client.post(url, {"range": own.pk}).content.decode()
    assert "There is none with this number." in admin_client.post(url, {"product_id": 7}).content.decode()
    assert not ProductAccess.objects.exists()
    admin_client.post(url, {"range": named.pk})
    assert ProductAccess.objects.get().range == named
    assert "Tea" in admin_client.get(reverse("admin:oscar_loyalty_productaccess_changelist")).content.decode()

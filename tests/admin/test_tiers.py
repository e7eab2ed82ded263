from datetime import timedelta
from decimal import Decimal

import pytest
from django.urls import reverse
from django.utils import timezone

from oscar_loyalty.tiers.models import Tier, TierOverride, TierPerk, TierScheme, TierStatus
from oscar_loyalty.tiers.services import give_tier
from tests.tiers.world import publish, publish_tiers


@pytest.fixture
def planned(programme):
    """A version that is not in force yet, without tiers."""
    return publish(programme, at=timezone.now() + timedelta(days=3))


def address(version):
    return reverse("admin:oscar_loyalty_tiersofversion_change", args=[version.pk])


def sent(*tiers, scheme=None, currency="EUR", months="12", period="ROLLING"):
    data = {
        "tier_scheme-TOTAL_FORMS": "1",
        "tier_scheme-INITIAL_FORMS": "0",
        "tier_scheme-0-metric": "SPEND",
        "tier_scheme-0-currency": currency,
        "tier_scheme-0-period": period,
        "tier_scheme-0-period_months": months,
        "tier_scheme-0-grace_days": "30",
        "tier_scheme-0-downgrade": "ONE_STEP",
        "tiers-TOTAL_FORMS": str(len(tiers)),
        "tiers-INITIAL_FORMS": "0",
    }
    for number, (code, rank, entry, keep) in enumerate(tiers):
        row = {"code": code, "name_de": code, "name_en": code, "rank": rank}
        row |= {"entry_threshold": entry, "keep_threshold": keep}
        data |= {f"tiers-{number}-{name}": value for name, value in row.items()}
    return data


SILVER, GOLD = ("silver", "1", "500", "400"), ("gold", "2", "1000", "800")


def test_tiers_are_made_for_a_version_that_is_to_come(admin_client, planned):
    assert admin_client.get(address(planned)).status_code == 200
    assert admin_client.post(address(planned), sent(SILVER, GOLD)).status_code == 302
    assert TierScheme.objects.get().version_id == planned.pk
    assert list(Tier.objects.order_by("rank").values_list("code", "entry_threshold")) == [
        ("silver", Decimal(500)),
        ("gold", Decimal(1000)),
    ]
    page = admin_client.get(address(planned)).content.decode()
    assert "silver from €500.00 (kept with €400.00), gold from €1,000.00 (kept with €800.00)." in page


@pytest.mark.parametrize(
    ("rows", "values", "mistake"),
    [
        ([SILVER, ("gold", "3", "1000", "800")], {}, "without a gap"),
        ([SILVER, ("gold", "2", "500", "400")], {}, "must take more than"),
        ([SILVER, ("gold", "2", "1000", "399")], {}, "must not be kept with less"),
        ([("silver", "1", "500", "501")], {}, "Not more than what it is reached with."),
        ([SILVER, ("silver", "2", "1000", "800")], {}, "Two tiers have the same code."),
        ([SILVER], {"currency": "EU1"}, "is not a currency code"),
        ([SILVER], {"period": "CALENDAR", "months": "6"}, "A calendar year has 12 months."),
        ([("silver", "1", "0", "0")], {}, "greater than or equal to"),
    ],
)
def test_what_makes_no_sense_is_said_and_not_saved(admin_client, planned, rows, values, mistake):
    answer = admin_client.post(address(planned), sent(*rows, **values))
    assert answer.status_code == 200
    assert mistake in answer.content.decode()
    assert not Tier.objects.exists()


def test_tiers_in_force_are_only_read(admin_client, programme):
    version = publish_tiers(programme, at=timezone.now())
    page = admin_client.get(address(version)).content.decode()
    assert "Silver from €500.00" in page
    assert 'name="tiers-0-rank"' not in page
    assert admin_client.post(address(version), sent(SILVER)).status_code == 403
    assert Tier.objects.count() == 2


def test_where_members_stand_is_shown_and_what_staff_gave_is_ended(admin_client, make_member):
    account = make_member("anna")
    publish_tiers(account.programme, at=timezone.now())
    give_tier(
        programme_id=account.programme_id,
        member_id=account.member_id,
        tier_code="gold",
        active_to=timezone.now() + timedelta(days=3),
        reason="Waited",
        given_by_ref="user:1",
        now=timezone.now(),
    )
    for name in ("tierstatus", "tierchange", "qualifyingentry", "tieroverride", "tiersofversion"):
        page = admin_client.get(
            reverse(f"admin:oscar_loyalty_{name}_changelist"), {"q": account.member.public_id}
        )
        assert page.status_code == 200, name
        assert admin_client.get(reverse(f"admin:oscar_loyalty_{name}_add")).status_code == 403
    override = TierOverride.objects.get()
    admin_client.post(
        reverse("admin:oscar_loyalty_tieroverride_changelist"),
        {"action": "end_now", "_selected_action": [override.pk]},
    )
    override.refresh_from_db()
    assert override.ended_at is not None
    assert TierStatus.objects.get().tier_code == ""


def test_lists_are_filtered_by_the_names_of_tiers(admin_client, programme):
    publish_tiers(programme, at=timezone.now())
    TierPerk.objects.create(version=Tier.objects.first().version, tier_code="gold", kind="FREE_RETURNS")
    TierPerk.objects.create(version=Tier.objects.first().version, tier_code="bronze", kind="FREE_RETURNS")
    page = admin_client.get(
        reverse("admin:oscar_loyalty_tierperk_changelist"),
        {"tier": "gold"},
        headers={"accept-language": "en"},
    )
    filters = next(spec for spec in page.context["cl"].filter_specs if spec.title == "tier")
    assert ("gold", "Gold") in filters.lookup_choices
    assert ("bronze", "bronze") in filters.lookup_choices, "a tier that there is no longer"
    assert [perk.tier_code for perk in page.context["cl"].queryset] == ["gold"]
    for name in ("tierstatus", "tieroverride"):
        address = reverse(f"admin:oscar_loyalty_{name}_changelist")
        assert admin_client.get(address, {"tier": "gold"}).status_code == 200

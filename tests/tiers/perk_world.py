"""Tiers, where members stand, and their perks, put straight into the tables."""

from datetime import timedelta
from decimal import Decimal

from django.utils import timezone

from oscar_loyalty.members.models import Member
from oscar_loyalty.programmes.models import ProgrammeVersion
from oscar_loyalty.tiers.models import Tier, TierPerk, TierStatus
from oscar_loyalty.tiers.perk_services import grant_perk


def make_tiers(programme, **perks_by_tier):
    """Silver and gold, with perks as ``silver=[("FREE_SHIPPING", {...}), …]``, in the newest version."""
    version = ProgrammeVersion.objects.filter(programme=programme).order_by("-active_from").first()
    for rank, (code, german, english) in enumerate(
        [("silver", "Silber", "Silver"), ("gold", "Gold", "Gold")], start=1
    ):
        Tier.objects.get_or_create(
            version=version,
            code=code,
            defaults={
                "name_de": german,
                "name_en": english,
                "rank": rank,
                "entry_threshold": Decimal(250 * rank),
                "keep_threshold": Decimal(200 * rank),
            },
        )
    for tier_code, perks in perks_by_tier.items():
        for kind, parameters, *uses in perks:
            TierPerk.objects.create(
                version=version,
                tier_code=tier_code,
                kind=kind,
                parameters=parameters,
                uses_per_period=uses[0] if uses else None,
            )
    return version


def put_into_tier(member: Member, tier_code, *, programme):
    now = timezone.now()
    return TierStatus.objects.update_or_create(
        programme=programme,
        member=member,
        defaults={
            "tier_code": tier_code,
            "since": now - timedelta(days=10),
            "computed_at": now,
            "version_number": 1,
        },
    )[0]


def give(member: Member, kind, parameters=None, *, programme, **values):
    return grant_perk(
        programme_id=programme.pk,
        member_id=member.pk,
        kind=kind,
        parameters=parameters or {},
        source_ref="user:1",
        reason="Apology",
        now=values.pop("now", timezone.now() - timedelta(minutes=1)),
        **values,
    )

"""A programme with two tiers, and members who buy."""

from datetime import UTC, datetime
from decimal import Decimal

from oscar_loyalty.members.models import Member
from oscar_loyalty.programmes.models import CurrencyRate, ProgrammeVersion
from oscar_loyalty.programmes.services import publish_version
from oscar_loyalty.tiers import services
from oscar_loyalty.tiers.models import QualifyingEntry, Tier, TierOverride, TierScheme, TierStatus
from oscar_loyalty.tiers.reading import read_histories, read_rules

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
LONG_AGO = datetime(2025, 1, 1, tzinfo=UTC)
TIERS = {"silver": ("500", "400"), "gold": ("1000", "800")}
NAMES = {"silver": ("Silber", "Silver"), "gold": ("Gold", "Gold"), "platinum": ("Platin", "Platinum")}


def publish(programme, *, at=LONG_AGO, terms=None, rate=None):
    """A version without tiers."""
    return publish_version(
        version=ProgrammeVersion(programme=programme, terms_version="2026-01", **(terms or {})),
        rates=[CurrencyRate(currency="EUR", **(rate or {}))],
        active_from=at,
        now=at,
    )


def publish_tiers(programme, *, at=LONG_AGO, tiers=None, terms=None, rate=None, **scheme):
    """A version with tiers: silver for 500 euros and gold for 1000 within twelve months, by default."""
    version = publish(programme, at=at, terms=terms, rate=rate)
    TierScheme.objects.create(version=version, **scheme)
    for rank, (code, (entry, keep)) in enumerate((tiers or TIERS).items(), start=1):
        name_de, name_en = NAMES.get(code, (code, code))
        Tier.objects.create(
            version=version,
            code=code,
            name_de=name_de,
            name_en=name_en,
            rank=rank,
            entry_threshold=Decimal(entry),
            keep_threshold=Decimal(keep),
        )
    return version


def make_member(*, joined_at=LONG_AGO, **values):
    return Member.objects.create(
        joined_at=joined_at, terms_version="1", terms_accepted_at=joined_at, **values
    )


def buy(programme, member, spend, *, at=NOW, order=None, now=None, currency="EUR"):
    """Let an order count; returns its number."""
    order = order or f"{QualifyingEntry.objects.count() + 1}"
    services.qualify_purchase(
        programme_id=programme.pk,
        member_id=member.pk,
        order_ref=order,
        occurred_at=at,
        points=int(Decimal(spend)),
        spend=Decimal(spend),
        currency=currency,
        now=now or at,
    )
    return order


def give_back(programme, order, *, now, left="0"):
    return services.disqualify_purchase(
        programme_id=programme.pk,
        order_ref=order,
        key=f"cancel:{order}:{left}",
        left_points=int(Decimal(left)),
        left_spend=Decimal(left),
        now=now,
    )


def status_of(programme, member):
    return TierStatus.objects.get(programme=programme, member=member)


def from_scratch(programme, member, *, now):
    rules = read_rules(programme_id=programme.pk, now=now)
    return read_histories([member.pk], programme_id=programme.pk)[member.pk].fold(rules=rules, now=now)


def given_tiers(member):
    return list(TierOverride.objects.filter(member=member).values_list("tier_code", flat=True))

"""The tiers of the demo shop, what they come with, and the rules that staff wrote."""

from oscar.core.loading import get_model

from oscar_loyalty.earning.models import EarningRule
from oscar_loyalty.programmes.models import ProgrammeVersion
from oscar_loyalty.tiers.models import Tier, TierPerk, TierScheme

#: Code, names, and what it takes in twelve months.
TIERS = (
    ("bronze", "Bronze", "Bronze", 75, 50),
    ("silver", "Silber", "Silver", 250, 200),
    ("gold", "Gold", "Gold", 600, 500),
)
PERKS = {
    "bronze": {"EARNING_MULTIPLIER": {"factor": "1.05"}},
    "silver": {
        "FREE_SHIPPING": {"minimum": "25.00", "currency": "EUR", "methods": ["standard"]},
        "RETURN_WINDOW": {"days": 30},
        "EARNING_MULTIPLIER": {"factor": "1.1"},
    },
    "gold": {
        "FREE_SHIPPING": {"methods": ["standard"]},
        "EXPRESS_AT_STANDARD": {"express": ["express"], "standard": "standard"},
        "FREE_RETURNS": {},
        "RETURN_WINDOW": {"days": 60},
        "EARLY_ACCESS": {"hours": 24},
        "PRIORITY_SUPPORT": {"contact": "gold@morgenrot.example"},
        "EARNING_MULTIPLIER": {"factor": "1.25"},
    },
}


def write_tiers(version: ProgrammeVersion) -> None:
    """Tiers by what is spent in twelve months, with their perks."""
    TierScheme.objects.create(
        version=version, metric=TierScheme.Metric.SPEND, currency="EUR", period=TierScheme.Period.ROLLING
    )
    for rank, (code, german, english, entry, keep) in enumerate(TIERS, start=1):
        Tier.objects.create(
            version=version,
            code=code,
            name_de=german,
            name_en=english,
            rank=rank,
            entry_threshold=entry,
            keep_threshold=keep,
        )
        for kind, parameters in PERKS[code].items():
            TierPerk.objects.create(version=version, tier_code=code, kind=kind, parameters=parameters)


def write_rules(version: ProgrammeVersion) -> None:
    """A welcome, a weekend for tea, and a limit."""
    tea = get_model("catalogue", "Category").objects.filter(code="tea").first()
    rules = [
        EarningRule(
            code="welcome",
            name="Welcome bonus",
            text_de="Willkommensbonus",
            text_en="Welcome bonus",
            kind="BONUS",
            parameters={"points": 50, "per": "ORDER"},
            conditions={"nth_order": 1},
        ),
        EarningRule(
            code="tea-weekend",
            name="Tea at the weekend",
            text_de="Tee-Wochenende",
            text_en="Tea weekend",
            kind="MULTIPLIER",
            parameters={"factor": "2"},
            conditions={"weekdays": [5, 6], **({"category_ids": [tea.pk]} if tea else {})},
            qualifies=True,
        ),
        EarningRule(code="limit", name="Limit", kind="CAP", parameters={"points": 5000, "per": "MONTH"}),
    ]
    for position, rule in enumerate(rules, start=1):
        rule.version, rule.position = version, position
        rule.full_clean()
        rule.save()

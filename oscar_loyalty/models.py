"""Gathers the models of all rooms, line by line, for Django."""

from oscar_loyalty.members.models import ClaimedOrder, Consent, Member
from oscar_loyalty.outbox.models import OutboxMessage
from oscar_loyalty.payments.models import CardPayment, StripeEvent
from oscar_loyalty.points.audit_models import AuditFinding, AuditRun, AuditShard
from oscar_loyalty.points.models import (
    Account,
    Adjustment,
    EarnedLine,
    Entry,
    ExpiryWarning,
    Hold,
    Lot,
    MemberMerge,
    Posting,
)
from oscar_loyalty.programmes.models import ConversionRate, CurrencyRate, Programme, ProgrammeVersion
from oscar_loyalty.tiers.models import (
    OrderPerks,
    PerkGrant,
    PerkUse,
    QualifyingEntry,
    Tier,
    TierChange,
    TierNotice,
    TierOverride,
    TierPerk,
    TierScheme,
    TierStatus,
)

# isort: split
# Last: the proxies need Oscar's models, which Django may load after ours.
from oscar_loyalty.shop.offers import PointsBenefit, PointsCondition

__all__ = [
    "Account",
    "Adjustment",
    "AuditFinding",
    "AuditRun",
    "AuditShard",
    "CardPayment",
    "ClaimedOrder",
    "Consent",
    "ConversionRate",
    "CurrencyRate",
    "EarnedLine",
    "Entry",
    "ExpiryWarning",
    "Hold",
    "Lot",
    "Member",
    "MemberMerge",
    "OrderPerks",
    "OutboxMessage",
    "PerkGrant",
    "PerkUse",
    "PointsBenefit",
    "PointsCondition",
    "Posting",
    "Programme",
    "ProgrammeVersion",
    "QualifyingEntry",
    "StripeEvent",
    "Tier",
    "TierChange",
    "TierNotice",
    "TierOverride",
    "TierPerk",
    "TierScheme",
    "TierStatus",
]

"""Gathers the models of all rooms, line by line, for Django."""

from oscar_loyalty.delivery.models import DeliveryPromise
from oscar_loyalty.earning.models import EarningRule, Occurrence, RuleBudget, WaitingOrder
from oscar_loyalty.jobs.models import JobPart, JobRun
from oscar_loyalty.members.models import Birthday, ClaimedOrder, Consent, Member
from oscar_loyalty.outbox.models import OutboxMessage
from oscar_loyalty.payments.models import CardPayment, StripeEvent
from oscar_loyalty.payments.refund_models import Refund
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
from oscar_loyalty.returns.models import (
    Goodwill,
    GoodwillBudget,
    Return,
    ReturnEvent,
    ReturnLabel,
    ReturnLine,
    ReturnPhoto,
    ReturnPolicy,
    Withdrawal,
)
from oscar_loyalty.shop.bonus_models import OfferBonus, OrderBonus
from oscar_loyalty.tiers.models import (
    OrderPerks,
    PerkGrant,
    PerkUse,
    ProductAccess,
    QualifyingEntry,
    Tier,
    TierChange,
    TierNotice,
    TierOverride,
    TierPerk,
    TierScheme,
    TiersOfVersion,
    TierStatus,
)

# isort: split
# Last: the proxies need Oscar's models, which Django may load after ours.
from oscar_loyalty.shop.access_offer import AccessBenefit, AccessCondition
from oscar_loyalty.shop.bonus_offers import BonusBenefit
from oscar_loyalty.shop.gift_offer import GiftBenefit, GiftCondition
from oscar_loyalty.shop.member_price_offer import MemberPriceBenefit, MemberPriceCondition
from oscar_loyalty.shop.offers import PointsBenefit, PointsCondition
from oscar_loyalty.shop.promise_offer import PromiseBenefit, PromiseCondition
from oscar_loyalty.shop.shipping_offer import ShippingPerkBenefit, ShippingPerkCondition

__all__ = [
    "AccessBenefit",
    "AccessCondition",
    "Account",
    "Adjustment",
    "AuditFinding",
    "AuditRun",
    "AuditShard",
    "Birthday",
    "BonusBenefit",
    "CardPayment",
    "ClaimedOrder",
    "Consent",
    "ConversionRate",
    "CurrencyRate",
    "DeliveryPromise",
    "EarnedLine",
    "EarningRule",
    "Entry",
    "ExpiryWarning",
    "GiftBenefit",
    "GiftCondition",
    "Goodwill",
    "GoodwillBudget",
    "Hold",
    "JobPart",
    "JobRun",
    "Lot",
    "Member",
    "MemberMerge",
    "MemberPriceBenefit",
    "MemberPriceCondition",
    "Occurrence",
    "OfferBonus",
    "OrderBonus",
    "OrderPerks",
    "OutboxMessage",
    "PerkGrant",
    "PerkUse",
    "PointsBenefit",
    "PointsCondition",
    "Posting",
    "ProductAccess",
    "Programme",
    "ProgrammeVersion",
    "PromiseBenefit",
    "PromiseCondition",
    "QualifyingEntry",
    "Refund",
    "Return",
    "ReturnEvent",
    "ReturnLabel",
    "ReturnLine",
    "ReturnPhoto",
    "ReturnPolicy",
    "RuleBudget",
    "ShippingPerkBenefit",
    "ShippingPerkCondition",
    "StripeEvent",
    "Tier",
    "TierChange",
    "TierNotice",
    "TierOverride",
    "TierPerk",
    "TierScheme",
    "TierStatus",
    "TiersOfVersion",
    "WaitingOrder",
    "Withdrawal",
]

"""Django admin: a door. It shows every room's tables and writes through the same services as the shop."""

from oscar_loyalty.admin import (
    adjustments,
    deliveries,
    earning_rules,
    ledger,
    members,
    merges,
    offers,
    outbox,
    payments,
    perks,
    programmes,
    refunds,
    returns,
    tiers,
)

__all__ = [
    "adjustments",
    "deliveries",
    "earning_rules",
    "ledger",
    "members",
    "merges",
    "offers",
    "outbox",
    "payments",
    "perks",
    "programmes",
    "refunds",
    "returns",
    "tiers",
]

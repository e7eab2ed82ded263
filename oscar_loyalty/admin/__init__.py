"""Django admin: a door. It shows every room's tables and writes through the same services as the shop."""

from oscar_loyalty.admin import adjustments, ledger, members, merges, outbox, payments, programmes

__all__ = ["adjustments", "ledger", "members", "merges", "outbox", "payments", "programmes"]

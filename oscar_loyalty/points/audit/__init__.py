"""
The audit: ledgers replayed from their first entry, and every invariant checked that rows can show.

``findings.py`` what can be found · ``reading.py`` rows in a consistent view and in bounded pieces ·
``replay.py`` one account, entry by entry · ``accounts.py`` a range of accounts · ``runs.py`` all of them,
by several processes, resumable.
"""

from oscar_loyalty.points.audit.accounts import audit_account
from oscar_loyalty.points.audit.findings import CODES, Finding, describe_finding

__all__ = ["CODES", "Finding", "audit_account", "describe_finding"]

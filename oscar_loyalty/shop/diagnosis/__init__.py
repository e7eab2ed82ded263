"""
What can be wrong with an installation: each mistake with its fix. One home for the rules that Django's
system checks (before anything runs) and ``loyalty_doctor`` (with the database) both apply.
"""

from oscar_loyalty.shop.diagnosis.database import DATABASE_EXAMINATIONS
from oscar_loyalty.shop.diagnosis.findings import Diagnosis, Examination, Finding, examine
from oscar_loyalty.shop.diagnosis.settings import SETTINGS_EXAMINATIONS

__all__ = ["DATABASE_EXAMINATIONS", "SETTINGS_EXAMINATIONS", "Diagnosis", "Examination", "Finding", "examine"]

"""What links in mails have in common: for whom they are, and how many go out."""

import hashlib
import logging

from django.core.cache import cache

from oscar_loyalty.conf import loyalty_settings

logger = logging.getLogger(__name__)

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
A_DAY = _SECONDS["d"]


def fingerprint_of(email: str) -> str:
    """Stands for an address in a token, so that the token stops working when the address is corrected."""
    return hashlib.sha256(fold_email(email).encode()).hexdigest()[:32]


def fold_email(email: str) -> str:
    """Addresses are the same however they are capitalised."""
    return email.strip().casefold()


def may_try(*, scope: str, caller: str) -> bool:
    """Whether ``caller``, an address or a customer, has not tried too often, by the rate of ``scope``."""
    rate = loyalty_settings.throttle_rates[scope]
    if rate is None:
        return True
    most, _, period = rate.partition("/")
    return is_rare(f"{scope}:{caller}", most=int(most), seconds=_SECONDS[period[0]])


def is_rare(key: str, *, most: int, seconds: int) -> bool:
    """Whether this was asked no more than ``most`` times within so many seconds, this time included."""
    key = f"oscar_loyalty:{hashlib.sha256(key.encode()).hexdigest()}"
    try:
        cache.add(key, 0, seconds)
        return cache.incr(key) <= most
    except ValueError:  # It ran out between the two.
        return True
    except Exception:
        # A cache that does not answer keeps nobody from their rights.
        logger.exception("Tries cannot be counted")
        return True

"""The server's time: the machine's time plus an offset that tests move forward."""

from __future__ import annotations

import time

from .errors import refuse
from .store import Store

OFFSET = "clock_offset"


def now(store: Store) -> int:
    """Return the server's time in seconds since 1970."""
    return int(time.time()) + store.setting(OFFSET, 0)


def advance(store: Store, seconds: int) -> int:
    """Move the time forward by ``seconds`` and return the new time. It never goes back, as at Stripe."""
    if seconds < 0:
        raise refuse("The clock can only be advanced forward.", param="advance")
    store.set_setting(OFFSET, store.setting(OFFSET, 0) + seconds)
    return now(store)

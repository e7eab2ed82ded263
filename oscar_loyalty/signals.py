"""What we announce to the shop.

Sent by the outbox relay, so after commit and at least once; arguments are ids only; what a receiver
returns is ignored and what it raises is logged. Receivers must tolerate hearing the same news twice.
"""

import logging
from collections.abc import Callable
from typing import Any

from django.dispatch import Signal

logger = logging.getLogger(__name__)

points_posted = Signal()
"""A ledger entry was booked. Arguments: ``entry_id`` (int), ``member_id`` (int), ``kind`` (str)."""

member_joined = Signal()
"""A customer joined the programme. Arguments: ``member_id`` (int)."""

tier_changed = Signal()
"""A member's tier changed. Arguments: ``member_id`` (int), ``change_id`` (int, of a ``TierChange``)."""


def announcer(signal: Signal) -> Callable[[dict[str, Any]], None]:
    """A handler for the outbox that sends ``signal`` with the payload's ids."""

    def announce(payload: dict[str, Any]) -> None:
        for receiver, answer in signal.send_robust(sender=None, **payload):
            if isinstance(answer, Exception):
                logger.error("%r failed on %s", receiver, payload, exc_info=answer)

    return announce

"""What we announce to the shop.

Sent by the outbox relay, so after commit and at least once; arguments are ids only; what a receiver
returns is ignored and what it raises is logged. Receivers must tolerate hearing the same news twice.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from django.dispatch import Signal

logger = logging.getLogger(__name__)

points_posted = Signal()
"""A ledger entry was booked. Arguments: ``entry_id`` (int), ``member_id`` (int), ``kind`` (str)."""

member_joined = Signal()
"""A customer joined the programme. Arguments: ``member_id`` (int)."""

tier_changed = Signal()
"""A member's tier changed. Arguments: ``member_id`` (int), ``change_id`` (int, of a ``TierChange``)."""

refund_changed = Signal()
"""A refund took a state. Arguments: ``refund`` (str, its public id), ``cause`` (str), ``state`` (str)."""


return_changed = Signal()
"""
Something happened to a return. Arguments: ``return_id`` (str, its public id), ``event_id`` (int, of a
``ReturnEvent``), ``code`` (str, the state that it took, or what happened without a change of state).
"""


def announcer(signal: Signal, *, rename: Mapping[str, str] | None = None) -> Callable[[dict[str, Any]], None]:
    """
    A handler for the outbox that sends ``signal`` with the payload's ids; ``rename`` says what some of them
    are called as arguments.
    """
    names = rename or {}

    def announce(payload: dict[str, Any]) -> None:
        arguments = {names.get(name, name): value for name, value in payload.items()}
        for receiver, answer in signal.send_robust(sender=None, **arguments):
            if isinstance(answer, Exception):
                logger.error("%r failed on %s", receiver, payload, exc_info=answer)

    return announce

"""
The states of a return and what may follow what. The one table: services obey it, pages and docs show it.

``INSPECTED`` and ``PARTLY_ACCEPTED`` are decided: money, points and stock are booked with them. Where the
money went out before the goods came (instant refund), the state is ``REFUNDED`` while the goods are on their
way.
"""

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class State(models.TextChoices):
    REQUESTED = "REQUESTED", pgettext_lazy("return", "requested")
    LABEL_SENT = "LABEL_SENT", _("label sent")
    IN_TRANSIT = "IN_TRANSIT", _("on its way")
    RECEIVED = "RECEIVED", _("received")
    INSPECTED = "INSPECTED", _("checked")
    PARTLY_ACCEPTED = "PARTLY_ACCEPTED", _("accepted in part")
    REFUNDED = "REFUNDED", _("refunded")
    SETTLED = "SETTLED", _("completed")
    REJECTED = "REJECTED", _("rejected")
    CANCELLED = "CANCELLED", _("cancelled")


_BEFORE_ARRIVAL = (State.REQUESTED, State.LABEL_SENT, State.IN_TRANSIT)
_DECISIONS = frozenset([State.INSPECTED, State.PARTLY_ACCEPTED, State.REJECTED])

FOLLOWS: dict[State, frozenset[State]] = {
    State.REQUESTED: _DECISIONS
    | {State.LABEL_SENT, State.IN_TRANSIT, State.RECEIVED, State.REFUNDED, State.CANCELLED},
    State.LABEL_SENT: _DECISIONS | {State.IN_TRANSIT, State.RECEIVED, State.CANCELLED},
    State.IN_TRANSIT: _DECISIONS | {State.RECEIVED, State.REFUNDED, State.CANCELLED},
    State.RECEIVED: _DECISIONS | {State.CANCELLED},
    # Undone by staff as long as no money has gone out, or after it came back.
    State.INSPECTED: frozenset([State.REFUNDED, State.SETTLED, State.CANCELLED]),
    State.PARTLY_ACCEPTED: frozenset([State.REFUNDED, State.SETTLED, State.CANCELLED]),
    # A bank may send money back days later: then the return is where it was before the refund. Where points
    # alone went back, staff may still undo it.
    State.REFUNDED: frozenset(
        [
            *(State.SETTLED, State.INSPECTED, State.PARTLY_ACCEPTED),
            *(State.IN_TRANSIT, State.REQUESTED, State.CANCELLED),
        ]
    ),
    State.SETTLED: frozenset([State.INSPECTED, State.PARTLY_ACCEPTED, State.CANCELLED]),
    State.REJECTED: frozenset(),
    # Its parcel has come after all, and somebody says so.
    State.CANCELLED: frozenset([State.RECEIVED]),
}

#: Nothing is decided yet: staff wait for the goods, or the goods for staff.
OPEN = (*_BEFORE_ARRIVAL, State.RECEIVED)
#: The customer may still think again.
CAN_BE_CANCELLED = _BEFORE_ARRIVAL
#: Nothing came of it: what it named can be returned by another one.
VOID = (State.REJECTED, State.CANCELLED)
#: Money and points of these are booked.
BOOKED = (State.INSPECTED, State.PARTLY_ACCEPTED, State.REFUNDED, State.SETTLED)


def may_follow(state: str, next_state: str) -> bool:
    return State(next_state) in FOLLOWS[State(state)]

"""
What a customer reads of a return: its history, its money, what comes next. Reads only.

The staff's own notes and names stay out of it: who did something is the customer, the shop, the carrier or
the bank.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from oscar_loyalty.flows import tier_wording
from oscar_loyalty.flows.return_steps import find_refund
from oscar_loyalty.flows.return_terms import calendar_of
from oscar_loyalty.flows.return_wording import promise_sentence
from oscar_loyalty.flows.wording import count_points, money, number
from oscar_loyalty.payments.queries import name_way_of
from oscar_loyalty.payments.refund_models import Refund
from oscar_loyalty.programmes.queries import find_programme
from oscar_loyalty.returns import rules
from oscar_loyalty.returns.models import Return, ReturnEvent, ReturnLabel, ReturnLine, ReturnPolicy
from oscar_loyalty.returns.photos import may_add_photos
from oscar_loyalty.returns.states import CAN_BE_CANCELLED, OPEN, VOID, State

#: Banks take so many working days to show money that was sent to a card.
BANK_DAYS = 10
_TIME_ZONE = "Europe/Berlin"

#: What is told of the history. Codes that are missing here are the shop's own business.
EVENTS: Mapping[str, str | Promise] = {
    "REQUESTED": _("Return requested"),
    "LABEL_SENT": _("Label sent"),
    "LABEL_FAILED": _("The label is not ready yet: it follows by e-mail"),
    "IN_TRANSIT": _("Parcel handed to the carrier"),
    "INSTANT_REFUND": _("Refund started before the goods have arrived"),
    "RECEIVED": _("Goods received"),
    "GOODS_ARRIVED": _("Goods received"),
    "INSPECTED": _("Goods checked and accepted"),
    "PARTLY_ACCEPTED": _("Goods checked, accepted in part"),
    "CHECKED_AFTER_REFUND": _("Goods checked"),
    "REFUNDED": _("Money refunded"),
    "REFUND_FAILED": _("The bank sent the money back"),
    "SETTLED": _("Return completed"),
    "REJECTED": _("Return rejected"),
    "CANCELLED": _("Return cancelled"),
}
ACTORS = ("customer", "shop", "carrier", "bank")
_ACTOR_NAMES = {
    "customer": pgettext_lazy("by whom", "you"),
    "shop": pgettext_lazy("by whom", "the shop"),
    "carrier": pgettext_lazy("by whom", "the carrier"),
    "bank": pgettext_lazy("by whom", "the bank"),
}


@dataclass(frozen=True, kw_only=True)
class Moment:
    """One line of the history. ``reason`` is what the shop said to the customer, if anything."""

    at: datetime
    code: str
    actor: str
    actor_name: str
    text: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class RefundStatus:
    """
    Where the money is. ``state``: ``requested``, ``pending``, ``succeeded``, ``failed`` or ``cancelled``;
    ``method``: ``card`` or ``manual``. ``expected_by``: the last moment by which the bank should show it.
    """

    state: str
    method: str
    amount: Decimal
    currency: str
    pays_to: str
    expected_by: datetime | None
    text: str


@dataclass(frozen=True, kw_only=True)
class ReturnView:
    """A return as its customer sees it."""

    of_return: Return
    lines: list[ReturnLine]
    time_zone: str
    timeline: list[Moment]
    refund: RefundStatus | None
    label: ReturnLabel | None
    sentences: list[str]
    may_cancel: bool
    may_add_photos: bool

    @property
    def has_label(self) -> bool:
        return self.label is not None and self.label.state == ReturnLabel.State.READY

    @property
    def has_qr(self) -> bool:
        return self.has_label and self.label is not None and bool(self.label.qr_text)

    @property
    def is_over(self) -> bool:
        return self.of_return.state in VOID or self.of_return.state == State.SETTLED


def view_return(of_return: Return) -> ReturnView:
    events = list(of_return.events.order_by("id"))
    refund = read_refund(of_return)
    return ReturnView(
        of_return=of_return,
        lines=list(of_return.lines.order_by("id").prefetch_related("photos")),
        time_zone=find_time_zone(),
        timeline=[_moment(event) for event in events if _is_told(event)],
        refund=refund,
        label=ReturnLabel.objects.filter(of_return=of_return).first(),
        sentences=tell(of_return, refund=refund),
        may_cancel=may_cancel(of_return),
        may_add_photos=may_add_photos(of_return),
    )


def find_time_zone() -> str:
    programme = find_programme()
    return programme.time_zone if programme is not None else _TIME_ZONE


def may_cancel(of_return: Return) -> bool:
    return of_return.state in CAN_BE_CANCELLED and not of_return.is_booked


def read_refund(of_return: Return) -> RefundStatus | None:
    """Where the money of a return is; ``None`` where none is asked for."""
    if not of_return.is_booked:
        return None
    refund = find_refund(of_return)
    if refund is None:
        return None
    status = RefundStatus(
        state=refund.state.lower(),
        method=refund.method.lower(),
        amount=of_return.refund_amount,
        currency=of_return.currency,
        pays_to=name_way_of(refund),
        expected_by=_bank_day(of_return, refund),
        text="",
    )
    return RefundStatus(**{**vars(status), "text": _refund_sentence(status)})


def _bank_day(of_return: Return, refund: Refund) -> datetime | None:
    sent_at = refund.succeeded_at or refund.sent_at
    if refund.method != Refund.Method.CARD or sent_at is None or refund.state in Refund.VOID:
        return None
    return rules.in_working_days(
        sent_at,
        days=BANK_DAYS,
        is_holiday=calendar_of(of_return.policy or ReturnPolicy()),
        time_zone=find_time_zone(),
    )


def _refund_sentence(status: RefundStatus) -> str:
    values = {
        "money": money(status.amount, status.currency),
        "way": status.pays_to or gettext("the way you paid"),
    }
    if status.state == "failed":
        return (
            gettext(
                "The bank did not take the refund of %(money)s. You need not do anything: we find another "
                "way and get in touch with you."
            )
            % values
        )
    if status.state == "cancelled":
        return gettext("The refund was called off.")
    if status.method == "manual" and status.state == "requested":
        return gettext("We pay %(money)s to: %(way)s. We do this by hand.") % values
    if status.expected_by is not None:
        values["day"] = tier_wording.last_day_text(status.expected_by, time_zone=find_time_zone())
        if status.state == "succeeded":
            return gettext("%(money)s were sent to: %(way)s. Your bank should show them by %(day)s.") % values
        return (
            gettext("%(money)s are on their way to: %(way)s. Your bank should show them by %(day)s.") % values
        )
    if status.state == "succeeded":
        return gettext("%(money)s were paid to: %(way)s.") % values
    return gettext("%(money)s are about to be sent to: %(way)s.") % values


# In sentences


def tell(of_return: Return, *, refund: RefundStatus | None) -> list[str]:
    """What is the case and what comes next, in the order in which a customer asks."""
    state = of_return.state
    said: list[str] = []
    if state == State.CANCELLED:
        return [
            gettext("This return was cancelled: no refund, no change of your points, and you keep the goods.")
        ]
    if state == State.REJECTED:
        return [gettext("We could not accept this return."), *refusals(of_return)]
    if not of_return.is_booked:
        return _next(of_return)
    if state == State.PARTLY_ACCEPTED or of_return.decision == State.PARTLY_ACCEPTED:
        said += refusals(of_return)
    if refund is not None:
        said.append(refund.text)
    elif of_return.credit_points:
        said.append(
            gettext("You got %(points)s instead of %(money)s.")
            % {
                "points": count_points(of_return.credit_points),
                "money": money(of_return.refund_amount, of_return.currency),
            }
        )
    else:
        said.append(gettext("No money had to go back."))
    said += points_booked(of_return)
    if of_return.is_instant and not of_return.decision:
        said += _send_by(of_return)
    return said


def points_booked(of_return: Return) -> list[str]:
    said = []
    if of_return.points_back:
        said.append(
            ngettext(
                "%(points)s point that you had spent is yours again.",
                "%(points)s points that you had spent are yours again.",
                of_return.points_back,
            )
            % {"points": number(of_return.points_back)}
        )
    if of_return.points_taken:
        said.append(
            ngettext(
                "%(points)s point that these goods had earned was taken back.",
                "%(points)s points that these goods had earned were taken back.",
                of_return.points_taken,
            )
            % {"points": number(of_return.points_taken)}
        )
    return said


def refusals(of_return: Return) -> list[str]:
    """By line: what was not accepted, and why."""
    said = []
    for line in of_return.lines.order_by("id"):
        if line.accepted is None or not line.refusal:
            continue
        values = {
            "title": line.title,
            "accepted": number(line.accepted),
            "quantity": number(line.quantity),
            "reason": line.refusal,
            "money": money(line.deduction, of_return.currency),
        }
        if line.accepted < line.quantity:
            said.append(
                gettext("%(title)s: %(accepted)s of %(quantity)s accepted. Reason: %(reason)s") % values
            )
        elif line.deduction:
            said.append(
                gettext("%(title)s: %(money)s are kept for a loss of value. Reason: %(reason)s") % values
            )
    return said


def _next(of_return: Return) -> list[str]:
    if of_return.state in OPEN and of_return.received_at is not None:
        said = [gettext("Your goods have arrived. We check them now.")]
        if of_return.refund_due_at is not None:
            day = tier_wording.last_day_text(of_return.refund_due_at, time_zone=find_time_zone())
            said.append(gettext("You get your refund by %(day)s.") % {"day": day})
        return said
    if of_return.shipped_at is not None:
        said = [gettext("Your parcel is on its way to us.")]
    else:
        said = _send_by(of_return)
    terms = of_return.policy or ReturnPolicy()
    return [*said, promise_sentence(terms.refund_days)]


def _send_by(of_return: Return) -> list[str]:
    if of_return.send_until is None or of_return.shipped_at is not None:
        return []
    day = tier_wording.last_day_text(of_return.send_until, time_zone=find_time_zone())
    return [gettext("Pack the goods and drop the parcel off by %(day)s.") % {"day": day}]


# The history


def _is_told(event: ReturnEvent) -> bool:
    # Falling back to a decision after a failed refund is told by that failure.
    return event.code in EVENTS and event.reason != "REFUND_FAILED"


def _moment(event: ReturnEvent) -> Moment:
    actor = _actor(event)
    return Moment(
        at=event.at,
        code=event.code,
        actor=actor,
        actor_name=str(_ACTOR_NAMES[actor]),
        text=str(EVENTS[event.code]),
        reason=event.reason if event.code == State.REJECTED else "",
    )


def _actor(event: ReturnEvent) -> str:
    if event.code == "REFUND_FAILED":
        return "bank"
    who = event.actor_ref.partition(":")[0]
    if who in ("customer", "guest"):
        return "customer"
    return "carrier" if who == "carrier" else "shop"

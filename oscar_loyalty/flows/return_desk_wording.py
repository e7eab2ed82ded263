"""What staff read about returns and goodwill: what happened, by whom, and why nothing was changed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from oscar_loyalty.flows.wording import number
from oscar_loyalty.returns.models import Return, ReturnEvent
from oscar_loyalty.returns.states import State
from oscar_loyalty.shop.customers import find_actor_names

#: What happens to a return without changing its state, and what needs more words than its state.
EVENTS: Mapping[str, str | Promise] = {
    "LABEL_FAILED": _("the label could not be made; it is tried again"),
    "INSTANT_REFUND": _("refunded before the goods have arrived"),
    "GOODS_ARRIVED": _("goods received, after the refund"),
    "CHECKED_AFTER_REFUND": _("goods checked, after the refund: all there"),
    "SHORT_AFTER_REFUND": _("goods checked, after the refund: not all as it was paid"),
    "REFUND_FAILED": _("the refund failed"),
    "REFUND_SENT": _("the refund was sent"),
}

#: Why nothing was changed, by the codes of the flows.
REFUSALS: Mapping[str, str | Promise] = {
    "wrong_state": _("Nothing was changed: the return has moved on. Look at it again."),
    "reason_missing": _("Nothing was changed: say why, because the customer is told."),
    "refund_under_way": _("Nothing was changed: the money has gone out, or is on its way."),
    "too_many": _("Nothing was changed: no more pieces can be accepted than were sent."),
    "deduction_too_high": _("Nothing was changed: this deduction cannot be."),
    "not_a_number": _("Nothing was changed: enter numbers, for example 4.50."),
    "line_missing": _("Nothing was changed: decide on every line."),
    "unknown_line": _("Nothing was changed: this form belongs to another return."),
    "unknown_condition": _("Nothing was changed: choose one of the conditions."),
    "unknown": _("There is no such return."),
    "order_gone": _("Nothing was changed: the order is gone."),
    "order_missing": _("Nothing was changed: there is no order with this number."),
    "already_done": _("Nothing was changed: somebody was faster."),
    "note_missing": _("Nothing was changed: say what became of it."),
    "failed": _("Something went wrong on our side; the log knows what. Nothing was changed."),
    "nothing_chosen": _("Nothing was changed: there is nothing that could be returned."),
    "not_delivered": _("Nothing was changed: it has not arrived yet."),
    "all_returned": _("Nothing was changed: everything has been returned already."),
    "returned_otherwise": _(
        "Nothing was changed: pieces of it came back, or are to come back, with another return of this order."
        " Look for that one."
    ),
    "too_late": _("Nothing was changed: the time for it is over."),
    "excluded": _("Nothing was changed: these goods are taken back only when they are faulty."),
    "order_cancelled": _("Nothing was changed: the order was cancelled."),
    "refund_not_failed": _("Nothing was changed: only a refund that failed is tried again or paid by hand."),
    "refund_unclear": _(
        "Nothing was changed: the provider has this refund, or does not say whether it has. Find out there,"
        " and pay it by hand if nothing went out."
    ),
    "refund_replaced": _("Nothing was changed: the refund was tried again already."),
    "refund_exceeds_paid": _("Nothing was changed: the money has gone back in another way meanwhile."),
    "reference_missing": _("Nothing was changed: name the payment, for example the bank transfer's number."),
    "photo_not_an_image": _("The picture was not kept: send a JPEG, PNG or WebP."),
    "photo_too_big": _("The picture was not kept: it is too big."),
    "photo_too_many": _("The picture was not kept: there are enough of this line."),
    "nothing_wanted": _("Nothing was given: enter either points or an amount above zero."),
    "too_exact": _("Nothing was given: the currency has no such small coins."),
    "no_programme": _("Nothing was given: no programme is in force."),
    "not_member": _("Nothing was given: the customer does not take part, so they can have no points."),
    "account_frozen": _("Nothing was given: the customer's points are frozen."),
    "more_than_paid": _("Nothing was given: more would go back than was paid for the order."),
    "key_reused": _("Nothing was given: this form was sent before with other contents. Please begin anew."),
    "own_request": _("Nothing was given: somebody other than whoever asked for it decides."),
    "rejected": _("Nothing was given: somebody has decided against it."),
}
_ACTORS: Mapping[str, str | Promise] = {
    "customer": _("the customer"),
    "guest": _("the customer, as a guest"),
    "system": _("the shop's software"),
    "carrier": _("the carrier"),
}


@dataclass(frozen=True, kw_only=True)
class Happening:
    """One line of the history of a return."""

    at: datetime
    text: str
    actor: str
    reason: str
    is_problem: bool


def explain(code: str) -> str:
    """One sentence for a code of a refusal."""
    return str(REFUSALS.get(code) or gettext("Nothing was changed (%(code)s).") % {"code": code})


def tell_history(events: Iterable[ReturnEvent]) -> list[Happening]:
    """The history with the names of the staff: one statement."""
    events = list(events)
    names = find_actor_names(event.actor_ref for event in events)
    states = dict(State.choices)
    return [
        Happening(
            at=event.at,
            text=str(EVENTS.get(event.code) or states.get(event.code, event.code)),
            actor=names.get(event.actor_ref) or name_actor(event.actor_ref),
            reason=name_reason(event.reason),
            is_problem=event.code in ("REFUND_FAILED", "LABEL_FAILED", "SHORT_AFTER_REFUND"),
        )
        for event in events
    ]


def name_actor(actor_ref: str) -> str:
    return str(_ACTORS.get(actor_ref.partition(":")[0], actor_ref))


def name_reason(reason: str) -> str:
    """What the software wrote as a code, in words; what people wrote as it is."""
    own = {
        "NOT_SENT": gettext("nothing was sent in time"),
        "REFUND_FAILED": gettext("because the refund failed"),
    }
    return own.get(reason, reason)


def say_duration(duration: timedelta) -> str:
    """ "3 days 4 hours", "5 hours", "20 minutes": as much as matters."""
    minutes = int(duration.total_seconds()) // 60
    days, hours = minutes // 1440, minutes % 1440 // 60
    said_days = ngettext("%(n)s day", "%(n)s days", days) % {"n": number(days)}
    said_hours = ngettext("%(n)s hour", "%(n)s hours", hours) % {"n": number(hours)}
    if days:
        return f"{said_days} {said_hours}" if hours else said_days
    if hours:
        return said_hours
    return ngettext("%(n)s minute", "%(n)s minutes", minutes) % {"n": number(minutes)}


def say_undoing(of_return: Return) -> list[str]:
    """What undoing a decision will do, sentence by sentence."""
    said = []
    if of_return.credit_points:
        said.append(
            ngettext(
                "%(n)s point that was given instead of money is taken back. If it is spent already, it is"
                " owed.",
                "%(n)s points that were given instead of money are taken back. What is spent of them already"
                " is owed.",
                of_return.credit_points,
            )
            % {"n": number(of_return.credit_points)}
        )
    elif of_return.refund_amount:
        said.append(gettext("No money goes out: the refund is called off."))
    if of_return.points_back:
        said.append(
            ngettext(
                "%(n)s spent point that was given back is spent again.",
                "%(n)s spent points that were given back are spent again.",
                of_return.points_back,
            )
            % {"n": number(of_return.points_back)}
        )
    if of_return.points_taken:
        said.append(
            ngettext(
                "%(n)s earned point that was taken back belongs to the customer again.",
                "%(n)s earned points that were taken back belong to the customer again.",
                of_return.points_taken,
            )
            % {"n": number(of_return.points_taken)}
        )
    if restocked := sum(line.restocked for line in of_return.lines.all()):
        said.append(
            ngettext(
                "%(n)s piece is taken off the stock again.",
                "%(n)s pieces are taken off the stock again.",
                restocked,
            )
            % {"n": number(restocked)}
        )
    said.append(gettext("The tier counts the purchase again."))
    said.append(
        gettext("The return is cancelled. The goods go back to the customer; they can return them anew.")
    )
    return said

"""
The returns desk: what can be done with a return, several at once, how fast money goes back.

Whatever is done goes through :mod:`oscar_loyalty.flows.return_steps`, from a page as from a scanner.
"""

import hashlib
import json
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from oscar_loyalty.flows import return_steps
from oscar_loyalty.flows.return_settlement import cause_of
from oscar_loyalty.flows.return_terms import ReturnRefused
from oscar_loyalty.payments import refunds
from oscar_loyalty.payments.queries import list_refunds_that_need_staff
from oscar_loyalty.payments.refund_models import Refund
from oscar_loyalty.returns.figures import (
    LeadTime,
    Piece,
    Refunded,
    ReturnRate,
    measure_lead_time,
    rate_products,
)
from oscar_loyalty.returns.models import Condition, Return, ReturnEvent, ReturnLine
from oscar_loyalty.returns.services import Decision, DecisionInvalid
from oscar_loyalty.returns.states import CAN_BE_CANCELLED, OPEN, VOID, State, may_follow
from oscar_loyalty.shop.orders import PurchaseMissing
from oscar_loyalty.shop.return_desk import count_sold

logger = logging.getLogger(__name__)

#: Lead times are measured on the newest so many returns of a period, rates on so many lines.
MOST_MEASURED = 10_000
#: So many refunds that need staff are looked at. Who has more of them has other worries.
MOST_FAILED = 500
_PREFIX = "return:"
#: An event of a return that only remembers a call of other software.
CALL_CODE = "CALL"

#: What one click does, by the name of its button.
TRANSIT, RECEIVE, LATE, ACCEPT, INSPECT, REJECT, CANCEL, UNDO = (
    "transit",
    "receive",
    "late",
    "accept",
    "inspect",
    "reject",
    "cancel",
    "undo",
)
#: What can be done to several returns at once.
FOR_SEVERAL = (RECEIVE, ACCEPT)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one of several returns; ``code`` says why nothing was done to it, if nothing was."""

    number: str
    code: str = ""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """How fast money went back in a period, and in the one of the same length before it."""

    days: int
    now: LeadTime
    before: LeadTime


class CallReused(ValueError):
    """The key of a call was used for something else."""


class DecidedOtherwise(ValueError):
    """What was found in the parcel is written down already, and differs."""


# Looking


def find_actions(of_return: Return, *, refund: Refund | None) -> frozenset[str]:
    """What can be done with a return as it stands. Whether it still can is decided under its lock."""
    state = State(of_return.state)
    found = set()
    is_undecided = not of_return.is_booked and state in OPEN
    if of_return.shipped_at is None and not of_return.is_booked and may_follow(state, State.IN_TRANSIT):
        found.add(TRANSIT)
    is_unchecked = of_return.is_instant and not of_return.decision and state not in VOID
    if of_return.received_at is None and (is_undecided or is_unchecked):
        found.add(RECEIVE)
    if return_steps.can_receive_late(of_return):
        found.add(LATE)
    if is_undecided or is_unchecked:
        found |= {ACCEPT, INSPECT}
    if is_undecided:
        found.add(REJECT)
    if state in CAN_BE_CANCELLED and not of_return.is_booked:
        found.add(CANCEL)
    if of_return.is_booked and may_follow(state, State.CANCELLED) and not _is_out(refund):
        found.add(UNDO)
    return frozenset(found)


def _is_out(refund: Refund | None) -> bool:
    """Whether money has gone out, or may have."""
    if refund is None or refund.state == Refund.State.CANCELLED:
        return False
    if refund.state == Refund.State.FAILED:
        return refund.is_mismatch
    return refund.state != Refund.State.REQUESTED or refund.sent_at is not None


def list_refunds(of_return: Return) -> list[Refund]:
    """All tries to refund a return, newest first."""
    tries = Refund.objects.filter(cause_ref__startswith=f"{_PREFIX}{of_return.number}:")
    return list(tries.order_by("-pk"))


def needs_staff(of_return: Return, *, refund: Refund | None) -> bool:
    """Whether somebody has to try again or pay by hand. Nothing is owed for a decision that was undone."""
    if refund is None or not of_return.is_booked:
        return False
    is_manual = refund.method == Refund.Method.MANUAL and refund.state == Refund.State.REQUESTED
    is_unclear = refund.is_mismatch and refund.state in Refund.OPEN
    return refund.state == Refund.State.FAILED or is_manual or is_unclear


def find_failed() -> dict[str, Refund]:
    """
    Refunds of returns that failed or wait for a hand, by the number of the return. Not those of decisions
    that were undone: nothing is owed for them any more.
    """
    causes = {}
    for refund in list_refunds_that_need_staff().filter(cause_ref__startswith=_PREFIX)[:MOST_FAILED]:
        causes[refund.cause_ref.partition("#")[0]] = refund
    numbers = {cause.removeprefix(_PREFIX).partition(":")[0] for cause in causes}
    booked = Return.objects.filter(number__in=numbers, booked_at__isnull=False)
    return {one.number: causes[cause_of(one)] for one in booked if cause_of(one) in causes}


def accept_as_sent(of_return: Return) -> list[Decision]:
    """Everything came back, as new."""
    return [
        Decision(line_id=line.line_id, accepted=line.quantity, condition=Condition.AS_NEW)
        for line in of_return.lines.all()
    ]


def stamp_of(of_return: Return) -> str:
    """A return as a page showed it: the newest thing that happened to it."""
    newest = of_return.events.order_by("-id").values_list("id", flat=True).first()
    return str(newest or 0)


# Doing


def accept_everything(*, return_id: int, actor_ref: str, now: datetime) -> Return:
    """
    One click: refund, points and stock, as if everything came back as new. Safe to repeat.

    :raises ReturnRefused, PurchaseMissing: nothing was changed
    """
    decisions = accept_as_sent(Return.objects.get(pk=return_id))
    return return_steps.inspect_return(return_id=return_id, decisions=decisions, actor_ref=actor_ref, now=now)


def handle_several(
    *, numbers: Iterable[str], action: str, actor_ref: str, clock: Callable[[], datetime]
) -> list[Outcome]:
    """Receive or accept several returns as they are, each in a transaction of its own."""
    do = {RECEIVE: return_steps.receive_return, ACCEPT: accept_everything}[action]
    outcomes = []
    for number in numbers:
        return_id = Return.objects.filter(number=number).values_list("pk", flat=True).first()
        if return_id is None:
            outcomes.append(Outcome(number=number, code="unknown"))
            continue
        try:
            with transaction.atomic():
                if do(return_id=return_id, actor_ref=actor_ref, now=clock()).state in VOID:
                    # Somebody rejected or cancelled it meanwhile, which repeating does not change.
                    raise ReturnRefused("wrong_state")
        except (ReturnRefused, DecisionInvalid) as error:
            outcomes.append(Outcome(number=number, code=error.code))
        except PurchaseMissing:
            outcomes.append(Outcome(number=number, code="order_gone"))
        except Exception:
            # One that fails stops no other.
            logger.exception("Return %s could not be handled", number)
            outcomes.append(Outcome(number=number, code="failed"))
        else:
            outcomes.append(Outcome(number=number))
    return outcomes


def retry_refund(*, return_id: int, refund_id: int, actor_ref: str, now: datetime) -> None:
    """
    Try a refund that failed once more.

    :raises RefundNotFailed, RefundUnclear, RefundExceedsPaid: see ``payments.refunds``
    """
    refund = _refund_of(return_id, refund_id)
    second = refunds.retry_refund(refund_id=refund.pk, by=actor_ref, now=now)
    refunds.send_after_commit(refund_id=second.pk, clock=timezone.now)


def pay_by_hand(*, return_id: int, refund_id: int, reference: str, actor_ref: str, now: datetime) -> None:
    """
    Somebody has paid a refund outside of the provider.

    :raises RefundReferenceMissing, RefundNotFailed, RefundReplaced, RefundExceedsPaid: see
        ``payments.refunds``
    """
    refund = _refund_of(return_id, refund_id)
    refunds.pay_by_hand(refund_id=refund.pk, reference=reference, by=actor_ref, now=now)
    # The outbox tells it as well; whoever looks at the page sees it now.
    return_steps.follow_refund(cause_ref=refund.cause_ref, now=now)


def _refund_of(return_id: int, refund_id: int) -> Refund:
    """:raises RefundNotFailed: the decision was undone, so nothing is owed"""
    of_return = Return.objects.get(pk=return_id)
    refund = Refund.objects.get(pk=refund_id, cause_ref__startswith=f"{_PREFIX}{of_return.number}:")
    if not of_return.is_booked:
        raise refunds.RefundNotFailed
    return refund


def call_once(
    *, return_id: int, key: str, wish: Mapping[str, Any], do: Callable[[], Return], actor_ref: str
) -> Return:
    """
    Do what other software asks for, once for each ``key``; ``do`` is safe to repeat and takes the locks.

    :raises CallReused: the key belongs to another wish
    """
    digest = hashlib.sha256(json.dumps(wish, sort_keys=True, default=str).encode()).hexdigest()
    with transaction.atomic():
        earlier = _find_call(return_id, key)
        if earlier is None:
            do()
            # Two calls at once: the second one has waited for the lock of the first.
            earlier = _find_call(return_id, key)
        if earlier is None:
            of_return = Return.objects.get(pk=return_id)
            ReturnEvent.objects.create(
                of_return=of_return,
                at=timezone.now(),
                code=CALL_CODE,
                state=of_return.state,
                actor_ref=actor_ref,
                details={"key": key, "wish": digest},
            )
        elif earlier.details["wish"] != digest:
            raise CallReused(key)
        return Return.objects.get(pk=return_id)


def _find_call(return_id: int, key: str) -> ReturnEvent | None:
    calls = ReturnEvent.objects.filter(of_return_id=return_id, code=CALL_CODE)
    return next((call for call in calls if call.details.get("key") == key), None)


def inspect_strictly(
    *, return_id: int, decisions: Collection[Decision], actor_ref: str, now: datetime
) -> Return:
    """
    Like :func:`oscar_loyalty.flows.return_steps.inspect_return`, for software that has to know whether
    what it found is what counts.

    :raises DecidedOtherwise: somebody has decided, and differently
    :raises ReturnRefused, DecisionInvalid, PurchaseMissing: nothing was changed
    """
    done = return_steps.inspect_return(return_id=return_id, decisions=decisions, actor_ref=actor_ref, now=now)
    lines = {line.line_id: line for line in done.lines.all()}
    for decision in decisions:
        line = lines[decision.line_id]
        found = (line.accepted or 0, line.condition, line.deduction, line.refusal)
        sent = (decision.accepted, decision.condition, decision.deduction, decision.refusal.strip()[:255])
        if found != sent and not done.is_instant:
            raise DecidedOtherwise(done.number)
    return done


# Figures


def measure_refunds(*, days: int, now: datetime) -> Figures:
    """From receipt to refund, over the last ``days`` and the same number before. Reads a bounded set."""
    length = timedelta(days=days)
    return Figures(
        days=days,
        now=measure_lead_time(_list_refunded(since=now - length, until=now)),
        before=measure_lead_time(_list_refunded(since=now - 2 * length, until=now - length)),
    )


def _list_refunded(*, since: datetime, until: datetime) -> list[Refunded]:
    """Money that went out in a period, after the goods had come."""
    rows = Return.objects.filter(
        refunded_at__gte=since, refunded_at__lt=until, received_at__isnull=False, is_instant=False
    ).order_by("-refunded_at")
    return [
        Refunded(received_at=received_at, refunded_at=refunded_at, due_at=due_at)
        for received_at, refunded_at, due_at in rows.values_list(
            "received_at", "refunded_at", "refund_due_at"
        )[:MOST_MEASURED]
        if received_at is not None and refunded_at is not None
    ]


def rate_returns(*, days: int, now: datetime) -> list[ReturnRate]:
    """Of each product: pieces sold in the last ``days``, and how many of these have come back so far."""
    since = now - timedelta(days=days)
    lines = (
        ReturnLine.objects.filter(of_return__requested_at__gte=since, of_return__requested_at__lt=now)
        .exclude(of_return__state__in=VOID)
        .order_by("-id")
    )
    rows = list(lines.values_list("line_id", "sku", "title", "reason", "quantity")[:MOST_MEASURED])
    known = count_sold({row[0] for row in rows}, since=since, until=now)
    sold: dict[str, int] = defaultdict(int)
    pieces = []
    for line_id, sku, title, reason, quantity in rows:
        if line_id not in known:
            # Sold earlier: it belongs to the rate of that time.
            continue
        product, count = known[line_id]
        # A product that is gone is known by what it was called.
        key = f"product:{product}" if product else f"sku:{sku or title}"
        sold[key] = count
        pieces.append(Piece(key=key, title=title, reason=reason, pieces=quantity))
    return rate_products(pieces, sold=sold)

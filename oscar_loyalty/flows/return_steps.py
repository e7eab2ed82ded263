"""
Goods come back: every step from the carrier's first scan to the end, and the way back.

Each step locks the order, then the return, and books all that follows from it in the same transaction.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from oscar_loyalty.flows import return_settlement as settlement
from oscar_loyalty.flows.return_settlement import Ground, find_ground
from oscar_loyalty.flows.return_terms import ReturnRefused, is_instant, refund_until
from oscar_loyalty.payments import refunds
from oscar_loyalty.payments.refund_models import Refund
from oscar_loyalty.returns import queries, services
from oscar_loyalty.returns.models import NOTHING, Return
from oscar_loyalty.returns.services import Decision, WrongState, move_return, note_event
from oscar_loyalty.returns.states import OPEN, State
from oscar_loyalty.shop import return_orders
from oscar_loyalty.transactions import atomic_with_retries


@atomic_with_retries
def mark_in_transit(*, return_id: int, actor_ref: str, now: datetime, reason: str = "") -> Return:
    """
    The carrier has the parcel. Who has the perk of an instant refund gets the money now. Safe to repeat.

    :raises ReturnRefused: it has arrived, or is over
    """
    with locked(return_id, now=now) as (of_return, ground):
        if of_return.shipped_at is not None:
            return of_return
        _move(of_return, State.IN_TRANSIT, actor_ref=actor_ref, reason=reason, now=now)
        if is_instant(of_return, ground=ground, now=now):
            of_return.is_instant = True
            services.accept_all(of_return=of_return)
            settlement.book_return(of_return, ground=ground, now=now, clock=timezone.now)
            note_event(of_return=of_return, code="INSTANT_REFUND", actor_ref="system", now=now)
            _finish_unpaid(of_return, now=now)
        return of_return


@atomic_with_retries
def receive_return(*, return_id: int, actor_ref: str, now: datetime) -> Return:
    """
    The goods are here: from now on runs the time until the refund that was promised. Safe to repeat.

    :raises ReturnRefused: it is over
    """
    with locked(return_id, now=now) as (of_return, ground):
        if of_return.received_at is not None:
            return of_return
        if not of_return.is_instant:
            _receive(of_return, ground=ground, actor_ref=actor_ref, now=now)
            return of_return
        of_return.received_at = now
        of_return.refund_due_at = refund_until(now, ground=ground)
        of_return.save()
        note_event(of_return=of_return, code="GOODS_ARRIVED", actor_ref=actor_ref, now=now)
        _record_arrival(of_return, actor_ref=actor_ref)
        return of_return


@atomic_with_retries
def receive_late(*, return_id: int, reason: str, actor_ref: str, now: datetime) -> Return:
    """
    The goods are here although their return was called off, or closed because nothing had been sent: it goes
    on as if it had never been closed. Somebody decides that, and says why. Safe to repeat.

    :raises ReturnRefused: it is not closed, its goods were here before, there is no reason, or pieces of it
        came back, or are to come back, with another return
    """
    with locked(return_id, now=now) as (of_return, ground):
        if of_return.received_at is not None and of_return.state in OPEN:
            return of_return
        if not can_receive_late(of_return):
            raise ReturnRefused("wrong_state")
        if not reason.strip():
            raise ReturnRefused("reason_missing")
        if ground.order.purchase.is_cancelled:
            raise ReturnRefused("order_cancelled")
        ordered = {item.line_id: item.quantity for item in ground.order.items}
        returned = queries.find_returned_pieces(order_ref=of_return.order_ref)
        for line in of_return.lines.order_by("id"):
            if returned.get(line.line_id, 0) + line.quantity > ordered.get(line.line_id, 0):
                raise ReturnRefused("returned_otherwise", line_id=line.line_id)
        of_return.closed_at = None
        _receive(of_return, ground=ground, actor_ref=actor_ref, reason=reason.strip(), now=now, is_late=True)
        return of_return


def can_receive_late(of_return: Return) -> bool:
    """Whether its goods may still come: not those that were here and went back when it was undone."""
    is_closed = of_return.state == State.CANCELLED and of_return.received_at is None
    return is_closed and not of_return.keeps_goods


# Decided


@atomic_with_retries
def inspect_return(
    *, return_id: int, decisions: Collection[Decision], actor_ref: str, now: datetime
) -> Return:
    """
    What the desk found decides: refund, points, tier and stock are booked with it. Goods that nobody has
    received yet are received with it. Once: what is decided stays, repeating it changes nothing.

    :raises ReturnRefused: it is over, or was never asked for
    :raises DecisionInvalid: the decision does not fit what was sent
    """
    by_line = {decision.line_id: decision for decision in decisions}
    with locked(return_id, now=now) as (of_return, ground):
        if of_return.is_instant:
            return _inspect_after_refund(of_return, by_line, ground=ground, actor_ref=actor_ref, now=now)
        if of_return.is_booked or of_return.state == State.REJECTED:
            return of_return
        if of_return.state not in OPEN:
            # Undone: its pieces may be in another return by now.
            raise ReturnRefused("wrong_state")
        if of_return.received_at is None:
            _receive(of_return, ground=ground, actor_ref=actor_ref, now=now)
        lines = services.decide_lines(of_return=of_return, decisions=by_line, cent=ground.cent)
        if not any(line.accepted for line in lines):
            reason = next((line.refusal for line in lines if line.refusal), "")
            _move(of_return, State.REJECTED, actor_ref=actor_ref, reason=reason, now=now)
            return of_return
        is_whole = all(line.accepted == line.quantity and not line.deduction for line in lines)
        state = State.INSPECTED if is_whole else State.PARTLY_ACCEPTED
        decide(of_return, state=state, ground=ground, actor_ref=actor_ref, now=now)
        return of_return


@atomic_with_retries
def reject_return(*, return_id: int, reason: str, actor_ref: str, now: datetime) -> Return:
    """
    Nothing of it is accepted. :raises ReturnRefused: it is decided already, or there is no reason
    """
    with locked(return_id, now=now) as (of_return, _ground):
        if of_return.state == State.REJECTED:
            return of_return
        if of_return.is_booked or not reason.strip():
            raise ReturnRefused("wrong_state" if of_return.is_booked else "reason_missing")
        of_return.lines.update(accepted=0, refusal=reason.strip()[:255])
        _move(of_return, State.REJECTED, actor_ref=actor_ref, reason=reason, now=now)
        return of_return


@atomic_with_retries
def undo_return(*, return_id: int, reason: str, actor_ref: str, now: datetime) -> Return:
    """
    A decision was wrong, or the refund failed and the goods go back to the customer: everything that was
    booked is taken back, to the point and the cent. Only while no money has gone out; points that were given
    instead of money come back at any time, and those that are spent already are owed.

    :raises ReturnRefused: money has gone out, or is on its way (``refund_under_way``); or nothing is booked
    """
    with locked(return_id, now=now) as (of_return, ground):
        if of_return.state == State.CANCELLED:
            return of_return
        if not of_return.is_booked:
            raise ReturnRefused("wrong_state")
        if ground.order.purchase.is_cancelled:
            # All of the order is undone already, this return with it.
            raise ReturnRefused("order_cancelled")
        if not _call_off_refunds(of_return, now=now):
            raise ReturnRefused("refund_under_way")
        settlement.unbook_return(of_return, ground=ground, now=now)
        _move(of_return, State.CANCELLED, actor_ref=actor_ref, reason=reason, now=now)
        return of_return


# Refunds


@atomic_with_retries
def follow_refund(*, cause_ref: str, now: datetime) -> None:
    """
    Bring a return to where its refund stands: paid, or sent back by the bank. Read as a state, so that news
    may come twice and in any order. Nothing for refunds that are not for a return.
    """
    kind, _, rest = cause_ref.partition(":")
    of_return = queries.find_return(number=rest.partition(":")[0]) if kind == "return" else None
    if of_return is None:
        return
    with locked(of_return.pk, now=now) as (of_return, _ground):
        if not of_return.is_booked:
            return
        refund = find_refund(of_return)
        if refund is None:
            return
        has_money = of_return.state in (State.REFUNDED, State.SETTLED)
        if refund.state == Refund.State.SUCCEEDED and not has_money:
            _move(of_return, State.REFUNDED, actor_ref="system", now=now)
            _settle(of_return, now=now)
        elif refund.state == Refund.State.FAILED:
            if has_money:
                of_return.refunded_at = of_return.settled_at = None
                back = State(of_return.decision or State.IN_TRANSIT)
                _move(of_return, back, actor_ref="system", reason="REFUND_FAILED", now=now)
            if not of_return.events.filter(code="REFUND_FAILED", details__refund=refund.pk).exists():
                note_event(
                    of_return=of_return,
                    code="REFUND_FAILED",
                    actor_ref="system",
                    reason=refund.failure_code,
                    refund=refund.pk,
                    now=now,
                )


def find_refund(of_return: Return) -> Refund | None:
    """The refund that counts: a second try follows a failed one under the same cause."""
    cause = settlement.cause_of(of_return)
    tries = Refund.objects.filter(Q(cause_ref=cause) | Q(cause_ref__startswith=f"{cause}#"))
    return tries.order_by("-pk").first()


def _call_off_refunds(of_return: Return, *, now: datetime) -> bool:
    """Whether no money has gone out for a return, and none will."""
    refund = find_refund(of_return)
    if refund is None:
        return True
    try:
        # Also one that has failed: otherwise it could still be tried again.
        refunds.cancel_refund(refund_id=refund.pk, now=now)
    except refunds.RefundAlreadySent:
        return False
    return True


# How it is done


@contextmanager
def locked(return_id: int, *, now: datetime) -> Iterator[tuple[Return, Ground]]:
    """A return under its lock, after that of its order. What is raised undoes everything."""
    with transaction.atomic():
        order_id = Return.objects.values_list("order_id", flat=True).get(pk=return_id)
        order = return_orders.get_sold_order(order_id=order_id, now=now, lock=True)
        of_return = services.lock_return(return_id=return_id)
        yield of_return, find_ground(order, now=now, terms=of_return.policy)


def _move(of_return: Return, state: State, *, actor_ref: str, now: datetime, reason: str = "") -> None:
    try:
        move_return(of_return=of_return, state=state, now=now, actor_ref=actor_ref, reason=reason)
    except WrongState:
        raise ReturnRefused("wrong_state") from None


def _receive(
    of_return: Return,
    *,
    ground: Ground,
    actor_ref: str,
    now: datetime,
    reason: str = "",
    is_late: bool = False,
) -> None:
    if of_return.state == State.CANCELLED and not is_late:
        raise ReturnRefused("wrong_state")
    of_return.received_at = now
    of_return.refund_due_at = refund_until(now, ground=ground)
    _move(of_return, State.RECEIVED, actor_ref=actor_ref, reason=reason, now=now)
    _record_arrival(of_return, actor_ref=actor_ref)


def _record_arrival(of_return: Return, *, actor_ref: str) -> None:
    return_orders.record_returned(
        order_id=of_return.order_id,
        pieces={line.line_id: line.quantity for line in of_return.lines.all()},
        reference=of_return.number,
        user_id=_user_id(actor_ref),
    )


def _user_id(actor_ref: str) -> int | None:
    kind, _, pk = actor_ref.partition(":")
    return int(pk) if kind == "user" and pk.isdigit() else None


def decide(of_return: Return, *, state: State, ground: Ground, actor_ref: str, now: datetime) -> None:
    of_return.decision = state
    settlement.book_return(of_return, ground=ground, now=now, clock=timezone.now)
    _move(of_return, state, actor_ref=actor_ref, now=now)
    _finish_unpaid(of_return, now=now)


def _finish_unpaid(of_return: Return, *, now: datetime) -> None:
    """Where no money has to go out, there is nothing to wait for."""
    if of_return.refund_amount and not of_return.credit_points:
        return
    _move(of_return, State.REFUNDED, actor_ref="system", now=now)
    _settle(of_return, now=now)


def _settle(of_return: Return, *, now: datetime) -> None:
    """The end: money is out, points are booked, and the goods are accounted for."""
    if of_return.decision:
        _move(of_return, State.SETTLED, actor_ref="system", now=now)


def _inspect_after_refund(
    of_return: Return, decisions: Mapping[int, Decision], *, ground: Ground, actor_ref: str, now: datetime
) -> Return:
    """The money was paid in advance: what is missing is written down for the staff, nothing is taken back."""
    if of_return.decision:
        return of_return
    pieces = {line.line_id: (line.accepted or 0) for line in of_return.lines.all()}
    if of_return.received_at is None:
        of_return.received_at = now
        _record_arrival(of_return, actor_ref=actor_ref)
    lines = services.decide_lines(of_return=of_return, decisions=decisions, cent=ground.cent)
    settlement.restock_return(of_return, terms=ground.terms)
    short = [line for line in lines if (line.accepted or 0) < pieces[line.line_id] or line.deduction]
    for line in lines:
        # What was paid stays paid.
        line.accepted, line.deduction = pieces[line.line_id], NOTHING
        line.save(update_fields=["accepted", "deduction"])
    of_return.decision = State.PARTLY_ACCEPTED if short else State.INSPECTED
    of_return.save()
    note_event(
        of_return=of_return,
        code="SHORT_AFTER_REFUND" if short else "CHECKED_AFTER_REFUND",
        actor_ref=actor_ref,
        reason="; ".join(line.refusal for line in short)[:255],
        now=now,
    )
    if of_return.state == State.REFUNDED:
        _settle(of_return, now=now)
    return of_return

"""
Goods come back: what may be returned until when, what it would bring, and every step from the request to the
end.

Each step locks the order, then the return, and books all that follows from it in the same transaction. A
preview is the same booking, undone before anybody sees it: so it cannot differ.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.delivery.calendars import Region, is_holiday
from oscar_loyalty.flows import return_settlement as settlement
from oscar_loyalty.flows.return_settlement import Ground, find_ground
from oscar_loyalty.members import queries as members
from oscar_loyalty.payments import refunds
from oscar_loyalty.payments.queries import name_way_of
from oscar_loyalty.payments.refund_models import Refund
from oscar_loyalty.points import queries as points
from oscar_loyalty.points.models import Account
from oscar_loyalty.returns import queries, rules, services
from oscar_loyalty.returns.models import FAULTS, NOTHING, Reason, Return, ReturnPolicy, SpentPoints
from oscar_loyalty.returns.rules import WITHDRAWAL_DAYS, Quote, Taken
from oscar_loyalty.returns.services import Decision, WantedLine, WrongState, move_return, note_event
from oscar_loyalty.returns.states import CAN_BE_CANCELLED, OPEN, State
from oscar_loyalty.shop import return_orders
from oscar_loyalty.shop.return_orders import SoldItem, SoldOrder
from oscar_loyalty.tiers import queries as tiers
from oscar_loyalty.tiers.entitlements import find_entitlements
from oscar_loyalty.tiers.progress import Progress, read_progress
from oscar_loyalty.transactions import atomic_with_retries

#: Without a programme there is no time zone in the database.
_TIME_ZONE = "Europe/Berlin"


class ReturnRefused(ValueError):
    """
    ``code`` says why nothing was changed: ``nothing_chosen``, ``unknown_line``, ``too_many``,
    ``not_delivered``, ``too_late``, ``excluded``, ``order_cancelled``, ``store_credit_not_offered``,
    ``unknown_reason``, ``key_reused``, ``refund_under_way``, ``reason_missing``, ``returned_otherwise``,
    ``wrong_state``; ``line_id`` names the line, where it is about one.
    """

    def __init__(self, code: str, *, line_id: int | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.line_id = line_id


@dataclass(frozen=True, kw_only=True)
class Pick:
    """So many pieces of a line of an order, and why they come back."""

    line_id: int
    quantity: int
    reason: str = Reason.WITHDRAWAL
    comment: str = ""


@dataclass(frozen=True, kw_only=True)
class ReturnableLine:
    """
    A line of an order. ``left``: pieces that may be returned now, for any reason or, with ``only_faults``,
    when they are faulty; ``why_none`` says why there is none: ``not_delivered``, ``all_returned``,
    ``too_late``.
    """

    line_id: int
    title: str
    sku: str
    upc: str
    product_id: int | None
    ordered: int
    returned: int
    left: int
    amount: Decimal
    only_faults: bool
    why_none: str


@dataclass(frozen=True, kw_only=True)
class ReturnableOrder:
    """
    What may come back of an order, until when (the first instant at which it is too late; ``None`` while it
    has not arrived), and what that costs.
    """

    order_id: int
    number: str
    currency: str
    user_id: int | None
    placed_at: datetime
    delivered_at: datetime | None
    return_until: datetime | None
    withdraw_until: datetime | None
    time_zone: str
    window_days: int
    fee: Decimal
    free_because: str
    offers_store_credit: bool
    asks_for_set_off: bool
    refund_days: int
    lines: tuple[ReturnableLine, ...]

    @property
    def has_anything(self) -> bool:
        return any(line.left for line in self.lines)


@dataclass(frozen=True, kw_only=True)
class PreviewLine:
    line_id: int
    title: str
    quantity: int
    amount: Decimal
    points_back: int


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a member stands: whole points, their tier and what is missing for the next one."""

    available: int = 0
    pending: int = 0
    debt: int = 0
    tier_code: str = ""
    progress: Progress | None = None


@dataclass(frozen=True, kw_only=True)
class Preview:
    """
    What a return will bring if nothing changes until it is accepted. Money in ``currency``; ``refund`` is
    what is paid out, by ``pays_to``; with ``credit_points`` it is given as points instead. ``points_missing``
    are taken back although they are spent: they become a deficit.
    """

    order_number: str
    currency: str
    lines: tuple[PreviewLine, ...]
    goods: Decimal
    delivery: Decimal
    fee: Decimal
    free_because: str
    earlier: Decimal
    set_off: Decimal
    refund: Decimal
    pays_to: str
    credit_points: int
    points_back: int
    points_taken: int
    points_waived: int
    points_missing: int
    before: Standing
    after: Standing
    keeps_goods: bool
    is_instant: bool
    send_until: datetime | None
    refund_until: datetime | None
    time_zone: str


# Reading


def find_returnable(*, order_id: int, now: datetime) -> ReturnableOrder:
    """
    What of an order may be returned now. Reads only.

    :raises PurchaseMissing: the order is gone
    """
    order = return_orders.get_sold_order(order_id=order_id, now=now)
    return _returnable(order, ground=find_ground(order, now=now), now=now)


@atomic_with_retries
def preview_return(
    *,
    order_id: int,
    picks: Sequence[Pick],
    kind: str = Return.Kind.RETURN,
    refund_to: str = Return.RefundTo.ORIGINAL,
    set_off_agreed: bool = False,
    now: datetime,
) -> Preview:
    """
    What a return of these pieces would bring. Nothing is kept of it.

    :raises ReturnRefused: it could not be requested
    :raises PurchaseMissing: the order is gone
    """
    with transaction.atomic():
        ground = _lock_ground(order_id, now=now)
        made = _open(
            ground,
            picks=picks,
            kind=kind,
            refund_to=refund_to,
            set_off_agreed=set_off_agreed,
            actor_ref="preview",
            language="",
            idempotency_key=None,
            now=now,
        )
        before = _standing(ground, now=now)
        services.accept_all(of_return=made)
        settlement.book_return(made, ground=ground, now=now, clock=timezone.now)
        preview = _preview(made, ground=ground, before=before, now=now)
        transaction.set_rollback(True)
    return preview


@atomic_with_retries
def preview_inspection(*, return_id: int, decisions: Collection[Decision], now: datetime) -> Preview:
    """
    What a decision of the desk would bring. Nothing is kept of it.

    :raises ReturnRefused: it is decided already
    :raises DecisionInvalid: the decision does not fit what was sent
    """
    with _locked(return_id, now=now) as (of_return, ground):
        if of_return.is_booked or of_return.state not in OPEN:
            raise ReturnRefused("wrong_state")
        before = _standing(ground, now=now)
        lines = services.decide_lines(
            of_return=of_return,
            decisions={decision.line_id: decision for decision in decisions},
            cent=ground.cent,
        )
        # Nothing of unknown condition goes on sale again: whoever watches the stock hears of no preview.
        of_return.lines.update(condition="")
        if any(line.accepted for line in lines):
            settlement.book_return(of_return, ground=ground, now=now, clock=timezone.now)
        preview = _preview(of_return, ground=ground, before=before, now=now)
        transaction.set_rollback(True)
    return preview


# Asking for it


@atomic_with_retries
def request_return(
    *,
    order_id: int,
    picks: Sequence[Pick],
    kind: str = Return.Kind.RETURN,
    refund_to: str = Return.RefundTo.ORIGINAL,
    set_off_agreed: bool = False,
    actor_ref: str,
    now: datetime,
    language: str = "",
    idempotency_key: str | None = None,
) -> Return:
    """
    Open a return; the same ``idempotency_key`` brings the same return. What the customer may keep is refunded
    at once, with what is booked for it.

    :raises ReturnRefused: nothing was changed
    :raises PurchaseMissing: the order is gone
    """
    if idempotency_key and (earlier := _find_repeated(idempotency_key, order_id=order_id)):
        return earlier
    try:
        with transaction.atomic():
            ground = _lock_ground(order_id, now=now)
            # Of two clicks at once the second one has waited for the order's lock.
            if idempotency_key and (earlier := _find_repeated(idempotency_key, order_id=order_id)):
                return earlier
            made = _open(
                ground,
                picks=picks,
                kind=kind,
                refund_to=refund_to,
                set_off_agreed=set_off_agreed,
                actor_ref=actor_ref,
                language=language,
                idempotency_key=idempotency_key,
                now=now,
            )
            if made.keeps_goods:
                services.accept_all(of_return=made)
                _decide(made, state=State.INSPECTED, ground=ground, actor_ref="system", now=now)
            return made
    except IntegrityError:
        if idempotency_key and (earlier := _find_repeated(idempotency_key, order_id=order_id)):
            return earlier
        raise


@atomic_with_retries
def cancel_return(*, return_id: int, actor_ref: str, now: datetime, reason: str = "") -> Return:
    """
    The customer keeps the goods after all. Safe to repeat.

    :raises ReturnRefused: they have arrived, or the money has gone out
    """
    with _locked(return_id, now=now) as (of_return, _ground):
        if of_return.state == State.CANCELLED:
            return of_return
        if of_return.state not in CAN_BE_CANCELLED or of_return.is_booked:
            raise ReturnRefused("wrong_state")
        move_return(of_return=of_return, state=State.CANCELLED, now=now, actor_ref=actor_ref, reason=reason)
        return of_return


# On its way and at the desk


@atomic_with_retries
def mark_in_transit(*, return_id: int, actor_ref: str, now: datetime, reason: str = "") -> Return:
    """
    The carrier has the parcel. Who has the perk of an instant refund gets the money now. Safe to repeat.

    :raises ReturnRefused: it has arrived, or is over
    """
    with _locked(return_id, now=now) as (of_return, ground):
        if of_return.shipped_at is not None:
            return of_return
        _move(of_return, State.IN_TRANSIT, actor_ref=actor_ref, reason=reason, now=now)
        if _is_instant(of_return, ground=ground, now=now):
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
    with _locked(return_id, now=now) as (of_return, ground):
        if of_return.received_at is not None:
            return of_return
        if not of_return.is_instant:
            _receive(of_return, ground=ground, actor_ref=actor_ref, now=now)
            return of_return
        of_return.received_at = now
        of_return.refund_due_at = _refund_until(now, ground=ground)
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
    with _locked(return_id, now=now) as (of_return, ground):
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
    of_return.refund_due_at = _refund_until(now, ground=ground)
    _move(of_return, State.RECEIVED, actor_ref=actor_ref, reason=reason, now=now)
    _record_arrival(of_return, actor_ref=actor_ref)


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
    with _locked(return_id, now=now) as (of_return, ground):
        if of_return.is_instant:
            return _inspect_after_refund(of_return, by_line, ground=ground, actor_ref=actor_ref, now=now)
        if of_return.is_booked or of_return.state == State.REJECTED:
            return of_return
        if of_return.received_at is None:
            _receive(of_return, ground=ground, actor_ref=actor_ref, now=now)
        lines = services.decide_lines(of_return=of_return, decisions=by_line, cent=ground.cent)
        if not any(line.accepted for line in lines):
            reason = next((line.refusal for line in lines if line.refusal), "")
            _move(of_return, State.REJECTED, actor_ref=actor_ref, reason=reason, now=now)
            return of_return
        is_whole = all(line.accepted == line.quantity and not line.deduction for line in lines)
        state = State.INSPECTED if is_whole else State.PARTLY_ACCEPTED
        _decide(of_return, state=state, ground=ground, actor_ref=actor_ref, now=now)
        return of_return


@atomic_with_retries
def reject_return(*, return_id: int, reason: str, actor_ref: str, now: datetime) -> Return:
    """
    Nothing of it is accepted. :raises ReturnRefused: it is decided already, or there is no reason
    """
    with _locked(return_id, now=now) as (of_return, _ground):
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
    with _locked(return_id, now=now) as (of_return, ground):
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
    with _locked(of_return.pk, now=now) as (of_return, _ground):
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


# How it is done


def _lock_ground(order_id: int, *, now: datetime) -> Ground:
    order = return_orders.get_sold_order(order_id=order_id, now=now, lock=True)
    return find_ground(order, now=now)


@contextmanager
def _locked(return_id: int, *, now: datetime) -> Iterator[tuple[Return, Ground]]:
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


def _find_repeated(key: str, *, order_id: int) -> Return | None:
    earlier = Return.objects.filter(idempotency_key=key).first()
    if earlier is not None and earlier.order_id != order_id:
        raise ReturnRefused("key_reused")
    return earlier


def _open(
    ground: Ground,
    *,
    picks: Sequence[Pick],
    kind: str,
    refund_to: str,
    set_off_agreed: bool,
    actor_ref: str,
    language: str,
    idempotency_key: str | None,
    now: datetime,
) -> Return:
    order = ground.order
    returnable = _returnable(order, ground=ground, now=now)
    _check(picks, kind=kind, returnable=returnable, ground=ground, now=now)
    is_credit = refund_to == Return.RefundTo.STORE_CREDIT
    if is_credit and not returnable.offers_store_credit:
        raise ReturnRefused("store_credit_not_offered")
    user_id = order.purchase.user_id
    member = members.find_active_member(user_id=user_id)
    quoted = settlement.quote(ground, taken={pick.line_id: Taken(pieces=pick.quantity) for pick in picks})
    keeps = returnable.delivered_at is not None and _keeps(quoted, ground=ground)
    fee, free_because = _fee(picks, returnable=returnable, keeps=keeps)
    items = {item.line_id: item for item in order.items}
    # Withdrawn from before it came: no parcel will follow, and § 357 (1) BGB gives the shop 14 days.
    is_early = kind == Return.Kind.WITHDRAWAL and returnable.delivered_at is None
    label_days = timedelta(days=ground.terms.label_days)
    return services.open_return(
        order_ref=order.number,
        order_id=order.purchase.order_id,
        member_id=member.pk if member else None,
        user_id=user_id,
        email=order.email,
        language=language,
        kind=kind,
        policy_id=ground.terms.pk,
        currency=order.currency,
        lines=[
            WantedLine(
                line_id=pick.line_id,
                title=items[pick.line_id].title,
                sku=items[pick.line_id].sku,
                upc=items[pick.line_id].upc,
                quantity=pick.quantity,
                reason=pick.reason,
                comment=pick.comment,
            )
            for pick in picks
        ],
        fee=fee,
        free_because=free_because,
        refund_to=refund_to,
        set_off_agreed=set_off_agreed,
        keeps_goods=keeps,
        send_until=None if keeps or is_early else now + label_days,
        refund_due_at=now + timedelta(days=WITHDRAWAL_DAYS) if is_early else None,
        idempotency_key=idempotency_key,
        actor_ref=actor_ref,
        now=now,
    )


def _check(
    picks: Sequence[Pick], *, kind: str, returnable: ReturnableOrder, ground: Ground, now: datetime
) -> None:
    """:raises ReturnRefused: these pieces cannot be returned for these reasons"""
    if ground.order.purchase.is_cancelled:
        raise ReturnRefused("order_cancelled")
    if not picks:
        raise ReturnRefused("nothing_chosen")
    lines = {line.line_id: line for line in returnable.lines}
    seen: set[int] = set()
    for pick in picks:
        line = lines.get(pick.line_id)
        if line is None or pick.line_id in seen:
            raise ReturnRefused("unknown_line", line_id=pick.line_id)
        seen.add(pick.line_id)
        if pick.reason not in Reason.values:
            raise ReturnRefused("unknown_reason", line_id=pick.line_id)
        if type(pick.quantity) is not int or pick.quantity < 1:
            raise ReturnRefused("nothing_chosen", line_id=pick.line_id)
        is_withdrawal = kind == Return.Kind.WITHDRAWAL
        is_fault = pick.reason in FAULTS
        if line.why_none and not (is_withdrawal and line.why_none == "not_delivered"):
            raise ReturnRefused(line.why_none, line_id=pick.line_id)
        if line.only_faults and not is_fault:
            late = not _is_in_time(returnable, is_withdrawal=is_withdrawal, now=now)
            raise ReturnRefused("too_late" if late else "excluded", line_id=pick.line_id)
        left = line.ordered - line.returned if is_withdrawal else line.left
        if pick.quantity > left:
            raise ReturnRefused("too_many", line_id=pick.line_id)
        if is_withdrawal and not _is_in_time(returnable, is_withdrawal=True, now=now):
            raise ReturnRefused("too_late", line_id=pick.line_id)


def _is_in_time(returnable: ReturnableOrder, *, is_withdrawal: bool, now: datetime) -> bool:
    until = returnable.return_until
    if is_withdrawal and returnable.withdraw_until is not None and until is not None:
        until = max(until, returnable.withdraw_until)
    return until is None or now < until


def _returnable(order: SoldOrder, *, ground: Ground, now: datetime) -> ReturnableOrder:
    terms = ground.terms
    perks = _perks_of(order, now=now)
    window_days = max([terms.window_days, *(details["days"] for details in perks.get("RETURN_WINDOW", ()))])
    delivered_at = order.delivered_at
    if delivered_at is None and not order.has_reports:
        assumed = order.purchase.placed_at + timedelta(days=terms.assumed_delivery_days)
        delivered_at = assumed if assumed <= now else None
    return_until = _until(delivered_at, days=window_days, ground=ground)
    fault_until = _until(delivered_at, days=max(terms.fault_days, window_days), ground=ground)
    returned = queries.find_returned_pieces(order_ref=order.number)
    excluded = return_orders.find_excluded(order, policy=terms)
    is_over = return_until is not None and now >= return_until
    is_all_over = fault_until is not None and now >= fault_until
    lines = []
    for item in order.items:
        gone = returned.get(item.line_id, 0)
        here = item.quantity if delivered_at is not None else min(item.reported, item.quantity)
        left = 0 if is_all_over or order.purchase.is_cancelled else max(here - gone, 0)
        lines.append(
            ReturnableLine(
                line_id=item.line_id,
                title=item.title,
                sku=item.sku,
                upc=item.upc,
                product_id=item.product_id,
                ordered=item.quantity,
                returned=gone,
                left=left,
                amount=item.amount,
                only_faults=is_over or item.line_id in excluded,
                why_none="" if left else _why_none(item, gone=gone, is_over=is_all_over),
            )
        )
    free_because = Return.FreeBecause.CHARGED
    if not terms.fee:
        free_because = Return.FreeBecause.POLICY
    elif "FREE_RETURNS" in perks:
        free_because = Return.FreeBecause.PERK
    is_member = order.purchase.user_id is not None and ground.policy is not None
    return ReturnableOrder(
        order_id=order.purchase.order_id,
        number=order.number,
        currency=order.currency,
        user_id=order.purchase.user_id,
        placed_at=order.purchase.placed_at,
        delivered_at=delivered_at,
        return_until=return_until,
        withdraw_until=_until(delivered_at, days=WITHDRAWAL_DAYS, ground=ground),
        time_zone=_time_zone(ground),
        window_days=window_days,
        fee=NOTHING if free_because else terms.fee,
        free_because=free_because,
        offers_store_credit=is_member
        and terms.offers_store_credit
        and bool(ground.policy and rules.unit_value_of(ground.policy))
        and _account(ground) is not None,
        asks_for_set_off=is_member and terms.spent_points == SpentPoints.SET_OFF,
        refund_days=terms.refund_days,
        lines=tuple(lines),
    )


def _why_none(item: SoldItem, *, gone: int, is_over: bool) -> str:
    if gone >= item.quantity:
        return "all_returned"
    return "too_late" if is_over else "not_delivered"


def _perks_of(order: SoldOrder, *, now: datetime) -> Mapping[str, list[dict[str, int]]]:
    """Perks about returns that the buyer has today, or had when they ordered: the better one counts."""
    user_id = order.purchase.user_id
    if user_id is None or not loyalty_settings.enabled:
        return {}
    found: dict[str, list[dict[str, int]]] = {}
    today = [(one.kind, dict(one.parameters)) for one in find_entitlements(user_id=user_id, now=now).all]
    for kind, details in [*today, *tiers.find_frozen_perks(order_ref=order.number)]:
        found.setdefault(kind, []).append(details)
    return found


def _fee(picks: Sequence[Pick], *, returnable: ReturnableOrder, keeps: bool) -> tuple[Decimal, str]:
    if keeps:
        return NOTHING, Return.FreeBecause.KEEP
    # One faulty piece makes the parcel free.
    if any(pick.reason in FAULTS for pick in picks):
        return NOTHING, Return.FreeBecause.FAULT
    return returnable.fee, returnable.free_because


def _keeps(quoted: Quote, *, ground: Ground) -> bool:
    """So little that it is not worth sending: of the whole order, however many returns it is cut into."""
    kept = queries.sum_kept(order_ref=ground.order.number)
    return quoted.goods > 0 and kept + quoted.goods < ground.terms.keep_item_below


def _is_instant(of_return: Return, *, ground: Ground, now: datetime) -> bool:
    if "INSTANT_REFUND" not in _perks_of(ground.order, now=now):
        return False
    taken = {line.line_id: Taken(pieces=line.quantity) for line in of_return.lines.all()}
    limit = ground.terms.instant_refund_limit
    # Also asked of a return that is booked by now, for its preview: that one does not count as gone.
    return limit is None or settlement.quote(ground, taken=taken, but_not=of_return.pk).goods <= limit


def _decide(of_return: Return, *, state: State, ground: Ground, actor_ref: str, now: datetime) -> None:
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


def find_refund(of_return: Return) -> Refund | None:
    """The refund that counts: a second try follows a failed one under the same cause."""
    cause = settlement.cause_of(of_return)
    tries = Refund.objects.filter(Q(cause_ref=cause) | Q(cause_ref__startswith=f"{cause}#"))
    return tries.order_by("-pk").first()


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


def _account(ground: Ground) -> Account | None:
    return points.find_account_of_user(
        user_id=ground.order.purchase.user_id, programme_code=loyalty_settings.programme_code
    )


def _standing(ground: Ground, *, now: datetime) -> Standing:
    account = _account(ground) if ground.order.purchase.user_id is not None else None
    if account is None:
        return Standing()
    balance = points.get_balance(account=account, now=now)
    return Standing(
        available=balance.available,
        pending=balance.pending,
        debt=balance.debt,
        tier_code=tiers.find_tier_code(member_id=account.member_id, at=now),
        progress=read_progress(member_id=account.member_id, now=now),
    )


def _preview(made: Return, *, ground: Ground, before: Standing, now: datetime) -> Preview:
    after = _standing(ground, now=now)
    refund = find_refund(made)
    return Preview(
        order_number=made.order_ref,
        currency=made.currency,
        lines=tuple(
            PreviewLine(
                line_id=line.line_id,
                title=line.title,
                quantity=line.quantity,
                amount=line.amount,
                points_back=line.points_back,
            )
            for line in made.lines.order_by("id")
        ),
        goods=made.goods_amount,
        delivery=made.delivery_amount,
        fee=made.fee_amount,
        free_because=made.free_because,
        earlier=made.earlier_amount,
        set_off=made.set_off_amount,
        refund=made.refund_amount,
        pays_to=name_way_of(refund) if refund is not None else "",
        credit_points=made.credit_points,
        points_back=made.points_back,
        points_taken=made.points_taken,
        points_waived=made.points_waived,
        points_missing=max(after.debt - before.debt, 0),
        before=before,
        after=after,
        keeps_goods=made.keeps_goods,
        is_instant=_is_instant(made, ground=ground, now=now),
        send_until=made.send_until,
        refund_until=_refund_until(now, ground=ground) if made.keeps_goods else None,
        time_zone=_time_zone(ground),
    )


# Days


def _until(delivered_at: datetime | None, *, days: int, ground: Ground) -> datetime | None:
    if delivered_at is None:
        return None
    return rules.last_moment(
        delivered_at, days=days, is_holiday=calendar_of(ground.terms), time_zone=_time_zone(ground)
    )


def _refund_until(received_at: datetime, *, ground: Ground) -> datetime:
    return rules.in_working_days(
        received_at,
        days=ground.terms.refund_days,
        is_holiday=calendar_of(ground.terms),
        time_zone=_time_zone(ground),
    )


def calendar_of(terms: ReturnPolicy) -> Callable[[date], bool]:
    """Holidays of the shop's part of the country, for shops that have the library for it."""
    region = Region(country=terms.country, subdivision=terms.subdivision)

    def is_free(day: date) -> bool:
        try:
            return is_holiday(day, region=region)
        except ImportError:
            return False

    return is_free


def _time_zone(ground: Ground) -> str:
    return ground.policy.time_zone if ground.policy else _TIME_ZONE

"""
A customer sends goods back: what that would bring, asking for it, and thinking again.

A preview is the booking itself, undone before anybody sees it: so it cannot differ.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import IntegrityError, transaction
from django.utils import timezone

from oscar_loyalty.flows import return_settlement as settlement
from oscar_loyalty.flows.return_settlement import Ground, find_ground
from oscar_loyalty.flows.return_steps import decide, find_refund, locked
from oscar_loyalty.flows.return_terms import (
    Pick,
    ReturnRefused,
    account_of,
    check_picks,
    fee_for,
    is_instant,
    refund_until,
    returnable_of,
    time_zone_of,
)
from oscar_loyalty.members import queries as members
from oscar_loyalty.payments.queries import name_way_of
from oscar_loyalty.points import queries as points
from oscar_loyalty.returns import queries, services
from oscar_loyalty.returns.models import Return
from oscar_loyalty.returns.rules import WITHDRAWAL_DAYS, Quote, Taken
from oscar_loyalty.returns.services import Decision, WantedLine, move_return
from oscar_loyalty.returns.states import CAN_BE_CANCELLED, OPEN, State
from oscar_loyalty.shop import return_orders
from oscar_loyalty.tiers import queries as tiers
from oscar_loyalty.tiers.progress import Progress, read_progress
from oscar_loyalty.transactions import atomic_with_retries


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


# What it would bring


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
    with locked(return_id, now=now) as (of_return, ground):
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
                decide(made, state=State.INSPECTED, ground=ground, actor_ref="system", now=now)
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
    with locked(return_id, now=now) as (of_return, _ground):
        if of_return.state == State.CANCELLED:
            return of_return
        if of_return.state not in CAN_BE_CANCELLED or of_return.is_booked:
            raise ReturnRefused("wrong_state")
        move_return(of_return=of_return, state=State.CANCELLED, now=now, actor_ref=actor_ref, reason=reason)
        return of_return


# How it is done


def _lock_ground(order_id: int, *, now: datetime) -> Ground:
    order = return_orders.get_sold_order(order_id=order_id, now=now, lock=True)
    return find_ground(order, now=now)


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
    returnable = returnable_of(order, ground=ground, now=now)
    check_picks(picks, kind=kind, returnable=returnable, ground=ground, now=now)
    is_credit = refund_to == Return.RefundTo.STORE_CREDIT
    if is_credit and not returnable.offers_store_credit:
        raise ReturnRefused("store_credit_not_offered")
    user_id = order.purchase.user_id
    member = members.find_active_member(user_id=user_id)
    quoted = settlement.quote(ground, taken={pick.line_id: Taken(pieces=pick.quantity) for pick in picks})
    keeps = returnable.delivered_at is not None and _keeps(quoted, ground=ground)
    fee, free_because = fee_for(picks, returnable=returnable, keeps=keeps)
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


def _keeps(quoted: Quote, *, ground: Ground) -> bool:
    """So little that it is not worth sending: of the whole order, however many returns it is cut into."""
    kept = queries.sum_kept(order_ref=ground.order.number)
    return quoted.goods > 0 and kept + quoted.goods < ground.terms.keep_item_below


def _standing(ground: Ground, *, now: datetime) -> Standing:
    account = account_of(ground) if ground.order.purchase.user_id is not None else None
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
        is_instant=is_instant(made, ground=ground, now=now),
        send_until=made.send_until,
        refund_until=refund_until(now, ground=ground) if made.keeps_goods else None,
        time_zone=time_zone_of(ground),
    )

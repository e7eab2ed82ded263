"""
Refunds: asked for inside the caller's transaction, sent after it has committed, and followed to their end.

What we know is committed before the provider is asked, and what the provider says is applied under the locks
of ``refund_money.lock_order_money`` afterwards, so a process may die between any two lines. The provider's
news is read as a state, never as a change: copies, gaps and any order of arrival end the same.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction

from ..outbox.models import OutboxMessage
from ..outbox.services import write_messages
from ..transactions import atomic_with_retries
from . import queries, refund_books
from .gateway import (
    GatewayRefund,
    GatewayRefused,
    GatewayUnavailable,
    InexactAmount,
    RefundStatus,
    get_gateway,
)
from .models import CardPayment
from .money import to_coins
from .refund_models import Refund
from .refund_money import OrderMoney, PaidSource, RefundExceedsPaid, lock_order_money

logger = logging.getLogger(__name__)

#: Of the outbox: a refund took a state.
REFUND_TOPIC = "refund_changed"

State = Refund.State
Method = Refund.Method

STATE_OF = {
    RefundStatus.PENDING: State.PENDING,
    RefundStatus.SUCCEEDED: State.SUCCEEDED,
    RefundStatus.FAILED: State.FAILED,
    # We still owe it, as when it failed: only we can decide that nothing is to go back any more.
    RefundStatus.CANCELLED: State.FAILED,
}
#: Nobody has this money, as far as we know.
_UNPAID = (*Refund.OPEN, State.FAILED)
#: The sweep leaves a refund alone that somebody else may be sending right now.
SEND_GRACE = timedelta(minutes=2)
#: How often we ask how a refund stands. A webhook is faster; this is for when none comes.
LOOK_EVERY = {State.PENDING: timedelta(hours=1), State.SUCCEEDED: timedelta(days=1)}
#: A bank sends money back for so long after it took it.
MAY_FAIL_FOR = timedelta(days=30)
MADE_ELSEWHERE = "gateway:"


class RefundKeyReused(Exception):
    """There is a refund for this cause already, of another order or another amount."""


class RefundInOtherCurrency(Exception):
    """The order was paid in another currency."""


class RefundNotFailed(Exception):
    """Only what has failed is tried again; by hand only what has failed or waits for a hand is paid."""


class RefundUnclear(Exception):
    """The provider has the refund, or does not say whether it has: a second try could pay it twice."""


class RefundReplaced(Exception):
    """The refund was tried again already: look at the second try."""


class RefundReferenceMissing(Exception):
    """A payment by hand that nobody could find again in the bank's statement."""


class RefundAlreadySent(Exception):
    """The provider knows of the refund, or may know of it."""


# Ask


def request_refund(
    *, order_number: str, amount: Decimal, currency: str, cause_ref: str, now: datetime
) -> Refund:
    """
    Note, in the caller's transaction, that ``amount`` is to go back for ``cause_ref``; the same cause again
    returns the first refund. Send it with :func:`send_after_commit`.

    The money goes to the card where the order was paid by one and the card was charged enough, otherwise
    it is paid by hand. Whoever holds locks of order or accounts takes them before.

    :raises RefundExceedsPaid: what was paid, less all refunds that did not fail, is less
    :raises RefundKeyReused: the cause has a refund of another order or amount
    :raises RefundInOtherCurrency: the order is in another currency
    :raises InexactAmount: not a whole number of the currency's smallest coins, or not above zero
    """
    if to_coins(amount, currency) <= 0:
        raise InexactAmount(f"{amount} {currency}")
    with transaction.atomic():
        money = lock_order_money(order_number=order_number)
        if earlier := Refund.objects.filter(cause_ref=cause_ref).first():
            return _same_or_raise(earlier, order_number, amount, currency)
        if money.currency not in (currency, ""):
            raise RefundInOtherCurrency
        return _request(money, order_number, amount, cause_ref, now)


def _same_or_raise(earlier: Refund, order_number: str, amount: Decimal, currency: str) -> Refund:
    if (earlier.order_number, earlier.amount, earlier.currency) != (order_number, amount, currency):
        raise RefundKeyReused
    return earlier


def _request(
    money: OrderMoney,
    order_number: str,
    amount: Decimal,
    cause_ref: str,
    now: datetime,
    **more: Any,
) -> Refund:
    source = money.find_source(amount)
    refund = Refund(
        cause_ref=cause_ref,
        order_number=order_number,
        amount=amount,
        currency=money.currency,
        requested_at=now,
        method=Method.MANUAL,
        **more,
    )
    if source is not None:
        _take_from(refund, source)
        if source.intent_id:
            refund.method, refund.intent_id = Method.CARD, source.intent_id
            refund.due_at = now + SEND_GRACE
    _announce(refund, now)
    refund.save()
    return refund


def _take_from(refund: Refund, source: PaidSource | None) -> None:
    refund.payment = source.payment if source is not None else None
    refund.source_id = source.source_id if source is not None else None


# Send


def send_after_commit(*, refund_id: int, clock: Callable[[], datetime]) -> None:
    """Send as soon as the caller has committed. Whatever goes wrong is logged; the sweep finishes it."""

    def send() -> None:
        try:
            send_refund(refund_id=refund_id, now=clock())
        except Exception:
            logger.exception("Refund %s is not sent yet", refund_id)

    transaction.on_commit(send, robust=True)


def send_refund(*, refund_id: int, now: datetime) -> Refund:
    """
    Ask the provider to pay back, once however often it is called, and note what it says.

    A refund of a payment that is not captured yet stays ``REQUESTED`` and is sent by the sweep. One that
    is paid by hand is left alone.

    :raises GatewayUnavailable: the sweep will call again
    """
    refund, may_send = _begin_sending(refund_id, now)
    if not may_send:
        return refund
    try:
        seen = _find_at_gateway(refund) if refund.attempts > 1 else None
        seen = seen or _create_at_gateway(refund)
    except GatewayRefused as error:
        return _settle_refusal(refund, error, now)
    except GatewayUnavailable:
        Refund.objects.filter(pk=refund.pk, state=State.REQUESTED).update(failure_code="unavailable")
        raise
    return _observe(refund.pk, seen, now=now)


@atomic_with_retries
def _begin_sending(refund_id: int, now: datetime) -> tuple[Refund, bool]:
    with transaction.atomic():
        refund, money = _lock(refund_id)
        if refund.state != State.REQUESTED or refund.method != Method.CARD or refund.is_mismatch:
            return refund, False
        refund.due_at = now + SEND_GRACE
        may_send = _may_send(refund, money, now)
        if may_send:
            refund.attempts += 1
            refund.sent_at = refund.sent_at or now
        refund.save()
        return refund, may_send


def _may_send(refund: Refund, money: OrderMoney, now: datetime) -> bool:
    taken = refund.payment.state if refund.payment is not None else CardPayment.State.CAPTURED
    if taken == CardPayment.State.CANCELLED:
        refund.failure_code = "nothing_taken"
        _move(refund, money, State.CANCELLED, now)
        return False
    if refund.sent_at is None and money.is_overdrawn_by(refund):
        # Somebody paid back at the provider's own pages meanwhile.
        refund.failure_code = "exceeds_paid"
        _move(refund, money, State.FAILED, now)
        return False
    return taken == CardPayment.State.CAPTURED


def _create_at_gateway(refund: Refund) -> GatewayRefund:
    return get_gateway().create_refund(
        intent_id=refund.intent_id,
        amount=refund.amount,
        currency=refund.currency,
        reference=str(refund.public_id),
        idempotency_key=f"refund:{refund.public_id}",
    )


def _find_at_gateway(refund: Refund) -> GatewayRefund | None:
    """What an earlier call made that was not answered. Providers forget keys in a day, so we look."""
    made = get_gateway().list_refunds(intent_id=refund.intent_id)
    return next((one for one in made if _is_same(refund, one)), None)


def _is_same(refund: Refund, seen: GatewayRefund) -> bool:
    return seen.reference == str(refund.public_id) or seen.refund_id == refund.gateway_id


def _settle_refusal(refund: Refund, error: GatewayRefused, now: datetime) -> Refund:
    """A refusal says that this call did nothing, not that no earlier one did."""
    try:
        seen = _find_at_gateway(refund)
    except GatewayRefused:
        # It does not even let us look (a wrong key?): nothing is known, so nothing is decided.
        logger.error("Refund %s could not be sent (%s)", refund.pk, error.code)
        return _note(refund.pk, error.code)
    if seen is not None:
        return _observe(refund.pk, seen, now=now)
    with transaction.atomic():
        refund, money = _lock(refund.pk)
        if refund.state == State.REQUESTED:
            refund.failure_code = error.code[:128]
            _move(refund, money, State.FAILED, now)
            refund.save()
        return refund


# What staff do when one has failed


def retry_refund(*, refund_id: int, by: str, now: datetime) -> Refund:
    """
    Begin a second try of a refund that has failed, as a refund of its own under the same limits; asked
    again, return that one. Send it with :func:`send_after_commit`. One whose answer was not what we asked
    for is tried again only when the provider says that it does not have it.

    :raises RefundNotFailed: it has not failed
    :raises RefundUnclear: the provider has it, or does not say
    :raises RefundExceedsPaid: the money went back otherwise meanwhile
    """
    is_missing = _is_missing_at_gateway(Refund.objects.get(pk=refund_id))
    with transaction.atomic():
        failed, money = _lock(refund_id)
        if second := Refund.objects.filter(replaces=failed).first():
            return second
        if failed.is_mismatch and failed.state in _UNPAID:
            if not is_missing:
                raise RefundUnclear
            money = _give_up(failed, money, now)
        if failed.state != State.FAILED:
            raise RefundNotFailed
        cause_ref = _next_cause(failed.cause_ref)
        return _request(
            money, failed.order_number, failed.amount, cause_ref, now, replaces=failed, handled_by_ref=by
        )


def _is_missing_at_gateway(refund: Refund) -> bool:
    """Of one that is not what we asked for: whether the provider says that there is none of ours."""
    if not refund.is_mismatch:
        return False
    try:
        return _find_at_gateway(refund) is None
    except (GatewayRefused, GatewayUnavailable):
        return False


def _give_up(refund: Refund, money: OrderMoney, now: datetime) -> OrderMoney:
    """It was never made: it fails and counts no longer. Return the money of the order without it."""
    refund.failure_code = "never_made"
    _move(refund, money, State.FAILED, now)
    refund.save()
    return lock_order_money(order_number=refund.order_number)


def _next_cause(cause_ref: str) -> str:
    """``return:7`` is tried again as ``return:7#2``, and that as ``return:7#3``."""
    numbered = re.fullmatch(r"(.*)#(\d+)", cause_ref)
    first, number = (numbered[1], int(numbered[2])) if numbered else (cause_ref, 1)
    return f"{first}#{number + 1}"


@atomic_with_retries
def pay_by_hand(*, refund_id: int, reference: str, by: str, now: datetime) -> Refund:
    """
    Note that staff paid the money outside of the provider, by bank transfer for example. Also of a refund
    that is not what we asked for: who pays it has found out that the provider did not.

    :param reference: of the payment, at most 128 characters
    :raises RefundReferenceMissing: ``reference`` is empty
    :raises RefundNotFailed: the provider is paying, or nothing is to be paid any more
    :raises RefundReplaced: it was tried again
    :raises RefundExceedsPaid: the money went back otherwise meanwhile
    """
    reference = reference.strip()[:128]
    if not reference:
        raise RefundReferenceMissing
    with transaction.atomic():
        refund, money = _lock(refund_id)
        is_ours = refund.method == Method.MANUAL and refund.state == State.REQUESTED
        waits = is_ours or (refund.is_mismatch and refund.state in Refund.OPEN)
        if not waits and refund.state != State.FAILED:
            raise RefundNotFailed
        if Refund.objects.filter(replaces=refund).exists():
            raise RefundReplaced
        if refund.state == State.FAILED:
            # While it was failed it did not count, so its share may be gone.
            _take_from(refund, money.find_source(refund.amount))
        refund.method, refund.reference, refund.handled_by_ref = Method.MANUAL, reference, by
        refund.state, refund.succeeded_at, refund.due_at = State.SUCCEEDED, now, None
        refund.failure_code = ""
        refund_books.write_refund(refund, money)
        _announce(refund, now)
        refund.save()
        return refund


def cancel_refund(*, refund_id: int, now: datetime) -> Refund:
    """
    Give up a refund that was never sent, or has failed and was not tried again: nothing is owed any more.

    :raises RefundAlreadySent: too late, or nobody knows whether it is
    """
    with transaction.atomic():
        refund, money = _lock(refund_id)
        if refund.state == State.CANCELLED:
            return refund
        if not _can_cancel(refund):
            raise RefundAlreadySent
        _move(refund, money, State.CANCELLED, now)
        refund.save()
        return refund


def _can_cancel(refund: Refund) -> bool:
    if refund.state == State.REQUESTED:
        return refund.sent_at is None
    is_replaced = Refund.objects.filter(replaces=refund).exists()
    return refund.state == State.FAILED and not refund.is_mismatch and not is_replaced


# What the provider says


def look_at_refund(*, refund_id: int, now: datetime) -> Refund:
    """
    Ask the provider how a refund stands and note it.

    :raises GatewayUnavailable, GatewayRefused: the provider
    """
    refund = Refund.objects.get(pk=refund_id)
    if not refund.gateway_id or refund.method != Method.CARD:
        return refund
    return _observe(refund.pk, get_gateway().retrieve_refund(refund_id=refund.gateway_id), now=now)


def look_at_refunds_of(*, intent_id: str, now: datetime) -> bool:
    """
    Ask the provider for all refunds of a payment and note them, also those that were made at its own pages.
    Says whether the payment is one of this shop.

    :raises GatewayUnavailable, GatewayRefused: the provider
    """
    owner = queries.find_owner_of_intent(intent_id=intent_id)
    if owner is None:
        return False
    for seen in get_gateway().list_refunds(intent_id=intent_id):
        refund = queries.find_refund_at_gateway(seen) or _record_made_elsewhere(owner, seen, now)
        _observe(refund.pk, seen, now=now)
    return True


def _record_made_elsewhere(owner: queries.IntentOwner, seen: GatewayRefund, now: datetime) -> Refund:
    with transaction.atomic():
        lock_order_money(order_number=owner.order_number)
        refund, created = Refund.objects.get_or_create(
            cause_ref=f"{MADE_ELSEWHERE}{seen.refund_id}",
            defaults={
                "order_number": owner.order_number,
                "payment": owner.payment,
                "source_id": owner.source_id,
                "intent_id": seen.intent_id,
                "gateway_id": seen.refund_id,
                "method": Method.CARD,
                "amount": seen.amount,
                "currency": seen.currency,
                "requested_at": now,
                "sent_at": now,
                "due_at": now + SEND_GRACE,
            },
        )
        if created:
            logger.warning("Refund %s of order %s was made elsewhere", seen.refund_id, owner.order_number)
        return refund


@atomic_with_retries
def _observe(refund_id: int, seen: GatewayRefund, *, now: datetime) -> Refund:
    """Apply what the provider said to our row. Old news changes nothing, whatever order it comes in."""
    with transaction.atomic():
        refund, money = _lock(refund_id)
        if refund.method != Method.CARD:
            return refund  # It failed and was paid by hand: the provider has no more say.
        if mismatch := _find_mismatch(refund, seen):
            logger.error("Refund %s is not what the provider has: %s", refund.pk, mismatch)
            # Not sent again, not given up: what happened to the money only a person can find out.
            refund.failure_code, refund.due_at = f"{Refund.MISMATCH}{mismatch}", None
            refund.save(update_fields=["failure_code", "due_at"])
            return refund
        refund.gateway_id = seen.refund_id
        state = STATE_OF[seen.status]
        if state in Refund.FOLLOWS[State(refund.state)]:
            refund.failure_code = seen.failure_code[:128] if state in Refund.VOID else ""
            _move(refund, money, state, now)
        refund.due_at = _next_look(refund, now)
        refund.save()
        return refund


def _find_mismatch(refund: Refund, seen: GatewayRefund) -> str:
    """What is different from what we asked for, if anything. A refund made elsewhere was not asked for."""
    reference = "" if refund.cause_ref.startswith(MADE_ELSEWHERE) else str(refund.public_id)
    if refund.state in Refund.VOID and refund.gateway_id is None and STATE_OF[seen.status] not in Refund.VOID:
        return "state"
    expected = {
        "refund": (refund.gateway_id or seen.refund_id, seen.refund_id),
        "intent": (refund.intent_id, seen.intent_id),
        "currency": (refund.currency, seen.currency),
        "amount": (refund.amount, seen.amount),
        "reference": (reference or seen.reference, seen.reference),
        "customer": (_customer_of(refund, seen), seen.customer_ref),
        "livemode": (_is_live(refund, seen), seen.is_live),
    }
    return next((name for name, (ours, theirs) in expected.items() if ours != theirs), "")


def _customer_of(refund: Refund, seen: GatewayRefund) -> str | None:
    """Whose payment it was, where that is known and the provider says it of refunds."""
    known = refund.payment.customer_ref if refund.payment is not None else ""
    return known or seen.customer_ref if seen.customer_ref is not None else None


def _is_live(refund: Refund, seen: GatewayRefund) -> bool | None:
    """What its payment was, or else what our key is for."""
    known = refund.payment.is_live if refund.payment is not None else None
    if seen.is_live is None:
        return None
    return next((one for one in (known, seen.key_is_live) if one is not None), seen.is_live)


def _next_look(refund: Refund, now: datetime) -> datetime | None:
    every = LOOK_EVERY.get(State(refund.state))
    if every is None:
        return None
    if refund.state == State.SUCCEEDED and refund.succeeded_at and now > refund.succeeded_at + MAY_FAIL_FOR:
        return None
    return now + every


def _move(refund: Refund, money: OrderMoney, state: State, now: datetime) -> None:
    """Take the next state with all that belongs to it: moment, Oscar's books, news. Not saved."""
    before = refund.state
    if not refund.move_to(state, now=now):
        return
    if state == State.SUCCEEDED:
        refund_books.write_refund(refund, money)
    elif before == State.SUCCEEDED:
        refund_books.undo_refund(refund, money)
    if state in Refund.VOID:
        refund.due_at = None
    if state == State.FAILED:
        logger.error("Refund %s of order %s failed (%s)", refund.pk, refund.order_number, refund.failure_code)
    _announce(refund, now)


def _announce(refund: Refund, now: datetime) -> None:
    """Write the news of a state into the outbox, in the transaction that brings it about. Not saved."""
    refund.revision += 1
    message = OutboxMessage(
        topic=REFUND_TOPIC,
        key=f"refund_changed:{refund.public_id}:{refund.revision}",
        payload={
            "refund": str(refund.public_id),
            "cause": refund.cause_ref,
            "state": str(refund.state),
        },
        created_at=now,
        available_at=now,
    )
    write_messages([message])


def _lock(refund_id: int) -> tuple[Refund, OrderMoney]:
    """One refund and the money of its order, locked in this order's order of locks."""
    known = Refund.objects.get(pk=refund_id)
    money = lock_order_money(order_number=known.order_number)
    refund = next((one for one in money.refunds if one.pk == refund_id), None)
    return refund or Refund.objects.select_for_update().get(pk=refund_id), money


def _note(refund_id: int, code: str) -> Refund:
    Refund.objects.filter(pk=refund_id).update(failure_code=code[:128])
    return Refund.objects.get(pk=refund_id)


# The sweep


@dataclass
class SweptRefunds:
    """How many refunds one sweep brought further, and how many must wait for the next."""

    refunds: int = 0
    waiting: int = 0


def finish_refunds(*, now: datetime, limit: int = 500) -> SweptRefunds:
    """
    Send what was not sent, find out what was sent without an answer, and ask how the others stand: what is
    on its way every hour, what was paid back once a day for thirty days, because a bank may still send it
    back. Safe to run at any time, also twice at once.
    """
    swept = SweptRefunds()
    due = Refund.objects.filter(due_at__lte=now).order_by("due_at", "pk")
    for refund in due[:limit]:
        # One that cannot be finished must not keep the others waiting, now or at the next sweep.
        Refund.objects.filter(pk=refund.pk, due_at=refund.due_at).update(due_at=now + SEND_GRACE)
        if _brought_further(refund, now):
            swept.refunds += 1
        else:
            swept.waiting += 1
    return swept


def _brought_further(refund: Refund, now: datetime) -> bool:
    try:
        if refund.gateway_id:
            look_at_refund(refund_id=refund.pk, now=now)
            return True
        return send_refund(refund_id=refund.pk, now=now).state != State.REQUESTED
    except (GatewayUnavailable, GatewayRefused):
        return False
    except Exception:
        logger.exception("Refund %s could not be finished", refund.pk)
        return False


__all__ = [
    "RefundAlreadySent",
    "RefundExceedsPaid",
    "RefundInOtherCurrency",
    "RefundKeyReused",
    "RefundNotFailed",
    "RefundReferenceMissing",
    "RefundReplaced",
    "RefundUnclear",
    "SweptRefunds",
    "cancel_refund",
    "finish_refunds",
    "look_at_refund",
    "look_at_refunds_of",
    "pay_by_hand",
    "request_refund",
    "retry_refund",
    "send_after_commit",
    "send_refund",
]

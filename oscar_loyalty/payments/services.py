"""
Writes of the payment room: authorise, attach the order, capture, cancel, and the sweep for the rest.

What we know is committed before the provider is called, and what the provider says is applied under a row
lock afterwards, so a process may die between any two lines. Locks are taken in the order basket, payment.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from oscar.core.loading import get_model

from ..conf import loyalty_settings
from . import queries, refunds
from .gateway import (
    CardDeclined,
    GatewayEvent,
    GatewayRefused,
    GatewayUnavailable,
    Intent,
    IntentStatus,
    get_gateway,
)
from .models import CardPayment, StripeEvent

logger = logging.getLogger(__name__)

State = CardPayment.State

# PROCESSING is missing: it is no news, the payment stays where it is.
STATE_OF = {
    IntentStatus.PENDING: State.PENDING,
    IntentStatus.ACTION_REQUIRED: State.ACTION_REQUIRED,
    IntentStatus.AUTHORISED: State.AUTHORISED,
    IntentStatus.CAPTURED: State.CAPTURED,
    IntentStatus.CANCELLED: State.CANCELLED,
}
CAPTURE_GRACE = timedelta(minutes=2)
SOURCE_TYPE_CODE = "card"


class UnknownPayment(Exception):
    """There is no such payment in this shop."""


class PaymentMismatch(Exception):
    """The payment is for another basket, another amount or another currency. The text names which."""


class PaymentNotAuthorised(Exception):
    """No money is reserved by this payment."""


class PaymentAlreadyUsed(Exception):
    """An order was placed with this payment, or from this basket, before."""


@dataclass(frozen=True)
class OpenPayment:
    """A payment of ours together with the provider's view of it a moment ago."""

    payment: CardPayment
    intent: Intent


def prepare_payment(*, basket_id: object, amount: Decimal, currency: str, now: datetime) -> OpenPayment:
    """
    Return the payment for a basket at this total, and its intent.

    The same basket at the same total keeps its payment and intent. At another total the old payment is
    given up and a new one begun.

    :raises PaymentAlreadyUsed: an order was placed from this basket
    :raises GatewayUnavailable, GatewayRefused: the provider; safe to repeat
    """
    for _ in range(3):
        payment = _open_payment(str(basket_id), amount, currency, now)
        if payment is None:
            continue
        intent = _fetch_or_create(payment)
        payment = _observe(payment.pk, intent, now=now)
        if payment.state not in CardPayment.GIVEN_UP:
            return OpenPayment(payment, intent)
    raise GatewayUnavailable("prepare")


def _open_payment(basket_id: str, amount: Decimal, currency: str, now: datetime) -> CardPayment | None:
    found = queries.find_open_payment(basket_id=basket_id)
    if found is None:
        try:
            with transaction.atomic():
                return CardPayment.objects.create(
                    basket_id=basket_id,
                    open_key=basket_id,
                    amount=amount,
                    currency=currency,
                    created_at=now,
                )
        except IntegrityError:
            return None  # another request was first; look again
    if found.order_number or found.state == State.CAPTURED:
        raise PaymentAlreadyUsed
    if (found.amount, found.currency) == (amount, currency):
        return found
    cancel_payment(payment_id=found.pk, reason="total_changed", now=now)
    return None


def _fetch_or_create(payment: CardPayment) -> Intent:
    if payment.intent_id:
        return get_gateway().retrieve_intent(intent_id=payment.intent_id)
    return get_gateway().create_intent(
        amount=payment.amount,
        currency=payment.currency,
        reference=str(payment.public_id),
        basket_id=payment.basket_id,
        idempotency_key=f"create:{payment.public_id}",
    )


def authorise_payment(*, payment_id: int, payment_method: str, return_url: str, now: datetime) -> Intent:
    """
    Try to reserve the amount on the shopper's card and return how it went.

    The status of what is returned is ``AUTHORISED``, ``ACTION_REQUIRED`` (send the shopper to
    ``redirect_url``) or ``PROCESSING``. A payment that is authorised already is left as it is.

    :raises CardDeclined: try another card with the same payment
    :raises GatewayUnavailable, GatewayRefused: the provider
    """
    payment = CardPayment.objects.get(pk=payment_id)
    gateway = get_gateway()
    if payment.state != State.AUTHORISED:
        payment.attempts += 1
        payment.save(update_fields=["attempts"])
        try:
            intent = gateway.confirm_intent(
                intent_id=payment.intent_id or "",
                payment_method=payment_method,
                return_url=return_url,
                idempotency_key=f"confirm:{payment.public_id}:{payment.attempts}",
            )
        except (CardDeclined, GatewayRefused) as error:
            _note_error(payment.pk, error.code)
            raise
        except GatewayUnavailable:
            # The call may have arrived although its answer did not.
            intent = gateway.retrieve_intent(intent_id=payment.intent_id or "")
            if intent.status not in (IntentStatus.AUTHORISED, IntentStatus.ACTION_REQUIRED):
                raise
        _observe(payment.pk, intent, now=now)
        return intent
    return gateway.retrieve_intent(intent_id=payment.intent_id or "")


def look_again(*, payment_id: int, now: datetime) -> OpenPayment:
    """
    Ask the provider how a payment stands and note it.

    :raises GatewayUnavailable, GatewayRefused: the provider
    """
    payment = CardPayment.objects.get(pk=payment_id)
    intent = get_gateway().retrieve_intent(intent_id=payment.intent_id or "")
    return OpenPayment(_observe(payment.pk, intent, now=now), intent)


def verify_authorisation(
    *, intent_id: str, basket_id: object, amount: Decimal, currency: str, now: datetime
) -> CardPayment:
    """
    Return the payment behind an intent after asking the provider that it covers exactly this basket.

    :raises UnknownPayment: no payment of ours has this intent
    :raises PaymentMismatch: other basket, amount or currency
    :raises PaymentAlreadyUsed: an order has it
    :raises PaymentNotAuthorised: the money is not reserved (any more)
    :raises GatewayUnavailable, GatewayRefused: the provider
    """
    payment = CardPayment.objects.filter(intent_id=intent_id).first()
    # MariaDB finds "PI_a" when it is asked for "pi_A".
    if payment is None or payment.intent_id != intent_id:
        raise UnknownPayment
    if payment.basket_id != str(basket_id):
        raise PaymentMismatch("basket")
    if payment.order_number:
        raise PaymentAlreadyUsed
    intent = get_gateway().retrieve_intent(intent_id=intent_id)
    payment = _observe(payment.pk, intent, now=now)
    if payment.state != State.AUTHORISED or intent.status != IntentStatus.AUTHORISED:
        raise PaymentNotAuthorised
    if intent.reference != str(payment.public_id):
        raise PaymentMismatch("reference")
    if not (intent.currency == payment.currency == currency):
        raise PaymentMismatch("currency")
    if not (intent.capturable == payment.amount == amount):
        raise PaymentMismatch("amount")
    return payment


def record_order(*, payment_id: int, order_number: str) -> CardPayment:
    """
    Tie an authorised payment to the order that it pays, inside the transaction that places the order.

    :raises PaymentNotAuthorised: it was given up meanwhile
    :raises PaymentAlreadyUsed: another order has it
    """
    with transaction.atomic():
        payment = CardPayment.objects.select_for_update().get(pk=payment_id)
        if payment.order_number not in (None, str(order_number)):
            raise PaymentAlreadyUsed
        if payment.state != State.AUTHORISED:
            raise PaymentNotAuthorised
        payment.order_number = str(order_number)
        payment.save(update_fields=["order_number"])
        return payment


def capture_payment(*, payment_id: int, now: datetime) -> CardPayment:
    """
    Take the authorised money of a placed order, once however often it is called.

    :raises PaymentNotAuthorised: there is no order for it, or nothing is reserved any more
    :raises GatewayUnavailable: the sweep will call again
    """
    payment = CardPayment.objects.get(pk=payment_id)
    if payment.state == State.CAPTURED:
        return payment
    if not payment.order_number or payment.state != State.AUTHORISED:
        raise PaymentNotAuthorised
    gateway = get_gateway()
    try:
        intent = gateway.capture_intent(
            intent_id=payment.intent_id or "",
            amount=payment.amount,
            currency=payment.currency,
            idempotency_key=f"capture:{payment.public_id}",
        )
    except GatewayUnavailable:
        _note_error(payment.pk, "unavailable")
        raise
    except GatewayRefused as error:
        # Captured by hand, or the authorisation has run out: the provider knows.
        _note_error(payment.pk, error.code)
        intent = gateway.retrieve_intent(intent_id=payment.intent_id or "")
    payment = _observe(payment.pk, intent, now=now)
    if payment.state != State.CAPTURED:
        raise PaymentNotAuthorised
    return payment


def capture_after_commit(*, payment_id: int, clock: Callable[[], datetime]) -> None:
    """Capture as soon as the order is committed. Whatever goes wrong is logged; the sweep finishes it."""

    def capture() -> None:
        try:
            capture_payment(payment_id=payment_id, now=clock())
        except Exception:
            logger.exception("Payment %s of a placed order is not captured yet", payment_id)

    transaction.on_commit(capture, robust=True)


def cancel_payment(*, payment_id: int, reason: str, now: datetime) -> CardPayment:
    """
    Give up a payment that no order has, and let go of the money it reserved.

    It is marked first, so that no order can take it from then on. When the provider does not answer it
    stays ``CANCELLING`` and the sweep tells the provider later.

    :raises PaymentAlreadyUsed: an order has it
    """
    with transaction.atomic():
        payment = CardPayment.objects.select_for_update().get(pk=payment_id)
        if payment.order_number or payment.state == State.CAPTURED:
            raise PaymentAlreadyUsed
        if payment.move_to(State.CANCELLING, now=now):
            payment.last_error = reason
            payment.save()
    return _finish_cancelling(payment, now=now)


def _finish_cancelling(payment: CardPayment, *, now: datetime) -> CardPayment:
    if payment.state != State.CANCELLING:
        return payment
    gateway = get_gateway()
    try:
        if payment.intent_id is None:
            # Creating it was begun; the same key brings the same intent back.
            intent = _fetch_or_create(payment)
            payment = _observe(payment.pk, intent, now=now)
        intent = gateway.cancel_intent(
            intent_id=payment.intent_id or "", idempotency_key=f"cancel:{payment.public_id}"
        )
    except GatewayUnavailable:
        return payment
    except GatewayRefused:
        try:
            intent = gateway.retrieve_intent(intent_id=payment.intent_id or "")
        except (GatewayUnavailable, GatewayRefused) as error:
            logger.error("Payment %s could not be cancelled (%s)", payment.pk, error)
            return payment
    return _observe(payment.pk, intent, now=now)


def _observe(payment_id: int, intent: Intent, *, now: datetime) -> CardPayment:
    """Apply what the provider said to our row. Old news changes nothing, whatever order it comes in."""
    with transaction.atomic():
        payment = CardPayment.objects.select_for_update().get(pk=payment_id)
        changed = payment.intent_id is None
        payment.intent_id = intent.intent_id
        changed |= _learn(payment, intent)
        state = STATE_OF.get(intent.status)
        if state and payment.move_to(state, now=now):
            changed = True
            if state == State.CAPTURED:
                payment.last_error = ""
                _record_debit(payment, intent.card_label)
            elif (
                state == State.CANCELLED
                and payment.order_number
                and not queries.is_for_cancelled_order(payment)
            ):
                logger.error("Order %s is not paid: its authorisation is gone", payment.order_number)
        if changed:
            payment.save()
        return payment


def _learn(payment: CardPayment, intent: Intent) -> bool:
    """Keep whose payment it is and whether it is a live one, once each, to compare refunds with it."""
    before = (payment.customer_ref, payment.is_live)
    payment.customer_ref = payment.customer_ref or intent.customer_ref or ""
    payment.is_live = intent.is_live if payment.is_live is None else payment.is_live
    return before != (payment.customer_ref, payment.is_live)


def _note_error(payment_id: int, code: str) -> None:
    CardPayment.objects.filter(pk=payment_id).update(last_error=code[:128])


def _record_debit(payment: CardPayment, card_label: str) -> None:
    """Show in Oscar's own books that the money was taken. Runs once, on the way into ``CAPTURED``."""
    if not payment.order_number:
        logger.error("Payment %s was captured without an order", payment.pk)
        return
    sources = get_model("payment", "Source")._default_manager
    source = sources.filter(reference=payment.intent_id, order__number=payment.order_number).first()
    if source is not None:
        source.label = source.label or card_label
        source.debit(payment.amount, reference=payment.intent_id, status=str(State.CAPTURED))


# Baskets


def claim_basket(*, basket_id: object) -> bool:
    """Freeze an open basket for this one submission. False: another click was faster."""
    basket_model = get_model("basket", "Basket")
    open_one = basket_model._default_manager.filter(pk=basket_id, status__in=basket_model.editable_statuses)
    return bool(open_one.update(status=basket_model.FROZEN))


def lock_basket(*, basket_id: object) -> Any:
    """Return the basket's row, locked until the transaction ends; two placements queue here."""
    return get_model("basket", "Basket")._default_manager.select_for_update().get(pk=basket_id)


def release_basket(*, basket_id: object, reason: str, now: datetime) -> bool:
    """
    Make a frozen basket usable again and give up its payment. False: there is nothing to release.

    An order that was placed from it, or is being placed right now, wins.
    """
    basket_model = get_model("basket", "Basket")
    with transaction.atomic():
        try:
            basket = lock_basket(basket_id=basket_id)
        except basket_model.DoesNotExist:
            return False
        if basket.status != basket_model.FROZEN or queries.find_order(basket_id=basket_id):
            return False
        basket.thaw()
        payment = queries.find_open_payment(basket_id=basket_id)
        if payment is not None:
            payment = CardPayment.objects.select_for_update().get(pk=payment.pk)
            if payment.order_number is None and payment.move_to(State.CANCELLING, now=now):
                payment.last_error = reason
                payment.save()
    if payment is not None:
        _finish_cancelling(payment, now=now)
    return True


# News from the provider


def receive_event(*, payload: bytes, signature: str, now: datetime) -> StripeEvent:
    """
    Store a webhook call whose signature is right, then look at the provider for what it is about.

    The same call again changes nothing. A provider that does not answer leaves the event to the sweep.

    :raises ForgedEvent: nothing was stored
    """
    news = get_gateway().read_event(payload=payload, signature=signature, now=now)
    event = _store_event(news, payload, now)
    try:
        return _process_event(event, now=now)
    except (GatewayUnavailable, GatewayRefused):
        return event


def _store_event(news: GatewayEvent, payload: bytes, now: datetime) -> StripeEvent:
    event, _ = StripeEvent.objects.get_or_create(
        event_id=news.event_id,
        defaults={
            "kind": news.kind,
            "object_id": news.object_id,
            "refunds_of": news.refunds_of,
            "payload": payload.decode(),
            "received_at": now,
        },
    )
    return event


def _process_event(event: StripeEvent, *, now: datetime) -> StripeEvent:
    if event.state != StripeEvent.State.RECEIVED:
        return event
    is_ours = _look_at_what_it_is_about(event, now)
    event.state = StripeEvent.State.PROCESSED if is_ours else StripeEvent.State.IGNORED
    event.processed_at = now
    event.save(update_fields=["state", "processed_at"])
    return event


def _look_at_what_it_is_about(event: StripeEvent, now: datetime) -> bool:
    """Ask the provider how that stands, and say whether it is ours."""
    if event.refunds_of:
        return refunds.look_at_refunds_of(intent_id=event.refunds_of, now=now)
    payment = CardPayment.objects.filter(intent_id=event.object_id).first()
    if payment is None:
        return False
    _observe(payment.pk, get_gateway().retrieve_intent(intent_id=event.object_id), now=now)
    return True


# The sweep


@dataclass
class Swept:
    """How many payments, events and refunds one sweep brought further, and how many must wait."""

    captured: int = 0
    cancelled: int = 0
    events: int = 0
    refunds: int = 0
    waiting: int = 0


def finish_payments(*, now: datetime, limit: int = 500) -> Swept:
    """
    Finish what a crash, a lost answer or a shopper who walked away left in between.

    A payment with an order is captured, or given up when the order has been cancelled. One without an
    order that is older than ``OSCAR_LOYALTY_PAYMENT_ABANDONED_MINUTES`` is cancelled and its basket released.
    A cancellation that did not reach the provider is repeated, events that were stored but not looked at
    are looked at, and refunds are finished. Safe to run at any time, also twice at once.
    """
    swept = Swept()
    abandoned_after = timedelta(minutes=loyalty_settings.payment_abandoned_minutes)
    waiting = StripeEvent.objects.filter(
        state=StripeEvent.State.RECEIVED, received_at__lt=now - CAPTURE_GRACE
    ).order_by("received_at")
    for event in waiting[:limit]:
        _count(swept, "events", _looked_at, event, now)
    unfinished = CardPayment.objects.exclude(state__in=CardPayment.FINISHED).order_by("pk")
    for payment in unfinished.filter(state=State.CANCELLING)[:limit]:
        _count(swept, "cancelled", _cancelled, payment, now)
    abandoned = unfinished.filter(order_number__isnull=True, created_at__lt=now - abandoned_after)
    for payment in abandoned.exclude(state=State.CANCELLING)[:limit]:
        if _find_order_of_source(payment):
            _count(swept, "captured", _adopted, payment, now)
        else:
            _count(swept, "cancelled", _given_up, payment, now)
    due_to_capture = unfinished.filter(order_number__isnull=False, authorised_at__lt=now - CAPTURE_GRACE)
    for payment in due_to_capture.exclude(state=State.CANCELLING)[:limit]:
        if queries.is_for_cancelled_order(payment):
            _count(swept, "cancelled", _let_go, payment, now)
        else:
            _count(swept, "captured", _captured, payment, now)
    # Last: a refund may wait for the capture of its payment.
    refunded = refunds.finish_refunds(now=now, limit=limit)
    swept.refunds, swept.waiting = refunded.refunds, swept.waiting + refunded.waiting
    return swept


def _count(
    swept: Swept, what: str, finish: Callable[[Any, datetime], bool], unfinished: Any, now: datetime
) -> None:
    try:
        done = finish(unfinished, now)
    except Exception:
        # One that cannot be finished must not keep the others waiting.
        logger.exception("%s %s could not be finished", type(unfinished).__name__, unfinished.pk)
        done = False
    name = what if done else "waiting"
    setattr(swept, name, getattr(swept, name) + 1)


def _looked_at(event: StripeEvent, now: datetime) -> bool:
    return _process_event(event, now=now).processed_at is not None


def _captured(payment: CardPayment, now: datetime) -> bool:
    return capture_payment(payment_id=payment.pk, now=now).state == State.CAPTURED


def _adopted(payment: CardPayment, now: datetime) -> bool:
    """For an order of a checkout that wrote the payment source but did not live to tell us."""
    look_again(payment_id=payment.pk, now=now)
    record_order(payment_id=payment.pk, order_number=_find_order_of_source(payment).number)
    return _captured(payment, now)


def _cancelled(payment: CardPayment, now: datetime) -> bool:
    return _finish_cancelling(payment, now=now).state == State.CANCELLED


def _let_go(payment: CardPayment, now: datetime) -> bool:
    """Its order was cancelled before the money was taken."""
    with transaction.atomic():
        payment = CardPayment.objects.select_for_update().get(pk=payment.pk)
        if payment.move_to(State.CANCELLING, now=now):
            payment.last_error = "order_cancelled"
            payment.save()
    return _cancelled(payment, now)


def _given_up(payment: CardPayment, now: datetime) -> bool:
    if not release_basket(basket_id=payment.basket_id, reason="abandoned", now=now):
        cancel_payment(payment_id=payment.pk, reason="abandoned", now=now)
    return CardPayment.objects.filter(pk=payment.pk, state=State.CANCELLED).exists()


def _find_order_of_source(payment: CardPayment) -> Any:
    orders = get_model("order", "Order")._default_manager
    return orders.filter(sources__reference=payment.intent_id).first() if payment.intent_id else None


def delete_old_events(*, before: datetime, limit: int = 1000) -> int:
    """
    Delete events that came before ``before`` and were looked at, at most ``limit`` in one go; return
    how many. One that nobody has looked at stays.
    """
    old = StripeEvent.objects.exclude(state=StripeEvent.State.RECEIVED).filter(received_at__lt=before)
    ids = list(old.values_list("pk", flat=True)[:limit])
    return StripeEvent.objects.filter(pk__in=ids).delete()[0]

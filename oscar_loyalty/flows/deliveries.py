"""Order placed → day promised; arrived → kept or broken; broken → apologised for, once."""

import logging
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.delivery import queries, services
from oscar_loyalty.delivery.models import DeliveryPromise
from oscar_loyalty.outbox.models import OutboxMessage
from oscar_loyalty.outbox.services import write_messages
from oscar_loyalty.points import queries as points
from oscar_loyalty.points.services import AccountNotOpen, award_points
from oscar_loyalty.programmes import queries as programmes
from oscar_loyalty.shop import deliveries
from oscar_loyalty.shop.deliveries import Arrival
from oscar_loyalty.shop.delivery import get_methods
from oscar_loyalty.shop.mail import MailNotSent, send_about_order
from oscar_loyalty.transactions import spare_transaction

logger = logging.getLogger(__name__)

#: What the outbox calls an apology that is to be mailed.
LATE_TOPIC = "late_delivery"
#: Whoever switches apologies on apologises for what is late now, not for last year.
APOLOGISE_WITHIN_DAYS = 14


def promise_delivery(*, order: Any, now: datetime) -> DeliveryPromise | None:
    """
    Store the day that an order at hand was promised by its method, once. ``None`` when it promises none:
    then without a statement.
    """
    promised = deliveries.find_promise_of(order)
    if promised is None:
        return None
    with spare_transaction():
        return services.make_promise(
            # Oscar's generator makes whole numbers, which become text only in the database.
            order_ref=str(order.number),
            method=promised.method,
            method_code=promised.code,
            promised_date=promised.day,
            due_at=promised.due_at,
            window_from=promised.schedule.delivery_from,
            window_until=promised.schedule.delivery_until,
            now=now,
        )


def update_delivery(*, order_ref: str, now: datetime) -> None:
    """Bring the promise of an order to what the order says: arrived, cancelled, or late. Safe to repeat."""
    promise = queries.find_promise(order_ref=order_ref)
    if promise is None or promise.delivered_at or promise.void_at:
        return
    arrival = deliveries.find_arrivals([order_ref], now=now).get(order_ref)
    _update(promise, arrival=arrival, now=now)


def update_delivery_of(*, order_id: int, now: datetime) -> None:
    """The same for an order by its key. No statement for shops whose methods promise nothing."""
    if get_methods() and (order_ref := deliveries.find_order_ref(order_id)):
        update_delivery(order_ref=order_ref, now=now)


def record_delivery(*, order_ref: str, delivered_at: datetime, now: datetime) -> bool:
    """
    Somebody (the staff, a carrier through the API) says that an order has arrived; return whether that was
    news. The first report counts.

    :raises ValueError: it would arrive in the future
    """
    if delivered_at > now:
        raise ValueError("An order cannot have arrived in the future.")
    return services.record_delivery(order_ref=order_ref, delivered_at=delivered_at)


def promise_missed_deliveries(*, now: datetime, within_days: int) -> int:
    """Store promises that were lost when orders were placed; return how many. What fails is logged."""
    made = 0
    for order in deliveries.list_unpromised_orders(placed_after=now - timedelta(days=within_days)):
        try:
            made += promise_delivery(order=order, now=now) is not None
        except Exception:
            logger.exception("No day of delivery could be stored for order %s", order.number)
    return made


def check_deliveries(*, now: datetime) -> int:
    """
    Look at every order that is under way: which have arrived, which are late; return how many changed.
    Safe to run twice and in parallel. One order's error stops no other order.
    """
    changed = 0
    for batch in queries.list_open_promises():
        arrivals = deliveries.find_arrivals([promise.order_ref for promise in batch], now=now)
        for promise in batch:
            try:
                changed += _update(promise, arrival=arrivals.get(promise.order_ref), now=now)
            except Exception:
                logger.exception("The delivery of order %s could not be looked at", promise.order_ref)
    return changed


def apologise_for_late(*, now: datetime) -> int:
    """
    Apologise for broken promises, as far as the settings ask for it: a mail, points, or both, once for
    each order. Return how many.
    """
    if not (loyalty_settings.late_mail or loyalty_settings.late_points > 0):
        return 0
    due_after = now - timedelta(days=APOLOGISE_WITHIN_DAYS)
    done = 0
    for order_ref in queries.list_unapologised(due_after=due_after):
        try:
            done += _apologise(order_ref, now=now)
        except Exception:
            logger.exception("Nobody apologised for the late order %s", order_ref)
    return done


def send_apology(*, order_ref: str) -> None:
    """Mail the apology for an order. What the mail server raises is passed on: the outbox tries again."""
    promise = queries.find_promise(order_ref=order_ref)
    recipient = deliveries.find_recipient(order_ref)
    if promise is None or recipient is None or promise.void_at:
        return
    try:
        send_about_order(
            user_id=recipient.user_id,
            guest_email=recipient.guest_email,
            code="LOYALTY_LATE_DELIVERY",
            context={
                "order_number": order_ref,
                "promised_date": promise.promised_date,
                "has_arrived": promise.delivered_at is not None,
                "points": promise.apology_points,
            },
        )
    except MailNotSent as error:
        logger.warning("Order %s: %s", order_ref, error)


def _update(promise: DeliveryPromise, *, arrival: Arrival | None, now: datetime) -> bool:
    order_ref = promise.order_ref
    if arrival is None or arrival.is_cancelled:
        # Gone, or nobody waits for it any more.
        return services.void_promise(order_ref=order_ref, now=now)
    if arrival.delivered_at is not None:
        return services.record_delivery(order_ref=order_ref, delivered_at=arrival.delivered_at)
    grace = timedelta(hours=loyalty_settings.delivery_grace_hours)
    if promise.late_since is None and promise.is_due(now - grace):
        return services.mark_late(order_ref=order_ref, now=now)
    return False


def _apologise(order_ref: str, *, now: datetime) -> bool:
    with transaction.atomic():
        promise = services.lock_for_apology(order_ref=order_ref)
        if promise is None:
            return False
        recipient = deliveries.find_recipient(order_ref)
        if recipient is None:
            return False
        given = _give_points(promise, user_id=recipient.user_id, currency=recipient.currency, now=now)
        if not given and not loyalty_settings.late_mail:
            # A guest, where points are all there is: nothing was done, and nothing is said to have been.
            return False
        services.record_apology(promise=promise, points=given, now=now)
        if loyalty_settings.late_mail:
            message = OutboxMessage(
                topic=LATE_TOPIC,
                key=f"{LATE_TOPIC}:{order_ref}",
                payload={"order_ref": order_ref},
                created_at=now,
                available_at=now,
            )
            write_messages([message])
        return True


def _give_points(promise: DeliveryPromise, *, user_id: int | None, currency: str, now: datetime) -> int:
    """Points for a member, spendable at once; return how many: 0 for guests and while nothing is earned."""
    wanted = loyalty_settings.late_points
    if wanted <= 0 or user_id is None:
        return 0
    account = points.find_account_of_user(user_id=user_id, programme_code=loyalty_settings.programme_code)
    policy = account and programmes.find_policy(currency=currency, at=now)
    if account is None or not policy or policy.rate is None:
        return 0
    try:
        # Not under the order's own reference: whoever cancels a late order keeps the apology.
        entry = award_points(
            account_id=account.pk,
            points=wanted,
            idempotency_key=f"late:{promise.order_ref}",
            source_ref=f"late:{promise.order_ref}",
            active_at=now,
            expiry_months=policy.expiry_months,
            unit_value=policy.rate.unit_value,
            currency=currency,
            explanation={
                "rule": "LATE_DELIVERY",
                "version": policy.version,
                "order": promise.order_ref,
                "promised_date": promise.promised_date.isoformat(),
            },
            now=now,
        )
    except AccountNotOpen:
        return 0
    return entry.points

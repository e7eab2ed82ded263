"""
A clerk gives a customer points or a part of the price → within their budget of the month at once, above it
with a second person.

Locks are taken in the order of returns: the order, the clerk's budget, the row; then the ledger and the
money follow.
"""

import logging
import uuid
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from django.utils import timezone

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.flows import adjustments
from oscar_loyalty.members import queries as members
from oscar_loyalty.payments import refunds
from oscar_loyalty.payments.queries import find_refundable, sum_still_owed
from oscar_loyalty.points import services as points_services
from oscar_loyalty.points.models import Account, Adjustment
from oscar_loyalty.points.queries import find_account_of_user
from oscar_loyalty.programmes.models import Programme
from oscar_loyalty.programmes.queries import ProgrammeMissing, find_programme
from oscar_loyalty.programmes.rules import cent_of
from oscar_loyalty.returns import goodwill_services, queries
from oscar_loyalty.returns.models import NOTHING, Goodwill, Return
from oscar_loyalty.returns.rules import first_of_month
from oscar_loyalty.shop import deliveries, return_orders
from oscar_loyalty.shop.mail import MailNotSent, send_about_order
from oscar_loyalty.shop.orders import PurchaseMissing, find_order_ids
from oscar_loyalty.shop.return_orders import SoldOrder
from oscar_loyalty.transactions import atomic_with_retries

logger = logging.getLogger(__name__)

_State = Goodwill.State


class GoodwillRefused(ValueError):
    """
    ``code`` says why nothing was given: ``nothing_wanted``, ``too_exact`` (parts of a cent),
    ``reason_missing``, ``no_programme``, ``not_member``, ``account_frozen``, ``more_than_paid``,
    ``key_reused``, ``own_request``, ``rejected``.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a clerk may still give this month without a second person, and what of it is given."""

    month: date
    currency: str
    points: int
    points_given: int
    amount: Decimal
    amount_given: Decimal

    @property
    def points_left(self) -> int:
        return max(self.points - self.points_given, 0)

    @property
    def amount_left(self) -> Decimal:
        return max(self.amount - self.amount_given, NOTHING)

    def holds(self, *, points: int, amount: Decimal) -> bool:
        return points <= self.points_left and amount <= self.amount_left


def find_budget(*, clerk_id: int, currency: str, now: datetime) -> Budget | None:
    """``None`` where the shop has no programme."""
    programme = find_programme()
    if programme is None:
        return None
    return _budget(programme, clerk_id=clerk_id, currency=currency, now=now)


def find_left(*, order_ref: str) -> Decimal:
    """
    Money that was paid for an order and has not come back. What came back as points counts as well: nobody
    gets more than they paid. So does what a failed refund still owes, or it could not be paid any more.
    """
    left = find_refundable(order_number=order_ref).left - sum_still_owed(order_number=order_ref)
    return max(left - queries.sum_not_paid_out(order_ref=order_ref), NOTHING)


@atomic_with_retries
def give_goodwill(
    *,
    order_id: int,
    points: int = 0,
    amount: Decimal = NOTHING,
    reason: str,
    customer_text_de: str = "",
    customer_text_en: str = "",
    tells_customer: bool = False,
    of_return_id: int | None = None,
    clerk_id: int,
    public_id: uuid.UUID,
    now: datetime,
) -> Goodwill:
    """
    Give points or money for an order. What the clerk's budget does not hold waits for a second person: see
    its ``state``. The same ``public_id`` gives nothing twice.

    :raises GoodwillRefused: nothing was given and nothing waits
    :raises PurchaseMissing: the order is gone
    """
    if points < 0 or amount < 0 or (points > 0) == (amount > 0):
        raise GoodwillRefused("nothing_wanted")
    if not reason.strip():
        raise GoodwillRefused("reason_missing")
    order = return_orders.get_sold_order(order_id=order_id, now=now, lock=True)
    wish = {
        "order_ref": order.number,
        "points": points,
        "amount": amount,
        "reason": reason.strip()[:255],
        "customer_text_de": customer_text_de.strip(),
        "customer_text_en": customer_text_en.strip(),
        "tells_customer": tells_customer,
        "clerk_id": clerk_id,
    }
    if earlier := goodwill_services.find_goodwill(public_id=public_id):
        if any(getattr(earlier, name) != value for name, value in wish.items()):
            raise GoodwillRefused("key_reused")
        return earlier
    programme = find_programme()
    if programme is None:
        raise GoodwillRefused("no_programme")
    _check(order, points=points, amount=amount)
    month = first_of_month(now, time_zone=programme.time_zone)
    goodwill_services.lock_budget(programme_id=programme.pk, clerk_id=clerk_id, month=month)
    budget = _budget(programme, clerk_id=clerk_id, currency=order.currency, now=now)
    goodwill = Goodwill.objects.create(
        public_id=public_id,
        programme=programme,
        of_return=Return.objects.filter(pk=of_return_id or 0, order_ref=order.number).first(),
        member=members.find_active_member(user_id=order.purchase.user_id),
        currency=order.currency,
        month=month,
        requested_at=now,
        **wish,
    )
    # The limit for adjustments holds here too: goodwill is no way around it.
    is_small = not adjustments.needs_second_person(points=points, now=now)
    if is_small and budget.holds(points=points, amount=amount):
        _book(goodwill, order=order, actor_id=clerk_id, now=now)
        goodwill_services.mark_given(goodwill=goodwill, decided_by_id=None, now=now)
    return goodwill


@atomic_with_retries
def approve_goodwill(*, goodwill_id: int, actor_id: int, now: datetime) -> Goodwill:
    """
    A second person gives what a clerk asked for. Safe to repeat.

    :raises GoodwillRefused: by whoever asked (``own_request``), decided against, or not possible (any more)
    :raises PurchaseMissing: the order is gone
    """
    order_ref = Goodwill.objects.values_list("order_ref", flat=True).get(pk=goodwill_id)
    order = return_orders.get_sold_order(order_id=_order_id(order_ref), now=now, lock=True)
    goodwill = goodwill_services.lock_goodwill(goodwill_id=goodwill_id)
    if goodwill.clerk_id == actor_id:
        raise GoodwillRefused("own_request")
    if goodwill.state == _State.REJECTED:
        raise GoodwillRefused("rejected")
    if goodwill.state == _State.REQUESTED:
        _check(order, points=goodwill.points, amount=goodwill.amount)
        _book(goodwill, order=order, actor_id=actor_id, now=now)
        goodwill_services.mark_given(goodwill=goodwill, decided_by_id=actor_id, now=now)
    return goodwill


@atomic_with_retries
def reject_goodwill(*, goodwill_id: int, actor_id: int, now: datetime) -> Goodwill:
    """Decide against what was asked for; whoever asked may think again. What was decided stays."""
    goodwill = goodwill_services.lock_goodwill(goodwill_id=goodwill_id)
    if goodwill.state == _State.REQUESTED:
        goodwill_services.mark_rejected(goodwill=goodwill, decided_by_id=actor_id, now=now)
    return goodwill


def cause_of(goodwill: Goodwill) -> str:
    """What a refund of goodwill is asked for."""
    return f"goodwill:{goodwill.public_id}"


def mail_goodwill(*, public_id: uuid.UUID) -> None:
    """Tell a customer what they were given. What the mail server raises is passed on."""
    goodwill = goodwill_services.find_goodwill(public_id=public_id)
    if goodwill is None or (recipient := deliveries.find_recipient(goodwill.order_ref)) is None:
        return
    try:
        send_about_order(
            user_id=recipient.user_id,
            guest_email=recipient.guest_email,
            code="LOYALTY_GOODWILL",
            context={
                "order_number": goodwill.order_ref,
                "points": goodwill.points,
                "amount": goodwill.amount,
                "currency": goodwill.currency,
                "text_de": goodwill.customer_text_de,
                "text_en": goodwill.customer_text_en,
            },
        )
    except MailNotSent as error:
        logger.warning("Goodwill for order %s: %s", goodwill.order_ref, error)


def _budget(programme: Programme, *, clerk_id: int, currency: str, now: datetime) -> Budget:
    terms = queries.find_policy(programme_id=programme.pk, currency=currency, at=now)
    month = first_of_month(now, time_zone=programme.time_zone)
    given = goodwill_services.sum_given(
        programme_id=programme.pk, clerk_id=clerk_id, month=month, currency=currency
    )
    return Budget(
        month=month,
        currency=currency,
        points=terms.goodwill_points,
        points_given=given.points,
        amount=terms.goodwill_amount,
        amount_given=given.amount,
    )


def _check(order: SoldOrder, *, points: int, amount: Decimal) -> None:
    """:raises GoodwillRefused: this cannot be given for the order"""
    if points:
        account = _account_of(order)
        if account is None:
            raise GoodwillRefused("not_member")
        if account.status != Account.Status.OPEN:
            raise GoodwillRefused("account_frozen")
        return
    if amount != amount.quantize(cent_of(order.currency)):
        raise GoodwillRefused("too_exact")
    if amount > find_left(order_ref=order.number):
        raise GoodwillRefused("more_than_paid")


def _book(goodwill: Goodwill, *, order: SoldOrder, actor_id: int, now: datetime) -> None:
    if goodwill.points:
        _give_points(goodwill, order=order, actor_id=actor_id, now=now)
        return
    try:
        refund = refunds.request_refund(
            order_number=order.number,
            amount=goodwill.amount,
            currency=goodwill.currency,
            cause_ref=cause_of(goodwill),
            now=now,
        )
    except refunds.RefundExceedsPaid:
        raise GoodwillRefused("more_than_paid") from None
    refunds.send_after_commit(refund_id=refund.pk, clock=timezone.now)


def _give_points(goodwill: Goodwill, *, order: SoldOrder, actor_id: int, now: datetime) -> None:
    """As a correction: it has texts for the customer in the ledger, and can be undone like all others."""
    account = _account_of(order)
    assert account is not None, "checked before"
    adjustment = points_services.request_adjustment(
        account_id=account.pk,
        points=goodwill.points,
        reason_code=Adjustment.Reason.GOODWILL,
        customer_text_de=goodwill.customer_text_de,
        customer_text_en=goodwill.customer_text_en,
        internal_note=f"{goodwill.order_ref}: {goodwill.reason}",
        actor_id=goodwill.clerk_id,
        public_id=goodwill.public_id,
        now=now,
    )
    try:
        adjustments.book_adjustment(adjustment=adjustment, actor_id=actor_id, now=now)
    except ProgrammeMissing:
        raise GoodwillRefused("no_programme") from None


def _account_of(order: SoldOrder) -> Account | None:
    return find_account_of_user(
        user_id=order.purchase.user_id, programme_code=loyalty_settings.programme_code
    )


def _order_id(order_ref: str) -> int:
    """:raises PurchaseMissing: the order is gone"""
    found = find_order_ids([order_ref])
    if order_ref not in found:
        raise PurchaseMissing(order_ref)
    return found[order_ref]

"""Staff correct a balance."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction

from oscar_loyalty.points.book import Book, Move, check_points, final_account_id
from oscar_loyalty.points.errors import (
    AdjustmentNotBooked,
    AdjustmentRejected,
    IdempotencyKeyReused,
    InsufficientPoints,
    InvalidPoints,
    NeedsSecondPerson,
)
from oscar_loyalty.points.hashing import digest
from oscar_loyalty.points.models import Account, Adjustment, Entry, Posting
from oscar_loyalty.points.services.closing import restore_debt, write_off_debt
from oscar_loyalty.points.services.common import needs_another, require_open
from oscar_loyalty.points.texts import check_text
from oscar_loyalty.transactions import atomic_with_retries

_Code = Posting.Code


@atomic_with_retries
def adjust_points(
    *,
    account_id: int,
    points: int,
    reason_code: str,
    idempotency_key: str,
    expiry_months: int | None,
    unit_value: Decimal,
    currency: str,
    actor_ref: str,
    now: datetime,
) -> Entry:
    """
    Credit (above zero) or deduct (below zero) whole points for a stated reason, at once spendable.

    :raises InsufficientPoints: a deduction of more than is available
    """
    check_points(abs(points) if type(points) is int else points)
    fingerprint = digest(["ADJUST", points, reason_code])
    book = Book.open(account_id, now=now, actor_ref=actor_ref)
    if earlier := book.find_entry(idempotency_key, fingerprint=fingerprint):
        return earlier
    require_open(book.account)
    if points > 0:
        lot = book.add_lot(
            amount=points,
            source_ref=idempotency_key,
            active_at=now,
            expires_at=book.expiry_of(now, months=expiry_months),
            expiry_months=expiry_months,
            unit_value=unit_value,
            currency=currency,
        )
        kind, moves = Entry.Kind.ADJUST_UP, [Move(_Code.EXPENSE, _Code.AVAILABLE, points, lot)]
    else:
        if -points > book.account.available:
            raise InsufficientPoints
        lot = None
        kind = Entry.Kind.ADJUST_DOWN
        moves = [Move(_Code.AVAILABLE, _Code.EXPENSE, share, taken) for taken, share in book.take(-points)]
    entry = book.post(
        kind,
        moves,
        points=abs(points),
        idempotency_key=idempotency_key,
        fingerprint=fingerprint,
        reason_code=reason_code,
    )
    book.repay_debt(first=[lot] if lot else ())
    book.flush()
    return entry


def request_adjustment(
    *,
    account_id: int,
    points: int,
    reason_code: str,
    actor_id: int,
    now: datetime,
    customer_text_de: str = "",
    customer_text_en: str = "",
    internal_note: str = "",
    public_id: UUID | None = None,
) -> Adjustment:
    """
    Note a correction that staff want to make; :func:`book_adjustment` makes it. Asking twice notes it
    once: the same ``public_id`` is the same wish, whatever became of it, and without one an equal wish
    that is still waiting. ``WRITE_OFF`` forgives so many points of a deficit.

    :raises InvalidPoints: nothing to correct, or too much
    :raises IdempotencyKeyReused: ``public_id`` names another wish
    """
    check_points(abs(points) if type(points) is int else points)
    if reason_code == Adjustment.Reason.WRITE_OFF and points < 0:
        raise InvalidPoints(points)
    for text in (customer_text_de, customer_text_en):
        check_text(text, most=200)
    check_text(internal_note, most=10**6)
    wish = {
        "account_id": account_id,
        "points": points,
        "reason_code": reason_code,
        "customer_text_de": customer_text_de,
        "customer_text_en": customer_text_en,
        "internal_note": internal_note,
        "requested_by_id": actor_id,
    }
    with transaction.atomic():
        Account.objects.select_for_update().get(pk=account_id)
        if public_id is None:
            adjustment, _created = Adjustment.objects.get_or_create(
                **wish, state=Adjustment.State.REQUESTED, undoes=None, defaults={"requested_at": now}
            )
            return adjustment
        adjustment, _created = Adjustment.objects.get_or_create(
            public_id=public_id, defaults={**wish, "requested_at": now}
        )
    if any(getattr(adjustment, name) != value for name, value in wish.items()):
        raise IdempotencyKeyReused(str(public_id))
    return adjustment


@atomic_with_retries
def reject_adjustment(*, adjustment: Adjustment, actor_id: int, now: datetime) -> Adjustment:
    """Decide against a correction that was asked for; one that is decided stays as it is."""
    adjustment = Adjustment.objects.select_for_update().get(pk=adjustment.pk)
    if adjustment.state == Adjustment.State.REQUESTED:
        adjustment.state = Adjustment.State.REJECTED
        adjustment.decided_by_id = actor_id
        adjustment.decided_at = now
        adjustment.save()
    return adjustment


@atomic_with_retries
def undo_adjustment(
    *,
    adjustment: Adjustment,
    expiry_months: int | None,
    unit_value: Decimal,
    currency: str,
    actor_id: int,
    internal_note: str = "",
    four_eyes_points: int | None = None,
    now: datetime,
) -> Adjustment:
    """
    Book the opposite of a correction, once; return that opposite correction. Above ``four_eyes_points``
    it is only asked for, and waits for somebody else to book it: look at its ``state``. It acts where the
    account was merged into, if it was.

    :raises AdjustmentNotBooked: there is nothing to undo
    :raises AdjustmentRejected: somebody has decided against undoing it
    :raises InsufficientPoints: what was credited is no longer available
    """
    original = Adjustment.objects.select_for_update().get(pk=adjustment.pk)
    if original.state != Adjustment.State.BOOKED:
        raise AdjustmentNotBooked(original.pk)
    opposite = Adjustment.objects.filter(undoes=original).first() or Adjustment.objects.create(
        account_id=final_account_id(original.account_id),
        points=-original.points,
        reason_code=Adjustment.Reason.UNDO,
        internal_note=internal_note,
        requested_by_id=actor_id,
        requested_at=now,
        undoes=original,
    )
    if _waits_for_another(opposite, actor_id=actor_id, four_eyes_points=four_eyes_points):
        return opposite
    return book_adjustment(
        adjustment=opposite,
        expiry_months=expiry_months,
        unit_value=unit_value,
        currency=currency,
        actor_id=actor_id,
        four_eyes_points=four_eyes_points,
        now=now,
    )


@atomic_with_retries
def book_adjustment(
    *,
    adjustment: Adjustment,
    expiry_months: int | None,
    unit_value: Decimal,
    currency: str,
    actor_id: int,
    now: datetime,
    four_eyes_points: int | None = None,
) -> Adjustment:
    """
    Book a correction that staff asked for, once. More than ``four_eyes_points`` are booked by somebody
    else than whoever asked; ``None``: no number is too many for one person.

    :raises AdjustmentRejected: somebody decided against it
    :raises NeedsSecondPerson: whoever asked for it may not book it
    :raises InsufficientPoints: a deduction of more than is available
    :raises DeficitTooSmall: more was to be forgiven than is owed
    """
    adjustment = Adjustment.objects.select_for_update().get(pk=adjustment.pk)
    if adjustment.state == Adjustment.State.BOOKED:
        return adjustment
    if adjustment.state == Adjustment.State.REJECTED:
        raise AdjustmentRejected(adjustment.pk)
    if _waits_for_another(adjustment, actor_id=actor_id, four_eyes_points=four_eyes_points):
        raise NeedsSecondPerson
    booking: dict[str, Any] = {
        "account_id": adjustment.account_id,
        "reason_code": adjustment.reason_code,
        "idempotency_key": f"adjustment:{adjustment.pk}",
        "actor_ref": f"user:{actor_id}",
        "now": now,
    }
    if adjustment.reason_code == Adjustment.Reason.WRITE_OFF:
        adjustment.entry = write_off_debt(points=adjustment.points, **booking)
    elif adjustment.undoes and adjustment.undoes.reason_code == Adjustment.Reason.WRITE_OFF:
        adjustment.entry = restore_debt(points=-adjustment.points, **booking)
    else:
        adjustment.entry = adjust_points(
            points=adjustment.points,
            expiry_months=expiry_months,
            unit_value=unit_value,
            currency=currency,
            **booking,
        )
    adjustment.state = Adjustment.State.BOOKED
    adjustment.decided_by_id = actor_id
    adjustment.decided_at = now
    adjustment.save()
    return adjustment


def _waits_for_another(adjustment: Adjustment, *, actor_id: int, four_eyes_points: int | None) -> bool:
    """Whether this person may not book it: many points, and they asked for it themselves."""
    return needs_another(
        adjustment.requested_by_id,
        actor_id=actor_id,
        points=abs(adjustment.points),
        four_eyes_points=four_eyes_points,
    )

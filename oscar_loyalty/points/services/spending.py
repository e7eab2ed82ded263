"""Points are reserved for a basket, spent on its order, and given back."""

import uuid
from collections import defaultdict
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Q, Subquery

from oscar_loyalty.points import fast
from oscar_loyalty.points.book import Book, Move, check_points, write_books
from oscar_loyalty.points.errors import HoldNotOpen, InsufficientPoints
from oscar_loyalty.points.fast import with_fast_path
from oscar_loyalty.points.hashing import digest
from oscar_loyalty.points.models import Account, Entry, Hold, Lot, Posting
from oscar_loyalty.points.services.common import (
    GivingBack,
    arrival_key,
    require_on_trail,
    require_open,
    spread,
)
from oscar_loyalty.points.texts import check_references, check_text
from oscar_loyalty.transactions import atomic_with_retries

_Code = Posting.Code


@with_fast_path(fast.hold_points)
@atomic_with_retries
def hold_points(
    *, account_id: int, ref: str, requested: int, currency: str, expires_at: datetime, now: datetime
) -> Hold:
    """
    Reserve up to ``requested`` points for ``ref`` (a basket) until ``expires_at``; a second call for
    the same ``ref`` changes its reservation. Reserved is what is available, see ``hold.points``.

    :raises InsufficientPoints: there is nothing to reserve; an earlier reservation stays as it was
    :raises AccountNotOpen: the account gives no points
    :raises HoldNotOpen: another member has reserved points for ``ref``
    """
    check_points(requested)
    check_references(ref)
    check_text(currency, most=3)
    book = Book.open(account_id, now=now)
    require_open(book.account)
    hold = Hold.objects.filter(open_key=ref).first()
    if hold is not None and hold.account_id != account_id:
        raise HoldNotOpen(ref)
    if hold is None:
        hold = Hold(account=book.account, ref=ref, open_key=ref, points=0, created_at=now)
    hold.requested, hold.currency, hold.expires_at = requested, currency, expires_at
    return _reserve(book, hold)


@atomic_with_retries
def renew_hold(*, hold: Hold, expires_at: datetime, now: datetime) -> Hold:
    """
    Keep a reservation, or make one again that has expired, for what its member wishes now. ``hold``
    may be stale: whoever reads a page does not bring back what was given back or spent meanwhile.

    :raises HoldNotOpen: the wish has ended, or has become another reservation
    :raises InsufficientPoints: there is nothing to reserve
    :raises AccountNotOpen: the account gives no points
    """
    book = Book.open(hold.account_id, now=now)
    require_open(book.account)
    latest = Hold.objects.filter(ref=hold.ref).order_by("-id").first()
    if latest is None or latest.pk != hold.pk or latest.state not in (Hold.State.OPEN, Hold.State.EXPIRED):
        raise HoldNotOpen(hold.ref)
    if latest.state == Hold.State.EXPIRED:
        latest = Hold(
            account=book.account,
            ref=latest.ref,
            open_key=latest.ref,
            requested=latest.requested,
            points=0,
            currency=latest.currency,
            created_at=now,
        )
    latest.expires_at = expires_at
    return _reserve(book, latest)


@with_fast_path(fast.capture_hold)
@atomic_with_retries
def capture_hold(*, ref: str, points: int, amount: Decimal, order_ref: str, now: datetime) -> Entry:
    """
    Spend ``points`` of the open reservation of ``ref`` on an order that they save ``amount`` of money;
    the rest of the reservation becomes available again. Safe to repeat for the same order.

    :raises HoldNotOpen: nothing is reserved, or it was captured for another order
    :raises InsufficientPoints: less than ``points`` was reserved
    :raises AccountNotOpen: the account gives no points
    """
    check_points(points)
    if isinstance(order_ref, str):
        check_references(ref, f"spend:{order_ref}")
    latest = Hold.objects.filter(ref=ref).order_by("-id")
    try:
        book = Book.open(Subquery(latest.values("account_id")[:1]), now=now)
    except Account.DoesNotExist:
        raise HoldNotOpen(ref) from None
    hold = latest.select_for_update().first()
    if hold is None or hold.account_id != book.account.pk:
        raise HoldNotOpen(ref)
    if hold.state == Hold.State.CAPTURED and hold.order_ref == order_ref and hold.captured == points:
        return Entry.objects.get(account_id=hold.account_id, key_digest=digest(f"spend:{order_ref}"))
    if hold.state != Hold.State.OPEN:
        raise HoldNotOpen(ref)
    require_open(book.account)
    if points > hold.points:
        raise InsufficientPoints
    rest = hold.points - points
    entry = book.post(
        Entry.Kind.SPEND,
        [Move(_Code.HELD, _Code.REDEEMED, share, lot) for lot, share in book.take(points)],
        points=points,
        idempotency_key=f"spend:{order_ref}",
        order_ref=order_ref,
        explanation={"amount": str(amount), "currency": hold.currency},
    )
    if rest:
        _post_release(book, hold, rest)
        book.repay_debt()
    book.flush()
    _resolve(hold, Hold.State.CAPTURED, now=now, captured=points, amount=amount, order_ref=order_ref)
    if rest:
        book.settle(again=True)
    return entry


@with_fast_path(fast.release_hold)
@atomic_with_retries
def release_hold(
    *, ref: str, now: datetime, state: str = Hold.State.RELEASED, actor_ref: str = "system"
) -> int:
    """
    End the open reservation of ``ref`` and return how many points became available again; 0 when there
    is none. ``state``: ``RELEASED`` by somebody's wish, which also ends the wish that an expired
    reservation left behind; ``EXPIRED`` by time.
    """
    check_references(ref)
    if state == Hold.State.RELEASED:
        Hold.objects.filter(ref=ref, state=Hold.State.EXPIRED).update(state=state)
    account_id = Hold.objects.filter(open_key=ref).values_list("account_id", flat=True).first()
    if account_id is None:
        return 0
    book = Book.open(account_id, now=now, actor_ref=actor_ref)
    hold = Hold.objects.filter(open_key=ref).first()
    if hold is None or (state == Hold.State.EXPIRED and hold.expires_at > now):
        return 0
    _post_release(book, hold, hold.points)
    book.repay_debt()
    book.settle(again=True)
    _resolve(hold, state, now=now)
    return hold.points


@atomic_with_retries
def end_holds(*, account_id: int, now: datetime) -> int:
    """End all reservations of an account, and the wishes that expired ones left behind; return how many
    points became available again."""
    Book.open(account_id, now=now)
    holds = Hold.objects.filter(account_id=account_id)
    holds.filter(state=Hold.State.EXPIRED).update(state=Hold.State.RELEASED)
    refs = list(holds.filter(state=Hold.State.OPEN).order_by("id").values_list("ref", flat=True))
    return sum(release_hold(ref=ref, now=now) for ref in refs)


@atomic_with_retries
def return_spend(
    *,
    account_id: int,
    spent: Entry,
    idempotency_key: str,
    grace_days: int,
    now: datetime,
    points: int | None = None,
) -> Entry | None:
    """
    Give ``points`` of a redemption back (all that is left of it by default) to the lots they came from,
    with their old expiry, longest-lived first. A lot that has expired meanwhile stays as it is: a child
    lot takes its points for ``grace_days``. ``None`` when nothing is left to return.

    Where the account was merged into another one, child lots there take the points; the entry that is
    returned is the one on the account that had spent them. A closed account gets nothing: its member has
    given up the points, and returning them would open it again.

    What of it was returned, spent again and not there any more was owed since: that is forgiven first.

    :raises InsufficientPoints: more than is left of the redemption
    :raises ValueError: a redemption of another account
    """
    fingerprint = digest(["SPEND_RETURN", spent.pk, points])
    trail, books = Book.follow(spent.account_id, now=now, with_trail=True)
    require_on_trail(account_id, trail)
    book = books[trail[-1]]
    if earlier := book.find_entry(idempotency_key, fingerprint=fingerprint, trail=trail):
        return earlier
    if book.account.status == Account.Status.CLOSED:
        return None
    left, owed = _left_per_lot(spent)
    total = owed + sum(share for _, share in left)
    points = total if points is None else check_points(points)
    if points > total:
        raise InsufficientPoints
    if points == 0:
        return None
    giving = GivingBack(book, grace_days=grace_days)
    forgiven = min(points, owed)
    # Where points arrive: in the same entry, unless another account takes them.
    moves: dict[int, list[Move]] = {pk: [] for pk in trail}
    moves[trail[-1]] += giving.forgive(forgiven, like=left[0][0])
    for lot, share in spread(points - forgiven, left):
        here = books[lot.account_id]
        moves[lot.account_id] += giving.give(here, lot, share, out_of=_Code.REDEEMED, to=_Code.AVAILABLE)
    group_id = uuid.uuid4()
    entries: list[Entry] = []
    for pk in trail:
        if moves[pk]:
            arrived = sum(move.points for move in moves[pk] if move.debit == _Code.MOVED)
            entries.append(
                books[pk].post(
                    Entry.Kind.SPEND_RETURN,
                    moves[pk],
                    points=sum(move.points for move in moves[pk]) - arrived,
                    idempotency_key=f"part:{group_id}" if entries else idempotency_key,
                    fingerprint=fingerprint,
                    order_ref=spent.order_ref,
                    reverses=spent,
                    group_id=group_id,
                )
            )
    if giving.arriving:
        book.post(
            Entry.Kind.MOVE_IN,
            giving.arriving,
            points=sum(move.points for move in giving.arriving),
            idempotency_key=arrival_key(group_id),
            fingerprint=fingerprint,
            order_ref=spent.order_ref,
            reason_code="MERGE",
            group_id=group_id,
        )
    giving.repay_debt()
    write_books(list(books.values()))
    return entries[0]


def _reserve(book: Book, hold: Hold) -> Hold:
    """Give an open reservation as much of what it asks for as there is."""
    held = hold.points
    hold.points = min(hold.requested, held + book.account.available)
    if hold.points == 0:
        raise InsufficientPoints
    if hold.points > held:
        _post_hold(book, hold, hold.points - held)
    elif hold.points < held:
        _post_release(book, hold, held - hold.points)
        book.repay_debt()
    book.flush()
    hold.save()
    if hold.points < held:
        book.settle(again=True)
    return hold


def _post_hold(book: Book, hold: Hold, points: int) -> None:
    book.post(
        Entry.Kind.HOLD,
        [Move(_Code.AVAILABLE, _Code.HELD, points)],
        points=points,
        idempotency_key=f"hold:{hold.public_id}:{book.account.seq + 1}",
    )


def _post_release(book: Book, hold: Hold, points: int) -> None:
    book.post(
        Entry.Kind.RELEASE,
        [Move(_Code.HELD, _Code.AVAILABLE, points)],
        points=points,
        idempotency_key=f"release:{hold.public_id}:{book.account.seq + 1}",
    )


def _resolve(hold: Hold, state: str, *, now: datetime, **values: Any) -> None:
    hold.state = state
    hold.open_key = None
    hold.closed_at = now
    for name, value in values.items():
        setattr(hold, name, value)
    hold.save()


def _left_per_lot(spent: Entry) -> tuple[list[tuple[Lot, int]], int]:
    """
    What each lot gave to a redemption and did not get back yet, longest-lived lot first; and what of it
    became a deficit, when a return was undone, and was not forgiven again.
    """
    left: dict[int, int] = defaultdict(int)
    lots: dict[int, Lot] = {}
    owed = 0
    given = Posting.objects.filter(
        Q(entry=spent) | Q(entry__reverses__reverses=spent, entry__kind=Entry.Kind.SPEND_AGAIN)
    )
    for posting in given.select_related("lot"):
        if posting.lot is None:
            owed += posting.points
        else:
            lots[posting.lot.pk] = posting.lot
            left[posting.lot.pk] += posting.points
    returned = Posting.objects.filter(entry__reverses=spent, entry__kind=Entry.Kind.SPEND_RETURN)
    for lot_id, debit, points in returned.values_list("lot_id", "debit", "points"):
        if debit == _Code.REDEEMED:
            left[lot_id] -= points
        elif debit in (_Code.TAKEN_BACK, _Code.EXPENSE):
            owed -= points
    by_life = sorted(lots.values(), key=lambda lot: (lot.expires_at, lot.pk), reverse=True)
    return [(lot, left[lot.pk]) for lot in by_life], owed

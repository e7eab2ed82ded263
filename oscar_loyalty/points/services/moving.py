"""Points move from one account to another, or from one currency to another. They keep their expiry."""

import uuid
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from oscar_loyalty.points.book import Book, Move, check_points
from oscar_loyalty.points.errors import (
    AccountNotOpen,
    HoldsOpen,
    InsufficientPoints,
    InvalidRate,
    OtherProgramme,
    SameAccount,
)
from oscar_loyalty.points.hashing import digest
from oscar_loyalty.points.models import Account, Entry, Lot, Posting
from oscar_loyalty.points.rules import floor_together
from oscar_loyalty.points.services.common import arrival_key, require_open
from oscar_loyalty.programmes.rules import FAR_FUTURE
from oscar_loyalty.transactions import atomic_with_retries

_Code = Posting.Code


@atomic_with_retries
def transfer_points(
    *,
    from_account_id: int,
    to_account_id: int,
    points: int,
    idempotency_key: str,
    actor_ref: str,
    now: datetime,
    note: str = "",
) -> tuple[Entry, Entry]:
    """
    Give ``points`` to another member: what expires first goes first, and expires there as it would have
    here. What the receiver owes is repaid. ``note`` is for auditors and stays for ever: no personal data.
    Returns the entries of giver and receiver.

    :raises SameAccount, OtherProgramme: there is nobody to give them to
    :raises AccountNotOpen: one of the two gives or takes no points
    :raises InsufficientPoints: more than is available
    :raises IdempotencyKeyReused: the key was first used for another transfer
    """
    check_points(points)
    if from_account_id == to_account_id:
        raise SameAccount
    fingerprint = digest(["TRANSFER", from_account_id, to_account_id, points])
    books = Book.open_all([from_account_id, to_account_id], now=now, actor_ref=actor_ref)
    giver, receiver = books[from_account_id], books[to_account_id]
    if sent := giver.find_entry(idempotency_key, fingerprint=fingerprint):
        return sent, receiver.get_entry(arrival_key(sent.group_id))
    _require_two(giver, receiver)
    if points > giver.account.available:
        raise InsufficientPoints
    group_id = uuid.uuid4()
    out: list[Move] = []
    into: list[Move] = []
    for lot, share in giver.take(points, unexpired=True):
        # Whose order earned them is none of the receiver's business.
        child = _child_of(lot, receiver, points=share, source_ref=f"transfer:{group_id}")
        out.append(Move(_Code.AVAILABLE, _Code.MOVED, share, lot))
        into.append(Move(_Code.MOVED, _Code.AVAILABLE, share, child))
    # The key is the giver's: the receiver may have used the same for something else.
    sent, received = (
        book.post(
            kind,
            moves,
            points=points,
            idempotency_key=key,
            fingerprint=fingerprint,
            reason_code="TRANSFER",
            explanation={"other_account": str(other.account.public_id)} | ({"note": note} if note else {}),
            group_id=group_id,
        )
        for book, other, kind, moves, key in (
            (giver, receiver, Entry.Kind.MOVE_OUT, out, idempotency_key),
            (receiver, giver, Entry.Kind.MOVE_IN, into, arrival_key(group_id)),
        )
    )
    receiver.repay_debt(first=_lots_of(into))
    giver.flush()
    receiver.flush()
    return sent, received


@atomic_with_retries
def merge_accounts(
    *, source_id: int, target_id: int, idempotency_key: str, actor_ref: str, now: datetime
) -> uuid.UUID | None:
    """
    Move everything from one account to another of the same person, for good: pending points stay
    pending, spendable ones spendable, a deficit is netted. What the source earned or spent is from now
    on taken back from, or given back to, the target. Returns what ties the entries together, ``None``
    when there was nothing to move. Repeating a merge changes nothing.

    :raises SameAccount, OtherProgramme: there is nothing to merge
    :raises AccountNotOpen: one of the two is not open, or the source was merged into another one
    :raises HoldsOpen: points of the source are reserved for a basket
    """
    if source_id == target_id:
        raise SameAccount
    fingerprint = _fingerprint_of_merge(source_id, target_id)
    books = Book.open_all([source_id, target_id], now=now, actor_ref=actor_ref)
    source, target = books[source_id], books[target_id]
    if source.account.status == Account.Status.MERGED:
        return _find_group_of_merge(source_id, target_id=target_id)
    _require_two(source, target)
    if source.account.held:
        raise HoldsOpen
    group_id = uuid.uuid4()

    def post(book: Book, kind: str, moves: list[Move], *, points: int, part: str = "") -> None:
        other = target if book is source else source
        book.post(
            kind,
            moves,
            points=points,
            idempotency_key=(idempotency_key if book is source else arrival_key(group_id)) + part,
            explanation={"other_account": str(other.account.public_id)},
            fingerprint=fingerprint,
            reason_code="MERGE",
            group_id=group_id,
        )

    out: list[Move] = []
    into: list[Move] = []
    for lot in source.open_lots():
        child = _child_of(lot, target, points=lot.pending + lot.remaining, source_ref=lot.source_ref)
        for code, points in ((_Code.PENDING, lot.pending), (_Code.AVAILABLE, lot.remaining)):
            if points:
                out.append(Move(code, _Code.MOVED, points, lot))
                into.append(Move(_Code.MOVED, code, points, child))
    if total := sum(move.points for move in out):
        post(source, Entry.Kind.MOVE_OUT, out, points=total)
        post(target, Entry.Kind.MOVE_IN, into, points=total)
    if owed := source.account.debt:
        # The other way round: points that settle the deficit here are missing there.
        post(source, Entry.Kind.MOVE_IN, [Move(_Code.MOVED, _Code.DEBT, owed)], points=owed, part=":deficit")
        post(target, Entry.Kind.MOVE_OUT, [Move(_Code.DEBT, _Code.MOVED, owed)], points=owed, part=":deficit")
    target.repay_debt(first=_lots_of(into))
    source.account.due_at = FAR_FUTURE
    source.flush()
    target.flush()
    source.account.status = Account.Status.MERGED
    source.account.merged_into = target.account
    source.account.open_key = None
    source.account.save(update_fields=["status", "merged_into", "open_key", "due_at"])
    return group_id if total or owed else None


@atomic_with_retries
def convert_points(
    *,
    account_id: int,
    from_currency: str,
    to_currency: str,
    rate: Decimal,
    unit_value: Decimal,
    idempotency_key: str,
    actor_ref: str,
    now: datetime,
) -> Entry | None:
    """
    Exchange all points whose value is frozen in one currency for ``rate`` times as many in another, with
    ``unit_value`` (money of that currency) for each. Their sum is rounded down once and shared out to the
    lots by the largest remainder; what that cuts off is in the explanation. ``None`` when there is
    nothing to exchange. A deficit has no currency and stays as it is.

    :raises InvalidRate: not a number above zero, or one currency
    :raises HoldsOpen: points are reserved for a basket; wait until that ends
    :raises InvalidPoints: more points than can be booked
    """
    if not rate.is_finite() or rate <= 0 or from_currency == to_currency:
        raise InvalidRate
    fingerprint = digest(["CONVERT", from_currency, to_currency, rate, unit_value])
    book = Book.open(account_id, now=now, actor_ref=actor_ref)
    if earlier := book.find_entry(idempotency_key, fingerprint=fingerprint):
        return earlier
    lots = [lot for lot in book.open_lots() if lot.currency == from_currency]
    if not lots:
        return None
    if book.account.held:
        raise HoldsOpen
    parts = [
        (lot, code, points)
        for lot in lots
        for code, points in ((_Code.PENDING, lot.pending), (_Code.AVAILABLE, lot.remaining))
        if points
    ]
    exact = [points * Fraction(rate) for _lot, _code, points in parts]
    shares = floor_together(exact)
    moves = []
    for (lot, code, points), share in zip(parts, shares, strict=True):
        moves.append(Move(code, _Code.CONVERSION, points, lot))
        if share:
            child = _child_of(lot, book, points=share, source_ref=lot.source_ref)
            child.currency, child.unit_value = to_currency, unit_value
            moves.append(Move(_Code.CONVERSION, code, share, child))
    before, after = sum(points for _lot, _code, points in parts), sum(shares)
    entry = book.post(
        Entry.Kind.CONVERT,
        moves,
        points=before,
        idempotency_key=idempotency_key,
        fingerprint=fingerprint,
        explanation={
            "from_currency": from_currency,
            "to_currency": to_currency,
            "rate": f"{rate:f}",
            "points_before": before,
            "points_after": after,
            "residue": str(sum(exact, Fraction(0)) - after),
        },
    )
    book.flush()
    return entry


def _require_two(giving: Book, taking: Book) -> None:
    require_open(giving.account)
    require_open(taking.account)
    if giving.account.programme_id != taking.account.programme_id:
        raise OtherProgramme


def _child_of(lot: Lot, book: Book, *, points: int, source_ref: str) -> Lot:
    """A lot on ``book`` that goes on where ``lot`` ends."""
    return book.add_lot(
        amount=points,
        parent_lot=lot,
        source_ref=source_ref,
        active_at=lot.active_at,
        expires_at=lot.expires_at,
        expiry_months=lot.expiry_months,
        unit_value=lot.unit_value,
        currency=lot.currency,
    )


def _lots_of(moves: Iterable[Move]) -> list[Lot]:
    return [move.lot for move in moves if move.lot is not None]


def _fingerprint_of_merge(source_id: int, target_id: int) -> str:
    return digest(["MERGE", source_id, target_id])


def _find_group_of_merge(source_id: int, *, target_id: int) -> uuid.UUID | None:
    if not Account.objects.filter(pk=source_id, merged_into_id=target_id).exists():
        raise AccountNotOpen
    booked = Entry.objects.filter(
        account_id=source_id, fingerprint=_fingerprint_of_merge(source_id, target_id)
    )
    entry = booked.order_by("seq").first()
    return entry.group_id if entry else None

"""An account ends, or a deficit does."""

from datetime import datetime

from oscar_loyalty.points.book import Book, Move, check_points
from oscar_loyalty.points.errors import AccountNotOpen, DeficitTooSmall
from oscar_loyalty.points.hashing import digest
from oscar_loyalty.points.models import Account, Entry, Posting
from oscar_loyalty.points.services.common import require_taking
from oscar_loyalty.points.services.spending import end_holds
from oscar_loyalty.programmes.rules import FAR_FUTURE
from oscar_loyalty.transactions import atomic_with_retries

_Code = Posting.Code


@atomic_with_retries
def close_account(*, account_id: int, idempotency_key: str, actor_ref: str, now: datetime) -> Account:
    """
    End an account: reservations end, what is left of points is given up, a deficit is written off. Safe
    to repeat.

    :raises AccountNotOpen: it was merged into another one
    """
    account = Book.open(account_id, now=now, actor_ref=actor_ref).account
    if account.status == Account.Status.CLOSED:
        return account
    if account.status == Account.Status.MERGED:
        raise AccountNotOpen
    end_holds(account_id=account_id, now=now)
    # Under the same lock, with what the reservations gave back.
    book = Book.open(account_id, now=now, actor_ref=actor_ref)
    moves = [
        Move(code, _Code.BREAKAGE, points, lot)
        for lot in book.open_lots()
        for code, points in ((_Code.PENDING, lot.pending), (_Code.AVAILABLE, lot.remaining))
        if points
    ]
    fingerprint = digest(["CLOSE", account_id])
    if moves:
        book.post(
            Entry.Kind.FORFEIT,
            moves,
            points=sum(move.points for move in moves),
            idempotency_key=idempotency_key,
            fingerprint=fingerprint,
        )
    if owed := book.account.debt:
        _post_write_off(
            book,
            points=owed,
            reason_code="CLOSED",
            idempotency_key=f"{idempotency_key}:deficit",
            fingerprint=fingerprint,
        )
    book.account.due_at = FAR_FUTURE
    book.flush()
    book.account.status = Account.Status.CLOSED
    book.account.open_key = None
    book.account.save(update_fields=["status", "open_key", "due_at"])
    return book.account


@atomic_with_retries
def write_off_debt(
    *,
    account_id: int,
    points: int | None,
    reason_code: str,
    idempotency_key: str,
    actor_ref: str,
    now: datetime,
) -> Entry | None:
    """
    Forgive ``points`` of a deficit (all of it by default). ``None`` when nothing is owed.

    :raises DeficitTooSmall: less than ``points`` is owed
    :raises AccountNotOpen: it was closed, or merged into another one, which has the deficit now
    :raises IdempotencyKeyReused: the key was first used for something else
    """
    if points is not None:
        check_points(points)
    fingerprint = digest(["WRITE_OFF", points, reason_code])
    book = Book.open(account_id, now=now, actor_ref=actor_ref)
    if earlier := book.find_entry(idempotency_key, fingerprint=fingerprint):
        return earlier
    require_taking(book.account)
    if points is None:
        points = book.account.debt
    if points > book.account.debt:
        raise DeficitTooSmall
    if points == 0:
        return None
    entry = _post_write_off(
        book,
        points=points,
        reason_code=reason_code,
        idempotency_key=idempotency_key,
        fingerprint=fingerprint,
    )
    book.flush()
    return entry


@atomic_with_retries
def restore_debt(
    *, account_id: int, points: int, reason_code: str, idempotency_key: str, actor_ref: str, now: datetime
) -> Entry:
    """
    Undo a write-off: the member owes ``points`` again, and pays with what is available.

    :raises AccountNotOpen: it was closed, or merged into another one
    """
    check_points(points)
    fingerprint = digest(["RESTORE_DEBT", points, reason_code])
    book = Book.open(account_id, now=now, actor_ref=actor_ref)
    if earlier := book.find_entry(idempotency_key, fingerprint=fingerprint):
        return earlier
    require_taking(book.account)
    entry = book.post(
        Entry.Kind.ADJUST_DOWN,
        [Move(_Code.DEBT, _Code.EXPENSE, points)],
        points=points,
        idempotency_key=idempotency_key,
        fingerprint=fingerprint,
        reason_code=reason_code,
    )
    book.repay_debt()
    book.flush()
    return entry


def _post_write_off(
    book: Book, *, points: int, reason_code: str, idempotency_key: str, fingerprint: str
) -> Entry:
    return book.post(
        Entry.Kind.WRITE_OFF,
        [Move(_Code.EXPENSE, _Code.DEBT, points)],
        points=points,
        idempotency_key=idempotency_key,
        fingerprint=fingerprint,
        reason_code=reason_code,
    )

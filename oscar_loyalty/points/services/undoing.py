"""A return is undone: what was taken back is given again, and what was given back is spent again."""

import uuid
from datetime import datetime

from oscar_loyalty.points.book import Book, Move, write_books
from oscar_loyalty.points.hashing import digest
from oscar_loyalty.points.models import Account, EarnedLine, Entry, Lot, Posting
from oscar_loyalty.points.services.common import GivingBack, require_on_trail
from oscar_loyalty.transactions import atomic_with_retries

_Code = Posting.Code


@atomic_with_retries
def undo_clawback(
    *, account_id: int, clawback: Entry, idempotency_key: str, grace_days: int, now: datetime
) -> Entry | None:
    """
    Give again what a clawback took: pending points to their lot if that is still waiting, others to the
    lot they came from or, where that has expired meanwhile, to a child lot for ``grace_days``. Of the
    deficit that it made, what is still owed is forgiven; the rest, repaid or written off meanwhile, comes as
    available points. So the member has exactly so many points more, or owes so many less, as the clawback
    took. Later clawbacks reckon as if this one had never been. ``None`` when it is undone already.

    Of several returns by shares, undo the later ones too and take them again by the shares that are left:
    what roundings gave to one or the other is then as if this return had never been.

    Where the account was merged into another one, the points are given there. A closed account gets
    nothing: its member has given up the points.

    :raises ValueError: no clawback, or of another account
    """
    earned = _undone_by(clawback, Entry.Kind.CLAWBACK)
    fingerprint = digest(["CLAWBACK_UNDONE", clawback.pk])
    trail, books = Book.follow(earned.account_id, now=now, with_trail=True)
    require_on_trail(account_id, trail)
    origin, book = books[clawback.account_id], books[trail[-1]]
    if earlier := book.find_entry(idempotency_key, fingerprint=fingerprint, trail=trail):
        return earlier
    if book.account.status == Account.Status.CLOSED or _is_undone([clawback]):
        return None
    giving = GivingBack(book, grace_days=grace_days)
    moves, owed = _mirror(clawback, origin, giving)
    into = moves if origin is book else giving.arriving
    into += giving.forgive(owed, like=_first_lot(earned))
    group_id = uuid.uuid4()
    if origin is not book and moves:
        origin.post(
            Entry.Kind.CLAWBACK_UNDONE,
            moves,
            points=sum(move.points for move in moves),
            # The caller's key names the entry where the points are today.
            idempotency_key=f"departure:{group_id}",
            fingerprint=fingerprint,
            order_ref=clawback.order_ref,
            group_id=group_id,
        )
    entry = book.post(
        Entry.Kind.CLAWBACK_UNDONE,
        into,
        points=clawback.points,
        idempotency_key=idempotency_key,
        fingerprint=fingerprint,
        order_ref=clawback.order_ref,
        reverses=clawback,
        group_id=group_id,
        lines=[
            EarnedLine(line_ref=line.line_ref, rule_code=line.rule_code, basis=line.basis, points=line.points)
            for line in clawback.lines.order_by("id")
        ],
    )
    giving.repay_debt()
    write_books([origin, book] if origin is not book else [book])
    return entry


@atomic_with_retries
def undo_spend_return(
    *, account_id: int, returned: Entry, idempotency_key: str, now: datetime
) -> Entry | None:
    """
    Spend again what was given back of a redemption: out of the lots that got it, then by earliest expiry;
    what is not there any more becomes a deficit that later credits repay. A later return may give it back
    again. ``None`` when it is undone already, or when the account is closed and nobody is left to owe.

    :raises ValueError: no return of a redemption, or of another account
    """
    spent = _undone_by(returned, Entry.Kind.SPEND_RETURN)
    fingerprint = digest(["SPEND_AGAIN", returned.pk])
    trail, books = Book.follow(spent.account_id, now=now)
    require_on_trail(account_id, trail)
    book = books[trail[-1]]
    if earlier := book.find_entry(idempotency_key, fingerprint=fingerprint, trail=trail):
        return earlier
    # More than one where several accounts had spent the points, which were merged since.
    parts = list(
        Entry.objects.filter(
            reverses=spent, group_id=returned.group_id, kind=Entry.Kind.SPEND_RETURN
        ).order_by("pk")
    )
    if book.account.status == Account.Status.CLOSED or _is_undone(parts):
        return None
    group_id = uuid.uuid4()
    entries = [
        book.post(
            Entry.Kind.SPEND_AGAIN,
            _spend(book, part),
            points=part.points,
            idempotency_key=f"part:{group_id}:{number}" if number else idempotency_key,
            fingerprint=fingerprint,
            order_ref=spent.order_ref,
            reverses=part,
            group_id=group_id,
        )
        for number, part in enumerate(parts)
    ]
    book.flush()
    return entries[0]


def _undone_by(entry: Entry, kind: str) -> Entry:
    """What an entry of this kind undoes itself."""
    if entry.kind != kind or entry.reverses is None:
        raise ValueError(f"Entry {entry.pk} is no {kind}.")
    return entry.reverses


def _is_undone(entries: list[Entry]) -> bool:
    return Entry.objects.filter(reverses__in=entries).exists()


def _mirror(clawback: Entry, origin: Book, giving: GivingBack) -> tuple[list[Move], int]:
    """Moves on the account that gave the points, and how many it had not and owed."""
    moves: list[Move] = []
    owed = 0
    lots: dict[int, Lot] = {}
    for posting in clawback.postings.select_related("lot").order_by("pk"):
        if posting.lot is None:
            owed += posting.points
            continue
        lot = lots.setdefault(posting.lot.pk, posting.lot)
        waits = posting.debit == _Code.PENDING and origin.is_waiting(lot)
        moves += giving.give(
            origin,
            lot,
            posting.points,
            out_of=_Code.TAKEN_BACK,
            to=_Code.PENDING if waits else _Code.AVAILABLE,
        )
    return moves, owed


def _first_lot(entry: Entry) -> Lot:
    return Lot.objects.filter(postings__entry=entry).order_by("postings__pk")[0]


def _spend(book: Book, returned: Entry) -> list[Move]:
    lot_ids = list(returned.postings.values_list("lot_id", flat=True))
    family = book.family_of(Lot.objects.filter(pk__in=lot_ids))
    there = min(returned.points, book.account.available)
    moves = [
        Move(_Code.AVAILABLE, _Code.REDEEMED, share, lot) for lot, share in book.take(there, first=family)
    ]
    if returned.points > there:
        # As with a clawback: what could not be taken counts as taken back while it is owed.
        moves.append(Move(_Code.DEBT, _Code.EXPENSE, returned.points - there))
    return moves

"""What the services of this room share."""

import uuid
from datetime import timedelta

from oscar_loyalty.points.book import Book, Move
from oscar_loyalty.points.errors import AccountNotOpen
from oscar_loyalty.points.models import Account, Lot, Posting

_Code = Posting.Code


def require_open(account: Account) -> None:
    if account.status != Account.Status.OPEN:
        raise AccountNotOpen


def require_taking(account: Account) -> None:
    """Whatever its member must not do for now, a frozen account takes what it is owed."""
    if account.status not in (Account.Status.OPEN, Account.Status.FROZEN):
        raise AccountNotOpen


def arrival_key(group_id: uuid.UUID) -> str:
    """The key of an entry for what arrives from another account. Keys of callers name events of the
    account that it leaves."""
    return f"arrival:{group_id}"


def require_on_trail(account_id: int, trail: list[int]) -> None:
    """What an account earned or spent is undone there, or where that account was merged into."""
    if account_id not in trail:
        raise ValueError(f"Account {account_id} did not book that: {trail} did.")


def needs_another(
    requested_by_id: int | None, *, actor_id: int, points: int, four_eyes_points: int | None
) -> bool:
    """Whether so many points are decided on by somebody else than ``actor_id``, who asked for it."""
    return four_eyes_points is not None and points > four_eyes_points and requested_by_id == actor_id


def spread(points: int, lots: list[tuple[Lot, int]]) -> list[tuple[Lot, int]]:
    """Up to ``points`` over lots that can give or take so many each, in the order given."""
    shares = []
    for lot, most in lots:
        share = min(points, most)
        if share:
            shares.append((lot, share))
            points -= share
    return shares


class GivingBack:
    """
    Points come back to a member, on the account ``book``: to the lots that they had left or, where those
    have expired or are on an account that was merged into this one, to child lots of theirs.
    """

    def __init__(self, book: Book, *, grace_days: int) -> None:
        self.book = book
        self._grace_ends = book.expiry_of(book.now + timedelta(days=grace_days), months=0)
        #: What comes from accounts that were merged into this one.
        self.arriving: list[Move] = []
        self._credited: list[Lot] = []

    def give(self, here: Book, lot: Lot, points: int, *, out_of: str, to: str) -> list[Move]:
        """Moves on ``here``, whose lot it is, from a code to PENDING or AVAILABLE."""
        pending = to == _Code.PENDING
        if here is self.book and (pending or lot.expires_at > self.book.now):
            self._credited.append(lot)
            return [Move(out_of, to, points, lot)]
        child = self.book.add_lot(
            amount=points,
            parent_lot=lot,
            source_ref=lot.source_ref,
            active_at=lot.active_at if pending else self.book.now,
            expires_at=lot.expires_at if lot.expires_at > self.book.now else self._grace_ends,
            expiry_months=lot.expiry_months if pending else None,
            unit_value=lot.unit_value,
            currency=lot.currency,
        )
        self._credited.append(child)
        moves = [Move(out_of, _Code.MOVED, points, lot)]
        arrival = Move(_Code.MOVED, to, points, child)
        (moves if here is self.book else self.arriving).append(arrival)
        return moves

    def forgive(self, points: int, *, like: Lot) -> list[Move]:
        """
        Moves for what was owed because there were not enough points. What is owed no more comes in a new
        lot, worth what ``like`` is and living as long: whoever repaid it had other points take its place,
        and a deficit that was written off was a gift and stays one.
        """
        moves = []
        if forgiven := min(points, self.book.account.debt):
            moves.append(Move(_Code.TAKEN_BACK, _Code.DEBT, forgiven))
        if rest := points - forgiven:
            lives = like.active_at <= self.book.now < like.expires_at
            lot = self.book.add_lot(
                amount=rest,
                source_ref=like.source_ref,
                active_at=self.book.now,
                expires_at=like.expires_at if lives else self._grace_ends,
                unit_value=like.unit_value,
                currency=like.currency,
            )
            moves.append(Move(_Code.EXPENSE, _Code.AVAILABLE, rest, lot))
        return moves

    def repay_debt(self) -> None:
        """What else is owed is repaid out of what was given, before other points."""
        self.book.repay_debt(first=self._credited)

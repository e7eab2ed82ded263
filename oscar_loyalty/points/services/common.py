"""What the services of this room share."""

import uuid

from oscar_loyalty.points.errors import AccountNotOpen
from oscar_loyalty.points.models import Account, Lot


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

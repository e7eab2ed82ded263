"""Staff correct a balance: what the credited points are worth and when they expire is today's promise."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext

from oscar_loyalty.flows.wording import count_points
from oscar_loyalty.points import queries, services
from oscar_loyalty.points.models import Account, Adjustment
from oscar_loyalty.programmes import queries as programmes
from oscar_loyalty.shop.currencies import get_default_currency


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What a correction of ``points`` (signed) would do to a balance as it is now."""

    points: int
    available_before: int
    available_after: int
    debt_before: int
    debt_after: int

    @property
    def is_impossible(self) -> bool:
        return self.available_after < 0 or self.debt_after < 0


def preview_adjustment(*, account: Account, points: int, reason_code: str, now: datetime) -> Effect:
    """
    What would be booked; a credit pays a deficit first. ``WRITE_OFF`` forgives a deficit, and below zero
    brings it back. Reads only.
    """
    balance = queries.get_balance(account=account, now=now)
    available, debt = balance.available, balance.debt
    if reason_code == Adjustment.Reason.WRITE_OFF:
        paid = min(-points, available) if points < 0 else 0
        available_after, debt_after = available - paid, debt - points - paid
    else:
        repaid = min(points, debt) if points > 0 else 0
        available_after, debt_after = available + points - repaid, debt - repaid
    return Effect(
        points=points,
        available_before=available,
        available_after=available_after,
        debt_before=debt,
        debt_after=debt_after,
    )


def find_mistake(*, points: int, reason_code: str, account: Account, now: datetime) -> str:
    """What is wrong with the number of points that somebody typed, in words; empty when nothing is."""
    if points == 0:
        return gettext("Zero points change nothing.")
    balance = queries.get_balance(account=account, now=now)
    if reason_code == Adjustment.Reason.WRITE_OFF:
        if points < 0:
            return gettext("Above zero: so many points of the deficit are forgiven.")
        if points > balance.debt:
            return gettext("Only %(debt)s points are owed, so no more can be forgiven.") % {
                "debt": balance.debt
            }
    elif -points > balance.available:
        return gettext("Only %(available)s points are available, so no more can be deducted.") % {
            "available": balance.available
        }
    return ""


def find_four_eyes_limit(*, now: datetime) -> int | None:
    """Above so many points a second person decides; ``None``: never."""
    try:
        version = programmes.get_version(at=now)
    except programmes.ProgrammeMissing:
        return None
    return version.four_eyes_points


def needs_second_person(*, points: int, now: datetime) -> bool:
    """Whether a correction of ``points`` (signed) may not be decided by whoever asks for it."""
    limit = find_four_eyes_limit(now=now)
    return limit is not None and abs(points) > limit


def find_obstacle(
    *, adjustment: Adjustment, actor_id: int, may_adjust: bool, may_approve: bool, now: datetime
) -> str:
    """
    Why somebody may not book a correction that waits, in words; empty when they may. Their own small
    ones they book with the permission to adjust; those of others with the permission to approve.
    """
    if adjustment.requested_by_id != actor_id:
        return "" if may_approve else gettext("You may not decide on what others ask for.")
    if needs_second_person(points=adjustment.points, now=now):
        return gettext(
            "You asked for this adjustment yourself. Above %(limit)s a second person has to approve it."
        ) % {"limit": count_points(find_four_eyes_limit(now=now) or 0)}
    return "" if may_adjust else gettext("You may not adjust points.")


def can_undo(adjustment: Adjustment) -> bool:
    """Whether a correction was booked and is neither an undoing nor undone."""
    return (
        adjustment.state == Adjustment.State.BOOKED
        and adjustment.undoes_id is None
        and not Adjustment.objects.filter(undoes=adjustment).exists()
    )


def book_adjustment(*, adjustment: Adjustment, actor_id: int, now: datetime) -> Adjustment:
    """
    Book a correction that was asked for, once.

    :raises ProgrammeMissing: no version of the programme is in force
    :raises NeedsSecondPerson: so many points are booked by somebody else than whoever asked
    :raises InsufficientPoints, DeficitTooSmall, AccountNotOpen, AdjustmentRejected: see ``points.services``
    """
    return services.book_adjustment(adjustment=adjustment, actor_id=actor_id, now=now, **_terms(now))


def undo_adjustment(*, adjustment: Adjustment, actor_id: int, now: datetime) -> Adjustment:
    """
    Book the opposite of a correction, once; where it is many points, ask for it (see its ``state``).

    :raises ProgrammeMissing: no version of the programme is in force
    :raises InsufficientPoints, AccountNotOpen, AdjustmentNotBooked: see ``points.services``
    """
    return services.undo_adjustment(adjustment=adjustment, actor_id=actor_id, now=now, **_terms(now))


def _terms(now: datetime) -> dict[str, Any]:
    currencies = programmes.list_currencies(at=now)
    default = get_default_currency()
    currency = default if default in currencies or not currencies else currencies[0]
    policy = programmes.get_policy(currency=currency, at=now)
    return {
        "expiry_months": policy.expiry_months,
        "unit_value": policy.rate.unit_value if policy.rate else 0,
        "currency": currency,
        "four_eyes_points": policy.four_eyes_points,
    }

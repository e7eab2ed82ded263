"""A customer joins: a member with the terms of the day, and an account to earn on. Or leaves."""

import logging
from datetime import datetime

from django.db import transaction

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.flows import claims, occasions, purchases
from oscar_loyalty.members import queries
from oscar_loyalty.members import services as members
from oscar_loyalty.members.models import Consent, Member
from oscar_loyalty.points import queries as points
from oscar_loyalty.points.models import Account
from oscar_loyalty.points.services import close_account, open_account
from oscar_loyalty.programmes import queries as programmes
from oscar_loyalty.tiers.services import lock_statuses, recompute_known
from oscar_loyalty.transactions import spare_transaction

logger = logging.getLogger(__name__)


def join_programme(
    *, user_id: int, now: datetime, marketing: bool | None = None, source: str = "SHOP"
) -> Account:
    """
    Make a customer a member under the terms in force, and return their points account; safe to repeat.
    Orders that they placed shortly before (``claim_days`` of the programme) earn as well.
    ``marketing`` is their answer to a separate question, ``None`` when it was not asked.

    :raises ProgrammeMissing: the shop has no programme in force
    """
    version = programmes.get_version(at=now)
    earlier = queries.find_member(user_id=user_id)
    with transaction.atomic():
        if earlier is not None and earlier.status == Member.Status.LEFT:
            lock_statuses(member_ids=[earlier.pk])
        member = members.join_programme(user_id=user_id, terms_version=version.terms_version, now=now)
        if marketing is not None:
            members.record_consent(
                member_id=member.pk,
                purpose=Consent.Purpose.MARKETING,
                granted=marketing,
                source=source,
                now=now,
            )
        account = open_account(member_id=member.pk, programme_id=version.programme_id)
        if member.joined_at == now:
            # Somebody who comes back begins anew.
            recompute_known(member_id=member.pk, now=now)
    if member.joined_at == now:
        purchases.reward_earlier_purchases(user_id=user_id, now=now)
        if loyalty_settings.email_is_verified and member.user is not None:
            claims.claim_verified_orders(user=member.user, now=now)
        _reward_joining(member_id=member.pk, now=now)
    return account


def _reward_joining(*, member_id: int, now: datetime) -> None:
    """Once ever, also for who left and came back. Whatever goes wrong, they have joined."""
    try:
        with spare_transaction():
            occasions.reward_occasion(
                member_id=member_id, occasion=occasions.Occasion.SIGN_UP, ref="once", now=now
            )
    except Exception:
        logger.exception("Joining of member %s could not be rewarded", member_id)


def leave_programme(*, user_id: int, now: datetime, actor_ref: str = "") -> Member | None:
    """
    A customer leaves: see :func:`end_membership`. ``None`` for who was no member. ``actor_ref`` when it
    is not their own wish.
    """
    member = queries.find_member(user_id=user_id)
    if member is None or member.status != Member.Status.ACTIVE:
        return member
    return end_membership(member_id=member.pk, actor_ref=actor_ref or f"user:{user_id}", now=now)


def end_membership(*, member_id: int, actor_ref: str, now: datetime) -> Member:
    """
    Reservations end, points are given up, a deficit is written off, and nothing that happens to earlier
    orders books anything any more. Safe to repeat. Whoever joins again begins with a new, empty account.
    """
    with transaction.atomic():
        # Accounts before the member's row, as a merge does.
        for account_id in points.list_open_account_ids(member_id=member_id):
            close_account(
                account_id=account_id, idempotency_key=f"leave:{account_id}", actor_ref=actor_ref, now=now
            )
        lock_statuses(member_ids=[member_id])
        member = members.leave_programme(member_id=member_id, now=now)
        recompute_known(member_id=member_id, now=now)
        return member

"""Members are told when they reach a tier, and before they lose one."""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.programmes import queries as programmes
from oscar_loyalty.shop.mail import MailNotSent, send_to_customer
from oscar_loyalty.tiers import queries
from oscar_loyalty.tiers.models import TierChange, TierNotice, TierStatus
from oscar_loyalty.tiers.progress import Progress, read_progress

logger = logging.getLogger(__name__)

_AT_ONCE = 500
#: Nobody is congratulated on what happened longer ago (past orders that are booked today).
TELL_WITHIN_DAYS = 3
_LINKS: Mapping[str, str] = {"my_points_url": "loyalty:my-points", "programme_url": "loyalty:programme"}


def warn_of_tier_losses(*, now: datetime, limit: int | None = 10_000) -> int:
    """
    Mail each member who loses their tier within the days of ``OSCAR_LOYALTY_TIER_WARNING_DAYS`` if they
    buy nothing more, once for each of these numbers; return how many mails went out. Whoever comes within
    several at once gets one mail. Safe to run twice and in parallel; a mail that fails is logged and tried
    again by the next run.
    """
    programme = programmes.find_programme()
    days = sorted(set(loyalty_settings.tier_warning_days))
    if programme is None or not days:
        return 0
    sent = seen = 0
    after: tuple[datetime, int] | None = None
    while limit is None or seen < limit:
        some = min(_AT_ONCE, _AT_ONCE if limit is None else limit - seen)
        found = queries.list_statuses_to_warn(
            programme_id=programme.pk,
            lost_after=now,
            lost_before=now + timedelta(days=days[-1]),
            after=after,
        )
        batch = list(found[:some])
        if not batch:
            break
        seen += len(batch)
        after = (batch[-1].lost_at, batch[-1].pk)
        # Who was told already is left out together, so that a quiet day costs little.
        told = set(
            TierNotice.objects.filter(member_id__in=[one.member_id for one in batch]).values_list(
                "member_id", "tier_code", "lost_at", "days_before"
            )
        )
        for status in batch:
            due = next(number for number in days if status.lost_at <= now + timedelta(days=number))
            if (status.member_id, status.tier_code, status.lost_at, due) not in told:
                sent += _warn(status, days_before=due, now=now)
    return sent


def _warn(status: TierStatus, *, days_before: int, now: datetime) -> bool:
    progress = read_progress(member_id=status.member_id, now=now)
    # The job that recomputes may be late: nobody is warned of what is not so.
    if progress is None or progress.tier is None or progress.lost_at != status.lost_at:
        return False
    # The row first, so that of two runs at once only one sends.
    try:
        with transaction.atomic():
            notice = TierNotice.objects.create(
                member_id=status.member_id,
                tier_code=status.tier_code,
                lost_at=status.lost_at,
                days_before=days_before,
                sent_at=now,
            )
    except IntegrityError:
        return False
    try:
        send_to_customer(
            user_id=status.member.user_id,
            code="LOYALTY_TIER_WARNING",
            context=_context(progress),
            links=dict(_LINKS),
        )
    except Exception:
        logger.exception("Member %s could not be warned of losing a tier", status.member_id)
        notice.delete()
        return False
    return True


def tell_of_reached_tier(*, change_id: int, now: datetime) -> None:
    """
    Mail a member who has reached a higher tier, unless they have lost it again or it is long ago. What the
    mail server raises is passed on: whoever relays the news tries again.
    """
    if not loyalty_settings.tier_mail:
        return
    change = TierChange.objects.select_related("member").filter(pk=change_id).first()
    if change is None or change.reason not in (TierChange.Reason.REACHED, TierChange.Reason.OVERRIDE):
        return
    if change.changed_at < now - timedelta(days=TELL_WITHIN_DAYS):
        return
    progress = read_progress(member_id=change.member_id, now=now)
    if progress is None or progress.tier is None or progress.tier.code != change.to_code:
        return
    try:
        send_to_customer(
            user_id=change.member.user_id,
            code="LOYALTY_TIER_REACHED",
            context=_context(progress),
            links=dict(_LINKS),
        )
    except MailNotSent:
        logger.info("Member %s has no address to be told of a tier", change.member_id)


def _context(progress: Progress) -> dict[str, object]:
    return {
        "progress": progress,
        "tier": progress.tier,
        "time_zone": progress.time_zone,
        "programme_name": progress.programme_name,
    }

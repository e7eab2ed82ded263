"""Time passes: points become spendable or expire, reservations end, members are warned."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import IntegrityError, transaction

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.points import queries, settling
from oscar_loyalty.points.models import Account, ExpiryWarning
from oscar_loyalty.points.rules import value_of
from oscar_loyalty.processes import can_share_work, share_work
from oscar_loyalty.programmes import queries as programmes
from oscar_loyalty.programmes.rules import Policy, end_of_day
from oscar_loyalty.shop.baskets import find_frozen_refs
from oscar_loyalty.shop.currencies import get_default_currency
from oscar_loyalty.shop.mail import send_to_customer

logger = logging.getLogger(__name__)

_HOLDS_AT_ONCE = 500
_WARNINGS_AT_ONCE = 500


def settle_due_accounts(
    *,
    now: datetime,
    limit: int | None = 10_000,
    processes: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> int:
    """
    Activate and expire what is due, in batches, at most about ``limit`` members; return how many were
    settled. Safe to run twice and in parallel; one member's error stops nobody else's.

    ``processes`` share the work where they can, and then know no limit. ``on_progress`` is told how many
    are settled, and of how many.
    """
    due = queries.list_due_accounts(now=now)
    total = due.count() if on_progress or processes > 1 else 0
    if processes > 1 and can_share_work():

        def tick() -> None:
            if on_progress:
                on_progress(max(total - due.count(), 0), total)

        share_work(_settle_all, now, processes=processes, tick=tick)
        return max(total - due.count(), 0)
    settled = 0
    batch = None if limit is None else min(limit, settling.BATCH)
    for some in settling.settle_in_batches(now=now, batch=batch):
        settled += some.accounts
        if on_progress:
            on_progress(settled, total)
        if limit is not None and settled >= limit:
            break
    return settled


def _settle_all(now: datetime) -> None:
    for _ in settling.settle_in_batches(now=now):
        pass


def end_expired_holds(*, now: datetime, limit: int | None = 10_000) -> int:
    """
    Give back the points of reservations whose time is over, in batches, looking at most at ``limit`` of
    them; return how many ended. A basket that is frozen waits for a payment: its reservation lives
    ``payment_hold_hours`` longer.
    """
    ended = seen = 0
    grace = timedelta(hours=loyalty_settings.payment_hold_hours)
    after: tuple[datetime, int] | None = None
    while limit is None or seen < limit:
        some = min(_HOLDS_AT_ONCE, _HOLDS_AT_ONCE if limit is None else limit - seen)
        over = queries.list_expired_holds(now=now, after=after)
        rows = list(over.values_list("expires_at", "pk", "ref", "account_id")[:some])
        if not rows:
            break
        seen += len(rows)
        after = rows[-1][:2]
        being_paid = find_frozen_refs(ref for _expires_at, _pk, ref, _account_id in rows)
        for expires_at, _pk, ref, account_id in rows:
            if ref in being_paid and expires_at + grace > now:
                continue
            try:
                ended += settling.end_hold(ref=ref, account_id=account_id, now=now)
            except Exception:
                logger.exception("The hold of %s could not be ended", ref)
    return ended


def warn_expiring_points(*, now: datetime, limit: int | None = 10_000) -> int:
    """
    Mail each member whose points expire within the days of ``OSCAR_LOYALTY_EXPIRY_WARNING_DAYS``, once
    for all that expire by the end of that day; return how many mails went out. Safe to run twice and in
    parallel. A mail that fails is logged and tried again by the next run.
    """
    programme = programmes.find_programme()
    if programme is None:
        return 0
    last_day = (now + timedelta(days=loyalty_settings.expiry_warning_days)).astimezone(
        ZoneInfo(programme.time_zone)
    )
    expiring_before = end_of_day(last_day.date(), time_zone=programme.time_zone)
    currency = get_default_currency()
    warning = _Warning(
        now=now,
        expiring_before=expiring_before,
        currency=currency,
        policy=programmes.find_policy(currency=currency, at=now),
    )
    sent = seen = last_id = 0
    while limit is None or seen < limit:
        some = min(_WARNINGS_AT_ONCE, _WARNINGS_AT_ONCE if limit is None else limit - seen)
        accounts = queries.list_accounts_to_warn(expiring_before=expiring_before, now=now, after_id=last_id)
        batch = list(accounts.filter(programme_id=programme.pk)[:some])
        if not batch:
            break
        seen, last_id = seen + len(batch), batch[-1].pk
        sent += sum(warning.send(account) for account in batch)
    return sent


@dataclass
class _Warning:
    """What all mails of one run have in common."""

    now: datetime
    expiring_before: datetime
    currency: str
    policy: Policy | None

    def send(self, account: Account) -> bool:
        expiring = queries.sum_points_to_warn_of(
            account_id=account.pk, expiring_before=self.expiring_before, now=self.now
        )
        if expiring is None:
            return False
        # The row is written first, so that of two runs at once only one sends; held by no lock meanwhile,
        # because a slow mail server must not keep the member from their checkout.
        try:
            with transaction.atomic():
                warning = ExpiryWarning.objects.create(
                    account=account,
                    expires_before=self.expiring_before,
                    points=expiring.points,
                    sent_at=self.now,
                )
        except IntegrityError:
            return False
        rate = self.policy.rate if self.policy else None
        try:
            send_to_customer(
                user_id=account.member.user_id,
                code="LOYALTY_EXPIRY_WARNING",
                context={
                    "points": expiring.points,
                    "value": value_of(expiring.points, rate=rate) if rate else None,
                    "currency": self.currency,
                    "expires_at": expiring.expires_at,
                    "time_zone": account.programme.time_zone,
                    "programme_name": account.programme.name,
                },
                links={"my_points_url": "loyalty:my-points", "programme_url": "loyalty:programme"},
            )
        except Exception:
            logger.exception("Member %s could not be warned of expiring points", account.member_id)
            warning.delete()
            return False
        return True

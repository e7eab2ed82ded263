"""What nudges lost and what time made due, found again from the state of the database."""

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.flows import deliveries
from oscar_loyalty.flows.expiry import end_expired_holds, settle_due_accounts, warn_expiring_points
from oscar_loyalty.flows.occasions import reward_birthdays, reward_profiles
from oscar_loyalty.flows.purchases import reward_purchase
from oscar_loyalty.flows.return_access import LINK_TOPIC
from oscar_loyalty.flows.return_labels import LABEL_TOPIC, NO_LABEL_TOPIC, retry_labels
from oscar_loyalty.flows.return_mails import MAIL_TOPIC
from oscar_loyalty.flows.return_sweep import OVERDUE_TOPIC, check_returns
from oscar_loyalty.flows.tier_notices import warn_of_tier_losses
from oscar_loyalty.flows.tiering import recompute_due_tiers
from oscar_loyalty.outbox.services import delete_sent_messages, relay_messages
from oscar_loyalty.payments.refunds import REFUND_TOPIC
from oscar_loyalty.payments.services import delete_old_events, finish_payments
from oscar_loyalty.returns.photos import delete_old_photos
from oscar_loyalty.returns.retention import delete_old_withdrawals, forget_details
from oscar_loyalty.returns.services import CHANGED_TOPIC
from oscar_loyalty.returns.withdrawal_services import TOPICS as WITHDRAWAL_TOPICS
from oscar_loyalty.shop import carriers
from oscar_loyalty.shop.orders import list_missed_order_ids

logger = logging.getLogger(__name__)

#: Orders older than this are not rewarded by a sweep: a shop that installs the app decides on its past
#: orders itself. Undoing and activating know no such limit.
REWARD_WITHIN_DAYS = 30
#: Messages that were sent are kept this long, to answer questions.
KEEP_SENT_DAYS = 30
#: The same for what the payment provider told; it repeats itself for some days at most.
KEEP_EVENT_DAYS = 90
#: News that goes out also while the programme is switched off: the law is not.
RETURN_TOPICS = (
    *WITHDRAWAL_TOPICS,
    *(LINK_TOPIC, LABEL_TOPIC, NO_LABEL_TOPIC, MAIL_TOPIC),
    *(CHANGED_TOPIC, OVERDUE_TOPIC, REFUND_TOPIC),
)


@dataclass(frozen=True, kw_only=True)
class Swept:
    """How many of each were brought up to date; ``failed`` purchases are tried again next time."""

    purchases: int = 0
    failed: int = 0
    holds: int = 0
    accounts: int = 0
    warnings: int = 0
    tiers: int = 0
    messages: int = 0
    payments: int = 0
    deliveries: int = 0
    occasions: int = 0
    labels: int = 0
    returns: int = 0
    unsent: int = 0


def sweep(
    *,
    now: datetime,
    reward_within_days: int = REWARD_WITHIN_DAYS,
    on_progress: Callable[[int, int], None] | None = None,
) -> Swept:
    """
    Do once what the tasks do all the time; a shop without a broker calls it every few minutes. Safe to
    run twice and in parallel. While the programme is switched off only card payments are finished, and
    returns and withdrawals go on.
    ``on_progress`` is told how many due accounts are settled, and of how many.
    """
    paid = finish_payments(now=now)
    payments = paid.captured + paid.cancelled + paid.events + paid.refunds
    labels, closed = retry_labels(now), check_returns(now=now)
    told = relay_returns(now=now)
    if not loyalty_settings.enabled:
        return Swept(payments=payments, labels=labels, returns=told, unsent=closed)
    align_perk_offers(now=now)
    purchases, failed = reward_missed_purchases(now=now, reward_within_days=reward_within_days)
    # Before the outbox: an apology of this sweep goes out with it.
    delivered = check_deliveries(now=now, reward_within_days=reward_within_days)
    swept = Swept(
        purchases=purchases,
        failed=failed,
        holds=end_expired_holds(now=now),
        accounts=settle_due_accounts(now=now, on_progress=on_progress),
        # Members are warned of what is the case after all that.
        tiers=recompute_due_tiers(now=now),
        warnings=warn_expiring_points(now=now) + warn_of_tier_losses(now=now),
        messages=relay_outbox(now=now),
        payments=payments,
        deliveries=delivered,
        occasions=reward_occasions(now=now),
        labels=labels,
        returns=told,
        unsent=closed,
    )
    forget_old_news(now=now, batches=1)
    return swept


def align_perk_offers(*, now: datetime) -> int:
    """Have the offers that carry perks in force exactly while perks need them; return how many changed."""
    try:
        return carriers.align_offers(now=now)
    except Exception:
        logger.exception("The offers that carry perks could not be brought up to date")
        return 0


def reward_missed_purchases(
    *, now: datetime, reward_within_days: int = REWARD_WITHIN_DAYS
) -> tuple[int, int]:
    """
    Bring every order whose points are not what its state asks for to that state; return how many were
    looked after and how many failed. One order's error stops no other order.
    """
    seen: set[int] = set()
    failed = 0
    for order_id in list_missed_order_ids(placed_after=now - timedelta(days=reward_within_days)):
        if order_id in seen:
            continue
        seen.add(order_id)
        try:
            reward_purchase(order_id=order_id, now=now)
        except Exception:
            logger.exception("The points of order %s could not be brought up to date", order_id)
            failed += 1
    return len(seen) - failed, failed


def check_deliveries(*, now: datetime, reward_within_days: int = REWARD_WITHIN_DAYS) -> int:
    """
    Store promises of delivery that were lost, see what has arrived and what is late, and apologise where
    the settings ask for it; return how many promises changed. What fails is logged.
    """
    try:
        changed = deliveries.promise_missed_deliveries(now=now, within_days=reward_within_days)
        changed += deliveries.check_deliveries(now=now)
        return changed + deliveries.apologise_for_late(now=now)
    except Exception:
        # Points do not wait for parcels.
        logger.exception("The promises of delivery could not be looked at")
        return 0


def reward_occasions(*, now: datetime) -> int:
    """Birthdays of these days, and profiles that were completed; return how many brought points."""
    return reward_birthdays(now=now) + reward_profiles(now=now)


def relay_outbox(*, now: datetime, limit: int = 10_000, topics: Collection[str] | None = None) -> int:
    """Send what is waiting, of all ``topics`` or of some, in batches; return how many were sent."""
    sent = 0
    while sent < limit and (count := relay_messages(now=now, topics=topics)):
        sent += count
    return sent


def relay_returns(*, now: datetime) -> int:
    """Receipts of withdrawals that could not be mailed at once, labels, and news of returns."""
    return relay_outbox(now=now, topics=RETURN_TOPICS)


def forget_old_news(*, now: datetime, batches: int = 100) -> int:
    """
    Delete messages that were sent long ago, events of the payment provider that were looked at long ago,
    pictures and personal details of returns that ended long ago, and old declarations of withdrawal, in
    batches; return how many. Safe to run twice and in parallel.
    """
    forgotten = 0
    old: tuple[tuple[Callable[..., int], int], ...] = (
        (delete_sent_messages, KEEP_SENT_DAYS),
        (delete_old_events, KEEP_EVENT_DAYS),
        (delete_old_photos, loyalty_settings.return_photo_days),
        (forget_details, loyalty_settings.return_details_days),
        (delete_old_withdrawals, loyalty_settings.withdrawal_kept_days),
    )
    for delete, days in old:
        for _ in range(batches):
            count = delete(before=now - timedelta(days=days))
            forgotten += count
            if not count:
                break
    return forgotten

"""
Every background task: ids in, one call. They only need to be run; what runs them is the shop's choice.

A task may run twice or never: a repeated one changes nothing, and the sweeps among them find what a
lost one left undone. So a missing worker or broker costs time, not points.
"""

import logging
from collections.abc import Callable, Collection
from typing import Any, ParamSpec

from celery import Task, current_app, shared_task
from celery.schedules import crontab
from django.db import OperationalError, transaction
from django.utils import timezone

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.flows import (
    auditing,
    deliveries,
    expiry,
    long_jobs,
    purchases,
    return_labels,
    return_sweep,
    sweeping,
    tier_notices,
    tiering,
)
from oscar_loyalty.payments import services
from oscar_loyalty.shop.orders import PurchaseMissing

logger = logging.getLogger(__name__)

_Arguments = ParamSpec("_Arguments")


def reliable(work: "Callable[_Arguments, None]") -> "Task[_Arguments, None]":
    """A task that a lost worker hands on, and that is tried again when the database was not there."""
    make_task = shared_task(
        acks_late=True, autoretry_for=(OperationalError,), retry_backoff=True, ignore_result=True
    )
    return make_task(work)


def nudge(task: "Task[..., None]", **ids: int) -> None:
    """
    Have ``task`` run soon after the current transaction commits. Never raises and never waits for an
    answer: a shop without a broker sends nothing, and one whose broker is down logs it; the sweep finds
    what was not sent. Send one nudge for each order, because a refused broker costs half a second.
    """

    def send() -> None:
        # A nested function: on Django 5.2 a partial under robust=True breaks Django's own error logging.
        if not has_broker():
            return
        try:
            task.apply_async(kwargs=ids, retry=False)
        except Exception:
            logger.exception("%s %s could not be sent; the sweep will do it", task.name, ids)

    transaction.on_commit(send, robust=True)


def hurry_outbox(*, topics: Collection[str]) -> None:
    """
    Have the news of some topics that the current transaction writes sent soon: by a worker, or right after
    the commit where the shop has none. For what a customer waits for; the sweep finds what is left.
    """
    if has_broker():
        nudge(relay_outbox)
        return

    def send() -> None:
        try:
            sweeping.relay_outbox(now=timezone.now(), limit=50, topics=topics)
        except Exception:
            logger.exception("The outbox could not be relayed at once; the sweep will do it")

    transaction.on_commit(send, robust=True)


def has_broker() -> bool:
    """Whether somebody is there to take tasks, as far as the settings say."""
    return bool(current_app.conf.task_always_eager or current_app.conf.broker_write_url)


@reliable
def reward_purchase(*, order_id: int, **_later: object) -> None:
    if not loyalty_settings.enabled:
        return
    try:
        purchases.reward_purchase(order_id=order_id, now=timezone.now())
    except PurchaseMissing:
        logger.warning("Order %s is gone: nothing to reward", order_id)
        return
    # One nudge for each order: see :func:`nudge`.
    deliveries.update_delivery_of(order_id=order_id, now=timezone.now())


@reliable
def reward_missed_purchases(**_later: object) -> None:
    if loyalty_settings.enabled:
        sweeping.reward_missed_purchases(now=timezone.now())


@reliable
def check_deliveries(**_later: object) -> None:
    if loyalty_settings.enabled:
        sweeping.check_deliveries(now=timezone.now())


@reliable
def settle_due_accounts(**_later: object) -> None:
    if loyalty_settings.enabled:
        expiry.settle_due_accounts(now=timezone.now())


@reliable
def reward_occasions(**_later: object) -> None:
    if loyalty_settings.enabled:
        sweeping.reward_occasions(now=timezone.now())


@reliable
def end_expired_holds(**_later: object) -> None:
    if loyalty_settings.enabled:
        expiry.end_expired_holds(now=timezone.now())


@reliable
def warn_expiring_points(**_later: object) -> None:
    if loyalty_settings.enabled:
        expiry.warn_expiring_points(now=timezone.now())


@reliable
def recompute_due_tiers(**_later: object) -> None:
    if loyalty_settings.enabled:
        tiering.recompute_due_tiers(now=timezone.now())


@reliable
def warn_of_tier_losses(**_later: object) -> None:
    if loyalty_settings.enabled:
        tier_notices.warn_of_tier_losses(now=timezone.now())


@reliable
def finish_payments(**_later: object) -> None:
    # Also while the programme is switched off: money that was authorised must be captured or let go.
    services.finish_payments(now=timezone.now())


@reliable
def relay_outbox(**_later: object) -> None:
    if loyalty_settings.enabled:
        sweeping.relay_outbox(now=timezone.now())


@reliable
def relay_returns(**_later: object) -> None:
    # Also while the programme is switched off, as both of the following: the law is not.
    sweeping.relay_returns(now=timezone.now())


@reliable
def make_return_label(*, return_id: int, **_later: object) -> None:
    return_labels.make_label(return_id, timezone.now())


@reliable
def check_returns(**_later: object) -> None:
    # Also while the programme is switched off, as all of returns.
    return_sweep.check_returns(now=timezone.now())


@reliable
def retry_return_labels(**_later: object) -> None:
    return_labels.retry_labels(now=timezone.now())


@reliable
def forget_old_news(**_later: object) -> None:
    sweeping.forget_old_news(now=timezone.now())


@reliable
def align_perk_offers(**_later: object) -> None:
    if loyalty_settings.enabled:
        sweeping.align_perk_offers(now=timezone.now())


@reliable
def audit_ledger(**_later: object) -> None:
    # One that a lost worker left unfinished goes on. What it finds, `loyalty_doctor` tells.
    auditing.audit_ledger(clock=timezone.now, resume=True)


@reliable
def run_job(*, job_id: int, **_later: object) -> None:
    long_jobs.run_job(job_id=job_id, clock=timezone.now)


@reliable
def run_waiting_jobs(**_later: object) -> None:
    # Jobs whose nudge was lost, and those whose worker was killed.
    long_jobs.run_waiting_jobs(clock=timezone.now)


#: For the shop's Celery app: ``app.conf.beat_schedule = {**app.conf.beat_schedule, **beat_schedule}``.
beat_schedule: dict[str, dict[str, Any]] = {
    "loyalty-relay-outbox": {"task": "oscar_loyalty.tasks.relay_outbox", "schedule": 30},
    "loyalty-end-expired-holds": {"task": "oscar_loyalty.tasks.end_expired_holds", "schedule": 60},
    "loyalty-finish-payments": {"task": "oscar_loyalty.tasks.finish_payments", "schedule": 60},
    "loyalty-run-waiting-jobs": {"task": "oscar_loyalty.tasks.run_waiting_jobs", "schedule": 60},
    "loyalty-warn-expiring-points": {
        "task": "oscar_loyalty.tasks.warn_expiring_points",
        "schedule": crontab(hour="7", minute="30"),
    },
    # In the morning, when carriers have told what came yesterday.
    "loyalty-check-deliveries": {
        "task": "oscar_loyalty.tasks.check_deliveries",
        "schedule": crontab(hour="9", minute="0"),
    },
    "loyalty-reward-occasions": {
        "task": "oscar_loyalty.tasks.reward_occasions",
        "schedule": crontab(hour="6", minute="20"),
    },
    "loyalty-settle-due-accounts": {"task": "oscar_loyalty.tasks.settle_due_accounts", "schedule": 300},
    "loyalty-recompute-due-tiers": {"task": "oscar_loyalty.tasks.recompute_due_tiers", "schedule": 300},
    "loyalty-warn-of-tier-losses": {
        "task": "oscar_loyalty.tasks.warn_of_tier_losses",
        "schedule": crontab(hour="7", minute="45"),
    },
    "loyalty-reward-missed-purchases": {
        "task": "oscar_loyalty.tasks.reward_missed_purchases",
        "schedule": crontab(minute="*/10"),
    },
    "loyalty-align-perk-offers": {
        "task": "oscar_loyalty.tasks.align_perk_offers",
        "schedule": crontab(minute="*/10"),
    },
    "loyalty-relay-returns": {"task": "oscar_loyalty.tasks.relay_returns", "schedule": 60},
    # Several times a day: staff are told once, customers of what is closed.
    "loyalty-check-returns": {
        "task": "oscar_loyalty.tasks.check_returns",
        "schedule": crontab(minute="5", hour="*/4"),
    },
    "loyalty-retry-return-labels": {"task": "oscar_loyalty.tasks.retry_return_labels", "schedule": 120},
    "loyalty-forget-old-news": {
        "task": "oscar_loyalty.tasks.forget_old_news",
        "schedule": crontab(hour="4", minute="10"),
    },
    "loyalty-audit-ledger": {
        "task": "oscar_loyalty.tasks.audit_ledger",
        "schedule": crontab(hour="3", minute="10", day_of_week="sunday"),
    },
}

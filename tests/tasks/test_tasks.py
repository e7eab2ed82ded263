import logging

import pytest
from celery import Task, current_app
from django.db import OperationalError
from django.utils import timezone

from oscar_loyalty import tasks
from oscar_loyalty.flows import (
    expiry,
    purchases,
    return_labels,
    return_sweep,
    sweeping,
    tier_notices,
    tiering,
)
from oscar_loyalty.payments import services
from oscar_loyalty.points.audit_models import AuditRun
from oscar_loyalty.shop.orders import PurchaseMissing

JOBS = {
    "reward_missed_purchases": (sweeping, "reward_missed_purchases"),
    "check_deliveries": (sweeping, "check_deliveries"),
    "reward_occasions": (sweeping, "reward_occasions"),
    "settle_due_accounts": (expiry, "settle_due_accounts"),
    "end_expired_holds": (expiry, "end_expired_holds"),
    "warn_expiring_points": (expiry, "warn_expiring_points"),
    "recompute_due_tiers": (tiering, "recompute_due_tiers"),
    "warn_of_tier_losses": (tier_notices, "warn_of_tier_losses"),
    "relay_outbox": (sweeping, "relay_outbox"),
    "finish_payments": (services, "finish_payments"),
    "align_perk_offers": (sweeping, "align_perk_offers"),
    "forget_old_news": (sweeping, "forget_old_news"),
    "retry_return_labels": (return_labels, "retry_labels"),
    "relay_returns": (sweeping, "relay_returns"),
    "check_returns": (return_sweep, "check_returns"),
}
#: They take long, so they look at the clock themselves.
CLOCKED = ("audit_ledger", "run_waiting_jobs")
#: What goes on while the programme is switched off.
ALWAYS = {"check_returns", "finish_payments", "forget_old_news", "relay_returns", "retry_return_labels"}


@pytest.fixture
def called(monkeypatch):
    """Names of what the tasks call, instead of doing it."""
    calls = []

    def record(name):
        def call(*, now, **ids):
            assert abs((timezone.now() - now).total_seconds()) < 60
            calls.append((name, ids))

        return call

    for name, (module, attribute) in JOBS.items():
        monkeypatch.setattr(module, attribute, record(name))
    monkeypatch.setattr(purchases, "reward_purchase", record("reward_purchase"))
    return calls


@pytest.mark.parametrize("name", JOBS)
def test_each_task_does_its_job_once_whatever_a_newer_caller_adds(called, name):
    getattr(tasks, name)(something_new=True)
    assert called == [(name, {})]


@pytest.mark.django_db
def test_the_audit_runs_and_an_interrupted_one_goes_on():
    tasks.audit_ledger(something_new=True)
    run = AuditRun.objects.get()
    assert run.finished_at is not None
    AuditRun.objects.update(finished_at=None)
    tasks.audit_ledger()
    run.refresh_from_db()
    assert run.finished_at is not None


def test_rewarding_a_purchase_takes_its_id(called):
    tasks.reward_purchase(order_id=7, something_new=True)
    assert called == [("reward_purchase", {"order_id": 7})]


@pytest.mark.parametrize("name", JOBS)
def test_while_the_programme_is_off_only_payments_are_finished_and_old_news_forgotten(called, settings, name):
    settings.OSCAR_LOYALTY_ENABLED = False
    getattr(tasks, name)()
    tasks.reward_purchase(order_id=7)
    assert called == ([(name, {})] if name in ALWAYS else [])


def test_an_order_that_is_gone_is_no_error(monkeypatch, caplog):
    def gone(*, order_id, now):
        raise PurchaseMissing(order_id)

    monkeypatch.setattr(purchases, "reward_purchase", gone)
    tasks.reward_purchase(order_id=7)
    assert "Order 7 is gone" in caplog.text


def test_every_task_survives_a_worker_that_dies_and_a_database_that_is_away():
    for name in (*JOBS, *CLOCKED, "reward_purchase", "run_job"):
        task = getattr(tasks, name)
        assert task.name == f"oscar_loyalty.tasks.{name}"
        assert task.acks_late
        assert OperationalError in task.autoretry_for


def test_everything_that_time_makes_due_is_on_the_schedule():
    scheduled = {entry["task"] for entry in tasks.beat_schedule.values()}
    assert scheduled == {f"oscar_loyalty.tasks.{name}" for name in {*JOBS, *CLOCKED}}


@pytest.fixture
def sent(monkeypatch):
    calls = []
    monkeypatch.setattr(Task, "apply_async", lambda self, **options: calls.append(options["kwargs"]))
    return calls


@pytest.mark.django_db
def test_a_nudge_waits_for_the_commit(sent, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        tasks.nudge(tasks.reward_purchase, order_id=7)
        assert sent == []
    assert sent == [{"order_id": 7}]


@pytest.mark.django_db
def test_a_shop_without_a_broker_sends_nothing(sent, monkeypatch, django_capture_on_commit_callbacks):
    monkeypatch.setattr(type(current_app.conf), "broker_write_url", "")
    with django_capture_on_commit_callbacks(execute=True):
        tasks.nudge(tasks.reward_purchase, order_id=7)
    assert sent == []


@pytest.mark.django_db
def test_a_broker_that_is_down_is_logged_and_hurts_nobody(
    monkeypatch, caplog, django_capture_on_commit_callbacks
):
    def refuse(self, **options):
        raise ConnectionRefusedError("refused")

    monkeypatch.setattr(Task, "apply_async", refuse)
    with caplog.at_level(logging.ERROR), django_capture_on_commit_callbacks(execute=True):
        tasks.nudge(tasks.reward_purchase, order_id=7)
    assert "could not be sent; the sweep will do it" in caplog.text

"""Orders are placed while the message broker is up, down, and up again."""

from __future__ import annotations

import logging
import sys
import time
from datetime import timedelta
from decimal import Decimal
from typing import Any

from celery import current_app
from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone
from oscar.test.factories import create_order

from oscar_loyalty import tasks
from oscar_loyalty.flows import sweeping
from oscar_loyalty.flows.membership import join_programme
from oscar_loyalty.outbox.models import OutboxMessage
from oscar_loyalty.outbox.services import subscribe
from oscar_loyalty.points.models import Entry
from oscar_loyalty.programmes.services import set_up_programme
from oscar_loyalty.testing.ledger import assert_ledger_balanced


def place_orders(*, queue: str) -> dict[str, Any]:
    """
    Place an order with the broker up, one while it is down and one when it is back. Asks whoever started
    it to stop and start the broker, by lines on the standard output and input.
    """
    current_app.conf.update(task_default_queue=queue)
    errors = Errors()
    logging.getLogger("oscar_loyalty").addHandler(errors)
    now = timezone.now()
    set_up_programme(
        code="default",
        name="Points",
        time_zone="Europe/Berlin",
        currencies=["EUR"],
        terms_version="1",
        now=now - timedelta(days=2),
    )
    user = get_user_model().objects.create_user("anna", "anna@example.com", "secret")
    account = join_programme(user_id=user.pk, now=now - timedelta(days=1))
    told: list[object] = []
    subscribe("points_posted", lambda payload: told.append(payload["entry_id"]))
    outcome: dict[str, Any] = {}

    place(user, "1")
    outcome["sent while up"] = work_off(queue)
    outcome["booked while up"] = entries("1")

    ask("stop")
    begun = time.monotonic()
    place(user, "2")
    outcome["seconds while down"] = time.monotonic() - begun
    outcome["errors while down"] = errors.count
    outcome["booked while down"] = entries("2")
    outcome["swept while down"] = sweeping.reward_missed_purchases(now=timezone.now())
    outcome["booked by the sweep"] = entries("2")
    outcome["waiting in the outbox"] = OutboxMessage.objects.filter(waiting=True).count() > 0
    sweeping.relay_outbox(now=timezone.now() + timedelta(seconds=1))
    outcome["left in the outbox"] = OutboxMessage.objects.filter(waiting=True).count()
    outcome["told once each"] = sorted(told) == sorted(
        Entry.objects.filter(kind="EARN").values_list("pk", flat=True)
    )

    ask("start")
    place(user, "3")
    outcome["sent when back"] = work_off(queue)
    outcome["booked when back"] = entries("3")
    outcome["left for the sweep"] = sweeping.reward_missed_purchases(now=timezone.now())
    assert_ledger_balanced(account)
    return outcome


class Errors(logging.Handler):
    """Counts what was logged instead of raised."""

    count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += record.levelno >= logging.ERROR


def place(user: Any, number: str) -> None:
    with transaction.atomic():
        # As Oscar does it, its signal included.
        create_order(user=user, number=number, currency="EUR", total_incl_tax=Decimal(100))


def work_off(queue: str) -> int:
    """Do what a worker would with the messages in the queue; return how many there were."""
    done = 0
    with current_app.connection_for_read() as connection:
        inbox = connection.SimpleQueue(queue)
        while True:
            try:
                message = inbox.get(timeout=2)
            except inbox.Empty:
                break
            _args, kwargs, _embed = message.payload
            assert message.headers["task"] == tasks.reward_purchase.name
            tasks.reward_purchase.apply(kwargs=kwargs, throw=True)
            message.ack()
            done += 1
        inbox.close()
    return done


def entries(order: str) -> int:
    return Entry.objects.filter(order_ref=order, kind="EARN").count()


def ask(what: str) -> None:
    print(what, flush=True)
    assert sys.stdin.readline().strip() == "done"

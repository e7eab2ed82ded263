"""An order with a bonus is rewarded, and a late one apologised for, by many at once."""

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from unittest import mock

import pytest
from django.utils import timezone
from oscar.core.loading import get_model

from oscar_loyalty.delivery.models import DeliveryPromise
from oscar_loyalty.delivery.services import make_promise
from oscar_loyalty.flows.deliveries import apologise_for_late
from oscar_loyalty.flows.purchases import reward_purchase
from oscar_loyalty.outbox.models import OutboxMessage
from oscar_loyalty.points.models import Entry
from oscar_loyalty.shop.bonus_models import OrderBonus
from oscar_loyalty.shop.offers import ensure_offer
from oscar_loyalty.testing.ledger import assert_ledger_balanced
from tests.shop import world
from tests.shop.test_bonus_offers import THREE, make_bonus_offer

from .race import run_at_once

pytestmark = [
    pytest.mark.database,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("row_locks"),
]

SESSIONS = 8


@pytest.fixture
def member():
    ensure_offer()
    world.make_programme()
    return world.make_member()


def test_eight_who_reward_an_order_at_once_book_its_bonus_once(member):
    make_bonus_offer()
    order = world.place(world.make_basket(member.user, THREE))
    now = timezone.now()
    results = run_at_once([partial(reward_purchase, order_id=order.pk, now=now)] * SESSIONS)
    assert results == [None] * SESSIONS
    assert Entry.objects.filter(idempotency_key__startswith="offer:").count() == 1
    Order = get_model("order", "Order")
    Order.objects.filter(pk=order.pk).update(status="Cancelled")
    run_at_once([partial(reward_purchase, order_id=order.pk, now=now)] * SESSIONS)
    assert Entry.objects.filter(kind="CLAWBACK").count() == 2
    member.refresh_from_db()
    assert (member.pending, member.available) == (0, 10_000)
    assert OrderBonus.objects.count() == 1
    assert_ledger_balanced(member)


def make_late(member, number):
    order = world.place(world.make_basket(member.user, THREE), number=number)
    due = datetime.now(UTC) - timedelta(days=1)
    promise = make_promise(
        order_ref=str(order.number),
        method="express",
        method_code="express",
        promised_date=due.date(),
        due_at=due,
        now=due,
    )
    DeliveryPromise.objects.filter(pk=promise.pk).update(late_since=due)


def apologise_at_once(now):
    return sum(run_at_once([partial(apologise_for_late, now=now)] * SESSIONS))


def test_eight_who_apologise_at_once_do_it_once_for_each_order(member, settings):
    settings.OSCAR_LOYALTY_LATE_POINTS = 100
    settings.OSCAR_LOYALTY_LATE_MAIL = True
    for number in range(5):
        make_late(member, f"20000{number}")
    assert apologise_at_once(timezone.now()) == 5
    assert Entry.objects.filter(idempotency_key__startswith="late:").count() == 5
    assert OutboxMessage.objects.filter(topic="late_delivery").count() == 5
    assert_ledger_balanced(member)


@contextmanager
def without_the_row_lock():
    """As if nobody locked the promise, and the ledger and the outbox did not know their keys."""

    def read(order_ref):
        return DeliveryPromise.objects.filter(order_ref=order_ref).first()

    with mock.patch("oscar_loyalty.delivery.services._lock", read):
        yield


def test_without_the_row_lock_two_of_them_meet(member, settings):
    """Shown failing: keys of ledger and outbox still refuse the second one, which is then an error."""
    settings.OSCAR_LOYALTY_LATE_MAIL = True
    with without_the_row_lock():
        for attempt in range(20):
            make_late(member, f"30000{attempt}")
            with mock.patch("oscar_loyalty.flows.deliveries.logger.exception") as failed:
                done = apologise_at_once(timezone.now())
            if failed.called or done > 1:
                return
    pytest.fail("No two of them ever met without the lock")

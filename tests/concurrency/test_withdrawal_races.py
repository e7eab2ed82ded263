"""A declaration is confirmed, assigned and answered, and a label asked for, by many at once."""

from functools import partial

import pytest
from django.core import mail
from django.utils import timezone

from oscar_loyalty.flows import withdrawals
from oscar_loyalty.flows.return_labels import make_label
from oscar_loyalty.flows.withdrawals import AssignmentRefused
from oscar_loyalty.outbox.models import OutboxMessage
from oscar_loyalty.returns.models import Return, ReturnLabel, Withdrawal
from tests.flows.conftest import place_order
from tests.returns.world import arrive
from tests.shop import world

from .race import run_at_once

pytestmark = [
    pytest.mark.database,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("row_locks"),
]
SESSIONS = 8


@pytest.fixture
def order():
    world.make_programme()
    return place_order(user=None, guest_email="guest@example.com", at=timezone.now())


def declare(order_text, *, now):
    return withdrawals.declare_withdrawal(
        key="page:1",
        name="Ada",
        email="guest@example.com",
        order_text=order_text,
        user_id=None,
        language="en",
        now=now,
    ).pk


def test_eight_clicks_at_once_are_one_declaration_one_receipt_and_one_return(order):
    made = run_at_once([partial(declare, order.number, now=timezone.now())] * SESSIONS)
    assert len(set(made)) == 1
    assert Withdrawal.objects.get().state == "MATCHED"
    assert Return.objects.count() == 1
    assert len(mail.outbox) == 1
    assert not OutboxMessage.objects.filter(topic__startswith="withdrawal", waiting=True).exists()


def test_of_staff_who_assign_and_close_at_once_one_wins(order):
    now = timezone.now()
    pk = declare("the lamp", now=now)

    def refused(work):
        try:
            work()
        except AssignmentRefused as error:
            return error.code
        return ""

    by = {"withdrawal_id": pk, "actor_ref": "user:1", "now": now}
    assign = partial(withdrawals.assign_withdrawal, order_number=order.number, **by)
    close = partial(withdrawals.close_withdrawal, note="By phone", **by)
    found = run_at_once([partial(refused, work) for work in (assign, close) * (SESSIONS // 2)])
    assert sorted(found) == ["", *["already_done"] * (SESSIONS - 1)]
    state = Withdrawal.objects.get().state
    assert Return.objects.count() == (1 if state == "MATCHED" else 0)


def test_eight_who_ask_for_a_label_at_once_make_one(order, settings):
    settings.OSCAR_LOYALTY_RETURN_ADDRESS = ["Shop", "12345 Town"]
    arrive(order)  # what never came needs no label
    declare(order.number, now=timezone.now())
    made = run_at_once([partial(make_label, Return.objects.get().pk, timezone.now())] * SESSIONS)
    assert sum(one is not None for one in made) == 1
    label = ReturnLabel.objects.get()
    assert (label.state, label.attempts) == ("READY", 1)
    assert OutboxMessage.objects.filter(topic="return_label").count() == 1

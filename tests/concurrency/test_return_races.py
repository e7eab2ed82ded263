"""Two clicks, two clerks, and a customer who thinks again, all at once."""

import threading
import time
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone
from oscar.core.loading import get_model

from oscar_loyalty.flows import return_settlement, return_steps, return_terms, returns
from oscar_loyalty.flows.purchases import reward_purchase
from oscar_loyalty.flows.return_terms import ReturnRefused
from oscar_loyalty.members.models import ClaimedOrder
from oscar_loyalty.payments import refunds
from oscar_loyalty.payments.gateway import RefundStatus
from oscar_loyalty.payments.refund_models import Refund
from oscar_loyalty.points.models import Entry
from oscar_loyalty.returns.models import Return, ReturnLine, ReturnPolicy
from oscar_loyalty.returns.states import State
from oscar_loyalty.shop import orders, return_orders
from tests.returns.bank import Bank
from tests.returns.world import accept, ask, make_order, make_policy, state_of
from tests.shop import world as shop

from .race import run_at_once

pytestmark = [
    pytest.mark.database,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time"),
]


@pytest.fixture
def account(settings: Any) -> Any:
    settings.OSCAR_LOYALTY_PAYMENT_GATEWAY = "tests.returns.bank.Bank"
    Bank.forget()
    make_policy(shop.make_programme(waiting_days=0))
    return shop.make_member(points=1000)


def read_without_lock(monkeypatch: Any) -> None:
    read = return_orders.get_sold_order

    def read_and_wait(**values: Any) -> Any:
        order = read(**{**values, "lock": False})
        time.sleep(0.3)
        return order

    monkeypatch.setattr(return_orders, "get_sold_order", read_and_wait)


@pytest.mark.parametrize("guarded", [True, False], ids=["locked", "without the lock"])
def test_the_last_piece_comes_back_once(account: Any, guarded: bool, monkeypatch: Any) -> None:
    """Without the lock on the order all of them see the piece as theirs: the race is one."""
    if not guarded:
        read_without_lock(monkeypatch)
    most = 0
    for _round in range(3):
        if most > 1:
            break  # The race has been lost.
        order = make_order(account.user, (("10.00", 1, 19),))
        results = run_at_once([lambda order=order: ask(order) for _ in range(4)])
        made = [one for one in results if isinstance(one, Return)]
        refused = [one for one in results if not isinstance(one, Return)]
        assert all(isinstance(one, ReturnRefused) for one in refused), refused
        most = max(most, len(made))
    assert (most == 1) == guarded


@pytest.mark.parametrize("guarded", [True, False], ids=["locked", "without the lock"])
def test_a_parcel_that_comes_late_or_a_new_return_of_the_same_piece(
    account: Any, guarded: bool, monkeypatch: Any
) -> None:
    closed = []
    for _round in range(3):
        made = ask(make_order(account.user, (("10.00", 1, 19),)))
        closed.append(returns.cancel_return(return_id=made.pk, actor_ref="customer", now=timezone.now()))
    if not guarded:
        read_without_lock(monkeypatch)
    most = 0
    for one in closed:
        if most > 1:
            break  # The race has been lost.
        order = get_model("order", "Order").objects.get(pk=one.order_id)
        values = {"return_id": one.pk, "reason": "late", "actor_ref": "user:1", "now": timezone.now()}
        run_at_once(
            [lambda values=values: return_steps.receive_late(**values), lambda order=order: ask(order)]
        )
        most = max(most, Return.objects.filter(order_id=one.order_id).exclude(state=State.CANCELLED).count())
    assert (most == 1) == guarded


@pytest.mark.parametrize("guarded", [True, False], ids=["read under the lock", "read before it"])
def test_an_order_that_is_rewarded_while_a_part_of_it_comes_back_brings_what_is_left(
    account: Any, guarded: bool, monkeypatch: Any
) -> None:
    """What belongs to an order is read when its lock is there, not when somebody began to wait for it."""
    order = make_order(None, (("10.00", 2, 19),))
    ClaimedOrder.objects.create(
        order_number=order.number, member_id=account.member_id, proof="MAIL", claimed_at=timezone.now()
    )
    made = ask(order, [return_terms.Pick(line_id=order.lines.get().pk, quantity=1)])
    restock, is_locked = return_settlement.restock_return, threading.Event()

    def restock_slowly(*values: Any, **more: Any) -> None:
        restock(*values, **more)
        is_locked.set()
        time.sleep(1)

    monkeypatch.setattr(return_settlement, "restock_return", restock_slowly)
    if not guarded:
        before = orders._read_marks([order.pk])
        monkeypatch.setattr(orders, "_read_marks", lambda _order_ids: before)

    def reward() -> None:
        assert is_locked.wait(30)
        reward_purchase(order_id=order.pk, now=timezone.now())

    results = run_at_once([lambda: accept(made), reward])
    assert not any(isinstance(one, Exception) for one in results), results
    account.refresh_from_db()
    assert (state_of(account) == (0, 1010, 0)) == guarded


def test_store_credit_is_taken_back_once_however_many_undo_its_return(account: Any) -> None:
    ReturnPolicy.objects.update(offers_store_credit=True)
    done = accept(ask(make_order(account.user, (("10.00", 1, 19),)), refund_to="STORE_CREDIT"))
    values = {"return_id": done.pk, "reason": "x", "actor_ref": "user:1", "now": timezone.now()}
    results = run_at_once([lambda: return_steps.undo_return(**values)] * 4)
    assert all(isinstance(one, Return) for one in results), results
    assert state_of(account) == (0, 1010, 0)


def test_the_same_click_many_times_is_one_return(account: Any) -> None:
    order = make_order(account.user, (("10.00", 1, 19),))
    results = run_at_once([lambda: ask(order, idempotency_key="click")] * 4)
    assert len({one.pk for one in results}) == 1


def test_two_clerks_accept_the_same_return(account: Any) -> None:
    order = make_order(account.user, (("10.00", 3, 19),), points=500)
    made = ask(order)
    results = run_at_once([lambda: accept(made)] * 4)
    assert all(isinstance(one, Return) for one in results), results
    kinds = Counter(Entry.objects.filter(order_ref=order.number).values_list("kind", flat=True))
    assert (kinds["SPEND_RETURN"], kinds["CLAWBACK"]) == (1, 1)
    assert Refund.objects.count() == 1
    assert state_of(account) == (0, 1000, 0)


def test_a_customer_calls_off_what_a_clerk_accepts(account: Any) -> None:
    """Whoever is first: either nothing is booked, or everything."""
    order = make_order(account.user, (("10.00", 3, 19),), points=500)
    made = ask(order)
    results = run_at_once(
        [
            lambda: accept(made),
            lambda: returns.cancel_return(return_id=made.pk, actor_ref="customer", now=timezone.now()),
        ]
    )
    made.refresh_from_db()
    refused = [one for one in results if isinstance(one, ReturnRefused)]
    others = [one for one in results if not isinstance(one, Return | ReturnRefused)]
    assert not others
    assert len(refused) == 1
    if made.state == State.CANCELLED:
        assert not Refund.objects.exists()
        assert state_of(account) == (0, 525, 0)
    else:
        assert Refund.objects.count() == 1
        assert state_of(account) == (0, 1000, 0)


def test_two_returns_of_one_order_are_accepted_at_once(account: Any) -> None:
    order = make_order(account.user, (("10.01", 3, 19),), points=500)
    line = order.lines.get()
    made = [ask(order, [return_terms.Pick(line_id=line.pk, quantity=count)]) for count in (1, 2)]
    results = run_at_once([lambda one=one: accept(one) for one in made])
    assert all(isinstance(one, Return) for one in results), results
    money = sum(Refund.objects.values_list("amount", flat=True))
    assert money == order.total_incl_tax
    assert sum(ReturnLine.objects.values_list("points_back", flat=True)) == 500
    assert state_of(account) == (0, 1000, 0)


def test_a_decision_and_news_of_another_refund_of_the_order_do_not_wait_for_each_other(account: Any) -> None:
    """
    The one holds the order and wants the payment, the other writes an event of the order under the payment.
    """
    for number in range(5):
        order = make_order(account.user, (("10.00", 2, 19),))
        line = order.lines.get()
        made = ask(order, [return_terms.Pick(line_id=line.pk, quantity=1)])
        Bank.next_status = RefundStatus.PENDING
        with transaction.atomic():
            other = refunds.request_refund(
                order_number=order.number,
                amount=Decimal("1.00"),
                currency="EUR",
                cause_ref=f"goodwill:{number}",
                now=timezone.now(),
            )
        other = refunds.send_refund(refund_id=other.pk, now=timezone.now())
        Bank.settle(other.gateway_id or "", RefundStatus.SUCCEEDED)
        results = run_at_once(
            [
                lambda made=made: accept(made),
                lambda other=other: refunds.look_at_refund(refund_id=other.pk, now=timezone.now()),
                lambda order=order, line=line: returns.preview_return(
                    order_id=order.pk,
                    picks=[return_terms.Pick(line_id=line.pk, quantity=1)],
                    now=timezone.now(),
                ),
            ]
        )
        assert not [one for one in results if isinstance(one, Exception)], results
        other.refresh_from_db()
        assert other.state == Refund.State.SUCCEEDED

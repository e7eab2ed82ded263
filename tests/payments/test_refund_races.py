"""Several who want money back for one order at the same moment."""

from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from oscar_loyalty.payments import queries, refund_money, refunds, services
from oscar_loyalty.payments.gateway import Intent, IntentStatus
from oscar_loyalty.payments.models import CardPayment
from oscar_loyalty.payments.refund_models import Refund
from tests.concurrency.race import run_at_once

from .refund_world import add_source, at_stripe, make_order, paid_order, request

pytestmark = [
    pytest.mark.database,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("row_locks"),
    pytest.mark.timeout(300),
]

ASKING = 8
ROUNDS = 3
TOTAL = Decimal("10.00")
SIXTY_PER_CENT = Decimal("6.00")


def paid_by_card(number: str) -> None:
    CardPayment.objects.create(
        basket_id=number,
        open_key=number,
        order_number=number,
        intent_id=f"pi_{number}",
        amount=TOTAL,
        currency="EUR",
        state=CardPayment.State.CAPTURED,
        created_at=timezone.now(),
    )
    add_source(make_order(number), name="Card", amount=TOTAL, reference=f"pi_{number}")


def paid_by_invoice(number: str) -> None:
    add_source(make_order(number), name="Invoice", amount=TOTAL)


def paid_without_a_trace(number: str) -> None:
    order = make_order(number)
    type(order).objects.filter(pk=order.pk).update(total_incl_tax=TOTAL, total_excl_tax=TOTAL)


WAYS = [paid_by_card, paid_by_invoice, paid_without_a_trace]


def ask_at_once(number: str) -> list[Any]:
    def ask(cause: int) -> Refund:
        with transaction.atomic():
            return refunds.request_refund(
                order_number=number,
                amount=SIXTY_PER_CENT,
                currency="EUR",
                cause_ref=f"return:{number}:{cause}",
                now=timezone.now(),
            )

    return run_at_once([lambda cause=cause: ask(cause) for cause in range(ASKING)])


@pytest.mark.parametrize("pay", WAYS)
def test_of_several_who_ask_for_most_of_the_money_one_gets_it(pay):
    for round_number in range(ROUNDS):
        number = f"6{round_number}"
        pay(number)
        results = ask_at_once(number)
        others = [one for one in results if not isinstance(one, Refund)]
        assert len(others) == ASKING - 1, results
        assert all(isinstance(one, refunds.RefundExceedsPaid) for one in others), others
        assert queries.find_refundable(order_number=number).left == Decimal("4.00")


@pytest.mark.parametrize("pay", WAYS)
def test_without_the_lock_several_get_it(pay, monkeypatch):
    """The test above can fail: this is what it would see if the money of an order was not locked."""
    monkeypatch.setattr(refunds, "lock_order_money", refund_money.read_order_money)
    find = refund_money.OrderMoney.find_source

    def find_and_wait(money: Any, amount: Decimal) -> Any:
        found = find(money, amount)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_sleep(0.2)" if connection.vendor == "postgresql" else "SELECT SLEEP(0.2)"
            )
        return found

    monkeypatch.setattr(refund_money.OrderMoney, "find_source", find_and_wait)
    pay("70")
    assert sum(isinstance(one, Refund) for one in ask_at_once("70")) > 1


def test_a_capture_and_refunds_at_once_do_not_wait_in_a_circle():
    """Both lock the payment and Oscar's payment source, in this order."""
    for round_number in range(ROUNDS):
        number = f"8{round_number}"
        paid_by_card(number)
        payment = CardPayment.objects.get(order_number=number)
        CardPayment.objects.filter(pk=payment.pk).update(state=CardPayment.State.AUTHORISED)
        captured = Intent(
            intent_id=f"pi_{number}",
            status=IntentStatus.CAPTURED,
            amount=TOTAL,
            currency="EUR",
            reference=str(payment.public_id),
        )

        def ask(cause: int, number: str = number) -> Any:
            with transaction.atomic():
                return refunds.request_refund(
                    order_number=number,
                    amount=Decimal("1.00"),
                    currency="EUR",
                    cause_ref=f"return:{number}:{cause}",
                    now=timezone.now(),
                )

        jobs: list[Any] = [lambda cause=cause, ask=ask: ask(cause) for cause in range(4)]
        jobs += [
            lambda payment=payment, captured=captured: services._observe(
                payment.pk, captured, now=timezone.now()
            )
        ]
        results = run_at_once(jobs)
        assert not [one for one in results if isinstance(one, Exception)], results


def test_several_who_send_one_refund_pay_once(stripe_server):
    paid_order()
    refund = request()
    results = run_at_once([lambda: refunds.send_refund(refund_id=refund.pk, now=timezone.now())] * 4)
    assert any(isinstance(one, Refund) for one in results), results
    refunds.finish_refunds(now=timezone.now() + refunds.SEND_GRACE * 2)
    refund.refresh_from_db()
    assert refund.state == Refund.State.SUCCEEDED
    assert len(at_stripe(stripe_server)) == 1


def test_one_failed_refund_that_two_try_again_is_tried_once(stripe_server):
    paid_order()
    refund = request()
    Refund.objects.filter(pk=refund.pk).update(state=Refund.State.FAILED, failed_at=timezone.now())
    results = run_at_once(
        [lambda: refunds.retry_refund(refund_id=refund.pk, by="user:1", now=timezone.now())] * 4
        + [lambda: refunds.pay_by_hand(refund_id=refund.pk, reference="x", by="user:2", now=timezone.now())]
    )
    there = Refund.objects.exclude(state__in=Refund.VOID)
    assert there.count() == 1, results

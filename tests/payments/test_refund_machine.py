"""
Any sequence of requests, answers, failures, second tries and payments by hand, at a bank that has no limit:
never more goes back than was paid, and Oscar's books say what has.
"""

import os
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import hypothesis.strategies as st
import pytest
from django.db import transaction
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from oscar_loyalty.outbox.models import OutboxMessage
from oscar_loyalty.payments import queries, refunds
from oscar_loyalty.payments.gateway import GatewayUnavailable, RefundStatus
from oscar_loyalty.payments.refund_models import Refund

from . import plain_bank
from .refund_world import LATER, NOW, ORDER, PAID, add_source, make_order, request, source_of

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
INTENT = "bank-1"
MANNERS = ("succeeds", "pends", "refuses", "is down", "loses its answer", "loses its answer")
REFUSALS = (refunds.RefundExceedsPaid, refunds.RefundNotFailed, refunds.RefundReplaced)

which = st.integers(0, 5)
manners = st.sampled_from(MANNERS)
#: Some fit together and some do not.
amounts = st.sampled_from([Decimal(text) for text in ("0.01", "4.00", "8.34", "12.33", "12.34", "12.35")])


#: What banks decide, most of it bad.
decisions = st.sampled_from(
    [RefundStatus.FAILED, RefundStatus.FAILED, RefundStatus.SUCCEEDED, RefundStatus.CANCELLED]
)


def at_the_bank(machine: "RefundMachine") -> bool:
    return bool(plain_bank.vault.refunds)


def not_paid(machine: "RefundMachine") -> bool:
    return Refund.objects.exclude(state__in=["SUCCEEDED", "CANCELLED"]).exists()


def failed(machine: "RefundMachine") -> bool:
    return Refund.objects.filter(state="FAILED").exists()


class RefundMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.rollback = transaction.atomic()
        self.rollback.__enter__()
        plain_bank.forget()
        add_source(make_order(), name="Bank", amount=PAID, amount_debited=PAID, reference=INTENT)
        self.causes = 0
        self.given_up: set[int] = set()

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.rollback.__exit__(None, None, None)

    @initialize()
    def pay_one_back(self) -> None:
        self.request_and_send(Decimal("4.00"), "succeeds")

    @rule(amount=amounts, manner=manners)
    def request_and_send(self, amount: Decimal, manner: str) -> None:
        self.causes += 1
        cause = f"return:{self.causes}"
        fits = amount <= queries.find_refundable(order_number=ORDER).left
        self.quietly(lambda: request(str(amount), cause))
        assert Refund.objects.filter(cause_ref=cause).exists() == fits
        if fits:
            self.send(Refund.objects.get(cause_ref=cause), manner)

    @precondition(not_paid)
    @rule(number=which, manner=manners)
    def send_again(self, number: int, manner: str) -> None:
        self.with_one(number, lambda one: self.send(one, manner))

    @precondition(at_the_bank)
    @rule(number=which, status=decisions, told=st.sampled_from([True, True, False]))
    def decide_at_the_bank(self, number: int, status: RefundStatus, told: bool) -> None:
        there = list(plain_bank.vault.refunds)
        plain_bank.settle(there[number % len(there)], status)
        if told:
            refunds.look_at_refunds_of(intent_id=INTENT, now=LATER)

    @rule(days=st.sampled_from([0, 1, 40]))
    def sweep(self, days: int) -> None:
        """Banks forget the keys of calls in a day."""
        if days:
            plain_bank.vault.keys.clear()
        plain_bank.vault.manner = "succeeds"
        refunds.finish_refunds(now=LATER + timedelta(days=days))

    @precondition(failed)
    @rule(number=which, manner=manners)
    def retry(self, number: int, manner: str) -> None:
        def act(one: Refund) -> None:
            self.send(refunds.retry_refund(refund_id=one.pk, by="user:1", now=LATER), manner)

        self.with_one(number, act, state="FAILED")

    @precondition(failed)
    @rule(number=which)
    def pay_by_hand(self, number: int) -> None:
        self.with_one(
            number,
            lambda one: refunds.pay_by_hand(refund_id=one.pk, reference="x", by="user:1", now=LATER),
            state="FAILED",
        )

    @precondition(not_paid)
    @rule(number=which)
    def cancel(self, number: int) -> None:
        def act(one: Refund) -> None:
            self.given_up.add(refunds.cancel_refund(refund_id=one.pk, now=LATER).pk)

        self.with_one(number, act)

    @rule(amount=amounts)
    def pay_back_at_the_bank(self, amount: Decimal) -> None:
        """Only what may go back: the bank's own staff count too."""
        if amount <= queries.find_refundable(order_number=ORDER).left:
            plain_bank.vault.manner = "succeeds"
            plain_bank.PlainBank().create_refund(
                intent_id=INTENT,
                amount=amount,
                currency="EUR",
                reference="",
                idempotency_key=f"staff {len(plain_bank.vault.refunds)}",
            )
            refunds.look_at_refunds_of(intent_id=INTENT, now=LATER)

    def send(self, refund: Refund, manner: str) -> None:
        plain_bank.vault.manner = manner
        self.quietly(lambda: refunds.send_refund(refund_id=refund.pk, now=NOW))

    def with_one(self, number: int, act: Callable[[Refund], Any], **wanted: str) -> None:
        """One of those that are wanted, or of all when there is none."""
        there = list(Refund.objects.filter(**wanted).order_by("pk")) or list(Refund.objects.order_by("pk"))
        if there:
            self.quietly(lambda: act(there[number % len(there)]))

    def quietly(self, act: Callable[[], Any]) -> None:
        try:
            act()
        except (*REFUSALS, refunds.RefundAlreadySent, GatewayUnavailable):
            pass

    @invariant()
    def never_more_goes_back_than_was_paid(self) -> None:
        counted = Refund.objects.exclude(state__in=Refund.VOID)
        assert sum(one.amount for one in counted) <= PAID
        by_hand = Refund.objects.filter(state="SUCCEEDED", method="MANUAL")
        assert plain_bank.vault.paid_back + sum(one.amount for one in by_hand) <= PAID

    @invariant()
    def oscars_books_say_what_went_back(self) -> None:
        done = sum(one.amount for one in Refund.objects.filter(state="SUCCEEDED"))
        source = source_of()
        assert source.amount_refunded == done
        assert sum(one.amount for one in source.transactions.filter(txn_type="Refund")) == done
        assert sum(one.amount for one in source.order.payment_events.all()) == done

    @invariant()
    def nothing_is_given_up_but_by_a_person(self) -> None:
        assert {one.pk for one in Refund.objects.filter(state="CANCELLED")} == self.given_up

    @invariant()
    def the_last_news_of_each_refund_is_its_state(self) -> None:
        news = {}
        for message in OutboxMessage.objects.filter(topic="refund_changed").order_by("pk"):
            news[message.payload["refund"]] = message.payload["state"]
        assert news == {str(one.public_id): one.state for one in Refund.objects.all()}


@pytest.mark.timeout(0 if NIGHTLY else 300)
@pytest.mark.django_db
def test_any_sequence_of_refunds(settings: Any) -> None:
    settings.OSCAR_LOYALTY_PAYMENT_GATEWAY = "tests.payments.plain_bank.PlainBank"
    run_state_machine_as_test(RefundMachine, settings=_length())


def _length() -> settings:
    examples = settings().max_examples if NIGHTLY else settings().max_examples // 2
    return settings(stateful_step_count=50 if NIGHTLY else 20, max_examples=examples, deadline=None)

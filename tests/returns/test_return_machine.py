"""
Any sequence of returns, cancellations, refunds that fail, expiry and time, over orders of a real basket.

After each step: no line and no order brings more money than was paid for it, the ledger proves itself, and
Oscar's books say what the bank did. At the end everything comes back, and every member is where they would be
without these orders. Quick by default; 2,000 histories by ``HYPOTHESIS_PROFILE=nightly``.
"""

import os
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import hypothesis.strategies as st
import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from oscar.core.loading import get_model

from oscar_loyalty.flows import returns
from oscar_loyalty.flows.expiry import settle_due_accounts
from oscar_loyalty.flows.purchases import reward_purchase
from oscar_loyalty.flows.returns import Pick, ReturnRefused
from oscar_loyalty.payments import refunds
from oscar_loyalty.payments.gateway import RefundStatus
from oscar_loyalty.payments.refund_models import Refund
from oscar_loyalty.points import services as ledger
from oscar_loyalty.points.errors import InsufficientPoints
from oscar_loyalty.points.models import Account, Entry
from oscar_loyalty.returns.models import Condition, Return, ReturnLine, ReturnPolicy
from oscar_loyalty.returns.services import Decision
from oscar_loyalty.returns.states import OPEN
from oscar_loyalty.testing.ledger import assert_ledger_balanced
from oscar_loyalty.tiers.models import QualifyingEntry, Tier, TierScheme
from tests.shop import world as shop

from .bank import Bank
from .world import make_order, make_policy

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
VOID = ("FAILED", "CANCELLED")
FEE = Decimal("4.95")

#: Lines of (price, pieces, VAT in percent), points spent, a voucher, delivery charge, delivered.
ORDERS: tuple[tuple[Any, int, bool, str, bool], ...] = (
    ((("30.00", 3, 19), ("20.00", 1, 7)), 700, False, "4.90", True),
    ((("10.01", 3, 19), ("3.33", 7, 7), ("99.99", 1, 19)), 0, True, "0.00", True),
    ((("5.00", 2, 19),), 900, True, "0.00", True),
    ((("49.95", 2, 19), ("0.50", 5, 7)), 1234, False, "6.90", True),
    ((("19.99", 4, 7),), 0, False, "4.90", False),
)

whos = st.integers(0, 10**6)


class ReturnMachine(RuleBasedStateMachine):
    orders: list[Any] = []
    histories = 0

    def __init__(self) -> None:
        super().__init__()
        self.rollback = transaction.atomic()
        self.rollback.__enter__()
        Bank.refunds, Bank.by_key, Bank.next_status = {}, {}, RefundStatus.SUCCEEDED
        self.now = timezone.now()
        self.number = 0
        # What came to a member and went beside these orders.
        self.beside = 0
        self.kept: set[str] = set()

    def teardown(self) -> None:
        try:
            self.bring_everything_back()
            self.compare_with_a_member_without_orders()
        finally:
            transaction.set_rollback(True)
            self.rollback.__exit__(None, None, None)
            type(self).histories += 1
            if NIGHTLY and self.histories % 50 == 0:
                print(f"{self.histories} histories", flush=True)

    # Helpers

    def order(self, who: int) -> Any:
        return self.orders[who % len(self.orders)]

    def attempt(self, act: Callable[[], Any]) -> Any:
        """A refusal leaves everything as it was."""
        try:
            with transaction.atomic():
                return act()
        except (ReturnRefused, refunds.RefundExceedsPaid, refunds.RefundNotFailed):
            return None
        except (refunds.RefundReplaced, refunds.RefundAlreadySent, InsufficientPoints):
            return None

    def a_return(self, who: int) -> Return | None:
        found = list(Return.objects.order_by("pk"))
        return found[who % len(found)] if found else None

    def a_refund(self, who: int) -> Refund | None:
        found = list(Refund.objects.order_by("pk"))
        return found[who % len(found)] if found else None

    def follow(self, refund: Refund) -> None:
        returns.follow_refund(cause_ref=refund.cause_ref, now=self.now)

    @property
    def account(self) -> Account:
        return Account.objects.get(pk=self.account_id)

    # Steps

    @rule(who=whos, data=st.data(), fault=st.booleans(), credit=st.booleans())
    def ask(self, who: int, data: st.DataObject, fault: bool, credit: bool) -> None:
        order = self.order(who)
        picks = [
            Pick(
                line_id=line.pk,
                quantity=data.draw(st.integers(1, line.quantity + 1)),
                reason="FAULTY" if fault else "WITHDRAWAL",
            )
            for line in order.lines.order_by("pk")
            if data.draw(st.booleans())
        ]
        self.attempt(
            lambda: returns.request_return(
                order_id=order.pk,
                picks=picks,
                refund_to="STORE_CREDIT" if credit else "ORIGINAL",
                set_off_agreed=data.draw(st.booleans()),
                actor_ref="customer",
                now=self.now,
            )
        )

    @rule(who=whos, data=st.data())
    def preview_and_accept(self, who: int, data: st.DataObject) -> None:
        """What was shown is what is booked, when nothing happens in between."""
        order = self.order(who)
        left = {
            line.line_id: line.left
            for line in returns.find_returnable(order_id=order.pk, now=self.now).lines
            if line.left
        }
        picks = [
            Pick(line_id=pk, quantity=data.draw(st.integers(1, most)), reason="FAULTY")
            for pk, most in left.items()
        ]
        agreed = data.draw(st.booleans())
        values = {"order_id": order.pk, "picks": picks, "set_off_agreed": agreed, "now": self.now}
        preview = self.attempt(lambda: returns.preview_return(**values))
        made = self.attempt(lambda: returns.request_return(**values, actor_ref="customer"))
        assert (preview is None) == (made is None)
        if made is None:
            return
        done = self.inspect(made, {})
        shown = (
            preview.refund,
            preview.goods,
            preview.delivery,
            preview.fee,
            preview.set_off,
            preview.earlier,
        )
        booked = (
            *(done.refund_amount, done.goods_amount, done.delivery_amount),
            *(done.fee_amount, done.set_off_amount, done.earlier_amount),
        )
        assert shown == booked
        assert (preview.points_back, preview.points_taken) == (done.points_back, done.points_taken)
        account = self.account
        after = preview.after
        assert (after.pending, after.available, after.debt) == (
            account.pending,
            account.available,
            account.debt,
        )

    def inspect(self, of_return: Return, changes: dict[int, dict[str, Any]]) -> Return:
        decisions = [
            Decision(
                **{
                    "line_id": line.line_id,
                    "accepted": line.quantity,
                    "condition": Condition.AS_NEW,
                    **changes.get(line.line_id, {}),
                }
            )
            for line in of_return.lines.all()
        ]
        done = returns.inspect_return(
            return_id=of_return.pk, decisions=decisions, actor_ref="user:1", now=self.now
        )
        done.refresh_from_db()
        return done

    @rule(who=whos, data=st.data())
    def decide(self, who: int, data: st.DataObject) -> None:
        of_return = self.a_return(who)
        if of_return is None:
            return
        changes = {}
        for line in of_return.lines.all():
            if data.draw(st.booleans()):
                accepted = data.draw(st.integers(0, line.quantity))
                deduction = data.draw(st.sampled_from(["0.00", "0.00", "1.37"]))
                changes[line.line_id] = {
                    "accepted": accepted,
                    "condition": data.draw(st.sampled_from(["USED", "MISSING", "DAMAGED"])),
                    "deduction": Decimal(deduction),
                    "refusal": "as found",
                }
        done = self.attempt(lambda: self.inspect(of_return, changes))
        if done is not None and ReturnLine.objects.filter(of_return=done, deduction__gt=0).exists():
            self.kept.add(done.order_ref)

    @rule(who=whos, step=st.sampled_from(["transit", "receive", "cancel", "reject", "undo"]))
    def move(self, who: int, step: str) -> None:
        of_return = self.a_return(who)
        if of_return is None:
            return
        values: dict[str, Any] = {"return_id": of_return.pk, "actor_ref": "user:1", "now": self.now}
        act = {
            "transit": lambda: returns.mark_in_transit(**values),
            "receive": lambda: returns.receive_return(**values),
            "cancel": lambda: returns.cancel_return(**values),
            "reject": lambda: returns.reject_return(**values, reason="because"),
            "undo": lambda: returns.undo_return(**values, reason="a mistake"),
        }[step]
        self.attempt(act)

    @rule(status=st.sampled_from([RefundStatus.SUCCEEDED, RefundStatus.PENDING, RefundStatus.FAILED]))
    def the_bank_will(self, status: RefundStatus) -> None:
        Bank.next_status = status

    @rule(who=whos)
    def send(self, who: int) -> None:
        if refund := self.a_refund(who):
            self.attempt(lambda: refunds.send_refund(refund_id=refund.pk, now=self.now))

    @rule(who=whos, status=st.sampled_from([RefundStatus.SUCCEEDED, RefundStatus.FAILED]))
    def the_bank_decides(self, who: int, status: RefundStatus) -> None:
        refund = self.a_refund(who)
        seen = Bank.refunds.get(refund.gateway_id or "") if refund else None
        if refund and seen and seen.status != RefundStatus.FAILED:
            Bank.settle(seen.refund_id, status)

    @rule(who=whos)
    def hear(self, who: int) -> None:
        """News come twice, late and in any order."""
        if refund := self.a_refund(who):
            refunds.look_at_refund(refund_id=refund.pk, now=self.now)
            self.follow(refund)
            self.follow(refund)

    @rule(who=whos)
    def try_again(self, who: int) -> None:
        if refund := self.a_refund(who):
            self.attempt(lambda: refunds.retry_refund(refund_id=refund.pk, by="user:1", now=self.now))

    @rule(who=whos)
    def pay_by_hand(self, who: int) -> None:
        if refund := self.a_refund(who):
            values = {"refund_id": refund.pk, "reference": "SEPA", "by": "user:1", "now": self.now}
            self.attempt(lambda: refunds.pay_by_hand(**values))

    @rule(who=whos, cents=st.integers(1, 1500))
    def goodwill(self, who: int, cents: int) -> None:
        order = self.order(who)
        self.number += 1
        self.attempt(
            lambda: refunds.request_refund(
                order_number=order.number,
                amount=Decimal(cents) / 100,
                currency="EUR",
                cause_ref=f"goodwill:{self.number}",
                now=self.now,
            )
        )

    @rule(points=st.integers(-1500, 500).filter(bool))
    def spend_or_earn_elsewhere(self, points: int) -> None:
        self.number += 1
        entry = self.attempt(
            lambda: ledger.adjust_points(
                account_id=self.account_id,
                points=points,
                reason_code="GOODWILL",
                idempotency_key=f"elsewhere:{self.number}",
                expiry_months=12,
                unit_value=Decimal("0.01"),
                currency="EUR",
                actor_ref="test",
                now=self.now,
            )
        )
        self.beside += points if entry else 0

    @rule(days=st.sampled_from([0, 1, 13, 14, 31, 200, 370]))
    def time_passes(self, days: int) -> None:
        self.now += timedelta(days=days, minutes=1)
        settle_due_accounts(now=self.now)

    @rule()
    def cancel_the_order_that_never_left(self) -> None:
        order = self.orders[-1]
        if (
            Return.objects.filter(order_ref=order.number)
            .exclude(state__in=("CANCELLED", "REJECTED"))
            .exists()
        ):
            return
        get_model("order", "Order").objects.filter(pk=order.pk).update(status="Cancelled")
        reward_purchase(order_id=order.pk, now=self.now)

    # What always holds

    @invariant()
    def no_more_money_than_was_paid(self) -> None:
        for order in self.orders:
            rows = Refund.objects.filter(order_number=order.number)
            promised = sum((row.amount for row in rows if row.state not in VOID), Decimal(0))
            assert promised <= order.total_incl_tax
            paid_back = Bank.paid_back(f"pi_{order.number}")
            by_hand = sum(
                (row.amount for row in rows if row.method == "MANUAL" and row.state == "SUCCEEDED"),
                Decimal(0),
            )
            assert paid_back + by_hand <= order.total_incl_tax
            for line in order.lines.all():
                back = ReturnLine.objects.filter(line_id=line.pk, of_return__booked_at__isnull=False)
                assert sum(one.amount + one.deduction for one in back) <= line.line_price_incl_tax
                assert sum(one.accepted or 0 for one in back) <= line.quantity

    @invariant()
    def oscars_books_say_what_we_know(self) -> None:
        for order in self.orders:
            rows = Refund.objects.filter(
                order_number=order.number, state="SUCCEEDED", source_id__isnull=False
            )
            booked = sum((source.amount_refunded for source in order.sources.all()), Decimal(0))
            assert booked == sum((row.amount for row in rows), Decimal(0))

    @invariant()
    def the_ledger_proves_itself(self) -> None:
        assert_ledger_balanced(self.account)

    @invariant()
    def what_came_back_is_what_was_spent_and_earned(self) -> None:
        for order in self.orders:
            earned, taken, spent, back = self.sums_of(order)
            assert 0 <= taken <= earned
            assert 0 <= back <= spent

    def sums_of(self, order: Any) -> tuple[int, int, int, int]:
        """Earned, taken back of it, spent, returned of it: what was undone left out."""
        sums = dict.fromkeys(Entry.Kind.values, 0)
        for entry in Entry.objects.filter(order_ref=order.number):
            sums[entry.kind] += entry.points
        return (
            sums["EARN"],
            sums["CLAWBACK"] - sums["CLAWBACK_UNDONE"],
            sums["SPEND"],
            sums["SPEND_RETURN"] - sums["SPEND_AGAIN"],
        )

    # The end

    def bring_everything_back(self) -> None:
        Bank.next_status = RefundStatus.SUCCEEDED
        for of_return in Return.objects.filter(state__in=OPEN, booked_at=None).order_by("pk"):
            self.inspect(of_return, {})
        for order in self.orders:
            left = returns.find_returnable(order_id=order.pk, now=self.now).lines
            picks = [
                Pick(line_id=line.line_id, quantity=line.ordered - line.returned, reason="FAULTY")
                for line in left
                if line.ordered > line.returned
            ]
            values = {"order_id": order.pk, "picks": picks, "actor_ref": "customer", "now": self.now}
            made = self.attempt(lambda values=values: returns.request_return(**values, kind="WITHDRAWAL"))
            made = made or self.attempt(lambda values=values: returns.request_return(**values))
            if made is not None:
                self.inspect(made, {})
        for _round in range(2):
            for refund in Refund.objects.order_by("pk"):
                if refund.state == "FAILED":
                    self.attempt(
                        lambda pk=refund.pk: refunds.retry_refund(refund_id=pk, by="x", now=self.now)
                    )
            for refund in Refund.objects.filter(state="REQUESTED", method="CARD"):
                refunds.send_refund(refund_id=refund.pk, now=self.now)
            for seen in list(Bank.refunds.values()):
                if seen.status == RefundStatus.PENDING:
                    Bank.settle(seen.refund_id, RefundStatus.SUCCEEDED)
            for refund in Refund.objects.order_by("pk"):
                refunds.look_at_refund(refund_id=refund.pk, now=self.now)
                self.follow(refund)

    def is_all_back(self, order: Any) -> bool:
        pieces = {line.pk: line.quantity for line in order.lines.all()}
        back = ReturnLine.objects.filter(line_id__in=pieces, of_return__booked_at__isnull=False)
        return sum(one.accepted or 0 for one in back) == sum(pieces.values())

    def compare_with_a_member_without_orders(self) -> None:
        account = self.account
        assert_ledger_balanced(account)
        left = 0
        for order in self.orders:
            earned, taken, spent, back = self.sums_of(order)
            left += earned - taken - spent + back
            order.refresh_from_db()
            if order.status == "Cancelled" or (self.is_all_back(order) and order.number not in self.kept):
                assert (taken, back) == (earned, spent)
                counted = QualifyingEntry.objects.filter(order_ref=order.number)
                assert sum(entry.spend for entry in counted) == 0
                assert sum(entry.orders for entry in counted) == 0
        as_points = sum(Return.objects.values_list("credit_points", flat=True))
        forgiven = sum(Entry.objects.filter(kind="WRITE_OFF").values_list("points", flat=True)) - sum(
            Entry.objects.filter(reason_code="RETURN_UNDONE").values_list("points", flat=True)
        )
        has = account.pending + account.available + account.held - account.debt
        assert has + account.expired == self.at_start + self.beside + left + as_points + forgiven


@pytest.mark.database
@pytest.mark.timeout(0)
@pytest.mark.django_db
@pytest.mark.parametrize("spent_points", ["DEBT", "SET_OFF", "WAIVE"])
def test_no_sequence_of_returns_gives_or_takes_a_cent_or_a_point_too_much(spent_points: str) -> None:
    programme = shop.make_programme(waiting_days=10, expiry_months=18)
    version = programme.versions.get()
    TierScheme.objects.create(version=version)
    Tier.objects.create(
        version=version,
        code="silver",
        name_de="Silber",
        name_en="Silver",
        rank=1,
        entry_threshold=Decimal(150),
        keep_threshold=Decimal(100),
    )
    make_policy(
        programme,
        fee=FEE,
        fault_days=3600,
        offers_store_credit=True,
        store_credit_bonus_percent=Decimal(10),
        spent_points=spent_points,
    )
    account = shop.make_member(points=5000)
    shop.make_discount(percent=10)
    voucher = shop.make_discount(value=Decimal("7.77"), voucher_code="MINUS7")
    ReturnMachine.orders = [
        make_order(
            account.user,
            lines,
            points=points,
            voucher=voucher if has_voucher else None,
            shipping=shipping,
            delivered=delivered,
        )
        for lines, points, has_voucher, shipping, delivered in ORDERS
    ]
    ReturnMachine.account_id = account.pk
    ReturnMachine.at_start = 5000
    assert ReturnPolicy.objects.count() == 1
    examples = settings().max_examples // 3 + 1 if NIGHTLY else max(settings().max_examples // 8, 3)
    run_state_machine_as_test(
        ReturnMachine, settings=settings(stateful_step_count=40 if NIGHTLY else 25, max_examples=examples)
    )

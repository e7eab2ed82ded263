"""What holds after each step, and what is left at the end: the promises of the state machine."""

from collections import defaultdict
from contextlib import ExitStack
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.db.models import Sum
from hypothesis.stateful import invariant
from oscar.core.loading import get_model

from oscar_loyalty.flows import return_steps, return_terms, returns
from oscar_loyalty.flows.return_terms import Pick
from oscar_loyalty.payments import refunds
from oscar_loyalty.payments.gateway import RefundStatus
from oscar_loyalty.payments.queries import find_refundable
from oscar_loyalty.payments.refund_models import Refund
from oscar_loyalty.points.models import Entry
from oscar_loyalty.returns.models import Return, ReturnLine, ReturnPolicy
from oscar_loyalty.returns.states import VOID, State
from oscar_loyalty.testing.ledger import assert_ledger_balanced
from oscar_loyalty.tiers.models import QualifyingEntry

from .bank import Bank
from .machine_steps import Steps

NOTHING = Decimal(0)


class ReturnMachine(Steps):
    """A history is played in a transaction of its own, which is thrown away with it."""

    at_start = 0

    def __init__(self) -> None:
        super().__init__()
        self.has_news = True
        self.around = ExitStack()
        self.around.enter_context(transaction.atomic())
        self.around.callback(transaction.set_rollback, True)
        self.around.enter_context(connection.execute_wrapper(self.note_writing))
        self.lines = {order.pk: list(order.lines.order_by("pk")) for order in self.orders}

    def teardown(self) -> None:
        with self.around:
            self.bring_everything_back()
            self.everything_holds()
            self.everything_is_over()
            self.compare_with_a_member_without_orders()

    def note_writing(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        self.has_news = self.has_news or sql.startswith(("INSERT", "UPDATE", "DELETE"))
        return execute(sql, params, many, context)

    # What always holds

    @invariant()
    def everything_holds(self) -> None:
        """Proved anew once something was written, by whomever: a step that was refused changes nothing."""
        if not self.has_news:
            return
        self.no_more_money_than_was_paid()
        self.oscars_books_say_what_we_know()
        self.what_came_back_is_what_was_spent_and_earned()
        self.what_goes_out_before_goods_come_is_little()
        assert_ledger_balanced(self.account)
        self.has_news = False

    def no_more_money_than_was_paid(self) -> None:
        promised, by_hand = defaultdict(Decimal), defaultdict(Decimal)
        for row in Refund.objects.all():
            if row.state not in Refund.VOID:
                promised[row.order_number] += row.amount
            if row.method == "MANUAL" and row.state == "SUCCEEDED":
                by_hand[row.order_number] += row.amount
        money, pieces = defaultdict(Decimal), defaultdict(int)
        for one in ReturnLine.objects.filter(of_return__booked_at__isnull=False):
            money[one.line_id] += one.amount + one.deduction
            pieces[one.line_id] += one.accepted or 0
        for order in self.orders:
            paid_back = Bank.paid_back(f"pi_{order.number}")
            assert promised[order.number] <= order.total_incl_tax
            assert paid_back + by_hand[order.number] <= order.total_incl_tax
            for line in self.lines[order.pk]:
                assert money[line.pk] <= line.line_price_incl_tax
                assert pieces[line.pk] <= line.quantity

    def oscars_books_say_what_we_know(self) -> None:
        known = Refund.objects.filter(state="SUCCEEDED", source_id__isnull=False)
        sums = dict(known.values_list("source_id").annotate(Sum("amount")))
        sources = get_model("payment", "Source").objects.filter(order__in=self.orders)
        for source_id, amount in sources.values_list("pk", "amount_refunded"):
            assert amount == sums.get(source_id, NOTHING)

    def what_came_back_is_what_was_spent_and_earned(self) -> None:
        for earned, taken, spent, back in self.sums_by_order().values():
            assert 0 <= taken <= earned
            assert 0 <= back <= spent

    def what_goes_out_before_goods_come_is_little(self) -> None:
        """What customers keep of an order, into however many returns it is cut; and what is instant."""
        policy = ReturnPolicy.objects.get()
        booked = Return.objects.filter(booked_at__isnull=False)
        kept = booked.filter(keeps_goods=True)
        for total in kept.values("order_ref").annotate(goods=Sum("goods_amount")):
            assert total["goods"] < policy.keep_item_below
        assert not kept.filter(lines__restocked__gt=0).exists()
        assert not booked.filter(is_instant=True, goods_amount__gt=policy.instant_refund_limit).exists()

    def sums_by_order(self) -> dict[str, tuple[int, int, int, int]]:
        """Earned, taken back of it, spent, returned of it: what was undone left out."""
        sums = {order.number: dict.fromkeys(Entry.Kind.values, 0) for order in self.orders}
        entries = Entry.objects.filter(order_ref__in=sums)
        for number, kind, points in entries.values_list("order_ref", "kind").annotate(Sum("points")):
            sums[number][kind] = points
        return {
            number: (
                of["EARN"],
                of["CLAWBACK"] - of["CLAWBACK_UNDONE"],
                of["SPEND"],
                of["SPEND_RETURN"] - of["SPEND_AGAIN"],
            )
            for number, of in sums.items()
        }

    # The end

    def bring_everything_back(self) -> None:
        Bank.next_status = RefundStatus.SUCCEEDED
        for of_return in Return.objects.filter(decision="").exclude(state__in=VOID).order_by("pk"):
            self.attempt(lambda one=of_return: self.inspect(one, {}))
        for order in self.orders:
            self.return_what_is_left(order)
        # Too late for it to bring anything: nothing is left of the order.
        self.claim(0)
        for seen in list(Bank.refunds.values()):
            if seen.status == RefundStatus.PENDING:
                Bank.settle(seen.refund_id, RefundStatus.SUCCEEDED)
        for refund in Refund.objects.order_by("pk"):
            refunds.look_at_refund(refund_id=refund.pk, now=self.now)
        for refund in Refund.objects.filter(state="FAILED").order_by("pk"):
            self.attempt(lambda pk=refund.pk: refunds.retry_refund(refund_id=pk, by="x", now=self.now))
        for refund in Refund.objects.filter(state="REQUESTED", method="CARD").order_by("pk"):
            refunds.send_refund(refund_id=refund.pk, now=self.now)
        for refund in Refund.objects.order_by("pk"):
            self.follow(refund)

    def return_what_is_left(self, order: Any) -> None:
        found = return_terms.find_returnable(order_id=order.pk, now=self.now)
        picks = [
            Pick(line_id=line.line_id, quantity=line.ordered - line.returned, reason="FAULTY")
            for line in found.lines
            if line.ordered > line.returned
        ]
        if not picks:
            return
        # Before it comes it can be withdrawn from, later it may still turn out to be faulty.
        kind = "RETURN" if found.delivered_at else "WITHDRAWAL"
        values = {"order_id": order.pk, "picks": picks, "kind": kind, "actor_ref": "customer"}
        made = self.attempt(lambda: returns.request_return(**values, now=self.now))
        if made is not None:
            self.inspect(made, {})

    def everything_is_over(self) -> None:
        for of_return in Return.objects.exclude(state__in=(State.SETTLED, *VOID)):
            assert self.is_stuck(of_return)

    def is_stuck(self, of_return: Return) -> bool:
        """While its refund was failed, a part of the money went out as goodwill: there is not enough left."""
        refund = return_steps.find_refund(of_return)
        left = find_refundable(order_number=of_return.order_ref).left
        return refund is not None and refund.state == "FAILED" and refund.amount > left

    def is_all_back(self, order: Any) -> bool:
        pieces = {line.pk: line.quantity for line in self.lines[order.pk]}
        back = ReturnLine.objects.filter(line_id__in=pieces, of_return__booked_at__isnull=False)
        return sum(one.accepted or 0 for one in back) == sum(pieces.values())

    def compare_with_a_member_without_orders(self) -> None:
        account, orders = self.account, get_model("order", "Order").objects
        left = 0
        for order in self.orders:
            earned, taken, spent, back = self.sums_by_order()[order.number]
            left += earned - taken - spent + back
            # Asked anew: ``order`` itself belongs to all histories.
            is_cancelled = orders.filter(pk=order.pk, status="Cancelled").exists()
            if is_cancelled or (self.is_all_back(order) and order.number not in self.kept):
                assert (taken, back) == (earned, spent)
                counted = QualifyingEntry.objects.filter(order_ref=order.number)
                assert sum(entry.spend for entry in counted) == 0
                assert sum(entry.orders for entry in counted) == 0
                if not is_cancelled:
                    self.all_money_is_back(order)
        as_points = sum(Return.objects.values_list("credit_points", flat=True))
        forgiven = sum(Entry.objects.filter(kind="WRITE_OFF").values_list("points", flat=True)) - sum(
            Entry.objects.filter(reason_code="RETURN_UNDONE").values_list("points", flat=True)
        )
        has = account.pending + account.available + account.held - account.debt
        assert has + account.expired == self.at_start + self.beside + left + as_points + forgiven

    def all_money_is_back(self, order: Any) -> None:
        """All but what the return cost, what paid a deficit, and what was given as points."""
        rows = Refund.objects.filter(order_number=order.number).exclude(state__in=Refund.VOID)
        gone = sum((row.amount for row in rows), NOTHING)
        booked = Return.objects.filter(order_ref=order.number, booked_at__isnull=False)
        if any(self.is_stuck(one) for one in booked):
            return
        kept = sum((one.fee_amount + one.set_off_amount for one in booked), NOTHING)
        as_points = sum((one.refund_amount for one in booked if one.credit_points), NOTHING)
        assert gone + kept + as_points >= order.total_incl_tax

"""What may happen to orders and their returns, in any order: the steps of the state machine."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import hypothesis.strategies as st
from django.db import transaction
from django.utils import timezone
from hypothesis.stateful import RuleBasedStateMachine, rule
from oscar.core.loading import get_model

from oscar_loyalty.flows import claims, return_steps, return_terms, returns
from oscar_loyalty.flows.claims import ClaimRefused
from oscar_loyalty.flows.expiry import settle_due_accounts
from oscar_loyalty.flows.purchases import reward_purchase
from oscar_loyalty.flows.return_terms import Pick, ReturnRefused
from oscar_loyalty.payments import refunds
from oscar_loyalty.payments.gateway import RefundStatus
from oscar_loyalty.payments.refund_models import Refund
from oscar_loyalty.points import services as ledger
from oscar_loyalty.points.errors import InsufficientPoints
from oscar_loyalty.points.models import Account
from oscar_loyalty.returns.models import Condition, Return, ReturnLine
from oscar_loyalty.returns.services import Decision
from oscar_loyalty.shop.orders import find_guest_order

from .bank import Bank

whos = st.integers(0, 10**6)
REFUSALS = (
    *(ReturnRefused, ClaimRefused, InsufficientPoints),
    *(refunds.RefundExceedsPaid, refunds.RefundNotFailed, refunds.RefundReplaced, refunds.RefundAlreadySent),
)


class Steps(RuleBasedStateMachine):
    """Each step is one act of the customer, the desk, the bank or the shop; who may not do it is refused."""

    account_id = 0
    orders: list[Any] = []

    def __init__(self) -> None:
        super().__init__()
        Bank.refunds, Bank.by_key, Bank.next_status = {}, {}, RefundStatus.SUCCEEDED
        self.now = timezone.now()
        self.number = 0
        # What came to a member and went beside these orders.
        self.beside = 0
        # Orders of whose money something was kept because the goods were not as they had been.
        self.kept: set[str] = set()

    # Helpers

    def order(self, who: int) -> Any:
        return self.orders[who % len(self.orders)]

    def attempt(self, act: Callable[[], Any]) -> Any:
        """A refusal leaves everything as it was."""
        try:
            with transaction.atomic():
                return act()
        except REFUSALS:
            return None

    def a_return(self, who: int) -> Return | None:
        found = list(Return.objects.order_by("pk"))
        return found[who % len(found)] if found else None

    def a_refund(self, who: int) -> Refund | None:
        found = list(Refund.objects.order_by("pk"))
        return found[who % len(found)] if found else None

    def follow(self, refund: Refund) -> None:
        return_steps.follow_refund(cause_ref=refund.cause_ref, now=self.now)

    @property
    def account(self) -> Account:
        return Account.objects.get(pk=self.account_id)

    # Steps

    @rule(who=whos, data=st.data(), fault=st.booleans(), credit=st.booleans(), early=st.booleans())
    def ask(self, who: int, data: st.DataObject, fault: bool, credit: bool, early: bool) -> None:
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
                kind="WITHDRAWAL" if early else "RETURN",
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
        returnable = return_terms.find_returnable(order_id=order.pk, now=self.now)
        left = {line.line_id: line.left for line in returnable.lines if line.left}
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
        account, after = self.account, preview.after
        if returnable.user_id == account.member.user_id:
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
        done = return_steps.inspect_return(
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

    @rule(who=whos, step=st.sampled_from(["transit", "receive", "late", "cancel", "reject", "undo"]))
    def move(self, who: int, step: str) -> None:
        of_return = self.a_return(who)
        if of_return is None:
            return
        values: dict[str, Any] = {"return_id": of_return.pk, "actor_ref": "user:1", "now": self.now}
        act = {
            "transit": lambda: return_steps.mark_in_transit(**values),
            "receive": lambda: return_steps.receive_return(**values),
            "late": lambda: return_steps.receive_late(**values, reason="here at last"),
            "cancel": lambda: returns.cancel_return(**values),
            "reject": lambda: return_steps.reject_return(**values, reason="because"),
            "undo": lambda: return_steps.undo_return(**values, reason="a mistake"),
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

    @rule(who=whos)
    def cancel_an_order_that_never_left(self, who: int) -> None:
        """Also after a part of it, or all, was withdrawn from."""
        orders = [order for order in self.orders if order.status == "Pending"]
        order = orders[who % len(orders)]
        get_model("order", "Order").objects.filter(pk=order.pk).update(status="Cancelled")
        reward_purchase(order_id=order.pk, now=self.now)

    @rule(who=whos)
    def open_it_again(self, who: int) -> None:
        order = self.order(who)
        get_model("order", "Order").objects.filter(pk=order.pk, status="Cancelled").update(status="Pending")
        reward_purchase(order_id=order.pk, now=self.now)

    @rule(who=whos)
    def claim(self, who: int) -> None:
        """A guest's order becomes a member's: before, between and after its returns."""
        guests = [order for order in self.orders if order.user_id is None]
        token = claims.make_token(guest_order=find_guest_order(order_id=guests[who % len(guests)].pk))
        user_id = self.account.member.user_id
        self.attempt(lambda: claims.claim_by_token(token=token, user_id=user_id, now=self.now))

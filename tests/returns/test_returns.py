"""Requested → received → accepted → refunded and settled: money, points, tier and stock."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone
from oscar.core.loading import get_model

from oscar_loyalty.earning.models import EarningRule, WaitingOrder
from oscar_loyalty.flows import claims, return_labels, return_steps, return_terms, returns
from oscar_loyalty.flows.backfill import Terms, backfill
from oscar_loyalty.flows.membership import join_programme
from oscar_loyalty.flows.purchases import reward_purchase
from oscar_loyalty.flows.return_desk import UNDO, find_actions
from oscar_loyalty.flows.return_desk_wording import say_undoing
from oscar_loyalty.flows.return_terms import Pick, ReturnRefused
from oscar_loyalty.members.models import Member
from oscar_loyalty.members.services import merge_members
from oscar_loyalty.payments.gateway import RefundStatus
from oscar_loyalty.payments.queries import find_refundable
from oscar_loyalty.payments.refund_models import Refund
from oscar_loyalty.payments.refunds import finish_refunds
from oscar_loyalty.points.models import Entry
from oscar_loyalty.points.queries import sum_left_of_spend
from oscar_loyalty.points.services import merge_accounts
from oscar_loyalty.programmes.models import Programme, ProgrammeVersion
from oscar_loyalty.returns import desk_queries, queries
from oscar_loyalty.returns.models import Condition, Return, SpentPoints
from oscar_loyalty.returns.services import Decision, DecisionInvalid
from oscar_loyalty.returns.states import State
from oscar_loyalty.shop.orders import Period, find_guest_order, list_missed_order_ids
from oscar_loyalty.testing.ledger import assert_ledger_balanced
from oscar_loyalty.tiers.models import OrderPerks, PerkUse, QualifyingEntry, TierStatus
from tests.shop import world as shop

from .bank import Bank
from .world import accept, ask, make_order, make_policy, make_tier, pick_all, refunds_of, relay, state_of

pytestmark = pytest.mark.django_db
D = Decimal


@pytest.fixture(autouse=True)
def commits(django_capture_on_commit_callbacks):
    """What happens after commit happens at the end of each block."""
    with django_capture_on_commit_callbacks(execute=True):
        yield


def settled(of_return):
    """Everything that follows: the refund is sent, and its news is relayed."""
    for refund in Refund.objects.filter(state="REQUESTED", method="CARD"):
        from oscar_loyalty.payments.refunds import send_refund

        send_refund(refund_id=refund.pk, now=timezone.now())
    relay()
    of_return.refresh_from_db()
    return of_return


def test_a_whole_order_comes_back_and_leaves_no_trace(account):
    before = state_of(account)
    order = make_order(account.user, (("30.00", 3, 19), ("20.00", 1, 7)), points=500)
    assert state_of(account) == (0, 500 + 105, 0)
    done = settled(accept(ask(order)))
    assert done.state == State.SETTLED
    assert (done.goods_amount, done.delivery_amount) == (D("105.00"), D("4.90"))
    assert done.refund_amount == order.total_incl_tax == D("109.90")
    assert (done.points_back, done.points_taken) == (500, 105)
    assert state_of(account) == before
    assert Bank.paid_back(f"pi_{order.number}") == D("109.90")
    source = order.sources.get()
    assert source.amount_refunded == D("109.90")


def test_a_preview_is_what_will_be_booked_and_keeps_nothing(account):
    order = make_order(account.user, (("30.00", 3, 19), ("20.00", 1, 7)), points=500)
    line = order.lines.order_by("pk").first()
    picks = [Pick(line_id=line.pk, quantity=2)]
    before = state_of(account)
    preview = returns.preview_return(order_id=order.pk, picks=picks, now=timezone.now())
    assert state_of(account) == before
    assert not Return.objects.exists()
    assert not Refund.objects.exists()
    done = settled(accept(ask(order, picks)))
    assert preview.refund == done.refund_amount > 0
    assert (preview.points_back, preview.points_taken) == (done.points_back, done.points_taken)
    assert (preview.after.pending, preview.after.available, preview.after.debt) == state_of(account)


def test_pieces_one_by_one_end_where_all_at_once_do(account):
    before = state_of(account)
    order = make_order(account.user, (("10.01", 3, 19), ("20.00", 2, 7)), points=333)
    money = D(0)
    for line in order.lines.order_by("pk"):
        for _piece in range(line.quantity):
            done = settled(accept(ask(order, [Pick(line_id=line.pk, quantity=1)])))
            money += done.refund_amount
    assert money == order.total_incl_tax
    assert state_of(account) == before
    with pytest.raises(ReturnRefused, match="all_returned"):
        ask(order)


def test_more_than_is_left_cannot_be_asked_for_while_another_return_is_open(account):
    order = make_order(account.user, (("10.00", 3, 19),))
    line = order.lines.get()
    ask(order, [Pick(line_id=line.pk, quantity=2)])
    with pytest.raises(ReturnRefused, match="too_many"):
        ask(order, [Pick(line_id=line.pk, quantity=2)])
    assert ask(order, [Pick(line_id=line.pk, quantity=1)]).state == State.REQUESTED


def test_the_same_request_twice_is_one_return(account):
    order = make_order(account.user, (("10.00", 3, 19),))
    one, two = (ask(order, idempotency_key="k1") for _ in range(2))
    assert one == two
    other = make_order(account.user)
    with pytest.raises(ReturnRefused, match="key_reused"):
        ask(other, idempotency_key="k1")


@pytest.mark.parametrize("quantity", [0, -1, True, 1.0])
def test_what_is_no_number_of_pieces_is_refused(account, quantity):
    order = make_order(account.user)
    with pytest.raises(ReturnRefused, match="nothing_chosen"):
        ask(order, [Pick(line_id=order.lines.get().pk, quantity=quantity)])


def test_what_has_not_arrived_can_be_withdrawn_from_and_not_returned(account):
    order = make_order(account.user, delivered=False)
    with pytest.raises(ReturnRefused, match="not_delivered"):
        ask(order)
    assert ask(order, kind="WITHDRAWAL").kind == "WITHDRAWAL"


def test_time_runs_out_for_everything_but_faults(account, policy):
    order = make_order(account.user)
    later = timezone.now() + timedelta(days=45)
    with pytest.raises(ReturnRefused, match="too_late"):
        ask(order, now=later)
    faulty = pick_all(order, reason="FAULTY")
    assert ask(order, faulty, now=later).free_because == "FAULT"
    other = make_order(account.user)
    with pytest.raises(ReturnRefused, match="too_late"):
        ask(other, pick_all(other, reason="FAULTY"), now=later + timedelta(days=800))


def test_the_fee_is_taken_off_and_never_more_than_there_is(account, programme):
    make_policy(programme, fee=D("4.95"), active_from=timezone.now() - timedelta(days=1))
    order = make_order(account.user, (("30.00", 2, 19), ("2.00", 1, 19)))
    dear, cheap = order.lines.order_by("pk")
    done = accept(ask(order, [Pick(line_id=dear.pk, quantity=1)]))
    assert (done.goods_amount, done.fee_amount, done.refund_amount) == (D("30.00"), D("4.95"), D("25.05"))
    done = accept(ask(order, [Pick(line_id=cheap.pk, quantity=1)]))
    assert (done.fee_amount, done.refund_amount) == (D("2.00"), D("0.00"))
    assert settled(done).state == State.SETTLED
    free = ask(order, [Pick(line_id=dear.pk, quantity=1, reason="WRONG_ITEM")])
    assert (free.fee, free.free_because) == (0, "FAULT")


def test_an_order_paid_by_points_alone_brings_points_alone(account):
    order = make_order(account.user, (("5.00", 2, 19),), points=1000, shipping="0.00")
    assert order.total_incl_tax == 0
    done = settled(accept(ask(order)))
    assert (done.refund_amount, done.points_back, done.state) == (0, 1000, State.SETTLED)
    assert state_of(account) == (0, 1000, 0)
    assert not refunds_of(order)


@pytest.mark.parametrize(
    ("how", "agreed", "debt", "set_off"),
    [
        (SpentPoints.DEBT, False, 100, "0.00"),
        (SpentPoints.WAIVE, False, 0, "0.00"),
        (SpentPoints.SET_OFF, True, 0, "1.00"),
        (SpentPoints.SET_OFF, False, 100, "0.00"),
    ],
)
def test_points_that_are_spent_already(account, policy, how, agreed, debt, set_off):
    type(policy).objects.update(spent_points=how)
    order = make_order(account.user, (("100.00", 1, 19),))
    shop.give_points(account, -1100)
    done = settled(accept(ask(order, set_off_agreed=agreed)))
    assert state_of(account) == (0, 0, debt)
    assert done.set_off_amount == D(set_off)
    assert done.refund_amount == D("104.90") - D(set_off)


def test_a_deduction_for_loss_of_value_leaves_its_points(account):
    order = make_order(account.user, (("100.00", 1, 19),), shipping="0.00")
    done = accept(ask(order), deduction=D("25.00"), condition=Condition.USED, refusal="worn")
    assert (done.refund_amount, done.points_taken) == (D("75.00"), 75)
    assert done.state in (State.PARTLY_ACCEPTED, State.SETTLED)


def test_a_part_is_accepted_with_a_reason(account):
    order = make_order(account.user, (("10.00", 3, 19),))
    of_return = ask(order)
    line = order.lines.get()
    with pytest.raises(DecisionInvalid, match="reason_missing"):
        accept(of_return, accepted=1)
    with pytest.raises(DecisionInvalid, match="too_many"):
        accept(of_return, accepted=4)
    with pytest.raises(DecisionInvalid, match="line_missing"):
        return_steps.inspect_return(
            return_id=of_return.pk, decisions=[], actor_ref="user:1", now=timezone.now()
        )
    done = settled(accept(of_return, accepted=1, condition=Condition.MISSING, refusal="two are missing"))
    assert done.refund_amount == D("10.00")
    assert done.decision == State.PARTLY_ACCEPTED
    # What was not in the parcel may still come.
    assert ask(order, [Pick(line_id=line.pk, quantity=2)])


def test_nothing_accepted_is_a_rejection_and_moves_nothing(account):
    order = make_order(account.user)
    before = state_of(account)
    done = accept(ask(order), accepted=0, condition=Condition.USED, refusal="not ours")
    assert done.state == State.REJECTED
    assert state_of(account) == before
    assert not refunds_of(order)


def test_a_customer_may_think_again_until_the_parcel_is_there(account):
    order = make_order(account.user)
    of_return = ask(order)
    for _ in range(2):
        done = returns.cancel_return(return_id=of_return.pk, actor_ref="customer", now=timezone.now())
        assert done.state == State.CANCELLED
    again = ask(order)
    return_steps.receive_return(return_id=again.pk, actor_ref="user:1", now=timezone.now())
    with pytest.raises(ReturnRefused, match="wrong_state"):
        returns.cancel_return(return_id=again.pk, actor_ref="customer", now=timezone.now())


def test_a_refund_that_the_bank_sends_back_leaves_the_return_open_and_counts_again_when_paid(account):
    order = make_order(account.user)
    done = settled(accept(ask(order)))
    refund = refunds_of(order)[0]
    Bank.settle(refund.gateway_id, RefundStatus.FAILED)
    from oscar_loyalty.payments.refunds import look_at_refund, pay_by_hand

    look_at_refund(refund_id=refund.pk, now=timezone.now())
    done = settled(done)
    assert done.state == State.INSPECTED
    assert done.events.filter(code="REFUND_FAILED").count() == 1
    pay_by_hand(refund_id=refund.pk, reference="SEPA 1", by="user:1", now=timezone.now())
    assert settled(done).state == State.SETTLED
    assert order.sources.get().amount_refunded == order.total_incl_tax


def test_a_decision_can_be_undone_while_no_money_has_gone_out(account):
    order = make_order(account.user, (("30.00", 3, 19),), points=500)
    before = state_of(account)
    Bank.next_status = RefundStatus.FAILED
    done = settled(accept(ask(order)))
    assert done.events.filter(code="REFUND_FAILED").exists()
    undone = return_steps.undo_return(
        return_id=done.pk, reason="wrong parcel", actor_ref="user:1", now=timezone.now()
    )
    assert undone.state == State.CANCELLED
    assert state_of(account) == before
    # Nobody can send that money any more, whichever page they look at.
    assert [refund.state for refund in refunds_of(order)] == ["CANCELLED"]
    # And it can come back again, to the same numbers.
    Bank.next_status = RefundStatus.SUCCEEDED
    again = settled(accept(ask(order)))
    assert (again.points_back, again.points_taken) == (500, 85)
    assert again.refund_amount == order.total_incl_tax


def test_what_was_undone_is_not_decided_again_whatever_became_of_its_pieces(account):
    order = make_order(account.user, (("30.00", 2, 19),))
    Bank.next_status = RefundStatus.FAILED
    undone = undo(settled(accept(ask(order))))
    accept(ask(order, [Pick(line_id=order.lines.get().pk, quantity=1)]))
    with pytest.raises(ReturnRefused, match="wrong_state"):
        accept(undone)
    assert Return.objects.get(pk=undone.pk).state == State.CANCELLED


def test_what_may_have_been_paid_out_cannot_be_undone(account):
    Bank.next_status = RefundStatus.FAILED
    order = make_order(account.user)
    done = settled(accept(ask(order)))
    type(refunds_of(order)[0]).objects.update(failure_code="mismatch_state")
    with pytest.raises(ReturnRefused, match="refund_under_way"):
        return_steps.undo_return(return_id=done.pk, reason="x", actor_ref="user:1", now=timezone.now())


def test_what_has_been_paid_out_cannot_be_undone(account):
    done = settled(accept(ask(make_order(account.user))))
    with pytest.raises(ReturnRefused, match="refund_under_way"):
        return_steps.undo_return(return_id=done.pk, reason="x", actor_ref="user:1", now=timezone.now())


def test_store_credit_with_a_bonus_instead_of_money(account, policy):
    type(policy).objects.update(offers_store_credit=True, store_credit_bonus_percent=D(10))
    order = make_order(account.user, (("20.00", 1, 19),), shipping="0.00")
    done = settled(accept(ask(order, refund_to="STORE_CREDIT")))
    assert (done.credit_points, done.state) == (2200, State.SETTLED)
    assert state_of(account) == (0, 3200, 0)
    assert not refunds_of(order)


def undo(of_return):
    return return_steps.undo_return(
        return_id=of_return.pk, reason="x", actor_ref="user:1", now=timezone.now()
    )


def looks_of(account, order):
    """Everything that a return touches and its undoing brings back."""
    account.refresh_from_db()
    records = get_model("partner", "StockRecord").objects.filter(line__order=order).distinct()
    counted = QualifyingEntry.objects.filter(order_ref=order.number)
    return {
        "points": state_of(account),
        "tier": TierStatus.objects.values_list("tier_code", "qualified").get(),
        "counts": [sum(getattr(one, name) for one in counted) for name in ("points", "spend", "orders")],
        "stock": sorted(records.values_list("pk", "num_in_stock", "num_allocated")),
        "allocated": sorted(order.lines.values_list("pk", "num_allocated", "allocation_cancelled")),
        "refundable": find_refundable(order_number=order.number).left,
        "left": [
            line.left for line in return_terms.find_returnable(order_id=order.pk, now=timezone.now()).lines
        ],
        "as_points": queries.sum_not_paid_out(order_ref=order.number),
    }


@pytest.mark.parametrize("how", [SpentPoints.DEBT, SpentPoints.WAIVE, SpentPoints.SET_OFF])
@pytest.mark.parametrize("spent", [0, 1030])
@pytest.mark.parametrize("sent", [True, False])
def test_store_credit_is_taken_back_when_its_return_is_undone(account, programme, policy, how, spent, sent):
    make_tier(programme)
    type(policy).objects.update(
        offers_store_credit=True, store_credit_bonus_percent=D(10), spent_points=how, refunds_delivery=False
    )
    order = make_order(account.user, (("20.00", 2, 19),), points=500)
    if sent:
        line = order.lines.get()
        line.consume_allocation(2)
    if spent:
        shop.give_points(account, -535)
    before = looks_of(account, order)
    done = settled(accept(ask(order, refund_to="STORE_CREDIT", set_off_agreed=True)))
    assert (done.state, done.credit_points > 3500) == (State.SETTLED, True)
    assert looks_of(account, order) != before
    undone = undo(done)
    assert (undone.state, undone.credit_points, undone.settled_at) == (State.CANCELLED, 0, None)
    assert undo(done).state == State.CANCELLED
    assert looks_of(account, order) == before
    again = settled(accept(ask(order)))
    assert (again.refund_amount, again.points_back) == (D("35.00"), 500)


def test_store_credit_that_is_spent_is_owed_when_its_return_is_undone(account, policy):
    type(policy).objects.update(offers_store_credit=True)
    order = make_order(account.user, (("20.00", 1, 19),), shipping="0.00")
    done = settled(accept(ask(order, refund_to="STORE_CREDIT")))
    assert state_of(account) == (0, 3000, 0)
    shop.give_points(account, -2500)
    account.refresh_from_db()
    assert "2,000 points that were given instead of money are taken back" in say_undoing(done)[0]
    undo(done)
    # 500 were left, and 20 that the order had earned are theirs again.
    assert state_of(account) == (0, 0, 1480)
    shop.give_points(account, 1500)
    assert state_of(account) == (0, 20, 0)


def test_store_credit_follows_its_member_into_another_account(account, policy):
    type(policy).objects.update(offers_store_credit=True)
    order = make_order(account.user, (("20.00", 1, 19),), shipping="0.00")
    done = settled(accept(ask(order, refund_to="STORE_CREDIT")))
    other = shop.make_member(points=10)
    merge_accounts(
        source_id=account.pk, target_id=other.pk, idempotency_key="m", actor_ref="user:1", now=timezone.now()
    )
    merge_members(source_id=account.member_id, target_id=other.member_id, now=timezone.now())
    other.refresh_from_db()
    assert state_of(other) == (0, 3010, 0)
    undo(done)
    assert state_of(other) == (0, 1030, 0)


def test_a_return_of_points_alone_can_be_undone(account, programme):
    make_tier(programme)
    order = make_order(account.user, (("5.00", 2, 19),), points=1000, shipping="0.00")
    before = looks_of(account, order)
    done = settled(accept(ask(order)))
    assert (done.state, done.points_back) == (State.SETTLED, 1000)
    assert UNDO in find_actions(done, refund=None)
    undo(done)
    assert looks_of(account, order) == before
    assert settled(accept(ask(order))).points_back == 1000


def test_an_order_paid_by_points_counts_as_one_until_all_of_it_is_back(account, programme):
    make_tier(programme)
    order = make_order(account.user, (("5.00", 2, 19),), points=1000, shipping="0.00")
    line = order.lines.get()
    for left in (1, 0):
        settled(accept(ask(order, [Pick(line_id=line.pk, quantity=1)])))
        assert looks_of(account, order)["counts"] == [0, 0, left]


def test_a_rule_that_waited_for_the_payment_waits_again_when_the_return_is_undone(account, programme):
    # How an order is paid is known a quarter of an hour after it was placed.
    programme.versions.update(spendable_status="")
    EarningRule.objects.create(
        version=programme.versions.get(),
        code="card",
        name="card",
        kind="BONUS",
        parameters={"points": 15, "per": "ORDER"},
        conditions={"payment_methods": ["card"]},
    )
    order = make_order(account.user, (("5.00", 2, 19),), shipping="0.00")
    line = order.lines.get()
    Bank.next_status = RefundStatus.FAILED
    first, last = (settled(accept(ask(order, [Pick(line_id=line.pk, quantity=1)]))) for _piece in range(2))
    later = timezone.now() + timedelta(hours=1)
    reward_purchase(order_id=order.pk, now=later)
    assert state_of(account) == (0, 1000, 0)
    # Whichever it is of several, something is with the customer again.
    undo(first)
    assert order.pk in list(list_missed_order_ids(placed_after=later))
    reward_purchase(order_id=order.pk, now=later)
    assert not WaitingOrder.objects.exists()
    account.refresh_from_db()
    assert state_of(account) == (0, 1013, 0)
    undo(last)
    account.refresh_from_db()
    assert state_of(account) == (0, 1025, 0)


def test_perks_that_an_order_used_are_used_again_when_its_return_is_undone(account, programme):
    order, other = make_order(account.user), make_order(account.user)
    for one in (order, other):
        PerkUse.objects.create(
            programme=programme,
            member_id=account.member_id,
            kind="FREE_SHIPPING",
            order_ref=one.number,
            saved=D("4.90"),
            currency="EUR",
            used_at=timezone.now(),
        )
    Bank.next_status = RefundStatus.FAILED
    done = settled(accept(ask(order)))
    in_use = PerkUse.objects.filter(undone_at=None)
    assert list(in_use.values_list("order_ref", flat=True)) == [other.number]
    undo(done)
    assert in_use.count() == 2


def test_what_the_carrier_has_and_brought_points_alone_can_be_undone(account, policy):
    order = make_order(account.user, (("5.00", 1, 19),), points=500, shipping="0.00")
    before = state_of(account)
    freeze(order, ("INSTANT_REFUND", {}))
    made = return_steps.mark_in_transit(return_id=ask(order).pk, actor_ref="carrier", now=timezone.now())
    assert made.state == State.REFUNDED
    assert (undo(made).state, state_of(account)) == (State.CANCELLED, before)


def test_store_credit_is_for_members_of_shops_that_offer_it(account):
    with pytest.raises(ReturnRefused, match="store_credit_not_offered"):
        ask(make_order(account.user), refund_to="STORE_CREDIT")


def test_what_is_worth_little_stays_with_the_customer(account, policy):
    type(policy).objects.update(keep_item_below=D("10.00"))
    order = make_order(account.user, (("9.99", 1, 19), ("50.00", 1, 19)))
    cheap = order.lines.order_by("pk").first()
    stock = cheap.stockrecord.num_in_stock
    kept = settled(ask(order, [Pick(line_id=cheap.pk, quantity=1)]))
    assert (kept.keeps_goods, kept.state, kept.refund_amount) == (True, State.SETTLED, D("9.99"))
    cheap.stockrecord.refresh_from_db()
    assert cheap.stockrecord.num_in_stock == stock


def test_stock_goes_back_by_condition(account):
    order = make_order(account.user, (("10.00", 2, 19), ("20.00", 1, 19)))
    good, bad = order.lines.order_by("pk")
    for line in (good, bad):
        line.consume_allocation(line.quantity)
    stock = {
        line.pk: get_model("partner", "StockRecord").objects.get(pk=line.stockrecord_id)
        for line in (good, bad)
    }
    of_return = ask(order)
    return_steps.inspect_return(
        return_id=of_return.pk,
        decisions=[
            Decision(line_id=good.pk, accepted=2, condition=Condition.AS_NEW),
            Decision(line_id=bad.pk, accepted=1, condition=Condition.DAMAGED),
        ],
        actor_ref="user:1",
        now=timezone.now(),
    )
    for line, more in ((good, 2), (bad, 0)):
        record = stock[line.pk]
        before = record.num_in_stock
        record.refresh_from_db()
        assert record.num_in_stock == before + more
    event = order.shipping_events.get(event_type__code="returned")
    assert sum(event.line_quantities.values_list("quantity", flat=True)) == 3


def test_goodwill_that_was_paid_before_is_not_paid_again(account):
    from oscar_loyalty.payments.refunds import request_refund

    order = make_order(account.user, (("50.00", 1, 19),), shipping="0.00")
    request_refund(
        order_number=order.number,
        amount=D("10.00"),
        currency="EUR",
        cause_ref="goodwill:1",
        now=timezone.now(),
    )
    done = settled(accept(ask(order)))
    assert (done.earlier_amount, done.refund_amount) == (D("10.00"), D("40.00"))
    assert Bank.paid_back(f"pi_{order.number}") == D("50.00")


def test_a_cancelled_order_has_nothing_to_return(account):
    order = make_order(account.user, delivered=False)
    order.set_status("Cancelled")
    with pytest.raises(ReturnRefused, match="order_cancelled"):
        ask(order, kind="WITHDRAWAL")


def test_a_strangers_order_without_a_programme_comes_back_too(guest):
    order = make_order(guest)
    done = settled(accept(ask(order)))
    assert (done.state, done.refund_amount, done.points_taken) == (State.SETTLED, order.total_incl_tax, 0)


def test_refunds_are_finished_by_the_sweep(account):
    order = make_order(account.user)
    done = accept(ask(order))
    finish_refunds(now=timezone.now() + timedelta(hours=1), limit=10)
    relay(timezone.now() + timedelta(hours=2))
    done.refresh_from_db()
    assert done.state == State.SETTLED


def freeze(order, *perks):
    OrderPerks.objects.create(
        programme=Programme.objects.get(),
        member=Member.objects.get(user=order.user),
        order_ref=order.number,
        version_number=1,
        perks=[{"kind": kind, "parameters": details, "source": "tier:gold"} for kind, details in perks],
        frozen_at=timezone.now(),
    )


def test_what_was_promised_with_the_order_holds_although_the_tier_is_gone(account, policy):
    type(policy).objects.update(fee=D("4.95"))
    order = make_order(account.user)
    freeze(order, ("FREE_RETURNS", {}), ("RETURN_WINDOW", {"days": 100}))
    offered = return_terms.find_returnable(order_id=order.pk, now=timezone.now() + timedelta(days=90))
    assert (offered.window_days, offered.fee, offered.free_because) == (100, 0, "PERK")
    assert offered.lines[0].left == 1
    assert not offered.lines[0].only_faults


def test_who_is_trusted_has_the_money_when_the_carrier_has_the_parcel(account, policy):
    type(policy).objects.update(instant_refund_limit=D("50.00"))
    cheap, dear = make_order(account.user), make_order(account.user, (("60.00", 1, 19),))
    for order in (cheap, dear):
        freeze(order, ("INSTANT_REFUND", {}))
    one = return_steps.mark_in_transit(return_id=ask(cheap).pk, actor_ref="carrier", now=timezone.now())
    one = settled(one)
    assert (one.is_instant, one.state) == (True, State.REFUNDED)
    assert one.refund_amount == D("34.90")
    return_steps.receive_return(return_id=one.pk, actor_ref="user:1", now=timezone.now())
    done = accept(one)
    assert (done.state, done.decision) == (State.SETTLED, State.INSPECTED)
    assert len(refunds_of(cheap)) == 1
    other = return_steps.mark_in_transit(return_id=ask(dear).pk, actor_ref="carrier", now=timezone.now())
    assert (other.is_instant, other.state) == (False, State.IN_TRANSIT)


def test_the_preview_says_whether_the_money_comes_at_once(account, policy):
    type(policy).objects.update(instant_refund_limit=D("50.00"))
    order = make_order(account.user, (("30.00", 3, 19),))
    freeze(order, ("INSTANT_REFUND", {}))
    values = {"order_id": order.pk, "now": timezone.now()}
    line = order.lines.get()
    some = [Pick(line_id=line.pk, quantity=1)]
    assert returns.preview_return(picks=some, **values).is_instant
    assert not returns.preview_return(picks=pick_all(order), **values).is_instant


def test_less_in_the_parcel_than_was_refunded_is_told_to_staff_and_not_taken(account):
    order = make_order(account.user, (("10.00", 2, 19),))
    freeze(order, ("INSTANT_REFUND", {}))
    one = settled(
        return_steps.mark_in_transit(return_id=ask(order).pk, actor_ref="carrier", now=timezone.now())
    )
    before = state_of(account)
    done = accept(one, accepted=1, condition=Condition.MISSING, refusal="one is missing")
    assert done.events.filter(code="SHORT_AFTER_REFUND", reason="one is missing").exists()
    assert state_of(account) == before
    assert done.refund_amount == order.total_incl_tax


def test_the_order_that_lifted_a_member_comes_back_and_the_preview_says_so(account, programme):
    make_tier(programme, entry=100, keep=80)
    order = make_order(account.user, (("60.00", 2, 19),))
    line = order.lines.get()
    picks = [Pick(line_id=line.pk, quantity=1)]
    preview = returns.preview_return(order_id=order.pk, picks=picks, now=timezone.now())
    assert (preview.before.tier_code, preview.after.tier_code) == ("silver", "")
    accept(ask(order, picks))
    assert TierStatus.objects.get(member=account.member).tier_code == ""
    assert sum(QualifyingEntry.objects.values_list("spend", flat=True)) == D("60.00")


def test_order_and_return_are_read_by_the_number_of_the_return(account):
    made = ask(make_order(account.user))
    assert queries.find_return(number=f" {made.number.lower()} ") == made
    assert len(made.number) == 10
    assert not set(made.number[1:]) & set("ILOU")


def test_of_three_returns_the_first_is_undone_and_comes_again_at_last(account):
    before = state_of(account)
    order = make_order(account.user, (("10.00", 3, 19),), points=100, shipping="0.00")
    line = order.lines.get()
    Bank.next_status = RefundStatus.FAILED
    first = settled(accept(ask(order, [Pick(line_id=line.pk, quantity=1)])))
    Bank.next_status = RefundStatus.SUCCEEDED
    others = [settled(accept(ask(order, [Pick(line_id=line.pk, quantity=1)]))) for _ in range(2)]
    return_steps.undo_return(return_id=first.pk, reason="a mistake", actor_ref="user:1", now=timezone.now())
    again = settled(accept(ask(order, [Pick(line_id=line.pk, quantity=1)])))
    assert sum(one.points_back for one in (*others, again)) == 100
    assert sum(one.refund_amount for one in (*others, again)) == order.total_incl_tax
    assert state_of(account) == before


def test_what_is_kept_is_little_of_the_whole_order(account, policy):
    """However many returns it is cut into."""
    type(policy).objects.update(keep_item_below=D("10.00"))
    order = make_order(account.user, (("6.00", 8, 19),))
    line = order.lines.get()
    kept = [ask(order, [Pick(line_id=line.pk, quantity=1)]).keeps_goods for _ in range(4)]
    assert kept == [True, False, False, False]
    early = make_order(account.user, (("6.00", 1, 19),), delivered=False)
    assert not ask(early, kind="WITHDRAWAL").keeps_goods


def test_who_joins_after_everything_came_back_earns_nothing(guest, programme):
    order = make_order(guest, (("30.00", 2, 19),))
    accept(ask(order))
    account = join_programme(user_id=guest.pk, now=timezone.now())
    reward_purchase(order_id=order.pk, now=timezone.now())
    assert Entry.objects.filter(order_ref=order.number, kind="EARN").exists()
    assert state_of(account) == (0, 0, 0)
    reward_purchase(order_id=order.pk, now=timezone.now())
    assert state_of(account) == (0, 0, 0)


def test_a_claim_tells_and_brings_what_is_left_of_the_order(programme, account):
    order = make_order(None, (("30.00", 3, 19), ("9.99", 1, 7)))
    line = order.lines.order_by("pk").first()
    first = ask(order, [Pick(line_id=line.pk, quantity=1)])
    whole = claims.find_waiting_points(order_id=order.pk, now=timezone.now())
    accept(first)
    left = claims.find_waiting_points(order_id=order.pk, now=timezone.now())
    assert (whole.points, left.points, left.value) == (99, 69, Decimal("0.69"))
    token = claims.make_token(guest_order=find_guest_order(order_id=order.pk))
    claimed = claims.claim_by_token(token=token, user_id=account.member.user_id, now=timezone.now())
    assert (claimed.points, claimed.value) == (69, Decimal("0.69"))
    assert state_of(account) == (0, 1069, 0)


def test_nothing_is_left_to_claim_of_an_order_that_came_back(programme):
    order = make_order(None)
    accept(ask(order))
    assert claims.find_waiting_points(order_id=order.pk, now=timezone.now()) is None


def test_past_orders_booked_in_bulk_bring_no_points_for_what_came_back(guest, programme):
    order = make_order(guest, (("30.00", 3, 19),))
    accept(ask(order, [Pick(line_id=order.lines.get().pk, quantity=1)]))
    ProgrammeVersion.objects.update(claim_days=0)
    account = join_programme(user_id=guest.pk, now=timezone.now())
    today = Period(since=order.date_placed, until=order.date_placed + timedelta(seconds=1))
    for points in ([90], [0]):
        done = list(backfill(period=today, terms=Terms(), now=timezone.now()))
        assert [outcome.points for batch in done for outcome in batch] == points
        assert state_of(account) == (0, 60, 0)


def test_what_was_taken_late_is_given_again_when_the_return_is_undone(guest, programme):
    order = make_order(guest, (("30.00", 3, 19),))
    line = order.lines.get()
    Bank.next_status = RefundStatus.FAILED
    done = settled(accept(ask(order, [Pick(line_id=line.pk, quantity=1)])))
    account = join_programme(user_id=guest.pk, now=timezone.now())
    reward_purchase(order_id=order.pk, now=timezone.now())
    assert state_of(account) == (0, 60, 0)
    return_steps.undo_return(return_id=done.pk, reason="x", actor_ref="user:1", now=timezone.now())
    assert state_of(account) == (0, 90, 0)


def test_a_return_inspected_while_its_order_was_cancelled_gives_spent_points_back_when_it_opens(
    account,
):
    before = state_of(account)
    order = make_order(account.user, (("30.00", 2, 19),), points=101)
    one = [Pick(line_id=order.lines.get().pk, quantity=1)]
    begun = ask(order, one)

    def turn(status):
        type(order).objects.filter(pk=order.pk).update(status=status)
        reward_purchase(order_id=order.pk, now=timezone.now())
        assert_ledger_balanced(account)
        return sum_left_of_spend(spent=Entry.objects.get(order_ref=order.number, kind="SPEND"))

    assert turn("Cancelled") == 0
    Bank.next_status = RefundStatus.FAILED
    done = settled(accept(begun))
    assert (done.points_back, state_of(account)) == (0, before)
    assert [turn(status) for status in ("Complete", "Cancelled", "Complete")] == [51, 0, 51]
    undo(done)
    assert turn("Complete") == 101
    for _ in range(2):
        settled(accept(ask(order, one)))
    assert state_of(account) == before


def test_a_return_of_a_cancelled_order_cannot_be_undone(account):
    order = make_order(account.user, (("30.00", 2, 19),), points=100)
    line = order.lines.get()
    Bank.next_status = RefundStatus.FAILED
    done = settled(accept(ask(order, [Pick(line_id=line.pk, quantity=1)])))
    type(order).objects.filter(pk=order.pk).update(status="Cancelled")
    reward_purchase(order_id=order.pk, now=timezone.now())
    assert state_of(account) == (0, 1000, 0)
    with pytest.raises(ReturnRefused, match="order_cancelled"):
        return_steps.undo_return(return_id=done.pk, reason="x", actor_ref="user:1", now=timezone.now())


def test_a_withdrawal_brings_the_delivery_charge_back_whatever_the_policy_says(account, policy):
    type(policy).objects.update(refunds_delivery=False)
    assert accept(ask(make_order(account.user))).delivery_amount == 0
    assert accept(ask(make_order(account.user), kind="WITHDRAWAL")).delivery_amount == D("4.90")
    faulty = make_order(account.user)
    assert accept(ask(faulty, pick_all(faulty, reason="FAULTY"))).delivery_amount == D("4.90")


def test_a_withdrawal_before_the_delivery_waits_at_the_desk_and_needs_no_label(account):
    now = timezone.now()
    made = ask(make_order(account.user, delivered=False), kind="WITHDRAWAL", now=now)
    assert made.send_until is None
    assert made.refund_due_at == now + timedelta(days=14)
    assert list(desk_queries.list_at_desk(failed=[], now=now)) == [made]
    assert list(desk_queries.list_overdue(now=now + timedelta(days=15))) == [made]
    assert return_labels.make_label(made.pk, now) is None


def test_a_deduction_is_an_amount_in_whole_cents(account):
    with pytest.raises(DecisionInvalid, match="deduction_too_high"):
        accept(ask(make_order(account.user)), deduction=D("0.005"), refusal="worn")

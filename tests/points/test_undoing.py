"""Returns are undone: what was taken back is given again, what was given back is spent again."""

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import hypothesis.strategies as st
import pytest
from django.db import transaction
from hypothesis import given

from oscar_loyalty.earning.queries import find_given
from oscar_loyalty.points import services
from oscar_loyalty.points.audit import audit_account
from oscar_loyalty.points.book import Book, Move
from oscar_loyalty.points.models import Account, EarnedLine, Entry, Lot, Posting
from oscar_loyalty.points.rules import LineEarning
from oscar_loyalty.points.services.corrections import restore_debt
from oscar_loyalty.programmes.models import Programme
from oscar_loyalty.programmes.rules import FAR_FUTURE
from oscar_loyalty.testing.ledger import assert_ledger_balanced

from .conftest import NOW
from .test_moving import (
    award,
    clawback,
    convert,
    make_account,
    merge,
    other,
    return_spend,
    spend,
    standing,
    transfer,
)

__all__ = ["other"]  # a fixture
pytestmark = pytest.mark.database

DAY = timedelta(days=1)
GRACE = 30


def give_again(account, taken, *, key="withdrawn:1", now=NOW):
    return services.undo_clawback(
        account_id=account.pk, clawback=taken, idempotency_key=key, grace_days=GRACE, now=now
    )


def spend_again(account, returned, *, key="withdrawn:1", now=NOW):
    return services.undo_spend_return(account_id=account.pk, returned=returned, idempotency_key=key, now=now)


def lots(account):
    """What each lot has pending and left, oldest first."""
    return list(Lot.objects.filter(account=account).order_by("pk").values_list("pending", "remaining"))


def write_off(account, points=None):
    return services.write_off_debt(
        account_id=account.pk,
        points=points,
        reason_code="GOODWILL",
        idempotency_key="waived",
        actor_ref="user:1",
        now=NOW,
    )


# Given again


def test_what_was_pending_waits_again_in_its_lot(account):
    earned = award(account, 100, active_at=NOW + 14 * DAY)
    taken = clawback(account, earned, points=60)
    entry = give_again(account, taken)
    assert (entry.kind, entry.points, entry.reverses, entry.order_ref) == ("CLAWBACK_UNDONE", 60, taken, "1")
    assert standing(account) == (100, 0, 0, 0)
    assert lots(account) == [(100, 0)]
    services.settle_account(account_id=account.pk, now=NOW + 14 * DAY)
    assert standing(account) == (0, 100, 0, 0)


def test_what_waits_for_its_order_can_be_scheduled_after_it_was_given_again(account):
    earned = award(account, 100, active_at=FAR_FUTURE)
    give_again(account, clawback(account, earned))
    account.refresh_from_db()
    assert services.schedule_activation(
        account_id=account.pk, source_ref="order:1", active_at=NOW + DAY, now=NOW
    )
    services.settle_account(account_id=account.pk, now=NOW + DAY)
    assert standing(account) == (0, 100, 0, 0)


@pytest.mark.parametrize("points", [60, 100])
def test_what_was_pending_is_available_once_its_time_has_come(account, points):
    earned = award(account, 100, active_at=NOW + 14 * DAY)
    taken = clawback(account, earned, points=points)
    give_again(account, taken, now=NOW + 14 * DAY)
    assert standing(account) == (0, 100, 0, 0)
    assert lots(account) == [(0, 100)]


def test_a_clock_that_went_back_makes_no_points_wait_that_were_spendable(account):
    earned = award(account, 100, active_at=NOW + 14 * DAY)
    taken = clawback(account, earned, points=60)
    services.settle_account(account_id=account.pk, now=NOW + 14 * DAY)
    give_again(account, taken, now=NOW + DAY)
    assert standing(account) == (0, 100, 0, 0)
    services.settle_account(account_id=account.pk, now=NOW + 15 * DAY)
    assert standing(account) == (0, 100, 0, 0)


def test_each_lot_gets_what_was_taken_from_it(account):
    earned = award(account, 100)
    award(account, 50, key="purchase:2", months=12)
    spend(account, 80, order="7")
    assert lots(account) == [(0, 70), (0, 0)]
    taken = clawback(account, earned)
    assert standing(account) == (0, 0, 0, 30)
    award(account, 100, key="purchase:3")
    assert standing(account) == (0, 70, 0, 0)
    give_again(account, taken)
    # 30 were owed and have been repaid out of the third lot: they come as a lot of their own.
    assert lots(account) == [(0, 70), (0, 0), (0, 70), (0, 30)]
    assert standing(account) == (0, 170, 0, 0)


def test_a_lot_that_has_expired_meanwhile_lives_on_in_another_for_the_grace(account):
    earned = award(account, 100, months=1)
    taken = clawback(account, earned, points=60)
    late = NOW + 60 * DAY
    give_again(account, taken, now=late)
    old, young = Lot.objects.order_by("pk")
    assert (old.expired, old.reversed, old.moved) == (40, 0, 60)
    assert (young.remaining, young.parent_lot, young.source_ref) == (60, old, "order:1")
    assert (young.unit_value, young.currency) == (old.unit_value, old.currency)
    assert late + GRACE * DAY < young.expires_at <= late + (GRACE + 1) * DAY
    assert standing(account) == (0, 60, 0, 0)


def test_a_deficit_is_forgiven_as_far_as_it_is_owed(account):
    earned = award(account, 100)
    spend(account, 100, order="7")
    taken = clawback(account, earned)
    assert standing(account) == (0, 0, 0, 100)
    give_again(account, taken)
    assert standing(account) == (0, 0, 0, 0)
    assert Lot.objects.count() == 1


def test_what_was_repaid_comes_back_as_available_points(account):
    earned = award(account, 100)
    spend(account, 100, order="7")
    taken = clawback(account, earned)
    award(account, 40, key="purchase:2")
    assert standing(account) == (0, 0, 0, 60)
    give_again(account, taken)
    assert standing(account) == (0, 40, 0, 0)
    lot = Lot.objects.latest("pk")
    source = Lot.objects.earliest("pk")
    assert (lot.amount, lot.source_ref, lot.parent_lot, lot.active_at) == (40, "order:1", None, NOW)
    for name in ("expires_at", "unit_value", "currency"):
        assert getattr(lot, name) == getattr(source, name)


@pytest.mark.parametrize("wait", [0, 20])
def test_what_comes_for_a_repaid_deficit_lives_for_the_grace_when_its_order_is_over(account, wait):
    earned = award(account, 100, months=1)
    spend(account, 100, order="7")
    taken = clawback(account, earned)
    award(account, 100, key="purchase:2")
    late = Lot.objects.earliest("pk").expires_at + wait * DAY
    give_again(account, taken, now=late)
    lot = Lot.objects.latest("pk")
    assert late + GRACE * DAY < lot.expires_at <= late + (GRACE + 1) * DAY
    assert standing(account) == (0, 100, 0, 0)


def test_a_deficit_that_was_written_off_was_a_gift_and_stays_one(account):
    earned = award(account, 100)
    spend(account, 100, order="7")
    taken = clawback(account, earned)
    write_off(account)
    give_again(account, taken)
    assert standing(account) == (0, 100, 0, 0)
    assert clawback(account, earned, key="return:2").points == 100
    assert standing(account) == (0, 0, 0, 0)


def test_what_is_given_again_repays_what_else_is_owed(account):
    earned = award(account, 100)
    taken = clawback(account, earned, points=60)
    restore_debt(
        account_id=account.pk, points=70, reason_code="UNDO", idempotency_key="x", actor_ref="user:1", now=NOW
    )
    assert standing(account) == (0, 0, 0, 30)
    give_again(account, taken)
    assert standing(account) == (0, 30, 0, 0)


def test_a_clawback_is_undone_once(account):
    earned = award(account, 100)
    taken = clawback(account, earned)
    entry = give_again(account, taken)
    assert give_again(account, taken) == entry
    assert give_again(account, taken, key="withdrawn:2") is None
    assert standing(account) == (0, 100, 0, 0)
    with pytest.raises(services.IdempotencyKeyReused):
        give_again(account, clawback(account, earned, key="return:2"))


def test_only_a_clawback_of_that_account_is_undone(account, other):
    earned = award(account, 100)
    taken = clawback(account, earned, points=40)
    with pytest.raises(ValueError, match="did not book"):
        give_again(other, taken)
    for entry in (earned, give_again(account, taken)):
        with pytest.raises(ValueError, match="no CLAWBACK"):
            give_again(account, entry, key="withdrawn:2")
    with pytest.raises(ValueError, match="no SPEND_RETURN"):
        spend_again(account, taken, key="withdrawn:2")
    with pytest.raises(ValueError, match="did not book"):
        spend_again(other, return_spend(account, spend(account, 10, order="7")), key="withdrawn:2")


def test_a_frozen_account_is_given_again_what_a_closed_one_is_not(account, other):
    for one in (account, other):
        taken = clawback(one, award(one, 100), points=60)
        if one is account:
            Account.objects.filter(pk=one.pk).update(status="FROZEN")
            give_again(one, taken)
            assert standing(one) == (0, 100, 0, 0)
        else:
            services.close_account(account_id=one.pk, idempotency_key="close", actor_ref="user:1", now=NOW)
            assert give_again(one, taken) is None
            assert standing(one) == (0, 0, 0, 0)


# By shares, net of what was undone


def earn_by_line(account, *, order="1", active_at=NOW):
    lines = [
        LineEarning(ref="line:1", basis=Decimal(40), points=41),
        LineEarning(ref="line:2", basis=Decimal(80), points=79),
        LineEarning(ref="line:2", basis=Decimal(80), points=33, rule_code="DOUBLE"),
    ]
    return services.award_points(
        account_id=account.pk,
        points=153,
        idempotency_key=f"purchase:{order}",
        source_ref=f"order:{order}",
        order_ref=order,
        active_at=active_at,
        expiry_months=36,
        unit_value=Decimal("0.01"),
        currency="EUR",
        lines=lines,
        now=NOW,
    )


def test_a_later_clawback_takes_as_if_the_undone_one_had_never_been(account):
    earned = earn_by_line(account)
    half = {"line:1": Fraction(1, 2), "line:2": Fraction(1, 2)}
    first = clawback(account, earned, shares=half)
    assert first.points == 20 + 39 + 16
    entry = give_again(account, first)
    assert sorted(entry.lines.values_list("line_ref", "rule_code", "points")) == [
        ("line:1", "PURCHASE", 20),
        ("line:2", "DOUBLE", 16),
        ("line:2", "PURCHASE", 39),
    ]
    second = clawback(account, earned, shares=half, key="return:2")
    assert second.points == first.points
    assert clawback(account, earned, key="return:3").points == 153 - first.points
    assert clawback(account, earned, key="return:4") is None
    assert standing(account) == (0, 0, 0, 0)


def test_limits_of_rules_count_what_was_given_again(account):
    earned = earn_by_line(account)
    taken = clawback(account, earned, shares={"line:2": Fraction(1)}, now=NOW + DAY)
    entry = give_again(account, taken, now=NOW + 2 * DAY)
    given = find_given(member_ids=[account.member_id], codes=["DOUBLE"], since=NOW)[account.member_id]
    assert sorted(row.points for row in given) == [-33, 33, 33]
    # All of them at the moment at which they were earned.
    assert {row.at for row in given} == {NOW}
    assert entry.effective_at == NOW + 2 * DAY


amounts = st.fractions(0, 1, max_denominator=9)
events = st.lists(
    st.one_of(
        st.tuples(st.just("return"), st.sampled_from(["line:1", "line:2"]), amounts),
        st.tuples(st.just("withdraw"), st.integers(0, 9)),
        st.tuples(st.just("earn elsewhere"), st.integers(1, 120)),
        st.tuples(st.just("wait"), st.sampled_from([1, 20])),
    ),
    max_size=9,
)


class Customer:
    """Who returns parts of an order and withdraws returns; ``in_steps`` or all that is left of it at last."""

    def __init__(self, programme, *, waits, spent, in_steps):
        self.account, self.in_steps, self.now = make_account(programme), in_steps, NOW
        self.order = str(self.account.pk)
        award(self.account, 200, key=f"purchase:before-{self.order}")
        self.earned = earn_by_line(self.account, order=self.order, active_at=NOW + waits * DAY)
        spend(self.account, spent, order=f"spent-{self.order}")
        self.returns, self.number = [], 0

    def next_key(self):
        self.number += 1
        return f"{self.order}:{self.number}"

    def shares(self, returns):
        gone = {}
        for _entry, ref, share in returns:
            gone[ref] = gone.get(ref, Fraction(0)) + share
        return gone

    def take(self):
        return clawback(
            self.account, self.earned, key=self.next_key(), shares=self.shares(self.returns), now=self.now
        )

    def do(self, what, *details):
        if what == "return":
            ref, share = details
            if self.shares(self.returns).get(ref, 0) + share <= 1:
                self.returns.append([None, ref, share])
                self.returns[-1][0] = self.take() if self.in_steps else None
        elif what == "withdraw":
            self.withdraw(details[0])
        elif what == "earn elsewhere":
            award(self.account, details[0], key=f"purchase:{self.next_key()}", now=self.now)
        elif what == "wait":
            self.now += details[0] * DAY

    def withdraw(self, number):
        """One of the returns: it and the later ones are undone, and these taken again."""
        if not self.returns:
            return
        first = number % len(self.returns)
        later, self.returns = self.returns[first:], self.returns[:first]
        if self.in_steps:
            for entry, _ref, _share in reversed(later):
                if entry is not None:
                    assert give_again(self.account, entry, key=self.next_key(), now=self.now)
        for _entry, ref, share in later[1:]:
            self.do("return", ref, share)

    def numbers(self):
        services.settle_account(account_id=self.account.pk, now=self.now)
        if not self.in_steps:
            self.take()
        assert_ledger_balanced(self.account)
        taken = {}
        for line in EarnedLine.objects.filter(entry__account=self.account).select_related("entry"):
            sign = -1 if line.entry.kind == "CLAWBACK" else 1
            key = line.line_ref, line.rule_code
            taken[key] = taken.get(key, 0) + sign * line.points
        account = self.account
        return account.pending, account.available, account.debt, account.spent, taken


@pytest.mark.timeout(0)
@pytest.mark.django_db
@given(events=events, how=st.sampled_from([(14, 1), (14, 200), (0, 1), (0, 300), (0, 353)]))
def test_any_returns_and_withdrawals_end_like_what_is_left_of_them_at_once(events, how):
    """``how``: after how many days the order's points can be spent, and how many points are spent first."""
    with transaction.atomic():
        programme = Programme.objects.create(code="steps", name="Points", time_zone="Europe/Berlin")
        customers = [
            Customer(programme, waits=how[0], spent=how[1], in_steps=steps) for steps in (True, False)
        ]
        for event in events:
            for customer in customers:
                customer.do(*event)
        stepwise, at_once = (customer.numbers() for customer in customers)
        assert stepwise == at_once
        transaction.set_rollback(True)


# Spent again


def test_what_was_given_back_is_spent_again_out_of_the_lots_that_got_it(account):
    award(account, 100)
    spent = spend(account, 80, order="7")
    award(account, 50, key="purchase:2", months=12)
    returned = return_spend(account, spent)
    entry = spend_again(account, returned)
    assert (entry.kind, entry.points, entry.reverses, entry.order_ref) == ("SPEND_AGAIN", 80, returned, "7")
    assert lots(account) == [(0, 20), (0, 50)]
    account.refresh_from_db()
    assert (account.spent, account.available) == (80, 70)
    assert standing(account) == (0, 70, 0, 0)


def test_then_what_expires_first_is_taken_and_the_rest_is_owed(account):
    award(account, 100)
    spent = spend(account, 100, order="7")
    returned = return_spend(account, spent)
    spend(account, 70, order="8")
    award(account, 20, key="purchase:2", months=24)
    award(account, 15, key="purchase:3", months=12)
    spend_again(account, returned)
    assert lots(account) == [(0, 0), (0, 0), (0, 0)]
    assert standing(account) == (0, 0, 0, 35)
    # What was owed is forgiven first, the rest goes where it came from the second time.
    assert return_spend(account, spent, key="undo:2", points=40).points == 40
    assert standing(account) == (0, 5, 0, 0)
    assert return_spend(account, spent, key="undo:3").points == 60
    assert lots(account) == [(0, 30), (0, 20), (0, 15)]
    assert return_spend(account, spent, key="undo:4") is None
    assert standing(account) == (0, 65, 0, 0)


def test_what_became_of_another_redemption_is_its_own_matter(account):
    award(account, 100)
    first, second = (spend(account, points, order=str(points)) for points in (30, 40))
    spend_again(account, return_spend(account, first))
    assert return_spend(account, second, key="undo:2").points == 40
    assert return_spend(account, first, key="undo:3").points == 30
    assert standing(account) == (0, 100, 0, 0)


def test_a_deficit_that_was_repaid_comes_back_with_the_next_return(account):
    award(account, 100)
    spent = spend(account, 100, order="7")
    returned = return_spend(account, spent)
    spend(account, 100, order="8")
    spend_again(account, returned)
    award(account, 130, key="purchase:2")
    assert standing(account) == (0, 30, 0, 0)
    return_spend(account, spent, key="undo:2")
    assert standing(account) == (0, 130, 0, 0)


def test_what_comes_for_a_repaid_deficit_lives_as_long_as_the_longest_lived_points_spent(account):
    award(account, 50, months=12)
    award(account, 100, key="purchase:2")
    spent = spend(account, 150, order="7")
    returned = return_spend(account, spent)
    spend(account, 150, order="8")
    spend_again(account, returned)
    award(account, 150, key="purchase:3", months=6)
    return_spend(account, spent, key="undo:2")
    assert Lot.objects.latest("pk").expires_at == Lot.objects.get(source_ref="order:2", amount=100).expires_at
    assert standing(account) == (0, 150, 0, 0)


def test_points_in_a_child_lot_are_spent_again_from_there(account):
    award(account, 100, months=1)
    spent = spend(account, 100, order="7")
    late = NOW + 60 * DAY
    returned = return_spend(account, spent, now=late)
    award(account, 10, key="purchase:2", now=late, active_at=late, months=0)
    spend_again(account, returned, now=late)
    assert lots(account) == [(0, 0), (0, 0), (0, 10)]
    assert standing(account) == (0, 10, 0, 0)


def test_a_return_is_undone_once_and_can_be_returned_again(account):
    award(account, 100)
    spent = spend(account, 80, order="7")
    returned = return_spend(account, spent, points=50)
    entry = spend_again(account, returned)
    assert spend_again(account, returned) == entry
    assert spend_again(account, returned, key="withdrawn:2") is None
    with pytest.raises(services.InsufficientPoints):
        return_spend(account, spent, key="undo:2", points=81)
    assert return_spend(account, spent, key="undo:2").points == 80
    assert standing(account) == (0, 100, 0, 0)


def test_a_closed_account_spends_nothing_again(account):
    award(account, 100)
    returned = return_spend(account, spend(account, 80, order="7"))
    services.close_account(account_id=account.pk, idempotency_key="close", actor_ref="user:1", now=NOW)
    assert spend_again(account, returned) is None


# After a merge or another move


def test_what_was_taken_before_a_merge_is_given_again_after_it(account, other):
    earned = award(account, 100, active_at=NOW + 14 * DAY)
    old = award(account, 50, key="purchase:2")
    taken = [clawback(account, earned, points=60), clawback(account, old, key="return:2", points=20)]
    merge(account, other)
    for number, clawed in enumerate(taken):
        entry = give_again(account, clawed, key=f"withdrawn:{number}")
        assert (entry.account, entry.reverses, entry.points) == (other, clawed, clawed.points)
        departure = Entry.objects.get(group_id=entry.group_id, account=account)
        assert (departure.order_ref, departure.points) == (clawed.order_ref, clawed.points)
        assert give_again(other, clawed, key=f"withdrawn:{number}") == entry
    assert standing(account, other) == [(0, 0, 0, 0), (100, 50, 0, 0)]
    services.settle_account(account_id=other.pk, now=NOW + 14 * DAY)
    assert standing(account, other) == [(0, 0, 0, 0), (0, 150, 0, 0)]
    # Taken again from where they are now.
    assert clawback(account, earned, key="return:3", now=NOW + 14 * DAY).points == 100


def test_what_was_undone_before_a_merge_is_not_undone_again_after_it(account, other):
    taken = clawback(account, award(account, 100), points=30)
    returned = return_spend(account, spend(account, 20, order="7"))
    done = give_again(account, taken), spend_again(account, returned, key="withdrawn:2")
    merge(account, other)
    assert (give_again(account, taken), spend_again(account, returned, key="withdrawn:2")) == done
    assert standing(account, other) == [(0, 0, 0, 0), (0, 80, 0, 0)]


def test_what_waits_for_its_order_lives_after_a_merge_as_long_as_before(account, other):
    taken = clawback(account, award(account, 100, active_at=FAR_FUTURE, months=12), points=60)
    merge(account, other)
    give_again(account, taken)
    services.schedule_activation(account_id=account.pk, source_ref="order:1", active_at=NOW + DAY, now=NOW)
    ends = Lot.objects.filter(account=other).values_list("expires_at", flat=True)
    assert [moment.date().isoformat() for moment in ends] == ["2027-03-11", "2027-03-11"]


def test_a_deficit_that_was_merged_is_forgiven_where_it_is_owed(programme, account, other):
    earned = award(account, 100)
    spend(account, 90, order="7")
    taken = clawback(account, earned)
    third = make_account(programme)
    merge(account, other)
    merge(other, third, key="merge:2")
    assert standing(account, other, third) == [(0, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 90)]
    award(third, 30, key="purchase:3")
    give_again(account, taken)
    assert standing(account, other, third) == [(0, 0, 0, 0), (0, 0, 0, 0), (0, 40, 0, 0)]


def test_a_clawback_after_the_merge_is_undone_on_the_account_that_remained(account, other):
    earned = award(account, 100)
    merge(account, other)
    taken = clawback(account, earned, points=30)
    give_again(account, taken)
    assert standing(account, other) == [(0, 0, 0, 0), (0, 100, 0, 0)]


def test_spent_again_after_a_merge_and_returned_again(account, other):
    award(account, 100)
    spent = spend(account, 100, order="7")
    merge(account, other)
    returned = return_spend(account, spent, points=90)
    award(other, 25, key="purchase:2", months=12)
    spend(other, 30, order="8")
    spend_again(account, returned)
    assert standing(account, other) == [(0, 0, 0, 0), (0, 0, 0, 5)]
    # Ten were never returned, eighty-five are of lots of the other account by now, and five are owed.
    entry = return_spend(account, spent, key="undo:2")
    parts = Entry.objects.filter(group_id=entry.group_id, kind="SPEND_RETURN").order_by("account_id")
    assert [(part.account, part.points) for part in parts] == [(account, 10), (other, 90)]
    assert standing(account, other) == [(0, 0, 0, 0), (0, 95, 0, 0)]
    again = spend_again(account, entry, key="withdrawn:2")
    assert again.reverses == entry
    assert Entry.objects.filter(group_id=again.group_id, account=other).count() == 2
    assert spend_again(account, entry, key="withdrawn:2") == again
    assert spend_again(account, parts[1], key="withdrawn:3") is None
    assert standing(account, other) == [(0, 0, 0, 0), (0, 0, 0, 5)]
    assert return_spend(account, spent, key="undo:3") is not None
    assert standing(account, other) == [(0, 0, 0, 0), (0, 95, 0, 0)]


def test_what_was_given_away_is_owed_and_forgiven_and_never_taken_from_the_receiver(account, other):
    earned = award(account, 100)
    transfer(account, other, 100)
    taken = clawback(account, earned)
    give_again(account, taken)
    assert standing(account, other) == [(0, 0, 0, 0), (0, 100, 0, 0)]


def test_points_that_were_converted_meanwhile_are_given_again_in_their_own_currency(account):
    earned = award(account, 100)
    taken = clawback(account, earned, points=40)
    convert(account, "2")
    give_again(account, taken)
    assert lots(account) == [(0, 40), (0, 120)]
    assert standing(account) == (0, 160, 0, 0)


# The audit


def codes_of(account):
    return {finding.code for finding in audit_account(account.pk)}


def test_the_audit_finds_what_was_undone_twice(account):
    earned = award(account, 100)
    taken = clawback(account, earned, points=50)
    clawback(account, earned, points=50, key="return:2")
    give_again(account, taken)
    with transaction.atomic():
        book = Book.open(account.pk, now=NOW)
        moves = [Move("TBK", "AVL", 50, Lot.objects.get())]
        book.post("CLAWBACK_UNDONE", moves, points=50, idempotency_key="twice", reverses=taken)
        book.flush()
    assert codes_of(account) == {"reversed_too_much"}


def test_the_audit_finds_what_was_taken_again_without_need(account):
    award(account, 100)
    award(account, 50, key="purchase:2", months=12)
    spent = spend(account, 50, order="7")
    returned = return_spend(account, spent)
    with transaction.atomic():
        book = Book.open(account.pk, now=NOW)
        wrong = Lot.objects.get(source_ref="order:1")
        moves = [Move("AVL", "RED", 50, wrong)]
        book.post("SPEND_AGAIN", moves, points=50, idempotency_key="wrong", reverses=returned)
        book.flush()
    assert codes_of(account) == {"fifo_broken"}


def test_the_audit_knows_which_postings_undo(account):
    taken = clawback(account, award(account, 100), points=10)
    with transaction.atomic():
        book = Book.open(account.pk, now=NOW)
        lot = book.add_lot(
            amount=10, source_ref="x", active_at=NOW, expires_at=FAR_FUTURE, unit_value=1, currency="EUR"
        )
        book.post(
            "CLAWBACK_UNDONE", [Move("EXP", "PND", 10, lot)], points=10, idempotency_key="x", reverses=taken
        )
        book.flush()
    assert codes_of(account) == {"posting_out_of_place"}
    assert Posting.objects.filter(debit="TBK").count() == 0

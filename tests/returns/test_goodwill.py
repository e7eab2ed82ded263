"""Goodwill: within a clerk's budget at once, above it by two people, never more than was paid."""

import uuid
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oscar_loyalty.flows import goodwill as flow
from oscar_loyalty.flows.goodwill import GoodwillRefused
from oscar_loyalty.payments.queries import find_refundable
from oscar_loyalty.payments.refund_models import Refund
from oscar_loyalty.payments.refunds import retry_refund
from oscar_loyalty.points.models import Adjustment
from oscar_loyalty.points.services import freeze_account
from oscar_loyalty.returns.models import Goodwill, ReturnPolicy
from tests.admin.conftest import make_user
from tests.returns.world import accept, ask, make_order, make_policy, pick_all, refunds_of, relay, state_of
from tests.shop import world as shop

pytestmark = pytest.mark.django_db
D = Decimal


@pytest.fixture
def policy(programme):
    return make_policy(programme, goodwill_points=500, goodwill_amount="20.00")


@pytest.fixture
def clerk(db):
    return make_user("clerk", is_staff=True)


@pytest.fixture
def boss(db):
    return make_user("boss", is_staff=True)


def give(order, clerk, *, now=None, **values):
    wish = {"reason": "Cup broken", "public_id": uuid.uuid4(), "now": now or timezone.now(), **values}
    return flow.give_goodwill(order_id=order.pk, clerk_id=clerk.pk, **wish)


def refused(code, order, clerk, **values):
    with pytest.raises(GoodwillRefused) as error:
        give(order, clerk, **values)
    assert error.value.code == code


def test_points_within_the_budget_are_there_at_once_with_words_for_the_customer(account, clerk):
    order = make_order(account.user)
    pending, available, debt = state_of(account)
    done = give(order, clerk, points=100, customer_text_de="Entschuldigung", customer_text_en="Sorry")
    assert (done.state, done.decided_by_id) == ("GIVEN", None)
    account.refresh_from_db()
    assert state_of(account) == (pending, available + 100, debt)
    adjustment = Adjustment.objects.get(public_id=done.public_id)
    assert (adjustment.reason_code, adjustment.customer_text_de) == ("GOODWILL", "Entschuldigung")
    assert adjustment.requested_by_id == clerk.pk


def test_a_part_of_the_price_goes_back_the_way_it_was_paid(account, clerk):
    order = make_order(account.user)
    give(order, clerk, amount=D("5.00"))
    refund = refunds_of(order)[0]
    assert (refund.amount, refund.method) == (D("5.00"), "CARD")
    assert refund.cause_ref == flow.cause_of(Goodwill.objects.get())


def test_the_same_form_gives_once_and_another_one_with_its_key_nothing(account, clerk):
    order = make_order(account.user)
    key = uuid.uuid4()
    first = give(order, clerk, points=50, public_id=key)
    assert give(order, clerk, points=50, public_id=key) == first
    refused("key_reused", order, clerk, points=60, public_id=key)
    assert Goodwill.objects.count() == 1


def test_above_the_budget_a_second_person_decides_and_never_the_first(account, clerk, boss):
    order = make_order(account.user)
    available = state_of(account)[1]
    give(order, clerk, points=400)
    waits = give(order, clerk, points=200)
    assert waits.state == "REQUESTED"
    with pytest.raises(GoodwillRefused, match="own_request"):
        flow.approve_goodwill(goodwill_id=waits.pk, actor_id=clerk.pk, now=timezone.now())
    for _click in range(2):
        given_ = flow.approve_goodwill(goodwill_id=waits.pk, actor_id=boss.pk, now=timezone.now())
    assert (given_.state, given_.decided_by_id) == ("GIVEN", boss.pk)
    account.refresh_from_db()
    assert state_of(account)[1] == available + 600
    # What a second person approved leaves the budget alone.
    assert give(order, clerk, points=100).state == "GIVEN"


def test_the_database_too_knows_that_two_people_decide(account, clerk):
    waits = give(make_order(account.user), clerk, points=600)
    with pytest.raises(IntegrityError), transaction.atomic():
        Goodwill.objects.filter(pk=waits.pk).update(decided_by_id=clerk.pk, state="GIVEN")


def test_what_was_rejected_stays_rejected(account, clerk, boss):
    waits = give(make_order(account.user), clerk, points=600)
    flow.reject_goodwill(goodwill_id=waits.pk, actor_id=boss.pk, now=timezone.now())
    with pytest.raises(GoodwillRefused, match="rejected"):
        flow.approve_goodwill(goodwill_id=waits.pk, actor_id=boss.pk, now=timezone.now())
    done = give(make_order(account.user), clerk, points=10)
    assert flow.reject_goodwill(goodwill_id=done.pk, actor_id=boss.pk, now=timezone.now()).state == "GIVEN"


def test_a_clerk_may_think_again(account, clerk):
    waits = give(make_order(account.user), clerk, points=600)
    gone = flow.reject_goodwill(goodwill_id=waits.pk, actor_id=clerk.pk, now=timezone.now())
    assert gone.state == "REJECTED"


def test_more_than_was_paid_never_goes_back(account, clerk, boss):
    ReturnPolicy.objects.update(goodwill_amount=D("1000.00"))
    order = make_order(account.user)
    paid = order.total_incl_tax
    refused("more_than_paid", order, clerk, amount=paid + D("0.01"))
    give(order, clerk, amount=paid - D("1.00"))
    refused("more_than_paid", order, clerk, amount=D("1.01"))
    assert find_refundable(order_number=order.number).left == D("1.00")


def test_what_waited_is_looked_at_again_when_it_is_approved(account, clerk, boss):
    order = make_order(account.user)
    waits = give(order, clerk, amount=order.total_incl_tax)
    accept(ask(order))
    with pytest.raises(GoodwillRefused, match="more_than_paid"):
        flow.approve_goodwill(goodwill_id=waits.pk, actor_id=boss.pk, now=timezone.now())


def test_what_came_back_as_points_is_not_given_once_more_as_money(account, clerk):
    ReturnPolicy.objects.update(offers_store_credit=True, goodwill_amount=D("1000.00"))
    order = make_order(account.user)
    accept(ask(order, refund_to="STORE_CREDIT"))
    refused("more_than_paid", order, clerk, amount=D("0.01"))


def test_what_a_failed_refund_still_owes_is_not_given_away(account, clerk):
    ReturnPolicy.objects.update(goodwill_amount=D("1000.00"))
    order = make_order(account.user, (("30.00", 1, 19), ("20.00", 1, 19)))
    accept(ask(order, pick_all(order)[:1]))
    (owed,) = refunds_of(order)
    Refund.objects.filter(pk=owed.pk).update(state="FAILED", failed_at=timezone.now())
    left = order.total_incl_tax - owed.amount
    refused("more_than_paid", order, clerk, amount=left + D("0.01"))
    give(order, clerk, amount=left)
    second = retry_refund(refund_id=owed.pk, by="user:1", now=timezone.now())
    assert second.amount == owed.amount
    assert find_refundable(order_number=order.number).left == 0


def test_what_was_set_off_is_not_given_as_money(account, clerk):
    ReturnPolicy.objects.update(spent_points="SET_OFF", goodwill_amount=D("1000.00"))
    order = make_order(account.user, (("100.00", 1, 19),))
    shop.give_points(account, -1100)
    done = accept(ask(order, set_off_agreed=True))
    assert done.set_off_amount == D("1.00")
    refused("more_than_paid", order, clerk, amount=D("0.01"))


def test_a_return_after_goodwill_brings_what_is_left(account, clerk):
    order = make_order(account.user)
    give(order, clerk, amount=D("5.00"))
    done = accept(ask(order))
    assert done.earlier_amount == D("5.00")
    assert sum(refund.amount for refund in refunds_of(order)) == order.total_incl_tax


@pytest.mark.parametrize(
    ("code", "wish"),
    [
        ("nothing_wanted", {}),
        ("nothing_wanted", {"points": 1, "amount": D("1.00")}),
        ("nothing_wanted", {"points": -1}),
        ("reason_missing", {"points": 1, "reason": " "}),
        ("too_exact", {"amount": D("0.005")}),
    ],
)
def test_a_wish_that_makes_no_sense_gives_nothing(account, clerk, code, wish):
    refused(code, make_order(account.user), clerk, **wish)
    assert not Goodwill.objects.exists()


def test_who_takes_no_part_gets_money_and_no_points(guest, clerk):
    order = make_order(guest)
    refused("not_member", order, clerk, points=10)
    assert give(order, clerk, amount=D("1.00")).state == "GIVEN"


def test_frozen_points_get_no_more(account, clerk):
    order = make_order(account.user)
    freeze_account(account_id=account.pk, actor_id=clerk.pk, note="odd", now=timezone.now())
    refused("account_frozen", order, clerk, points=10)


def test_the_limit_of_the_programme_for_adjustments_holds_too(programme, account, clerk):
    shop.change_programme(programme, four_eyes_points=99)
    assert give(make_order(account.user), clerk, points=100).state == "REQUESTED"


def test_every_month_has_a_budget_of_its_own(account, clerk):
    order = make_order(account.user)
    assert give(order, clerk, points=500).state == "GIVEN"
    later = timezone.now() + timedelta(days=32)
    assert give(order, clerk, points=500, now=later).state == "GIVEN"


def test_the_customer_is_told_by_mail_where_the_clerk_wants_it(account, clerk, mailoutbox):
    from oscar_loyalty.shop.mail import ensure_mail_types

    ensure_mail_types()
    order = make_order(account.user)
    give(order, clerk, points=10)
    relay()
    assert not [mail for mail in mailoutbox if "Sorry" in mail.body]
    give(order, clerk, points=100, customer_text_en="Sorry for the cup", tells_customer=True)
    relay()
    mail = next(mail for mail in mailoutbox if "Sorry for the cup" in mail.body)
    assert "100 points" in mail.body
    assert order.number in mail.subject


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=10)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["give", "give", "approve", "reject"]),
            st.integers(0, 1),
            st.integers(1, 300),
            st.booleans(),
        ),
        max_size=12,
    )
)
def test_nobody_gives_more_alone_than_their_budget_holds(account, clerk, boss, steps):
    """Σ given per clerk and month ≤ budget + approved; and never more than was paid."""
    people, refusals = (clerk, boss), set()
    with transaction.atomic():
        order = make_order(account.user, (("50.00", 1, 19),))
        for what, who, size, is_money in steps:
            actor = people[who]
            try:
                if what == "give":
                    wish = {"amount": D(size) / 10} if is_money else {"points": size}
                    give(order, actor, **wish)
                elif waiting := Goodwill.objects.filter(state="REQUESTED").first():
                    decide = flow.approve_goodwill if what == "approve" else flow.reject_goodwill
                    decide(goodwill_id=waiting.pk, actor_id=actor.pk, now=timezone.now())
            except GoodwillRefused as error:
                refusals.add(error.code)
        assert refusals <= {"more_than_paid", "own_request"}
        for person in people:
            rows = [one for one in Goodwill.objects.filter(clerk_id=person.pk) if one.state == "GIVEN"]
            alone = [one for one in rows if one.decided_by_id is None]
            assert sum(one.points for one in alone) <= 500
            assert sum((one.amount for one in alone), D(0)) <= D("20.00")
            assert all(one.decided_by_id != person.pk for one in rows)
        money = sum((one.amount for one in Goodwill.objects.filter(state="GIVEN")), D(0))
        assert money == sum((refund.amount for refund in refunds_of(order)), D(0)) <= order.total_incl_tax
        transaction.set_rollback(True)

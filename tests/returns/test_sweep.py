"""Returns that were never sent, refunds that are late, and which policy may still change."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone
from oscar.core.loading import get_model

from oscar_loyalty.flows import return_steps, return_sweep, return_terms, returns
from oscar_loyalty.flows.return_desk import accept_everything
from oscar_loyalty.flows.return_mails import MAILS
from oscar_loyalty.flows.return_policies import describe_for_tiers, describe_policy, is_editable
from oscar_loyalty.flows.return_terms import ReturnRefused
from oscar_loyalty.outbox.models import OutboxMessage
from oscar_loyalty.returns.figures import Piece, Refunded, measure_lead_time, percentile, rate_products
from oscar_loyalty.returns.models import Return, ReturnPolicy
from oscar_loyalty.returns.services import make_first_policies

from .world import accept, ask, make_order, relay

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def noon():
    return timezone.now().replace(hour=11, minute=0)


def unsent(account, *, days, **values):
    """Should have been sent so many days ago."""
    one = ask(make_order(account.user), **values)
    Return.objects.filter(pk=one.pk).update(send_until=timezone.now() - timedelta(days=days))
    one.refresh_from_db()
    return one


def test_what_was_not_sent_is_closed_two_weeks_later_and_told(account):
    one, patient = unsent(account, days=15), unsent(account, days=13)
    seen = unsent(account, days=15)
    return_steps.mark_in_transit(return_id=seen.pk, actor_ref="carrier", now=timezone.now())
    assert return_sweep.cancel_unsent(now=timezone.now()) == 1
    assert return_sweep.cancel_unsent(now=timezone.now()) == 0
    for row, state in ((one, "CANCELLED"), (patient, "REQUESTED"), (seen, "IN_TRANSIT")):
        row.refresh_from_db()
        assert row.state == state
    event = one.events.get(code="CANCELLED")
    assert (event.actor_ref, event.reason) == ("system", "NOT_SENT")
    assert OutboxMessage.objects.filter(topic="return_changed", payload__event=event.pk).exists()


def late(one, **values):
    arguments = {"reason": "It was lost in the post", "actor_ref": "user:7", "now": timezone.now(), **values}
    return return_steps.receive_late(return_id=one.pk, **arguments)


def test_a_parcel_that_comes_after_its_return_was_closed_is_received_and_refunded(account, mailoutbox):
    one = unsent(account, days=15)
    return_sweep.cancel_unsent(now=timezone.now())
    for step in (return_steps.receive_return, accept_everything):
        with pytest.raises(ReturnRefused, match="wrong_state"):
            step(return_id=one.pk, actor_ref="user:7", now=timezone.now())
    with pytest.raises(ReturnRefused, match="reason_missing"):
        late(one, reason=" ")
    for _time in range(2):
        late(one)
    one.refresh_from_db()
    assert (one.state, one.closed_at) == ("RECEIVED", None)
    assert one.refund_due_at > timezone.now()
    event = one.events.get(code="RECEIVED")
    assert (event.actor_ref, event.reason) == ("user:7", "It was lost in the post")
    relay()
    mails = [mail for mail in mailoutbox if one.number in mail.subject + mail.body]
    assert "LOYALTY_RETURN_RECEIVED" in MAILS.values()
    assert len([mail for mail in mails if "It was lost" in mail.body]) == 0
    assert any("arrived" in mail.body for mail in mails)
    done = accept(one)
    assert (done.decision, done.points_taken) == ("INSPECTED", 30)


def test_what_the_customer_called_off_and_sent_all_the_same_is_received(account):
    one = ask(make_order(account.user))
    with pytest.raises(ReturnRefused, match="wrong_state"):
        late(one)
    returns.cancel_return(return_id=one.pk, actor_ref="customer", now=timezone.now())
    assert late(one).state == "RECEIVED"


def test_pieces_that_came_back_otherwise_are_not_received_twice(account):
    order = make_order(account.user, (("10.00", 3, 19),))
    picks = [return_terms.Pick(line_id=order.lines.get().pk, quantity=2)]
    one = ask(order, picks)
    returns.cancel_return(return_id=one.pk, actor_ref="customer", now=timezone.now())
    other = ask(order, picks)
    with pytest.raises(ReturnRefused, match="returned_otherwise") as refused:
        late(one)
    assert refused.value.line_id == order.lines.get().pk
    returns.cancel_return(return_id=other.pk, actor_ref="customer", now=timezone.now())
    late(one)
    with pytest.raises(ReturnRefused, match="returned_otherwise"):
        late(other)
    with pytest.raises(ReturnRefused, match="too_many"):
        ask(order, picks)


def test_what_was_here_and_went_back_or_was_rejected_is_closed_for_good(account):
    undone = accept(ask(make_order(account.user)))
    return_steps.undo_return(return_id=undone.pk, reason="x", actor_ref="user:7", now=timezone.now())
    rejected = ask(make_order(account.user))
    return_steps.reject_return(return_id=rejected.pk, reason="no", actor_ref="user:7", now=timezone.now())
    for one in (undone, rejected):
        with pytest.raises(ReturnRefused, match="wrong_state"):
            late(one)


def test_nothing_comes_back_of_a_cancelled_order(account):
    one = ask(make_order(account.user))
    returns.cancel_return(return_id=one.pk, actor_ref="customer", now=timezone.now())
    get_model("order", "Order").objects.filter(pk=one.order_id).update(status="Cancelled")
    with pytest.raises(ReturnRefused, match="order_cancelled"):
        late(one)


def test_a_withdrawal_is_not_closed_by_a_machine(account):
    one = unsent(account, days=100, kind=Return.Kind.WITHDRAWAL)
    assert return_sweep.cancel_unsent(now=timezone.now()) == 0
    one.refresh_from_db()
    assert one.state == "REQUESTED"


def test_staff_are_told_once_a_day_what_is_overdue(account, settings, mailoutbox, noon):
    settings.OSCAR_LOYALTY_STAFF_MAIL = ["desk@example.com"]
    one = ask(make_order(account.user))
    return_steps.receive_return(return_id=one.pk, actor_ref="user:1", now=noon - timedelta(days=20))
    for _time in range(2):
        return_sweep.check_returns(now=noon)
    relay(noon + HOUR)
    mails = [mail for mail in mailoutbox if mail.to == ["desk@example.com"]]
    assert len(mails) == 1
    assert one.number in mails[0].body
    assert "/dashboard/loyalty/returns/" in mails[0].body
    return_sweep.check_returns(now=noon + timedelta(days=1))
    relay(noon + timedelta(days=1, hours=1))
    assert len([mail for mail in mailoutbox if mail.to == ["desk@example.com"]]) == 2


def test_nobody_is_woken_and_nothing_is_said_when_nothing_is_overdue(account, noon):
    assert not return_sweep.order_reminder(now=noon)
    one = ask(make_order(account.user))
    return_steps.receive_return(return_id=one.pk, actor_ref="user:1", now=noon - timedelta(days=20))
    assert not return_sweep.order_reminder(now=noon.replace(hour=3))
    assert return_sweep.order_reminder(now=noon)


def test_staff_are_told_of_what_was_refunded_in_advance_and_never_came(account, settings, mailoutbox, noon):
    settings.OSCAR_LOYALTY_STAFF_MAIL = ["desk@example.com"]
    one, patient = unsent(account, days=15), unsent(account, days=13)
    assert not return_sweep.order_reminder(now=noon)
    Return.objects.update(is_instant=True, state="REFUNDED", booked_at=noon, refunded_at=noon)
    assert return_sweep.order_reminder(now=noon)
    return_sweep.tell_overdue(now=noon)
    (mail,) = mailoutbox
    assert "the goods never came" in mail.body
    assert one.number in mail.body
    assert patient.number not in mail.body
    Return.objects.update(received_at=noon)
    return_sweep.tell_overdue(now=noon)
    assert len(mailoutbox) == 1


# Policies


def test_a_policy_in_force_or_in_use_no_longer_changes(account, policy):
    now = timezone.now()
    assert not is_editable(policy, now=now)
    planned = ReturnPolicy.objects.create(
        programme=policy.programme, currency="EUR", active_from=now + timedelta(days=1)
    )
    assert is_editable(planned, now=now)
    Return.objects.filter(pk=ask(make_order(account.user)).pk).update(policy=planned)
    assert not is_editable(planned, now=now)


def test_a_policy_is_said_in_words(policy):
    policy.fee, policy.keep_item_below = Decimal("4.90"), Decimal("10.00")
    text = " ".join(describe_policy(policy))
    for said in ("30 days after delivery", "€4.90", "730 days", "worth less than €10.00", "5 working days"):
        assert said in text


def test_a_policy_is_said_for_every_tier(programme, policy):
    from oscar_loyalty.tiers.models import TierPerk
    from tests.tiers.world import publish_tiers

    publish_tiers(programme, at=timezone.now())
    version = programme.versions.order_by("-number").first()
    policy.fee = Decimal("4.90")
    TierPerk.objects.create(version=version, tier_code="gold", kind="RETURN_WINDOW", parameters={"days": 60})
    TierPerk.objects.create(version=version, tier_code="gold", kind="FREE_RETURNS", parameters={})
    said = {one.name: " ".join(one.sentences) for one in describe_for_tiers(policy, now=timezone.now())}
    gold = next(text for name, text in said.items() if "gold" in name.lower())
    assert "60 days" in gold
    assert "Returning is free." in gold
    assert "Like everybody else." in said.values()


def test_a_shop_gets_a_first_policy_and_never_a_second_one(programme):
    make = {"programme_id": programme.pk, "currencies": ["EUR"], "terms": {"window_days": 14}}
    assert make_first_policies(now=timezone.now(), **make) == 1
    assert make_first_policies(now=timezone.now(), **make) == 0


# Figures


def test_lead_times_by_nearest_rank():
    start = timezone.now()
    refunds = [
        Refunded(received_at=start, refunded_at=start + n * HOUR, due_at=start + 9 * HOUR)
        for n in range(1, 11)
    ]
    measured = measure_lead_time(refunds)
    assert (measured.count, measured.median, measured.p90) == (10, 5 * HOUR, 9 * HOUR)
    # The promise is kept before its last moment.
    assert measured.on_time == 80
    nothing = measure_lead_time([])
    assert (nothing.count, nothing.median, nothing.p90, nothing.on_time) == (0, None, None, None)


@pytest.mark.parametrize(("percent", "hours"), [(50, 1), (90, 1), (100, 1)])
def test_one_return_is_its_own_median(percent, hours):
    assert percentile([HOUR], percent) == hours * HOUR


def test_rates_by_product_and_reason():
    pieces = [
        Piece(key="a", title="Cup", reason="FAULTY", pieces=1),
        Piece(key="b", title="Pot", reason="WITHDRAWAL", pieces=5),
        Piece(key="a", title="Cup", reason="DOES_NOT_FIT", pieces=2),
    ]
    pot, cup = rate_products(pieces, sold={"a": 12})
    assert (pot.returned, pot.percent) == (5, None)
    assert (cup.returned, cup.percent) == (3, 25)
    assert cup.reasons == (("DOES_NOT_FIT", 2), ("FAULTY", 1))

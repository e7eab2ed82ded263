"""What returns know of people is forgotten in time, and what was booked stays."""

from datetime import timedelta

import pytest
from django.utils import timezone

from oscar_loyalty.flows import return_mails, sweeping
from oscar_loyalty.returns.label_services import store_label
from oscar_loyalty.returns.labels import Label
from oscar_loyalty.returns.models import Return, ReturnLabel, ReturnLine, Withdrawal
from oscar_loyalty.returns.queries import find_ready_label
from oscar_loyalty.returns.retention import forget_details

from .world import ask, make_order, pick_all

pytestmark = pytest.mark.django_db


def make_return(account, *, days, **ended):
    """Ended so many days ago, of a guest who wrote something, with a label."""
    now = timezone.now()
    order = make_order(account.user)
    one = ask(order, pick_all(order, comment="My cat bit it"))
    label = ReturnLabel.objects.create(of_return=one)
    made = Label(pdf=b"%PDF", tracking_code=f"T{one.pk}", qr_text="1", valid_until=now)
    store_label(label=label, made=made, provider="test", now=now)
    moments = {name: now - timedelta(days=days) for name in ended or ["settled_at"]}
    Return.objects.filter(pk=one.pk).update(email="guest@example.com", **moments)
    return one


def is_known(one):
    one.refresh_from_db()
    line, label = one.lines.get(), one.label
    known = {bool(one.email), bool(line.comment), label.pdf is not None, bool(label.qr_text)}
    assert len(known) == 1
    return known.pop()


def test_details_are_kept_for_so_long_after_the_end_of_a_return(account, settings, mailoutbox):
    now = timezone.now()
    settled = make_return(account, days=366)
    closed = make_return(account, days=366, closed_at=True)
    recent = make_return(account, days=364)
    running = ask(make_order(account.user))
    ReturnLine.objects.filter(of_return=running).update(comment="Still here")
    Return.objects.filter(pk=running.pk).update(requested_at=now - timedelta(days=4000))
    assert sweeping.forget_old_news(now=now) == 2
    assert sweeping.forget_old_news(now=now) == 0
    assert [is_known(one) for one in (settled, closed, recent)] == [False, False, True]
    assert running.lines.get().comment == "Still here"
    # What was booked stays, the code still finds it, and nobody is written to or offered a label.
    assert (settled.lines.get().quantity, settled.label.tracking_code) == (1, f"T{settled.pk}")
    assert find_ready_label(return_id=settled.pk) is None
    Return.objects.filter(pk=settled.pk).update(user_id=None)
    return_mails.send_mail_about(event_id=settled.events.get().pk)
    assert not mailoutbox
    settings.OSCAR_LOYALTY_RETURN_DETAILS_DAYS = 30
    assert sweeping.forget_old_news(now=now) == 1


def test_in_batches_nothing_is_left_over(account):
    for _one in range(3):
        make_return(account, days=400)
    assert [forget_details(before=timezone.now(), limit=2) for _time in range(3)] == [2, 1, 0]


def test_declarations_are_kept_for_seven_years_and_while_they_wait(db, settings):
    now = timezone.now()
    old, new = now - timedelta(days=2558), now - timedelta(days=2556)
    states = Withdrawal.State
    for number, state, closed_at in (
        ("W1", states.MATCHED, old),
        ("W2", states.CLOSED, old),
        ("W3", states.CLOSED, new),
        ("W4", states.RECEIVED, None),
    ):
        Withdrawal.objects.create(
            number=number,
            name="Anna",
            email="anna@example.com",
            order_text="1",
            state=state,
            closed_at=closed_at,
            received_at=old,
        )
    assert sweeping.forget_old_news(now=now) == 2
    assert set(Withdrawal.objects.values_list("number", flat=True)) == {"W3", "W4"}
    settings.OSCAR_LOYALTY_WITHDRAWAL_KEPT_DAYS = 10
    assert sweeping.forget_old_news(now=now) == 1

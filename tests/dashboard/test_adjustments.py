"""Asking, looking, booking, approving, undoing: by the right people, once."""

from uuid import uuid4

import pytest
from django.utils import timezone

from oscar_loyalty.points import services
from oscar_loyalty.points.models import Adjustment, Entry
from oscar_loyalty.programmes.models import ProgrammeVersion
from oscar_loyalty.testing.ledger import assert_ledger_balanced

from .conftest import EVERYTHING, hold, url

WISH = {
    "points": "50",
    "reason_code": "GOODWILL",
    "internal_note": "Parcel was late",
    "customer_text_de": "Verspätete Lieferung",
    "customer_text_en": "Late delivery",
}


def form_of(client, account):
    """What the browser sends back: the hidden fields of the form that it was shown."""
    form = client.get(url("adjust", account.member.public_id)).context["form"]
    return {"key": str(form["key"].value()), "seen": form["seen"].value()}


def send(client, account, *, button="send", hidden=None, **changes):
    data = {**WISH, **(hidden or form_of(client, account)), button: "1", **changes}
    return client.post(url("adjust", account.member.public_id), data, follow=True)


def balance(account):
    account.refresh_from_db()
    assert_ledger_balanced(account)
    return account.available


@pytest.fixture
def limit(programme):
    """More than 100 points need a second person."""
    ProgrammeVersion.objects.update(four_eyes_points=100)


def test_the_preview_shows_the_effect_and_writes_nothing(desk, make_member):
    account = make_member("anna", points=100)
    text = send(desk, account, button="preview").content.decode()
    assert "150" in text
    assert "Book now" in text
    assert "Late delivery" in text
    assert not Adjustment.objects.exists()


def test_the_form_of_the_preview_books(desk, make_member):
    account = make_member("anna", points=100)
    preview = send(desk, account, button="preview")
    form = preview.context["form"]
    hidden = {"key": form["key"].value(), "seen": form["seen"].value()}
    assert "The points were booked." in send(desk, account, hidden=hidden).content.decode()
    assert balance(account) == 150
    entry = Entry.objects.get(kind="ADJUST_UP")
    assert entry.actor_ref == f"user:{desk.user.pk}"
    assert entry.adjustment.internal_note == "Parcel was late"


def test_a_double_click_books_once(desk, make_member):
    account = make_member("anna", points=100)
    hidden = form_of(desk, account)
    send(desk, account, hidden=hidden)
    send(desk, account, hidden=hidden)
    assert balance(account) == 150
    assert Adjustment.objects.count() == 1


def test_the_same_wish_from_a_new_form_is_a_new_one(desk, make_member):
    account = make_member("anna", points=100)
    send(desk, account)
    send(desk, account)
    assert balance(account) == 200


def test_a_key_that_somebody_else_used_books_nothing(desk, log_in, make_member):
    account = make_member("anna", points=100)
    hidden = form_of(desk, account)
    send(desk, account, hidden=hidden)
    other = log_in(*EVERYTHING, name="other")
    hidden = {**form_of(other, account), "key": hidden["key"]}
    assert "sent before with other contents" in send(other, account, hidden=hidden).content.decode()
    assert balance(account) == 150


def test_an_old_form_says_what_has_changed_and_books_nothing(desk, make_member):
    account = make_member("anna", points=100)
    hidden = form_of(desk, account)
    hold(account, 40)
    response = send(desk, account, hidden=hidden, points="-30")
    text = response.content.decode()
    assert "available points: 100 before, 60 now" in text
    assert "reserved points: 0 before, 40 now" in text
    assert balance(account) == 60
    form = response.context["form"]
    again = {"key": form["key"].value(), "seen": form["seen"].value()}
    send(desk, account, hidden=again, points="-30")
    assert balance(account) == 30


@pytest.mark.parametrize("seen", ["", "x", "OPEN.1.2.3", "OPEN.a.b.c.d", "OPEN." + "9" * 90 + ".0.0.0"])
def test_a_form_without_a_past_books_nothing(desk, make_member, seen):
    account = make_member("anna", points=100)
    assert send(desk, account, hidden={"key": str(uuid4()), "seen": seen}).status_code == 200
    assert balance(account) == 100


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"points": "0"}, "Zero points change nothing."),
        ({"points": "-101"}, "Only 100 points are available"),
        ({"points": "1.5"}, "whole number"),
        ({"points": "9" * 20}, "less than or equal"),
        ({"points": "NaN"}, "whole number"),
        ({"reason_code": "UNDO"}, "not one of the available choices"),
        ({"reason_code": ""}, "required"),
        ({"internal_note": "a\0b"}, "Null characters are not allowed"),
        ({"customer_text_de": "x" * 201}, "at most 200 characters"),
        ({"key": "no uuid"}, ""),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(desk, make_member, changes, words):
    account = make_member("anna", points=100)
    response = send(desk, account, **changes)
    assert words in response.content.decode()
    assert not Adjustment.objects.exists()


def test_an_account_that_is_frozen_takes_no_adjustment(desk, make_member):
    account = make_member("anna", points=100)
    services.freeze_account(account_id=account.pk, actor_id=desk.user.pk, note="odd", now=timezone.now())
    text = send(desk, account).content.decode()
    assert "account is not open" in text
    assert balance(account) == 100
    assert not Adjustment.objects.filter(state="BOOKED").exists()


# Four eyes


def ask(client, account, points="150"):
    assert "waits for a second person" in send(client, account, points=points).content.decode()
    return Adjustment.objects.get(state="REQUESTED")


def decide(client, adjustment, *, button="book"):
    page = client.get(url("adjustment", adjustment.public_id))
    return client.post(
        url("adjustment-decide", adjustment.public_id),
        {"seen": page.context["seen"], button: "1"},
        follow=True,
    ).content.decode()


def test_above_the_limit_nothing_is_booked_until_a_second_person_approves(desk, log_in, make_member, limit):
    account = make_member("anna", points=100)
    assert "need a second person" in send(desk, account, button="preview", points="150").content.decode()
    wish = ask(desk, account)
    assert balance(account) == 100
    own = desk.get(url("adjustment", wish.public_id)).content.decode()
    assert "You asked for this adjustment yourself. Above 100 points a second person" in own
    assert "Approve and book" not in own
    assert "You asked for this adjustment yourself" in decide(desk, wish)
    assert balance(account) == 100

    second = log_in("view_member", "view_adjustment", "approve_adjustment", name="second")
    assert "Parcel was late" in second.get(url("adjustments")).content.decode()
    assert "The points were booked." in decide(second, wish)
    assert balance(account) == 250
    wish.refresh_from_db()
    assert (wish.requested_by, wish.decided_by) == (desk.user, second.user)
    assert Entry.objects.get(kind="ADJUST_UP").actor_ref == f"user:{second.user.pk}"


def test_the_limit_itself_and_deductions_are_measured_too(desk, make_member, limit):
    account = make_member("anna", points=300)
    assert "booked" in send(desk, account, points="-100").content.decode()
    ask(desk, account, points="-101")
    assert balance(account) == 200


def test_a_second_person_rejects_and_a_late_approval_says_so(desk, log_in, make_member, limit):
    account = make_member("anna", points=100)
    wish = ask(desk, account)
    second = log_in("view_member", "view_adjustment", "approve_adjustment", name="second")
    assert "discarded" in decide(second, wish, button="reject")
    assert (
        "Somebody was faster"
        in second.post(url("adjustment-decide", wish.public_id), {"book": "1"}, follow=True).content.decode()
    )
    assert balance(account) == 100


def test_whoever_asked_may_withdraw(desk, make_member, limit):
    account = make_member("anna", points=100)
    wish = ask(desk, account)
    assert "discarded" in decide(desk, wish, button="reject")
    wish.refresh_from_db()
    assert wish.state == "REJECTED"


def test_without_the_permission_to_approve_others_wishes_stay_theirs(desk, log_in, make_member, limit):
    account = make_member("anna", points=100)
    wish = ask(desk, account)
    clerk = log_in("view_member", "view_adjustment", "add_adjustment", name="colleague")
    assert "may not decide on what others ask for" in decide(clerk, wish)
    assert "may not decide on what others ask for" in decide(clerk, wish, button="reject")
    wish.refresh_from_db()
    assert wish.state == "REQUESTED"


def test_approving_twice_books_once(desk, log_in, make_member, limit):
    account = make_member("anna", points=100)
    wish = ask(desk, account)
    second = log_in("view_member", "view_adjustment", "approve_adjustment", name="second")
    decide(second, wish)
    assert (
        "Somebody was faster"
        in second.post(url("adjustment-decide", wish.public_id), {"book": "1"}, follow=True).content.decode()
    )
    assert balance(account) == 250


def test_an_approval_of_an_old_page_shows_the_new_balance_first(desk, log_in, make_member, limit):
    account = make_member("anna", points=200)
    wish = ask(desk, account, points="-150")
    second = log_in("view_member", "view_adjustment", "approve_adjustment", name="second")
    page = second.get(url("adjustment", wish.public_id))
    hold(account, 10)
    text = second.post(
        url("adjustment-decide", wish.public_id),
        {"seen": page.context["seen"], "book": "1"},
        follow=True,
    ).content.decode()
    assert "available points: 200 before, 190 now" in text
    assert balance(account) == 190


# Undoing


def test_undoing_books_the_opposite_once(desk, make_member):
    account = make_member("anna", points=100)
    send(desk, account)
    wish = Adjustment.objects.get()
    page = desk.get(url("adjustment", wish.public_id))
    assert "Book the opposite" in page.content.decode()
    undo = url("adjustment-undo", wish.public_id)
    text = desk.post(undo, {"seen": page.context["seen"]}, follow=True).content.decode()
    assert "The adjustment was undone." in text
    assert balance(account) == 100
    text = desk.post(undo, {"seen": page.context["seen"]}, follow=True).content.decode()
    assert "nothing to undo" in text
    assert balance(account) == 100
    assert Adjustment.objects.count() == 2


def test_nothing_is_decided_by_looking(desk, make_member, limit):
    account = make_member("anna", points=100)
    wish = ask(desk, account)
    for name in ("adjustment-decide", "adjustment-undo"):
        assert desk.get(url(name, wish.public_id)).status_code == 405
    desk.get(url("adjust", account.member.public_id), {**WISH, "send": "1"})
    assert balance(account) == 100

"""Merging, closing, moving points and auditing."""

import pytest
from django.db import connection
from django.urls import reverse

from oscar_loyalty.points.models import Account, Entry, Lot, MemberMerge
from oscar_loyalty.programmes.models import ProgrammeVersion
from oscar_loyalty.testing.ledger import assert_ledger_balanced

from .conftest import hold, url


def fields_of(client, address):
    form = client.get(address).context["form"]
    return {"key": str(form["key"].value()), "seen": form["seen"].value()}


def balance(account):
    account.refresh_from_db()
    assert_ledger_balanced(account)
    return account.available


@pytest.fixture
def anna(make_member):
    return make_member("anna", points=100)


@pytest.fixture
def otto(make_member):
    return make_member("otto", points=30, first_name="Otto", last_name="Tal")


@pytest.fixture
def limit(programme):
    ProgrammeVersion.objects.update(four_eyes_points=50)


# Merging


def ask_for_merge(client, source, remaining, *, button="send", **changes):
    address = url("merge-request", source.member.public_id)
    data = {**fields_of(client, address), "target": str(remaining.member.public_id), "note": "One person"}
    return client.post(address, {**data, button: "1", **changes}, follow=True)


def decide(client, merge, *, button="book"):
    page = client.get(url("merge", merge.pk))
    return client.post(
        url("merge-decide", merge.pk), {"seen": page.context["seen"], button: "1"}, follow=True
    ).content.decode()


def test_a_merge_is_looked_at_asked_for_and_booked(desk, anna, otto):
    hold(anna, 10)
    preview = ask_for_merge(desk, anna, otto, button="preview").content.decode()
    assert "Anna Berg → Otto Tal" in preview
    assert "130" in preview
    assert not MemberMerge.objects.exists()
    for _click in range(2):
        response = ask_for_merge(desk, anna, otto, target="otto@example.com")
    merge = MemberMerge.objects.get()
    assert response.context["merge"] == merge
    assert "Merges" in desk.get(url("merges")).content.decode()
    assert "The members were merged." in decide(desk, merge)
    assert balance(otto) == 130
    assert balance(anna) == 0
    text = desk.get(url("member", anna.member.public_id)).content.decode()
    assert url("member", otto.member.public_id) in text
    assert "merged" in text
    entry = Entry.objects.get(account=otto, kind="MOVE_IN")
    out = Entry.objects.get(account=anna, kind="MOVE_OUT")
    assert url("entry", out.public_id) in desk.get(url("entry", entry.public_id)).content.decode()
    assert (
        "Somebody was faster"
        in desk.post(url("merge-decide", merge.pk), {"book": "1"}, follow=True).content.decode()
    )


def test_above_the_limit_a_second_person_merges(desk, log_in, anna, otto, limit):
    ask_for_merge(desk, anna, otto)
    merge = MemberMerge.objects.get()
    assert "You asked for this merge yourself. Above 50 points" in decide(desk, merge)
    assert balance(otto) == 30
    second = log_in("view_member", "view_membermerge", "approve_membermerge", name="second")
    assert "The members were merged." in decide(second, merge)
    assert balance(otto) == 130


def test_a_merge_is_rejected_by_who_may(desk, log_in, anna, otto):
    ask_for_merge(desk, anna, otto)
    merge = MemberMerge.objects.get()
    clerk = log_in("view_member", "view_membermerge", "add_membermerge", name="colleague")
    assert "may not decide on what others ask for" in decide(clerk, merge, button="reject")
    assert "may not decide on what others ask for" in decide(clerk, merge)
    assert "nothing was booked" in decide(desk, merge, button="reject")
    merge.refresh_from_db()
    assert merge.state == "REJECTED"
    assert balance(otto) == 30


def test_a_merge_page_that_is_old_says_what_has_changed(desk, anna, otto):
    ask_for_merge(desk, anna, otto)
    merge = MemberMerge.objects.get()
    seen = desk.get(url("merge", merge.pk)).context["seen"]
    hold(otto, 5)
    text = desk.post(url("merge-decide", merge.pk), {"seen": seen, "book": "1"}, follow=True).content.decode()
    assert "Otto Tal: available points: 30 before, 25 now" in text
    assert balance(anna) == 100


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("nobody@example.com", "There is no such member."),
        ("00000000-0000-4000-8000-000000000000", "There is no such member."),
        ("a\0b", "Null characters"),
        ("anna@example.com", "This is the same member."),
        ("", "This field is required."),
    ],
)
def test_a_merge_with_nobody_is_refused_in_words(desk, anna, target, words):
    assert words in ask_for_merge(desk, anna, anna, target=target).content.decode()
    assert not MemberMerge.objects.exists()


# Moving points


def move(client, source, *, points="40", target="otto@example.com", button="send", fields=None, **more):
    address = url("transfer", source.member.public_id)
    data = {**(fields or fields_of(client, address)), "target": target, "points": points, button: "1"}
    return client.post(address, {**data, **more}, follow=True).content.decode()


def test_points_are_moved_once(desk, anna, otto):
    assert "60 remain" in move(desk, anna, button="preview")
    fields = fields_of(desk, url("transfer", anna.member.public_id))
    assert "The points were moved." in move(desk, anna, fields=fields)
    move(desk, anna, fields=fields)
    assert (balance(anna), balance(otto)) == (60, 70)
    sent = Entry.objects.get(kind="MOVE_OUT")
    assert sent.actor_ref == f"user:{desk.user.pk}"
    assert "Otto Tal" in desk.get(url("entry", sent.public_id)).content.decode()


def test_why_points_were_moved_is_noted_for_staff(desk, anna, otto):
    preview = move(desk, anna, button="preview", note="Earned at the wrong till")
    assert "Earned at the wrong till</textarea>" in preview
    move(desk, anna, note="Earned at the wrong till")
    for kind in ("MOVE_OUT", "MOVE_IN"):
        entry = Entry.objects.get(kind=kind)
        assert entry.explanation["note"] == "Earned at the wrong till"
        assert "Earned at the wrong till" in desk.get(url("entry", entry.public_id)).content.decode()
    for member in (anna.member, otto.member):
        desk.force_login(member.user)
        assert "wrong till" not in desk.get(reverse("loyalty:my-points")).content.decode()


def test_points_are_moved_without_a_word_too(desk, anna, otto):
    move(desk, anna)
    assert "note" not in Entry.objects.get(kind="MOVE_OUT").explanation


def test_too_many_points_are_not_moved(desk, anna, otto, limit):
    assert "somebody other than whoever asked" in move(desk, anna, points="51")
    ProgrammeVersion.objects.update(four_eyes_points=None)
    assert "does not have so many points" in move(desk, anna, points="101")
    assert "greater than or equal to 1" in move(desk, anna, points="0")
    assert (balance(anna), balance(otto)) == (100, 30)


# Closing


def test_an_account_is_closed_after_a_clear_yes(desk, anna):
    hold(anna, 10)
    address = url("close", anna.member.public_id)
    text = desk.get(address).content.decode()
    assert "This cannot be undone" in text
    fields = fields_of(desk, address)
    assert "This field is required." in desk.post(address, fields).content.decode()
    assert balance(anna) == 90
    text = desk.post(address, {**fields, "sure": "on"}, follow=True).content.decode()
    assert "The account is closed." in text
    assert "was closed already" in desk.post(address, {**fields, "sure": "on"}, follow=True).content.decode()
    assert balance(anna) == 0
    assert anna.status == Account.Status.CLOSED
    assert Entry.objects.get(kind="FORFEIT").actor_ref == f"user:{desk.user.pk}"
    assert "was closed already" in desk.get(address).content.decode()


def test_closing_from_an_old_page_shows_the_new_balance_first(desk, anna):
    address = url("close", anna.member.public_id)
    fields = fields_of(desk, address)
    hold(anna, 10)
    text = desk.post(address, {**fields, "sure": "on"}, follow=True).content.decode()
    assert "available points: 100 before, 90 now" in text
    assert balance(anna) == 90


def test_a_member_whose_person_was_deleted_is_closed(desk, anna):
    anna.member.user.delete()
    address = url("close", anna.member.public_id)
    desk.post(address, {**fields_of(desk, address), "sure": "on"})
    assert balance(anna) == 0
    assert anna.status == Account.Status.CLOSED


# Auditing


def test_an_audit_says_that_everything_adds_up(desk, anna):
    address = url("audit", anna.member.public_id)
    text = desk.post(address).content.decode()
    assert "Everything adds up" in text
    assert desk.get(address).status_code == 405


def test_an_audit_says_in_words_what_is_wrong(desk, anna):
    Lot.objects.update(remaining=99, expired=1)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE oscar_loyalty_account SET available = 99, expired = 1")
    text = desk.post(url("audit", anna.member.public_id)).content.decode()
    assert "promises of the ledger are broken" in text
    assert "A column of a lot is not what its postings add up to." in text
    assert "Order anna-1" in text

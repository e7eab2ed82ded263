from decimal import Decimal

import pytest
from django.contrib.auth import get_user_model
from django.db.models import ProtectedError
from django.urls import reverse
from django.utils import timezone
from oscar.core.loading import get_model
from oscar.test import factories

from oscar_loyalty.members.models import Member
from oscar_loyalty.points import services
from oscar_loyalty.points.models import Account, Adjustment, Entry, Hold
from oscar_loyalty.points.rules import LineEarning
from oscar_loyalty.testing.ledger import assert_ledger_balanced

from .conftest import award, hold

pytestmark = pytest.mark.host
MEMBERS = "admin:oscar_loyalty_member_changelist"


def page_of(account):
    return reverse("admin:oscar_loyalty_member_change", args=[account.member_id])


def names_found(admin_client, term):
    response = admin_client.get(reverse(MEMBERS), {"q": term})
    assert response.status_code == 200
    return {member.user.email.partition("@")[0] for member in response.context["cl"].result_list}


@pytest.mark.parametrize("term", ["anna", "berg", "Anna Berg", "anna@example.com", "anna-1"])
def test_a_member_is_found_by_name_address_and_order_number(admin_client, make_member, term):
    make_member("anna", points=100)
    make_member("otto", points=100, first_name="Otto", last_name="Tal")
    assert names_found(admin_client, term) == {"anna"}


def test_a_member_is_found_by_public_id_and_by_an_order_that_earned_nothing(admin_client, make_member):
    account = make_member("anna")
    make_member("otto", first_name="Otto", last_name="Tal")
    get_model("order", "Order").objects.create(
        number="4711", user=account.member.user, total_incl_tax=1, total_excl_tax=1
    )
    assert names_found(admin_client, str(account.member.public_id)) == {"anna"}
    assert names_found(admin_client, "4711") == {"anna"}
    assert names_found(admin_client, "471") == set()


def test_the_list_shows_balances_in_as_many_statements_for_ten_members_as_for_one(
    admin_client, make_member, django_assert_num_queries, django_assert_max_num_queries
):
    make_member("anna", points=1234)
    with django_assert_max_num_queries(8) as one:
        response = admin_client.get(reverse(MEMBERS))
    assert "1,234" in response.content.decode()
    for number in range(9):
        make_member(f"member{number}", points=100)
    with django_assert_num_queries(len(one.captured_queries)):
        admin_client.get(reverse(MEMBERS))


def test_the_page_of_a_member_says_why_each_point_came(admin_client, make_member):
    account = make_member("anna", points=119)
    text = admin_client.get(page_of(account)).content.decode()
    assert "119 points available" in text
    assert "1 point for every €1.00, on €119.40 with VAT, without shipping" in text
    assert "rounded down once for the whole order" in text
    assert "order:anna-1 (119)" in text
    assert "marketing e-mail" in text


def test_the_page_speaks_of_german_money_to_a_german_reader(admin_client, make_member):
    account = make_member("anna", points=119)
    text = admin_client.get(page_of(account), headers={"accept-language": "de"}).content.decode()
    assert "119,40\xa0€" in text


def test_an_entry_says_which_product_earned_how_much(admin_client, make_member):
    account = make_member("anna", first_name="Anna", last_name="Berg")
    order = factories.create_order(number="100042", user=account.member.user)
    [line] = order.lines.all()
    earned = LineEarning(ref=f"line:{line.pk}", basis=Decimal("119.40"), points=119)
    shipped = LineEarning(ref="shipping", basis=Decimal("4.90"), points=5)
    entry = award(account, 124, order="100042", lines=[earned, shipped])
    page = admin_client.get(
        reverse("admin:oscar_loyalty_entry_change", args=[entry.pk]), headers={"accept-language": "de"}
    )
    text = page.content.decode().replace("\xa0", " ")
    assert f"<p>{line.title}: 119 Punkte (auf 119,40 €)</p>" in text
    assert "<p>Versand: 5 Punkte (auf 4,90 €)</p>" in text
    assert ">Anna Berg</a>" in text


def test_the_page_takes_as_many_statements_for_a_page_of_entries_as_for_one(
    admin_client, make_member, django_assert_max_num_queries
):
    account = make_member("anna", points=100)
    page = page_of(account)
    with django_assert_max_num_queries(20) as first:
        admin_client.get(page)
    for number in range(2, 12):
        award(account, 100, order=f"anna-{number}")
    with django_assert_max_num_queries(len(first.captured_queries)):
        admin_client.get(page)


def test_the_ledger_is_paged_with_the_newest_entry_first(admin_client, make_member):
    account = make_member("anna", points=100)
    for number in range(2, 16):
        award(account, 100, order=f"anna-{number}")
    first = admin_client.get(page_of(account))
    assert [row["row"].entry.seq for row in first.context["rows"]][:2] == [30, 29]
    last = admin_client.get(page_of(account), {"page": "2"})
    assert last.context["rows"][-1]["row"].entry.seq == 1
    assert admin_client.get(page_of(account), {"page": "nonsense"}).status_code == 200


def test_a_member_without_points_has_a_page_that_says_so(admin_client, make_member):
    text = admin_client.get(page_of(make_member("anna"))).content.decode()
    assert "Nothing has been booked yet." in text
    assert "No points were ever reserved." in text


def test_a_member_whose_account_is_gone_or_whose_customer_was_deleted_still_has_a_page(
    admin_client, make_member
):
    account = make_member("anna", points=100)
    account.member.user.delete()
    response = admin_client.get(page_of(account))
    assert str(account.member.public_id) in response.content.decode()
    Account.objects.filter(pk=account.pk).update(open_key=None)
    assert "no open points account" in admin_client.get(page_of(account)).content.decode()


def test_an_unknown_member_leads_back_to_the_start(admin_client, db):
    assert admin_client.get(reverse("admin:oscar_loyalty_member_change", args=[0])).status_code == 302


def test_deleting_a_customer_in_the_admin_keeps_the_ledger(admin_client, make_member):
    account = make_member("anna", points=100)
    user = account.member.user
    response = admin_client.post(
        reverse(f"admin:{user._meta.label_lower.replace('.', '_')}_delete", args=[user.pk]), {"post": "yes"}
    )
    assert response.status_code == 302
    assert not get_user_model().objects.filter(pk=user.pk).exists()
    member = Member.objects.get(pk=account.member_id)
    assert member.user is None
    assert Entry.objects.filter(account=account).count() == 2
    assert_ledger_balanced(account)


def test_deleting_a_member_is_refused_everywhere(admin_client, make_member):
    account = make_member("anna", points=100)
    url = reverse("admin:oscar_loyalty_member_delete", args=[account.member_id])
    assert admin_client.post(url, {"post": "yes"}).status_code == 403
    action = {"action": "delete_selected", "_selected_action": [account.member_id], "post": "yes"}
    admin_client.post(reverse(MEMBERS), action)
    assert Member.objects.filter(pk=account.member_id).exists()
    with pytest.raises(ProtectedError):
        account.member.delete()


@pytest.mark.parametrize("model", ["member", "entry", "hold", "adjustment", "outboxmessage"])
@pytest.mark.parametrize("name", ["add", "delete"])
def test_not_even_a_superuser_adds_or_deletes_rows_of_the_ledger(admin_client, make_member, model, name):
    account = make_member("anna", points=100)
    hold(account, 10)
    adjustment = Adjustment.objects.create(
        account=account, points=5, reason_code="GOODWILL", requested_at=account.member.joined_at
    )
    from oscar_loyalty.outbox.models import OutboxMessage

    pk = {
        "member": account.member_id,
        "entry": Entry.objects.first().pk,
        "hold": Hold.objects.get().pk,
        "adjustment": adjustment.pk,
        "outboxmessage": OutboxMessage.objects.first().pk,
    }[model]
    args = [] if name == "add" else [pk]
    assert admin_client.get(reverse(f"admin:oscar_loyalty_{model}_{name}", args=args)).status_code == 403
    change = reverse(f"admin:oscar_loyalty_{model}_change", args=[pk])
    assert admin_client.get(change).status_code == 200
    assert admin_client.post(change, {"points": 1}).status_code == 403
    listing = admin_client.get(reverse(f"admin:oscar_loyalty_{model}_changelist"))
    assert "delete_selected" not in listing.content.decode()


def test_accounts_and_postings_have_no_page_of_their_own():
    from django.contrib import admin

    from oscar_loyalty.points.models import EarnedLine, Posting

    assert not {Account, Posting, EarnedLine} & set(admin.site._registry)


@pytest.mark.parametrize("model", ["entry", "hold", "adjustment", "outboxmessage", "programmeversion"])
def test_lists_take_as_many_statements_for_many_rows_as_for_one(
    admin_client, make_member, django_assert_max_num_queries, model
):
    url = reverse(f"admin:oscar_loyalty_{model}_changelist")

    def grow(name):
        account = make_member(name, points=100)
        hold(account, 10, ref=f"basket:{name}")
        Adjustment.objects.create(
            account=account, points=5, reason_code="GOODWILL", requested_at=account.member.joined_at
        )

    grow("first")
    with django_assert_max_num_queries(10) as one:
        admin_client.get(url)
    for number in range(9):
        grow(f"member{number}")
    with django_assert_max_num_queries(len(one.captured_queries)):
        admin_client.get(url)


def test_who_may_only_look_sees_no_way_to_adjust(clerk, make_member):
    account = make_member("anna", points=100)
    client = clerk("view_member")
    assert "Adjust points" not in client.get(page_of(account)).content.decode()
    request = reverse("admin:oscar_loyalty_adjustment_request", args=[account.member_id])
    assert client.get(request).status_code == 403


def test_releasing_holds_needs_its_own_permission(clerk, make_member):
    account = make_member("anna", points=100)
    reserved = hold(account, 40)
    client = clerk("view_hold")
    release = {"action": "release", "_selected_action": [reserved.pk], "_release": "1"}
    url = reverse("admin:oscar_loyalty_hold_changelist")
    client.post(url, release)
    reserved.refresh_from_db()
    assert reserved.state == Hold.State.OPEN


def test_releasing_a_hold_gives_the_points_back_once(admin_client, make_member):
    account = make_member("anna", points=100)
    reserved = hold(account, 40)
    release = {"action": "release", "_selected_action": [reserved.pk], "_release": "1"}
    url = reverse("admin:oscar_loyalty_hold_changelist")
    text = admin_client.post(url, release, follow=True).content.decode()
    assert "1 reservation was ended." in text
    text = admin_client.post(url, release, follow=True).content.decode()
    assert "0 reservations were ended." in text
    assert_ledger_balanced(account)
    assert (account.available, account.held) == (100, 0)


def test_what_would_be_ended_is_shown_before_it_is(admin_client, make_member):
    anna, otto = make_member("anna", points=100), make_member("otto", points=100)
    ended = hold(otto, 7, ref="basket:ended")
    services.release_hold(ref="basket:ended", now=timezone.now())
    chosen = [hold(anna, 40, ref="basket:1"), hold(otto, 25, ref="basket:2"), ended]
    url = reverse("admin:oscar_loyalty_hold_changelist")
    choice = {"action": "release", "_selected_action": [reserved.pk for reserved in chosen]}
    page = admin_client.post(url, choice)
    text = page.content.decode()
    assert "40 points for basket:1" in text
    assert "25 points for basket:2" in text
    assert "<strong>Points:</strong> 65" in text
    assert "basket:ended" not in text
    assert set(Hold.objects.filter(state="OPEN")) == set(chosen[:2])
    wanted = [reserved.pk for reserved in page.context["holds"]]
    agreed = {"action": "release", "_selected_action": wanted, "_release": "1"}
    assert "2 reservations were ended." in admin_client.post(url, agreed, follow=True).content.decode()
    assert not Hold.objects.filter(state="OPEN").exists()


def test_only_so_many_reservations_are_ended_at_once(admin_client, make_member, monkeypatch):
    monkeypatch.setattr("oscar_loyalty.admin.ledger._MOST_HOLDS", 2)
    account = make_member("anna", points=100)
    for number in range(3):
        hold(account, 10, ref=f"basket:{number}")
    url = reverse("admin:oscar_loyalty_hold_changelist")
    choice = {"action": "release", "_selected_action": [1], "select_across": "1", "index": "0"}
    page = admin_client.post(url, choice)
    assert "These are the oldest 2 of 3 open reservations" in page.content.decode()
    assert [reserved.ref for reserved in page.context["holds"]] == ["basket:0", "basket:1"]


def test_the_outbox_is_filtered_by_delivery(admin_client, make_member):
    from oscar_loyalty.outbox.models import OutboxMessage

    make_member("anna", points=100)
    failed = OutboxMessage.objects.order_by("pk").last()
    failed.attempts = 2
    failed.last_error = "ValueError: no"
    failed.save()
    url = reverse("admin:oscar_loyalty_outboxmessage_changelist")
    counts = {
        delivery: admin_client.get(url, {"delivery": delivery}).context["cl"].result_count
        for delivery in ("waiting", "failed", "sent")
    }
    assert counts["failed"] == 1
    assert counts["waiting"] > 1
    assert counts["sent"] == 0

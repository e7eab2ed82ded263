import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse

from oscar_loyalty.points.models import Adjustment, Lot, MemberMerge
from oscar_loyalty.programmes.models import ProgrammeVersion
from oscar_loyalty.testing.ledger import assert_ledger_balanced

from .conftest import make_user
from .test_adjustments import ask_for


@pytest.fixture
def limit(programme):
    ProgrammeVersion.objects.update(four_eyes_points=40)


@pytest.fixture
def second(db):
    from django.test import Client

    user = make_user("second", is_staff=True)
    wanted = ["view_member", "view_membermerge", "approve_membermerge", "approve_adjustment"]
    user.user_permissions.set(Permission.objects.filter(codename__in=[*wanted, "view_adjustment"]))
    client = Client()
    client.force_login(user)
    return client


def request_merge(client, source, target="otto@example.com"):
    url = reverse("admin:oscar_loyalty_membermerge_request", args=[source.member_id])
    return client.post(url, {"target": target, "internal_note": "One person"}, follow=True)


def confirm(client, merge, button="_book"):
    url = reverse("admin:oscar_loyalty_membermerge_confirm", args=[merge.pk])
    return client.post(url, {button: "1"}, follow=True).content.decode()


def available(account):
    account.refresh_from_db()
    assert_ledger_balanced(account)
    return account.available


@pytest.fixture
def two(make_member):
    return make_member("anna", points=100), make_member("otto", points=30, first_name="Otto", last_name="Tal")


def test_members_are_merged_after_a_look(admin_client, two):
    anna, otto = two
    text = request_merge(admin_client, anna).content.decode()
    assert "Anna Berg → Otto Tal" in text
    assert "100 + 30 → 130" in text
    merge = MemberMerge.objects.get()
    assert "The members were merged." in confirm(admin_client, merge)
    assert "Somebody was faster" in confirm(admin_client, merge)
    assert (available(anna), available(otto)) == (0, 130)


def test_many_points_take_a_second_person(admin_client, second, two, limit):
    anna, otto = two
    assert "second person has to approve" in request_merge(admin_client, anna).content.decode()
    merge = MemberMerge.objects.get()
    assert "second person has to approve" in confirm(admin_client, merge)
    assert available(otto) == 30
    assert "The members were merged." in confirm(second, merge)
    assert available(otto) == 130


def test_a_merge_is_discarded(admin_client, two):
    request_merge(admin_client, two[0])
    assert "nothing was booked" in confirm(admin_client, MemberMerge.objects.get(), "_discard")
    assert MemberMerge.objects.get().state == "REJECTED"


def test_nobody_merges_without_the_permission(clerk, two):
    client = clerk("view_member", "view_membermerge")
    assert request_merge(client, two[0]).status_code == 403
    assert not MemberMerge.objects.exists()


@pytest.mark.parametrize("target", ["nobody@example.com", "anna@example.com", ""])
def test_a_merge_with_nobody_is_refused(admin_client, two, target):
    assert request_merge(admin_client, two[0], target).status_code == 200
    assert not MemberMerge.objects.exists()


def test_many_points_of_an_adjustment_take_a_second_person(admin_client, second, two, limit):
    anna, _otto = two
    confirm_url = ask_for(admin_client, anna)
    text = admin_client.post(confirm_url, {"_book": "1"}, follow=True).content.decode()
    assert "second person has to approve" in text
    assert available(anna) == 100
    second.post(confirm_url, {"_book": "1"})
    assert available(anna) == 150
    assert Adjustment.objects.get().decided_by.email == "second@example.com"


@pytest.mark.parametrize("model", ["lot", "membermerge"])
def test_lots_and_merges_are_not_written_by_hand(admin_client, two, model):
    request_merge(admin_client, two[0])
    pk = {"lot": Lot.objects.first().pk, "membermerge": MemberMerge.objects.get().pk}[model]
    base = f"admin:oscar_loyalty_{model}"
    assert admin_client.get(reverse(f"{base}_changelist")).status_code == 200
    assert admin_client.get(reverse(f"{base}_change", args=[pk])).status_code == 200
    assert admin_client.post(reverse(f"{base}_change", args=[pk]), {"amount": 9}).status_code == 403
    assert admin_client.post(reverse(f"{base}_add"), {"amount": 9}).status_code == 403
    assert admin_client.post(reverse(f"{base}_delete", args=[pk]), {"post": "yes"}).status_code == 403
    before = Lot.objects.count()
    admin_client.post(
        reverse(f"{base}_changelist"),
        {"action": "delete_selected", "_selected_action": [pk], "post": "yes"},
    )
    assert Lot.objects.count() == before
    assert MemberMerge.objects.exists()

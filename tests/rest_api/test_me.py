from datetime import timedelta

import pytest

from oscar_loyalty.members.models import Consent, Member
from oscar_loyalty.points import services
from oscar_loyalty.points.models import Account
from tests.rest_api.conftest import NOW, ROOT, earn

ME = ROOT + "me"
MEMBERSHIP = ROOT + "me/membership"
MARKETING = ROOT + "me/consents/marketing"


def test_a_member_sees_standing_and_points(client, member):
    earn(member, 1200, order="1")
    earn(member, 30, order="2", active_at=NOW + timedelta(days=3))
    services.hold_points(
        account_id=member.pk,
        ref="basket:1",
        requested=200,
        currency="EUR",
        expires_at=NOW + timedelta(hours=1),
        now=NOW,
    )
    body = client.get(ME).json()
    assert body["state"] == "member"
    assert body["id"] == str(member.member.public_id)
    assert body["balance"] == {
        "available": 1000,
        "pending": 30,
        "held": 200,
        "deficit": 0,
        "value": "10.00",
        "currency": "EUR",
    }
    assert body["next_expiry"]["points"] == 1200
    assert body["terms"]["accepted_version"] == body["terms"]["current_version"] == "2026-01"
    assert body["consents"] == {"marketing": {"granted": False, "answered_at": None}}


def test_a_new_member_sees_zeros_and_not_nothing(client, member):
    body = client.get(ME).json()
    assert body["balance"] == {
        "available": 0,
        "pending": 0,
        "held": 0,
        "deficit": 0,
        "value": "0.00",
        "currency": "EUR",
    }
    assert body["next_expiry"] is None


def test_points_that_are_due_count_before_a_late_job_has_booked_them(client, member):
    earn(member, 50, order="1", active_at=NOW + timedelta(days=1))
    Account.objects.update(due_at=NOW - timedelta(seconds=5))
    member.lots.update(active_at=NOW - timedelta(seconds=5))
    balance = client.get(ME).json()["balance"]
    assert (balance["available"], balance["pending"]) == (50, 0)


def test_a_customer_who_has_not_joined_is_told_so_and_what_to_accept(client, programme):
    answer = client.get(ME)
    assert answer.status_code == 200
    assert answer.json() == {
        "state": "not_member",
        "id": None,
        "member_since": None,
        "terms": {"current_version": "2026-01", "accepted_version": None, "accepted_at": None},
        "balance": None,
        "next_expiry": None,
        "consents": None,
        "birthday": None,
    }


def test_a_former_member_can_tell_themselves_from_a_stranger(client, member):
    Member.objects.update(status="LEFT", left_at=NOW)
    assert client.get(ME).json()["state"] == "left"


def test_a_frozen_account_is_named(client, member):
    Account.objects.update(status="FROZEN")
    assert client.get(ME).json()["state"] == "frozen"


def test_it_costs_the_same_with_one_and_with_ten_lots(client, member, count_statements):
    earn(member, 10, order="0")
    assert count_statements(lambda: client.get(ME)) == 7  # two of them: session and user
    for number in range(1, 10):
        earn(member, 10, order=str(number))
    assert count_statements(lambda: client.get(ME)) == 7


def test_joining_stores_the_terms_and_says_nothing_about_mails(client, customer, programme):
    answer = client.post(MEMBERSHIP, {"accept_terms": "2026-01"}, format="json")
    assert answer.status_code == 201
    assert answer.json()["state"] == "member"
    assert Member.objects.get().user == customer
    assert not Consent.objects.exists()


@pytest.mark.parametrize("marketing", [True, False])
def test_an_answer_to_the_separate_question_is_logged_with_its_source(client, programme, marketing):
    body = {"accept_terms": "2026-01", "marketing": marketing}
    joined = client.post(MEMBERSHIP, body, format="json").json()
    assert joined["consents"]["marketing"]["granted"] is marketing
    consent = Consent.objects.get()
    assert (consent.granted, consent.source) == (marketing, "API")


def test_joining_twice_is_joining_once(client, programme):
    codes = [client.post(MEMBERSHIP, {"accept_terms": "2026-01"}, format="json").status_code for _ in "ab"]
    assert codes == [201, 200]
    assert Member.objects.count() == Account.objects.count() == 1


def test_a_former_member_can_come_back(client, member):
    Member.objects.update(status="LEFT", left_at=NOW)
    assert client.post(MEMBERSHIP, {"accept_terms": "2026-01"}, format="json").status_code == 201
    assert client.get(ME).json()["state"] == "member"


def test_terms_that_changed_meanwhile_are_named_and_nobody_joins(client, programme):
    answer = client.post(MEMBERSHIP, {"accept_terms": "2025-09"}, format="json")
    assert answer.status_code == 409
    assert answer.json()["code"] == "terms_changed"
    assert answer.json()["terms_version"] == "2026-01"
    assert not Member.objects.exists()


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/accept_terms"),
        ({"accept_terms": ""}, "/accept_terms"),
        ({"accept_terms": None}, "/accept_terms"),
        ({"accept_terms": ["2026-01"]}, "/accept_terms"),
        ({"accept_terms": "2026-01\0"}, "/accept_terms"),
        ({"accept_terms": "2026-01", "marketing": "yes"}, "/marketing"),
        ({"accept_terms": "2026-01", "marketing": 1}, "/marketing"),
        ([], ""),
    ],
)
def test_nobody_joins_by_accident(client, programme, body, pointer):
    answer = client.post(MEMBERSHIP, body, format="json")
    assert answer.status_code == 400
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert not Member.objects.exists()


def test_a_member_cannot_give_themselves_points_or_another_name(client, programme):
    body = {"accept_terms": "2026-01", "available": 999, "id": "x", "state": "frozen", "user": 77}
    joined = client.post(MEMBERSHIP, body, format="json").json()
    assert (joined["state"], joined["balance"]["available"]) == ("member", 0)


def test_a_change_of_mind_about_mails_is_a_new_row(client, member):
    for granted in (True, True, False):
        answer = client.put(MARKETING, {"granted": granted}, format="json")
        assert (answer.status_code, answer.json()["granted"]) == (200, granted)
    assert list(Consent.objects.order_by("pk").values_list("granted", flat=True)) == [True, False]


@pytest.mark.parametrize("body", [{}, {"granted": None}, {"granted": "true"}, {"granted": 1}])
def test_a_consent_is_never_guessed(client, member, body):
    assert client.put(MARKETING, body, format="json").status_code == 400
    assert not Consent.objects.exists()


def test_a_stranger_has_no_consents_to_give(client, programme):
    answer = client.put(MARKETING, {"granted": True}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (403, "not_member")

"""Events, birthdays and profiles through the API."""

import json

import pytest
from django.contrib.auth.models import Permission
from oscar.test import factories

from oscar_loyalty.earning.models import EarningRule
from oscar_loyalty.points.models import Entry
from oscar_loyalty.programmes.models import ProgrammeVersion

URL = "/api/loyalty/v1/events"


@pytest.fixture
def system(db):
    user = factories.UserFactory(username="till")
    user.user_permissions.add(Permission.objects.get(codename="report_event"))
    return user


@pytest.fixture
def rule(programme):
    return EarningRule.objects.create(
        version=ProgrammeVersion.objects.latest("number"),
        code="survey",
        name="Survey",
        kind="BONUS",
        parameters={"points": 25, "per": "ORDER"},
        occasion="EVENT",
        event_code="survey",
        text_de="Umfrage",
        text_en="Survey",
    )


def report(client, member, *, key="k1", event="survey"):
    headers = {"Idempotency-Key": key} if key else {}
    body = json.dumps({"event": event, "member": str(member)})
    return client.post(URL, body, content_type="application/json", headers=headers)


def test_a_system_reports_an_event_and_repeats_it_safely(client, system, rule, member):
    client.force_login(system)
    public_id = member.member.public_id
    first, again = report(client, public_id), report(client, public_id)
    assert (first.status_code, first.json()) == (201, {"points": 25})
    assert (again.status_code, again.json()) == (200, {"points": 25})
    assert Entry.objects.filter(explanation__rule="EVENT").count() == 1
    unknown = report(client, public_id, key="k2", event="nothing")
    assert (unknown.status_code, unknown.json()) == (200, {"points": 0})


def test_problems_have_codes(client, system, rule, member):
    client.force_login(system)
    public_id = member.member.public_id
    report(client, public_id)
    answers = {
        "idempotency_key_missing": report(client, public_id, key=""),
        "idempotency_key_reused": report(client, public_id, event="other"),
        "member_unknown": report(client, "7b0c1c70-6d3f-4a55-9f0e-0d6c8c5e2a11", key="k3"),
        "invalid_input": report(client, public_id, key="k4", event="with blanks"),
    }
    assert {code: answer.json()["code"] for code, answer in answers.items()} == {
        code: code for code in answers
    }
    assert [answer.status_code for answer in answers.values()] == [400, 409, 404, 400]


def test_only_who_may_report_reports(client, rule, member, customer):
    public_id = member.member.public_id
    assert report(client, public_id).status_code in (401, 403)
    client.force_login(customer)
    assert report(client, public_id).status_code == 403


def test_a_member_tells_the_birthday_once(client, member, customer):
    client.force_login(customer)

    def put(month, day):
        body = json.dumps({"month": month, "day": day})
        return client.put("/api/loyalty/v1/me/birthday", body, content_type="application/json")

    assert client.get("/api/loyalty/v1/me").json()["birthday"] is None
    assert put(2, 30).status_code == 400
    assert (put(2, 29).status_code, put(2, 29).json()) == (200, {"month": 2, "day": 29})
    refused = put(3, 1)
    assert (refused.status_code, refused.json()["code"]) == (409, "birthday_fixed")
    assert client.get("/api/loyalty/v1/me").json()["birthday"] == {"month": 2, "day": 29}


def test_an_incomplete_profile_is_told_so(client, member, customer):
    client.force_login(customer)
    answer = client.post("/api/loyalty/v1/me/profile-completed", content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (409, "profile_incomplete")

import json
from datetime import UTC, datetime

import pytest
from oscar.core.loading import get_model
from rest_framework.test import APIClient

from oscar_loyalty.points.models import Account, Entry, Hold
from oscar_loyalty.rest_api.problems import TITLES
from oscar_loyalty.rest_api.texts import REDEMPTION_REASONS, REDEMPTION_STATES
from oscar_loyalty.shop.offers import ensure_offer
from oscar_loyalty.testing.ledger import assert_ledger_balanced
from tests.rest_api.conftest import ROOT, earn, make_product, put_in_basket

URL = ROOT + "basket/redemption"


@pytest.fixture
def basket(customer, member):
    """Goods for 39.80 euros, and 1,000 points (10 euros) to spend on them."""
    ensure_offer()
    earn(member, 1000, order="1")
    return put_in_basket(customer, make_product("19.90"), 2)


def put(client, points):
    return client.put(URL, {"points": points}, format="json")


def test_a_member_reads_what_points_can_do_for_the_basket(client, basket):
    answer = client.get(URL)
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "private, no-store"
    assert answer.json() == {
        "state": "redeemable",
        "text": "You can spend points on this basket.",
        "currency": "EUR",
        "available": 1000,
        "requested": 0,
        "applied": 0,
        "amount": "0.00",
        "reasons": [],
        "limits": {
            "minimum": 1,
            "step": 1,
            "maximum": 1000,
            "maximum_amount": "10.00",
            "maximum_reasons": [{"code": "balance", "text": "You do not have more points."}],
            "share_percent": "100.00",
        },
        "goods": "39.80",
        "total": "39.80",
        "balance_after": 1000,
        "expires_at": None,
    }


def test_points_take_their_value_off_the_basket_at_once(client, basket, member):
    body = put(client, 500).json()
    assert (body["requested"], body["applied"], body["amount"]) == (500, 500, "5.00")
    assert (body["goods"], body["total"], body["balance_after"]) == ("39.80", "34.80", 500)
    assert datetime.fromisoformat(body["expires_at"]) > datetime.now(UTC)
    assert client.get(URL).json() == body
    assert client.get(ROOT + "me").json()["balance"]["held"] == 500
    assert_ledger_balanced(member)


def test_asking_twice_replaces_and_undoing_twice_does_no_harm(client, basket, member):
    put(client, 500)
    assert put(client, 200).json()["applied"] == 200
    undone = client.delete(URL)
    assert (undone.status_code, undone.json()["applied"], undone.json()["total"]) == (200, 0, "39.80")
    assert client.delete(URL).status_code == 200
    member.refresh_from_db()
    assert (member.available, member.held) == (1000, 0)
    assert_ledger_balanced(member)


def test_more_than_there_is_is_cut_and_the_answer_says_why(client, basket):
    body = put(client, 5000).json()
    assert (body["requested"], body["applied"]) == (5000, 1000)
    assert body["reasons"] == [{"code": "balance", "text": "You do not have more points."}]


def test_a_share_of_the_goods_is_named_as_the_limit(client, basket, version):
    version.__class__.objects.update(maximum_share_percent=10)
    limits = client.get(URL).json()["limits"]
    assert (limits["maximum"], limits["maximum_amount"], limits["share_percent"]) == (398, "3.98", "10.00")
    assert [reason["code"] for reason in limits["maximum_reasons"]] == ["share"]


def test_less_than_the_minimum_is_refused_and_changes_nothing(client, basket, version):
    version.__class__.objects.update(minimum_points=100)
    put(client, 300)
    answer = put(client, 99)
    assert (answer.status_code, answer.json()["code"]) == (409, "minimum")
    assert answer.json()["detail"] == "This would be less than the smallest redemption."
    assert client.get(URL).json()["applied"] == 300


@pytest.mark.parametrize(
    "number",
    [
        '"12"',
        "1.5",
        "1.0",
        "true",
        "null",
        "0",
        "-1",
        "1e400",
        "1e2",
        "NaN",
        "Infinity",
        "-Infinity",
        str(2**63),
        str(2**63 - 1),
        "9" * 5000,
        '"\uff11\uff12"',
        "\uff11\uff12",
        "[]",
        "{}",
        "-0",
    ],
)
def test_only_whole_json_numbers_are_points(client, basket, number):
    answer = client.put(URL, f'{{"points": {number}}}', content_type="application/json")
    body = answer.json()
    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"
    if body["code"] != "parse_error":
        assert [error["pointer"] for error in body["errors"]] == ["/points"]
    assert not Hold.objects.exists()
    assert Entry.objects.filter(kind="HOLD").count() == 0


@pytest.mark.parametrize("body", ["", "[1]", "5", '{"points"', "[" * 100_000, "\xff", '{"point": 5}'])
def test_what_is_no_request_is_refused_as_a_problem(client, basket, body):
    answer = client.put(URL, body.encode("latin-1"), content_type="application/json")
    assert answer.status_code == 400
    assert answer.json()["code"] in ("parse_error", "invalid_input")
    assert not Hold.objects.exists()


def test_forms_are_not_json(client, basket):
    answer = client.put(URL, "points=5", content_type="application/x-www-form-urlencoded")
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


def test_an_empty_basket_says_so(client, member):
    ensure_offer()
    earn(member, 1000, order="1")
    assert client.get(URL).json()["state"] == "basket_empty"
    answer = put(client, 100)
    assert (answer.status_code, answer.json()["code"]) == (409, "basket_empty")
    assert client.delete(URL).status_code == 200


def test_a_customer_who_has_not_joined_is_invited(client, customer, programme):
    put_in_basket(customer, make_product())
    body = client.get(URL).json()
    assert (body["state"], body["text"]) == ("not_member", "Join the programme to earn and spend points.")
    assert put(client, 100).json()["code"] == "not_member"


def test_a_guest_may_look_and_is_asked_to_log_in(guest_client, programme):
    body = guest_client.get(URL).json()
    assert (body["state"], body["text"]) == ("guest", "Log in to spend points.")
    for answer in (put(guest_client, 100), guest_client.delete(URL)):
        assert (answer.status_code, answer.json()["code"]) == (403, "not_authenticated")


def test_a_frozen_account_cannot_spend(client, basket):
    Account.objects.update(status="FROZEN")
    assert client.get(URL).json()["state"] == "account_frozen"
    assert put(client, 100).json()["code"] == "account_frozen"


def test_a_paused_programme_keeps_points_safe(client, basket, programme):
    programme.__class__.objects.update(redemption_paused=True)
    assert client.get(URL).json()["state"] == "paused"
    assert (put(client, 100).status_code, put(client, 100).json()["code"]) == (409, "paused")


def test_nobody_touches_another_members_basket(client, basket, other_member, guest_client):
    put(client, 500)
    guest_client.force_login(other_member.member.user, backend="django.contrib.auth.backends.ModelBackend")
    assert guest_client.get(URL).json()["applied"] == 0
    assert guest_client.delete(URL).status_code == 200
    assert client.get(URL).json()["applied"] == 500


def test_every_state_and_reason_has_a_text_and_a_title():
    assert set(REDEMPTION_STATES) - {"redeemable"} <= set(TITLES)
    assert set(REDEMPTION_REASONS) <= set(TITLES)


def test_it_costs_the_same_with_one_and_with_ten_lines(client, customer, basket, count_statements):
    put(client, 500)
    one = count_statements(lambda: client.get(URL))
    for _ in range(9):
        put_in_basket(customer, make_product("5.00"))
    # Oscar itself asks twice more for each line when it applies an offer; this app adds nothing.
    get_model("offer", "ConditionalOffer").objects.update(status="Suspended")
    base = count_statements(lambda: client.get(URL))
    assert base <= one + 2 * 9


def test_the_basket_of_django_oscar_api_is_found_by_its_session_id(customer, basket, settings):
    pytest.importorskip("oscarapi")
    settings.MIDDLEWARE = [
        "oscarapi.middleware.HeaderSessionMiddleware" if "SessionMiddleware" in name else name
        for name in settings.MIDDLEWARE
    ]
    app = APIClient(enforce_csrf_checks=True)
    header = {"session-id": "SID:ANON:testserver:4711"}
    logged_in = app.post(
        "/api/login/",
        json.dumps({"username": "anna", "password": "secret"}),
        content_type="application/json",
        headers=header,
    )
    assert logged_in.status_code == 200
    header = {"session-id": "SID:AUTH:testserver:4711"}
    app.cookies.clear()
    spent = app.put(URL, {"points": 500}, format="json", headers=header)
    assert (spent.status_code, spent.json()["applied"]) == (200, 500)
    shown = app.get("/api/basket/", headers=header).json()
    assert shown["total_incl_tax"] == "34.80"
    assert [discount["amount"] for discount in shown["offer_discounts"]] == ["5.00"]

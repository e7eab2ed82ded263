"""What holds for every endpoint: who may call it, how it fails, and that it is as documented."""

import io
import re
from datetime import timedelta
from functools import cache
from pathlib import Path

import jsonschema
import pytest
import yaml
from django.core.management import call_command
from django.utils import translation
from rest_framework.test import APIClient

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.members.models import Member
from oscar_loyalty.rest_api.problems import TITLES
from oscar_loyalty.shop.offers import ensure_offer
from tests.rest_api.conftest import NOW, ROOT, earn, make_product, put_in_basket

TOP = Path(__file__).parents[2]

CALLS = {
    "programme": ("get", None),
    "me": ("get", None),
    "me/membership": ("post", {"accept_terms": "2026-01"}),
    "me/consents/marketing": ("put", {"granted": True}),
    "me/birthday": ("put", {"month": 5, "day": 10}),
    "me/profile-completed": ("post", None),
    "me/tier": ("get", None),
    "me/perks": ("get", None),
    "tiers": ("get", None),
    "basket/perks": ("get", None),
    "me/ledger": ("get", None),
    "me/lots": ("get", None),
    "me/transfers": ("post", {"points": 5, "recipient": "ben@example.com"}),
    "earn-previews": ("post", {"basket": True}),
    "basket/redemption": ("get", None),
    "claims": ("get", None),
    "claims/link": ("post", None),
    "return-links": ("post", {"order": "100042", "email": "guest@example.com"}),
    "returns": ("get", None),
    "schema": ("get", None),
}

EVENT = {"member": "7b0c1c70-6d3f-4a55-9f0e-0d6c8c5e2a11", "event": "visit"}

#: role, method, path, body, status
PERMISSIONS = [
    ("guest", "get", "programme", None, 200),
    ("guest", "get", "me", None, 403),
    ("guest", "post", "me/membership", {"accept_terms": "2026-01"}, 403),
    ("guest", "put", "me/consents/marketing", {"granted": True}, 403),
    ("guest", "get", "me/ledger", None, 403),
    ("guest", "get", "me/lots", None, 403),
    ("guest", "post", "me/transfers", {"points": 5, "recipient": "ben@example.com"}, 403),
    ("guest", "post", "earn-previews", {"basket": True}, 200),
    ("guest", "get", "basket/redemption", None, 200),
    ("guest", "put", "basket/redemption", {"points": 5}, 403),
    ("guest", "delete", "basket/redemption", None, 403),
    ("guest", "get", "schema", None, 200),
    ("customer", "get", "programme", None, 200),
    ("customer", "get", "me", None, 200),
    ("customer", "post", "me/membership", {"accept_terms": "2026-01"}, 201),
    ("customer", "put", "me/consents/marketing", {"granted": True}, 403),
    ("customer", "get", "me/ledger", None, 403),
    ("customer", "get", "me/lots", None, 403),
    ("customer", "post", "me/transfers", {"points": 5, "recipient": "ben@example.com"}, 403),
    ("customer", "post", "earn-previews", {"basket": True}, 200),
    ("customer", "get", "basket/redemption", None, 200),
    ("customer", "put", "basket/redemption", {"points": 5}, 409),
    ("customer", "delete", "basket/redemption", None, 200),
    ("member", "get", "programme", None, 200),
    ("member", "get", "me", None, 200),
    ("member", "post", "me/membership", {"accept_terms": "2026-01"}, 200),
    ("member", "put", "me/consents/marketing", {"granted": True}, 200),
    ("member", "get", "me/ledger", None, 200),
    ("member", "get", "me/lots", None, 200),
    ("member", "post", "me/transfers", {"points": 5, "recipient": "ben@example.com"}, 400),
    ("member", "post", "earn-previews", {"basket": True}, 200),
    ("member", "get", "basket/redemption", None, 200),
    ("member", "put", "basket/redemption", {"points": 5}, 409),
    ("member", "delete", "basket/redemption", None, 200),
    ("guest", "get", "orders/{number}/delivery", None, 404),
    ("guest", "put", "orders/{number}/delivery", {"delivered_at": "2026-01-01T12:00:00Z"}, 404),
    ("customer", "get", "orders/{number}/delivery", None, 404),
    ("customer", "put", "orders/{number}/delivery", {"delivered_at": "2026-01-01T12:00:00Z"}, 404),
    ("member", "get", "orders/{number}/delivery", None, 404),
    ("member", "put", "orders/{number}/delivery", {"delivered_at": "2026-01-01T12:00:00Z"}, 404),
    ("guest", "get", "claims", None, 200),
    ("guest", "post", "claims", {"token": "x"}, 403),
    ("guest", "post", "claims/link", None, 202),
    ("customer", "get", "claims", None, 200),
    ("customer", "post", "claims", {"token": "x"}, 404),
    ("customer", "post", "claims", {}, 409),
    ("customer", "post", "claims/link", None, 202),
    ("member", "get", "claims", None, 200),
    ("member", "post", "claims", {"token": "x"}, 404),
    ("member", "post", "claims", {}, 409),
    ("member", "post", "claims/link", None, 202),
    ("guest", "post", "withdrawals", {}, 400),
    ("customer", "post", "withdrawals", {}, 400),
    ("member", "post", "withdrawals", {}, 400),
    ("guest", "post", "return-links", {"order": "1", "email": "guest@example.com"}, 202),
    ("customer", "post", "return-links", {"order": "1", "email": "guest@example.com"}, 202),
    ("member", "post", "return-links", {"order": "1", "email": "guest@example.com"}, 202),
    ("guest", "get", "tiers", None, 200),
    ("guest", "get", "basket/perks", None, 200),
    ("guest", "get", "me/tier", None, 403),
    ("guest", "get", "me/perks", None, 403),
    ("guest", "put", "me/birthday", {"month": 5, "day": 10}, 403),
    ("guest", "post", "me/profile-completed", None, 403),
    ("guest", "post", "events", EVENT, 403),
    ("customer", "get", "tiers", None, 200),
    ("customer", "get", "basket/perks", None, 200),
    ("customer", "get", "me/tier", None, 403),
    ("customer", "get", "me/perks", None, 200),
    ("customer", "put", "me/birthday", {"month": 5, "day": 10}, 403),
    ("customer", "post", "me/profile-completed", None, 403),
    ("customer", "post", "events", EVENT, 403),
    ("member", "get", "tiers", None, 200),
    ("member", "get", "basket/perks", None, 200),
    ("member", "get", "me/tier", None, 200),
    ("member", "get", "me/perks", None, 200),
    ("member", "put", "me/birthday", {"month": 5, "day": 10}, 200),
    ("member", "post", "me/profile-completed", None, 409),
    ("member", "post", "events", EVENT, 403),
    ("guest", "post", "payments", {}, 409),
    ("customer", "post", "payments", {}, 409),
    ("member", "post", "payments", {}, 409),
    *(
        (role, method, path, body, 404)
        for role in ("guest", "customer", "member")
        for method, path, body in [
            ("get", "orders/{number}/returnable-lines", None),
            ("post", "orders/{number}/return-previews", {"lines": [{"line": 1, "quantity": 1}]}),
            ("post", "orders/{number}/returns", {"lines": [{"line": 1, "quantity": 1}]}),
            ("get", "returns/{number}", None),
            ("post", "returns/{number}/cancellation", None),
            ("get", "returns/{number}/label.pdf", None),
            ("get", "returns/{number}/label.svg", None),
            ("post", "returns/{number}/photos", {"line": 1, "content": ""}),
            ("get", "returns/{number}/photos/{photo_id}", None),
        ]
    ),
    *(
        (role, method, path, body, 403)
        for role in ("guest", "customer", "member")
        for method, path, body in [
            ("get", "warehouse/returns", None),
            ("post", "warehouse/returns/{number}/transit", None),
            ("post", "warehouse/returns/{number}/receipt", None),
            ("post", "warehouse/returns/{number}/late-receipt", {"reason": "here at last"}),
            ("post", "warehouse/returns/{number}/inspection", {"lines": []}),
        ]
    ),
    ("guest", "get", "returns", None, 403),
    ("customer", "get", "returns", None, 200),
    ("member", "get", "returns", None, 200),
    ("former member", "get", "me", None, 200),
    ("former member", "get", "me/ledger", None, 403),
    ("former member", "get", "me/lots", None, 403),
    ("former member", "post", "me/transfers", {"points": 5, "recipient": "ben@example.com"}, 403),
    ("former member", "put", "me/consents/marketing", {"granted": True}, 403),
    ("former member", "put", "basket/redemption", {"points": 5}, 409),
]


@cache
def read_contract() -> dict:
    return yaml.safe_load((TOP / "openapi.yaml").read_text())


def call(client: APIClient, method: str, path: str, body=None, **extra):
    return getattr(client, method)(ROOT + path, body, format="json", **extra)


@pytest.fixture
def as_role(request, client, guest_client, programme):
    def choose(role: str) -> APIClient:
        if role in ("member", "former member"):
            request.getfixturevalue("member")
        if role == "former member":
            Member.objects.update(status="LEFT", left_at=NOW)
        return guest_client if role == "guest" else client

    return choose


@pytest.mark.parametrize(("role", "method", "path", "body", "status"), PERMISSIONS)
def test_who_may_do_what(as_role, role, method, path, body, status):
    assert call(as_role(role), method, path, body).status_code == status


def test_every_operation_of_the_contract_stands_in_the_table_of_permissions():
    contract = read_contract()
    documented = {
        (method, path.removeprefix(ROOT))
        for path, operations in contract["paths"].items()
        for method in operations
        if path != ROOT + "schema"
    }
    tested = {(method, path) for _role, method, path, _body, _status in PERMISSIONS}
    assert documented <= tested


def test_switched_off_orders_can_still_be_paid(client, programme, settings):
    settings.OSCAR_LOYALTY_ENABLED = False
    assert call(client, "post", "payments", {}).json()["code"] == "basket_empty"


def test_guests_pay_only_where_the_shop_lets_them(guest_client, programme, settings):
    settings.OSCAR_ALLOW_ANON_CHECKOUT = False
    answer = call(guest_client, "post", "payments", {})
    assert (answer.status_code, answer.json()["code"]) == (403, "not_authenticated")


@pytest.mark.parametrize("path", CALLS)
def test_switched_off_nothing_answers(client, member, settings, path):
    settings.OSCAR_LOYALTY_ENABLED = False
    method, body = CALLS[path]
    answer = call(client, method, path, body)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("path", "method"), [("nothing", "get"), ("me/", "get"), ("", "post"), ("me/x", "put")]
)
def test_what_is_not_there_is_a_problem_too(client, db, path, method):
    answer = call(client, method, path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_a_problem_has_all_that_the_standard_asks_for(client, db):
    answer = call(client, "delete", "me")
    assert answer["Content-Type"] == "application/problem+json"
    assert answer["Cache-Control"] == "private, no-store"
    assert answer.json() == {
        "type": "urn:oscar-loyalty:problem:method-not-allowed",
        "title": "This is not possible here",
        "status": 405,
        "code": "method_not_allowed",
        "detail": 'Method "DELETE" not allowed.',
    }


def test_what_nobody_foresaw_is_a_problem_and_is_reported(programme, customer, monkeypatch, caplog):
    def fail(**_facts):
        raise RuntimeError("secret detail")

    monkeypatch.setattr("oscar_loyalty.rest_api.v1.me.describe_me", fail)
    client = APIClient(raise_request_exception=False)
    client.force_login(customer, backend="django.contrib.auth.backends.ModelBackend")
    answer = call(client, "get", "me")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "secret detail" not in answer.content.decode()
    assert "secret detail" in caplog.text


def test_a_session_needs_its_csrf_token(customer, programme):
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(customer, backend="django.contrib.auth.backends.ModelBackend")
    answer = call(client, "post", "me/membership", {"accept_terms": "2026-01"})
    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
    assert not Member.objects.exists()


def test_who_the_caller_is_is_decided_by_the_shop(customer, member, guest_client):
    import base64

    password = base64.b64encode(b"anna:secret").decode()
    known = guest_client.get(ROOT + "me", headers={"authorization": f"Basic {password}"})
    assert known.json()["state"] == "member"
    wrong = guest_client.get(ROOT + "me", headers={"authorization": "Basic nonsense"})
    assert wrong.json()["code"] == "authentication_failed"


def test_too_many_requests_are_told_how_long_to_wait(client, guest_client, member, settings):
    settings.OSCAR_LOYALTY_THROTTLE_RATES = {"personal": "2/min"}
    answers = [call(client, "get", "me") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].json()["code"] == "throttled"
    assert 0 < int(answers[2]["Retry-After"]) <= 60
    assert call(client, "get", "programme").status_code == 200
    assert call(client, "put", "me/consents/marketing", {"granted": True}).status_code == 200


def test_a_shop_can_lift_a_limit(client, member, settings):
    settings.OSCAR_LOYALTY_THROTTLE_RATES = {"personal": None}
    assert loyalty_settings.throttle_rates["write"] == "30/min"
    assert {call(client, "get", "me").status_code for _ in range(3)} == {200}


@pytest.mark.parametrize("path", [path for path in CALLS if path not in ("programme", "tiers", "schema")])
def test_personal_answers_are_never_cached(client, member, path):
    method, body = CALLS[path]
    assert call(client, method, path, body)["Cache-Control"] == "private, no-store"


def test_no_answer_holds_an_id_of_the_database(client, member, customer):
    text = "".join(
        call(client, *CALLS[path][:1], path, CALLS[path][1]).content.decode()
        for path in ("me", "me/ledger", "me/lots")
    )
    assert f'"id":{member.pk}' not in text
    assert not re.search(r'"[a-z_]*id":\d', text)


def test_the_committed_contract_is_what_the_code_says():
    written = io.StringIO()
    call_command(
        "spectacular",
        urlconf="oscar_loyalty.urls",
        custom_settings="oscar_loyalty.rest_api.schema.SETTINGS",
        validate=True,
        fail_on_warn=True,
        stdout=written,
    )
    committed = (TOP / "openapi.yaml").read_text()
    assert written.getvalue().strip() == committed.strip(), "run `make openapi` and look at the difference"


def assert_as_documented(answer, method: str, path: str) -> None:
    contract = read_contract()
    documented = contract["paths"][ROOT + path][method]["responses"][str(answer.status_code)]["content"]
    schema = documented[answer["Content-Type"]]["schema"]
    jsonschema.Draft202012Validator({**schema, "components": contract["components"]}).validate(answer.json())


@pytest.mark.parametrize(("role", "method", "path", "body", "status"), PERMISSIONS)
def test_every_answer_is_as_documented(as_role, role, method, path, body, status):
    if path != "schema":
        assert_as_documented(call(as_role(role), method, path, body), method, path)


def test_full_answers_are_as_documented(client, customer, member, settings):
    ensure_offer()
    earn(member, 1000, order="1")
    earn(member, 10, order="2", active_at=NOW + timedelta(days=9))
    product = make_product()
    put_in_basket(customer, product, 2)
    assert_as_documented(
        call(client, "put", "basket/redemption", {"points": 2000}), "put", "basket/redemption"
    )
    for path in ("me", "me/ledger", "me/lots", "basket/redemption"):
        assert_as_documented(call(client, "get", path), "get", path)
    asked = {"items": [{"product": product.pk}, {"product": 999}], "basket": True}
    assert_as_documented(call(client, "post", "earn-previews", asked), "post", "earn-previews")
    wrong = {"items": [{"product": "1"}]}
    assert_as_documented(call(client, "post", "earn-previews", wrong), "post", "earn-previews")
    old_terms = {"accept_terms": "2025-09"}
    assert_as_documented(call(client, "post", "me/membership", old_terms), "post", "me/membership")
    settings.OSCAR_LOYALTY_THROTTLE_RATES = {"personal": "1/day"}
    assert_as_documented([call(client, "get", "me") for _ in range(2)][1], "get", "me")


def test_problems_speak_the_language_of_the_request(guest_client, programme):
    answer = call(guest_client, "get", "me", headers={"accept-language": "de"})
    assert answer["Content-Language"] == "de"
    assert answer.json()["detail"] == "Anmeldedaten fehlen."
    with translation.override("de"):
        assert answer.json()["title"] == translation.gettext("Log in first") != "Log in first"


@pytest.mark.parametrize(("language", "point"), [("en", "1 point"), ("de", "1 Punkt")])
def test_sentences_speak_the_language_of_the_request(client, member, language, point):
    earn(member, 1, order="1")
    german_or_english = {"accept-language": language}
    sentences = call(client, "get", "programme", headers=german_or_english).json()["sentences"]
    assert sentences["earning"][0].startswith(point)
    rows = call(client, "get", "me/ledger?kind=EARN", headers=german_or_english).json()["results"]
    assert rows[0]["explanation"]["text"].startswith(point)


def test_a_shop_serves_the_same_contract(guest_client, db):
    served = yaml.safe_load(guest_client.get(ROOT + "schema").content)
    committed = read_contract()
    assert served["components"] == committed["components"]
    assert set(served["paths"]) == set(committed["paths"])
    from drf_spectacular.settings import spectacular_settings

    assert spectacular_settings.TITLE == ""


def test_every_problem_is_documented():
    documented = (TOP / "docs" / "reference" / "api.md").read_text()
    assert not [code for code in TITLES if f"`{code}`" not in documented]

"""What a scanner, a warehouse or a carrier says about returns: with a permission, once for each key."""

import uuid
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.utils import timezone

from oscar_loyalty.flows import return_steps, return_terms, returns
from oscar_loyalty.payments.refund_models import Refund
from oscar_loyalty.returns.models import ReturnEvent
from tests.admin.conftest import make_user
from tests.returns.bank import Bank
from tests.returns.world import ask, make_order, make_policy
from tests.shop import world as shop

pytestmark = pytest.mark.django_db
ROOT = "/api/loyalty/v1/warehouse/returns"
STEPS = ("transit", "receipt", "late-receipt", "inspection")


@pytest.fixture(autouse=True)
def bank(settings):
    settings.OSCAR_LOYALTY_PAYMENT_GATEWAY = "tests.returns.bank.Bank"
    Bank.forget()


@pytest.fixture
def account(db):
    make_policy(shop.make_programme(waiting_days=0))
    return shop.make_member(points=0)


@pytest.fixture
def one(account):
    return ask(make_order(account.user, (("30.00", 2, 19),)))


@pytest.fixture
def scanner(client, db):
    user = make_user("scanner")
    user.user_permissions.add(Permission.objects.get(codename="handle_returns"))
    client.force_login(user)
    client.user = user
    return client


def post(client, one, step, body=None, key=None):
    headers = {"Idempotency-Key": key or str(uuid.uuid4())}
    return client.post(
        f"{ROOT}/{one.number}/{step}", body or {}, content_type="application/json", headers=headers
    )


def inspection(one, **changes):
    line = one.lines.get()
    values = {"line": line.line_id, "accepted": line.quantity, "condition": "as_new", **changes}
    return {"lines": [values]}


def test_a_parcel_is_reported_received_and_inspected(scanner, one):
    assert post(scanner, one, "transit").json()["state"] == "in_transit"
    arrived = post(scanner, one, "receipt").json()
    assert arrived["state"] == "received"
    assert arrived["refund_due_at"]
    done = post(scanner, one, "inspection", inspection(one)).json()
    assert (done["state"], done["is_decided"]) == ("inspected", True)
    assert done["lines"][0]["condition"] == "as_new"
    assert Refund.objects.get().cause_ref.startswith(f"return:{one.number}:")
    assert one.events.get(code="RECEIVED").actor_ref == f"user:{scanner.user.pk}"


def test_the_same_call_again_changes_nothing_and_another_one_needs_a_key_of_its_own(scanner, one):
    key = str(uuid.uuid4())
    first = post(scanner, one, "inspection", inspection(one), key=key)
    assert post(scanner, one, "inspection", inspection(one), key=key).json() == first.json()
    other = post(scanner, one, "inspection", inspection(one, accepted=1, refusal="Broken"), key=key)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")
    assert post(scanner, one, "receipt", key=key).status_code == 409
    assert Refund.objects.count() == 1
    assert ReturnEvent.objects.filter(code="CALL").count() == 1


def test_what_was_decided_stays_and_whoever_differs_is_told(scanner, one):
    post(scanner, one, "inspection", inspection(one))
    assert post(scanner, one, "inspection", inspection(one)).status_code == 200
    other = post(scanner, one, "inspection", inspection(one, accepted=1, refusal="Broken"))
    assert (other.status_code, other.json()["code"]) == (409, "return_decided")


def test_another_deduction_is_another_decision(scanner, one):
    worn = {"condition": "used", "refusal": "Worn"}
    post(scanner, one, "inspection", inspection(one, deduction="5.00", **worn))
    assert post(scanner, one, "inspection", inspection(one, deduction="5.00", **worn)).status_code == 200
    other = post(scanner, one, "inspection", inspection(one, deduction="6.00", **worn))
    assert (other.status_code, other.json()["code"]) == (409, "return_decided")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"accepted": 3}, "too_many"),
        ({"accepted": 1}, "reason_missing"),
        ({"line": 987654}, "unknown_line"),
        ({"accepted": -1}, "invalid_input"),
        ({"accepted": "1"}, "invalid_input"),
        ({"condition": "broken"}, "invalid_input"),
        ({"deduction": "-1"}, "invalid_input"),
    ],
)
def test_what_cannot_be_is_refused_with_a_stable_code(scanner, one, changes, code):
    answer = post(scanner, one, "inspection", inspection(one, **changes))
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    one.refresh_from_db()
    assert one.state == "REQUESTED"


def test_a_return_that_is_over_takes_no_steps(scanner, one):
    returns.cancel_return(return_id=one.pk, actor_ref="customer", now=timezone.now())
    for step in ("transit", "receipt"):
        answer = post(scanner, one, step)
        assert (answer.status_code, answer.json()["code"]) == (409, "return_wrong_state")
    assert post(scanner, one, "inspection", inspection(one)).status_code == 409


def test_a_parcel_that_comes_after_all_is_received_with_a_reason(scanner, one):
    why = {"reason": "The carrier had lost it"}
    answer = post(scanner, one, "late-receipt", why)
    assert (answer.status_code, answer.json()["code"]) == (409, "return_wrong_state")
    returns.cancel_return(return_id=one.pk, actor_ref="customer", now=timezone.now())
    assert post(scanner, one, "late-receipt").json()["code"] == "invalid_input"
    key = str(uuid.uuid4())
    for _time in range(2):
        assert post(scanner, one, "late-receipt", why, key=key).json()["state"] == "received"
    event = one.events.get(code="RECEIVED")
    assert (event.actor_ref, event.reason) == (f"user:{scanner.user.pk}", why["reason"])
    assert post(scanner, one, "inspection", inspection(one)).json()["state"] == "inspected"


def test_a_parcel_is_not_received_late_when_its_pieces_came_otherwise(scanner, one):
    returns.cancel_return(return_id=one.pk, actor_ref="customer", now=timezone.now())
    picks = [return_terms.Pick(line_id=one.lines.get().line_id, quantity=1)]
    returns.request_return(
        order_id=one.order_id, picks=picks, actor_ref="customer", now=timezone.now(), kind="RETURN"
    )
    answer = post(scanner, one, "late-receipt", {"reason": "x"})
    assert (answer.status_code, answer.json()["code"]) == (409, "returned_otherwise")


def test_a_call_needs_a_key_and_a_return(scanner, one):
    answer = scanner.post(f"{ROOT}/{one.number}/receipt", {}, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_missing")
    one.number = "RUNKNOWN"
    answer = post(scanner, one, "receipt")
    assert (answer.status_code, answer.json()["code"]) == (404, "return_unknown")


def test_returns_are_found_by_state_and_by_scan(scanner, account, one):
    second = ask(make_order(account.user))
    return_steps.receive_return(return_id=second.pk, actor_ref="user:1", now=timezone.now())

    def numbers(**query):
        return [row["number"] for row in scanner.get(ROOT, query).json()["results"]]

    assert numbers() == [second.number, one.number]
    assert numbers(state="received") == [second.number]
    assert set(numbers(state=["received", "requested"])) == {one.number, second.number}
    assert numbers(scan=one.number.lower()) == [one.number]
    assert numbers(scan=second.order_ref) == [second.number]
    assert numbers(scan="nothing") == []
    assert scanner.get(ROOT, {"state": "lost"}).json()["errors"][0]["parameter"] == "state"


def test_the_warehouse_learns_neither_name_nor_address(scanner, account, one):
    text = scanner.get(ROOT).content.decode()
    assert account.user.email not in text
    assert account.user.last_name not in text


def test_many_returns_cost_no_more_statements(scanner, account, django_assert_num_queries):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    def cost():
        with CaptureQueriesContext(connection) as statements:
            assert scanner.get(ROOT).status_code == 200
        return len(statements)

    order = make_order(account.user, (("5.00", 5, 19),))
    pick = [return_terms.Pick(line_id=order.lines.get().pk, quantity=1)]
    ask(order, pick)
    cost()  # the shop opens a basket at the first visit
    few = cost()
    for _number in range(3):
        ask(order, pick, now=timezone.now() + timedelta(minutes=1))
    assert cost() == few


@pytest.mark.parametrize("who", ["guest", "customer", "staff"])
def test_nobody_else_gets_in(client, one, account, who):
    if who == "customer":
        client.force_login(account.user)
    elif who == "staff":
        client.force_login(make_user("clerk", is_staff=True))
    answers = [client.get(ROOT), *(post(client, one, step) for step in STEPS)]
    assert {answer.status_code for answer in answers} <= {401, 403}
    one.refresh_from_db()
    assert one.state == "REQUESTED"

"""Withdrawals and the links of guests over the API."""

from datetime import timedelta

import pytest
from django.core import mail
from django.utils import timezone
from oscar.core.loading import get_model
from oscar.test import factories
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory, force_authenticate

from oscar_loyalty.flows.return_access import make_token
from oscar_loyalty.outbox.models import OutboxMessage
from oscar_loyalty.rest_api.problems import Problem
from oscar_loyalty.rest_api.return_access import HEADER, order_for_request
from oscar_loyalty.returns.models import Withdrawal
from oscar_loyalty.shop.order_owners import find_owned_order
from tests.flows.conftest import place_order
from tests.rest_api.conftest import ROOT

WITHDRAWAL = {"name": "Ada Petersen", "order": "100042", "email": "guest@example.com"}


@pytest.fixture
def order(programme):
    return place_order(user=None, guest_email="guest@example.com", at=timezone.now())


@pytest.fixture
def declare(guest_client, django_capture_on_commit_callbacks):
    def call(body=WITHDRAWAL, *, key="k-1", client=guest_client, **headers):
        with django_capture_on_commit_callbacks(execute=True):
            return client.post(
                ROOT + "withdrawals", body, format="json", headers={"Idempotency-Key": key, **headers}
            )

    return call


def test_a_guest_withdraws_and_the_answer_tells_nothing_of_orders(order, declare):
    answers = [declare(), declare({**WITHDRAWAL, "order": "100043"})]
    assert [answer.status_code for answer in answers] == [201, 201]
    first, second = (answer.json() for answer in answers)
    assert first["declaration"] == (
        "I, Ada Petersen, hereby withdraw from the contract for this order: 100042"
    )
    assert first.keys() == second.keys()
    assert first["detail"] == second["detail"]
    assert [one.state for one in Withdrawal.objects.order_by("pk")] == ["MATCHED", "RECEIVED"]
    assert len(mail.outbox) == 2


def test_a_repeated_call_changes_nothing_and_gets_the_same_answer(order, declare):
    first, again = declare(), declare()
    assert first.json() == again.json()
    assert (again.status_code, Withdrawal.objects.count(), len(mail.outbox)) == (201, 1, 1)


def test_strangers_with_the_same_key_do_not_see_each_other(order, declare):
    first = declare(key="1").json()
    other = declare({**WITHDRAWAL, "email": "other@example.com"}, key="1").json()
    assert first["number"] != other["number"]


def test_lines_may_be_named(order, declare):
    line = order.lines.order_by("pk").first()
    declare({**WITHDRAWAL, "lines": [{"line": line.pk, "quantity": 1}]})
    made = Withdrawal.objects.get()
    assert dict(made.of_return.lines.values_list("line_id", "quantity")) == {line.pk: 1}


def test_the_owner_who_is_logged_in_is_known(client, customer, programme, declare):
    place_order(user=customer, at=timezone.now())
    declare({**WITHDRAWAL, "email": "elsewhere@example.com"}, client=client)
    assert Withdrawal.objects.get().state == "MATCHED"


def test_the_language_of_the_call_is_that_of_the_declaration(order, declare):
    declare(**{"Accept-Language": "de"})
    assert Withdrawal.objects.get().language == "de"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {**WITHDRAWAL, "email": "ada@"},
        {**WITHDRAWAL, "name": "x" * 256},
        {**WITHDRAWAL, "name": "a\x00b"},
        {**WITHDRAWAL, "order": ""},
        {**WITHDRAWAL, "goods": "x" * 3001},
        {**WITHDRAWAL, "lines": [{"line": 1, "quantity": 0}]},
        {**WITHDRAWAL, "lines": [{"line": 2**63, "quantity": 1}]},
        {**WITHDRAWAL, "lines": [{"line": 1, "quantity": 1}, {"line": 1, "quantity": 2}]},
        {**WITHDRAWAL, "lines": "all"},
    ],
)
def test_what_is_not_valid_says_where(order, declare, body):
    answer = declare(body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")
    assert answer.json()["errors"]


@pytest.mark.parametrize("key", ["", "with blank", "x" * 65])
def test_a_key_is_needed(order, declare, key):
    answer = declare(key=key)
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_missing")


def test_switched_off_the_law_still_holds(order, declare, settings):
    settings.OSCAR_LOYALTY_ENABLED = False
    assert declare().status_code == 201
    assert len(mail.outbox) == 1


def test_too_many_are_told_to_wait(order, declare, settings):
    settings.OSCAR_LOYALTY_THROTTLE_RATES = {"withdrawal": "1/hour"}
    assert [declare(key=key).status_code for key in "ab"] == [201, 429]


# Links of guests


def ask(client, **values):
    body = {"order": "100042", "email": "guest@example.com", **values}
    return client.post(ROOT + "return-links", body, format="json")


def test_asking_for_a_link_is_answered_the_same(guest_client, order):
    answers = [ask(guest_client), ask(guest_client, order="9"), ask(guest_client, email="x@example.com")]
    assert {(answer.status_code, answer.json()["detail"]) for answer in answers} == {
        (202, "If there is such an order, a link is on its way to the address it was placed with.")
    }
    assert OutboxMessage.objects.filter(topic="return_link").count() == 1


def test_links_need_an_address(guest_client, order):
    assert ask(guest_client, email="x").status_code == 400


# Who may return what


def request_of(user=None, token="", in_query=False):
    factory = APIRequestFactory()
    if in_query:
        request = factory.get("/", {"return_token": token})
    else:
        request = factory.get("/", headers={HEADER: token} if token else {})
    if user is not None:
        force_authenticate(request, user)
    return Request(request, authenticators=[])


@pytest.fixture
def token(order):
    return make_token(order=find_owned_order(number="100042"), now=timezone.now())


def authenticated(user):
    request = request_of()
    request.user = user
    return request


def test_a_guest_with_a_token_gets_their_order_and_no_other(order, token):
    for in_query in (False, True):
        access = order_for_request(request_of(token=token, in_query=in_query), "100042")
        assert (access.order_id, access.actor_ref, access.user_id) == (order.pk, "guest", None)
    place_order(user=None, guest_email="guest@example.com", number="100077")
    with pytest.raises(NotFound):
        order_for_request(request_of(token=token), "100077")


def test_a_customer_gets_their_own_order_and_no_other(order):
    owner = factories.UserFactory()
    own = place_order(user=owner, number="100077")
    access = order_for_request(authenticated(owner), "100077")
    assert (access.order_id, access.actor_ref, access.user_id) == (own.pk, "customer", owner.pk)
    for user, number in ((owner, "100042"), (owner, "nothing"), (factories.UserFactory(), "100077")):
        with pytest.raises(NotFound):
            order_for_request(authenticated(user), number)


def test_without_anything_there_is_nothing(order):
    with pytest.raises(NotFound):
        order_for_request(request_of(), "100042")


def test_a_token_that_is_no_good_says_why(order):
    old = make_token(order=find_owned_order(number="100042"), now=timezone.now() - timedelta(days=2))
    for token, code, status in ((old, "return_link_expired", 410), ("x", "return_link_invalid", 404)):
        with pytest.raises(Problem) as caught:
            order_for_request(request_of(token=token), "100042")
        assert (caught.value.code, caught.value.status_code) == (code, status)


def test_a_token_stops_with_a_corrected_address(order, token):
    get_model("order", "Order").objects.update(guest_email="new@example.com")
    with pytest.raises(Problem):
        order_for_request(request_of(token=token), "100042")

from datetime import timedelta

import pytest
from django.core import mail
from oscar.core.loading import get_model
from oscar.test import factories

from oscar_loyalty.flows import claims
from oscar_loyalty.points.models import Account
from oscar_loyalty.shop.orders import find_guest_order
from tests.flows.conftest import place_order
from tests.rest_api.conftest import NOW, ROOT


@pytest.fixture
def order(programme):
    return place_order(user=None, guest_email="anna@example.com", at=NOW - timedelta(hours=1))


@pytest.fixture
def token(order):
    return claims.make_token(guest_order=find_guest_order(order_id=order.pk))


def remember(client, order):
    """As a checkout does."""
    session = client.session
    session["checkout_order_id"] = order.pk
    session.save()
    client.cookies["sessionid"] = session.session_key


def test_the_page_that_thanks_a_guest_knows_what_waits(guest_client, order):
    assert guest_client.get(ROOT + "claims").json()["state"] == "nothing"
    remember(guest_client, order)
    body = guest_client.get(ROOT + "claims").json()
    assert (body["state"], body["points"], body["value"], body["currency"]) == ("waiting", 119, "1.19", "EUR")
    assert (body["order_number"], body["days"]) == ("100042", 30)


def test_claiming_with_the_token_is_safe_to_repeat(client, member, token):
    first = client.post(ROOT + "claims", {"token": token}, format="json")
    assert first.status_code == 201
    assert first.json() == {"order_number": "100042", "points": 119, "value": "1.19", "currency": "EUR"}
    again = client.post(ROOT + "claims", {"token": token}, format="json")
    assert (again.status_code, again.json()) == (200, first.json())
    assert Account.objects.get().pending == 119


def test_claiming_from_the_session_that_placed_the_order(client, member, order):
    assert client.post(ROOT + "claims", {}, format="json").json()["code"] == "claim_not_proved"
    remember(client, order)
    assert client.post(ROOT + "claims", {}, format="json").status_code == 201


def test_problems_are_told_apart(client, customer, programme, order, token):
    def code(token):
        response = client.post(ROOT + "claims", {"token": token}, format="json")
        return response.status_code, response.json()["code"]

    assert code("x") == (404, "claim_link_invalid")
    assert code(token) == (403, "not_member")
    orders = get_model("order", "Order").objects
    orders.update(date_placed=NOW - timedelta(days=40))
    assert code(token) == (410, "claim_link_expired")
    orders.update(date_placed=NOW, user=factories.UserFactory())
    assert code(token) == (409, "order_already_claimed")


def test_the_link_is_mailed_to_the_orders_address_and_nobody_learns_whether(guest_client, order):
    said = guest_client.post(ROOT + "claims/link")
    assert (said.status_code, mail.outbox) == (202, [])
    remember(guest_client, order)
    assert guest_client.post(ROOT + "claims/link").json() == said.json()
    assert mail.outbox[0].to == ["anna@example.com"]


def test_guessing_is_slowed_down(client, programme):
    codes = [client.post(ROOT + "claims", {"token": "x"}, format="json").status_code for _ in range(12)]
    assert codes == [404] * 10 + [429] * 2

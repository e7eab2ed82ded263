import re

import pytest
from django.contrib.auth import get_user_model
from django.core import mail
from django.core.cache import cache
from oscar.core.loading import get_model

from oscar_loyalty.flows import claims
from oscar_loyalty.members.models import ClaimedOrder, Member
from oscar_loyalty.points.models import Account
from oscar_loyalty.shop.orders import find_guest_order

from .conftest import text_of
from .test_thank_you import thank_you


@pytest.fixture(autouse=True)
def fresh_counts():
    cache.clear()


@pytest.fixture
def order(programme, placed):
    order = placed()
    order.guest_email = "guest@example.com"
    order.save()
    return order


@pytest.fixture
def url(order):
    return f"/loyalty/claim/{claims.make_token(guest_order=find_guest_order(order_id=order.pk))}/"


def test_a_guest_is_told_what_waits_how_long_and_what_it_is_worth(client, order):
    page = thank_you(client, order)
    assert "119 points are waiting for you" in page
    assert "They are worth 1.19 € with your next order. Claim them within 30 days, until" in page
    assert "As a member you would have earned" not in page


def test_the_same_on_the_page_that_oscars_link_to_the_order_opens(client, order):
    page = f"/accounts/order-status/{order.number}/{order.verification_hash()}/"
    # Oscar asks for the address, too.
    form = page.replace("order-status", "order-status-form")
    response = client.post(form, {"email": "guest@example.com"}, follow=True)
    assert "119 points are waiting for you" in text_of(response)
    proof = re.search(r'name="proof" value="([^"]+)"', response.text)[1]
    client.post("/loyalty/claim/link/", {"order": order.number, "proof": proof, "next": page})
    assert len(mail.outbox) == 1


def test_the_link_is_mailed_on_request_and_the_answer_tells_strangers_nothing(client, order):
    for proof in ("", "wrong", f"{order.number}:wrong"):
        response = client.post("/loyalty/claim/link/", {"order": order.number, "proof": proof}, follow=True)
        assert "If points wait for this order, a link is on its way" in text_of(response)
    assert mail.outbox == []
    thank_you(client, order)
    response = client.post("/loyalty/claim/link/", {"next": "/checkout/thank-you/"}, follow=True)
    assert "If points wait for this order, a link is on its way" in text_of(response)
    assert [message.to for message in mail.outbox] == [["guest@example.com"]]


def test_opening_the_link_books_nothing_and_leaves_no_trace(client, url, member_client, member):
    response = member_client.get(url)
    assert "119 points are waiting for you" in text_of(response)
    assert "Book 119 points" in response.text
    assert response["Cache-Control"] == "private, no-store"
    assert response["Referrer-Policy"] == "same-origin"
    assert not ClaimedOrder.objects.exists()


def test_a_member_books_with_one_click_and_again_sees_them(member_client, member, url):
    page = text_of(member_client.post(url, follow=True))
    assert "119 points of order 100042 are in your account." in page
    member.account.refresh_from_db()
    assert member.account.pending == 119
    again = text_of(member_client.get(url, follow=True))
    assert "119 points of order 100042 are in your account." in again
    member.account.refresh_from_db()
    assert member.account.pending == 119


def test_a_guest_is_sent_to_log_in_or_register_and_comes_back(client, url, order):
    response = client.get(url)
    assert f"/accounts/register/?next={url}".replace(":", "%3A") in response.text
    assert client.post(url).status_code == 302
    register(client, url, email="other@example.com", join=False)
    assert "Join for free and claim the points" in client.get(url).text
    terms = re.search(r'name="terms_version" value="([^"]+)"', client.get(url).text)[1]
    page = text_of(client.post(url, {"terms_version": terms}, follow=True))
    assert "119 points of order 100042 are in your account." in page
    assert Account.objects.get().pending == 119


def register(client, url, *, email, join):
    data = {
        "email": email,
        "password1": "a-long-password",
        "password2": "a-long-password",
        "redirect_url": url,
    }
    if join:
        data["loyalty_join"] = "2026-1"
    response = client.post("/accounts/register/", data)
    assert (response.status_code, response["Location"]) == (302, url)


def test_nobody_joins_without_the_terms_in_force(client, customer, url):
    client.force_login(customer)
    client.post(url, {"terms_version": "old"})
    assert not Member.objects.exists()


def test_registering_right_after_the_checkout_is_enough_with_the_same_address(client, order):
    thank_you(client, order)
    register(client, "/loyalty/claim/", email="guest@example.com", join=True)
    assert "Book 119 points" in text_of(client.get("/loyalty/claim/"))
    assert "in your account" in text_of(client.post("/loyalty/claim/", follow=True))
    assert Account.objects.get().pending == 119
    order.refresh_from_db()
    assert order.user is None


def test_with_another_address_the_mail_is_needed(client, order):
    thank_you(client, order)
    register(client, "/loyalty/claim/", email="other@example.com", join=True)
    assert "Your account has another address than the order." in text_of(client.get("/loyalty/claim/"))
    client.post("/loyalty/claim/")
    assert not ClaimedOrder.objects.exists()


def test_without_an_order_in_the_session_there_is_no_page(client, programme):
    assert client.get("/loyalty/claim/").status_code == 404


@pytest.mark.parametrize(
    ("spoil", "status", "words"),
    [
        (
            lambda order: get_model("order", "Order").objects.update(guest_email="x@example.com"),
            404,
            "This link does not work",
        ),
        (
            lambda order: get_model("order", "Order").objects.update(date_placed="2020-01-01T00:00Z"),
            409,
            "There is nothing to claim",
        ),
        (
            lambda order: get_model("order", "Order").objects.update(status="Cancelled"),
            409,
            "This order was cancelled",
        ),
        (
            lambda order: get_model("order", "Order").objects.update(user=get_user_model().objects.create()),
            409,
            "These points were claimed already",
        ),
    ],
)
def test_what_went_wrong_is_said_clearly(client, order, url, spoil, status, words):
    spoil(order)
    page = text_of(client.get(url), status=status)
    assert words in page
    assert "guest@example.com" not in page


def test_a_link_that_was_touched_tells_nothing(client, programme):
    assert "This link does not work" in text_of(client.get("/loyalty/claim/nonsense/"), status=404)


def test_who_tries_too_often_is_asked_to_wait(client, programme, settings):
    settings.OSCAR_LOYALTY_THROTTLE_RATES = {"claim": "3/min"}
    codes = [client.get("/loyalty/claim/nonsense/").status_code for _ in range(5)]
    assert codes == [404, 404, 404, 429, 429]


def test_switched_off_there_is_no_page(client, url, settings):
    settings.OSCAR_LOYALTY_ENABLED = False
    assert client.get(url).status_code == 404


def test_whoever_joins_is_told_that_their_last_orders_count(client, customer, programme):
    client.force_login(customer)
    assert "Orders that you placed in the last 30 days, logged in, earn points too." in text_of(
        client.get("/loyalty/")
    )

"""A guest finds their order by a link in a mail; the link opens its page without a session."""

import re
from datetime import timedelta

import pytest
from django.core import mail
from django.core.cache import cache
from django.utils import timezone
from oscar.core.loading import get_model

from oscar_loyalty.flows.return_access import make_token
from oscar_loyalty.outbox.services import relay_messages
from oscar_loyalty.shop.order_owners import find_owned_order

from .conftest import text_of

FIND = "/loyalty/returns/find/"


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
def open_link(client, order):
    def call(*, age=timedelta(0)):
        token = make_token(order=find_owned_order(number="100042"), now=timezone.now() - age)
        return client.get(f"/loyalty/returns/guest/{token}/")

    return call


def test_the_answer_is_the_same_and_only_what_fits_is_mailed(client, order):
    answers = set()
    for number, email in (
        ("100042", "guest@example.com"),
        ("100042", "x@example.com"),
        ("9", "x@example.com"),
    ):
        response = client.post(FIND, {"order": number, "email": email}, follow=True)
        answers.add((str(response.redirect_chain), text_of(response)))
    ((chain, page),) = answers
    assert chain == f"[('{FIND}?sent=1', 302)]"
    assert "If there is such an order, a link is on its way" in page
    relay_messages(now=timezone.now())
    assert [message.to for message in mail.outbox] == [["guest@example.com"]]
    url = re.search(r"http\S+/loyalty/returns/guest/\S+", mail.outbox[0].body)[0]
    assert "Kettle" in text_of(client.get(url.partition("example.com")[2]))


def test_without_a_broker_the_mail_leaves_after_the_commit(
    client, order, monkeypatch, django_capture_on_commit_callbacks
):
    monkeypatch.setattr("oscar_loyalty.tasks.has_broker", lambda: False)
    with django_capture_on_commit_callbacks(execute=True):
        client.post(FIND, {"order": "100042", "email": "guest@example.com"})
    assert len(mail.outbox) == 1


def test_the_link_opens_the_order_without_a_session_and_is_kept_nowhere(client, open_link):
    response = open_link()
    page = text_of(response)
    assert "order 100042" in page
    assert "Kettle" in page
    assert '/loyalty/withdraw/?order=100042"' in response.text
    assert response["Cache-Control"] == "private, no-store"
    assert response["Referrer-Policy"] == "same-origin"
    assert "sessionid" not in client.cookies


def test_an_old_link_and_a_wrong_one_lead_to_a_new_one(client, open_link, order):
    old = open_link(age=timedelta(hours=25))
    assert "This link is too old" in text_of(old, status=410)
    assert f'href="{FIND}"' in old.text
    wrong = client.get("/loyalty/returns/guest/nonsense/")
    assert "This link does not work" in text_of(wrong, status=404)
    assert wrong["Cache-Control"] == "private, no-store"


def test_a_corrected_address_closes_the_link(client, open_link, order):
    url = open_link().request["PATH_INFO"]
    get_model("order", "Order").objects.update(guest_email="new@example.com")
    assert client.get(url).status_code == 404


@pytest.mark.parametrize(
    "values", [{"order": "100042", "email": "guest@"}, {"order": "", "email": "a@b.de"}, {}]
)
def test_what_cannot_be_is_said_at_its_field(client, order, values):
    assert "Please look at what is marked below." in text_of(client.post(FIND, values))


def test_who_tries_too_often_is_asked_to_wait(client, programme, settings):
    settings.OSCAR_LOYALTY_THROTTLE_RATES = {"return_link": "1/hour"}
    values = {"order": "100042", "email": "guest@example.com"}
    assert [client.post(FIND, values).status_code for _ in range(2)] == [302, 429]


def test_switched_off_there_is_no_page(client, open_link, settings):
    settings.OSCAR_LOYALTY_ENABLED = False
    assert client.get(FIND).status_code == 404
    assert open_link().status_code == 404

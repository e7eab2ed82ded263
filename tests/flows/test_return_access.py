"""Number and address → a link by mail → the order, for a day and for nothing else."""

from datetime import timedelta

import pytest
from django.core import mail, signing
from django.core.cache import cache
from oscar.core.loading import get_model
from oscar.test import factories

from oscar_loyalty.flows import claims, return_access
from oscar_loyalty.flows.return_access import AccessRefused, find_customer_access, read_access
from oscar_loyalty.outbox.models import OutboxMessage
from oscar_loyalty.outbox.services import relay_messages
from oscar_loyalty.shop.order_owners import find_owned_order
from oscar_loyalty.shop.orders import find_guest_order

from .conftest import NOW, place_order

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def fresh_counts():
    cache.clear()


@pytest.fixture
def order(programme):
    return place_order(user=None, guest_email="Gast@example.com")


@pytest.fixture
def token(order):
    return return_access.make_token(order=find_owned_order(number="100042"), now=NOW)


def ask(number="100042", email="gast@example.com", language="en"):
    return return_access.send_access_link(number=number, email=email, language=language, now=NOW)


def refusal(token, now=NOW):
    with pytest.raises(AccessRefused) as caught:
        read_access(token, now)
    return caught.value.code


def test_the_link_goes_to_the_address_of_the_order_and_opens_it(order):
    assert ask(number=" #100042 ", email=" GAST@example.com ")
    # What waits names no person.
    assert OutboxMessage.objects.get().payload == {"order_id": order.pk, "language": "en"}
    assert mail.outbox == []
    relay_messages(now=NOW)
    (message,) = mail.outbox
    assert message.to == ["Gast@example.com"]
    assert message.subject == "Your link to return order 100042"
    path = next(line for line in message.body.splitlines() if "/loyalty/returns/guest/" in line)
    assert path in message.alternatives[0][0]


def test_a_headless_shop_has_a_page_of_its_own(order, settings):
    settings.OSCAR_LOYALTY_RETURN_URL = "https://app.example/return?t={token}"
    ask()
    relay_messages(now=NOW)
    assert "https://app.example/return?t=" in mail.outbox[0].body


def test_a_customers_order_is_found_by_the_address_of_their_account(programme):
    place_order(user=factories.UserFactory(email="ada@example.com"))
    assert ask(email="ada@example.com")
    assert not ask(email="other@example.com")


@pytest.mark.parametrize(
    ("number", "email"), [("100043", "gast@example.com"), ("100042", "x@example.com"), ("", "")]
)
def test_what_does_not_fit_sends_nothing(order, number, email):
    assert ask(number=number, email=email) is None
    assert not OutboxMessage.objects.exists()


def test_an_order_without_an_address_fits_nobody(programme):
    place_order(user=None, guest_email="")
    assert ask(email="") is None


def test_one_order_gets_three_mails_a_day(order):
    assert [bool(ask()) for _ in range(5)] == [True, True, True, False, False]


def test_a_token_is_good_for_a_day(order, token):
    assert read_access(token, NOW) == order.pk
    assert read_access(token, NOW + 24 * HOUR - timedelta(seconds=1)) == order.pk
    assert refusal(token, NOW + 24 * HOUR) == "return_link_expired"


@pytest.mark.parametrize("spoiled", ["", "nonsense", "a:b:c", "ü"])
def test_a_token_that_is_none_opens_nothing(order, spoiled):
    assert refusal(spoiled) == "return_link_invalid"


def test_a_token_that_was_touched_opens_nothing(order, token):
    assert refusal(token[:-1] + ("A" if token[-1] != "A" else "B")) == "return_link_invalid"


def test_a_token_stops_when_the_address_is_corrected_or_the_order_is_gone(order, token):
    orders = get_model("order", "Order").objects.filter(pk=order.pk)
    orders.update(guest_email="other@example.com")
    assert refusal(token) == "return_link_invalid"
    orders.update(guest_email="")
    assert refusal(token) == "return_link_invalid"
    orders.delete()
    assert refusal(token) == "return_link_invalid"


def test_a_token_for_claiming_points_returns_nothing_and_the_other_way_round(order, token):
    of_claim = claims.make_token(guest_order=find_guest_order(order_id=order.pk))
    assert refusal(of_claim) == "return_link_invalid"
    with pytest.raises(claims.ClaimRefused):
        claims.read_claim(token=token, now=NOW)
    with pytest.raises(signing.BadSignature):
        signing.loads(token)


def test_customers_open_their_own_orders_only(programme):
    owner, stranger = factories.UserFactory(), factories.UserFactory()
    order = place_order(user=owner)
    access = find_customer_access(number="100042", user_id=owner.pk)
    assert (access.order_id, access.actor_ref, access.user_id) == (order.pk, "customer", owner.pk)
    assert find_customer_access(number="100042", user_id=stranger.pk) is None
    assert find_customer_access(number="nothing", user_id=owner.pk) is None


def test_a_cache_that_is_down_stops_nobody(order, monkeypatch):
    monkeypatch.setattr(cache, "add", lambda *_key: 1 / 0)
    assert ask()

"""Oscar's own checkout with points, on the plain host and on one that forked order and offer."""

import pytest
from celery import current_app
from django.db import connection
from django.utils import timezone
from oscar.core.loading import get_model
from oscar.test.factories import CountryFactory, UserAddressFactory

from oscar_loyalty import tasks
from oscar_loyalty.flows import purchases
from oscar_loyalty.flows.purchases import reward_purchase
from oscar_loyalty.flows.sweeping import sweep
from oscar_loyalty.shop.offers import ensure_offer
from oscar_loyalty.testing.ledger import assert_ledger_balanced
from tests.rest_api.conftest import make_customer
from tests.shop import world

pytestmark = [pytest.mark.host, pytest.mark.django_db(transaction=True)]

Order = get_model("order", "Order")


class Selector:
    def strategy(self, request=None, user=None, **kwargs):
        return world.PricesWithTax(request)


@pytest.fixture
def booked(monkeypatch):
    """Tasks run when they are sent. Lists for each booking whether it happened inside a transaction."""
    inside = []

    def reward(**ids):
        inside.append(connection.in_atomic_block)
        reward_purchase(**ids)

    monkeypatch.setattr(purchases, "reward_purchase", reward)
    current_app.conf.task_always_eager = True
    yield inside
    current_app.conf.task_always_eager = False


@pytest.fixture
def member(monkeypatch):
    monkeypatch.setattr("oscar.apps.basket.middleware.selector", Selector())
    ensure_offer()
    world.make_programme()
    return world.make_member(points=10_000, user=make_customer("anna"))


@pytest.fixture
def shopper(client, member):
    country = CountryFactory(iso_3166_1_a2="DE", iso_3166_1_a3="DEU", is_shipping_country=True)
    client.address = UserAddressFactory(user=member.user, country=country)
    client.force_login(member.user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def go_to_preview_with_points(client, points):
    """Put goods for 50.00 into the basket and spend points on them, up to the preview of the order."""
    for price in ("30.00", "20.00"):
        client.post(f"/basket/add/{world.make_product(price).pk}/", {"quantity": 1})
    assert client.post("/loyalty/basket/redeem/", {"points": str(points)}).status_code == 302
    client.post("/checkout/shipping-address/", {"action": "ship_to", "address_id": client.address.pk})
    client.get("/checkout/shipping-method/")


def order_with_points(client, points):
    """Order goods for 50.00 by Oscar's own checkout."""
    go_to_preview_with_points(client, points)
    assert client.post("/checkout/preview/", {"action": "place_order"}).status_code == 302
    assert client.get("/checkout/thank-you/").status_code == 200
    return Order.objects.get()


def test_points_are_spent_earned_after_the_commit_and_given_back(shopper, member, booked):
    order = order_with_points(shopper, 1000)
    assert (str(order.total_incl_tax), str(order.total_discount_incl_tax)) == ("40.00", "10.00")
    assert booked == [False], "earning waits for the commit of the whole request"
    member.refresh_from_db()
    assert (member.available, member.held, member.spent, member.pending) == (9000, 0, 1000, 40)

    clerk = make_customer("clerk")
    clerk.is_staff = clerk.is_superuser = True
    clerk.save()
    shopper.force_login(clerk, backend="django.contrib.auth.backends.ModelBackend")
    answer = shopper.post(
        f"/dashboard/orders/{order.number}/",
        {"order_action": "change_order_status", "new_status": "Cancelled"},
    )
    assert answer.status_code == 302
    order.refresh_from_db()
    assert order.status == "Cancelled"
    assert booked == [False, False]
    member.refresh_from_db()
    assert (member.available, member.held, member.pending) == (10_000, 0, 0)
    assert_ledger_balanced(member)


def test_a_mistake_of_ours_breaks_no_order(shopper, member, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("a mistake")

    with monkeypatch.context() as patch:
        patch.setattr(tasks, "nudge", fail)
        order = order_with_points(shopper, 1000)
        order.set_status("Cancelled")
    member.refresh_from_db()
    assert (member.available, member.spent, member.pending) == (9000, 1000, 0)
    assert sweep(now=timezone.now()).purchases == 1
    member.refresh_from_db()
    assert (member.available, member.pending) == (10_000, 0)
    assert_ledger_balanced(member)


def test_a_task_that_fails_breaks_no_order(shopper, member, booked, monkeypatch):
    def fail(**ids):
        raise RuntimeError("a mistake")

    with monkeypatch.context() as patch:
        patch.setattr(purchases, "reward_purchase", fail)
        order_with_points(shopper, 1000)
    assert sweep(now=timezone.now()).purchases == 1
    member.refresh_from_db()
    assert (member.available, member.pending) == (9000, 40)
    assert_ledger_balanced(member)

from datetime import date, timedelta

import pytest
from django.contrib.auth.models import Permission
from django.utils import timezone
from oscar.test import factories

from oscar_loyalty.delivery.models import DeliveryPromise
from oscar_loyalty.delivery.services import make_promise, mark_late, void_promise

from .conftest import NOW, ROOT

URL = ROOT + "orders/100042/delivery"


@pytest.fixture
def promise(customer):
    """An order of the customer that is due in two days."""
    factories.OrderFactory(number="100042", user=customer)
    day = timezone.localdate(NOW) + timedelta(days=2)
    return make_promise(
        order_ref="100042",
        method="delivery-day",
        method_code=f"delivery-day-{day}",
        promised_date=day,
        due_at=NOW + timedelta(days=2),
        now=NOW,
    )


def test_a_customer_is_told_when_their_order_arrives(client, promise, django_assert_num_queries):
    told = client.get(URL).json()
    assert told == {
        "order": "100042",
        "state": "waiting",
        "text": told["text"],
        "promised_date": str(promise.promised_date),
        "window_from": None,
        "window_until": None,
        "method": promise.method_code,
        "delivered_at": None,
        "apology_points": 0,
    }
    assert told["text"].startswith("Arrives by ")
    german = client.get(URL, headers={"accept-language": "de"}).json()["text"]
    assert german != told["text"] or "Arrives" in german


def test_nobody_else_is_told_that_there_is_such_an_order(client, guest_client, promise):
    assert guest_client.get(URL).status_code == 404
    factories.OrderFactory(number="100043")
    make_promise(
        order_ref="100043",
        method="express",
        method_code="express",
        promised_date=date(2026, 12, 3),
        due_at=NOW,
        now=NOW,
    )
    assert client.get(URL.replace("42", "43")).status_code == 404
    assert client.get(URL.replace("42", "99")).status_code == 404
    DeliveryPromise.objects.filter(order_ref="100042").delete()
    missing = client.get(URL)
    assert missing.status_code == 404
    assert missing.json()["code"] == "not_found"


def test_states_are_told_in_words(client, promise):
    DeliveryPromise.objects.update(due_at=NOW - timedelta(days=1))
    mark_late(order_ref="100042", now=NOW)
    late = client.get(URL).json()
    assert (late["state"], late["text"][:5]) == ("late", "Late:")
    void_promise(order_ref="100042", now=NOW)
    assert client.get(URL).json()["state"] == "void"


def test_switched_off_there_is_nothing(client, promise, settings):
    settings.OSCAR_LOYALTY_ENABLED = False
    assert client.get(URL).status_code == 404


# Reporting an arrival


@pytest.fixture
def carrier(client, customer):
    """The account of a carrier's software is a user with one permission; here it is the customer's own."""
    customer.user_permissions.add(Permission.objects.get(codename="change_deliverypromise"))
    return client


def report(client, moment):
    return client.put(URL, {"delivered_at": moment.isoformat()}, format="json")


def test_an_arrival_is_reported_once(carrier, promise):
    first = report(carrier, NOW)
    assert (first.status_code, first.json()["state"]) == (200, "on_time")
    again = report(carrier, NOW - timedelta(days=1))
    assert again.json() == first.json()
    assert DeliveryPromise.objects.get().delivered_at == NOW


def test_only_who_may_report_does(client, guest_client, promise):
    assert report(client, NOW).status_code == 404
    assert report(guest_client, NOW).status_code == 404
    assert DeliveryPromise.objects.get().delivered_at is None


def test_an_arrival_that_cannot_be_is_refused(carrier, promise):
    refused = report(carrier, timezone.now() + timedelta(hours=1))
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["pointer"] == "/delivered_at"
    assert carrier.put(URL, {}, format="json").status_code == 400
    assert carrier.put(URL.replace("42", "99"), {}, format="json").status_code == 404

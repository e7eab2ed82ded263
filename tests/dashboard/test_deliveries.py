"""The page on which staff see what is late."""

from datetime import timedelta

import pytest
from django.utils import timezone
from oscar.test import factories

from oscar_loyalty.delivery.models import DeliveryPromise
from oscar_loyalty.delivery.services import make_promise, mark_late, record_delivery, void_promise
from tests.dashboard.conftest import url

NOW = timezone.now()


def promise(number, *, days, method="express"):
    """Due so many days from now; late when that is in the past."""
    due_at = NOW + timedelta(days=days)
    made = make_promise(
        order_ref=number,
        method=method,
        method_code=method,
        promised_date=timezone.localdate(due_at - timedelta(seconds=1)),
        due_at=due_at,
        now=NOW - timedelta(days=9),
    )
    mark_late(order_ref=number, now=NOW)
    return made


@pytest.fixture
def world(db):
    promise("waiting", days=2)
    promise("late", days=-1)
    promise("later", days=-3, method="delivery-day")
    promise("arrived", days=-1)
    record_delivery(order_ref="arrived", delivered_at=NOW - timedelta(days=2))
    promise("arrived-late", days=-2)
    record_delivery(order_ref="arrived-late", delivered_at=NOW - timedelta(days=1))
    promise("void", days=-1)
    void_promise(order_ref="void", now=NOW)


def shown(client, **wanted):
    page = client.get(url("deliveries"), wanted)
    assert page.status_code == 200
    return [promise.order_ref for promise in page.context["promises"].rows]


def test_what_is_late_comes_first_and_longest_due_before_the_rest(desk, world):
    assert shown(desk) == ["later", "late"]
    assert shown(desk, show="waiting") == ["waiting"]
    assert shown(desk, show="arrived_late") == ["arrived-late"]
    assert len(shown(desk, show="all")) == 6
    assert shown(desk, show="nonsense") == ["later", "late"]
    assert shown(desk, method="express") == ["late"]
    assert shown(desk, show="all", order="void") == ["void"]
    assert shown(desk, show="all", order="unknown") == []


def test_the_on_time_rate_is_told(desk, world):
    page = desk.get(url("deliveries"))
    assert sum(rate.delivered for rate in page.context["rates"]) == 2
    assert sum(rate.on_time for rate in page.context["rates"]) == 1
    assert "On-time rate" in page.content.decode()


def test_a_shop_without_promises_has_an_empty_page(desk, db):
    page = desk.get(url("deliveries")).content.decode()
    assert "No order is late." in page
    assert "Nothing that was promised has arrived yet." in page
    assert (
        "No day of delivery was promised yet."
        in desk.get(url("deliveries"), {"show": "all"}).content.decode()
    )


def test_an_order_that_exists_is_linked(desk, world):
    factories.OrderFactory(number="late")
    assert "/dashboard/orders/late/" in desk.get(url("deliveries")).content.decode()


def test_staff_say_that_an_order_has_arrived(desk, world):
    late = DeliveryPromise.objects.get(order_ref="late")
    assert "It has arrived" in desk.get(url("delivery-arrived", late.pk)).content.decode()
    answer = desk.post(url("delivery-arrived", late.pk), follow=True)
    assert "Order late has arrived." in answer.content.decode()
    late.refresh_from_db()
    assert late.state == "DELIVERED_LATE"
    again = desk.post(url("delivery-arrived", late.pk), follow=True)
    assert "Nothing was changed" in again.content.decode()
    assert "nothing to do here" in desk.get(url("delivery-arrived", late.pk)).content.decode()


def test_an_arrival_of_an_earlier_day_puts_the_promise_right(desk, world):
    late = DeliveryPromise.objects.get(order_ref="late")
    day = timezone.localdate(late.due_at) - timedelta(days=1)
    desk.post(url("delivery-arrived", late.pk), {"day": day.isoformat()})
    late.refresh_from_db()
    assert late.state == "ON_TIME"


@pytest.mark.parametrize("day", ["tomorrow", "2026-13-01", "9999-01-01"])
def test_a_day_that_cannot_be_is_refused(desk, world, day):
    late = DeliveryPromise.objects.get(order_ref="late")
    answer = desk.post(url("delivery-arrived", late.pk), {"day": day})
    assert answer.status_code == 400
    assert 'role="alert"' in answer.content.decode()
    late.refresh_from_db()
    assert late.delivered_at is None


def test_the_admin_shows_promises_and_lets_nobody_change_them(admin_client, world):
    listed = admin_client.get("/admin/oscar_loyalty/deliverypromise/")
    assert listed.status_code == 200
    for state, count in (("WAITING", 1), ("LATE", 2), ("ON_TIME", 1), ("DELIVERED_LATE", 1), ("VOID", 1)):
        page = admin_client.get("/admin/oscar_loyalty/deliverypromise/", {"state": state})
        assert {row.state for row in page.context["cl"].result_list} == {state}
        assert page.context["cl"].result_count == count
    pk = DeliveryPromise.objects.first().pk
    admin_client.post(f"/admin/oscar_loyalty/deliverypromise/{pk}/change/", {"order_ref": "changed"})
    assert not DeliveryPromise.objects.filter(order_ref="changed").exists()
    assert admin_client.get("/admin/oscar_loyalty/deliverypromise/add/").status_code == 403


def test_many_promises_cost_the_page_no_more(desk, world):
    def cost():
        from django.db import connection
        from django.test.utils import CaptureQueriesContext

        with CaptureQueriesContext(connection) as statements:
            desk.get(url("deliveries"))
        return len(statements)

    few = cost()
    for number in range(20):
        promise(f"more-{number}", days=-1)
    assert cost() == few

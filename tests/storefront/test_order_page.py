from datetime import UTC, date, datetime

import pytest

from oscar_loyalty.delivery.services import make_promise, record_delivery
from oscar_loyalty.flows.purchases import reward_purchase

from .conftest import text_of


def order_page(client, order, **kwargs):
    return text_of(client.get(f"/accounts/orders/{order.number}/", **kwargs))


def test_the_page_of_an_order_shows_what_it_did_to_the_points(member_client, member, placed):
    order = placed(member.user)
    reward_purchase(order_id=order.pk, now=order.date_placed)
    member.earn(7, key="purchase:4711")
    page = order_page(member_client, order)
    assert "Points of this order" in page
    assert "Earned with order 100042" in page
    assert "+119 points" in page
    assert "4711" not in page
    assert "Punkte dieser Bestellung" in order_page(member_client, order, headers={"accept-language": "de"})


def test_until_it_is_booked_the_page_shows_the_preview(member_client, member, placed):
    assert "Preview: 119 points for this order" in order_page(member_client, placed(member.user))


@pytest.mark.parametrize("switched_off", [False, True])
def test_an_order_without_points_has_the_page_of_the_shop(
    client, programme, customer, placed, settings, switched_off
):
    settings.OSCAR_LOYALTY_ENABLED = not switched_off
    client.force_login(customer)
    page = order_page(client, placed(customer))
    assert "100042" in page
    assert "loyalty-order" not in page


# When it arrives


@pytest.fixture
def promised(member, placed):
    order = placed(member.user)
    make_promise(
        order_ref=order.number,
        method="express",
        method_code="express",
        promised_date=date(2026, 12, 3),
        due_at=datetime(2026, 12, 3, 23, tzinfo=UTC),
        now=order.date_placed,
    )
    return order


def test_the_page_of_an_order_tells_when_it_arrives(member_client, promised, settings):
    settings.OSCAR_LOYALTY_DELIVERY_METHODS = "tests.shop.parcels.methods"
    assert "Arrives by Thursday 3 December." in order_page(member_client, promised)
    record_delivery(order_ref=promised.number, delivered_at=datetime(2026, 12, 3, 12, tzinfo=UTC))
    assert "Arrived, as promised by Thursday 3 December." in order_page(member_client, promised)


def test_a_shop_without_methods_that_promise_reads_no_promise(member_client, promised):
    assert "Arrives by" not in order_page(member_client, promised)


def test_a_promise_that_cannot_be_read_leaves_the_page_of_the_shop(
    member_client, promised, settings, monkeypatch
):
    settings.OSCAR_LOYALTY_DELIVERY_METHODS = "tests.shop.parcels.methods"
    monkeypatch.setattr("oscar_loyalty.templatetags.loyalty.find_promise", lambda **values: 1 / 0)
    assert "100042" in order_page(member_client, promised)

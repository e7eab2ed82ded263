import pytest

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

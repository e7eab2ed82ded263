"""What the pages promise before an order is what is booked after it."""

import re
from decimal import Decimal

import pytest
from oscar.core.loading import get_model
from oscar.test import factories

from oscar_loyalty.flows.purchases import reward_purchase
from oscar_loyalty.points.models import Entry
from oscar_loyalty.programmes.models import ProgrammeVersion

from .conftest import make_product, prepare_checkout, put_in_basket, text_of

pytestmark = pytest.mark.usefixtures("offer")


def ten_percent_off():
    everything = factories.RangeFactory(includes_all_products=True)
    return factories.ConditionalOfferFactory(
        condition=factories.ConditionFactory(range=everything, type="Count", value=1),
        benefit=factories.BenefitFactory(range=everything, type="Percentage", value=10),
    )


def promised_by(client, url):
    return int(re.search(r"This order earns you (\d+) points?\.", text_of(client.get(url)))[1])


@pytest.mark.parametrize("with_offer", [False, True])
@pytest.mark.parametrize("points", [0, 333])
@pytest.mark.parametrize("shipping", [False, True])
def test_basket_preview_and_thank_you_page_agree_with_the_booking(
    member_client, member, with_offer, points, shipping
):
    ProgrammeVersion.objects.update(includes_shipping=shipping)
    member.earn(5000)
    if with_offer:
        ten_percent_off()
    for price in ("33.33", "7.49", "0.05"):
        put_in_basket(member_client, make_product(price, title=price), quantity=3)
    if points:
        member_client.post("/loyalty/basket/redeem/", {"points": points})
    in_basket = promised_by(member_client, "/basket/")
    prepare_checkout(member_client)
    in_preview = promised_by(member_client, "/checkout/preview/")
    response = member_client.post("/checkout/preview/", {"action": "place_order"}, follow=True)
    order = get_model("order", "Order").objects.get()
    assert f"Preview: {in_preview} points for this order" in text_of(response)
    reward_purchase(order_id=order.pk, now=order.date_placed)
    booked = Entry.objects.get(kind="EARN", order_ref=order.number)
    assert in_basket == in_preview == booked.points
    net = sum((line.line_price_incl_tax for line in order.lines.all()), Decimal(0))
    assert booked.points == int(net + (order.shipping_incl_tax if shipping else 0))
    assert f"You earned {booked.points} points" in text_of(member_client.get("/checkout/thank-you/"))

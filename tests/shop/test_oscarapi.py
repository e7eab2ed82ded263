"""The same through django-oscar-api, without a page."""

from decimal import Decimal

import pytest
from django.utils import timezone
from oscar.core.loading import get_model
from oscar.test import factories

from oscar_loyalty.flows.redemption import redeem
from oscar_loyalty.points import services

from . import world

pytest.importorskip("oscarapi")

Order = get_model("order", "Order")
Basket = get_model("basket", "Basket")


@pytest.fixture
def shopper(client, member):
    factories.CountryFactory(iso_3166_1_a2="DE", printable_name="Germany")
    client.force_login(member.user)
    return client


def fill(client, price="30.00"):
    product = world.make_product(price, rate=0)
    added = client.post(
        "/api/basket/add-product/",
        {"url": f"http://testserver/api/products/{product.pk}/", "quantity": 1},
        content_type="application/json",
    )
    assert added.status_code == 200, added.content
    basket = Basket.open.get()
    basket.strategy = world.PricesWithTax()
    world.apply_offers(basket)
    return basket


def check_out(client, basket, total):
    return client.post(
        "/api/checkout/",
        {
            "basket": f"http://testserver/api/baskets/{basket.pk}/",
            "total": total,
            "shipping_address": {
                "country": "http://testserver/api/countries/DE/",
                "first_name": "Ada",
                "last_name": "Lovelace",
                "line1": "Marktplatz 1",
                "line4": "Bremen",
                "postcode": "28195",
            },
        },
        content_type="application/json",
    )


def test_points_are_seen_from_basket_to_order(shopper, member):
    basket = fill(shopper)
    redeem(basket=basket, points=1000, now=timezone.now())
    told = shopper.get("/api/basket/").json()
    assert told["total_incl_tax"] == "20.00"
    assert told["offer_discounts"] == [
        {"description": "1,000 points", "name": "Loyalty points", "amount": "10.00"}
    ]
    ordered = check_out(shopper, basket, "20.00")
    assert ordered.status_code == 200, ordered.content
    order = Order.objects.get()
    assert order.total_incl_tax == Decimal("20.00")
    assert order.discounts.get().amount == Decimal("10.00")
    assert ordered.json()["offer_discounts"][0]["amount"] == "10.00"
    member.refresh_from_db()
    assert (member.available, member.held, member.spent) == (9000, 0, 1000)


def test_an_order_that_points_pay_in_full(shopper, member):
    basket = fill(shopper)
    redeem(basket=basket, points=3000, now=timezone.now())
    assert check_out(shopper, basket, "0.00").status_code == 200
    assert Order.objects.get().total_incl_tax == Decimal("0.00")


def test_a_total_that_is_no_longer_true_is_refused(shopper, member):
    basket = fill(shopper)
    redeem(basket=basket, points=1000, now=timezone.now())
    services.release_hold(ref=f"basket:{basket.pk}", now=timezone.now())
    assert check_out(shopper, basket, "20.00").status_code == 406
    assert not Order.objects.exists()


def test_points_lost_in_the_last_instant_are_refused_and_the_basket_stays_open(shopper, member, monkeypatch):
    basket = fill(shopper)
    redeem(basket=basket, points=1000, now=timezone.now())
    capture = services.capture_hold

    def too_late(**values):
        services.release_hold(ref=values["ref"], now=timezone.now())
        return capture(**values)

    monkeypatch.setattr("oscar_loyalty.points.services.capture_hold", too_late)
    refused = check_out(shopper, basket, "20.00")
    assert refused.status_code == 406
    assert "no longer available as before" in refused.content.decode()
    assert not Order.objects.exists()
    assert Basket.objects.get().status == Basket.OPEN
    member.refresh_from_db()
    assert (member.available + member.held, member.spent) == (10_000, 0)


def test_an_exclusive_voucher_added_after_points_is_taken(shopper, member):
    world.make_discount(50, exclusive=True, voucher_code="HALF")
    basket = fill(shopper)
    redeem(basket=basket, points=1000, now=timezone.now())
    added = shopper.post("/api/basket/add-voucher/", {"vouchercode": "HALF"}, content_type="application/json")
    assert added.status_code == 200, added.content
    assert shopper.get("/api/basket/").json()["total_incl_tax"] == "5.00"


def test_a_changed_quantity_is_quoted_anew(shopper, member):
    basket = fill(shopper)
    redeem(basket=basket, points=3500, now=timezone.now())
    assert shopper.get("/api/basket/").json()["total_incl_tax"] == "0.00"
    line = basket.lines.get()
    changed = shopper.patch(
        f"/api/baskets/{basket.pk}/lines/{line.pk}/", {"quantity": 2}, content_type="application/json"
    )
    assert changed.status_code == 200, changed.content
    assert shopper.get("/api/basket/").json()["total_incl_tax"] == "25.00"

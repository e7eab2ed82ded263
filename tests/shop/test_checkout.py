"""Oscar's own checkout, page by page."""

import re
from decimal import Decimal

import pytest
from django.contrib.messages import get_messages
from django.urls import reverse
from django.utils import timezone
from oscar.core.loading import get_model
from oscar.test import factories

from oscar_loyalty.flows.redemption import redeem
from oscar_loyalty.points import services

from . import world

Order = get_model("order", "Order")
Basket = get_model("basket", "Basket")


class Selector:
    def strategy(self, request=None, user=None, **kwargs):
        return world.PricesWithTax(request)


@pytest.fixture(autouse=True)
def prices_with_tax(monkeypatch):
    monkeypatch.setattr("oscar.apps.basket.middleware.selector", Selector())


@pytest.fixture
def shopper(client, member):
    country = factories.CountryFactory(iso_3166_1_a2="DE", printable_name="Germany")
    address = factories.UserAddressFactory(user=member.user, country=country)
    client.force_login(member.user)
    client.address = address
    return client


def fill(client, *prices):
    for price in prices:
        client.post(f"/basket/add/{world.make_product(price).pk}/", {"quantity": 1})
    basket = Basket.open.get()
    basket.strategy = world.PricesWithTax()
    world.apply_offers(basket)
    return basket


def go_to_preview(client):
    client.post("/checkout/shipping-address/", {"action": "ship_to", "address_id": client.address.pk})
    client.get("/checkout/shipping-method/")
    return client.post("/checkout/preview/", {})


def confirm(client):
    return client.post("/checkout/preview/", {"action": "place_order"})


def text_of(response):
    return re.sub(r"\s+", " ", response.content.decode().replace("\xa0", " "))


def test_points_are_seen_from_basket_to_order(shopper, member):
    basket = fill(shopper, "30.00", "20.00")
    redeem(basket=basket, points=1000, now=timezone.now())
    page = text_of(shopper.get("/basket/"))
    assert "Loyalty points" in page
    assert "1,000 points" in page
    assert "-10.00 €" in page
    assert "40.00 €" in text_of(go_to_preview(shopper))
    assert confirm(shopper).status_code == 302
    order = Order.objects.get()
    assert (order.total_incl_tax, order.total_discount_incl_tax) == (Decimal("40.00"), Decimal("10.00"))
    assert "40.00 €" in text_of(shopper.get("/checkout/thank-you/"))
    assert "Loyalty points" in text_of(shopper.get(f"/accounts/orders/{order.number}/"))
    member.refresh_from_db()
    assert (member.available, member.held, member.spent) == (9000, 0, 1000)


def test_the_discount_is_named_in_the_language_of_the_reader(shopper, member):
    german = {"accept-language": "de"}
    basket = fill(shopper, "30.00", "20.00")
    redeem(basket=basket, points=1000, now=timezone.now())
    assert "Treuepunkte" in text_of(shopper.get("/basket/", headers=german))
    go_to_preview(shopper)
    confirm(shopper)
    order = Order.objects.get()
    page = f"/accounts/orders/{order.number}/"
    assert "</span> Treuepunkte" in text_of(shopper.get(page, headers=german))
    assert "</span> Loyalty points" in text_of(shopper.get(page))
    assert order.discounts.get().offer_name == "Loyalty points"


def test_a_name_that_the_staff_have_given_stays(shopper, member, offer):
    offer.name = "Bean bonus"
    offer.save()
    basket = fill(shopper, "30.00")
    redeem(basket=basket, points=1000, now=timezone.now())
    page = text_of(shopper.get("/basket/", headers={"accept-language": "de"}))
    assert "Bean bonus" in page
    assert "Treuepunkte" not in page


def test_an_order_that_points_pay_in_full_skips_the_payment(shopper, member):
    basket = fill(shopper, "30.00")
    redeem(basket=basket, points=3000, now=timezone.now())
    go_to_preview(shopper)
    response = shopper.get("/checkout/payment-details/")
    assert response.status_code == 302
    assert response["Location"].endswith("/checkout/preview/")
    confirm(shopper)
    assert Order.objects.get().total_incl_tax == Decimal("0.00")
    member.refresh_from_db()
    assert member.spent == 3000


def test_points_lost_meanwhile_show_the_preview_again_with_the_new_total(shopper, member, monkeypatch):
    basket = fill(shopper, "30.00", "20.00")
    redeem(basket=basket, points=1000, now=timezone.now())
    go_to_preview(shopper)
    hold_ref = f"basket:{basket.pk}"
    real = services.capture_hold

    def too_late(**values):
        raise services.HoldNotOpen(hold_ref)

    monkeypatch.setattr("oscar_loyalty.points.services.capture_hold", too_late)
    response = confirm(shopper)
    page = text_of(response)
    assert response.status_code == 200
    assert "Your points are no longer available as before" in page
    assert not Order.objects.exists()
    assert Basket.objects.get().status == Basket.OPEN
    monkeypatch.setattr("oscar_loyalty.points.services.capture_hold", real)
    services.release_hold(ref=hold_ref, now=timezone.now())
    assert confirm(shopper).status_code == 302
    assert Order.objects.get().total_incl_tax == Decimal("50.00")


def test_the_page_that_tells_of_lost_points_shows_what_is_to_be_paid_now(shopper, member, monkeypatch):
    basket = fill(shopper, "30.00", "20.00")
    redeem(basket=basket, points=1000, now=timezone.now())
    go_to_preview(shopper)
    release_when_frozen(monkeypatch)
    page = text_of(confirm(shopper))
    assert "Your points are no longer available as before" in page
    assert "50.00 €" in page
    assert "40.00 €" not in page
    assert Basket.objects.get().status == Basket.OPEN


def release_when_frozen(monkeypatch):
    """Another device undoes the redemption while this one pays."""
    freeze = Basket.freeze

    def and_release(basket):
        freeze(basket)
        services.release_hold(ref=f"basket:{basket.pk}", now=timezone.now())

    monkeypatch.setattr(Basket, "freeze", and_release)


def test_a_quantity_changed_on_the_basket_page_is_quoted_anew_and_told(shopper, member, programme):
    world.change_programme(programme, maximum_share_percent=Decimal(50))
    basket = fill(shopper, "30.00")
    redeem(basket=basket, points=1500, now=timezone.now())
    line = basket.lines.get()
    shopper.post(
        "/basket/",
        {
            "form-TOTAL_FORMS": 1,
            "form-INITIAL_FORMS": 1,
            "form-0-id": line.pk,
            "form-0-quantity": 2,
        },
    )
    assert "45.00 €" in text_of(shopper.get("/basket/"))


def test_removing_the_last_goods_that_points_pay_for_says_so(shopper, member):
    basket = fill(shopper, "30.00")
    redeem(basket=basket, points=1000, now=timezone.now())
    line = basket.lines.get()
    response = shopper.post(
        "/basket/",
        {
            "form-TOTAL_FORMS": 1,
            "form-INITIAL_FORMS": 1,
            "form-0-id": line.pk,
            "form-0-quantity": 1,
            "form-0-DELETE": "on",
        },
    )
    told = " ".join(str(message) for message in get_messages(response.wsgi_request))
    assert "Loyalty points" in told


def test_a_guests_basket_joins_the_members_at_login(client, member):
    own = world.make_basket(member.user)
    redeem(basket=own, points=1000, now=timezone.now())
    client.post(f"/basket/add/{world.make_product('12.00').pk}/", {"quantity": 1})
    client.force_login(member.user)
    assert "32.00 €" in text_of(client.get("/basket/"))


def test_the_dashboard_shows_orders_and_offers_with_points(shopper, member, client):
    basket = fill(shopper, "30.00")
    redeem(basket=basket, points=1000, now=timezone.now())
    go_to_preview(shopper)
    confirm(shopper)
    clerk = factories.UserFactory(is_staff=True, is_superuser=True)
    client.force_login(clerk)
    order = Order.objects.get()
    assert "Loyalty points" in text_of(client.get(f"/dashboard/orders/{order.number}/"))
    offer = get_model("offer", "ConditionalOffer").objects.get()
    pages = [
        text_of(client.get(reverse(f"dashboard:offer-{page}", args=[offer.pk])))
        for page in ("detail", "metadata", "condition", "benefit", "restrictions")
    ]
    assert "The points pay for a part of the goods" in pages[0]
    assert all("Loyalty points" in page for page in pages)

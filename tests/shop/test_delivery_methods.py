"""Methods that promise a day, as Oscar's repository, its pages and django-oscar-api see them."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
import time_machine
from django.utils import translation
from oscar.core.loading import get_class, get_model
from oscar.test import factories

from oscar_loyalty.delivery.lockers import LockerRefused
from oscar_loyalty.delivery.models import DeliveryPromise
from oscar_loyalty.shop import perks
from oscar_loyalty.shop.delivery import (
    DeliveryDay,
    DeliveryMethodsMixin,
    ParcelLockerAddressMixin,
    find_promise,
    list_methods,
    tidy_address_of_locker,
)
from oscar_loyalty.tiers.entitlements import Entitlement, Entitlements
from tests.rest_api.conftest import make_customer

from . import parcels, world

Order = get_model("order", "Order")
ShippingAddress = get_model("order", "ShippingAddress")
OscarRepository = get_class("shipping.repository", "Repository")

#: A Tuesday morning in Berlin.
NOW = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)


class Repository(DeliveryMethodsMixin, OscarRepository):
    methods_to_lockers = frozenset({"free-shipping"})


@pytest.fixture(autouse=True)
def _shop(settings):
    settings.OSCAR_LOYALTY_DELIVERY_METHODS = "tests.shop.parcels.methods"


@pytest.fixture
def germany(db):
    return factories.CountryFactory(iso_3166_1_a2="DE", printable_name="Germany", is_shipping_country=True)


def address(**values):
    home = {"line1": "Marktplatz 1", "line4": "Bremen", "postcode": "28195", "country_id": "DE"}
    return ShippingAddress(first_name="Ada", last_name="Lovelace", **{**home, **values})


def locker_address(**values):
    return address(line1="1234567", line2="Packstation 123", **values)


def offered(basket, shipping_addr=None, now=NOW):
    return {method.code: method for method in list_methods(basket=basket, address=shipping_addr, now=now)}


@pytest.fixture
def basket(db):
    return world.make_basket(None, [("10.00", 1, 19), ("10.00", 1, 7)])


# What is offered


def test_every_method_says_when_the_parcel_arrives(basket):
    methods = offered(basket, address(state="Berlin"))
    assert list(methods) == [
        "express",
        "delivery-day-2026-12-02",
        "delivery-day-2026-12-03",
        "delivery-day-2026-12-04",
        "pick-up-kreuzberg",
    ]
    assert (
        methods["express"].description
        == "Arrives by Wednesday 2 December, if you order by Tuesday 1 December, 12:00"
    )
    assert str(methods["delivery-day-2026-12-03"].name) == "Delivery on Thursday 3 December"
    assert methods["delivery-day-2026-12-03"].description == "Arrives by Thursday 3 December"
    assert methods["pick-up-kreuzberg"].name == "Pick-up: Kreuzberg & Co"
    assert methods["pick-up-kreuzberg"].description.startswith("Oranienstr. 1, Berlin. Ready by Tuesday")


def test_holidays_are_those_of_the_state_in_the_address(basket, settings):
    before_epiphany = datetime(2027, 1, 5, 9, 0, tzinfo=UTC)
    for state, day in (("Berlin", date(2027, 1, 6)), ("Bayern", date(2027, 1, 7)), ("", date(2027, 1, 7))):
        express = offered(basket, address(state=state), before_epiphany)["express"]
        assert express.promised.day == day, state
    settings.OSCAR_LOYALTY_DELIVERY_SUBDIVISION = "tests.shop.parcels.bavaria"
    assert offered(basket, address(), before_epiphany)["express"].promised.day == date(2027, 1, 7)


def test_a_method_may_stay_in_its_countries(basket):
    assert "delivery-day-2026-12-03" not in offered(basket, address(country_id="AT"))
    assert "express" in offered(basket, address(country_id="AT"))


def test_charges_are_taxed_like_the_goods(basket):
    price = offered(basket)["express"].calculate(basket)
    # 20.00 of goods are 17.75 without VAT.
    assert (price.incl_tax, price.excl_tax) == (Decimal("9.90"), Decimal("8.79"))


def test_where_tax_is_unknown_the_charge_is_net(db):
    basket = world.make_basket(None, strategy=world.TaxUnknown())
    price = offered(basket)["express"].calculate(basket)
    assert price.excl_tax == Decimal("9.90")
    assert not price.is_tax_known


def test_an_empty_basket_costs_the_charge(db):
    basket = world.make_basket(None, [])
    assert offered(basket)["express"].calculate(basket).excl_tax == Decimal("9.90")


def test_only_an_address_of_a_packstation_gets_the_method_for_it(basket):
    methods = offered(basket, locker_address())
    assert list(methods) == ["parcel-locker"]
    assert methods["parcel-locker"].calculate(basket).incl_tax == Decimal("4.90")
    assert "parcel-locker" not in offered(basket, address())
    assert "parcel-locker" not in offered(basket, address(line1="Packstation 123"))


def test_the_shops_own_methods_to_lockers_stay_and_the_others_go(basket):
    codes = [m.code for m in Repository().get_available_shipping_methods(basket, locker_address())]
    assert codes == ["free-shipping", "parcel-locker"]
    codes = [m.code for m in Repository().get_available_shipping_methods(basket, address())]
    assert codes[0] == "free-shipping"


def test_a_mistake_of_ours_leaves_the_shops_own_methods(basket, settings, caplog):
    settings.OSCAR_LOYALTY_DELIVERY_METHODS = "tests.shop.parcels.broken"
    codes = [m.code for m in Repository().get_available_shipping_methods(basket, address())]
    assert codes == ["free-shipping"]
    assert "could not be offered" in caplog.text


def test_methods_cost_no_statement(basket, django_assert_num_queries):
    list(basket.all_lines())
    with django_assert_num_queries(0):
        list_methods(basket=basket, address=address(), now=NOW)


# Perks


def holder(monkeypatch, *kinds):
    calls = []

    def find_entitlements(*, user_id, now):
        calls.append(user_id)
        return Entitlements(
            all=tuple(Entitlement(kind=kind, parameters={}, tier_code="gold") for kind in kinds)
        )

    monkeypatch.setattr(perks, "find_entitlements", find_entitlements)
    return calls


def test_who_has_the_perk_chooses_their_day_for_nothing_and_others_pay(basket, monkeypatch):
    calls = holder(monkeypatch, "DELIVERY_DAY")
    mine = world.make_basket(factories.UserFactory())
    assert offered(mine)["delivery-day-2026-12-03"].calculate(mine).incl_tax == Decimal("0.00")
    assert offered(basket)["delivery-day-2026-12-03"].calculate(basket).incl_tax == Decimal("3.90")
    assert calls == [mine.owner_id], "read once for a basket, and never for guests"


def test_a_method_for_holders_only_is_offered_to_nobody_else(basket, monkeypatch, settings):
    settings.OSCAR_LOYALTY_DELIVERY_METHODS = "tests.shop.parcels.for_holders_only"
    holder(monkeypatch, "DELIVERY_DAY")
    assert list(offered(world.make_basket(factories.UserFactory())))
    assert not offered(basket)
    holder(monkeypatch)
    assert not offered(world.make_basket(factories.UserFactory()))


# What an order was promised


@pytest.mark.parametrize(
    ("code", "day"),
    [
        ("express", date(2026, 12, 2)),
        ("delivery-day-2026-12-24", date(2026, 12, 24)),
        ("delivery-day-2026-12-32", None),
        ("delivery-day-", None),
        ("pick-up-kreuzberg", date(2026, 12, 1)),
        ("pick-up-mitte", None),
        ("free-shipping", None),
    ],
)
def test_the_code_of_an_order_says_what_was_promised(code, day):
    promised = find_promise(code=code, address=lambda: address(state="Berlin"), placed_at=NOW)
    assert (promised and promised.day) == day


def test_a_day_that_can_no_longer_be_kept_is_known():
    method = DeliveryDay(schedule=parcels.SCHEDULE)
    assert method.can_keep("delivery-day-2026-12-03", address=None, now=NOW)
    assert not method.can_keep("delivery-day-2026-12-01", address=None, now=NOW)
    assert not method.can_keep("delivery-day-2026-12-06", address=None, now=NOW)
    assert not method.can_keep("express", address=None, now=NOW)


# Addresses


def test_an_address_of_a_packstation_is_brought_into_order(db):
    wrong = address(line1="Packstation 123", line2="Postnummer 1234567")
    tidy_address_of_locker(wrong)
    assert (wrong.line1, wrong.line2, wrong.line3) == ("1234567", "Packstation 123", "")
    home = address()
    tidy_address_of_locker(home)
    assert home.line1 == "Marktplatz 1"
    with pytest.raises(LockerRefused, match="Please add your Postnummer"):
        tidy_address_of_locker(address(line1="Packstation 123"))


def test_a_form_says_what_an_address_lacks(germany):
    class Form(ParcelLockerAddressMixin, get_class("checkout.forms", "ShippingAddressForm")):
        pass

    typed = {"first_name": "Ada", "last_name": "Lovelace", "line1": "Packstation 123", "line4": "Bremen"}
    form = Form({**typed, "postcode": "28195"})
    assert not form.is_valid()
    assert "Please add your Postnummer" in form.errors["line1"][0]
    form = Form({**typed, "postcode": "28195", "line2": "1234567"})
    assert form.is_valid(), form.errors
    assert form.save(commit=False).line2 == "Packstation 123"


# Through the checkouts


class Selector:
    def strategy(self, request=None, user=None, **kwargs):
        return world.PricesWithTax(request)


@pytest.fixture
def in_oscar(monkeypatch):
    """Oscar's checkout and django-oscar-api with a repository that has our methods."""
    monkeypatch.setattr("oscar.apps.basket.middleware.selector", Selector())
    for module in ("oscar.apps.checkout.views", "oscar.apps.checkout.session"):
        monkeypatch.setattr(f"{module}.Repository", Repository)


@pytest.fixture
def shopper(client, germany, in_oscar):
    user = make_customer("ada")
    client.force_login(user)
    client.user = user
    client.address = factories.UserAddressFactory(user=user, country=germany, state="Berlin")
    return client


def to_methods(client, *, address_id=None):
    client.post(f"/basket/add/{world.make_product('30.00').pk}/", {"quantity": 1})
    client.post(
        "/checkout/shipping-address/", {"action": "ship_to", "address_id": address_id or client.address.pk}
    )
    return client.get("/checkout/shipping-method/")


def choose(client, code):
    return client.post("/checkout/shipping-method/", {"method_code": code})


def confirm(client):
    return client.post("/checkout/preview/", {"action": "place_order"})


@pytest.mark.host
@time_machine.travel(NOW, tick=False)
def test_the_chosen_day_goes_through_oscars_checkout_into_the_order(shopper):
    page = to_methods(shopper).content.decode()
    assert "Delivery on Thursday 3 December" in page
    assert "if you order by Tuesday 1 December, 12:00" in page
    assert choose(shopper, "delivery-day-2026-12-03").status_code == 302
    assert "Delivery on Thursday 3 December" in shopper.get("/checkout/preview/").content.decode()
    assert confirm(shopper).status_code == 302
    order = Order.objects.get()
    assert (order.shipping_code, order.shipping_incl_tax) == ("delivery-day-2026-12-03", Decimal("3.90"))
    assert order.shipping_method == "Delivery on Thursday 3 December"
    promise = DeliveryPromise.objects.get()
    assert (promise.order_ref, promise.promised_date) == (order.number, date(2026, 12, 3))
    assert (promise.method, promise.method_code) == ("delivery-day", "delivery-day-2026-12-03")
    assert promise.due_at == datetime(2026, 12, 3, 23, 0, tzinfo=UTC)


def test_a_day_that_has_passed_meanwhile_is_chosen_again(shopper):
    with time_machine.travel(NOW, tick=False):
        to_methods(shopper)
        choose(shopper, "delivery-day-2026-12-02")
    with time_machine.travel(datetime(2026, 12, 1, 13, 0, tzinfo=UTC), tick=False):
        answer = shopper.get("/checkout/preview/", follow=True)
        assert answer.redirect_chain[-1][0] == "/checkout/shipping-method/"
        confirm(shopper)
    assert not Order.objects.exists()


@time_machine.travel(NOW, tick=False)
def test_a_day_that_nobody_offers_is_refused(shopper):
    to_methods(shopper)
    assert "not permitted" in choose(shopper, "delivery-day-2026-12-06").content.decode()
    assert choose(shopper, "delivery-day-2027-05-01").status_code == 200


@time_machine.travel(NOW, tick=False)
def test_a_packstation_goes_through_oscars_checkout(shopper, germany):
    locker = factories.UserAddressFactory(
        user=shopper.user,
        country=germany,
        line1="1234567",
        line2="Packstation 123",
        line3="",
        postcode="10115",
        state="Berlin",
    )
    page = to_methods(shopper, address_id=locker.pk).content.decode()
    assert "Delivery to a Packstation" in page
    choose(shopper, "parcel-locker")
    confirm(shopper)
    order = Order.objects.get()
    assert order.shipping_code == "parcel-locker"
    assert (order.shipping_address.line1, order.shipping_address.line2) == ("1234567", "Packstation 123")
    assert DeliveryPromise.objects.get().promised_date == date(2026, 12, 2)


@time_machine.travel(NOW, tick=False)
def test_german_shoppers_read_german_days(shopper):
    with translation.override("de"):
        page = list_methods(basket=world.make_basket(None), address=None, now=NOW)[0].description
    assert "Mittwoch" in page


@time_machine.travel(NOW, tick=False)
def test_an_order_without_a_promise_costs_no_statement_and_stores_none(
    db, settings, django_assert_num_queries
):
    from oscar_loyalty.flows.deliveries import promise_delivery

    order = world.place(world.make_basket(factories.UserFactory()))
    assert not DeliveryPromise.objects.exists()
    with django_assert_num_queries(0):
        promise_delivery(order=order, now=NOW)
    settings.OSCAR_LOYALTY_DELIVERY_METHODS = ""
    order.shipping_code = "express"
    with django_assert_num_queries(0):
        promise_delivery(order=order, now=NOW)


# django-oscar-api

API_ADDRESS = {
    "country": "http://testserver/api/countries/DE/",
    "first_name": "Ada",
    "last_name": "Lovelace",
    "line1": "Marktplatz 1",
    "line4": "Bremen",
    "postcode": "28195",
    "state": "Bremen",
}


@pytest.fixture
def app(client, germany, monkeypatch, in_oscar):
    pytest.importorskip("oscarapi")
    for module in ("oscarapi.serializers.checkout", "oscarapi.views.basket"):
        monkeypatch.setattr(f"{module}.Repository", Repository)
    client.force_login(factories.UserFactory())
    product = world.make_product("30.00", rate=0)
    added = client.post(
        "/api/basket/add-product/",
        json.dumps({"url": f"http://testserver/api/products/{product.pk}/", "quantity": 1}),
        content_type="application/json",
    )
    assert added.status_code == 200
    return client


def check_out(client, code, **address):
    basket = get_model("basket", "Basket").open.get()
    return client.post(
        "/api/checkout/",
        json.dumps(
            {
                "basket": f"http://testserver/api/baskets/{basket.pk}/",
                "shipping_method_code": code,
                "shipping_address": {**API_ADDRESS, **address},
            }
        ),
        content_type="application/json",
    )


@pytest.fixture
def our_serializer(monkeypatch):
    from oscarapi.views.checkout import CheckoutView

    from oscar_loyalty.rest_api.oscarapi.serializers.checkout import CheckoutSerializer

    monkeypatch.setattr(CheckoutView, "serializer_class", CheckoutSerializer)


@time_machine.travel(NOW, tick=False)
def test_the_chosen_day_goes_through_the_api_into_the_order(app, our_serializer):
    listed = app.post(
        "/api/basket/shipping-methods/", json.dumps(API_ADDRESS), content_type="application/json"
    ).json()
    day = next(method for method in listed if method["code"] == "delivery-day-2026-12-03")
    assert (day["name"], day["description"]) == (
        "Delivery on Thursday 3 December",
        "Arrives by Thursday 3 December",
    )
    assert check_out(app, "delivery-day-2026-12-03").status_code == 200
    order = Order.objects.get()
    assert order.shipping_code == "delivery-day-2026-12-03"
    assert DeliveryPromise.objects.get().promised_date == date(2026, 12, 3)


@time_machine.travel(NOW, tick=False)
def test_a_day_that_is_no_longer_offered_is_refused_instead_of_replaced(app, our_serializer):
    """django-oscar-api alone takes the shop's first method for a code that it does not find."""
    refused = check_out(app, "delivery-day-2026-12-01")
    assert refused.status_code == 406, refused.content
    assert "no longer offered" in refused.content.decode()
    assert not Order.objects.exists()


@time_machine.travel(NOW, tick=False)
def test_an_incomplete_packstation_is_refused_in_plain_words(app, our_serializer):
    refused = check_out(app, "parcel-locker", line1="Packstation 123")
    assert refused.status_code == 406
    assert "Please add your Postnummer" in refused.content.decode()
    complete = check_out(app, "parcel-locker", line1="Packstation 123", line2="1234567")
    assert complete.status_code == 200, complete.content
    shipped_to = Order.objects.get().shipping_address
    assert (shipped_to.line1, shipped_to.line2) == ("1234567", "Packstation 123")


def test_without_the_library_of_holidays_the_shops_own_methods_stay(basket, monkeypatch, caplog):
    import sys

    from oscar_loyalty.delivery import calendars

    for cache in (calendars._holidays_of, calendars._subdivisions_of, calendars._names_of):
        cache.cache_clear()
    monkeypatch.setitem(sys.modules, "holidays", None)
    codes = [m.code for m in Repository().get_available_shipping_methods(basket, address())]
    assert codes == ["free-shipping"]
    assert "oscar-loyalty[delivery]" in caplog.text

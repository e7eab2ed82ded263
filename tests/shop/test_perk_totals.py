"""
Carts, tiers, deliveries, offers and taxes: what each order costs, to the cent, with the discounts it
records, through Oscar's checkout and through django-oscar-api.
"""

from dataclasses import dataclass, field
from decimal import Decimal

import pytest
from django.utils import timezone
from oscar.core.loading import get_class, get_model
from oscar.test import factories

from oscar_loyalty.flows.redemption import redeem
from oscar_loyalty.tiers.models import OrderPerks, PerkUse
from tests.tiers.perk_world import give, make_tiers, put_into_tier

from . import world
from .shipping_world import ThreeWaysWithMixin, use_repository

Order = get_model("order", "Order")
Basket = get_model("basket", "Basket")

SILVER = [
    ("FREE_SHIPPING", {"minimum": "29.00", "currency": "EUR", "methods": ["standard"], "countries": ["DE"]}),
    ("FREE_RETURNS", {}),
]
EXPRESS = ("EXPRESS_AT_STANDARD", {"express": ["express"], "standard": "standard"})
GOLD = [("FREE_SHIPPING", {"methods": ["standard"]}), EXPRESS]
ALL_FREE = ("FREE_SHIPPING", {})


def half_shipping():
    """The shop's own offer: half the charge of every delivery."""
    everything = factories.RangeFactory(includes_all_products=True)
    factories.ConditionalOfferFactory(
        name="Half delivery",
        condition=factories.ConditionFactory(range=everything, type="Count", value=1),
        benefit=factories.BenefitFactory(
            range=None, type="Shipping percentage", value=50, max_affected_items=None
        ),
        exclusive=False,
        max_basket_applications=1,
    )


def ten_percent():
    world.make_discount(10)


def voucher():
    world.make_discount(20, voucher_code="TWENTY")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One order. ``cart``: (price, quantity, VAT); ``recorded``: offer → amount; ``used``: perk → saved."""

    name: str
    cart: tuple = (("30.00", 1, 19),)
    tier: str = ""
    granted: tuple = ()
    offers: tuple = ()
    points: int = 0
    taxes: type = world.PricesWithTax
    country: str = "DE"
    method: str = "standard"
    delivery: str = "4.90"
    total: str
    tax: str
    recorded: dict = field(default_factory=dict)
    used: dict = field(default_factory=dict)


BENEFIT = "Delivery benefit"
NET = {"taxes": world.PricesWithoutTax}

ROWS = [
    # Prices with VAT: 30.00 holds 4.79 of it, standard 4.90 holds 0.78, express 9.90 holds 1.58.
    Row(name="no tier pays standard", total="34.90", tax="5.57"),
    Row(name="no tier pays express", method="express", delivery="9.90", total="39.90", tax="6.37"),
    Row(
        name="silver has standard free",
        tier="silver",
        delivery="0.00",
        total="30.00",
        tax="4.79",
        recorded={BENEFIT: "4.90"},
        used={"FREE_SHIPPING": "4.90"},
    ),
    Row(
        name="silver pays express",
        tier="silver",
        method="express",
        delivery="9.90",
        total="39.90",
        tax="6.37",
    ),
    Row(name="silver picks up", tier="silver", method="pick-up", delivery="0.00", total="30.00", tax="4.79"),
    Row(
        name="silver below the minimum pays",
        tier="silver",
        cart=(("28.99", 1, 19),),
        total="33.89",
        tax="5.41",
    ),
    Row(
        name="silver at the minimum has it free, of several goods and rates",
        tier="silver",
        cart=(("11.90", 1, 19), ("8.55", 2, 7)),
        delivery="0.00",
        total="29.00",
        tax="3.02",
        recorded={BENEFIT: "4.90"},
        used={"FREE_SHIPPING": "4.90"},
    ),
    Row(name="silver abroad pays", tier="silver", country="AT", total="34.90", tax="5.57"),
    Row(
        name="gold has express for the price of standard, which is free",
        tier="gold",
        cart=(("10.00", 1, 19),),
        method="express",
        delivery="0.00",
        total="10.00",
        tax="1.60",
        recorded={BENEFIT: "9.90"},
        used={"EXPRESS_AT_STANDARD": "9.90"},
    ),
    Row(
        name="gold has standard free abroad too",
        tier="gold",
        country="AT",
        delivery="0.00",
        total="30.00",
        tax="4.79",
        recorded={BENEFIT: "4.90"},
        used={"FREE_SHIPPING": "4.90"},
    ),
    Row(
        name="express for the price of standard by a grant",
        granted=(EXPRESS,),
        method="express",
        delivery="4.90",
        total="34.90",
        tax="5.57",
        recorded={BENEFIT: "5.00"},
        used={"EXPRESS_AT_STANDARD": "5.00"},
    ),
    Row(
        name="the better one of tier and grant",
        tier="silver",
        granted=(ALL_FREE,),
        method="express",
        delivery="0.00",
        total="30.00",
        tax="4.79",
        recorded={BENEFIT: "9.90"},
        used={"FREE_SHIPPING": "9.90"},
    ),
    # Beside offers of the shop.
    Row(
        name="half delivery for everybody",
        offers=(half_shipping,),
        delivery="2.45",
        total="32.45",
        tax="5.18",
        recorded={"Half delivery": "2.45"},
    ),
    Row(
        name="the perk is better than half delivery, and the only one recorded",
        tier="silver",
        offers=(half_shipping,),
        delivery="0.00",
        total="30.00",
        tax="4.79",
        recorded={BENEFIT: "4.90"},
        used={"FREE_SHIPPING": "4.90"},
    ),
    Row(
        name="half delivery is better where the perk gives nothing",
        tier="silver",
        offers=(half_shipping,),
        method="express",
        delivery="4.95",
        total="34.95",
        tax="5.58",
        recorded={"Half delivery": "4.95"},
    ),
    Row(
        name="the minimum is measured before a discount",
        tier="silver",
        offers=(ten_percent,),
        delivery="0.00",
        total="27.00",
        tax="4.31",
        recorded={BENEFIT: "4.90", "Offer": "3.00"},
        used={"FREE_SHIPPING": "4.90"},
    ),
    Row(
        name="and before a voucher",
        tier="silver",
        offers=(voucher,),
        delivery="0.00",
        total="24.00",
        tax="3.83",
        recorded={BENEFIT: "4.90", "Offer": "6.00"},
        used={"FREE_SHIPPING": "4.90"},
    ),
    Row(
        name="and before points",
        tier="silver",
        points=1000,
        delivery="0.00",
        total="20.00",
        tax="3.19",
        recorded={BENEFIT: "4.90", "Loyalty points": "10.00"},
        used={"FREE_SHIPPING": "4.90"},
    ),
    Row(
        name="all at once",
        tier="gold",
        offers=(ten_percent, half_shipping),
        points=700,
        method="express",
        delivery="0.00",
        total="20.00",
        tax="3.19",
        recorded={BENEFIT: "9.90", "Offer": "3.00", "Loyalty points": "7.00"},
        used={"EXPRESS_AT_STANDARD": "9.90"},
    ),
    # Prices without VAT: 30.00 cost 35.70.
    Row(name="net prices, no tier", **NET, total="40.60", tax="6.48"),
    Row(
        name="net prices, silver",
        **NET,
        tier="silver",
        cart=(("24.37", 1, 19),),
        delivery="0.00",
        total="29.00",
        tax="4.63",
        recorded={BENEFIT: "4.90"},
        used={"FREE_SHIPPING": "4.90"},
    ),
    Row(
        name="net prices, express by a grant beside a discount",
        **NET,
        granted=(EXPRESS,),
        offers=(ten_percent,),
        method="express",
        delivery="4.90",
        total="37.03",
        tax="5.91",
        recorded={BENEFIT: "5.00", "Offer": "3.57"},
        used={"EXPRESS_AT_STANDARD": "5.00"},
    ),
    Row(
        name="net prices, gold with points",
        **NET,
        tier="gold",
        points=1000,
        method="express",
        delivery="0.00",
        total="25.70",
        tax="4.10",
        recorded={BENEFIT: "9.90", "Loyalty points": "10.00"},
        used={"EXPRESS_AT_STANDARD": "9.90"},
    ),
]


@pytest.fixture
def shop(monkeypatch, programme):
    use_repository(monkeypatch, ThreeWaysWithMixin)
    make_tiers(programme, silver=SILVER, gold=GOLD)
    for code, name in [("DE", "Germany"), ("AT", "Austria")]:
        factories.CountryFactory(iso_3166_1_a2=code, printable_name=name)
    return programme


def choose_taxes(monkeypatch, taxes):
    class Selector:
        def strategy(self, request=None, user=None, **kwargs):
            return taxes(request)

    monkeypatch.setattr("oscar.apps.basket.middleware.selector", Selector())


def arrange(row, shop, client, monkeypatch):
    """The member with their tier, the shop's offers, and the customer at their browser."""
    choose_taxes(monkeypatch, row.taxes)
    account = world.make_member()
    if row.tier:
        put_into_tier(account.member, row.tier, programme=shop)
    for kind, parameters in row.granted:
        give(account.member, kind, parameters, programme=shop)
    for make in row.offers:
        make()
    client.force_login(account.user)
    return account


def spend_points(row, account):
    if row.points:
        basket = Basket.open.get(owner=account.user)
        basket.strategy = row.taxes()
        world.apply_offers(basket)
        redeem(basket=basket, points=row.points, now=timezone.now())


def order_at_oscars(row, account, client):
    for price, quantity, rate in row.cart:
        client.post(f"/basket/add/{world.make_product(price, rate=rate).pk}/", {"quantity": quantity})
    if voucher in row.offers:
        client.post("/basket/vouchers/add/", {"code": "TWENTY"})
    spend_points(row, account)
    address = factories.UserAddressFactory(
        user=account.user, country=get_model("address", "Country").objects.get(pk=row.country)
    )
    client.post("/checkout/shipping-address/", {"action": "ship_to", "address_id": address.pk})
    chosen = client.post("/checkout/shipping-method/", {"method_code": row.method})
    assert chosen.status_code == 302
    preview = client.post("/checkout/preview/", {})
    assert f"{row.total} €" in preview.content.decode().replace("\xa0", " ")
    placed = client.post("/checkout/preview/", {"action": "place_order"})
    assert placed.status_code == 302, placed.content.decode()


def order_at_oscarapi(row, account, client):
    pytest.importorskip("oscarapi")

    def post(path, **data):
        return client.post(f"/api/{path}", data, content_type="application/json")

    for price, quantity, rate in row.cart:
        product = world.make_product(price, rate=rate)
        post("basket/add-product/", url=f"http://testserver/api/products/{product.pk}/", quantity=quantity)
    if voucher in row.offers:
        assert post("basket/add-voucher/", vouchercode="TWENTY").status_code == 200
    spend_points(row, account)
    address = {
        "country": f"http://testserver/api/countries/{row.country}/",
        "first_name": "Ada",
        "last_name": "Lovelace",
        "line1": "Marktplatz 1",
        "line4": "Bremen",
        "postcode": "28195" if row.country == "DE" else "1010",
    }
    offered = {method["code"]: method for method in post("basket/shipping-methods/", **address).json()}
    assert offered[row.method]["price"]["incl_tax"] == row.delivery
    placed = post(
        "checkout/",
        basket=f"http://testserver/api/baskets/{Basket.open.get(owner=account.user).pk}/",
        total=row.total,
        shipping_method_code=row.method,
        shipping_address=address,
    )
    assert placed.status_code == 200, placed.content


def recorded_by(order):
    """Offer → amount; the shop's own offers have chance numbers in their names."""
    found = {}
    for discount in order.discounts.all():
        name = discount.offer_name.rstrip("0123456789 ")
        assert name not in found, f"{name} is recorded twice"
        found[name] = str(discount.amount)
    return found


@pytest.mark.parametrize("order", [order_at_oscars, order_at_oscarapi], ids=["Oscar", "oscarapi"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_totals_taxes_and_recorded_discounts_agree(row, order, shop, client, monkeypatch):
    account = arrange(row, shop, client, monkeypatch)
    order(row, account, client)
    placed = Order.objects.get()
    assert (str(placed.shipping_incl_tax), str(placed.total_incl_tax)) == (row.delivery, row.total)
    assert str(placed.total_incl_tax - placed.total_excl_tax) == row.tax
    assert recorded_by(placed) == row.recorded
    lines = sum(line.line_price_incl_tax for line in placed.lines.all())
    assert lines + placed.shipping_incl_tax == placed.total_incl_tax
    full_price = sum(line.line_price_before_discounts_incl_tax for line in placed.lines.all())
    charged = next(one for one in ThreeWaysWithMixin.methods if one.code == row.method).gross
    saved = sum(map(Decimal, row.recorded.values()), Decimal(0))
    assert full_price + charged - saved == placed.total_incl_tax
    assert placed.shipping_before_discounts_incl_tax == charged
    assert {use.kind: str(use.saved) for use in PerkUse.objects.all()} == row.used
    frozen = OrderPerks.objects.filter(order_ref=placed.number)
    assert frozen.exists() == bool(row.tier or row.granted)


def test_the_tax_that_is_known_late_is_on_what_is_left_of_the_charge(shop, client, monkeypatch):
    """A shop in the United States puts its tax on the lines and the charge when the order is submitted."""
    view = get_class("checkout.views", "PaymentDetailsView")
    build = view.build_submission

    def with_tax(self, **kwargs):
        submission = build(self, **kwargs)
        for line in submission["basket"].all_lines():
            net = line.line_price_excl_tax_incl_discounts
            line.purchase_info.price.tax = (net * Decimal("0.10") / line.quantity).quantize(Decimal("0.01"))
        charge = submission["shipping_charge"]
        charge.tax = (charge.excl_tax * Decimal("0.10")).quantize(Decimal("0.01"))
        submission["order_total"] = self.get_order_totals(submission["basket"], charge)
        return submission

    monkeypatch.setattr(view, "build_submission", with_tax)
    row = Row(
        name="late tax",
        taxes=world.TaxUnknown,
        granted=(EXPRESS,),
        method="express",
        total="38.39",
        tax="3.49",
    )
    account = arrange(row, shop, client, monkeypatch)
    order_at_oscars(row, account, client)
    placed = Order.objects.get()
    assert (placed.shipping_excl_tax, placed.shipping_incl_tax) == (Decimal("4.90"), Decimal("5.39"))
    assert (placed.total_excl_tax, placed.total_incl_tax) == (Decimal("34.90"), Decimal("38.39"))
    assert recorded_by(placed) == {BENEFIT: "5.00"}
    assert PerkUse.objects.get().saved == Decimal("5.00")

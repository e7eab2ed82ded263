"""Small shops for tests of redeeming: three ways of taxing, members with points, baskets and orders."""

from datetime import timedelta
from decimal import Decimal
from itertools import count

from django.utils import timezone
from oscar.core.loading import get_class, get_model
from oscar.test import factories

from oscar_loyalty.flows.membership import join_programme
from oscar_loyalty.points.services import adjust_points
from oscar_loyalty.programmes.models import CurrencyRate, Programme, ProgrammeVersion
from oscar_loyalty.programmes.services import publish_version

Structured = get_class("partner.strategy", "Structured")
UseFirstStockRecord = get_class("partner.strategy", "UseFirstStockRecord")
StockRequired = get_class("partner.strategy", "StockRequired")
FixedPrice = get_class("partner.prices", "FixedPrice")
TaxInclusiveFixedPrice = get_class("partner.prices", "TaxInclusiveFixedPrice")
UnavailablePrice = get_class("partner.prices", "Unavailable")

_numbers = count(1)


class Taxed(UseFirstStockRecord, StockRequired, Structured):
    """The rate of VAT in percent stands before the dash of the partner's number: ``19-…``."""

    def pricing_policy(self, product, stockrecord):
        if not stockrecord or stockrecord.price is None:
            return UnavailablePrice()
        rate = Decimal(stockrecord.partner_sku.partition("-")[0])
        return self.price(stockrecord.price, rate / 100, stockrecord.price_currency)

    def parent_pricing_policy(self, product, children_stock):
        return self.pricing_policy(product, children_stock[0][1])


class PricesWithTax(Taxed):
    """A German shop: shelf prices are round with VAT."""

    def price(self, price, rate, currency):
        net = (price / (1 + rate)).quantize(Decimal("0.01"))
        return TaxInclusiveFixedPrice(currency=currency, excl_tax=net, tax=price - net)


class PricesWithoutTax(Taxed):
    """Oscar's own way: shelf prices are round without VAT, which is computed to four places."""

    def price(self, price, rate, currency):
        tax = (price * rate).quantize(Decimal("0.0001"))
        return TaxInclusiveFixedPrice(currency=currency, excl_tax=price, tax=tax)


class TaxUnknown(Taxed):
    """A shop in the United States: the tax is known late in the checkout."""

    def price(self, price, rate, currency):
        return FixedPrice(currency=currency, excl_tax=price)


def make_programme(*, currencies=("EUR",), rate=None, **terms):
    long_ago = timezone.now() - timedelta(days=400)
    programme = Programme.objects.create(code="default", name="Points", time_zone="Europe/Berlin")
    publish_version(
        version=ProgrammeVersion(programme=programme, terms_version="1", **terms),
        rates=[CurrencyRate(currency=currency, **(rate or {})) for currency in currencies],
        active_from=long_ago,
        now=long_ago,
    )
    return programme


def change_programme(programme, *, rate=None, **terms):
    """A new version, in force at once."""
    now = timezone.now()
    publish_version(
        version=ProgrammeVersion(programme=programme, terms_version="1", **terms),
        rates=[CurrencyRate(currency="EUR", **(rate or {}))],
        active_from=now,
        now=now,
    )


def make_member(*, points=10_000, user=None):
    """A customer who takes part, with points; returns the account."""
    user = user or factories.UserFactory()
    account = join_programme(user_id=user.pk, now=timezone.now() - timedelta(days=300))
    if points:
        give_points(account, points)
    account.user = user
    return account


def give_points(account, points):
    """Credit points, or take some away when ``points`` is negative."""
    adjust_points(
        account_id=account.pk,
        points=points,
        reason_code="GOODWILL",
        idempotency_key=f"test:{next(_numbers)}",
        expiry_months=36,
        unit_value=Decimal("0.01"),
        currency="EUR",
        actor_ref="test",
        now=timezone.now(),
    )
    account.refresh_from_db()


def make_product(price="10.00", *, rate=19, currency="EUR", discountable=True, stock=1000):
    product = factories.create_product(title=f"Product {next(_numbers)}")
    product.is_discountable = discountable
    product.save()
    factories.create_stockrecord(
        product=product,
        price=Decimal(price),
        currency=currency,
        num_in_stock=stock,
        partner_sku=f"{rate}-{product.pk}",
    )
    return product


def make_basket(user, lines=(("30.00", 1, 19),), *, strategy=None, currency="EUR", discountable=True):
    """An open basket with lines of (price, quantity, VAT in percent)."""
    basket = get_model("basket", "Basket").objects.create(owner=user)
    basket.strategy = strategy or PricesWithTax()
    for price, quantity, rate in lines:
        product = make_product(price, rate=rate, currency=currency, discountable=discountable)
        basket.add_product(product, quantity)
    apply_offers(basket)
    return basket


def load(basket):
    """The basket as the next request sees it."""
    again = get_model("basket", "Basket").objects.get(pk=basket.pk)
    again.strategy = basket.strategy
    apply_offers(again)
    return again


def apply_offers(basket):
    if not basket.is_empty:
        get_class("offer.applicator", "Applicator")().apply(basket, basket.owner)


def order_total(basket, shipping="0.00"):
    method = make_shipping(shipping)
    charge = method.calculate(basket)
    return get_class("checkout.calculators", "OrderTotalCalculator")().calculate(basket, charge)


def make_shipping(charge="0.00"):
    fixed = get_class("shipping.methods", "FixedPrice")
    return fixed(charge_excl_tax=Decimal(charge), charge_incl_tax=Decimal(charge))


def place(basket, *, number=None, shipping="0.00"):
    """Place an order as both checkouts do, and return it."""
    method = make_shipping(shipping)
    return get_class("order.utils", "OrderCreator")().place_order(
        basket=basket,
        total=order_total(basket, shipping),
        shipping_method=method,
        shipping_charge=method.calculate(basket),
        user=basket.owner,
        order_number=number,
    )


def make_discount(percent=None, *, value=None, exclusive=False, voucher_code=None):
    """Oscar's own offer on everything, for all customers or behind a voucher."""
    everything = factories.RangeFactory(includes_all_products=True)
    offer_model = get_model("offer", "ConditionalOffer")
    offer = factories.ConditionalOfferFactory(
        name=f"Offer {next(_numbers)}",
        condition=factories.ConditionFactory(range=everything, type="Count", value=1),
        benefit=factories.BenefitFactory(
            range=everything,
            type="Percentage" if percent else "Absolute",
            value=percent or value,
            max_affected_items=None,
        ),
        offer_type=offer_model.VOUCHER if voucher_code else offer_model.SITE,
        exclusive=exclusive,
        max_basket_applications=1,
    )
    if voucher_code is None:
        return offer
    voucher = factories.VoucherFactory(name=voucher_code, code=voucher_code, usage="Multi-use")
    voucher.offers.add(offer)
    return voucher

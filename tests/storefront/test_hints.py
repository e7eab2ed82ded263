from decimal import Decimal

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.template import Context, Template
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oscar.apps.partner import strategy as oscar_strategy
from oscar.core.loading import get_class, get_model
from oscar.test import factories

from oscar_loyalty.flows.earning import preview_earning
from oscar_loyalty.flows.purchases import reward_purchase
from oscar_loyalty.points.models import EarnedLine, Entry
from oscar_loyalty.programmes.models import CurrencyRate, Programme, ProgrammeVersion
from oscar_loyalty.shop.baskets import get_basket_lines
from oscar_loyalty.shop.products import get_product_lines

from .conftest import make_product, put_in_basket, text_of

#: Haystack's simple engine, on which the host runs, lists nothing without a word to look for.
LISTING = "/search/?q=Cup"


def statements_for(client, url, **kwargs):
    with CaptureQueriesContext(connection) as captured:
        response = client.get(url, **kwargs)
    assert response.status_code == 200
    return [query["sql"] for query in captured]


def test_a_product_says_what_it_earns(client, programme, product):
    page = text_of(client.get(product.get_absolute_url()))
    assert "Earns 119 points (worth 1.19 €) How points work" in page


def test_one_point_is_one_point(client, programme):
    page = text_of(client.get(make_product("1.50").get_absolute_url()))
    assert "Earns 1 point (worth 0.01 €)" in page


def test_the_same_in_german(client, programme):
    product = make_product("1234.50")
    page = text_of(client.get(product.get_absolute_url(), headers={"accept-language": "de"}))
    assert "Bringt 1.234 Punkte (12,34 € wert)" in page


@pytest.mark.parametrize("price", ["0.00", "0.99"])
def test_what_earns_nothing_has_no_hint(client, programme, price):
    assert "loyalty-hint" not in client.get(make_product(price).get_absolute_url()).text


def test_a_product_without_a_price_has_no_hint(client, programme, product):
    product.stockrecords.all().delete()
    assert "loyalty-hint" not in client.get(product.get_absolute_url()).text


def test_excluded_products_have_no_hint(client, programme, product):
    category = factories.CategoryFactory(name="Gift cards")
    factories.ProductCategoryFactory(product=product, category=category)
    ProgrammeVersion.objects.update(excluded_category_ids=[category.pk])
    assert "loyalty-hint" not in client.get(product.get_absolute_url()).text
    assert "loyalty-hint" not in client.get("/search/?q=Kettle").text


def test_a_pause_hides_the_hints(client, programme, product):
    Programme.objects.update(earning_paused=True)
    assert "loyalty-hint" not in client.get(product.get_absolute_url()).text


def make_variant(parent, price):
    child = get_model("catalogue", "Product").objects.create(structure="child", parent=parent, title=price)
    record = factories.create_stockrecord(child, price=Decimal(price), num_in_stock=5)
    record.price_currency = "EUR"
    record.save()
    return child


def test_variants_have_hints_of_their_own_and_their_parent_says_from(client, programme):
    parent = factories.create_product(structure="parent", product_class="goods", title="Cup")
    for price in ("8.40", "15.80"):
        child = make_variant(parent, price)
    assert "Earns 15 points" in text_of(client.get(child.get_absolute_url()))
    assert "From " in text_of(client.get(parent.get_absolute_url()))
    assert "loyalty-hint-compact" in client.get(LISTING).text


@pytest.mark.parametrize("exclusion", [False, True])
def test_a_product_page_costs_two_statements_at_most(client, programme, product, settings, exclusion):
    if exclusion:
        other = factories.CategoryFactory(name="Gift cards")
        ProgrammeVersion.objects.update(excluded_category_ids=[other.pk])
    url = product.get_absolute_url()
    client.get(url)
    with_points = statements_for(client, url)
    settings.OSCAR_LOYALTY_ENABLED = False
    without = statements_for(client, url)
    assert len(with_points) - len(without) <= 2
    settings.OSCAR_LOYALTY_ENABLED = True
    assert "loyalty-hint" in client.get(url).text


@pytest.mark.parametrize("exclusion", [False, True])
@pytest.mark.parametrize("products", [1, 12])
def test_a_listing_costs_two_statements_whatever_its_length(client, programme, settings, products, exclusion):
    if exclusion:
        other = factories.CategoryFactory(name="Gift cards")
        ProgrammeVersion.objects.update(excluded_category_ids=[other.pk])
    for number in range(products):
        make_product("10.00", title=f"Cup {number}")
    client.get(LISTING)
    with_points = statements_for(client, LISTING)
    assert client.get(LISTING).text.count("loyalty-hint-compact") == products
    settings.OSCAR_LOYALTY_ENABLED = False
    without = statements_for(client, LISTING)
    assert len(with_points) - len(without) <= 2


def test_a_listing_of_variants_costs_no_statement_for_each(client, programme, settings):
    for number in range(5):
        parent = factories.create_product(structure="parent", product_class="goods", title=f"Cup {number}")
        make_variant(parent, "10.00")
    client.get(LISTING)
    with_points = statements_for(client, LISTING)
    settings.OSCAR_LOYALTY_ENABLED = False
    assert len(with_points) - len(statements_for(client, LISTING)) <= 2


def test_search_results_have_hints(client, programme, product):
    assert "loyalty-hint-compact" in client.get("/search/?q=Kettle").text


@pytest.mark.usefixtures("offer")
def test_a_basket_page_costs_four_statements_at_most(member_client, member, product, settings):
    member.earn(5000)
    put_in_basket(member_client, product)
    member_client.post("/loyalty/basket/redeem/", {"points": 500})
    member_client.get("/basket/")
    own = [sql for sql in statements_for(member_client, "/basket/") if "oscar_loyalty" in sql]
    assert len(own) <= 4, own


def test_a_guest_is_told_in_the_basket_what_members_earn(client, programme, product):
    put_in_basket(client, product, quantity=2)
    page = text_of(client.get("/basket/"))
    assert "Members earn 238 points with this order. (worth 2.38 €) Take part for free" in page


def test_a_customer_outside_is_told_too(client, programme, product, customer):
    client.force_login(customer)
    put_in_basket(client, product)
    page = client.get("/basket/")
    assert "Members earn 119 points with this order. (worth 1.19 €) Join for free" in text_of(page)
    assert 'href="/loyalty/#join"' in page.text


def test_shipping_counts_in_the_basket_when_the_programme_says_so(member_client, product, member):
    ProgrammeVersion.objects.update(includes_shipping=True)
    put_in_basket(member_client, product)
    assert "This order earns you 119 points." in text_of(member_client.get("/basket/"))


@pytest.mark.parametrize(
    "tag",
    [
        "loyalty_earn_hint product",
        "loyalty_tile_hint product",
        "loyalty_basket_hint",
        "loyalty_redemption_box",
        "loyalty_points_summary",
        "loyalty_join_box",
        "loyalty_join_fields form",
    ],
)
def test_a_tag_outside_of_a_request_renders_nothing(db, programme, product, tag):
    template = Template("{% load loyalty %}{% " + tag + " %}")
    assert template.render(Context({"product": product})) == ""


def test_the_points_summary_fits_into_any_theme(programme, member, rf):
    member.earn(1234)
    request = RequestFactory().get("/")
    request.user = member.user
    template = Template("{% load loyalty %}{% loyalty_points_summary %}")
    shown = template.render(Context({"request": request}))
    assert "1,234 points" in shown
    request = RequestFactory().get("/")
    request.user = AnonymousUser()
    assert template.render(Context({"request": request})) == ""


# What is previewed is what is booked


class Taxed(
    oscar_strategy.UseFirstStockRecord,
    oscar_strategy.StockRequired,
    oscar_strategy.FixedRateTax,
    oscar_strategy.Structured,
):
    def __init__(self, rate):
        super().__init__()
        self.rate = rate


prices = st.decimals(min_value=Decimal("0.01"), max_value=Decimal(2000), places=2)
quantities = st.integers(min_value=1, max_value=7)
purchases = st.lists(st.tuples(prices, quantities), min_size=1, max_size=3)
rates = st.tuples(
    st.integers(min_value=1, max_value=500),
    st.decimals(min_value=Decimal("0.01"), max_value=Decimal(50), places=2),
)
tax_rates = st.sampled_from([Decimal(0), Decimal("0.07"), Decimal("0.19")])


@pytest.fixture
def order_under(member):
    """Set the programme, fill a basket, and say what it previews and what its order is booked with."""

    numbers = iter(range(200_000, 900_000))

    def order(purchase, *, rate, tax_rate, includes_tax):
        earn_points, earn_amount = rate
        ProgrammeVersion.objects.update(includes_tax=includes_tax)
        CurrencyRate.objects.update(earn_points=earn_points, earn_amount=earn_amount)
        basket = factories.create_basket(empty=True)
        basket.strategy = Taxed(tax_rate)
        basket.owner = member.user
        basket.save()
        products = []
        for price, quantity in purchase:
            product = make_product(price)
            products.append(product)
            basket.add_product(product, quantity)
        get_class("offer.applicator", "Applicator")().apply(basket, member.user)
        placed = factories.create_order(
            number=str(next(numbers)), basket=basket, user=member.user, shipping_method=None
        )
        previewed = preview_earning(lines=get_basket_lines(basket), currency="EUR", now=placed.date_placed)
        reward_purchase(order_id=placed.pk, now=placed.date_placed)
        booked = Entry.objects.filter(kind="EARN", order_ref=placed.number).first()
        return products, basket, previewed, booked, placed

    return order


@pytest.mark.database
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(purchase=purchases, rate=rates, tax_rate=tax_rates, includes_tax=st.booleans())
def test_the_preview_of_a_basket_is_the_booking_of_its_order(
    order_under, purchase, rate, tax_rate, includes_tax
):
    _products, _basket, previewed, booked, _order = order_under(
        purchase, rate=rate, tax_rate=tax_rate, includes_tax=includes_tax
    )
    assert previewed.points == (booked.points if booked else 0)
    if booked:
        lines = EarnedLine.objects.filter(entry=booked).order_by("pk").values_list("basis", "points")
        assert list(lines) == [(line.basis, line.points) for line in previewed.earning.lines if line.basis]


@pytest.mark.database
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(price=prices, rate=rates, tax_rate=tax_rates, includes_tax=st.booleans())
def test_the_preview_of_a_product_is_the_booking_of_an_order_of_it(
    order_under, price, rate, tax_rate, includes_tax
):
    products, basket, _previewed, booked, placed = order_under(
        [(price, 1)], rate=rate, tax_rate=tax_rate, includes_tax=includes_tax
    )
    info = basket.strategy.fetch_for_product(products[0])
    previewed = preview_earning(
        lines=get_product_lines(products[0], purchase_info=info), currency="EUR", now=placed.date_placed
    )
    assert previewed.points == (booked.points if booked else 0)

from datetime import datetime, timedelta
from decimal import Decimal
from io import StringIO
from itertools import pairwise

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from oscar.core.loading import get_class, get_model

from oscar_loyalty.flows.tiering import check_tiers
from oscar_loyalty.points.models import Entry
from sandbox.apps.partner.vat import FULL_RATE, REDUCED_RATE, net_of
from sandbox.demo.people import PEOPLE
from sandbox.demo.pictures import SHAPES, draw_picture
from sandbox.demo.purchases import HERE
from sandbox.demo.seed import seed_shop

from .conftest import SEED, SIZES, UNTIL

pytestmark = pytest.mark.django_db

Basket = get_model("basket", "Basket")
Category = get_model("catalogue", "Category")
Line = get_model("order", "Line")
Order = get_model("order", "Order")
Product = get_model("catalogue", "Product")
ProductReview = get_model("reviews", "ProductReview")
StockRecord = get_model("partner", "StockRecord")
User = get_user_model()


def everything_in_the_shop() -> dict[str, list]:
    """What the seed decides, without primary keys and times of writing."""
    return {
        "products": list(
            Product.objects.order_by("upc").values_list("upc", "title_de", "title_en", "rating")
        ),
        "stock": list(
            StockRecord.objects.order_by("partner_sku").values_list(
                "partner_sku", "price", "num_in_stock", "num_allocated"
            )
        ),
        "people": list(
            User.objects.order_by("username").values_list(
                "email", "password", "date_joined", "addresses__line1", "addresses__postcode"
            )
        ),
        "orders": list(
            Order.objects.order_by("number").values_list(
                "number",
                "user__email",
                "guest_email",
                "date_placed",
                "status",
                "shipping_code",
                "total_incl_tax",
                "total_excl_tax",
                "shipping_address__line1",
            )
        ),
        "lines": list(Line.objects.order_by("order__number", "pk").values_list("partner_sku", "quantity")),
        "history": list(
            Order.objects.order_by("number", "status_changes__date_created").values_list(
                "number", "status_changes__new_status", "status_changes__date_created"
            )
        ),
        "reviews": list(
            ProductReview.objects.order_by("product__upc", "user__email").values_list(
                "user__email", "score", "title", "status", "date_created"
            )
        ),
    }


def test_the_same_seed_gives_the_same_shop():
    before = everything_in_the_shop()
    call_command("flush", interactive=False, verbosity=0)
    assert not Order.objects.exists()
    seed_shop(seed=SEED, until=UNTIL, sizes=SIZES)
    after = everything_in_the_shop()
    assert {part: len(rows) for part, rows in after.items()} == {p: len(rows) for p, rows in before.items()}
    assert after == before


def test_another_seed_gives_another_shop():
    before = everything_in_the_shop()
    call_command("flush", interactive=False, verbosity=0)
    seed_shop(seed=SEED + 1, until=UNTIL, sizes=SIZES)
    assert everything_in_the_shop()["orders"] != before["orders"]


def test_seeding_again_changes_nothing():
    before, said = everything_in_the_shop(), StringIO()
    call_command("seed_shop", stdout=said)
    assert "nothing to do" in said.getvalue()
    assert everything_in_the_shop() == before


def test_the_shop_has_the_size_that_was_asked_for():
    assert Order.objects.count() == SIZES.orders
    assert User.objects.count() == SIZES.customers + len(PEOPLE)
    assert 180 <= StockRecord.objects.count() <= 260
    assert Category.objects.filter(depth=2).count() >= 10
    assert StockRecord.objects.filter(num_in_stock=0).exists()
    assert set(Order.objects.values_list("status", flat=True)) >= {"Complete", "Cancelled"}


def test_all_orders_lie_in_the_18_months_before_the_given_day():
    placed = Order.objects.order_by("date_placed").values_list("date_placed", flat=True)
    assert placed.first().date() >= UNTIL - timedelta(days=550)
    assert placed.last().date() < UNTIL


def test_order_numbers_follow_time_and_baskets_as_oscar_counts_them():
    orders = list(Order.objects.order_by("date_placed", "pk"))
    assert [order.number for order in orders] == sorted(order.number for order in orders)
    assert all(order.number == str(100000 + order.basket_id) for order in orders)
    assert set(Basket.objects.values_list("status", flat=True)) == {Basket.SUBMITTED}


def test_the_lines_and_the_delivery_of_each_order_add_up_to_its_total_with_and_without_vat():
    for order in Order.objects.prefetch_related("lines"):
        lines = order.lines.all()
        assert lines
        assert (
            sum(line.line_price_incl_tax for line in lines) + order.shipping_incl_tax == order.total_incl_tax
        )
        assert (
            sum(line.line_price_excl_tax for line in lines) + order.shipping_excl_tax == order.total_excl_tax
        )


def test_each_line_has_the_vat_of_its_goods():
    seen = set()
    for line in Line.objects.select_related("product__parent__product_class", "product__product_class"):
        is_food = line.product.get_product_class().slug in {"coffee", "tea", "pantry"}
        rate = REDUCED_RATE if is_food else FULL_RATE
        seen.add(rate)
        assert line.tax_code == ("DE7" if is_food else "DE19")
        assert line.unit_price_excl_tax == net_of(line.unit_price_incl_tax, rate)
        assert line.line_price_incl_tax == line.unit_price_incl_tax * line.quantity
        price = line.prices.get()
        assert (price.price_incl_tax, price.quantity) == (line.unit_price_incl_tax, line.quantity)
    assert seen == {REDUCED_RATE, FULL_RATE}


def test_a_seeded_order_is_what_oscar_itself_would_have_written():
    Repository = get_class("shipping.repository", "Repository")  # noqa: N806
    Selector = get_class("partner.strategy", "Selector")  # noqa: N806
    OrderTotalCalculator = get_class("checkout.calculators", "OrderTotalCalculator")  # noqa: N806
    StockRecord.objects.update(num_in_stock=1000, num_allocated=0)
    # The offer on espresso began after the seeded past.
    get_model("offer", "ConditionalOffer").objects.all().delete()
    compared = 0
    for order in Order.objects.exclude(user=None).prefetch_related("lines__product")[:25]:
        basket = Basket.objects.create(owner=order.user)
        basket.strategy = Selector().strategy()
        for line in order.lines.all():
            basket.add_product(line.product, line.quantity)
        methods = Repository().get_shipping_methods(basket, shipping_addr=order.shipping_address)
        method = next(method for method in methods if method.code == order.shipping_code)
        charge = method.calculate(basket)
        total = OrderTotalCalculator().calculate(basket, charge)
        assert (total.incl_tax, total.excl_tax) == (order.total_incl_tax, order.total_excl_tax)
        assert (charge.incl_tax, charge.excl_tax) == (order.shipping_incl_tax, order.shipping_excl_tax)
        written = get_class("order.utils", "OrderCreator")().place_order(
            basket, total, method, charge, user=order.user, shipping_address=order.shipping_address
        )
        fields = (
            "title",
            "upc",
            "quantity",
            "line_price_incl_tax",
            "line_price_excl_tax",
            "line_price_before_discounts_incl_tax",
            "unit_price_excl_tax",
            "tax_code",
        )
        assert list(written.lines.order_by("product_id").values_list(*fields)) == list(
            order.lines.order_by("product_id").values_list(*fields)
        )
        compared += 1
    assert compared == 25


def test_stock_that_open_orders_were_promised_is_allocated():
    promised: dict[str, int] = {}
    for line in Line.objects.filter(status__in=("Pending", "Being processed")):
        promised[line.partner_sku] = promised.get(line.partner_sku, 0) + line.quantity
    allocated = dict(StockRecord.objects.exclude(num_allocated=0).values_list("partner_sku", "num_allocated"))
    assert allocated == promised
    assert all(record.net_stock_level >= 0 for record in StockRecord.objects.all())


def test_the_status_of_an_order_is_the_last_entry_of_its_history():
    for order in Order.objects.prefetch_related("status_changes"):
        changes = sorted(order.status_changes.all(), key=lambda change: change.date_created)
        assert order.status == (changes[-1].new_status if changes else "Pending")
        assert all(change.date_created >= order.date_placed for change in changes)
        steps = ["Pending", *(change.new_status for change in changes)]
        assert all(new in Order.pipeline[old] for old, new in pairwise(steps))


def test_cancelled_orders_were_not_paid_and_others_were():
    for order in Order.objects.prefetch_related("sources"):
        source = order.sources.get()
        paid = Decimal("0.00") if order.status == "Cancelled" else order.total_incl_tax
        assert source.amount_debited == paid


def test_members_have_the_points_and_the_tiers_of_their_orders():
    earned = Entry.objects.filter(kind=Entry.Kind.EARN)
    of_members = Order.objects.filter(user__loyalty_member__isnull=False).exclude(status="Cancelled")
    assert set(earned.values_list("order_ref", flat=True)) == set(of_members.values_list("number", flat=True))
    # Within the week in which they were placed, not on the day on which somebody joined.
    placed = dict(of_members.values_list("number", "date_placed"))
    for entry in earned:
        assert timedelta(0) <= entry.created_at - placed[entry.order_ref] <= timedelta(days=7)
    end = datetime.combine(UNTIL, datetime.min.time(), HERE)
    assert not list(check_tiers(now=end))


def test_reviews_come_from_buyers_and_make_the_rating():
    for review in ProductReview.objects.select_related("product"):
        family = [review.product_id, *review.product.children.values_list("pk", flat=True)]
        assert Line.objects.filter(order__user=review.user, product_id__in=family).exists()
    for product in Product.objects.filter(rating__isnull=False):
        assert product.rating == pytest.approx(product.calculate_rating())


def test_every_text_of_the_catalogue_exists_in_both_languages():
    for product in Product.objects.all():
        assert product.title_de
        assert product.title_en
        assert product.is_child or (product.description_de and product.description_en)
    for category in Category.objects.all():
        assert category.name_de
        assert category.description_en


def test_every_picture_is_drawn_alike_each_time():
    for shape in SHAPES:
        assert draw_picture(shape, "#b5533c", 40) == draw_picture(shape, "#b5533c", 40)
    assert draw_picture("mug", "#b5533c", 40) != draw_picture("mug", "#3f6f8f", 40)

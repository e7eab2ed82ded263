"""Writes past purchases: baskets, orders with lines and statuses, payments, reviews, statistics."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random

from django.contrib.sites.models import Site
from django.utils import translation
from oscar.core.loading import get_class, get_model

from .customers import Customer
from .opinions import invent_opinion
from .purchases import Purchase, net_price

Basket = get_model("basket", "Basket")
BasketLine = get_model("basket", "Line")
Order = get_model("order", "Order")
Line = get_model("order", "Line")
LinePrice = get_model("order", "LinePrice")
OrderStatusChange = get_model("order", "OrderStatusChange")
ShippingAddress = get_model("order", "ShippingAddress")
BillingAddress = get_model("order", "BillingAddress")
ShippingEvent = get_model("order", "ShippingEvent")
ShippingEventQuantity = get_model("order", "ShippingEventQuantity")
ShippingEventType = get_model("order", "ShippingEventType")
Source = get_model("payment", "Source")
SourceType = get_model("payment", "SourceType")
Transaction = get_model("payment", "Transaction")
Product = get_model("catalogue", "Product")
ProductReview = get_model("reviews", "ProductReview")
ProductRecord = get_model("analytics", "ProductRecord")
UserRecord = get_model("analytics", "UserRecord")
OrderNumberGenerator = get_class("order.utils", "OrderNumberGenerator")

#: Rows sent to the database at a time, below SQLite's limit of variables in one statement.
BATCH = 500

OPEN_STATUSES = {"Pending", "Being processed"}


@contextmanager
def own_dates(*models) -> Iterator[None]:
    """Lets rows keep the creation dates they are given, instead of the moment they are written."""
    fields = [
        field for model in models for field in model._meta.fields if getattr(field, "auto_now_add", False)
    ]
    with ExitStack() as stack:
        for field in fields:
            field.auto_now_add = False
            stack.callback(setattr, field, "auto_now_add", True)
        yield


def write_purchases(
    purchases: Sequence[Purchase],
    *,
    users: Sequence,
    buyers: Sequence[Customer],
    guests: Sequence[Customer],
    records,
) -> Counter:
    """
    Write each purchase as Oscar would have at the time. Returns how many of each SKU are promised.

    :param users: the user of each customer in `buyers`, in the same order
    :param guests: who bought without an account, one for each purchase without a buyer, in order
    :param records: stock record by SKU
    """
    strangers = iter(guests)
    people = [buyers[p.buyer] if p.buyer is not None else next(strangers) for p in purchases]
    owners = [users[p.buyer] if p.buyer is not None else None for p in purchases]
    with own_dates(Basket, BasketLine, OrderStatusChange, ShippingEvent, Transaction):
        baskets = _write_baskets(purchases, owners, records)
        orders = _write_orders(purchases, people, owners, baskets)
        lines = _write_lines(purchases, orders, records)
        _write_history(purchases, orders, lines)
        _write_payments(purchases, orders)
    _count_sales(purchases, owners, records)
    promised: Counter = Counter()
    for purchase in purchases:
        if purchase.status in OPEN_STATUSES:
            promised.update({item.sku: quantity for item, quantity in purchase.lines})
    return promised


def _write_baskets(purchases, owners, records) -> list[Basket]:
    baskets = Basket.objects.bulk_create(
        (
            Basket(
                owner=owner,
                status=Basket.SUBMITTED,
                date_created=purchase.placed_at - timedelta(minutes=25),
                date_submitted=purchase.placed_at,
            )
            for purchase, owner in zip(purchases, owners, strict=True)
        ),
        batch_size=BATCH,
    )
    BasketLine.objects.bulk_create(
        (
            BasketLine(
                basket=basket,
                line_reference=f"{records[item.sku].product_id}_{records[item.sku].pk}",
                product_id=records[item.sku].product_id,
                stockrecord=records[item.sku],
                quantity=quantity,
                price_currency="EUR",
                price_excl_tax=net_price(item),
                price_incl_tax=item.price,
                tax_code=item.tax_code,
                date_created=purchase.placed_at - timedelta(minutes=20 - n),
            )
            for purchase, basket in zip(purchases, baskets, strict=True)
            for n, (item, quantity) in enumerate(purchase.lines)
        ),
        batch_size=BATCH,
    )
    return baskets


def _address_of(person: Customer) -> dict[str, str]:
    return {
        "first_name": person.first_name,
        "last_name": person.last_name,
        "line1": person.street,
        "line4": person.town,
        "postcode": person.postcode,
        "country_id": person.country,
        "search_text": " ".join(
            (person.first_name, person.last_name, person.street, person.town, person.postcode)
        ),
    }


def _write_orders(purchases, people, owners, baskets) -> list[Order]:
    shipping = ShippingAddress.objects.bulk_create(
        (ShippingAddress(**_address_of(person)) for person in people), batch_size=BATCH
    )
    billing = BillingAddress.objects.bulk_create(
        (BillingAddress(**_address_of(person)) for person in people), batch_size=BATCH
    )
    site, numbers = Site.objects.get_current(), OrderNumberGenerator()
    rows = []
    with translation.override("de"):
        for n, (purchase, person, owner, basket) in enumerate(
            zip(purchases, people, owners, baskets, strict=True)
        ):
            rows.append(
                Order(
                    number=str(numbers.order_number(basket)),
                    site=site,
                    basket=basket,
                    user=owner,
                    guest_email="" if owner else person.email,
                    billing_address=billing[n],
                    shipping_address=shipping[n],
                    currency="EUR",
                    total_incl_tax=purchase.goods_gross + purchase.shipping_gross,
                    total_excl_tax=purchase.goods_net + purchase.shipping_net,
                    shipping_incl_tax=purchase.shipping_gross,
                    shipping_excl_tax=purchase.shipping_net,
                    shipping_method=str(purchase.delivery.name),
                    shipping_code=purchase.delivery.code,
                    status=purchase.status,
                    date_placed=purchase.placed_at,
                )
            )
    return Order.objects.bulk_create(rows, batch_size=BATCH)


def _write_lines(purchases, orders, records) -> list[list[Line]]:
    grouped = []
    for purchase, order in zip(purchases, orders, strict=True):
        group = []
        for item, quantity in purchase.lines:
            record, net = records[item.sku], net_price(item)
            group.append(
                Line(
                    order=order,
                    partner=record.partner,
                    partner_name=record.partner.name,
                    partner_sku=record.partner_sku,
                    stockrecord=record,
                    product=record.product,
                    title=record.product.title_de,
                    upc=record.product.upc,
                    quantity=quantity,
                    line_price_incl_tax=item.price * quantity,
                    line_price_excl_tax=net * quantity,
                    line_price_before_discounts_incl_tax=item.price * quantity,
                    line_price_before_discounts_excl_tax=net * quantity,
                    unit_price_incl_tax=item.price,
                    unit_price_excl_tax=net,
                    tax_code=item.tax_code,
                    status=purchase.status,
                    num_allocated=quantity if purchase.status in OPEN_STATUSES else 0,
                )
            )
        grouped.append(group)
    lines = Line.objects.bulk_create((line for group in grouped for line in group), batch_size=BATCH)
    LinePrice.objects.bulk_create(
        (
            LinePrice(
                order=line.order,
                line=line,
                quantity=line.quantity,
                price_incl_tax=line.unit_price_incl_tax,
                price_excl_tax=line.unit_price_excl_tax,
                tax_code=line.tax_code,
            )
            for line in lines
        ),
        batch_size=BATCH,
    )
    return grouped


def _write_history(purchases, orders, lines) -> None:
    """Status changes with their dates, and what was put in a parcel."""
    OrderStatusChange.objects.bulk_create(
        (
            OrderStatusChange(order=order, old_status=old, new_status=new, date_created=moment)
            for purchase, order in zip(purchases, orders, strict=True)
            for (old, _), (new, moment) in zip(purchase.moments, purchase.moments[1:], strict=False)
        ),
        batch_size=BATCH,
    )
    shipped = ShippingEventType.objects.get(code="shipped")
    parcels, contents = [], []
    for purchase, order, group in zip(purchases, orders, lines, strict=True):
        moment = dict(purchase.moments).get("Shipped")
        if moment:
            parcels.append(ShippingEvent(order=order, event_type=shipped, date_created=moment))
            contents.append(group)
    ShippingEvent.objects.bulk_create(parcels, batch_size=BATCH)
    ShippingEventQuantity.objects.bulk_create(
        (
            ShippingEventQuantity(event=parcel, line=line, quantity=line.quantity)
            for parcel, group in zip(parcels, contents, strict=True)
            for line in group
        ),
        batch_size=BATCH,
    )


def _write_payments(purchases, orders) -> None:
    """Old orders were paid by invoice; cancelled ones were never paid."""
    invoice = SourceType.objects.get(code="invoice")
    sources = Source.objects.bulk_create(
        (
            Source(
                order=order,
                source_type=invoice,
                currency="EUR",
                amount_allocated=order.total_incl_tax,
                amount_debited=Decimal("0.00") if order.status == "Cancelled" else order.total_incl_tax,
                reference=f"RE-{order.number}",
            )
            for order in orders
        ),
        batch_size=BATCH,
    )
    Transaction.objects.bulk_create(
        (
            Transaction(
                source=source,
                txn_type=Transaction.DEBIT,
                amount=source.amount_debited,
                reference=source.reference,
                status="Paid",
                date_created=purchase.placed_at + timedelta(hours=2),
            )
            for source, purchase in zip(sources, purchases, strict=True)
            if source.amount_debited
        ),
        batch_size=BATCH,
    )


def _count_sales(purchases, owners, records) -> None:
    """What Oscar's statistics would hold by now."""
    sold: Counter = Counter()
    popular: Counter = Counter()  # variants count for their parent, which is what lists show
    spent: dict = {}
    for purchase, owner in zip(purchases, owners, strict=True):
        for item, quantity in purchase.lines:
            product = records[item.sku].product
            sold[product.pk] += quantity
            popular[product.parent_id or product.pk] += quantity
        if owner:
            spent.setdefault(owner, []).append(purchase)
    busiest = max(popular.values(), default=1)
    ProductRecord.objects.bulk_create(
        (
            ProductRecord(
                product_id=product_id,
                num_views=max(sold[product_id], popular[product_id]) * 9,
                num_basket_additions=sold[product_id] * 2,
                num_purchases=sold[product_id],
                score=popular[product_id] / busiest,
            )
            for product_id in sorted({*sold, *popular})
        ),
        batch_size=BATCH,
    )
    UserRecord.objects.bulk_create(
        (
            UserRecord(
                user=user,
                num_orders=len(made),
                num_order_lines=sum(len(p.lines) for p in made),
                num_order_items=sum(quantity for p in made for _, quantity in p.lines),
                total_spent=sum(p.goods_gross + p.shipping_gross for p in made),
                date_last_order=made[-1].placed_at,
            )
            for user, made in spent.items()
        ),
        batch_size=BATCH,
    )


def write_reviews(random: Random, purchases, *, users, records, until: datetime) -> None:
    """Some buyers say what they think, once for each good; the newest still wait for moderation."""
    rows, seen = [], set()
    for purchase in purchases:
        if purchase.buyer is None or purchase.status != "Complete":
            continue
        for item, _ in purchase.lines:
            product = records[item.sku].product
            subject = product.parent_id or product.pk
            if (purchase.buyer, subject) in seen or random.random() > 0.13:
                continue
            seen.add((purchase.buyer, subject))
            score, title, body = invent_opinion(random, item.good.kind)
            written_at = min(
                purchase.placed_at + timedelta(days=random.uniform(9, 40)),
                until - timedelta(hours=random.uniform(1, 40)),
            )
            fresh = until - written_at < timedelta(days=7)
            rows.append(
                ProductReview(
                    product_id=subject,
                    user=users[purchase.buyer],
                    score=score,
                    title=title,
                    body=body,
                    status=ProductReview.FOR_MODERATION
                    if fresh or random.random() < 0.02
                    else ProductReview.APPROVED,
                    date_created=written_at,
                )
            )
    with own_dates(ProductReview):
        ProductReview.objects.bulk_create(rows, batch_size=BATCH)
    scores: dict[int, list[int]] = {}
    for row in rows:
        if row.status == ProductReview.APPROVED:
            scores.setdefault(row.product_id, []).append(row.score)
    for product_id, given in scores.items():
        Product.objects.filter(pk=product_id).update(rating=sum(given) / len(given))

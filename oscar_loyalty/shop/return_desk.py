"""What the returns desk wants to know of the shop: pictures of what was sold, and how much was sold."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from django.db.models import Q, Sum
from oscar.core.loading import get_model

from oscar_loyalty.conf import loyalty_settings


def find_pictures(line_ids: Collection[int]) -> dict[int, Any]:
    """The first picture of the product of each order line, or of its parent's: two statements."""
    lines = get_model("order", "Line").objects.filter(pk__in=line_ids, product__isnull=False)
    owners = {
        pk: (product, parent)
        for pk, product, parent in lines.values_list("pk", "product_id", "product__parent_id")
    }
    products = {pk for pair in owners.values() for pk in pair if pk}
    pictures: dict[int, Any] = {}
    if products:
        images = get_model("catalogue", "ProductImage").objects.filter(product_id__in=products)
        for image in images.order_by("product_id", "-display_order", "-pk"):
            pictures[image.product_id] = image
    found = {pk: pictures.get(product) or pictures.get(parent) for pk, (product, parent) in owners.items()}
    return {pk: image for pk, image in found.items() if image is not None}


def count_sold(
    line_ids: Collection[int], *, since: datetime, until: datetime
) -> dict[int, tuple[int | None, int]]:
    """
    Of these order lines, those of orders placed from ``since`` until ``until``: the product's key
    (``None``: it was deleted), and how many pieces of it were sold in that time in all. Two statements.
    """
    placed = get_model("order", "Line").objects.filter(
        order__date_placed__gte=since, order__date_placed__lt=until
    )
    products = dict(placed.filter(pk__in=line_ids).values_list("pk", "product_id"))
    cancelled = loyalty_settings.cancelled_statuses
    sold = (
        placed.filter(product_id__in={key for key in products.values() if key})
        .exclude(Q(status__in=cancelled) | Q(order__status__in=cancelled))
        .values_list("product_id")
        .annotate(pieces=Sum("quantity"))
        .order_by()
    )
    pieces = dict(sold)
    return {line_id: (product, pieces.get(product, 0)) for line_id, product in products.items()}


def find_order_id(number: str) -> int | None:
    """The key of the order of this number."""
    keys = get_model("order", "Order").objects.filter(number=number).values_list("pk", flat=True)
    key: int | None = keys.first()
    return key

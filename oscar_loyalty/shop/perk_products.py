"""Which products perks are about: those of a range, and those that not everybody may buy yet."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import BooleanField, Case, Exists, F, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Length, Substr
from oscar.core.loading import get_model

from oscar_loyalty.tiers.entitlements import Entitlements, find_entitlements
from oscar_loyalty.tiers.models import ProductAccess


@dataclass(frozen=True, kw_only=True)
class Closed:
    """A product that not everybody may buy now. ``opens_at``: for everybody; ``None``: never."""

    opens_at: datetime | None
    is_exclusive: bool

    def is_open_to(self, entitled: Entitlements, *, now: datetime) -> bool:
        if self.is_exclusive and not entitled.has("EXCLUSIVE_PRODUCTS"):
            return False
        if self.opens_at is None or self.opens_at <= now:
            return True
        early = entitled.find("EARLY_ACCESS")
        return early is not None and now >= self.opens_at - timedelta(hours=early.parameters["hours"])


def find_closed(*, now: datetime, product_ids: Iterable[int] | None = None) -> dict[int, Closed]:
    """
    Those of the products (of all, without ``product_ids``) that not everybody may buy at ``now``: one
    statement. A variant is closed with its parent, a product with its categories and those above.
    """
    products = list_closed(now=now)
    if product_ids is not None:
        products = products.filter(pk__in=set(product_ids))
    return {
        pk: Closed(opens_at=opens_at, is_exclusive=is_exclusive)
        for pk, opens_at, is_exclusive in products.values_list("pk", "loyalty_opens_at", "loyalty_exclusive")
    }


def find_shut(products: Iterable[Any], *, user_id: int | None, now: datetime) -> set[int]:
    """
    Those of the products that a customer may not buy at ``now``. They come from a queryset with
    :func:`is_closed` as ``loyalty_is_closed``, so it costs no statement where nothing is closed.
    """
    wanted = [product.pk for product in products if product.loyalty_is_closed]
    if not wanted:
        return set()
    closed = find_closed(now=now, product_ids=wanted)
    entitled = find_entitlements(user_id=user_id, now=now)
    return {pk for pk, reason in closed.items() if not reason.is_open_to(entitled, now=now)}


def is_closed(*, now: datetime) -> Any:
    """An expression for querysets of products: not everybody may buy it at ``now``."""
    rules = ProductAccess.objects.filter(_concerns_product())
    return Exists(rules.filter(Q(opens_at=None) | Q(opens_at__gt=now)))


def list_closed(*, now: datetime) -> QuerySet[Any]:
    """Products that not everybody may buy now, with when they open and whether they are exclusive."""
    rules = ProductAccess.objects.filter(_concerns_product())
    opening = rules.filter(opens_at__gt=now).order_by("-opens_at").values("opens_at")[:1]
    exclusive = Exists(rules.filter(opens_at=None))
    products: QuerySet[Any] = (
        get_model("catalogue", "Product")
        .objects.filter(is_closed(now=now))
        .annotate(loyalty_opens_at=Subquery(opening), loyalty_exclusive=exclusive)
    )
    return products


def only_visible(products: QuerySet[Any], *, entitled: Entitlements, now: datetime) -> QuerySet[Any]:
    """
    Of a queryset of products those that a customer may buy now, in the queryset's own statement. For a
    shop that hides the others in its listings; see ``docs/how-to/perks.md``.
    """
    shut = Q(opens_at__gt=now)
    if early := entitled.find("EARLY_ACCESS"):
        shut = Q(opens_at__gt=now + timedelta(hours=early.parameters["hours"]))
    if not entitled.has("EXCLUSIVE_PRODUCTS"):
        shut |= Q(opens_at=None)
    return products.exclude(Exists(ProductAccess.objects.filter(_concerns_product()).filter(shut)))


def find_in_ranges(product_ids: Iterable[int], *, range_ids: Iterable[int]) -> dict[int, set[int]]:
    """
    The products with the ranges they are in, by the rules of Oscar's own ranges: one statement, where
    Oscar needs several for each product. Ranges with a class of the shop's own contain nothing here.
    """
    wanted = sorted(set(range_ids))
    rows = (
        get_model("catalogue", "Product")
        .objects.filter(pk__in=set(product_ids))
        .annotate(**{f"in_range_{pk}": _is_in_range(pk) for pk in wanted})
        .values_list("pk", *(f"in_range_{pk}" for pk in wanted))
    )
    return {row[0]: {pk for pk, is_in in zip(wanted, row[1:], strict=True) if is_in} for row in rows}


def _concerns_product() -> Q:
    """A rule of access concerns the product of the statement around it."""
    category_model = get_model("catalogue", "Category")
    through = get_model("catalogue", "ProductCategory")
    # A tree path starts with the paths of all its ancestors.
    above = (
        category_model.objects.filter(pk=OuterRef(OuterRef("category_id")))
        .annotate(start=Substr(OuterRef("category__path"), 1, Length("path")))
        .filter(path=F("start"))
    )
    return (
        Q(product_id=OuterRef("pk"))
        | Q(product_id=OuterRef("parent_id"))
        | Q(Exists(through.objects.filter(Exists(above), product_id=OuterRef(OuterRef("pk")))))
        | Q(Exists(through.objects.filter(Exists(above), product_id=OuterRef(OuterRef("parent_id")))))
    )


def _is_in_range(range_id: int) -> Any:
    range_model = get_model("offer", "Range")
    rows = range_model.objects.filter(pk=range_id, proxy_class=None)
    everything = Exists(rows.filter(includes_all_products=True))
    left_out = _named(range_model.excluded_products, range_id)
    by_category = _in_categories(range_model.included_categories, range_id)
    not_by_category = _in_categories(range_model.excluded_categories, range_id)
    listed = reduce(
        or_,
        (
            _named(range_model.included_products, range_id),
            Exists(rows.filter(classes=OuterRef("product_class_id"))),
            Exists(rows.filter(classes=OuterRef("parent__product_class_id"))),
            by_category,
        ),
    )
    inside = (Q(everything) & ~Q(not_by_category)) | (~Q(everything) & Q(listed))
    return Case(
        When(Q(inside) & ~Q(left_out) & Q(Exists(rows)), then=Value(True)),
        default=Value(False),
        output_field=BooleanField(),
    )


def _named(field: Any, range_id: int) -> Any:
    rows = field.through.objects.filter(range_id=range_id)
    return Exists(rows.filter(product_id=OuterRef("pk"))) | Exists(
        rows.filter(product_id=OuterRef("parent_id"))
    )


def _in_categories(field: Any, range_id: int) -> Any:
    through = get_model("catalogue", "ProductCategory")
    tops = (
        get_model("catalogue", "Category")
        .objects.filter(pk__in=field.through.objects.filter(range_id=range_id).values("category_id"))
        .annotate(start=Substr(OuterRef("category__path"), 1, Length("path")))
        .filter(path=F("start"))
    )
    rows = through.objects.filter(Exists(tops))
    return Exists(rows.filter(product_id=OuterRef("pk"))) | Exists(
        rows.filter(product_id=OuterRef("parent_id"))
    )

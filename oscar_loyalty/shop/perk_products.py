"""Which products perks are about: those of a range, and those that not everybody may buy yet."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Length, Substr
from oscar.core.loading import get_model

from oscar_loyalty.tiers.entitlements import Entitlements, find_entitlements
from oscar_loyalty.tiers.models import ProductAccess

#: Where a basket object keeps the ranges that its products are in, with those that were asked for.
_RANGES_AS = "_loyalty_ranges"


@dataclass(frozen=True, kw_only=True)
class Closed:
    """A product that not everybody may buy now. ``opens_at``: for everybody; ``None``: never."""

    opens_at: datetime | None
    is_exclusive: bool

    def is_open_to(self, entitled: Entitlements, *, now: datetime) -> bool:
        if self.is_exclusive and not entitled.has("EXCLUSIVE_PRODUCTS"):
            return False
        opens_at = self.opens_to(entitled)
        return opens_at is None or opens_at <= now

    def opens_to(self, entitled: Entitlements) -> datetime | None:
        """The moment of ``opens_at`` for a customer: before that of everybody for some."""
        early = entitled.find("EARLY_ACCESS")
        if self.opens_at is None or early is None:
            return self.opens_at
        return self.opens_at - timedelta(hours=early.parameters["hours"])


def find_closed(*, now: datetime, product_ids: Iterable[int] | None = None) -> dict[int, Closed]:
    """
    Those of the products (of all, without ``product_ids``) that not everybody may buy at ``now``: one
    statement. A variant is closed with its parent, a product with its ranges, its categories and those above.
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
    return _with_access(get_model("catalogue", "Product").objects.filter(is_closed(now=now)), now=now)


def _with_access(products: QuerySet[Any], *, now: datetime) -> QuerySet[Any]:
    rules = ProductAccess.objects.filter(_concerns_product())
    opening = rules.filter(opens_at__gt=now).order_by("-opens_at").values("opens_at")[:1]
    told: QuerySet[Any] = products.annotate(
        loyalty_is_closed=is_closed(now=now),
        loyalty_opens_at=Subquery(opening),
        loyalty_exclusive=Exists(rules.filter(opens_at=None)),
    )
    return told


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
    rows = _with_ranges(get_model("catalogue", "Product").objects.filter(pk__in=set(product_ids)), wanted)
    return {
        pk: {one for one, is_in in zip(wanted, flags, strict=True) if is_in}
        for pk, *flags in rows.values_list("pk", *map(_flag_of, wanted))
    }


def find_closed_in_basket(
    basket: Any, product_ids: Collection[int], *, range_ids: Collection[int], now: datetime
) -> dict[int, Closed]:
    """
    Like :func:`find_closed`. Which of the ranges the products are in is read in the same statement and kept
    with the basket object for :func:`find_ranges_in_basket`.
    """
    if not range_ids:
        return find_closed(now=now, product_ids=product_ids)
    rows = _with_access(get_model("catalogue", "Product").objects.filter(pk__in=product_ids), now=now)
    closed: dict[int, Closed] = {}
    inside: dict[int, set[int]] = {}
    for row in _with_ranges(rows, range_ids).values(
        *("pk", "loyalty_is_closed", "loyalty_opens_at", "loyalty_exclusive"), *map(_flag_of, range_ids)
    ):
        if row["loyalty_is_closed"]:
            closed[row["pk"]] = Closed(
                opens_at=row["loyalty_opens_at"], is_exclusive=row["loyalty_exclusive"]
            )
        inside[row["pk"]] = {pk for pk in range_ids if row[_flag_of(pk)]}
    setattr(basket, _RANGES_AS, (frozenset(range_ids), inside))
    return closed


def find_ranges_in_basket(
    basket: Any, product_ids: Collection[int], *, range_ids: Collection[int]
) -> dict[int, set[int]]:
    """Like :func:`find_in_ranges`, without a statement where the basket object knows."""
    kept: tuple[frozenset[int], dict[int, set[int]]] | None = getattr(basket, _RANGES_AS, None)
    if kept is not None and kept[0].issuperset(range_ids) and kept[1].keys() >= set(product_ids):
        return {pk: kept[1][pk] for pk in product_ids}
    return find_in_ranges(product_ids, range_ids=range_ids)


def _with_ranges(products: QuerySet[Any], range_ids: Iterable[int]) -> QuerySet[Any]:
    ranges = get_model("offer", "Range").objects
    told: QuerySet[Any] = products.annotate(
        **{_flag_of(pk): Exists(ranges.filter(_contains_product(), pk=pk)) for pk in set(range_ids)}
    )
    return told


def _flag_of(range_id: int) -> str:
    return f"loyalty_in_range_{range_id}"


def _concerns_product() -> Q:
    """A rule of access concerns the product of the statement around it."""
    through = get_model("catalogue", "ProductCategory")
    above = _above(pk=OuterRef(OuterRef("category_id")))
    in_category = Exists(through.objects.filter(Exists(above), _is_of_product()))
    return (
        _is_of_product(levels=1)
        | Q(in_category)
        | (Q(range_id__isnull=False) & _contains_product(prefix="range__", key="range_id"))
    )


def _contains_product(*, prefix: str = "", key: str = "pk") -> Q:
    """
    A range contains the product of the statement around it, by the rules of Oscar's own ranges. The row is
    the range itself, or has it as ``prefix`` and its id as ``key``.
    """
    model = get_model("offer", "Range")

    def names(field: Any) -> Q:
        return Q(Exists(field.through.objects.filter(_is_of_product(), range_id=OuterRef(key))))

    def has_category(field: Any) -> Q:
        named = field.through.objects.filter(range_id=OuterRef(OuterRef(OuterRef(key))))
        tops = _above(pk__in=named.values("category_id"))
        through = get_model("catalogue", "ProductCategory")
        return Q(Exists(through.objects.filter(Exists(tops), _is_of_product())))

    classes = model.classes.through.objects.filter(range_id=OuterRef(key))
    own = classes.filter(productclass_id=OuterRef(OuterRef("product_class_id")))
    of_parent = classes.filter(productclass_id=OuterRef(OuterRef("parent__product_class_id")))
    takes_all = Q(**{f"{prefix}includes_all_products": True})
    is_listed = (
        names(model.included_products)
        | Q(Exists(own))
        | Q(Exists(of_parent))
        | has_category(model.included_categories)
    )
    return (
        Q(**{f"{prefix}proxy_class": None})
        & ((takes_all & ~has_category(model.excluded_categories)) | (~takes_all & is_listed))
        & ~names(model.excluded_products)
    )


def _is_of_product(*, levels: int = 2) -> Q:
    """The row's product is that of the statement so many levels around it, or its parent."""

    def outer(name: str) -> Any:
        for _level in range(levels):
            name = OuterRef(name)  # type: ignore[assignment]
        return name

    return Q(product_id=outer("pk")) | Q(product_id=outer("parent_id"))


def _above(**which: Any) -> QuerySet[Any]:
    """Categories of these that are the category of the row around them, or above it."""
    # A tree path starts with the paths of all its ancestors.
    categories: QuerySet[Any] = (
        get_model("catalogue", "Category")
        .objects.filter(**which)
        .annotate(start=Substr(OuterRef("category__path"), 1, Length("path")))
        .filter(path=F("start"))
    )
    return categories

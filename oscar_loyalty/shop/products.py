"""Products as facts for earning."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Exists, F, OuterRef, Prefetch, Q, prefetch_related_objects
from django.db.models.functions import Length, Substr
from oscar.core.loading import get_model

from oscar_loyalty.points.rules import PurchaseLine
from oscar_loyalty.programmes.rules import Policy
from oscar_loyalty.returns.models import ReturnPolicy
from oscar_loyalty.shop.money import as_stored
from oscar_loyalty.shop.perk_products import is_closed


def find_products(product_ids: Iterable[int], *, now: datetime) -> dict[int, Any]:
    """
    The products that anyone may see, by id, with what their prices and points need, and with whether
    they are closed to some (``loyalty_is_closed``): a fixed number of statements, however many there are.
    """
    model = get_model("catalogue", "Product")
    variants = model.objects.public().prefetch_related("stockrecords")
    products = (
        model.objects.public()
        .filter(Q(parent=None) | Q(parent__is_public=True), pk__in=set(product_ids))
        .select_related("parent__product_class", "product_class")
        .prefetch_related("stockrecords")
        .prefetch_public_children(queryset=variants)
        .annotate(loyalty_is_closed=is_closed(now=now))
    )
    return {product.pk: product for product in products}


def get_product_lines(product: Any, *, purchase_info: Any, quantity: int = 1) -> list[PurchaseLine]:
    """
    What ``quantity`` pieces of ``product`` would be as the only line of a basket. No line at all when it
    has no price. ``purchase_info`` is what the shop's strategy says of it.
    """
    price = purchase_info.price
    if not price.exists:
        return []
    excl_tax = price.excl_tax
    return [
        PurchaseLine(
            ref=f"product:{product.pk}",
            product_id=product.pk,
            product_class_id=get_product_class_id(product),
            incl_tax=as_stored(quantity * (price.incl_tax if price.is_tax_known else excl_tax)),
            excl_tax=as_stored(quantity * excl_tax),
            quantity=quantity,
        )
    ]


def fetch_stock_records(products: Iterable[Any]) -> None:
    """
    Read what prices depend on for a whole page of products. Oscar's strategies read it anew each time
    that they are asked for a price; they find it here, so the page does not need more statements.
    """
    products = list(products)
    parents = [product for product in products if product.is_parent]
    prefetch_related_objects([product for product in products if not product.is_parent], "stockrecords")
    unread = [parent for parent in parents if not hasattr(parent, "_prefetched_public_children")]
    children = get_model("catalogue", "Product").objects.public().prefetch_related("stockrecords")
    prefetch_related_objects(unread, Prefetch("children", children, to_attr="_prefetched_public_children"))


def list_excluded_names(*, policy: Policy) -> list[str]:
    """Names of the categories and product types that earn nothing, as the shop shows them."""
    categories = get_model("catalogue", "Category").objects.filter(pk__in=policy.excluded_category_ids)
    classes = get_model("catalogue", "ProductClass").objects.filter(pk__in=policy.excluded_product_class_ids)
    return sorted({named.name for named in (*categories, *classes)})


def find_excluded_product_ids(
    product_ids: Iterable[int | None], *, policy: Policy | ReturnPolicy
) -> frozenset[int]:
    """
    Those of the products that earn nothing, or are not taken back, because they, or their parents, are in an
    excluded category or below one. No statement when nothing is excluded, else one.
    """
    wanted = {pk for pk in product_ids if pk is not None}
    if not wanted or not policy.excluded_category_ids:
        return frozenset()
    category_model = get_model("catalogue", "Category")
    product_model = get_model("catalogue", "Product")
    through = get_model("catalogue", "ProductCategory")
    # A tree path starts with the paths of all its ancestors.
    excluded_above = (
        category_model.objects.filter(pk__in=policy.excluded_category_ids)
        .annotate(start=Substr(OuterRef("category__path"), 1, Length("path")))
        .filter(path=F("start"))
    )
    in_excluded = through.objects.filter(Exists(excluded_above))
    own = in_excluded.filter(product_id=OuterRef("pk"))
    of_parent = in_excluded.filter(product_id=OuterRef("parent_id"))
    rows = product_model.objects.filter(pk__in=wanted).filter(Exists(own) | Exists(of_parent))
    return frozenset(rows.values_list("pk", flat=True))


def get_product_class_id(product: Any) -> int | None:
    """The product class of a product; a variant has its parent's."""
    if product.product_class_id is not None or not product.is_child:
        return product.product_class_id  # type: ignore[no-any-return]
    return product.parent.product_class_id  # type: ignore[no-any-return]


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What rules can ask of a product. A variant has its parent's too. Only what was asked for is there."""

    parent_id: int | None = None
    category_ids: frozenset[int] = frozenset()
    range_ids: frozenset[int] = frozenset()
    attributes: Mapping[str, frozenset[str]] = field(default_factory=dict)


def find_traits(
    product_ids: Collection[int],
    *,
    category_ids: Collection[int] = (),
    range_ids: Collection[int] = (),
    attribute_codes: Collection[str] = (),
) -> dict[int, Traits]:
    """
    Which of the categories (or one above), ranges and attributes products have. A fixed number of
    statements, however many products: one, two more for categories, a few for each range, one or two for
    attributes.
    """
    if not product_ids:
        return {}
    products = get_model("catalogue", "Product").objects.filter(pk__in=product_ids)
    parents = dict(products.values_list("pk", "parent_id"))
    families = {pk: {pk, parent_id} - {None} for pk, parent_id in parents.items()}
    everyone = set().union(*families.values()) if families else set()
    categories = _find_categories(everyone, category_ids=category_ids) if category_ids else {}
    ranges = _find_ranges(set(parents), range_ids=range_ids) if range_ids else {}
    attributes = _find_attributes(everyone, codes=attribute_codes) if attribute_codes else {}
    return {
        pk: Traits(
            parent_id=parent_id,
            category_ids=frozenset().union(*(categories.get(one, ()) for one in families[pk])),
            range_ids=frozenset(ranges.get(pk, ())),
            # A variant's own value counts before its parent's.
            attributes={**attributes.get(parent_id, {}), **attributes.get(pk, {})},
        )
        for pk, parent_id in parents.items()
    }


def _find_categories(product_ids: Collection[Any], *, category_ids: Collection[int]) -> dict[int, set[int]]:
    wanted = list(
        get_model("catalogue", "Category").objects.filter(pk__in=category_ids).values_list("pk", "path")
    )
    rows = get_model("catalogue", "ProductCategory").objects.filter(product_id__in=product_ids)
    found: dict[int, set[int]] = defaultdict(set)
    for product_id, path in rows.values_list("product_id", "category__path"):
        # A tree path starts with the paths of all its ancestors.
        found[product_id].update(pk for pk, above in wanted if path.startswith(above))
    return found


def _find_ranges(product_ids: Collection[int], *, range_ids: Collection[int]) -> dict[int, set[int]]:
    found: dict[int, set[int]] = defaultdict(set)
    for one in get_model("offer", "Range").objects.filter(pk__in=range_ids):
        if one.proxy:
            products = get_model("catalogue", "Product").objects.filter(pk__in=product_ids)
            inside = [product.pk for product in products if one.contains_product(product)]
        else:
            inside = list(one.all_products().filter(pk__in=product_ids).values_list("pk", flat=True))
        for pk in inside:
            found[pk].add(one.pk)
    return found


def _find_attributes(
    product_ids: Collection[Any], *, codes: Collection[str]
) -> dict[int | None, dict[str, frozenset[str]]]:
    rows = get_model("catalogue", "ProductAttributeValue").objects.filter(
        product_id__in=product_ids, attribute__code__in=codes
    )
    rows = rows.select_related("attribute", "value_option").prefetch_related("value_multi_option")
    found: dict[int | None, dict[str, frozenset[str]]] = defaultdict(dict)
    for row in rows:
        found[row.product_id][row.attribute.code] = _texts_of(row)
    return found


def _texts_of(value: Any) -> frozenset[str]:
    """An attribute's value as texts that do not depend on anybody's language."""
    kind = value.attribute.type
    if kind == "multi_option":
        return frozenset(str(option.option) for option in value.value_multi_option.all())
    if kind == "option":
        return frozenset({str(value.value_option.option)}) if value.value_option else frozenset()
    if kind == "boolean":
        return frozenset({"true" if value.value else "false"})
    return frozenset({str(value.value)}) if value.value is not None else frozenset()

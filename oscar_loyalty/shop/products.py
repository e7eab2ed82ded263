"""Products as facts for earning."""

from collections.abc import Iterable
from typing import Any

from django.db.models import Exists, F, OuterRef, Prefetch, Q, prefetch_related_objects
from django.db.models.functions import Length, Substr
from oscar.core.loading import get_model

from oscar_loyalty.points.rules import PurchaseLine
from oscar_loyalty.programmes.rules import Policy
from oscar_loyalty.shop.money import as_stored


def find_products(product_ids: Iterable[int]) -> dict[int, Any]:
    """
    The products that anyone may see, by id, with what their prices and points need: a fixed number of
    statements, however many there are.
    """
    model = get_model("catalogue", "Product")
    variants = model.objects.public().prefetch_related("stockrecords")
    products = (
        model.objects.public()
        .filter(Q(parent=None) | Q(parent__is_public=True), pk__in=set(product_ids))
        .select_related("parent__product_class", "product_class")
        .prefetch_related("stockrecords")
        .prefetch_public_children(queryset=variants)
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


def find_excluded_product_ids(product_ids: Iterable[int | None], *, policy: Policy) -> frozenset[int]:
    """
    Those of the products that earn nothing because they, or their parents, are in an excluded category
    or below one. No statement when nothing is excluded, else one.
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

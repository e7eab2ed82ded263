"""Whether what rules name is still there."""

from collections.abc import Collection

from oscar.core.loading import get_model

_MODELS = {
    "product_ids": ("catalogue", "Product"),
    "category_ids": ("catalogue", "Category"),
    "product_class_ids": ("catalogue", "ProductClass"),
    "range_ids": ("offer", "Range"),
    "group_ids": ("auth", "Group"),
}
#: The names under which conditions hold ids of the shop.
KINDS = tuple(_MODELS)


def find_missing(kind: str, ids: Collection[int]) -> set[int]:
    """Those of the ids that nothing of the shop has any more; ``kind`` is one of ``KINDS``. One statement."""
    if not ids:
        return set()
    found = get_model(*_MODELS[kind]).objects.filter(pk__in=ids).values_list("pk", flat=True)
    return set(ids) - set(found)


def find_names(kind: str, ids: Collection[int]) -> dict[int, str]:
    """What the shop calls them. One statement."""
    if not ids:
        return {}
    rows = get_model(*_MODELS[kind]).objects.filter(pk__in=ids)
    return {row.pk: str(row) for row in rows}

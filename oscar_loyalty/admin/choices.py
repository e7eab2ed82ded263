"""What the shop has to choose from, each in one statement."""

from django.utils.translation import gettext
from oscar.core.loading import get_model

from oscar_loyalty.shop.configuration import list_order_statuses


def category_choices() -> list[tuple[int, str]]:
    """Every category with its ancestors: (7, "Coffee › Beans")."""
    model = get_model("catalogue", "Category")
    names: dict[str, str] = {}
    choices = []
    # Ordered by path, a category comes after its parent.
    for category in model.objects.order_by("path").only("pk", "path", "name"):
        above = names.get(category.path[: -model.steplen])
        names[category.path] = f"{above} › {category.name}" if above else str(category.name)
        choices.append((category.pk, names[category.path]))
    return choices


def product_class_choices() -> list[tuple[int, str]]:
    classes = get_model("catalogue", "ProductClass").objects.order_by("name")
    return [(product_class.pk, str(product_class.name)) for product_class in classes]


def status_choices(*, stored: str = "") -> list[tuple[str, str]]:
    """The statuses of the shop's pipeline; a stored one that is no longer there is kept and marked."""
    statuses = list_order_statuses()
    choices = [("", gettext("— none: the waiting period starts with the order —"))]
    choices += [(status, gettext(status)) for status in statuses]
    if stored and stored not in statuses:
        choices.append((stored, gettext("%(status)s (no longer in the pipeline)") % {"status": stored}))
    return choices

"""What the shop has to choose from, each in one statement."""

from django.utils.translation import gettext
from oscar.core.loading import get_model

from oscar_loyalty.shop.configuration import list_order_statuses
from oscar_loyalty.tiers.models import Tier


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


def range_choices() -> list[tuple[int, str]]:
    ranges = get_model("offer", "Range").objects.order_by("name")
    return [(one.pk, str(one.name)) for one in ranges]


def tier_choices(version_id: int | None) -> list[tuple[str, str]]:
    """Tiers of a version, lowest first; those of the newest version when none is named."""
    tiers = Tier.objects.order_by("rank")
    if version_id is not None:
        tiers = tiers.filter(version=version_id)
    found = {tier.code: str(tier) for tier in tiers}
    return list(found.items())

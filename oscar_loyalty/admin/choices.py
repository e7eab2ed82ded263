"""What the shop has to choose from, each in one statement."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from oscar.core.loading import get_model

from oscar_loyalty.flows.part_wording import name_tiers
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


def range_choices() -> list[tuple[int, str]]:
    ranges = get_model("offer", "Range").objects.order_by("name")
    return [(one.pk, str(one.name)) for one in ranges]


def tier_choices(version_id: int | None) -> list[tuple[str, str]]:
    """Tiers of a version, lowest first; those of the newest version when none is named."""
    return list(name_tiers(*([] if version_id is None else [version_id])).items())


class TierFilter(admin.SimpleListFilter):
    """Tiers by the names that staff know."""

    title = _("tier")
    parameter_name = "tier"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        names = name_tiers()
        used = model_admin.model._default_manager.order_by().values_list("tier_code", flat=True).distinct()
        gone = sorted(set(used) - {*names, ""})
        return [*names.items(), *((code, code) for code in gone)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(tier_code=self.value()) if self.value() else queryset

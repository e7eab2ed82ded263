from datetime import timedelta

from django.core.cache import cache
from django.db.models import Sum
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.views.generic import TemplateView
from oscar.core.loading import get_model

Category = get_model("catalogue", "Category")
Line = get_model("order", "Line")
Product = get_model("catalogue", "Product")


class HomeView(TemplateView):
    """Where to go, and what others buy."""

    template_name = "shop/home.html"

    def get_context_data(self, **kwargs):
        return super().get_context_data(
            categories=Category.objects.browsable().filter(depth=1), bestsellers=list_bestsellers(), **kwargs
        )


def list_bestsellers(*, count: int = 8) -> list:
    """The goods of which most was sold in the last 90 days, best first; variants count for their parent."""
    ids = cache.get_or_set("shop-bestsellers", lambda: _find_bestselling_ids(count), timeout=600)
    products = Product.objects.browsable().base_queryset().in_bulk(ids)
    return [products[pk] for pk in ids if pk in products]


def _find_bestselling_ids(count: int) -> list[int]:
    sold = (
        Line.objects.filter(
            order__date_placed__gte=timezone.now() - timedelta(days=90), product__isnull=False
        )
        .exclude(order__status="Cancelled")
        .values(good=Coalesce("product__parent_id", "product_id"))
        .annotate(pieces=Sum("quantity"))
        .order_by("-pieces", "good")
    )
    return [row["good"] for row in sold[:count]]

"""
Lists of goods straight from the database.

Oscar asks a search engine for its category pages too. A shop of this size needs none, and the sandbox
should start without one.
"""

from django.apps import apps
from django.conf import settings
from django.db.models import Q
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.generic import ListView
from oscar.apps.search.signals import user_search
from oscar.core.loading import get_model

from .forms import SearchForm

if apps.is_installed("oscar_loyalty"):
    from oscar_loyalty.shop.listings import MembersFirstMixin
else:

    class MembersFirstMixin:
        """Without the app there are no products for members first."""


Category = get_model("catalogue", "Category")
Product = get_model("catalogue", "Product")

_SEARCHED = (
    "title_de",
    "title_en",
    "description_de",
    "description_en",
    "upc",
    "categories__name_de",
    "categories__name_en",
)


class CatalogueView(MembersFirstMixin, ListView):
    """All goods, or those that match the words in ``?q=``."""

    template_name = "oscar/catalogue/browse.html"
    context_object_name = "products"

    def get_paginate_by(self, queryset):
        return settings.OSCAR_PRODUCTS_PER_PAGE

    def get_queryset(self):
        self.form = SearchForm(self.request.GET)
        found = self.form.sort(self.get_products())
        return found.base_queryset()

    def get_products(self):
        return Product.objects.browsable()

    def get_summary(self) -> str:
        return _("All products")

    def get_context_data(self, **kwargs):
        return super().get_context_data(form=self.form, summary=self.get_summary(), **kwargs)


class ProductCategoryView(CatalogueView):
    """The goods of a category and of the categories inside it."""

    template_name = "oscar/catalogue/category.html"

    def get(self, request, *args, **kwargs):
        self.category = get_object_or_404(Category.objects.browsable(), pk=kwargs["pk"])
        address = self.category.get_absolute_url()
        if request.path != address:
            return redirect(address, permanent=True)
        return super().get(request, *args, **kwargs)

    def get_products(self):
        inside = self.category.get_descendants_and_self()
        return (
            super().get_products().filter(pk__in=Product.objects.filter(categories__in=inside).values("pk"))
        )

    def get_summary(self) -> str:
        return self.category.name

    def get_context_data(self, **kwargs):
        return super().get_context_data(
            category=self.category, subcategories=self.category.get_children().browsable(), **kwargs
        )


class FacetedSearchView(CatalogueView):
    """Goods that have every word of the question somewhere in their name, description or category."""

    def get(self, request, *args, **kwargs):
        user_search.send(
            sender=self, session=request.session, user=request.user, query=request.GET.get("q", "")
        )
        return super().get(request, *args, **kwargs)

    def get_words(self) -> list[str]:
        return self.form.cleaned_data["q"].split() if self.form.is_valid() else []

    def get_products(self):
        products = super().get_products()
        words = self.get_words()
        if not words:
            return products.none()
        for word in words:
            anywhere = Q()
            for field in _SEARCHED:
                anywhere |= Q(**{f"{field}__icontains": word})
            products = products.filter(pk__in=Product.objects.filter(anywhere).values("pk"))
        return products

    def get_summary(self) -> str:
        return _('Products matching "%(words)s"') % {"words": " ".join(self.get_words())}

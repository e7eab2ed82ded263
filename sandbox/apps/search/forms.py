from django import forms
from django.db.models import F, Min
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _


class SearchForm(forms.Form):
    """What customers may ask of a list of goods: words to look for, and an order."""

    ORDERS = {
        "": (_("Most popular"), [F("stats__score").desc(nulls_last=True), "-rating", "pk"]),
        "newest": (_("Newest"), ["-date_created", "pk"]),
        "rating": (_("Best rated"), [F("rating").desc(nulls_last=True), "pk"]),
        "price-asc": (_("Price, low to high"), ["lowest_price", "pk"]),
        "price-desc": (_("Price, high to low"), ["-lowest_price", "pk"]),
        "title": (_("Name"), ["title", "pk"]),
    }

    q = forms.CharField(required=False, max_length=100, label=_("Search"))
    sort_by = forms.ChoiceField(
        required=False,
        label=_("Sort by"),
        choices=[(code, label) for code, (label, _order) in ORDERS.items()],
    )

    def sort(self, products):
        """The products in the chosen order; an unknown order is the default one."""
        chosen = self.cleaned_data.get("sort_by", "") if self.is_valid() else ""
        lowest = Coalesce(Min("children__stockrecords__price"), Min("stockrecords__price"))
        return products.annotate(lowest_price=lowest).order_by(*self.ORDERS[chosen][1])

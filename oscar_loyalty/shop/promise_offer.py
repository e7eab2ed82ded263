"""
An offer that takes nothing off. Its condition is where a basket learns what its owner is entitled to, so
that an order can keep promises which no total shows: free returns, a longer time to return.
"""

from typing import Any

from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from oscar.core.loading import get_model

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.shop.perks import perks_of

Benefit = get_model("offer", "Benefit")
Condition = get_model("offer", "Condition")


class PromiseCondition(Condition):  # type: ignore[misc, valid-type]
    """Never met."""

    class Meta:
        app_label = "oscar_loyalty"
        proxy = True
        verbose_name = _("condition: the customer has perks")
        verbose_name_plural = _("conditions: the customer has perks")

    @property
    def name(self) -> str:
        return gettext("The customer's tier, or a grant, comes with benefits")

    @property
    def description(self) -> str:
        return self.name

    def is_satisfied(self, offer: Any, basket: Any) -> bool:
        if loyalty_settings.enabled and basket.pk is not None:
            perks_of(basket, now=timezone.now())
        return False


class PromiseBenefit(Benefit):  # type: ignore[misc, valid-type]
    class Meta:
        app_label = "oscar_loyalty"
        proxy = True
        verbose_name = _("benefit: what the customer's perks promise")
        verbose_name_plural = _("benefits: what the customer's perks promise")

    @property
    def name(self) -> str:
        return gettext("Benefits beside the price")

    @property
    def description(self) -> str:
        return self.name

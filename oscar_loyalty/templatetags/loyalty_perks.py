"""``{% load loyalty_perks %}``: what a theme needs to show perks. Mistakes of ours show nothing."""

from typing import Any

from django import template
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.translation import get_language

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.shop.perk_hints import find_perk_hints
from oscar_loyalty.shop.product_hints import find_product_hints
from oscar_loyalty.templatetags.loyalty import never_in_the_way

register = template.Library()


@register.simple_tag(takes_context=True)
@never_in_the_way
def loyalty_perk_hints(context: template.Context, shipping_method: Any = None) -> str:
    """What perks save on the basket, what is missing for free delivery, and what better tiers get."""
    request = context.get("request")
    if request is None or not loyalty_settings.enabled:
        return ""
    hints = find_perk_hints(
        request.basket,
        shipping_method=shipping_method or None,
        language=get_language() or "en",
        now=timezone.now(),
    )
    if hints is None or hints.is_empty:
        return ""
    return render_to_string(
        "oscar_loyalty/partials/perk_hints.html",
        {"hints": hints, "is_guest": not request.user.is_authenticated},
    )


@register.simple_tag(takes_context=True)
@never_in_the_way
def loyalty_product_perks(context: template.Context, product: Any) -> str:
    """Member prices of a product, and who may buy it before others. One statement without any perks."""
    request = context.get("request")
    if request is None or not loyalty_settings.enabled or product.is_parent:
        return ""
    hints = find_product_hints(
        product,
        price=request.strategy.fetch_for_product(product).price,
        user_id=request.user.pk,
        language=get_language() or "en",
        now=timezone.now(),
    )
    if hints is None:
        return ""
    return render_to_string("oscar_loyalty/partials/product_perks.html", {"hints": hints})

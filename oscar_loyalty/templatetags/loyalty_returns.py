"""``{% load loyalty_returns %}``: what a theme needs for returns. Mistakes of ours show nothing."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import template
from django.template.loader import render_to_string
from django.utils.formats import date_format
from django.utils.translation import gettext

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.returns.queries import list_returns_of_order
from oscar_loyalty.templatetags.loyalty import never_in_the_way

register = template.Library()


@register.simple_tag
@never_in_the_way
def loyalty_withdraw_link(order: Any = None, css_class: str = "") -> str:
    """
    The link “Withdraw from contract” that the law wants on every page, for a footer; with an order, for its
    page. Also while the programme is switched off.
    """
    number = getattr(order, "number", "") or ""
    return render_to_string(
        "oscar_loyalty/partials/withdraw_link.html", {"number": number, "css_class": css_class}
    )


@register.simple_tag(takes_context=True)
@never_in_the_way
def loyalty_return_link(context: template.Context, order: Any) -> str:
    """The way to return something of an order, and what was returned before. One statement."""
    user = getattr(context.get("request"), "user", None)
    if not loyalty_settings.enabled or order.status in loyalty_settings.cancelled_statuses or user is None:
        return ""
    is_guest = order.user_id is None or order.user_id != user.pk
    earlier = [] if is_guest else list(list_returns_of_order(order_ref=order.number).prefetch_related(None))
    return render_to_string(
        "oscar_loyalty/partials/return_link.html", {"order": order, "is_guest": is_guest, "returns": earlier}
    )


@register.simple_tag
@never_in_the_way
def loyalty_return_links(orders: Any) -> str:
    """The same for a list of a customer's orders. No statement."""
    cancelled = loyalty_settings.cancelled_statuses
    shown = [order for order in orders or () if order.status not in cancelled]
    if not shown or not loyalty_settings.enabled:
        return ""
    return render_to_string("oscar_loyalty/partials/return_links.html", {"orders": shown})


@register.filter
def loyalty_moment(moment: datetime, time_zone: str) -> str:
    """Date and time to the second where the shop is at home: 3 December 2026, 14:05:12 (CET)."""
    local = moment.astimezone(ZoneInfo(time_zone))
    return gettext("%(day)s, %(time)s (%(zone)s)") % {
        "day": date_format(local, "DATE_FORMAT"),
        "time": f"{local:%H:%M:%S}",
        "zone": local.tzname(),
    }

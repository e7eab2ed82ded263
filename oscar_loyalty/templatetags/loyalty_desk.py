"""``{% load loyalty_desk %}``: money and times on the pages of staff."""

from datetime import timedelta
from decimal import Decimal

from django import template

from oscar_loyalty.flows.return_desk_wording import say_duration
from oscar_loyalty.flows.wording import money

register = template.Library()


@register.filter
def desk_money(amount: Decimal, currency: str) -> str:
    """``{{ refund.amount|desk_money:refund.currency }}`` → €1,234.50, or 1.234,50 € for a German reader."""
    return money(amount, currency)


@register.filter
def desk_duration(duration: timedelta | None) -> str:
    """3 days 4 hours; a dash for none."""
    return "—" if duration is None else say_duration(duration)

from copy import copy

from django import template
from django.utils.translation import gettext, gettext_noop

register = template.Library()

# Oscar stores and shows one word for a status; these are the words customers read.
gettext_noop("Pending")
gettext_noop("Being processed")
gettext_noop("Shipped")
gettext_noop("Complete")
gettext_noop("Cancelled")
# And one for a way to pay, to which money goes back.
gettext_noop("Invoice")


@register.filter
def with_status_in_words(order):
    """A copy of an order, for showing only, whose status is in the language of the page."""
    shown = copy(order)
    shown.status = gettext(order.status) if order.status else ""
    return shown


@register.filter
def without_name_of(variant, parent) -> str:
    """What sets a variant apart from its parent: "250 g, ganze Bohne"."""
    return variant.get_title().removeprefix(parent.get_title()).lstrip(", ")

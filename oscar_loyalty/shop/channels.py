"""Through which channel an order comes in, as far as the shop says."""

from typing import Any

from django.utils.module_loading import import_string

from oscar_loyalty.conf import loyalty_settings

#: Of a shop that says nothing.
DEFAULT = "SHOP"


def find_channel(thing: Any = None) -> str:
    """
    The channel of an order, of a basket, or of a page without either. The shop's own function decides
    (``OSCAR_LOYALTY_CHANNEL``).
    """
    path = loyalty_settings.channel
    return str(import_string(path)(thing) or DEFAULT) if path else DEFAULT

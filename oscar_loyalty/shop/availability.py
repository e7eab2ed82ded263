from datetime import datetime
from typing import Any

from oscar.core.loading import get_class

from oscar_loyalty.shop.access_offer import explain_closed
from oscar_loyalty.shop.perk_products import Closed

Unavailable = get_class("partner.availability", "Unavailable")


class MembersFirst(Unavailable):  # type: ignore[misc, valid-type]
    """In stock, and not for this customer now."""

    code = "members-first"

    def __init__(self, product: Any, closed: Closed, *, now: datetime) -> None:
        self.message = explain_closed(product, closed, now=now)

    def is_purchase_permitted(self, quantity: int) -> tuple[bool, str]:
        return False, self.message

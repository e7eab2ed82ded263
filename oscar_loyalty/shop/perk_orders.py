"""What an order was promised, written down when it has been placed."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from oscar.core.loading import get_model

from oscar_loyalty.shop import carriers
from oscar_loyalty.shop.perks import find_kept
from oscar_loyalty.tiers.models import PerkUse
from oscar_loyalty.tiers.perk_services import freeze_perks, set_saved
from oscar_loyalty.tiers.shipping import SHIPPING_KINDS


def keep_promises(order: Any, *, now: datetime) -> None:
    """
    Freeze what the buyer was entitled to, as their basket knew it, and complete what its uses saved. No
    statement for an order whose basket asked for no perks, or whose buyer has none.
    """
    basket = order._state.fields_cache.get("basket")
    entitled = find_kept(basket) if basket is not None else None
    if entitled is None or not entitled.all:
        return
    freeze_perks(order_ref=str(order.number), entitled=entitled, now=now)
    if entitled.has(*SHIPPING_KINDS):
        _complete_shipping(order)


def _complete_shipping(order: Any) -> None:
    """The order's own record of the discount is what was really taken off."""
    use = PerkUse.objects.filter(order_ref=str(order.number), kind__in=SHIPPING_KINDS, undone_at=None).first()
    if use is None:
        return
    offer = carriers.find_offer(carriers.SHIPPING)
    discounts = get_model("order", "OrderDiscount").objects
    taken = discounts.filter(order=order, offer_id=offer.pk if offer else None)
    saved = sum((discount.amount for discount in taken), Decimal(0))
    set_saved(order_ref=use.order_ref, kind=use.kind, saved=saved, currency=order.currency)

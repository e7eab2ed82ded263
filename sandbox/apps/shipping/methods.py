"""How parcels reach the customer. Charges include VAT."""

from decimal import ROUND_HALF_UP, Decimal

from django.utils.translation import gettext_lazy as _
from oscar.apps.shipping.methods import *  # noqa: F403
from oscar.apps.shipping.methods import Base
from oscar.core.prices import Price

CENT = Decimal("0.01")


def split_charge(gross: Decimal, goods_net: Decimal, goods_gross: Decimal) -> Decimal:
    """
    The net part of a shipping charge, in whole cents.

    Delivery is taxed like the goods delivered; in a mixed parcel the charge is spread over the rates
    in proportion to their prices, which is the ratio of net to gross of all the goods.
    """
    if not goods_gross:
        return gross
    return (gross * goods_net / goods_gross).quantize(CENT, ROUND_HALF_UP)


class Delivery(Base):
    """A delivery with a fixed charge that may be waived from a value of goods."""

    charge = Decimal("0.00")
    free_from: Decimal | None = None

    def get_charge(self, goods_gross: Decimal) -> Decimal:
        """What the customer pays for goods of this value, VAT included."""
        if self.free_from is not None and goods_gross >= self.free_from:
            return Decimal("0.00")
        return self.charge

    def calculate(self, basket):
        # Value and VAT of the goods before any discount: spending points must not make delivery dearer.
        goods_gross = basket.total_incl_tax_excl_discounts
        gross = self.get_charge(goods_gross)
        net = split_charge(gross, basket.total_excl_tax_excl_discounts, goods_gross)
        return Price(currency=basket.currency, excl_tax=net, incl_tax=gross)


class Standard(Delivery):
    code = "standard"
    name = _("Standard delivery")
    description = _("2 to 3 working days, free from €59")
    charge = Decimal("4.90")
    free_from = Decimal("59.00")


class Express(Delivery):
    code = "express"
    name = _("Express delivery")
    description = _("Next working day if ordered by noon")
    charge = Decimal("9.90")


class PickUp(Delivery):
    code = "pick-up"
    name = _("Pick-up at the store")
    description = _("Ready after two hours, Monday to Saturday")

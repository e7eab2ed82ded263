"""
Perks on delivery as one saved offer of the shop. What it takes off a charge is decided for each method
where the shop's repository has :class:`~oscar_loyalty.shop.shipping.LoyaltyRepositoryMixin`. Without it
Oscar tells an offer no more than the charge, and the offer gives what can be given without knowing the
method (see ``docs/how-to/perks.md``).
"""

import logging
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from oscar.core.loading import get_class, get_model

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.shop.baskets import get_currency, reapply_offers
from oscar_loyalty.shop.perks import get_shelf_value, perks_of, take_use
from oscar_loyalty.tiers.entitlements import Entitlement
from oscar_loyalty.tiers.shipping import SHIPPING_KINDS, Reduced, is_reached, reduce_charges

# Models before classes: Oscar's offer modules import each other in a circle otherwise.
Benefit = get_model("offer", "Benefit")
Condition = get_model("offer", "Condition")
ShippingDiscount = get_class("offer.results", "ShippingDiscount")
PostOrderAction = get_class("offer.results", "PostOrderAction")
ZERO_DISCOUNT = get_class("offer.results", "ZERO_DISCOUNT")

logger = logging.getLogger(__name__)

#: Where a basket object keeps what the repository decided for each method: code → Reduced, or None where
#: another offer is better.
DECIDED_AS = "_loyalty_shipping"


@dataclass(frozen=True, kw_only=True)
class BlindSaving:
    """
    What is taken off a charge without knowing whose it is: all of it, ``amount`` at most, or whatever it
    is above ``price``.
    """

    entitlement: Entitlement
    amount: Decimal | None = None
    price: Decimal | None = None

    def of(self, charge: Decimal) -> Decimal:
        if self.price is not None:
            return max(charge - self.price, Decimal("0.00"))
        return charge if self.amount is None else min(charge, self.amount)


class PerkShipping(ShippingDiscount):  # type: ignore[misc, valid-type]
    """Delivery is cheaper for the basket's owner. ``saving`` is ``None`` where the repository decides."""

    def __init__(self, saving: BlindSaving | None) -> None:
        self.saving = saving

    @property
    def description(self) -> str:
        return gettext("Your delivery benefit")


class ShippingPerkCondition(Condition):  # type: ignore[misc, valid-type]
    """The basket's owner has a perk on delivery that the basket is worth enough for."""

    class Meta:
        app_label = "oscar_loyalty"
        proxy = True
        verbose_name = _("condition: the customer has a perk on delivery")
        verbose_name_plural = _("conditions: the customer has a perk on delivery")

    @property
    def name(self) -> str:
        return gettext("The customer's tier, or a perk of their own, makes delivery cheaper")

    @property
    def description(self) -> str:
        return self.name

    def is_satisfied(self, offer: Any, basket: Any) -> bool:
        if not loyalty_settings.enabled or basket.pk is None:
            return False
        try:
            return bool(acting_perks(basket, now=timezone.now()))
        except Exception:
            logger.exception("The perks on delivery of basket %s could not be judged", basket.pk)
            return False

    def consume_items(self, offer: Any, basket: Any, affected_lines: Any) -> None:
        """Delivery stacks with every other offer."""


class ShippingPerkBenefit(Benefit):  # type: ignore[misc, valid-type]
    """Takes off a delivery charge what the customer's perks say."""

    class Meta:
        app_label = "oscar_loyalty"
        proxy = True
        verbose_name = _("benefit: delivery as the customer's perks say")
        verbose_name_plural = _("benefits: delivery as the customer's perks say")

    _saving: BlindSaving | None = None

    @property
    def saving(self) -> BlindSaving | None:
        """Decided for one basket. It stands on the offer's own benefit, from where Oscar copies it to
        each proxy that it makes."""
        return self._saving

    @saving.setter
    def saving(self, saving: BlindSaving | None) -> None:
        self._saving = saving

    @property
    def name(self) -> str:
        return gettext("Cheaper delivery")

    @property
    def description(self) -> str:
        return self.name

    def apply(self, basket: Any, condition: Any, offer: Any, **kwargs: Any) -> Any:
        saving = None
        if not has_mixin():
            try:
                saving = decide_blindly(basket, now=timezone.now())
            except Exception:
                logger.exception("Perks on delivery could not be applied to basket %s", basket.pk)
            if saving is None:
                return ZERO_DISCOUNT
        offer.benefit.saving = saving
        return PerkShipping(saving)

    def shipping_discount(self, charge: Decimal, currency: str | None = None) -> Decimal:
        return Decimal("0.00") if self.saving is None else self.saving.of(charge)

    def apply_deferred(self, basket: Any, order: Any, application: Any) -> str | None:
        """
        Record which perk acted, inside the transaction that places the order.

        :raises PerkUnavailable: its last use was taken by another order meanwhile
        """
        result = application["result"]
        if not isinstance(result, PerkShipping):
            return None
        reduced = _find_reduced(basket, order, application)
        if reduced is None:
            if result.saving is not None:
                # Oscar used another offer for the charge, and would record its discount for ours again.
                application["result"] = PostOrderAction("")
            return gettext("Another offer for delivery was used")
        take_use(
            reduced.entitlement,
            basket=basket,
            order=order,
            saved=reduced.saved,
            now=timezone.now(),
            then=lambda: reapply_offers(basket),
            message=gettext(
                "Your delivery benefit has been used for another order meanwhile, so the total has changed. "
                "No order was placed: please check the total and confirm again."
            ),
        )
        return str(result.description)


def acting_perks(basket: Any, *, now: datetime) -> list[Entitlement]:
    """Perks on delivery of the basket's owner that the basket is worth enough for."""
    entitled = perks_of(basket, now=now)
    if not entitled.has(*SHIPPING_KINDS):
        return []
    goods, currency = get_shelf_value(basket), get_currency(basket)
    return [
        entitlement
        for kind in SHIPPING_KINDS
        for entitlement in entitled.of(kind)
        if is_reached(entitlement, goods=goods, currency=currency)
    ]


def decide_for_methods(
    basket: Any, charges: dict[str, Decimal], *, country: str | None, now: datetime
) -> dict[str, Reduced]:
    """What perks take off each charge; see :func:`~oscar_loyalty.tiers.shipping.reduce_charges`."""
    return reduce_charges(
        charges,
        entitlements=acting_perks(basket, now=now),
        goods=get_shelf_value(basket),
        currency=get_currency(basket),
        country=country,
    )


def decide_blindly(basket: Any, *, now: datetime) -> BlindSaving | None:
    """
    What can be given when a charge is all that is known. Perks for some countries only need the mixin:
    nobody knows the address here.
    """
    acting = [entitlement for entitlement in acting_perks(basket, now=now) if not _has_countries(entitlement)]
    for entitlement in acting:
        if entitlement.kind == "FREE_SHIPPING" and not entitlement.parameters.get("methods"):
            return BlindSaving(entitlement=entitlement)
    if not acting:
        return None
    charges = _read_charges(basket)
    reduced = reduce_charges(
        charges,
        entitlements=acting,
        goods=get_shelf_value(basket),
        currency=get_currency(basket),
        country=None,
    )
    if not reduced:
        return None
    most = max(reduced.values(), key=lambda one: one.saved)
    frees = any(one.entitlement.kind == "FREE_SHIPPING" for one in reduced.values())
    if not frees and "standard" in most.entitlement.parameters:
        price = charges[most.entitlement.parameters["standard"]]
        return BlindSaving(entitlement=most.entitlement, price=price)
    return BlindSaving(entitlement=most.entitlement, amount=most.saved)


def has_mixin() -> bool:
    """Whether the shop's repository decides for each method."""
    from oscar_loyalty.shop.shipping import LoyaltyRepositoryMixin

    return issubclass(get_class("shipping.repository", "Repository"), LoyaltyRepositoryMixin)


def charge_of(price: Any) -> Decimal:
    """The charge that a discount is taken off: with VAT where it is known, as Oscar does it."""
    return Decimal(price.incl_tax if price.is_tax_known else price.excl_tax)


def _read_charges(basket: Any) -> dict[str, Decimal]:
    methods = get_class("shipping.repository", "Repository")().get_available_shipping_methods(basket=basket)
    return {method.code: charge_of(method.calculate(basket)) for method in methods}


def _has_countries(entitlement: Entitlement) -> bool:
    return bool(entitlement.parameters.get("countries"))


def _find_reduced(basket: Any, order: Any, application: Any) -> Reduced | None:
    """What the perks took off the delivery that was chosen; nothing where another offer did."""
    saving = application["result"].saving
    if saving is None:
        decided: dict[str, Reduced | None] = getattr(basket, DECIDED_AS, None) or {}
        return decided.get(order.shipping_code)
    if basket.shipping_discounts[0] is not application:
        return None
    # How much it was, only the order's record of the discount tells.
    return Reduced(entitlement=saving.entitlement, saved=Decimal(0))

"""
Member prices as one saved offer of the shop: a percentage of the shelf price of products of a range.

Applied after the shop's own offers and vouchers, before points. Offers that may be combined add up with
it; where an exclusive one has taken a line, the customer gets whichever of the two is better for the line.
"""

import logging
from collections.abc import Iterator
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from oscar.core.loading import get_class, get_model

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.shop.baskets import (
    get_goods,
    is_payable,
    is_tax_known,
    line_price,
    priced_lines,
    reapply_offers,
)
from oscar_loyalty.shop.offers import discount_line, read_combinations
from oscar_loyalty.shop.perk_products import find_ranges_in_basket
from oscar_loyalty.shop.perks import perks_of, take_use
from oscar_loyalty.tiers.entitlements import Entitlement

Benefit = get_model("offer", "Benefit")
Condition = get_model("offer", "Condition")
BasketDiscount = get_class("offer.results", "BasketDiscount")
ZERO_DISCOUNT = get_class("offer.results", "ZERO_DISCOUNT")

logger = logging.getLogger(__name__)
KIND = "MEMBER_PRICE"
_CENT = Decimal("0.01")
#: Where a basket object keeps the result, with the line objects that carry it.
_APPLIED_AS = "_loyalty_member_price"


class MemberPriceDiscount(BasketDiscount):  # type: ignore[misc, valid-type]
    """What member prices take off a basket."""

    is_final = True
    is_perk = True
    makes_room = True

    def __init__(self, amount: Decimal, *, entitlement: Entitlement) -> None:
        super().__init__(amount)
        self.entitlement = entitlement

    @property
    def description(self) -> str:
        return gettext("Member price")


class MemberPriceCondition(Condition):  # type: ignore[misc, valid-type]
    """The basket's owner has member prices."""

    class Meta:
        app_label = "oscar_loyalty"
        proxy = True
        verbose_name = _("condition: the customer has member prices")
        verbose_name_plural = _("conditions: the customer has member prices")

    @property
    def name(self) -> str:
        return gettext("The customer's tier, or a grant, comes with member prices")

    @property
    def description(self) -> str:
        return self.name

    def is_satisfied(self, offer: Any, basket: Any) -> bool:
        if not loyalty_settings.enabled or basket.pk is None:
            return False
        return perks_of(basket, now=timezone.now()).has(KIND)

    def consume_items(self, offer: Any, basket: Any, affected_lines: Any) -> None:
        """Member prices stack; see the module."""


class MemberPriceBenefit(Benefit):  # type: ignore[misc, valid-type]
    class Meta:
        app_label = "oscar_loyalty"
        proxy = True
        verbose_name = _("benefit: member prices")
        verbose_name_plural = _("benefits: member prices")

    @property
    def name(self) -> str:
        return gettext("Member prices")

    @property
    def description(self) -> str:
        return self.name

    def apply(self, basket: Any, condition: Any, offer: Any, **kwargs: Any) -> Any:
        applied = getattr(basket, _APPLIED_AS, None)
        if applied is not None and applied[0] is basket._lines and basket._lines is not None:
            # Oscar may apply offers twice without a reset.
            return applied[1]
        try:
            shares = list(list_shares(basket, now=timezone.now()))
        except Exception:
            logger.exception("Member prices could not be applied to basket %s", basket.pk)
            return ZERO_DISCOUNT
        if not shares:
            return ZERO_DISCOUNT
        before, with_tax = get_goods(basket).total, is_tax_known(basket)
        read_combinations(basket, offer)
        for line, share, _entitlement in shares:
            discount_line(line, share, with_tax=with_tax, offer=offer)
        most = max(shares, key=lambda one: one[1])
        result = MemberPriceDiscount(before - get_goods(basket).total, entitlement=most[2])
        setattr(basket, _APPLIED_AS, (basket._lines, result))
        return result

    def apply_deferred(self, basket: Any, order: Any, application: Any) -> str | None:
        """:raises PerkUnavailable: the last use was taken by another order meanwhile"""
        result = application["result"]
        if not isinstance(result, MemberPriceDiscount):
            return None
        take_use(
            result.entitlement,
            basket=basket,
            order=order,
            saved=result.discount,
            now=timezone.now(),
            then=lambda: reapply_offers(basket),
            message=gettext(
                "Your member price has been used for another order meanwhile, so the total has changed. "
                "No order was placed: please check the total and confirm again."
            ),
        )
        return result.description


def get_member_price(price: Decimal, percent: Any) -> Decimal:
    """A shelf price less so many percent, in whole cents, halves up."""
    return (price * (100 - Decimal(percent)) / 100).quantize(_CENT, ROUND_HALF_UP)


def list_shares(basket: Any, *, now: datetime) -> Iterator[tuple[Any, Decimal, Entitlement]]:
    """Lines with what is taken off them. One statement, whatever their number; none after the guard of
    products that not everybody may buy."""
    held = perks_of(basket, now=now).of(KIND)
    lines = [line for line in priced_lines(basket) if is_payable(line)]
    if not lines:
        return
    in_ranges = find_ranges_in_basket(
        basket,
        {line.product_id for line in lines},
        range_ids={perk.parameters["range"] for perk in held},
    )
    with_tax = is_tax_known(basket)
    for line in lines:
        # The best one comes first.
        perk = next(
            (perk for perk in held if perk.parameters["range"] in in_ranges.get(line.product_id, ())), None
        )
        if perk is None:
            continue
        unit = Decimal(line.unit_price_incl_tax if with_tax else line.unit_price_excl_tax)
        to_pay = line_price(line, with_tax=with_tax)
        member_price = get_member_price(unit, perk.parameters["percent"]) * line.quantity
        share = unit * line.quantity - member_price
        if any(taken.offer is not None and taken.offer.exclusive for taken in line.discounts):
            share = to_pay - member_price
        if (share := min(share, to_pay)) > 0:
            yield line, share, perk

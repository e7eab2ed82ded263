"""
For shops that have forked Oscar's shipping app::

    from oscar.apps.shipping import repository
    from oscar_loyalty.shop.shipping import LoyaltyRepositoryMixin


    class Repository(LoyaltyRepositoryMixin, repository.Repository):
        ...

Each method then gets the offer that is best for it, of ours and of the shop's own, and the order records
that one alone. Oscar itself uses the first offer for all methods, and records it once for every offer.
"""

import logging
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.utils import timezone

logger = logging.getLogger(__name__)

#: Where a basket object keeps the country of the address that methods were asked for.
_COUNTRY_AS = "_loyalty_country"


class LoyaltyRepositoryMixin:
    """Put it before the repository it is mixed into. Costs no statement of its own."""

    def get_shipping_methods(self, basket: Any, shipping_addr: Any = None, **kwargs: Any) -> list[Any]:
        setattr(basket, _COUNTRY_AS, _find_country(shipping_addr))
        methods: list[Any] = super().get_shipping_methods(  # type: ignore[misc]
            basket, shipping_addr=shipping_addr, **kwargs
        )
        return methods

    def apply_shipping_offers(self, basket: Any, methods: Any) -> list[Any]:
        try:
            return choose_best(basket, methods)
        except Exception:
            logger.exception("The best offer for delivery of basket %s was not found", basket.pk)
        reduced: list[Any] = super().apply_shipping_offers(basket, methods)  # type: ignore[misc]
        return reduced


def _find_country(address: Any) -> str | None:
    """Two letters. django-oscar-api's checkout hands the address over as a dictionary."""
    if isinstance(address, Mapping):
        return getattr(address.get("country"), "pk", None)
    return getattr(address, "country_id", None)


def name_methods(request: Any) -> dict[str, str]:
    """
    What the shop's ways of delivery are called, by code. Of a shop that cannot say it without an address
    only those that promise a day.
    """
    from oscar.core.loading import get_class

    from oscar_loyalty.shop.delivery import get_methods

    names = {method.method: str(method.name) for method in get_methods() if method.name}
    try:
        offered = get_class("shipping.repository", "Repository")().get_available_shipping_methods(
            basket=request.basket, user=request.user, request=request
        )
        names |= {str(method.code): str(method.name) for method in offered if method.name}
    except Exception:
        logger.exception("The names of the shop's ways of delivery were not found")
    return names


def choose_best(basket: Any, methods: Any) -> list[Any]:
    """
    The methods, each wrapped with the one offer that takes most off its charge. The shop's own offer goes
    before a perk that takes off as much, so that uses of the perk are kept.
    """
    from oscar_loyalty.shop.shipping_offer import (
        DECIDED_AS,
        PerkShipping,
        charge_of,
        decide_for_methods,
    )

    applications = list(basket.shipping_discounts)
    for application in applications:
        # Left over from an order that could not be placed; see _Reduced.discount.
        application.pop("message", None)
    ours = next((one for one in applications if isinstance(one["result"], PerkShipping)), None)
    prices = {method.code: method.calculate(basket) for method in methods}
    charges = {code: charge_of(price) for code, price in prices.items()}
    country = getattr(basket, _COUNTRY_AS, None)
    by_perk = decide_for_methods(basket, charges, country=country, now=timezone.now()) if ours else {}
    decided: dict[str, Any] = {}
    chosen = []
    for method in methods:
        charge, best = charges[method.code], (Decimal(0), None)
        for application in applications:
            if application is not ours:
                saved = application["offer"].shipping_discount(charge, prices[method.code].currency)
                best = max(best, (min(saved, charge), application), key=lambda one: one[0])
        reduced = by_perk.get(method.code)
        if reduced is not None and reduced.saved > best[0]:
            best = (min(reduced.saved, charge), ours)
            decided[method.code] = reduced
        saved, winner = best
        if winner is None:
            chosen.append(method)
        else:
            wrap = _with_tax() if prices[method.code].is_tax_known else _without_tax()
            chosen.append(wrap(method, _Taken(winner["offer"], saved)))
    setattr(basket, DECIDED_AS, decided)
    return chosen


class _Taken:
    """An offer of which it has been decided what it takes off one charge."""

    def __init__(self, offer: Any, saved: Decimal) -> None:
        self.decided_offer = offer
        self.saved = saved

    def __getattr__(self, name: str) -> Any:
        return getattr(self.decided_offer, name)

    @property
    def name(self) -> str:
        """As the shopper reads it on basket and checkout."""
        from oscar_loyalty.shop.carriers import translate_offer_name

        return translate_offer_name(self.decided_offer.name)

    def shipping_discount(self, charge: Decimal, currency: str | None = None) -> Decimal:
        return min(charge, self.saved)


class _RecordedOnce:
    """A method whose discount counts for the offer that gives it, and for no other one."""

    offer: _Taken

    def discount(self, basket: Any) -> Decimal:
        """
        What is taken off. While an order is placed Oscar asks for every offer on delivery, and records the
        answer for each: all but the one that gives it get nothing. The one being recorded is the last that
        has a message.
        """
        recorded = [application for application in basket.offer_applications if "message" in application]
        if recorded:
            asking = recorded[-1]
            if asking["result"].affects_shipping and asking["offer"].pk != self.offer.pk:
                return Decimal("0.00")
        return super().discount(basket)  # type: ignore[misc, no-any-return]


def _with_tax() -> type[Any]:
    from oscar.core.loading import get_class

    return _mixed(get_class("shipping.methods", "TaxInclusiveOfferDiscount"))


def _without_tax() -> type[Any]:
    from oscar.core.loading import get_class

    return _mixed(get_class("shipping.methods", "TaxExclusiveOfferDiscount"))


_mixes: dict[type[Any], type[Any]] = {}


def _mixed(wrapper: type[Any]) -> type[Any]:
    if wrapper not in _mixes:
        _mixes[wrapper] = type(wrapper.__name__, (_RecordedOnce, wrapper), {})
    return _mixes[wrapper]


def is_reduced_by_perk(method: Any) -> bool:
    """Whether a perk makes the method cheaper, with the mixin or without."""
    from oscar_loyalty.shop.shipping_offer import ShippingPerkBenefit

    offer = getattr(method, "offer", None)
    benefit = getattr(offer, "benefit", None)
    return benefit is not None and isinstance(benefit.proxy(), ShippingPerkBenefit)

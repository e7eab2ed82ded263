"""What perks do for a basket, what is missing for more, and what better tiers would get."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from oscar_loyalty.shop.baskets import get_currency
from oscar_loyalty.shop.delivery import get_methods
from oscar_loyalty.shop.perks import find_kept, get_shelf_value
from oscar_loyalty.shop.shipping import is_reduced_by_perk
from oscar_loyalty.shop.shipping_offer import charge_of
from oscar_loyalty.tiers.entitlements import Entitlements, TierOffering, read_perks
from oscar_loyalty.tiers.perks import describe_perk

#: Of these a basket says what the customer would have in a better tier.
_TOLD = ("FREE_SHIPPING", "EXPRESS_AT_STANDARD", "MEMBER_PRICE", "EARLY_ACCESS")


@dataclass(frozen=True, kw_only=True)
class FreeDelivery:
    """So much is missing until delivery is free. ``percent`` (0 to 99) is how far the basket is."""

    missing: Decimal
    minimum: Decimal
    percent: int


@dataclass(frozen=True, kw_only=True)
class Missed:
    """What members of a tier get, said in a sentence."""

    tier_code: str
    tier_name: str
    kind: str
    text: str


@dataclass(frozen=True, kw_only=True)
class PerkHints:
    currency: str
    tier_code: str = ""
    tier_name: str = ""
    is_member: bool = False
    saved: Decimal = Decimal(0)
    free_delivery: FreeDelivery | None = None
    missed: tuple[Missed, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not (self.saved or self.free_delivery or self.missed)


def find_perk_hints(
    basket: Any, *, shipping_method: Any = None, language: str, now: datetime
) -> PerkHints | None:
    """
    Hints for a basket to which offers have been applied; ``None`` in a shop without perks. No statement
    for members, whose perks the basket knows by then; one for guests.
    """
    entitled = find_kept(basket)
    if entitled is None or basket.is_empty:
        return None
    if basket.owner_id is None:
        entitled = read_perks(user_id=None, now=now)
    currency = get_currency(basket)
    own = next((tier for tier in entitled.offerings if tier.tier_code == entitled.tier_code), None)
    return PerkHints(
        currency=currency,
        tier_code=entitled.tier_code,
        tier_name=own.name(language) if own is not None else "",
        is_member=entitled.member_id is not None,
        saved=_get_saved(basket, shipping_method),
        free_delivery=_find_free_delivery(basket, entitled, currency=currency),
        missed=tuple(
            _missed(tier, language=language, names=_name_methods(shipping_method))
            for tier in _list_missed(entitled)
            if not _is_free_anyway(tier, basket, shipping_method)
        ),
    )


def _get_saved(basket: Any, shipping_method: Any) -> Decimal:
    """By perks, of goods and of the delivery that is shown."""
    saved = Decimal(0)
    for application in basket.offer_applications:
        if getattr(application["result"], "is_perk", False):
            saved += application["discount"]
    if shipping_method is not None and is_reduced_by_perk(shipping_method):
        saved += shipping_method.discount(basket)
    return saved


def _find_free_delivery(basket: Any, entitled: Entitlements, *, currency: str) -> FreeDelivery | None:
    """Of the perk that is nearest; none where delivery is free already."""
    goods = get_shelf_value(basket)
    minima = [
        Decimal(perk.parameters.get("minimum", "0"))
        for perk in entitled.of("FREE_SHIPPING")
        if perk.parameters.get("currency", currency) == currency
    ]
    if not minima or min(minima) <= goods:
        return None
    minimum = min(minima)
    return FreeDelivery(missing=minimum - goods, minimum=minimum, percent=int(goods * 100 / minimum))


def _is_free_anyway(tier: TierOffering, basket: Any, shown: Any) -> bool:
    """Nobody is told of free delivery beside that same delivery which costs nothing."""
    if tier.kind != "FREE_SHIPPING" or shown is None:
        return False
    methods = tier.parameters.get("methods")
    return (not methods or shown.code in methods) and not charge_of(shown.calculate(basket))


def _name_methods(shown: Any) -> dict[str, str]:
    """What customers know ways of delivery by: those that promise a day, and the one that is shown."""
    names = {method.method: str(method.name) for method in get_methods() if method.name}
    if shown is not None and shown.name:
        names[str(shown.code)] = str(shown.name)
    return names


def _list_missed(entitled: Entitlements) -> Iterator[TierOffering]:
    """Of each kind what the nearest tier gives that is better than what the customer has."""
    from oscar_loyalty.tiers.perks import perks

    for code in _TOLD:
        mine = entitled.find(code)
        kind = perks.find(code)
        for tier in entitled.better_offerings(code):
            if kind is not None and (mine is None or kind.is_better(tier.parameters, mine.parameters)):
                yield tier
                break


def _missed(tier: TierOffering, *, language: str, names: Mapping[str, str]) -> Missed:
    parameters = dict(tier.parameters)
    if methods := parameters.get("methods"):
        parameters["methods"] = [names.get(code, code) for code in methods]
    return Missed(
        tier_code=tier.tier_code,
        tier_name=tier.name(language),
        kind=tier.kind,
        text=describe_perk(tier.kind, parameters),
    )

"""What perks make of delivery charges: arithmetic only."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from oscar_loyalty.tiers.entitlements import Entitlement

SHIPPING_KINDS = ("FREE_SHIPPING", "EXPRESS_AT_STANDARD")


@dataclass(frozen=True, kw_only=True)
class Reduced:
    """A method for which a perk takes ``saved`` off the charge."""

    entitlement: Entitlement
    saved: Decimal


def is_reached(entitlement: Entitlement, *, goods: Decimal, currency: str) -> bool:
    """Whether goods of a basket are worth enough for the perk to act."""
    minimum = entitlement.parameters.get("minimum")
    if minimum is None:
        return True
    return entitlement.parameters.get("currency") == currency and goods >= Decimal(minimum)


def reduce_charges(
    charges: Mapping[str, Decimal],
    *,
    entitlements: Iterable[Entitlement],
    goods: Decimal,
    currency: str,
    country: str | None,
) -> dict[str, Reduced]:
    """
    The methods that perks make cheaper, by code, each with the perk that saves most.

    ``charges`` and ``goods`` are money in ``currency``, all with VAT or all without; ``country`` is where
    the parcel goes, two letters, or ``None`` while nobody has said so: then every country may still be it.
    Express for the price of standard follows what the customer pays for standard, so it is free where
    that is free.
    """
    acting = [
        entitlement
        for entitlement in entitlements
        if entitlement.kind in SHIPPING_KINDS
        and _goes_to(entitlement, country)
        and is_reached(entitlement, goods=goods, currency=currency)
    ]
    reduced: dict[str, Reduced] = {}
    for entitlement in acting:
        if entitlement.kind == "FREE_SHIPPING":
            methods = entitlement.parameters.get("methods")
            for code, charge in charges.items():
                if not methods or code in methods:
                    _offer(reduced, code, Reduced(entitlement=entitlement, saved=charge))
    for entitlement in acting:
        if entitlement.kind == "EXPRESS_AT_STANDARD":
            standard = str(entitlement.parameters["standard"])
            if standard not in charges:
                continue
            price = charges[standard] - (reduced[standard].saved if standard in reduced else Decimal(0))
            for code in entitlement.parameters["express"]:
                if code in charges:
                    _offer(reduced, code, Reduced(entitlement=entitlement, saved=charges[code] - price))
    return reduced


def _goes_to(entitlement: Entitlement, country: str | None) -> bool:
    countries = entitlement.parameters.get("countries")
    return not countries or country is None or country in countries


def _offer(reduced: dict[str, Reduced], code: str, candidate: Reduced) -> None:
    best = reduced[code].saved if code in reduced else Decimal(0)
    if candidate.saved > best:
        reduced[code] = candidate

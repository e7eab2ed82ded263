"""What perks say on a product's page: member prices, and who may buy it before others."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from oscar_loyalty.shop.member_price_offer import get_member_price
from oscar_loyalty.shop.perk_products import Closed, find_closed, find_in_ranges
from oscar_loyalty.tiers.entitlements import Entitlements, read_perks


@dataclass(frozen=True, kw_only=True)
class ProductHints:
    currency: str = ""
    #: What the customer pays, and as member of which tier.
    own_price: Decimal | None = None
    tier_name: str = ""
    #: What members of the nearest better tier pay.
    better_price: Decimal | None = None
    better_tier_name: str = ""
    closed: Closed | None = None
    is_open_to_me: bool = True
    #: Who may buy it first, and from when.
    early_tier_name: str = ""
    early_from: datetime | None = None


def find_product_hints(
    product: Any, *, price: Any, user_id: int | None, language: str, now: datetime
) -> ProductHints | None:
    """
    ``price`` is what the shop's strategy says of the product. One statement in a shop without perks, which
    gives ``None``; one more each for member prices and for products that not everybody may buy.
    """
    entitled = read_perks(user_id=user_id, now=now)
    if not entitled.offerings and not entitled.all:
        return None
    values: dict[str, Any] = {}
    if price.exists:
        values |= _find_prices(product, entitled, price=price, language=language)
    if any(tier.kind in ("EARLY_ACCESS", "EXCLUSIVE_PRODUCTS") for tier in entitled.offerings):
        closed = find_closed(now=now, product_ids=[product.pk]).get(product.pk)
        if closed is not None:
            values |= _describe_access(closed, entitled, language=language, now=now)
    return ProductHints(currency=getattr(price, "currency", ""), **values) if values else None


def _find_prices(product: Any, entitled: Entitlements, *, price: Any, language: str) -> dict[str, Any]:
    tiers = [tier for tier in entitled.offerings if tier.kind == "MEMBER_PRICE"]
    mine = entitled.of("MEMBER_PRICE")
    wanted = {tier.parameters["range"] for tier in tiers} | {perk.parameters["range"] for perk in mine}
    if not wanted or not product.is_discountable:
        return {}
    inside = find_in_ranges([product.pk], range_ids=wanted).get(product.pk, set())
    shelf = Decimal(price.incl_tax if price.is_tax_known else price.excl_tax)
    own = next((perk for perk in mine if perk.parameters["range"] in inside), None)
    own_percent = Decimal(own.parameters["percent"]) if own is not None else Decimal(0)
    values: dict[str, Any] = {}
    if own is not None:
        values["own_price"] = get_member_price(shelf, own_percent)
        values["tier_name"] = next(
            (tier.name(language) for tier in tiers if tier.tier_code == own.tier_code), ""
        )
    for tier in tiers:
        percent = Decimal(tier.parameters["percent"])
        if tier.rank > entitled.rank and tier.parameters["range"] in inside and percent > own_percent:
            values["better_price"] = get_member_price(shelf, percent)
            values["better_tier_name"] = tier.name(language)
            break
    return values


def _describe_access(
    closed: Closed, entitled: Entitlements, *, language: str, now: datetime
) -> dict[str, Any]:
    values: dict[str, Any] = {"closed": closed, "is_open_to_me": closed.is_open_to(entitled, now=now)}
    if closed.opens_at is not None and not closed.is_exclusive:
        early = [tier for tier in entitled.offerings if tier.kind == "EARLY_ACCESS"]
        if early:
            first = max(early, key=lambda tier: tier.parameters["hours"])
            values["early_tier_name"] = first.name(language)
            values["early_from"] = closed.opens_at - timedelta(hours=first.parameters["hours"])
    return values

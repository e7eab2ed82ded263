"""
A basket that nobody has, for staff who want to see what perks would make of it. It goes the way of real
ones, through the shop's own ways of delivery and our offers, and is never saved.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Q
from oscar.core.loading import get_class, get_model

from oscar_loyalty.points.rules import PurchaseLine
from oscar_loyalty.shop.access_offer import explain_closed
from oscar_loyalty.shop.member_price_offer import list_shares
from oscar_loyalty.shop.money import as_stored
from oscar_loyalty.shop.perk_products import Closed, find_closed
from oscar_loyalty.shop.perks import keep_perks
from oscar_loyalty.shop.products import get_product_class_id
from oscar_loyalty.shop.shipping_offer import charge_of, decide_blindly, decide_for_methods, has_mixin
from oscar_loyalty.tiers.entitlements import NOTHING, Entitlements

logger = logging.getLogger(__name__)
_ZERO = Decimal("0.00")


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """
    One way of delivery. ``charge`` is what everybody pays: ``None`` where it is for holders of a perk only,
    or where the shop's method cannot tell it of a basket that is not there. ``price`` is what holders pay.
    """

    code: str
    name: str
    charge: Decimal | None
    price: Decimal | None

    @property
    def saved(self) -> Decimal:
        return _ZERO if self.charge is None or self.price is None else self.charge - self.price


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What perks make of a basket. ``goods`` is its value on the shelf; ``lines`` are what is paid."""

    goods: Decimal
    lines: tuple[PurchaseLine, ...]
    deliveries: tuple[Delivery, ...]
    product_price: Decimal | None = None
    member_price: Decimal | None = None
    #: Why the product cannot be bought (yet), as a sentence.
    refusal: str = ""
    #: It can be bought, and not by everybody.
    is_ahead: bool = False


def search_products(text: str) -> list[Any]:
    """Products that can be put into a basket, by UPC, number or a part of the title; ten at the most."""
    named = Q(upc=text) | Q(title__icontains=text) | Q(parent__title__icontains=text)
    if text.isascii() and text.isdigit() and len(text) < 19:
        named |= Q(pk=int(text))
    model = get_model("catalogue", "Product")
    products = model.objects.filter(named).exclude(structure=model.PARENT).select_related("parent")
    return sorted(products.order_by("title", "pk")[:10], key=lambda product: product.upc != text)


def get_price(product: Any, *, request: Any) -> Any:
    """What the shop asks for a product: Oscar's price, which may not exist."""
    return request.strategy.fetch_for_product(product).price


def try_basket(
    goods: Decimal, *, currency: str, product: Any, entitled: Entitlements, request: Any, now: datetime
) -> Trial:
    """
    A basket worth ``goods`` as somebody with these perks would have it; with one piece of ``product``, if
    there is one, whose price is in ``currency``.
    """
    everybodys = _make_basket(goods, currency=currency, product=product, entitled=NOTHING, request=request)
    basket = _make_basket(goods, currency=currency, product=product, entitled=entitled, request=request)
    shares = {line.pk: share for line, share, _perk in list_shares(basket, now=now)}
    lines = tuple(_purchase_line(line, share=shares.get(line.pk, _ZERO)) for line in basket.all_lines())
    values: dict[str, Any] = {}
    if product is not None:
        first = basket.all_lines()[0]
        values["product_price"] = first.unit_price_incl_tax
        if first.pk in shares:
            values["member_price"] = first.unit_price_incl_tax - shares[first.pk]
        closed = find_closed(now=now, product_ids=[product.pk]).get(product.pk)
        if closed is not None:
            values |= _describe_access(product, closed, entitled=entitled, now=now)
    return Trial(
        goods=basket.total_incl_tax,
        lines=lines,
        deliveries=tuple(_deliver(basket, everybodys=everybodys, request=request, now=now)),
        **values,
    )


def _describe_access(
    product: Any, closed: Closed, *, entitled: Entitlements, now: datetime
) -> dict[str, Any]:
    if closed.is_open_to(entitled, now=now):
        return {"is_ahead": True}
    for_them = Closed(
        opens_at=closed.opens_to(entitled),
        is_exclusive=closed.is_exclusive and not entitled.has("EXCLUSIVE_PRODUCTS"),
    )
    return {"refusal": explain_closed(product, for_them, now=now)}


class _Lines(list[Any]):
    """Lines that are not in the database, counted as Oscar counts its own."""

    def count(self) -> int:  # type: ignore[override]
        return len(self)


def _make_basket(goods: Decimal, *, currency: str, product: Any, entitled: Entitlements, request: Any) -> Any:
    # Oscar takes a basket without an id for an empty one.
    basket = get_model("basket", "Basket")(pk=0)
    basket.strategy = request.strategy
    basket._lines = _Lines()
    rest = goods
    if product is not None:
        info = request.strategy.fetch_for_product(product)
        basket._lines.append(_make_line(basket, product=product, info=info))
        rest -= basket._lines[0].unit_price_incl_tax
    if rest > 0 or not basket._lines:
        something = get_model("catalogue", "Product")(
            product_class=get_model("catalogue", "ProductClass")(requires_shipping=True)
        )
        info = get_class("partner.strategy", "PurchaseInfo")(
            price=_fixed_price(max(rest, _ZERO), currency=currency),
            availability=get_class("partner.availability", "Available")(),
            stockrecord=None,
        )
        basket._lines.append(_make_line(basket, product=something, info=info))
    keep_perks(basket, entitled)
    return basket


def _make_line(basket: Any, *, product: Any, info: Any) -> Any:
    line = get_model("basket", "Line")(
        pk=len(basket._lines) + 1,
        basket=basket,
        product=product,
        stockrecord=info.stockrecord,
        quantity=1,
        price_currency=info.price.currency,
    )
    if not info.price.is_tax_known:
        info = info._replace(price=_fixed_price(info.price.excl_tax, currency=info.price.currency))
    line._info = info
    return line


def _fixed_price(amount: Decimal, *, currency: str) -> Any:
    return get_class("partner.prices", "FixedPrice")(currency, amount, tax=_ZERO)


def _purchase_line(line: Any, *, share: Decimal) -> PurchaseLine:
    gross, net = line.unit_price_incl_tax, line.unit_price_excl_tax
    paid = gross - share
    return PurchaseLine(
        ref=f"product:{line.product_id}",
        product_id=line.product_id,
        product_class_id=get_product_class_id(line.product),
        incl_tax=as_stored(paid),
        excl_tax=as_stored(net * paid / gross) if gross else as_stored(net),
    )


def _deliver(basket: Any, *, everybodys: Any, request: Any, now: datetime) -> Iterable[Delivery]:
    if not basket.is_shipping_required():
        return
    usual = _read_charges(everybodys, request=request)
    held = _read_charges(basket, request=request)
    known = {code: charge for code, (_name, charge) in held.items() if charge is not None}
    saved = _find_savings(basket, known, now=now)
    for code, (name, charge) in held.items():
        yield Delivery(
            code=code,
            name=name,
            charge=usual.get(code, ("", None))[1],
            price=None if charge is None else charge - saved.get(code, _ZERO),
        )


def _find_savings(basket: Any, charges: dict[str, Decimal], *, now: datetime) -> dict[str, Decimal]:
    if has_mixin():
        reduced = decide_for_methods(basket, charges, country=None, now=now)
        return {code: one.saved for code, one in reduced.items()}
    saving = decide_blindly(basket, now=now)
    return {} if saving is None else {code: saving.of(charge) for code, charge in charges.items()}


def _read_charges(basket: Any, *, request: Any) -> dict[str, tuple[str, Decimal | None]]:
    """Names and charges by code: ``None`` where a method needs goods that are really there."""
    repository = get_class("shipping.repository", "Repository")()
    charges: dict[str, tuple[str, Decimal | None]] = {}
    for method in repository.get_available_shipping_methods(basket=basket, user=None, request=request):
        try:
            charge = charge_of(method.calculate(basket))
        except Exception:
            logger.exception("The charge of %s could not be told", method.code)
            charge = None
        charges[str(method.code)] = (str(method.name) or str(method.code), charge)
    return charges

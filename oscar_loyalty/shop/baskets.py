"""Baskets as facts for earning and redeeming."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from oscar.core.loading import get_class, get_model
from oscar.core.utils import get_default_currency

from oscar_loyalty.points.rules import PurchaseLine
from oscar_loyalty.shop.money import as_stored
from oscar_loyalty.shop.products import get_product_class_id

_REF = "basket:"
_CENT = Decimal("0.01")


@dataclass(frozen=True, kw_only=True)
class Goods:
    """Money for the goods of a basket, net of discounts: with VAT where it is known. ``payable`` is the
    part that points may pay for."""

    total: Decimal
    payable: Decimal


def basket_ref(basket: Any) -> str:
    """What a basket is called in the ledger."""
    return f"{_REF}{basket.pk}"


def get_currency(basket: Any) -> str:
    return basket.currency or get_default_currency()  # type: ignore[no-any-return]


def get_goods(basket: Any) -> Goods:
    """The goods as the offers applied so far leave them. No statement when the lines are loaded."""
    with_tax = is_tax_known(basket)
    total = payable = Decimal(0)
    for line in priced_lines(basket):
        price = line_price(line, with_tax=with_tax)
        total += price
        if is_payable(line):
            payable += price
    return Goods(total=total.quantize(_CENT, ROUND_HALF_UP), payable=payable.quantize(_CENT, ROUND_HALF_UP))


def priced_lines(basket: Any) -> list[Any]:
    """Lines that have a price; what is no longer sold has none, and Oscar's totals leave it out too."""
    return [line for line in basket.all_lines() if line.purchase_info.price.exists]


def is_tax_known(basket: Any) -> bool:
    lines = priced_lines(basket)
    return bool(lines) and all(line.is_tax_known for line in lines)


def is_payable(line: Any) -> bool:
    """Whether points may pay for a line: they are a discount, and some goods may not be discounted."""
    return bool(line.stockrecord_id and line.product.is_discountable)


def line_price(line: Any, *, with_tax: bool) -> Decimal:
    """What is to be paid for a line after the discounts it carries."""
    if with_tax:
        return Decimal(line.line_price_incl_tax_incl_discounts)
    return Decimal(line.line_price_excl_tax_incl_discounts)


def reapply_offers(basket: Any) -> None:
    """Apply all offers anew, so that lines and totals tell what is true now."""
    basket.reset_offer_applications()
    request = getattr(basket.strategy, "request", None)
    if not basket.is_empty:
        get_class("offer.applicator", "Applicator")().apply(basket, basket.owner, request)


def lock_basket(basket: Any) -> None:
    """
    Lock the basket's row until the caller's transaction ends. Whoever goes on to a member's points does
    so first, as placing an order does: two requests of one shopper then wait for each other, where the
    other order of locks is a deadlock.
    """
    baskets = get_model("basket", "Basket")._default_manager
    list(baskets.select_for_update().filter(pk=basket.pk).values_list("pk"))


def is_still_open(basket: Any) -> bool:
    """Whether the basket can be changed now; another request may have ordered it since it was read."""
    baskets = get_model("basket", "Basket").objects
    return bool(baskets.filter(pk=basket.pk, status__in=basket.editable_statuses).exists())


def find_open_basket_ref(*, owner_id: int) -> str | None:
    """The oldest open basket of a customer: Oscar merges the others into it."""
    baskets = get_model("basket", "Basket").open.filter(owner_id=owner_id)
    pk = baskets.order_by("pk").values_list("pk", flat=True).first()
    return None if pk is None else f"{_REF}{pk}"


def find_frozen_refs(refs: Iterable[str]) -> set[str]:
    """Those of the references whose basket is frozen, so waiting for a payment."""
    basket_model = get_model("basket", "Basket")
    ids = [int(ref.removeprefix(_REF)) for ref in refs if ref.startswith(_REF)]
    frozen: set[str] = set()
    for start in range(0, len(ids), 500):
        rows = basket_model.objects.filter(pk__in=ids[start : start + 500], status=basket_model.FROZEN)
        frozen.update(f"{_REF}{pk}" for pk in rows.values_list("pk", flat=True))
    return frozen


def get_basket_lines(basket: Any, *, shipping_charge: Any = None) -> list[PurchaseLine]:
    """The lines of a basket as the order will have them, net of the offers applied to it (points are
    one), with shipping as a line of its own where it is known."""
    lines = []
    for line in priced_lines(basket):
        excl_tax = line.line_price_excl_tax_incl_discounts
        incl_tax = line.line_price_incl_tax_incl_discounts if line.is_tax_known else excl_tax
        lines.append(
            PurchaseLine(
                ref=f"line:{line.pk}",
                product_id=line.product_id,
                product_class_id=get_product_class_id(line.product),
                incl_tax=as_stored(incl_tax),
                excl_tax=as_stored(excl_tax),
                quantity=line.quantity,
            )
        )
    if shipping_charge is not None:
        excl_tax = shipping_charge.excl_tax
        incl_tax = shipping_charge.incl_tax if shipping_charge.is_tax_known else excl_tax
        lines.append(
            PurchaseLine(
                ref="shipping",
                product_id=None,
                product_class_id=None,
                incl_tax=as_stored(incl_tax),
                excl_tax=as_stored(excl_tax),
                is_shipping=True,
            )
        )
    return lines

"""What a rule may know of an order and of its member: frozen, from whoever reads the shop."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import NamedTuple


class Line(NamedTuple):
    """
    One line of a purchase. ``amount`` is the money the merchant receives for the whole line, net of every
    discount and of points, with or without VAT as the version says; what earns nothing is ``excluded``.
    ``category_ids`` hold the categories above those of the product too. ``attributes`` are texts.
    Of categories, ranges and attributes only those that some rule asks for need to be there.
    """

    ref: str
    amount: Decimal
    excluded: bool = False
    quantity: int = 1
    is_shipping: bool = False
    product_id: int | None = None
    #: Of a variant: the product it belongs to.
    parent_id: int | None = None
    product_class_id: int | None = None
    category_ids: frozenset[int] = frozenset()
    range_ids: frozenset[int] = frozenset()
    attributes: Mapping[str, frozenset[str]] = MappingProxyType({})


class Multiplier(NamedTuple):
    """A perk that multiplies the base: ``code`` is the rule code of what it adds, texts say why."""

    code: str
    factor: Fraction
    text_de: str = ""
    text_en: str = ""


class Context(NamedTuple):
    """
    The order as a whole, and its member at the moment when it was placed. ``order_number`` is 1 for the
    customer's first order, ``None`` where there is no customer. ``payment_methods`` is ``None`` as long
    as it is not known how the order is paid.
    """

    currency: str
    placed_at: datetime
    time_zone: str
    tier_code: str = ""
    segments: frozenset[str] = frozenset()
    group_ids: frozenset[int] = frozenset()
    order_number: int | None = None
    channel: str = ""
    shipping_method: str = ""
    payment_methods: frozenset[str] | None = None
    multipliers: tuple[Multiplier, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MemberFacts:
    """What segments are judged by, as it was at the moment ``at``. ``last_order_at`` is the order before
    this one. Guests have none of it."""

    at: datetime
    joined_at: datetime | None = None
    order_number: int | None = None
    last_order_at: datetime | None = None
    tier_code: str = ""
    group_ids: frozenset[int] = frozenset()

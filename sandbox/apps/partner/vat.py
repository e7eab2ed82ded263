"""German VAT: which rate a product has, and what part of a price it is."""

from decimal import ROUND_HALF_UP, Decimal

CENT = Decimal("0.01")
FULL_RATE = Decimal("0.19")
REDUCED_RATE = Decimal("0.07")

#: Product classes (by slug) that are food; everything else has the full rate.
FOOD_CLASSES = frozenset({"coffee", "tea", "pantry"})


def get_rate(product_class_slug: str) -> Decimal:
    """The VAT rate of a product class, such as ``Decimal("0.07")``."""
    return REDUCED_RATE if product_class_slug in FOOD_CLASSES else FULL_RATE


def get_tax_code(rate: Decimal) -> str:
    """How the rate is named on orders: ``DE7`` or ``DE19``."""
    return f"DE{rate * 100:.0f}"


def net_of(gross: Decimal, rate: Decimal) -> Decimal:
    """The price without VAT, in whole cents, so that the lines of an order add up to its total."""
    return (gross / (1 + rate)).quantize(CENT, ROUND_HALF_UP)

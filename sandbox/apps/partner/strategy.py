"""
Prices as German shops keep them: the stock record holds the price on the label, VAT included.
"""

from oscar.apps.partner import strategy
from oscar.apps.partner.prices import TaxInclusiveFixedPrice, Unavailable

from .vat import get_rate, get_tax_code, net_of


class VatIncluded:
    """Pricing part of a strategy: takes VAT out of the price on the label, by product class."""

    def pricing_policy(self, product, stockrecord):
        if stockrecord is None or stockrecord.price is None:
            return Unavailable()
        rate = get_rate(product.get_product_class().slug)
        net = net_of(stockrecord.price, rate)
        return TaxInclusiveFixedPrice(
            currency=stockrecord.price_currency,
            excl_tax=net,
            tax=stockrecord.price - net,
            tax_code=get_tax_code(rate),
        )

    def parent_pricing_policy(self, product, children_stock):
        """The cheapest variant stands for its parent."""
        priced = [stock for _, stock in children_stock if stock is not None and stock.price is not None]
        if not priced:
            return Unavailable()
        return self.pricing_policy(product, min(priced, key=lambda stock: stock.price))


class Germany(strategy.UseFirstStockRecord, strategy.StockRequired, VatIncluded, strategy.Structured):
    """One stock record per product, sold only from stock, VAT included."""


class Selector:
    """Everybody sees the same prices."""

    def strategy(self, request=None, user=None, **kwargs):
        return Germany(request)

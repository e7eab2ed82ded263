"""A shop that delivers in three ways, in its own repository with or without our mixin."""

from decimal import Decimal

from oscar.core.loading import get_class
from oscar.core.prices import Price

from oscar_loyalty.shop.shipping import LoyaltyRepositoryMixin

Base = get_class("shipping.methods", "Base")
Repository = get_class("shipping.repository", "Repository")

#: Where Oscar and django-oscar-api keep the class they have once looked up.
_USERS = (
    "oscar.apps.shipping.repository",
    "oscar.apps.checkout.session",
    "oscar.apps.checkout.views",
    "oscar.apps.basket.views",
    "oscarapi.serializers.checkout",
    "oscarapi.views.basket",
)


class Delivery(Base):
    """A fixed charge, with VAT of 19 % where the goods' VAT is known."""

    def __init__(self, code, gross, net):
        self.code = self.name = self.description = code
        self.gross, self.net = Decimal(gross), Decimal(net)

    def calculate(self, basket):
        if not basket.is_tax_known:
            return Price(currency=basket.currency, excl_tax=self.gross)
        return Price(currency=basket.currency, excl_tax=self.net, incl_tax=self.gross)


class ThreeWays(Repository):
    methods = (
        Delivery("standard", "4.90", "4.12"),
        Delivery("express", "9.90", "8.32"),
        Delivery("pick-up", "0.00", "0.00"),
    )


class ThreeWaysWithMixin(LoyaltyRepositoryMixin, ThreeWays):
    pass


def use_repository(monkeypatch, repository):
    for user in _USERS:
        try:
            monkeypatch.setattr(f"{user}.Repository", repository)
        except ImportError:  # without django-oscar-api
            assert user.startswith("oscarapi")


def methods_of(basket, repository=ThreeWaysWithMixin, address=None):
    """code → method, as a checkout gets them."""
    found = repository().get_shipping_methods(basket=basket, shipping_addr=address)
    return {method.code: method for method in found}

from django.conf import settings
from oscar.apps.shipping import repository

from .methods import Express, PickUp, Standard

if settings.LOYALTY:
    from oscar_loyalty.shop.delivery import DeliveryMethodsMixin
    from oscar_loyalty.shop.shipping import LoyaltyRepositoryMixin
else:

    class DeliveryMethodsMixin:
        """The shop without loyalty promises no days."""

    class LoyaltyRepositoryMixin:
        """And has no perks on delivery."""


class Own(repository.Repository):
    """Pick-up is offered at home only; parcels go wherever the shop ships."""

    def get_available_shipping_methods(self, basket, shipping_addr=None, **kwargs):
        # With loyalty, express is one of the methods that promise a day.
        methods = [Standard()] if settings.LOYALTY else [Standard(), Express()]
        if shipping_addr is None or shipping_addr.country_id == "DE":
            methods.append(PickUp())
        return methods


class Repository(LoyaltyRepositoryMixin, DeliveryMethodsMixin, Own):
    pass

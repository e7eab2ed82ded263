from oscar.apps.shipping import repository

from .methods import Express, PickUp, Standard


class Repository(repository.Repository):
    """Pick-up is offered at home only; parcels go wherever the shop ships."""

    def get_available_shipping_methods(self, basket, shipping_addr=None, **kwargs):
        methods = [Standard(), Express()]
        if shipping_addr is None or shipping_addr.country_id == "DE":
            methods.append(PickUp())
        return methods

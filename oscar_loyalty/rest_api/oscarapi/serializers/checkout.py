from typing import Any

from oscar.core.loading import get_model
from oscarapi.serializers.checkout import CheckoutSerializer as OscarCheckoutSerializer
from rest_framework import serializers


class CheckoutSerializer(OscarCheckoutSerializer):  # type: ignore[misc]
    """Oscar's checkout and the intent that pays it. Not needed when points cover everything."""

    payment_intent = serializers.CharField(max_length=255, required=False, write_only=True)

    def _shipping_method(
        self, request: Any, basket: Any, shipping_method_code: str | None, shipping_address: Any
    ) -> Any:
        # The shop's repository expects an address, as the pages hand it over; oscarapi has a dict here.
        if shipping_address is not None:
            shipping_address = get_model("order", "ShippingAddress")(**shipping_address)
        return super()._shipping_method(request, basket, shipping_method_code, shipping_address)

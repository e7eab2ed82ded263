from typing import Any

from django.utils.translation import gettext as _
from oscar.core.loading import get_model
from oscarapi.serializers.checkout import CheckoutSerializer as OscarCheckoutSerializer
from rest_framework import serializers

from oscar_loyalty.delivery.lockers import LockerRefused
from oscar_loyalty.shop.delivery import is_code_of_ours, tidy_address_of_locker


class CheckoutSerializer(OscarCheckoutSerializer):  # type: ignore[misc]
    """Oscar's checkout and the intent that pays it. Not needed when points cover everything."""

    payment_intent = serializers.CharField(max_length=255, required=False, write_only=True)

    def _shipping_method(
        self, request: Any, basket: Any, shipping_method_code: str | None, shipping_address: Any
    ) -> Any:
        # The shop's repository expects an address, as the pages hand it over; oscarapi has a dict here.
        if shipping_address is not None:
            fields, shipping_address = (
                shipping_address,
                get_model("order", "ShippingAddress")(**shipping_address),
            )
            try:
                tidy_address_of_locker(shipping_address)
            except LockerRefused as refused:
                raise serializers.ValidationError({"shipping_address": list(refused.problems)}) from refused
            # What the order is placed with.
            fields.update({name: getattr(shipping_address, name) for name in ("line1", "line2", "line3")})
        method = super()._shipping_method(request, basket, shipping_method_code, shipping_address)
        # For a code that it does not find, oscarapi takes the shop's first method without a word.
        code = shipping_method_code
        if code and method.code != code and is_code_of_ours(code):
            problem = _("This delivery is no longer offered. Please choose again.")
            raise serializers.ValidationError({"shipping_method_code": [problem]})
        return method

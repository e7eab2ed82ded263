"""What a basket costs with its shipping: one sum for the intent and for the order."""

from __future__ import annotations

from typing import Any

from oscar.core.loading import get_class


class NoSuchShippingMethod(Exception):
    """This basket cannot be sent that way, or not to that address."""


def quote_total(*, request: Any, basket: Any, shipping_method_code: str | None, shipping_address: Any) -> Any:
    """
    Return the price of ``basket`` (its offers applied) and its shipping as Oscar's ``Price``.

    Without a code the shop's default method for the address is taken, as the checkout does.

    :raises NoSuchShippingMethod: the code is not among the methods for this basket and address
    """
    repository = get_class("shipping.repository", "Repository")()
    for_whom = {"basket": basket, "user": request.user, "request": request, "shipping_addr": shipping_address}
    if shipping_method_code:
        offered = {method.code: method for method in repository.get_shipping_methods(**for_whom)}
        method = offered.get(shipping_method_code)
        if method is None:
            raise NoSuchShippingMethod
    else:
        method = repository.get_default_shipping_method(**for_whom)
    calculator = get_class("checkout.calculators", "OrderTotalCalculator")(request)
    return calculator.calculate(basket, method.calculate(basket))

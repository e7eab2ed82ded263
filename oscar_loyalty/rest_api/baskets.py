"""The caller's basket, of whichever kind the shop has."""

from importlib import import_module
from typing import Any

from django.apps import apps
from rest_framework.request import Request


def get_basket(request: Request) -> Any:
    """
    The caller's open basket with prices and offers: django-oscar-api's where it is installed (found by
    ``Session-Id`` or cookie), else the one of Oscar's middleware. A guest's may be new and unsaved.
    """
    shop_request: Any = request._request
    if not apps.is_installed("oscarapi"):
        return shop_request.basket
    oscarapi = import_module("oscarapi.basket.operations")
    # django-oscar-api makes a basket row for every guest who asks: look before asking.
    is_known = request.user.is_authenticated or oscarapi.get_anonymous_basket(request) is not None
    if is_known or not hasattr(shop_request, "basket"):
        return oscarapi.get_basket(request)
    return shop_request.basket


def get_strategy(request: Request) -> Any:
    """Which prices the caller gets."""
    from oscar.core.loading import get_class

    return get_class("partner.strategy", "Selector")().strategy(request=request._request, user=request.user)

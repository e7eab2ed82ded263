"""A shopper who turned back from the bank finds the basket where it was."""

from collections.abc import Callable
from typing import Any

from django.http import HttpResponse

from .checkout import restore_abandoned_basket


class AbandonedPaymentMiddleware:
    """
    Gives an unpaid basket back when the shopper opens the basket page. Goes after Oscar's basket middleware.

    Asks the database nothing unless a payment was begun in this session and not finished.
    """

    def __init__(self, get_response: Callable[[Any], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: Any, view: Any, args: Any, kwargs: Any) -> None:
        if request.method == "GET" and request.resolver_match.view_name == "basket:summary":
            restore_abandoned_basket(request)

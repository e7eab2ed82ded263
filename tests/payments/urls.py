"""The plain shop with card payment in its checkout, as a fork of Oscar's checkout app would have it."""

from copy import copy

from django.apps import apps
from django.urls import include, path

from sandbox.apps.checkout.views import PaymentDetailsView, PaymentReturnView

shop = copy(apps.get_app_config("oscar"))
checkout = shop.checkout_app = copy(shop.checkout_app)
checkout.payment_details_view = PaymentDetailsView
checkout.get_urls = lambda: [
    path("payment/<str:submission>/", PaymentReturnView.as_view(), name="payment-return"),
    *type(checkout).get_urls(checkout),
]

urlpatterns = [
    path("i18n/", include("django.conf.urls.i18n")),
    path("", include("oscar_loyalty.urls")),
    path("", include(shop.urls[0])),
]

if apps.is_installed("oscarapi"):
    from oscar_loyalty.rest_api.oscarapi.views.checkout import CheckoutView

    urlpatterns.insert(0, path("api/checkout/", CheckoutView.as_view()))
    urlpatterns.insert(1, path("api/", include("oscarapi.urls")))

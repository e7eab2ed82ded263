from django.urls import path
from oscar.apps.checkout.apps import CheckoutConfig as OscarCheckoutConfig
from oscar.core.loading import get_class


class CheckoutConfig(OscarCheckoutConfig):
    name = "sandbox.apps.checkout"

    def get_urls(self):
        view = get_class("checkout.views", "PaymentReturnView")
        ours = [path("payment/<str:submission>/", view.as_view(), name="payment-return")]
        return self.post_process_urls(ours) + super().get_urls()

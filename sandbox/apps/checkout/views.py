"""Oscar's checkout with card payment: only wiring, the work is done in ``oscar_loyalty.payments``."""

from oscar.apps.checkout import views as oscar_views

from oscar_loyalty.payments.checkout import CardPaymentDetailsMixin, CardPaymentReturnMixin


class PaymentDetailsView(CardPaymentDetailsMixin, oscar_views.PaymentDetailsView):
    pass


class PaymentReturnView(CardPaymentReturnMixin, oscar_views.PaymentDetailsView):
    pass

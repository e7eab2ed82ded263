from __future__ import annotations

import logging
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from oscar.core.loading import get_class, get_model
from oscarapi.basket.operations import get_basket_id_from_session, request_allows_access_to_basket
from oscarapi.signals import oscarapi_post_checkout
from oscarapi.views import checkout as oscarapi_checkout
from oscarapi.views.utils import parse_basket_from_hyperlink
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response

from ....payments import queries, services
from ....payments.checkout import add_card_source
from ....payments.gateway import GatewayRefused, GatewayUnavailable
from ....payments.models import CardPayment
from ...problems import Problem, ProblemMixin
from ...v1.payments import payment_unavailable
from ..serializers.checkout import CheckoutSerializer

logger = logging.getLogger(__name__)


@method_decorator(transaction.non_atomic_requests, name="dispatch")
class CheckoutView(ProblemMixin, oscarapi_checkout.CheckoutView):  # type: ignore[misc]
    """
    Place an order that is paid by the intent in ``payment_intent``.

    The same request again answers with the same order.
    """

    serializer_class = CheckoutSerializer

    def post(self, request: Request, format: str | None = None, *args: Any, **kwargs: Any) -> Response:  # noqa: A002
        basket = parse_basket_from_hyperlink(request.data, format)
        if order := self._find_placed(request, basket):
            return self._answer(request, order)
        try:
            return self._place_and_answer(request, basket)
        except exceptions.APIException:
            # The same request, sent a moment before, may have been faster at any point.
            if order := self._find_placed(request, basket):
                return self._answer(request, order)
            raise

    def _place_and_answer(self, request: Request, basket: Any) -> Response:
        if not request_allows_access_to_basket(request, basket):
            raise Problem(_("This basket is not yours."), code="basket_not_yours", status_code=404)
        wanted = self.serializer_class(data=request.data, context={"request": request})
        wanted.is_valid(raise_exception=True)
        total = wanted.validated_data["order_total"]
        payment = self._verify(basket, total, wanted.validated_data.pop("payment_intent", ""))
        order = self._place(basket, wanted, payment)
        response = self._answer(request, order)
        oscarapi_post_checkout.send(
            sender=self, order=order, user=request.user, request=request, response=response
        )
        return response

    def _verify(self, basket: Any, total: Any, intent_id: str) -> CardPayment | None:
        if total.incl_tax == 0:
            return None
        if not intent_id:
            raise Problem(
                _("This order must be paid. Begin a payment first."), code="payment_required", status_code=402
            )
        try:
            return services.verify_authorisation(
                intent_id=intent_id,
                basket_id=basket.pk,
                amount=total.incl_tax,
                currency=total.currency,
                now=timezone.now(),
            )
        except services.UnknownPayment as error:
            raise _refused(_("There is no such payment."), "payment_unknown") from error
        except services.PaymentMismatch as error:
            if str(error) == "basket":
                # Whose payment it is is nobody else's business.
                raise _refused(_("There is no such payment."), "payment_unknown") from error
            raise _refused(_("The payment does not match the total."), "payment_mismatch") from error
        except services.PaymentAlreadyUsed as error:
            raise _refused(_("This payment was used for another order."), "payment_used") from error
        except services.PaymentNotAuthorised as error:
            raise _refused(_("The payment is not authorised."), "payment_not_authorised") from error
        except (GatewayUnavailable, GatewayRefused) as error:
            raise payment_unavailable() from error

    def _place(self, basket: Any, wanted: Any, payment: CardPayment | None) -> Any:
        unable_to_place = get_class("order.exceptions", "UnableToPlaceOrder")
        try:
            with transaction.atomic():
                locked = services.lock_basket(basket_id=basket.pk)
                if order := queries.find_order(basket_id=basket.pk):
                    return order
                if not locked.can_be_edited:
                    raise unable_to_place(_("This basket is being paid elsewhere."))
                if payment is not None:
                    add_card_source(wanted, payment)
                order = wanted.save()
                if payment is not None:
                    services.record_order(payment_id=payment.pk, order_number=order.number)
                    services.capture_after_commit(payment_id=payment.pk, clock=timezone.now)
                wanted.validated_data["basket"].submit()
                return order
        except Exception as error:
            self._give_up(payment)
            if isinstance(error, (unable_to_place, exceptions.NotAcceptable)):
                raise Problem(str(error), code="order_not_placed", status_code=409) from error
            if isinstance(error, (services.PaymentNotAuthorised, services.PaymentAlreadyUsed)):
                raise _refused(_("The payment is not authorised."), "payment_not_authorised") from error
            raise

    def _give_up(self, payment: CardPayment | None) -> None:
        if payment is None:
            return
        try:
            services.cancel_payment(payment_id=payment.pk, reason="order_not_placed", now=timezone.now())
        except Exception:
            logger.exception("Payment %s waits to be cancelled", payment.pk)

    def _find_placed(self, request: Request, basket: Any) -> Any:
        """Return the order of this very request, sent before by the same shopper with the same payment."""
        if request.user.is_anonymous and get_basket_id_from_session(request) != basket.pk:
            return None
        orders = get_model("order", "Order")._default_manager
        return orders.filter(
            basket_id=basket.pk,
            user_id=request.user.pk,
            sources__reference=request.data.get("payment_intent") or None,  # type: ignore[union-attr]
        ).first()

    def _answer(self, request: Request, order: Any) -> Response:
        return Response(self.order_serializer_class(order, context={"request": request}).data)


def _refused(detail: str, code: str) -> Problem:
    return Problem(detail, code=code, status_code=402 if code == "payment_not_authorised" else 409)

"""``POST /api/loyalty/v1/payments``: begin the card payment of a basket for a headless shop."""

from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, extend_schema
from oscar.core.loading import get_model
from rest_framework import serializers
from rest_framework.exceptions import NotAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.payments import quotes, services
from oscar_loyalty.payments.gateway import GatewayRefused, GatewayUnavailable
from oscar_loyalty.payments.models import CardPayment
from oscar_loyalty.rest_api.base import LoyaltyView
from oscar_loyalty.rest_api.baskets import get_basket
from oscar_loyalty.rest_api.fields import MoneyField, in_coins
from oscar_loyalty.rest_api.problems import Problem
from oscar_loyalty.rest_api.schema import LANGUAGE, problems

STATES = list(CardPayment.State.values)


class AddressInput(serializers.Serializer[Any]):
    """As much of the address as prices of shipping may depend on; more fields are let through unread."""

    country = serializers.CharField(
        help_text="ISO 3166-1 code, or the address of oscarapi's country resource."
    )
    line1 = serializers.CharField(required=False, allow_blank=True, max_length=255)
    line2 = serializers.CharField(required=False, allow_blank=True, max_length=255)
    line3 = serializers.CharField(required=False, allow_blank=True, max_length=255)
    line4 = serializers.CharField(required=False, allow_blank=True, max_length=255)
    state = serializers.CharField(required=False, allow_blank=True, max_length=255)
    postcode = serializers.CharField(required=False, allow_blank=True, max_length=64)

    def validate_country(self, value: str) -> Any:
        code = value.rstrip("/").rsplit("/", 1)[-1].upper()
        country = get_model("address", "Country")._default_manager.filter(
            iso_3166_1_a2=code, is_shipping_country=True
        )
        if found := country.first():
            return found
        raise serializers.ValidationError(_("We do not ship to this country."), code="unknown_country")


class PaymentInput(serializers.Serializer[Any]):
    shipping_method_code = serializers.CharField(required=False, max_length=128)
    shipping_address = AddressInput(required=False)


class PaymentOutput(serializers.Serializer[Any]):
    payment_intent = serializers.CharField(help_text="Hand this to the checkout.")
    client_secret = serializers.CharField(help_text="Lets this shopper confirm this intent with Stripe.js.")
    publishable_key = serializers.CharField()
    amount = MoneyField(help_text="To pay by card: goods, shipping and VAT, less every discount and points.")
    currency = serializers.CharField()
    state = serializers.ChoiceField(choices=STATES)


@method_decorator(transaction.non_atomic_requests, name="dispatch")
class PaymentView(LoyaltyView):
    #: Orders are paid whether they earn points or not.
    works_switched_off = True

    @extend_schema(
        operation_id="begin_payment",
        tags=["Paying"],
        summary="Begin the card payment of the basket",
        parameters=[LANGUAGE],
        request=PaymentInput,
        responses={201: PaymentOutput, **problems(400, 401, 403, 409, 429, 503)},
        examples=[
            OpenApiExample(
                "The basket, shipped to Germany", {"shipping_address": {"country": "DE"}}, request_only=True
            )
        ],
    )
    def post(self, request: Request) -> Response:
        """
        Begin, or take up again, the payment of the caller's basket. The same basket at the same total
        always answers with the same intent. Confirm it with Stripe.js and the `client_secret`, then send
        `payment_intent` to the checkout, which verifies intent, amount, currency and basket.
        """
        if not request.user.is_authenticated and not getattr(settings, "OSCAR_ALLOW_ANON_CHECKOUT", False):
            raise NotAuthenticated(_("Please log in to pay."))
        wanted = PaymentInput(data=request.data)
        wanted.is_valid(raise_exception=True)
        basket = get_basket(request)
        if basket.pk is None or basket.is_empty:
            raise Problem(_("Your basket is empty."), code="basket_empty", status_code=409)
        total = self._quote(request, basket, wanted.validated_data)
        if total.incl_tax is None:
            raise Problem(_("The tax is not known yet."), code="tax_unknown", status_code=409)
        if total.incl_tax == 0:
            raise Problem(_("There is nothing left to pay."), code="payment_not_needed", status_code=409)
        try:
            opened = services.prepare_payment(
                basket_id=basket.pk, amount=total.incl_tax, currency=total.currency, now=timezone.now()
            )
        except services.PaymentAlreadyUsed as error:
            raise Problem(
                _("This basket has been ordered already."), code="already_ordered", status_code=409
            ) from error
        except (GatewayUnavailable, GatewayRefused) as error:
            raise payment_unavailable() from error
        answer = {
            "payment_intent": opened.intent.intent_id,
            "client_secret": opened.intent.client_secret,
            "publishable_key": loyalty_settings.stripe_publishable_key,
            "amount": in_coins(opened.payment.amount, opened.payment.currency),
            "currency": opened.payment.currency,
            "state": opened.payment.state,
        }
        return Response(PaymentOutput(answer).data, status=201)

    def _quote(self, request: Request, basket: Any, wanted: dict[str, Any]) -> Any:
        address = wanted.get("shipping_address")
        try:
            return quotes.quote_total(
                request=request,
                basket=basket,
                shipping_method_code=wanted.get("shipping_method_code"),
                shipping_address=get_model("order", "ShippingAddress")(**address) if address else None,
            )
        except quotes.NoSuchShippingMethod as error:
            raise Problem(
                _("This basket cannot be shipped that way."), code="unknown_shipping_method", status_code=400
            ) from error


def payment_unavailable() -> Problem:
    return Problem(
        _("Card payment does not answer at the moment. No money was taken. Please try again."),
        code="payment_unavailable",
        status_code=503,
    )

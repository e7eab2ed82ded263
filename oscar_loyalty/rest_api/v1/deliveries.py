"""``/api/loyalty/v1/orders/{number}/delivery``: when an order arrives, for whoever waits for it."""

from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from oscar_loyalty.delivery import queries
from oscar_loyalty.delivery.models import DeliveryPromise
from oscar_loyalty.delivery.texts import describe_promise
from oscar_loyalty.flows import deliveries
from oscar_loyalty.rest_api.base import LoyaltyView, get_user_id
from oscar_loyalty.rest_api.fields import WholeNumberField
from oscar_loyalty.rest_api.schema import LANGUAGE, problems
from oscar_loyalty.shop.deliveries import is_order_of

#: Who may say that an order has arrived: staff, or the account of a carrier's software.
PERMISSION = "oscar_loyalty.change_deliverypromise"


class DeliveryOutput(serializers.Serializer[Any]):
    order = serializers.CharField(help_text="Number of the order.")
    state = serializers.ChoiceField(
        choices=[state.lower() for state in DeliveryPromise.State.values],
        help_text="`waiting`: on its way. `late`: should have arrived. `void`: the order was cancelled.",
    )
    text = serializers.CharField(help_text="The same in one sentence, to show to people.")
    promised_date = serializers.DateField()
    window_from = serializers.TimeField(allow_null=True, help_text="Local time of the shop, if promised.")
    window_until = serializers.TimeField(allow_null=True)
    method = serializers.CharField(help_text="Code of the delivery method, with what was chosen.")
    delivered_at = serializers.DateTimeField(allow_null=True)
    apology_points = WholeNumberField(min_value=0, help_text="Given because it was late.")


class ArrivalInput(serializers.Serializer[Any]):
    delivered_at = serializers.DateTimeField(help_text="When it arrived; not in the future.")

    def validate_delivered_at(self, value: Any) -> Any:
        if value > timezone.now():
            raise serializers.ValidationError(_("An order cannot have arrived in the future."))
        return value


class OrderDeliveryView(LoyaltyView):
    @extend_schema(
        operation_id="get_delivery",
        tags=["Orders"],
        summary="When an order arrives",
        parameters=[LANGUAGE],
        responses={200: DeliveryOutput, **problems(404, 429)},
    )
    def get(self, request: Request, number: str) -> Response:
        """For the customer who placed it. 404 for everybody else, and for orders without a promised day."""
        # Nothing tells strangers which orders there are.
        if not request.user.is_authenticated or not is_order_of(number, user_id=get_user_id(request)):
            raise NotFound
        promise = queries.find_promise(order_ref=number)
        if promise is None:
            raise NotFound
        return Response(_describe(promise))

    @extend_schema(
        operation_id="report_arrival",
        tags=["Orders"],
        summary="Say that an order has arrived",
        parameters=[LANGUAGE],
        request=ArrivalInput,
        responses={200: DeliveryOutput, **problems(400, 404, 429)},
        examples=[
            OpenApiExample("Arrived", {"delivered_at": "2026-12-03T11:20:00+01:00"}, request_only=True)
        ],
    )
    def put(self, request: Request, number: str) -> Response:
        """
        For staff, or a carrier's software, with the permission `oscar_loyalty.change_deliverypromise`; 404
        for everybody else. The first report counts: the same or another one later changes nothing.
        """
        if not request.user.has_perm(PERMISSION):
            raise NotFound
        wanted = ArrivalInput(data=request.data)
        if queries.find_promise(order_ref=number) is None:
            raise NotFound
        wanted.is_valid(raise_exception=True)
        now = timezone.now()
        deliveries.record_delivery(
            order_ref=number, delivered_at=wanted.validated_data["delivered_at"], now=now
        )
        promise = queries.find_promise(order_ref=number)
        assert promise is not None
        return Response(_describe(promise))


def _describe(promise: DeliveryPromise) -> dict[str, Any]:
    body = {
        "order": promise.order_ref,
        "state": promise.state.value.lower(),
        "text": describe_promise(promise),
        "promised_date": promise.promised_date,
        "window_from": promise.window_from,
        "window_until": promise.window_until,
        "method": promise.method_code,
        "delivered_at": promise.delivered_at,
        "apology_points": promise.apology_points,
    }
    return dict(DeliveryOutput(body).data)

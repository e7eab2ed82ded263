from typing import Any

from django.utils import timezone
from django.utils.functional import Promise
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.permissions import SAFE_METHODS, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from oscar_loyalty.flows import redemption
from oscar_loyalty.flows.redemption import Redemption
from oscar_loyalty.points.models import MOST_POINTS_PER_ENTRY
from oscar_loyalty.rest_api import texts
from oscar_loyalty.rest_api.base import LoyaltyView
from oscar_loyalty.rest_api.baskets import get_basket
from oscar_loyalty.rest_api.fields import DecimalStringField, MoneyField, WholeNumberField, in_coins
from oscar_loyalty.rest_api.problems import Problem
from oscar_loyalty.rest_api.schema import LANGUAGE, problems

STATES = list(texts.REDEMPTION_STATES)
REASONS = list(texts.REDEMPTION_REASONS)


class RedemptionInput(serializers.Serializer[Any]):
    points = WholeNumberField(
        min_value=1,
        max_value=MOST_POINTS_PER_ENTRY,
        help_text="How many to spend; DELETE spends none.",
    )


class ReasonOutput(serializers.Serializer[Any]):
    code = serializers.ChoiceField(choices=REASONS)
    text = serializers.CharField()


class LimitsOutput(serializers.Serializer[Any]):
    minimum = WholeNumberField(min_value=1)
    step = WholeNumberField(min_value=1)
    maximum = WholeNumberField(min_value=0, help_text="Most points that can be spent on this basket now.")
    maximum_amount = MoneyField(help_text="Money that they would save.")
    maximum_reasons = ReasonOutput(many=True, help_text="What limits it.")
    share_percent = DecimalStringField(help_text="Share of the goods that points may pay.")


class RedemptionOutput(serializers.Serializer[Any]):
    state = serializers.ChoiceField(choices=STATES, help_text="`redeemable`, or why points cannot be spent.")
    text = serializers.CharField(help_text="The state as a sentence to show.")
    currency = serializers.CharField()
    available = WholeNumberField(min_value=0, help_text="Points to spend, those for this basket included.")
    requested = WholeNumberField(min_value=0, help_text="What was asked for; 0: nothing.")
    applied = WholeNumberField(min_value=0, help_text="What is spent on this basket as it is now.")
    amount = MoneyField(help_text="Money that the applied points save.")
    reasons = ReasonOutput(many=True, help_text="Why less is applied than was asked for.")
    limits = LimitsOutput()
    goods = MoneyField(help_text="To pay for goods before points.")
    total = MoneyField(help_text="Left to pay for goods; shipping comes on top.")
    balance_after = WholeNumberField(min_value=0, help_text="Points left to the member after this order.")
    expires_at = serializers.DateTimeField(
        allow_null=True, help_text="Until then the points are reserved; every change of the basket renews it."
    )


class BasketRedemptionView(LoyaltyView):
    """Points on the caller's basket. Guests may look, to learn what they are missing."""

    def get_permissions(self) -> list[Any]:
        return [] if self.request.method in SAFE_METHODS else [IsAuthenticated()]

    @extend_schema(
        operation_id="get_basket_redemption",
        tags=["Redeeming"],
        summary="What points can do for the basket, and do now",
        parameters=[LANGUAGE],
        responses={200: RedemptionOutput, **problems(404, 429)},
    )
    def get(self, request: Request) -> Response:
        """Limits with their reasons. Ask again after every change of the basket."""
        return _answer(redemption.get_redemption(basket=get_basket(request), now=timezone.now()))

    @extend_schema(
        operation_id="put_basket_redemption",
        tags=["Redeeming"],
        summary="Spend points on the basket",
        parameters=[LANGUAGE],
        request=RedemptionInput,
        responses={200: RedemptionOutput, **problems(400, 401, 403, 404, 409, 429)},
        examples=[OpenApiExample("Spend 500 points", {"points": 500}, request_only=True)],
    )
    def put(self, request: Request) -> Response:
        """
        Reserve points for the basket and take their value off its total. Replaces what was asked for
        before, so it is safe to repeat. When less can be spent than was asked for, the answer states
        what is applied, and why. They are spent when the order is placed.
        """
        wanted = RedemptionInput(data=request.data)
        wanted.is_valid(raise_exception=True)
        basket = get_basket(request)
        now = timezone.now()
        try:
            done = redemption.redeem(basket=basket, points=wanted.validated_data["points"], now=now)
        except redemption.RedemptionRefused as error:
            raise _refused(error.code) from error
        return _answer(done)

    @extend_schema(
        operation_id="delete_basket_redemption",
        tags=["Redeeming"],
        summary="Spend no points on the basket",
        parameters=[LANGUAGE],
        responses={200: RedemptionOutput, **problems(401, 403, 404, 409, 429)},
    )
    def delete(self, request: Request) -> Response:
        """Give the reserved points back. Safe to repeat. Answers with the new state, not with nothing."""
        try:
            undone = redemption.undo_redemption(basket=get_basket(request), now=timezone.now())
        except redemption.RedemptionRefused as error:
            raise _refused(error.code) from error
        return _answer(undone)


def _refused(code: str) -> Problem:
    detail = {**texts.REDEMPTION_REASONS, **texts.REDEMPTION_STATES}[code]
    return Problem(str(detail), code=code, status_code=409)


def _answer(found: Redemption) -> Response:
    body = {
        "state": found.state,
        "text": str(texts.REDEMPTION_STATES[found.state]),
        "currency": found.currency,
        "available": found.available,
        "requested": found.requested,
        "applied": found.applied,
        "amount": in_coins(found.amount, found.currency),
        "reasons": _describe_reasons(found.reasons),
        "limits": {
            "minimum": found.minimum,
            "step": found.step,
            "maximum": found.maximum,
            "maximum_amount": in_coins(found.maximum_amount, found.currency),
            "maximum_reasons": _describe_reasons(found.maximum_reasons),
            "share_percent": found.share_percent,
        },
        "goods": in_coins(found.goods, found.currency),
        "total": in_coins(found.total, found.currency),
        "balance_after": found.balance_after,
        "expires_at": found.expires_at,
    }
    return Response(RedemptionOutput(body).data)


def _describe_reasons(codes: tuple[str, ...]) -> list[dict[str, str | Promise]]:
    return [{"code": code, "text": texts.REDEMPTION_REASONS[code]} for code in codes]

from typing import Any

from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from oscar_loyalty.flows import claims
from oscar_loyalty.flows.claims import ClaimRefused
from oscar_loyalty.rest_api.base import LoyaltyView, get_user_id
from oscar_loyalty.rest_api.fields import MoneyField, WholeNumberField
from oscar_loyalty.rest_api.problems import Problem
from oscar_loyalty.rest_api.schema import LANGUAGE, problems
from oscar_loyalty.rest_api.texts import CLAIM_REFUSALS

STATES = ["waiting", "nothing"]
#: Where both checkouts, Oscar's and django-oscar-api's, note the order that a session placed last.
ORDER_OF_SESSION = "checkout_order_id"
_STATUS = {"claim_link_invalid": 404, "claim_link_expired": 410, "not_member": 403}


class ClaimInput(serializers.Serializer[Any]):
    token = serializers.CharField(
        max_length=512,
        required=False,
        help_text="What the link in the mail carries. Leave it out for the order that this session has "
        "just placed as a guest with the customer's own address.",
    )


class WaitingOutput(serializers.Serializer[Any]):
    state = serializers.ChoiceField(choices=STATES)
    order_number = serializers.CharField(allow_null=True)
    points = WholeNumberField(min_value=0)
    value = MoneyField(allow_null=True, help_text="What the points save with another order.")
    currency = serializers.CharField(allow_null=True, help_text="Of `value`.")
    claim_until = serializers.DateTimeField(allow_null=True, help_text="Too late from this moment on.")
    days = WholeNumberField(min_value=0, help_text="How long orders can be claimed after they are placed.")


class ClaimedOutput(serializers.Serializer[Any]):
    order_number = serializers.CharField()
    points = WholeNumberField(min_value=0, help_text="Booked, spendable after the waiting period.")
    value = MoneyField()
    currency = serializers.CharField()


class ClaimLinkOutput(serializers.Serializer[Any]):
    detail = serializers.CharField()


class _ClaimView(LoyaltyView):
    throttle_scope = "personal"
    write_scope = "claim"

    def find_order_id(self, request: Request) -> int | None:
        """The order that the session placed last."""
        session = getattr(request._request, "session", {})
        order_id = session.get(ORDER_OF_SESSION)
        return None if order_id is None else int(order_id)


class ClaimsView(_ClaimView):
    def get_permissions(self) -> list[Any]:
        return [IsAuthenticated()] if self.request.method == "POST" else []

    @extend_schema(
        operation_id="get_waiting_points",
        tags=["Claiming"],
        summary="What waits to be claimed after an order as a guest",
        parameters=[LANGUAGE],
        responses={200: WaitingOutput, **problems(404, 429)},
    )
    def get(self, request: Request) -> Response:
        """For the page that thanks a guest: the points of the order that this session placed last."""
        order_id = self.find_order_id(request)
        waiting = order_id and claims.find_waiting_points(order_id=order_id, now=timezone.now())
        body = {
            "state": "waiting" if waiting else "nothing",
            "order_number": waiting.order_number if waiting else None,
            "points": waiting.points if waiting else 0,
            "value": waiting.value if waiting else None,
            "currency": waiting.currency if waiting else None,
            "claim_until": waiting.claim_until if waiting else None,
            "days": waiting.days if waiting else 0,
        }
        return Response(WaitingOutput(body).data)

    @extend_schema(
        operation_id="claim_points",
        tags=["Claiming"],
        summary="Claim the points of an order placed as a guest",
        parameters=[LANGUAGE],
        request=ClaimInput,
        responses={200: ClaimedOutput, 201: ClaimedOutput, **problems(400, 401, 403, 404, 409, 410, 429)},
        examples=[OpenApiExample("With the token of the mail", {"token": "eyJvcmRlciI6…"})],
    )
    def post(self, request: Request) -> Response:
        """
        Make the points of a guest's order those of the customer, who must be a member. Safe to repeat:
        201 the first time, 200 afterwards for whoever claimed it. The proof is the `token` of the link in
        the mail to the order's address or, without one, the session that placed the order.
        """
        wanted = ClaimInput(data=request.data)
        wanted.is_valid(raise_exception=True)
        token = wanted.validated_data.get("token")
        now = timezone.now()
        try:
            if token is not None:
                claimed = claims.claim_by_token(token=token, user_id=get_user_id(request), now=now)
            else:
                order_id = self.find_order_id(request)
                if order_id is None:
                    raise ClaimRefused("claim_not_proved")
                claimed = claims.claim_from_checkout(order_id=order_id, user=request.user, now=now)
        except ClaimRefused as refused:
            raise Problem(
                str(CLAIM_REFUSALS[refused.code]),
                code=refused.code,
                status_code=_STATUS.get(refused.code, 409),
            ) from refused
        return Response(ClaimedOutput(claimed).data, status=201 if claimed.is_new else 200)


class ClaimLinkView(_ClaimView):
    @extend_schema(
        operation_id="send_claim_link",
        tags=["Claiming"],
        summary="Mail the link with which points are claimed",
        parameters=[LANGUAGE],
        request=None,
        responses={202: ClaimLinkOutput, **problems(404, 429)},
    )
    def post(self, request: Request) -> Response:
        """
        For the order that this session placed last as a guest, to the address it was placed with. The
        answer is the same whether there is such an order or not.
        """
        order_id = self.find_order_id(request)
        if order_id is not None:
            claims.send_claim_link(order_id=order_id, language=get_language() or "", now=timezone.now())
        detail = _("If points wait for this order, a link is on its way to the address it was placed with.")
        return Response(ClaimLinkOutput({"detail": detail}).data, status=202)

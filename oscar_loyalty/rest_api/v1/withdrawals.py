"""``POST /api/loyalty/v1/withdrawals``: a contract is withdrawn from, with or without a login."""

from typing import Any

from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from oscar_loyalty.flows import withdrawals
from oscar_loyalty.rest_api.base import LoyaltyView, get_user_id, read_idempotency_key
from oscar_loyalty.rest_api.fields import WholeNumberField
from oscar_loyalty.rest_api.schema import LANGUAGE, problems

MOST_LINES = 200
_MOST_PIECES = 1_000_000
_HIGHEST_KEY = 2**63 - 1

IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    required=True,
    description="Made by the caller for each declaration, for example a UUID. The same key with the same "
    "declaration is the same declaration: it gets the same answer and no second receipt.",
)


class WithdrawnLineInput(serializers.Serializer[Any]):
    line = WholeNumberField(min_value=1, max_value=_HIGHEST_KEY, help_text="Key of the order's line.")
    quantity = WholeNumberField(min_value=1, max_value=_MOST_PIECES)


class WithdrawalInput(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=255, help_text="Of the customer.")
    order = serializers.CharField(
        max_length=255, help_text="Which contract: the number of the order, or words that tell it."
    )
    email = serializers.EmailField(max_length=254, help_text="Where the receipt goes.")
    goods = serializers.CharField(
        max_length=3000,
        required=False,
        allow_blank=True,
        default="",
        help_text="In words, when it is not about everything. Staff then look at it.",
    )
    lines = WithdrawnLineInput(  # type: ignore[assignment, call-arg]
        many=True,
        required=False,
        default=list,
        max_length=MOST_LINES,
        help_text="The same by the order's lines.",
    )

    def validate_lines(self, lines: list[dict[str, int]]) -> dict[int, int]:
        named = {line["line"]: line["quantity"] for line in lines}
        if len(named) < len(lines):
            raise serializers.ValidationError(_("Name each line once."))
        return named


class WithdrawalOutput(serializers.Serializer[Any]):
    number = serializers.CharField(help_text="Of the receipt.")
    received_at = serializers.DateTimeField(help_text="When the declaration came in.")
    declaration = serializers.CharField(help_text="As it was written down, and stands in the receipt.")
    detail = serializers.CharField()


class WithdrawalsView(LoyaltyView):
    write_scope = "withdrawal"
    # What the law grants does not depend on a switch of ours.
    works_switched_off = True

    @extend_schema(
        operation_id="declare_withdrawal",
        tags=["Returning"],
        summary="Withdraw from a contract",
        parameters=[LANGUAGE, IDEMPOTENCY_KEY],
        request=WithdrawalInput,
        responses={201: WithdrawalOutput, **problems(400, 429)},
        examples=[
            OpenApiExample(
                "Everything",
                {"name": "Ada Petersen", "order": "100042", "email": "ada@example.com"},
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        """
        The function of § 356a BGB and Directive (EU) 2023/2673, without a login. Show the declaration and a
        single button “Confirm withdrawal” before you call it. The receipt is mailed at once. The answer is
        the same whether an order fits or not; where number and address fit, or the order is the caller's own,
        a return is opened, and everything else is looked at by staff.
        """
        wanted = WithdrawalInput(data=request.data)
        wanted.is_valid(raise_exception=True)
        declared = wanted.validated_data
        withdrawal = withdrawals.declare_withdrawal(
            key=f"api:{read_idempotency_key(request)}",
            name=declared["name"],
            email=declared["email"],
            order_text=declared["order"],
            goods=declared["goods"],
            lines=declared["lines"],
            user_id=get_user_id(request) if request.user.is_authenticated else None,
            language=get_language() or "",
            now=timezone.now(),
        )
        body = {
            "number": withdrawal.number,
            "received_at": withdrawal.received_at,
            "declaration": withdrawal.content,
            "detail": _("Your withdrawal has arrived. The receipt is on its way to you by e-mail."),
        }
        return Response(WithdrawalOutput(body).data, status=201)

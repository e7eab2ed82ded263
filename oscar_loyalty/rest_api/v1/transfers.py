"""``POST /api/loyalty/v1/me/transfers``: a member gives points to another one."""

from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from oscar_loyalty.flows import transfers
from oscar_loyalty.points.models import MOST_POINTS_PER_ENTRY
from oscar_loyalty.points.services import AccountNotOpen, IdempotencyKeyReused, InsufficientPoints
from oscar_loyalty.programmes.queries import ProgrammeMissing
from oscar_loyalty.rest_api.base import MemberView, read_idempotency_key
from oscar_loyalty.rest_api.fields import WholeNumberField
from oscar_loyalty.rest_api.problems import Problem
from oscar_loyalty.rest_api.schema import LANGUAGE, problems
from oscar_loyalty.rest_api.v1.programme import no_programme

IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    required=True,
    description="Made by the caller for each transfer, for example a UUID. The same key and the same "
    "transfer again move nothing more and get the same answer.",
)


class TransferInput(serializers.Serializer[Any]):
    points = WholeNumberField(min_value=1, max_value=MOST_POINTS_PER_ENTRY)
    recipient = serializers.EmailField(
        max_length=254, help_text="E-mail address of another member of the programme."
    )


class TransferOutput(serializers.Serializer[Any]):
    id = serializers.UUIDField(help_text="Of the movement in the ledger.")
    points = WholeNumberField(min_value=1)
    available_after = WholeNumberField(min_value=0, help_text="Spendable points right after it.")
    booked_at = serializers.DateTimeField()


class TransfersView(MemberView):
    #: Each try tells whether somebody takes part: few of them an hour.
    write_scope = "transfer"

    @extend_schema(
        operation_id="transfer_points",
        tags=["Member"],
        summary="Give points to another member",
        parameters=[LANGUAGE, IDEMPOTENCY_KEY],
        request=TransferInput,
        responses={201: TransferOutput, **problems(400, 401, 403, 404, 409, 429)},
        examples=[
            OpenApiExample(
                "Give 500 points", {"points": 500, "recipient": "anna@example.com"}, request_only=True
            )
        ],
    )
    def post(self, request: Request) -> Response:
        """
        Points go at once, those that expire first before the others, and keep their expiry. Shops allow
        this or not; where they do not, the answer is 404 `transfers_off`. Whether an address that gets no
        points belongs to a customer is not told: every such address is `recipient_unavailable`.
        """
        account = self.account
        wanted = TransferInput(data=request.data)
        wanted.is_valid(raise_exception=True)
        key = read_idempotency_key(request)
        try:
            sent = transfers.transfer_points(
                account=account,
                recipient_email=wanted.validated_data["recipient"],
                points_given=wanted.validated_data["points"],
                idempotency_key=key,
                now=self.now,
            )
        except ProgrammeMissing as error:
            raise no_programme() from error
        except transfers.TransfersOff as error:
            raise Problem(
                _("In this shop members do not give points to each other."),
                code="transfers_off",
                status_code=404,
            ) from error
        except AccountNotOpen as error:
            raise Problem(
                _("Your points are frozen at the moment. Our customer service knows why."),
                code="account_frozen",
                status_code=409,
            ) from error
        except InsufficientPoints as error:
            raise Problem(
                _("You do not have so many points to give."), code="insufficient_points", status_code=409
            ) from error
        except transfers.RecipientUnavailable as error:
            raise Problem(
                _("Nobody takes points at this address. Ask for the one with which they joined."),
                code="recipient_unavailable",
                status_code=409,
            ) from error
        except IdempotencyKeyReused as error:
            raise Problem(
                _("This key was used for another transfer. Make a new one for each."),
                code="idempotency_key_reused",
                status_code=409,
            ) from error
        body = {
            "id": sent.public_id,
            "points": sent.points,
            "available_after": sent.available_after,
            "booked_at": sent.created_at,
        }
        return Response(TransferOutput(body).data, status=201)

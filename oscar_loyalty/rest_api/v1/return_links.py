"""``POST /api/loyalty/v1/return-links``: a guest finds their order, by a link in a mail to its address."""

from typing import Any

from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from oscar_loyalty import tasks
from oscar_loyalty.flows import return_access
from oscar_loyalty.rest_api.base import LoyaltyView
from oscar_loyalty.rest_api.schema import LANGUAGE, problems


class ReturnLinkInput(serializers.Serializer[Any]):
    order = serializers.CharField(max_length=128, help_text="Number of the order.")
    email = serializers.EmailField(max_length=254, help_text="Address with which it was placed.")


class ReturnLinkOutput(serializers.Serializer[Any]):
    detail = serializers.CharField()


class ReturnLinksView(LoyaltyView):
    throttle_scope = "personal"
    write_scope = "return_link"

    @extend_schema(
        operation_id="send_return_link",
        tags=["Returning"],
        summary="Mail a guest the link to return an order",
        parameters=[LANGUAGE],
        request=ReturnLinkInput,
        responses={202: ReturnLinkOutput, **problems(400, 404, 429)},
        examples=[
            OpenApiExample("Ask", {"order": "100042", "email": "guest@example.com"}, request_only=True)
        ],
    )
    def post(self, request: Request) -> Response:
        """
        The answer is the same whether such an order exists or not. The link carries a token that is good for
        returns of this order, for 24 hours: send it as `X-Loyalty-Return-Token`. Headless shops set
        `OSCAR_LOYALTY_RETURN_URL` to have it lead to a page of theirs.
        """
        wanted = ReturnLinkInput(data=request.data)
        wanted.is_valid(raise_exception=True)
        return_access.send_access_link(
            number=wanted.validated_data["order"],
            email=wanted.validated_data["email"],
            language=get_language() or "",
            now=timezone.now(),
        )
        # Whatever was found, so that the time it takes tells nothing.
        tasks.hurry_outbox(topics=[return_access.LINK_TOPIC])
        detail = _("If there is such an order, a link is on its way to the address it was placed with.")
        return Response(ReturnLinkOutput({"detail": detail}).data, status=202)

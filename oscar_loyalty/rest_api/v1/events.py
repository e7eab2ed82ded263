"""``POST /api/loyalty/v1/events``: the shop's systems report what a member did."""

import re
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from oscar_loyalty.flows import occasions
from oscar_loyalty.members.queries import find_member_by_public_id
from oscar_loyalty.rest_api.base import LoyaltyView, MemberView
from oscar_loyalty.rest_api.fields import WholeNumberField
from oscar_loyalty.rest_api.problems import Problem
from oscar_loyalty.rest_api.schema import LANGUAGE, problems

EVENT_KEY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    required=True,
    description="Names the event, for example `survey-7:order-100042`. The same event reported again brings "
    "nothing more and gets the same answer.",
)


class MayReportEvents(BasePermission):
    """A system of the shop, as a user with the permission ``oscar_loyalty.report_event``."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return bool(request.user.has_perm("oscar_loyalty.report_event"))


class EventInput(serializers.Serializer[Any]):
    event = serializers.RegexField(
        r"^[A-Za-z0-9._-]{1,64}$", help_text="Code of the event, as the rules of the programme name it."
    )
    member = serializers.UUIDField(help_text="`id` of the member, as `GET me` states it.")


class RewardOutput(serializers.Serializer[Any]):
    points = WholeNumberField(min_value=0, help_text="Booked for it. 0: no rule gives anything.")


class EventsView(LoyaltyView):
    permission_classes = [IsAuthenticated, MayReportEvents]
    #: The shop's own systems, which report for everybody.
    write_scope = "public"

    @extend_schema(
        operation_id="report_event",
        tags=["Earning"],
        summary="Report an event that may earn points",
        parameters=[LANGUAGE, EVENT_KEY],
        request=EventInput,
        responses={200: RewardOutput, 201: RewardOutput, **problems(400, 401, 403, 404, 409, 429)},
        examples=[
            OpenApiExample(
                "A survey was answered",
                {"event": "survey", "member": "7b0c1c70-6d3f-4a55-9f0e-0d6c8c5e2a11"},
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        """
        Needs the permission `oscar_loyalty.report_event`. What the event is worth is for the rules of the
        programme to say: 201 the first time, 200 for the same key again. An event that no rule asks for
        brings 0 points and is not remembered.
        """
        wanted = EventInput(data=request.data)
        wanted.is_valid(raise_exception=True)
        key = request.headers.get("Idempotency-Key", "")
        if not re.fullmatch(r"[!-~]{1,100}", key):
            raise Problem(
                _("Send an Idempotency-Key of 1 to 100 ASCII characters without blanks, one an event."),
                code="idempotency_key_missing",
                status_code=400,
            )
        member = find_member_by_public_id(public_id=wanted.validated_data["member"])
        if member is None:
            raise Problem(_("There is no such member."), code="member_unknown", status_code=404)
        try:
            rewarded = occasions.report_event(
                member_id=member.pk,
                event_code=wanted.validated_data["event"],
                key=f"api:{key}",
                now=timezone.now(),
            )
        except occasions.KeyReused as error:
            raise Problem(
                _("This key was used for another event or member. Make one for each event."),
                code="idempotency_key_reused",
                status_code=409,
            ) from error
        is_new = rewarded is not None and rewarded.is_new
        body = {"points": rewarded.points if rewarded else 0}
        return Response(RewardOutput(body).data, status=201 if is_new else 200)


class ProfileCompletedView(MemberView):
    @extend_schema(
        operation_id="complete_profile",
        tags=["Member"],
        summary="Have a complete profile rewarded",
        parameters=[LANGUAGE],
        request=None,
        responses={200: RewardOutput, **problems(401, 403, 404, 409, 429)},
    )
    def post(self, request: Request) -> Response:
        """
        Call it after the customer has saved their name or address. Whether the profile is complete is for
        the shop to say; 409 `profile_incomplete` as long as it is not. Rewarded once, if the programme
        rewards it at all; safe to repeat.
        """
        if not occasions.is_profile_complete(member_id=self.account.member_id):
            raise Problem(
                _("Something is missing in your profile."), code="profile_incomplete", status_code=409
            )
        rewarded = occasions.reward_profile(member_id=self.account.member_id, now=self.now)
        return Response(RewardOutput({"points": rewarded.points if rewarded else 0}).data)

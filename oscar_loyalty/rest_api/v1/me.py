from datetime import date, datetime
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.flows.membership import join_programme
from oscar_loyalty.members import queries as members
from oscar_loyalty.members.models import Consent, Member
from oscar_loyalty.members.services import BirthdayFixed, record_consent, set_birthday
from oscar_loyalty.points import queries as points
from oscar_loyalty.points.models import Account
from oscar_loyalty.points.rules import value_of
from oscar_loyalty.programmes import queries as programmes
from oscar_loyalty.programmes.rules import Policy
from oscar_loyalty.rest_api.base import LoyaltyView, MemberView, get_user_id
from oscar_loyalty.rest_api.fields import MoneyField, WholeNumberField, YesOrNoField
from oscar_loyalty.rest_api.problems import Problem
from oscar_loyalty.rest_api.schema import LANGUAGE, problems
from oscar_loyalty.rest_api.v1.programme import no_programme
from oscar_loyalty.shop.currencies import get_default_currency

SOURCE = "API"
STATES = ["not_member", "member", "frozen", "left"]


class MembershipInput(serializers.Serializer[Any]):
    accept_terms = serializers.CharField(
        max_length=32, help_text="The `terms_version` that the customer has read and accepts."
    )
    marketing = YesOrNoField(
        required=False,
        allow_null=True,
        default=None,
        help_text="Answer to the separate question for marketing mails. Leave out when it was not asked.",
    )


class ConsentInput(serializers.Serializer[Any]):
    granted = YesOrNoField()


class ConsentOutput(serializers.Serializer[Any]):
    granted = serializers.BooleanField(help_text="False as long as nobody was asked.")
    answered_at = serializers.DateTimeField(allow_null=True)


class ConsentsOutput(serializers.Serializer[Any]):
    marketing = ConsentOutput()


class BalanceOutput(serializers.Serializer[Any]):
    available = WholeNumberField(min_value=0, help_text="Can be spent now.")
    pending = WholeNumberField(min_value=0, help_text="Earned, and spendable after the waiting period.")
    held = WholeNumberField(min_value=0, help_text="Reserved for a basket; counted neither above nor below.")
    deficit = WholeNumberField(min_value=0, help_text="Owed: the next points earned are set off against it.")
    value = MoneyField(allow_null=True, help_text="What the available points save.")
    currency = serializers.CharField(help_text="Of `value`.")


class NextExpiryOutput(serializers.Serializer[Any]):
    points = WholeNumberField(min_value=1)
    expires_at = serializers.DateTimeField()


class TermsOutput(serializers.Serializer[Any]):
    current_version = serializers.CharField()
    accepted_version = serializers.CharField(allow_null=True)
    accepted_at = serializers.DateTimeField(allow_null=True)


class BirthdayInput(serializers.Serializer[Any]):
    month = WholeNumberField(min_value=1, max_value=12)
    day = WholeNumberField(min_value=1, max_value=31)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        try:
            date(2000, attrs["month"], attrs["day"])
        except ValueError as error:
            raise serializers.ValidationError(_("There is no such day."), code="invalid") from error
        return attrs


class BirthdayOutput(serializers.Serializer[Any]):
    month = WholeNumberField(min_value=1)
    day = WholeNumberField(min_value=1)


class MeOutput(serializers.Serializer[Any]):
    state = serializers.ChoiceField(
        choices=STATES,
        help_text="`not_member` and `left` can join; `frozen` members earn, but spend nothing for now.",
    )
    id = serializers.UUIDField(allow_null=True, help_text="Names the member in support and exports.")
    member_since = serializers.DateTimeField(allow_null=True)
    terms = TermsOutput()
    balance = BalanceOutput(allow_null=True)
    next_expiry = NextExpiryOutput(allow_null=True)
    consents = ConsentsOutput(allow_null=True)
    birthday = BirthdayOutput(allow_null=True, help_text="Null as long as the member has not told it.")


class MeView(LoyaltyView):
    permission_classes = [IsAuthenticated]

    @extend_schema(
        operation_id="get_me",
        tags=["Member"],
        summary="The customer's membership and points",
        parameters=[LANGUAGE],
        responses={200: MeOutput, **problems(401, 403, 404, 429)},
    )
    def get(self, request: Request) -> Response:
        """
        The first call after log-in. A customer who has not joined is answered with `not_member`, nulls,
        and the version of the terms to accept; guests are asked to log in.
        """
        return Response(MeOutput(describe_me(user_id=get_user_id(request), now=timezone.now())).data)


class MembershipView(LoyaltyView):
    permission_classes = [IsAuthenticated]

    @extend_schema(
        operation_id="join_programme",
        tags=["Member"],
        summary="Join the programme",
        parameters=[LANGUAGE],
        request=MembershipInput,
        responses={200: MeOutput, 201: MeOutput, **problems(400, 401, 403, 404, 409, 429)},
        examples=[
            OpenApiExample("Join, and say no to mails", {"accept_terms": "2026-01", "marketing": False}),
        ],
    )
    def post(self, request: Request) -> Response:
        """
        Make the customer a member under the terms that they accept. Safe to repeat: 201 the first time,
        200 afterwards. Also accepts new terms, and takes a former member back.

        Joining says nothing about marketing mails: that is a question of its own, and no answer is no.
        When the terms have changed meanwhile, 409 `terms_changed` tells the version to show.
        """
        wanted = MembershipInput(data=request.data)
        wanted.is_valid(raise_exception=True)
        now = timezone.now()
        try:
            terms_version = programmes.get_version(at=now).terms_version
        except programmes.ProgrammeMissing as error:
            raise no_programme() from error
        if wanted.validated_data["accept_terms"] != terms_version:
            raise Problem(
                _("Show the terms in force and ask again."),
                code="terms_changed",
                status_code=409,
                extra={"terms_version": terms_version},
            )
        is_new = members.find_active_member(user_id=get_user_id(request)) is None
        join_programme(
            user_id=get_user_id(request), now=now, marketing=wanted.validated_data["marketing"], source=SOURCE
        )
        body = MeOutput(describe_me(user_id=get_user_id(request), now=now)).data
        return Response(body, status=201 if is_new else 200)


class MarketingConsentView(MemberView):
    @extend_schema(
        operation_id="put_marketing_consent",
        tags=["Member"],
        summary="Say yes or no to marketing mails",
        parameters=[LANGUAGE],
        request=ConsentInput,
        responses={200: ConsentOutput, **problems(400, 401, 403, 404, 429)},
    )
    def put(self, request: Request) -> Response:
        """Every change of mind is logged with its moment; the same answer again changes nothing."""
        wanted = ConsentInput(data=request.data)
        wanted.is_valid(raise_exception=True)
        consent = record_consent(
            member_id=self.account.member_id,
            purpose=Consent.Purpose.MARKETING,
            granted=wanted.validated_data["granted"],
            source=SOURCE,
            now=self.now,
        )
        return Response(ConsentOutput(_describe_consent(consent)).data)


class BirthdayView(MemberView):
    @extend_schema(
        operation_id="put_birthday",
        tags=["Member"],
        summary="Tell the birthday, once",
        parameters=[LANGUAGE],
        request=BirthdayInput,
        responses={200: BirthdayOutput, **problems(400, 401, 403, 404, 409, 429)},
    )
    def put(self, request: Request) -> Response:
        """
        Day and month, for a present on that day; it counts from 30 days after it was told. The same day
        again changes nothing; another one is 409 `birthday_fixed`: then customer service can correct it.
        """
        account = self.account
        wanted = BirthdayInput(data=request.data)
        wanted.is_valid(raise_exception=True)
        try:
            birthday = set_birthday(
                member_id=account.member_id,
                actor_ref=f"user:{request.user.pk}",
                now=self.now,
                **wanted.validated_data,
            )
        except BirthdayFixed as error:
            raise Problem(
                _("Our customer service can correct your birthday."), code="birthday_fixed", status_code=409
            ) from error
        return Response(BirthdayOutput(birthday).data)


def describe_me(*, user_id: int, now: datetime) -> dict[str, Any]:
    currency = get_default_currency()
    policy = programmes.find_policy(currency=currency, at=now)
    if policy is None:
        raise no_programme()
    account = points.find_account_of_user(user_id=user_id, programme_code=loyalty_settings.programme_code)
    if account is None:
        return _describe_stranger(members.find_member(user_id=user_id), policy=policy)
    member = account.member
    expiry = points.find_next_expiry(account_id=account.pk, now=now)
    told = members.get_told(member_id=member.pk, purpose=Consent.Purpose.MARKETING)
    return {
        "state": "member" if account.status == Account.Status.OPEN else "frozen",
        "id": member.public_id,
        "member_since": member.joined_at,
        "terms": _describe_terms(member, policy=policy),
        "balance": _describe_balance(account, policy=policy, currency=currency, now=now),
        "next_expiry": expiry and {"points": expiry.points, "expires_at": expiry.expires_at},
        "consents": {"marketing": {"granted": told.granted, "answered_at": told.answered_at}},
        "birthday": told.birthday and {"month": told.birthday[0], "day": told.birthday[1]},
    }


def _describe_stranger(member: Member | None, *, policy: Policy) -> dict[str, Any]:
    return {
        "state": "left" if member is not None and member.status == Member.Status.LEFT else "not_member",
        "id": None,
        "member_since": None,
        "terms": _describe_terms(None, policy=policy),
        "balance": None,
        "next_expiry": None,
        "consents": None,
        "birthday": None,
    }


def _describe_terms(member: Member | None, *, policy: Policy) -> dict[str, Any]:
    return {
        "current_version": policy.terms_version,
        "accepted_version": member and member.terms_version,
        "accepted_at": member and member.terms_accepted_at,
    }


def _describe_balance(account: Account, *, policy: Policy, currency: str, now: datetime) -> dict[str, Any]:
    balance = points.get_balance(account=account, now=now)
    return {
        "available": balance.available,
        "pending": balance.pending,
        "held": balance.held,
        "deficit": balance.debt,
        "value": policy.rate and value_of(balance.available, rate=policy.rate),
        "currency": currency,
    }


def _describe_consent(consent: Consent | None) -> dict[str, Any]:
    return {
        "granted": consent is not None and consent.granted,
        "answered_at": consent and consent.given_at,
    }

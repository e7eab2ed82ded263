"""What all endpoints of ours have in common, whatever the shop has set for its own."""

import re
from functools import cached_property
from typing import Any, cast

from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.openapi import AutoSchema
from rest_framework.exceptions import NotFound, ParseError
from rest_framework.parsers import JSONParser
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.points import queries as points
from oscar_loyalty.points.models import Account
from oscar_loyalty.rest_api.problems import Problem, ProblemMixin


class LoyaltySchema(AutoSchema):
    """Components are called ``Me``, not ``MeOutput``; what is sent in keeps its ``Input``."""

    def get_serializer_name(self, serializer: Any, direction: Any) -> str:
        name: str = super().get_serializer_name(serializer, direction)
        return name.removesuffix("Output")


class StrictJSONParser(JSONParser):
    strict = True

    def parse(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().parse(*args, **kwargs)
        except RecursionError as error:
            raise ParseError(_("The JSON is nested too deeply.")) from error


class LoyaltyThrottle(SimpleRateThrottle):
    """Counts per customer, or per address for guests. Rates come from ``OSCAR_LOYALTY_THROTTLE_RATES``."""

    def __init__(self) -> None:
        """The rate depends on the view and the request, so it is read when a request is counted."""

    def allow_request(self, request: Request, view: Any) -> bool:
        self.scope = view.throttle_scope if request.method in ("GET", "HEAD", "OPTIONS") else view.write_scope
        self.rate = loyalty_settings.throttle_rates[self.scope]
        self.num_requests, self.duration = self.parse_rate(self.rate)
        return bool(super().allow_request(request, view))

    def get_cache_key(self, request: Request, view: Any) -> str:
        who = request.user.pk if request.user and request.user.is_authenticated else self.get_ident(request)
        return f"oscar_loyalty:throttle:{self.scope}:{who}"


class LoyaltyView(ProblemMixin, APIView):
    """
    JSON in, JSON out, and problems for errors. Who the caller is, is decided by the shop's own settings
    of REST framework. Nothing is cached unless a view says so.
    """

    schema = LoyaltySchema()
    renderer_classes = [JSONRenderer]
    parser_classes = [StrictJSONParser]
    permission_classes: list[Any] = []
    throttle_classes = [LoyaltyThrottle]
    throttle_scope = "personal"
    write_scope = "write"
    versioning_class = None
    cache_control = "private, no-store"
    works_switched_off = False

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if not (loyalty_settings.enabled or self.works_switched_off):
            raise NotFound
        super().initial(request, *args, **kwargs)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response.headers.setdefault("Cache-Control", self.cache_control)
        return super().finalize_response(request, response, *args, **kwargs)


def get_user_id(request: Request) -> int:
    """Of a caller who is logged in."""
    return cast("int", request.user.pk)


def read_idempotency_key(request: Request) -> str:
    """What the caller made for this one request; with it a repeated one changes nothing."""
    key = request.headers.get("Idempotency-Key", "")
    if not re.fullmatch(r"[!-~]{1,64}", key):
        raise Problem(
            _("Send an Idempotency-Key of 1 to 64 ASCII characters without blanks, new for each request."),
            code="idempotency_key_missing",
            status_code=400,
        )
    return key


class MemberView(LoyaltyView):
    """For members only; others are told so."""

    permission_classes = [IsAuthenticated]

    @cached_property
    def account(self) -> Account:
        account = points.find_account_of_user(
            user_id=get_user_id(self.request), programme_code=loyalty_settings.programme_code
        )
        if account is None:
            raise Problem(
                _("Join the programme first: POST me/membership."), code="not_member", status_code=403
            )
        return account

    @cached_property
    def now(self) -> Any:
        return timezone.now()


class NothingHere(LoyaltyView):
    """Answers paths of our namespace that do not exist, so that this error is a problem as well."""

    schema = None  # type: ignore[assignment]
    throttle_classes: list[Any] = []
    authentication_classes: list[Any] = []

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise NotFound

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        raise NotFound

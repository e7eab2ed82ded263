"""
The contract of the API as OpenAPI: ``openapi.yaml`` is written by ``make openapi`` and compared in a test.

Only our own paths are described, whatever else the shop serves.
"""

from functools import lru_cache
from threading import Lock
from typing import Any

from django.utils.translation import get_language
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiYamlRenderer
from drf_spectacular.settings import patched_settings
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from oscar_loyalty.rest_api.base import LoyaltyView

LANGUAGE = OpenApiParameter(
    "Accept-Language",
    str,
    OpenApiParameter.HEADER,
    description="Language of titles, texts and sentences, for example `de` or `en`.",
)


class ProblemErrorOutput(serializers.Serializer[Any]):
    pointer = serializers.CharField(
        required=False, help_text="JSON pointer (RFC 6901) to the part of the body that is not valid."
    )
    parameter = serializers.CharField(required=False, help_text="Name of the parameter that is not valid.")
    code = serializers.CharField()
    detail = serializers.CharField()


class ProblemOutput(serializers.Serializer[Any]):
    """An error, as RFC 9457 describes them."""

    type = serializers.CharField(help_text="`urn:oscar-loyalty:problem:` and the code, with hyphens.")
    title = serializers.CharField(help_text="The same for every problem of this code; translated.")
    status = serializers.IntegerField()
    code = serializers.CharField(help_text="Stable; decide on this one.")
    detail = serializers.CharField(help_text="What happened this time, to show to people; translated.")
    errors = ProblemErrorOutput(  # type: ignore[assignment]
        many=True, required=False, help_text="With `invalid_input`: one each."
    )
    line = serializers.IntegerField(required=False, help_text="Of the order, where it is about one.")
    terms_version = serializers.CharField(required=False, help_text="With `terms_changed`: to accept now.")


_MEANINGS = {
    400: "The request is not valid: see `errors`.",
    401: "Log in first (shops that take tokens).",
    403: "Log in first (shops that take sessions), or join the programme first: see `code`.",
    404: "Switched off, not set up, or not there.",
    409: "Not possible as things are now: see `code`.",
    410: "Too late.",
    413: "Too big.",
    503: "Stripe does not answer; nothing was changed.",
    429: "Too many requests: wait as long as `Retry-After` says.",
}


def problems(*statuses: int) -> dict[Any, Any]:
    """Responses of an operation that are problems."""
    return {
        (status, "application/problem+json"): OpenApiResponse(ProblemOutput, description=_MEANINGS[status])
        for status in statuses
    }


def page_of(row: type[serializers.Serializer[Any]]) -> Any:
    """One page of a list that is read by cursor."""
    return inline_serializer(
        name=row.__name__.removesuffix("Output") + "Page",
        fields={
            "next": serializers.URLField(allow_null=True, help_text="Null on the last page."),
            "previous": serializers.URLField(allow_null=True),
            "results": row(many=True),
        },
    )


def keep_our_paths(endpoints: list[Any], **_later: Any) -> list[Any]:
    return [
        (path, path_regex, method, callback)
        for path, path_regex, method, callback in endpoints
        if issubclass(getattr(callback, "cls", object), LoyaltyView) and callback.cls.schema is not None
    ]


#: For drf-spectacular; a shop's own settings stay as they are.
SETTINGS: dict[str, Any] = {
    "TITLE": "Loyalty programme",
    "VERSION": "1",
    "DESCRIPTION": (
        "Points of an Oscar shop: what they are worth, what a purchase earns, and how they are spent.\n\n"
        "Points are whole JSON numbers; money is a decimal string beside its currency; moments are RFC 3339 "
        "with an offset. Errors are `application/problem+json` (RFC 9457) with a stable `code`. Personal "
        "answers are never cached. Who the caller is, is decided by the shop (session, token, or the "
        "`Session-Id` of django-oscar-api)."
    ),
    "OAS_VERSION": "3.1.0",
    "SERVERS": [],
    "SECURITY": [],
    "AUTHENTICATION_WHITELIST": [],
    "SCHEMA_PATH_PREFIX": r"/api/loyalty/v1",
    "PREPROCESSING_HOOKS": ["oscar_loyalty.rest_api.schema.keep_our_paths"],
    "POSTPROCESSING_HOOKS": ["drf_spectacular.hooks.postprocess_schema_enums"],
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "ENUM_NAME_OVERRIDES": {
        "SwitchState": "oscar_loyalty.rest_api.v1.programme.SWITCH_STATES",
        "MemberState": "oscar_loyalty.rest_api.v1.me.STATES",
        "EntryKind": "oscar_loyalty.rest_api.v1.ledger.KINDS",
        "EntryDirection": "oscar_loyalty.rest_api.v1.ledger.DIRECTIONS",
        "LotState": "oscar_loyalty.rest_api.v1.ledger.LOT_STATES",
        "EarningState": "oscar_loyalty.rest_api.v1.previews.STATES",
        "PaymentState": "oscar_loyalty.rest_api.v1.payments.STATES",
        "FoundCondition": "oscar_loyalty.rest_api.v1.warehouse.CONDITIONS",
        "ReturnActor": "oscar_loyalty.rest_api.v1.returns.ACTORS",
        "ReturnMomentCode": "oscar_loyalty.rest_api.v1.returns.EVENTS",
        "ReturnKind": "oscar_loyalty.rest_api.v1.returns.KINDS",
        "ReturnState": "oscar_loyalty.rest_api.v1.returns.STATES",
        "ReturnReasonCode": "oscar_loyalty.rest_api.v1.returns.REASONS",
        "ReturnFreeBecause": "oscar_loyalty.rest_api.v1.returns.FREE_BECAUSE",
        "ReturnRefundTo": "oscar_loyalty.rest_api.v1.returns.REFUND_TO",
        "WhyNotReturnable": "oscar_loyalty.rest_api.v1.returns.WHY_NONE",
        "RefundState": "oscar_loyalty.rest_api.v1.returns.REFUND_STATES",
        "RefundMethod": "oscar_loyalty.rest_api.v1.returns.REFUND_METHODS",
        "ReturnLabelState": "oscar_loyalty.rest_api.v1.returns.LABEL_STATES",
        "ClaimState": "oscar_loyalty.rest_api.v1.claims.STATES",
        "RedemptionState": "oscar_loyalty.rest_api.v1.redemption.STATES",
        "RedemptionReason": "oscar_loyalty.rest_api.v1.redemption.REASONS",
    },
    "TAGS": [
        {"name": "Programme", "description": "Public: the same for everybody."},
        {"name": "Member", "description": "The customer's own membership and points."},
        {"name": "Earning", "description": "What a purchase would earn."},
        {"name": "Claiming", "description": "Points of orders that were placed as a guest."},
        {"name": "Warehouse", "description": "Returns, for scanners and the software of a warehouse."},
        {"name": "Returning", "description": "Goods that come back, and contracts that are withdrawn from."},
        {"name": "Redeeming", "description": "Points on the current basket."},
        {"name": "Paying", "description": "What points do not cover, by card."},
    ],
}

_one_at_a_time = Lock()


class SchemaView(LoyaltyView):
    """The contract, with the paths under which this shop has mounted us."""

    schema = None  # type: ignore[assignment]
    authentication_classes: list[Any] = []
    renderer_classes = [OpenApiYamlRenderer, OpenApiJsonRenderer]
    throttle_scope = "public"

    def get(self, request: Request) -> Response:
        # Its settings are those of the process while it is written, so it is written once.
        with _one_at_a_time:
            return Response(_write_schema(get_language() or ""))


@lru_cache
def _write_schema(language: str) -> dict[str, Any]:
    with patched_settings(SETTINGS):
        return SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-any-return, no-untyped-call]

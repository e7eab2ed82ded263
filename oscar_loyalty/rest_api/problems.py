"""
Errors of the API as RFC 9457 describes them: a stable type, a title, and a sentence for people.

``type`` is ``urn:oscar-loyalty:problem:`` and the code with hyphens; ``docs/reference/api.md`` lists them.
"""

from collections.abc import Iterator
from logging import getLogger
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.signals import got_request_exception
from django.http import Http404
from django.utils.encoding import force_str
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from rest_framework import exceptions
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import exception_handler, set_rollback

logger = getLogger("django.request")

CONTENT_TYPE = "application/problem+json"

#: Titles of the problems, the same for every occurrence. A code that is missing here is its own title.
TITLES: dict[str, str | Promise] = {
    "invalid_input": _("The request is not valid"),
    "parse_error": _("The request is not valid JSON"),
    "not_authenticated": _("Log in first"),
    "authentication_failed": _("Your login is not valid"),
    "permission_denied": _("You are not allowed to do this"),
    "not_found": _("There is nothing here"),
    "method_not_allowed": _("This is not possible here"),
    "not_acceptable": _("The answer cannot be given in that form"),
    "unsupported_media_type": _("The request must be JSON"),
    "throttled": _("Too many requests"),
    "internal_error": _("Something went wrong on our side"),
    "no_programme": _("The shop has no loyalty programme in force"),
    "not_member": _("You have not joined the programme"),
    "terms_changed": _("The terms have changed"),
    "disabled": _("The programme is switched off"),
    "guest": _("Log in first"),
    "account_frozen": _("Your points are frozen"),
    "paused": _("Points cannot be spent at the moment"),
    "currency_not_supported": _("Points do not count in this currency"),
    "claim_link_invalid": _("This link does not work"),
    "claim_link_expired": _("The time to claim these points is over"),
    "return_unknown": _("There is no such return"),
    "return_wrong_state": _("The return has moved on"),
    "return_decided": _("The return is decided already"),
    "line_missing": _("A line of the return is missing"),
    "deduction_too_high": _("This deduction cannot be"),
    "reason_missing": _("A reason is missing"),
    "order_gone": _("The order is gone"),
    "return_link_invalid": _("This link does not work"),
    "return_link_expired": _("This link is too old"),
    "nothing_chosen": _("Nothing was chosen"),
    "unknown_line": _("This is not part of the order"),
    "too_many": _("There are fewer pieces"),
    "all_returned": _("All of it has been returned"),
    "not_delivered": _("It has not arrived yet"),
    "too_late": _("The time to return this is over"),
    "excluded": _("This is taken back only when it is faulty"),
    "store_credit_not_offered": _("Points instead of money are not offered"),
    "unknown_reason": _("There is no such reason"),
    "refund_under_way": _("The refund is on its way already"),
    "wrong_state": _("The return has moved on"),
    "photo_not_an_image": _("This is no picture"),
    "photo_too_big": _("The picture is too big"),
    "photo_too_many": _("There are enough pictures"),
    "photo_too_late": _("The goods have been checked already"),
    "claim_not_proved": _("Open the link in the mail first"),
    "order_already_claimed": _("These points were claimed already"),
    "order_cancelled": _("The order was cancelled"),
    "nothing_to_claim": _("There is nothing to claim"),
    "earning_paused": _("Points are not booked at the moment"),
    "basket_empty": _("The basket is empty"),
    "basket_frozen": _("The basket is being paid for"),
    "basket_too_small": _("The basket is too small"),
    "insufficient_points": _("You do not have enough points"),
    "balance": _("You do not have enough points"),
    "minimum": _("That is less than the smallest redemption"),
    "step": _("Points are spent in steps"),
    "share": _("Points cannot pay that much of the basket"),
    "goods": _("There is less to pay than that"),
    "tax_unknown": _("The tax is not known yet"),
    "payment_not_needed": _("There is nothing left to pay"),
    "already_ordered": _("This basket has been ordered already"),
    "unknown_shipping_method": _("This way of shipping is not offered"),
    "payment_unavailable": _("Card payment does not answer"),
    "payment_required": _("This order must be paid"),
    "payment_unknown": _("There is no such payment"),
    "payment_mismatch": _("The payment does not match the total"),
    "payment_used": _("This payment was used for another order"),
    "payment_not_authorised": _("The payment is not authorised"),
    "basket_not_yours": _("This basket is not yours"),
    "order_not_placed": _("The order could not be placed"),
    "transfers_off": _("Points cannot be given away here"),
    "recipient_unavailable": _("Nobody takes points at this address"),
    "birthday_fixed": _("Your birthday is known already"),
    "member_unknown": _("There is no such member"),
    "profile_incomplete": _("Something is missing in the profile"),
    "idempotency_key_missing": _("The request needs a key"),
    "idempotency_key_reused": _("This key was used for something else"),
    "card_minimum": _("What is left would be too little for a card payment"),
}


class Problem(exceptions.APIException):
    """
    An answer other than success.

    ``code`` is stable and in snake case; ``title`` is the same for every occurrence, ``detail`` is not.
    ``extra`` are further members of the problem, ready for JSON.
    """

    def __init__(
        self,
        detail: str,
        *,
        code: str,
        status_code: int,
        title: str = "",
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(detail, code)
        self.code = code
        self.status_code = status_code
        self.title = title or title_of(code)
        self.extra = extra or {}


class InvalidQuery(exceptions.ValidationError):
    """Something behind the question mark is not valid; raised with a serializer's errors."""


class ProblemMixin:
    """For views of ours: every error leaves as a problem in JSON, whatever the shop has set."""

    def get_exception_handler(self) -> Any:
        return problem_handler

    def handle_exception(self, exc: Exception) -> Any:
        response = super().handle_exception(exc)  # type: ignore[misc]
        self.request.accepted_renderer = JSONRenderer()  # type: ignore[attr-defined]
        self.request.accepted_media_type = JSONRenderer.media_type  # type: ignore[attr-defined]
        return response


def problem_handler(error: Exception, context: dict[str, Any]) -> Response:
    """Turn what a view raised into a problem. The unforeseen is logged as Django does."""
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    answered = exception_handler(error, context)
    if answered is None or not isinstance(error, exceptions.APIException):
        return _unforeseen(error, context)
    code, title, detail = _describe(error)
    problem = _problem(code, status=answered.status_code, title=title, detail=detail)
    if isinstance(error, exceptions.ValidationError):
        key = "parameter" if isinstance(error, InvalidQuery) else "pointer"
        problem.data["errors"] = list(_flatten(error.detail, key=key, at=""))
    problem.data.update(getattr(error, "extra", {}))
    for name in ("WWW-Authenticate", "Retry-After"):
        if name in answered:
            problem[name] = answered[name]
    return problem


def title_of(code: str) -> str:
    return str(TITLES.get(code) or code.replace("_", " ").capitalize())


def _problem(code: str, *, status: int, title: str, detail: str) -> Response:
    body = {
        "type": f"urn:oscar-loyalty:problem:{code.replace('_', '-')}",
        "title": title,
        "status": status,
        "code": code,
        "detail": detail,
    }
    return Response(body, status=status, content_type=CONTENT_TYPE)


def _describe(error: exceptions.APIException) -> tuple[str, str, str]:
    if isinstance(error, Problem):
        return error.code, error.title, str(error.detail)
    if isinstance(error, exceptions.ValidationError):
        return "invalid_input", title_of("invalid_input"), gettext("Look at the errors, one for each field.")
    code = error.default_code if error.default_code != "error" else "internal_error"
    return code, title_of(code), str(error.detail)


def _unforeseen(error: Exception, context: dict[str, Any]) -> Response:
    set_rollback()
    request = context["request"]._request
    got_request_exception.send(sender=problem_handler, request=request)
    logger.error("Internal Server Error: %s", request.path, exc_info=error, extra={"request": request})
    return _problem(
        "internal_error",
        status=500,
        title=title_of("internal_error"),
        detail=gettext("We were told of it. Nothing was changed. Please try again later."),
    )


def _flatten(detail: Any, *, key: str, at: str) -> Iterator[dict[str, str]]:
    """One row for each message, with a JSON pointer (RFC 6901) into the body or the name of a parameter."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            step = "" if name == "non_field_errors" else _step(name, key=key, at=at)
            yield from _flatten(inner, key=key, at=at + step)
    elif isinstance(detail, list):
        for index, inner in enumerate(detail):
            # A list holds either messages of this field or one set of errors for each element.
            step = "" if isinstance(inner, exceptions.ErrorDetail) else f"/{index}"
            yield from _flatten(inner, key=key, at=at + step)
    else:
        yield {key: at, "code": getattr(detail, "code", "invalid"), "detail": force_str(detail)}


def _step(name: Any, *, key: str, at: str) -> str:
    if key == "parameter":
        return "" if at else str(name)
    return "/" + str(name).replace("~", "~0").replace("/", "~1")

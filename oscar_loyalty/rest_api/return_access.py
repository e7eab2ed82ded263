"""Whose order a call about returns is for: a customer's own, or the one that a guest's mailed link opens."""

from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import NotFound
from rest_framework.request import Request

from oscar_loyalty.flows.return_access import (
    Access,
    AccessRefused,
    find_customer_access,
    read_guest_access,
)
from oscar_loyalty.rest_api.base import get_user_id
from oscar_loyalty.rest_api.problems import Problem

HEADER = "X-Loyalty-Return-Token"
PARAMETER = "return_token"

#: For the contract of every operation that calls :func:`order_for_request`.
RETURN_TOKEN = OpenApiParameter(
    HEADER,
    str,
    OpenApiParameter.HEADER,
    description="For guests: the token of the link that `POST return-links` mails. Where a header cannot be "
    f"sent, for example to download a file, the parameter `{PARAMETER}` says the same.",
)


def order_for_request(request: Request, number: str) -> Access:
    """
    The order that a caller may return something of. Everybody else's is not there (404), so nobody learns
    which orders there are.
    """
    if request.user.is_authenticated:
        access = find_customer_access(number=number, user_id=get_user_id(request))
        if access is not None:
            return access
    token = request.headers.get(HEADER) or request.query_params.get(PARAMETER, "")
    if not token:
        raise NotFound
    try:
        access = read_guest_access(token, timezone.now())
    except AccessRefused as refused:
        raise _problem(refused) from refused
    if access.number != number:
        raise NotFound
    return access


def _problem(refused: AccessRefused) -> Problem:
    if refused.code == "return_link_expired":
        return Problem(
            _("This link was good for a day. Ask for a new one."), code=refused.code, status_code=410
        )
    return Problem(_("This link does not work. Ask for a new one."), code=refused.code, status_code=404)

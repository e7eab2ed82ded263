"""``orders/{number}/returnable-lines`` to ``returns/{number}``: a customer sends goods back."""

from base64 import b64decode
from binascii import Error as NotBase64
from typing import Any

from django.http import HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import get_language
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.parsers import MultiPartParser
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from oscar_loyalty import tasks
from oscar_loyalty.flows import return_reading, return_terms, return_wording, returns
from oscar_loyalty.flows.return_reading import ReturnView
from oscar_loyalty.flows.return_terms import Pick, ReturnableOrder, ReturnRefused
from oscar_loyalty.flows.returns import Preview, Standing
from oscar_loyalty.payments.refund_models import Refund
from oscar_loyalty.rest_api.base import LoyaltyView, StrictJSONParser, get_user_id, read_idempotency_key
from oscar_loyalty.rest_api.fields import MoneyField, WholeNumberField, YesOrNoField, in_coins
from oscar_loyalty.rest_api.problems import InvalidQuery, Problem
from oscar_loyalty.rest_api.return_access import RETURN_TOKEN, order_for_request
from oscar_loyalty.rest_api.schema import LANGUAGE, page_of, problems
from oscar_loyalty.rest_api.v1.ledger import LedgerPagination, PageQuery
from oscar_loyalty.returns import codes, photos, queries
from oscar_loyalty.returns.models import Reason, Return, ReturnLabel, ReturnLine, ReturnPhoto
from oscar_loyalty.returns.photos import PhotoRefused
from oscar_loyalty.returns.services import CHANGED_TOPIC
from oscar_loyalty.returns.states import State
from oscar_loyalty.shop.orders import PurchaseMissing
from oscar_loyalty.tiers.queries import name_of

KINDS = [kind.lower() for kind in Return.Kind.values]
REFUND_TO = [way.lower() for way in Return.RefundTo.values]
STATES = [state.lower() for state in State.values]
REASONS = list(Reason.values)
FREE_BECAUSE = [code.lower() for code in Return.FreeBecause.values if code]
WHY_NONE = ["not_delivered", "all_returned", "too_late"]
REFUND_STATES = [state.lower() for state in Refund.State.values]
REFUND_METHODS = [method.lower() for method in Refund.Method.values]
LABEL_STATES = [state.lower() for state in ReturnLabel.State.values]
ACTORS = list(return_reading.ACTORS)
EVENTS = list(return_reading.EVENTS)
MOST_LINES = 500
#: Base64 takes four letters for three bytes; the rest is JSON around it.
_MOST_BODY = photos.MOST_BYTES * 4 // 3 + 4096

_STATUS = {"nothing_chosen": 400, "unknown_line": 400, "unknown_reason": 400}
_PHOTO_STATUS = {"photo_not_an_image": 400, "unknown_line": 400, "photo_too_big": 413}
_CODES = {"key_reused": "idempotency_key_reused"}

IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    required=True,
    description="Made by the caller for each return, for example a UUID. The same key and the same return "
    "again open nothing more and get the same answer.",
)


# What may come back


class ReturnReasonOutput(serializers.Serializer[Any]):
    code = serializers.ChoiceField(choices=REASONS)
    text = serializers.CharField()
    is_free = serializers.BooleanField(help_text="The shop's fault: the return costs nothing.")


class ReturnableLineOutput(serializers.Serializer[Any]):
    line = WholeNumberField(min_value=1, help_text="Send it back in `lines`.")
    title = serializers.CharField()
    sku = serializers.CharField()
    product = serializers.IntegerField(allow_null=True, help_text="Null for deleted products.")
    ordered = WholeNumberField(min_value=0)
    returned = WholeNumberField(min_value=0, help_text="Returned before, or on its way back.")
    left = WholeNumberField(min_value=0, help_text="May be returned now.")
    amount = MoneyField(help_text="Money paid for all its pieces, after discounts and points.")
    only_faults = serializers.BooleanField(help_text="Only for a reason with `is_free`.")
    why_none = serializers.ChoiceField(choices=WHY_NONE, allow_null=True)
    text = serializers.CharField(help_text="The same in a sentence.")


class ReturnableLinesOutput(serializers.Serializer[Any]):
    order = serializers.CharField(help_text="Number of the order.")
    currency = serializers.CharField()
    delivered_at = serializers.DateTimeField(allow_null=True)
    return_until = serializers.DateTimeField(allow_null=True, help_text="Too late from this moment on.")
    withdraw_until = serializers.DateTimeField(
        allow_null=True, help_text="The same for the withdrawal that the law grants."
    )
    time_zone = serializers.CharField(help_text="Of these days.")
    window_days = WholeNumberField(min_value=0, help_text="Days to return, from delivery on.")
    fee = MoneyField(help_text="Price of a return, taken off the refund.")
    free_because = serializers.ChoiceField(choices=FREE_BECAUSE, allow_null=True)
    offers_store_credit = serializers.BooleanField(help_text="Points instead of money, if wanted.")
    asks_for_set_off = serializers.BooleanField(
        help_text="Ask whether points that are spent already may be paid out of the refund."
    )
    refund_days = WholeNumberField(min_value=0, help_text="Working days from receipt to refund, as promised.")
    has_anything = serializers.BooleanField()
    reasons = ReturnReasonOutput(many=True)
    lines = ReturnableLineOutput(many=True)
    sentences = serializers.ListField(child=serializers.CharField(), help_text="Deadline and cost, to show.")


# Asking for it


class WantedLineInput(serializers.Serializer[Any]):
    line = WholeNumberField(min_value=1, max_value=2**63 - 1)
    quantity = WholeNumberField(min_value=1, max_value=2**31 - 1)
    reason = serializers.ChoiceField(choices=REASONS, default=Reason.WITHDRAWAL.value)
    comment = serializers.CharField(required=False, allow_blank=True, max_length=2000, default="")


class WantedReturnInput(serializers.Serializer[Any]):
    lines = serializers.ListField(child=WantedLineInput(), max_length=MOST_LINES)
    kind = serializers.ChoiceField(
        choices=KINDS,
        default="return",
        help_text="`withdrawal`: a withdrawal from the contract, possible before the goods have arrived.",
    )
    refund_to = serializers.ChoiceField(choices=REFUND_TO, default="original")
    set_off_agreed = YesOrNoField(
        default=False, help_text="Points that are spent already may be paid out of the refund."
    )


class StandingOutput(serializers.Serializer[Any]):
    available = WholeNumberField(min_value=0)
    pending = WholeNumberField(min_value=0)
    debt = WholeNumberField(min_value=0, help_text="Set off against the next points.")
    tier = serializers.CharField(allow_null=True, help_text="Code of the tier.")
    tier_name = serializers.CharField(allow_null=True)
    progress_percent = serializers.IntegerField(
        allow_null=True, min_value=0, max_value=100, help_text="Of the way to the next tier."
    )


class PreviewLineOutput(serializers.Serializer[Any]):
    line = WholeNumberField(min_value=1)
    title = serializers.CharField()
    quantity = WholeNumberField(min_value=1)
    amount = MoneyField()
    points_back = WholeNumberField(min_value=0)
    text = serializers.CharField()


class ReturnMoneyOutput(serializers.Serializer[Any]):
    """``refund`` = ``goods`` + ``delivery`` − ``fee`` − ``earlier`` − ``set_off``."""

    goods = MoneyField()
    delivery = MoneyField()
    fee = MoneyField()
    free_because = serializers.ChoiceField(choices=FREE_BECAUSE, allow_null=True)
    earlier = MoneyField(help_text="Refunded before, for example as goodwill.")
    set_off = MoneyField(help_text="Kept for points that are spent already.")
    refund = MoneyField(help_text="Paid out, unless it is given as points.")


class ReturnPointsOutput(serializers.Serializer[Any]):
    back = WholeNumberField(min_value=0, help_text="Had been spent on the goods.")
    taken = WholeNumberField(min_value=0, help_text="Had been earned with the goods.")
    waived = WholeNumberField(min_value=0, help_text="Of these: spent already and not asked for.")
    instead_of_money = WholeNumberField(min_value=0)


class SaidOutput(serializers.Serializer[Any]):
    """The same in sentences, to show."""

    money = serializers.CharField(help_text="How much, and to which payment.")
    cost = serializers.CharField(help_text="What the return costs, and why it is free.")
    points = serializers.ListField(child=serializers.CharField())
    tier = serializers.ListField(child=serializers.CharField())
    next = serializers.ListField(child=serializers.CharField(), help_text="What to do until when.")


class ReturnPreviewOutput(serializers.Serializer[Any]):
    order = serializers.CharField()
    currency = serializers.CharField()
    lines = PreviewLineOutput(many=True)
    money = ReturnMoneyOutput()
    pays_to = serializers.CharField(allow_blank=True, help_text="The payment that the money goes back to.")
    points = ReturnPointsOutput()
    points_missing = WholeNumberField(min_value=0, help_text="Spent already: they become a deficit.")
    before = StandingOutput()
    after = StandingOutput()
    keeps_goods = serializers.BooleanField(help_text="Nothing has to be sent back.")
    is_instant = serializers.BooleanField(help_text="Refunded when the carrier has the parcel.")
    send_until = serializers.DateTimeField(allow_null=True)
    sentences = SaidOutput()


# What became of it


class ReturnPhotoOutput(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    url = serializers.URLField(help_text="A JPEG.")


class ReturnedLineOutput(serializers.Serializer[Any]):
    line = WholeNumberField(min_value=1)
    title = serializers.CharField()
    sku = serializers.CharField(allow_blank=True)
    quantity = WholeNumberField(min_value=1)
    reason = serializers.ChoiceField(choices=REASONS)
    reason_text = serializers.CharField()
    comment = serializers.CharField(allow_blank=True)
    accepted = WholeNumberField(min_value=0, allow_null=True, help_text="Null until it was checked.")
    refusal = serializers.CharField(allow_blank=True, help_text="Why not all of it.")
    amount = MoneyField()
    deduction = MoneyField(help_text="Kept for a loss of value.")
    points_back = WholeNumberField(min_value=0)
    photos = ReturnPhotoOutput(many=True)


class ReturnRefundOutput(serializers.Serializer[Any]):
    state = serializers.ChoiceField(choices=REFUND_STATES)
    method = serializers.ChoiceField(choices=REFUND_METHODS)
    amount = MoneyField()
    pays_to = serializers.CharField(allow_blank=True)
    expected_by = serializers.DateTimeField(allow_null=True, help_text="By then the bank should show it.")
    text = serializers.CharField()


class ReturnLabelOutput(serializers.Serializer[Any]):
    state = serializers.ChoiceField(choices=LABEL_STATES)
    tracking_code = serializers.CharField(allow_blank=True)
    valid_until = serializers.DateTimeField(allow_null=True)
    pdf_url = serializers.URLField(allow_null=True)
    qr_url = serializers.URLField(allow_null=True, help_text="An SVG, for counters that print the label.")


class ReturnMomentOutput(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    code = serializers.ChoiceField(choices=EVENTS)
    actor = serializers.ChoiceField(choices=ACTORS)
    text = serializers.CharField()
    reason = serializers.CharField(allow_blank=True)


class ReturnSummaryOutput(serializers.Serializer[Any]):
    number = serializers.CharField()
    order = serializers.CharField()
    kind = serializers.ChoiceField(choices=KINDS)
    state = serializers.ChoiceField(choices=STATES)
    state_text = serializers.CharField()
    requested_at = serializers.DateTimeField()
    currency = serializers.CharField()
    refund = MoneyField(help_text="0 until it is decided.")
    pieces = WholeNumberField(min_value=0)


class ReturnOutput(ReturnSummaryOutput):
    refund = None  # type: ignore[assignment]
    send_until = serializers.DateTimeField(allow_null=True)
    refund_due_at = serializers.DateTimeField(allow_null=True, help_text="Promised once the goods are here.")
    keeps_goods = serializers.BooleanField()
    is_instant = serializers.BooleanField()
    refund_to = serializers.ChoiceField(choices=REFUND_TO)
    set_off_agreed = serializers.BooleanField()
    lines = ReturnedLineOutput(many=True)
    money = ReturnMoneyOutput(help_text="Zero until it is decided.")
    points = ReturnPointsOutput(help_text="Zero until it is decided.")
    refund_status = ReturnRefundOutput(allow_null=True)
    label = ReturnLabelOutput(allow_null=True)  # type: ignore[assignment]
    timeline = ReturnMomentOutput(many=True, help_text="Oldest first.")
    sentences = serializers.ListField(child=serializers.CharField())
    may_cancel = serializers.BooleanField()
    may_add_photos = serializers.BooleanField()


class PhotoInput(serializers.Serializer[Any]):
    line = WholeNumberField(min_value=1, max_value=2**63 - 1)
    content = serializers.CharField(
        max_length=_MOST_BODY, trim_whitespace=False, help_text="The picture, as base64."
    )


class PhotoFormInput(serializers.Serializer[Any]):
    line = serializers.IntegerField(min_value=1, max_value=2**63 - 1)
    content = serializers.FileField(help_text="The picture.")


# Views


class _OrderView(LoyaltyView):
    def find_order(self, request: Request, number: str) -> tuple[int, str]:
        """Key of the order, and who asks as the history of a return calls them."""
        access = order_for_request(request, number)
        return access.order_id, access.actor_ref

    def find_return(self, request: Request, number: str) -> tuple[Return, str]:
        of_return = queries.find_return(number=number)
        if of_return is None:
            raise NotFound
        if request.user.is_authenticated and of_return.user_id == get_user_id(request):
            return of_return, "customer"
        # Whoever may return the order may see what was returned of it.
        return of_return, order_for_request(request, of_return.order_ref).actor_ref


class ReturnableLinesView(_OrderView):
    @extend_schema(
        operation_id="get_returnable_lines",
        tags=["Returning"],
        summary="What of an order may come back",
        parameters=[LANGUAGE, RETURN_TOKEN],
        responses={200: ReturnableLinesOutput, **problems(404, 410, 429)},
    )
    def get(self, request: Request, number: str) -> Response:
        """For the customer who placed it, or the guest whose link opens it. 404 for everybody else."""
        order_id, _actor = self.find_order(request, number)
        return Response(_describe_order(_find_returnable(order_id)))


class ReturnPreviewsView(_OrderView):
    @extend_schema(
        operation_id="preview_return",
        tags=["Returning"],
        summary="What a return would bring",
        parameters=[LANGUAGE, RETURN_TOKEN],
        request=WantedReturnInput,
        responses={200: ReturnPreviewOutput, **problems(400, 404, 409, 410, 429)},
        examples=[
            OpenApiExample(
                "Two pieces",
                {"lines": [{"line": 4711, "quantity": 2, "reason": "DOES_NOT_FIT"}]},
                request_only=True,
            )
        ],
    )
    def post(self, request: Request, number: str) -> Response:
        """
        The exact money, points and tier, if everything is accepted as it was sent. Nothing is kept of it.
        """
        order_id, _actor = self.find_order(request, number)
        wanted = _read_wanted(request)
        with _Refusals():
            preview = returns.preview_return(order_id=order_id, now=timezone.now(), **wanted)
        refund_days = _find_returnable(order_id).refund_days
        return Response(_describe_preview(preview, refund_days=refund_days))


class OrderReturnsView(_OrderView):
    @extend_schema(
        operation_id="request_return",
        tags=["Returning"],
        summary="Send goods back",
        parameters=[LANGUAGE, RETURN_TOKEN, IDEMPOTENCY_KEY],
        request=WantedReturnInput,
        responses={201: ReturnOutput, **problems(400, 404, 409, 410, 429)},
        examples=[
            OpenApiExample(
                "Two pieces",
                {"lines": [{"line": 4711, "quantity": 2, "reason": "DOES_NOT_FIT"}]},
                request_only=True,
            )
        ],
    )
    def post(self, request: Request, number: str) -> Response:
        """
        Opens a return at once; the label follows. Mails are written in the language of this request to
        guests, and in that of their account to customers.
        """
        order_id, actor_ref = self.find_order(request, number)
        key = read_idempotency_key(request)
        wanted = _read_wanted(request)
        with _Refusals():
            made = returns.request_return(
                order_id=order_id,
                actor_ref=actor_ref,
                language=get_language() or "",
                idempotency_key=f"api:{order_id}:{key}",
                now=timezone.now(),
                **wanted,
            )
            if not _is_same(made, wanted):
                raise ReturnRefused("key_reused")
        tasks.hurry_outbox(topics=[CHANGED_TOPIC])
        return Response(_describe_return(made, request), status=201)


class ReturnsView(_OrderView):
    permission_classes = [IsAuthenticated]

    @extend_schema(
        operation_id="list_returns",
        tags=["Returning"],
        summary="The customer's returns",
        parameters=[LANGUAGE, PageQuery],
        responses={200: page_of(ReturnSummaryOutput), **problems(400, 401, 403, 404, 429)},
    )
    def get(self, request: Request) -> Response:
        """Newest first. Follow `next` for older ones."""
        asked = PageQuery(data=request.query_params)
        if not asked.is_valid():
            raise InvalidQuery(asked.errors)
        pages = _ReturnPagination()
        mine = queries.list_returns_of_user(user_id=get_user_id(request))
        page = pages.paginate_queryset(mine, request, view=self) or []
        rows = [_describe_summary(of_return) for of_return in page]
        return pages.get_paginated_response(ReturnSummaryOutput(rows, many=True).data)


class _ReturnPagination(LedgerPagination):
    ordering = "-id"


class ReturnDetailView(_OrderView):
    @extend_schema(
        operation_id="get_return",
        tags=["Returning"],
        summary="A return: history, money, points, label",
        parameters=[LANGUAGE, RETURN_TOKEN],
        responses={200: ReturnOutput, **problems(404, 410, 429)},
    )
    def get(self, request: Request, number: str) -> Response:
        """For its customer, or the guest whose link opens its order. 404 for everybody else."""
        of_return, _actor = self.find_return(request, number)
        return Response(_describe_return(of_return, request))


class ReturnCancellationView(_OrderView):
    @extend_schema(
        operation_id="cancel_return",
        tags=["Returning"],
        summary="Keep the goods after all",
        parameters=[LANGUAGE, RETURN_TOKEN],
        request=None,
        responses={200: ReturnOutput, **problems(404, 409, 410, 429)},
    )
    def post(self, request: Request, number: str) -> Response:
        """Until the goods have arrived. Safe to repeat; the pieces can be returned again later."""
        of_return, actor_ref = self.find_return(request, number)
        with _Refusals():
            of_return = returns.cancel_return(return_id=of_return.pk, actor_ref=actor_ref, now=timezone.now())
        return Response(_describe_return(of_return, request))


class ReturnPhotosView(_OrderView):
    parser_classes = [StrictJSONParser, MultiPartParser]

    @extend_schema(
        operation_id="add_return_photo",
        tags=["Returning"],
        summary="Send a picture of the goods",
        parameters=[LANGUAGE, RETURN_TOKEN],
        request={"application/json": PhotoInput, "multipart/form-data": PhotoFormInput},
        responses={201: ReturnPhotoOutput, **problems(400, 404, 409, 410, 413, 429)},
    )
    def post(self, request: Request, number: str) -> Response:
        """
        Up to three of each line, until the goods are checked: JPEG, PNG, WebP or GIF. They are made smaller,
        and what the camera wrote into them, such as the place, is removed.
        """
        of_return, _actor = self.find_return(request, number)
        if int(request.META.get("CONTENT_LENGTH") or 0) > _MOST_BODY:
            raise _photo_problem(PhotoRefused("photo_too_big"))
        line_id, content = _read_photo(request)
        try:
            photo = photos.add_photo(
                return_id=of_return.pk, line_id=line_id, content=content, now=timezone.now()
            )
        except PhotoRefused as refused:
            raise _photo_problem(refused) from refused
        return Response(_describe_photo(photo, of_return, request), status=201)


class _FileView(_OrderView):
    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        # Whoever asks for a file gets it, whatever they say they accept; problems are JSON.
        return super().perform_content_negotiation(request, force=True)


class ReturnPhotoView(_FileView):
    @extend_schema(
        operation_id="get_return_photo",
        tags=["Returning"],
        summary="A picture of the goods",
        parameters=[RETURN_TOKEN],
        responses={(200, "image/jpeg"): OpenApiTypes.BINARY, **problems(404, 410, 429)},
    )
    def get(self, request: Request, number: str, photo_id: str) -> HttpResponse:
        of_return, _actor = self.find_return(request, number)
        photo = ReturnPhoto.objects.filter(of_return=of_return, public_id=photo_id, by_staff=False).first()
        if photo is None:
            raise NotFound
        return _file(bytes(photo.content), content_type="image/jpeg", name=f"{photo.public_id}.jpg")


class ReturnLabelPdfView(_FileView):
    @extend_schema(
        operation_id="get_return_label",
        tags=["Returning"],
        summary="The label, to print",
        parameters=[RETURN_TOKEN],
        responses={(200, "application/pdf"): OpenApiTypes.BINARY, **problems(404, 410, 429)},
    )
    def get(self, request: Request, number: str) -> HttpResponse:
        """404 while there is none: see `label` of the return."""
        of_return, _actor = self.find_return(request, number)
        label = queries.find_ready_label(return_id=of_return.pk)
        if label is None or not label.pdf:
            raise NotFound
        return _file(bytes(label.pdf), content_type="application/pdf", name=f"{of_return.number}.pdf")


class ReturnLabelQrView(_FileView):
    @extend_schema(
        operation_id="get_return_label_qr",
        tags=["Returning"],
        summary="The label as a QR code, to show at the counter",
        parameters=[RETURN_TOKEN],
        responses={
            (200, "image/svg+xml"): OpenApiResponse(OpenApiTypes.STR),
            **problems(404, 410, 429),
        },
    )
    def get(self, request: Request, number: str) -> HttpResponse:
        """404 while there is none, and for carriers that have none."""
        of_return, _actor = self.find_return(request, number)
        label = queries.find_ready_label(return_id=of_return.pk)
        if label is None or not label.qr_text or not codes.can_draw():
            raise NotFound
        picture = codes.draw_qr_svg(label.qr_text).encode()
        return _file(picture, content_type="image/svg+xml", name=f"{of_return.number}.svg")


# In


def _read_wanted(request: Request) -> dict[str, Any]:
    asked = WantedReturnInput(data=request.data)
    asked.is_valid(raise_exception=True)
    wanted = asked.validated_data
    return {
        "picks": [
            Pick(
                line_id=line["line"],
                quantity=line["quantity"],
                reason=line["reason"],
                comment=line["comment"],
            )
            for line in wanted["lines"]
        ],
        "kind": wanted["kind"].upper(),
        "refund_to": wanted["refund_to"].upper(),
        "set_off_agreed": wanted["set_off_agreed"],
    }


def _is_same(made: Return, wanted: dict[str, Any]) -> bool:
    """Whether a return is the one that was asked for, and not an earlier one under the same key."""
    asked = {(pick.line_id, pick.quantity, pick.reason) for pick in wanted["picks"]}
    lines = set(made.lines.values_list("line_id", "quantity", "reason"))
    return asked == lines and all(
        getattr(made, name) == wanted[name] for name in ("kind", "refund_to", "set_off_agreed")
    )


def _read_photo(request: Request) -> tuple[int, bytes]:
    if request.content_type.startswith("multipart/"):
        sent = PhotoFormInput(data=request.data)
        sent.is_valid(raise_exception=True)
        file = sent.validated_data["content"]
        if file.size > photos.MOST_BYTES:
            raise _photo_problem(PhotoRefused("photo_too_big"))
        return sent.validated_data["line"], file.read()
    wanted = PhotoInput(data=request.data)
    wanted.is_valid(raise_exception=True)
    try:
        return wanted.validated_data["line"], b64decode(wanted.validated_data["content"], validate=True)
    except (NotBase64, ValueError) as error:
        raise _photo_problem(PhotoRefused("photo_not_an_image")) from error


class _Refusals:
    """Turns what a flow refuses into a problem."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: Any, error: BaseException | None, _trace: Any) -> None:
        if isinstance(error, PurchaseMissing):
            raise NotFound from error
        if isinstance(error, ReturnRefused):
            extra = {} if error.line_id is None else {"line": error.line_id}
            raise Problem(
                return_wording.refusal_text(error.code),
                code=_CODES.get(error.code, error.code),
                status_code=_STATUS.get(error.code, 409),
                extra=extra,
            ) from error


def _photo_problem(refused: PhotoRefused) -> Problem:
    return Problem(
        return_wording.refusal_text(refused.code),
        code=refused.code,
        status_code=_PHOTO_STATUS.get(refused.code, 409),
    )


def _find_returnable(order_id: int) -> ReturnableOrder:
    with _Refusals():
        return return_terms.find_returnable(order_id=order_id, now=timezone.now())


# Out


def _describe_order(order: ReturnableOrder) -> dict[str, Any]:
    deadline, cost = return_wording.deadline_sentence(order), return_wording.cost_sentence(order)
    body = {
        "order": order.number,
        "currency": order.currency,
        "delivered_at": order.delivered_at,
        "return_until": order.return_until,
        "withdraw_until": order.withdraw_until,
        "time_zone": order.time_zone,
        "window_days": order.window_days,
        "fee": in_coins(order.fee, order.currency),
        "free_because": order.free_because.lower() or None,
        "offers_store_credit": order.offers_store_credit,
        "asks_for_set_off": order.asks_for_set_off,
        "refund_days": order.refund_days,
        "has_anything": order.has_anything,
        "reasons": return_wording.reasons(),
        "lines": [
            {
                "line": line.line_id,
                "title": line.title,
                "sku": line.sku,
                "product": line.product_id,
                "ordered": line.ordered,
                "returned": line.returned,
                "left": line.left,
                "amount": in_coins(line.amount, order.currency),
                "only_faults": line.only_faults,
                "why_none": line.why_none or None,
                "text": return_wording.line_sentence(line),
            }
            for line in order.lines
        ],
        "sentences": [one for one in (deadline, cost) if one],
    }
    return dict(ReturnableLinesOutput(body).data)


def _describe_preview(preview: Preview, *, refund_days: int) -> dict[str, Any]:
    said = return_wording.say_preview(preview, refund_days=refund_days)
    body = {
        "order": preview.order_number,
        "currency": preview.currency,
        "lines": [
            {
                "line": line.line_id,
                "title": line.title,
                "quantity": line.quantity,
                "amount": in_coins(line.amount, preview.currency),
                "points_back": line.points_back,
                "text": text,
            }
            for line, text in zip(preview.lines, said.lines, strict=True)
        ],
        "money": _describe_money(
            preview.currency,
            goods=preview.goods,
            delivery=preview.delivery,
            fee=preview.fee,
            earlier=preview.earlier,
            set_off=preview.set_off,
            refund=preview.refund,
        )
        | {"free_because": preview.free_because.lower() or None},
        "pays_to": preview.pays_to,
        "points": {
            "back": preview.points_back,
            "taken": preview.points_taken,
            "waived": preview.points_waived,
            "instead_of_money": preview.credit_points,
        },
        "points_missing": preview.points_missing,
        "before": _describe_standing(preview.before),
        "after": _describe_standing(preview.after),
        "keeps_goods": preview.keeps_goods,
        "is_instant": preview.is_instant,
        "send_until": preview.send_until,
        "sentences": said,
    }
    return dict(ReturnPreviewOutput(body).data)


def _describe_standing(standing: Standing) -> dict[str, Any]:
    progress = standing.progress
    tier = progress.tier if progress else None
    return {
        "available": standing.available,
        "pending": standing.pending,
        "debt": standing.debt,
        "tier": tier.code if tier else None,
        "tier_name": name_of(tier) if tier else None,
        "progress_percent": progress.percent if progress else None,
    }


def _describe_money(currency: str, **amounts: Any) -> dict[str, Any]:
    return {name: in_coins(amount, currency) for name, amount in amounts.items()}


def _describe_summary(of_return: Return) -> dict[str, Any]:
    return {
        "number": of_return.number,
        "order": of_return.order_ref,
        "kind": of_return.kind.lower(),
        "state": of_return.state.lower(),
        "state_text": return_wording.state_text(of_return),
        "requested_at": of_return.requested_at,
        "currency": of_return.currency,
        "refund": in_coins(of_return.refund_amount, of_return.currency),
        "pieces": sum(line.quantity for line in of_return.lines.all()),
    }


def _describe_return(of_return: Return, request: Request) -> dict[str, Any]:
    view = return_reading.view_return(of_return)
    money = {
        name: getattr(of_return, f"{name}_amount")
        for name in ("goods", "delivery", "fee", "earlier", "set_off", "refund")
    }
    body = {
        **_describe_summary(of_return),
        "send_until": of_return.send_until,
        "refund_due_at": of_return.refund_due_at,
        "keeps_goods": of_return.keeps_goods,
        "is_instant": of_return.is_instant,
        "refund_to": of_return.refund_to.lower(),
        "set_off_agreed": of_return.set_off_agreed,
        "lines": [_describe_line(line, of_return, request) for line in view.lines],
        "money": _describe_money(of_return.currency, **money)
        | {"free_because": of_return.free_because.lower() or None},
        "points": {
            "back": of_return.points_back,
            "taken": of_return.points_taken,
            "waived": of_return.points_waived,
            "instead_of_money": of_return.credit_points,
        },
        "refund_status": view.refund,
        "label": _describe_label(view, request),
        "timeline": view.timeline,
        "sentences": view.sentences,
        "may_cancel": view.may_cancel,
        "may_add_photos": view.may_add_photos,
    }
    return dict(ReturnOutput(body).data)


def _describe_line(line: ReturnLine, of_return: Return, request: Request) -> dict[str, Any]:
    return {
        "line": line.line_id,
        "title": line.title,
        "sku": line.sku,
        "quantity": line.quantity,
        "reason": line.reason,
        "reason_text": line.get_reason_display(),
        "comment": line.comment,
        "accepted": line.accepted if of_return.decision or of_return.state == State.REJECTED else None,
        "refusal": line.refusal,
        "amount": in_coins(line.amount, of_return.currency),
        "deduction": in_coins(line.deduction, of_return.currency),
        "points_back": line.points_back,
        "photos": [
            _describe_photo(photo, of_return, request) for photo in line.photos.all() if not photo.by_staff
        ],
    }


def _describe_photo(photo: ReturnPhoto, of_return: Return, request: Request) -> dict[str, Any]:
    url = _url(request, "return-photo", number=of_return.number, photo_id=photo.public_id)
    return dict(ReturnPhotoOutput({"id": photo.public_id, "url": url}).data)


def _describe_label(view: ReturnView, request: Request) -> dict[str, Any] | None:
    label, number = view.label, view.of_return.number
    if label is None:
        return None
    return {
        "state": label.state.lower(),
        "tracking_code": label.tracking_code,
        "valid_until": label.valid_until,
        "pdf_url": _url(request, "return-label", number=number) if view.has_label else None,
        "qr_url": _url(request, "return-label-qr", number=number)
        if view.has_qr and codes.can_draw()
        else None,
    }


def _url(request: Request, name: str, **arguments: Any) -> str:
    return request.build_absolute_uri(reverse(f"loyalty_api:{name}", kwargs=arguments))


def _file(content: bytes, *, content_type: str, name: str) -> HttpResponse:
    return HttpResponse(
        content,
        content_type=content_type,
        headers={
            "Content-Disposition": f'inline; filename="{name}"',
            "X-Content-Type-Options": "nosniff",
        },
    )

"""``/api/loyalty/v1/warehouse/returns``: what a scanner, a warehouse or a carrier says about returns."""

from collections.abc import Callable
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from oscar_loyalty.flows import return_desk, return_steps
from oscar_loyalty.flows.return_desk import CallReused, DecidedOtherwise
from oscar_loyalty.flows.return_desk_wording import explain
from oscar_loyalty.flows.return_terms import ReturnRefused
from oscar_loyalty.rest_api.base import LoyaltyView, get_user_id, read_idempotency_key
from oscar_loyalty.rest_api.fields import MoneyField, WholeNumberField, in_coins
from oscar_loyalty.rest_api.problems import InvalidQuery, Problem
from oscar_loyalty.rest_api.schema import LANGUAGE, page_of, problems
from oscar_loyalty.rest_api.v1.ledger import LedgerPagination, PageQuery
from oscar_loyalty.rest_api.v1.returns import KINDS, MOST_LINES, REASONS, STATES
from oscar_loyalty.returns import desk_queries, queries
from oscar_loyalty.returns.models import NOTHING, Condition, Return
from oscar_loyalty.returns.services import Decision, DecisionInvalid
from oscar_loyalty.returns.states import OPEN
from oscar_loyalty.shop.orders import PurchaseMissing

#: Who may see and move returns: staff at the desk, or the account of a warehouse's software.
PERMISSION = "oscar_loyalty.handle_returns"
CONDITIONS = [condition.lower() for condition in Condition.values]

IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    required=True,
    description="Made by the caller for each call, for example a UUID. The same key and the same call again "
    "change nothing more and get the return as it is now.",
)
#: What is wrong with the request itself; the rest is not possible as things are now.
_INVALID = frozenset(["unknown_line", "line_missing", "too_many", "deduction_too_high", "reason_missing"])


class HandlesReturns(BasePermission):
    def has_permission(self, request: Request, view: Any) -> bool:
        return bool(request.user and request.user.is_authenticated and request.user.has_perm(PERMISSION))


class WarehouseLineOutput(serializers.Serializer[Any]):
    line = WholeNumberField(min_value=1, help_text="Send it back in an inspection.")
    title = serializers.CharField()
    sku = serializers.CharField()
    upc = serializers.CharField()
    quantity = WholeNumberField(min_value=1, help_text="Pieces that are sent.")
    reason = serializers.ChoiceField(choices=REASONS)
    comment = serializers.CharField(help_text="Of the customer.")
    accepted = WholeNumberField(min_value=0, allow_null=True, help_text="Null before the inspection.")
    condition = serializers.ChoiceField(choices=CONDITIONS, allow_null=True)
    deduction = MoneyField()
    refusal = serializers.CharField(help_text="Why not all, or why a deduction.")


class WarehouseReturnOutput(serializers.Serializer[Any]):
    """A return as the warehouse sees it: without the customer's name and address."""

    number = serializers.CharField(help_text="Number of the return (RMA), as on its label.")
    order = serializers.CharField(help_text="Number of the order.")
    kind = serializers.ChoiceField(choices=KINDS)
    state = serializers.ChoiceField(choices=STATES)
    tracking_code = serializers.CharField(allow_null=True)
    currency = serializers.CharField()
    requested_at = serializers.DateTimeField()
    send_until = serializers.DateTimeField(allow_null=True)
    shipped_at = serializers.DateTimeField(allow_null=True)
    received_at = serializers.DateTimeField(allow_null=True)
    refund_due_at = serializers.DateTimeField(
        allow_null=True, help_text="The refund was promised until then."
    )
    is_decided = serializers.BooleanField()
    lines = WarehouseLineOutput(many=True)


class WarehouseQuery(PageQuery):
    state = serializers.MultipleChoiceField(
        choices=STATES, required=False, help_text="Only returns in this state; repeat it for several."
    )
    scan = serializers.CharField(
        required=False,
        max_length=desk_queries.LONGEST_SCAN,
        help_text="What a scanner read: number of a return, code of its label, or number of an order.",
    )


class InspectedLineInput(serializers.Serializer[Any]):
    line = WholeNumberField(min_value=1, max_value=2**63 - 1)
    accepted = WholeNumberField(min_value=0, max_value=2**31 - 1)
    condition = serializers.ChoiceField(choices=CONDITIONS)
    deduction = serializers.DecimalField(
        max_digits=13,
        decimal_places=2,
        min_value=0,
        required=False,
        help_text="For a loss of value beyond trying the goods, in the return's currency.",
    )
    refusal = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=255,
        default="",
        help_text="Needed where not everything is accepted, or something deducted. The customer reads it.",
    )


class InspectionInput(serializers.Serializer[Any]):
    lines = InspectedLineInput(many=True, allow_empty=False, max_length=MOST_LINES)  # type: ignore[call-arg]


class LateReceiptInput(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=255, help_text="Why it goes on. For staff, not the customer.")


class WarehousePagination(LedgerPagination):
    ordering = "-id"


class _WarehouseView(LoyaltyView):
    permission_classes = [HandlesReturns]
    throttle_scope = "warehouse"
    write_scope = "warehouse"
    works_switched_off = True


class WarehouseReturnsView(_WarehouseView):
    @extend_schema(
        operation_id="list_warehouse_returns",
        tags=["Warehouse"],
        summary="Find returns",
        parameters=[LANGUAGE, WarehouseQuery],
        responses={200: page_of(WarehouseReturnOutput), **problems(400, 401, 403, 429)},
    )
    def get(self, request: Request) -> Response:
        """Newest first. Takes the permission `oscar_loyalty.handle_returns`, as do all calls below."""
        query = WarehouseQuery(data=request.query_params)
        if not query.is_valid():
            raise InvalidQuery(query.errors)
        found = Return.objects.select_related("label").prefetch_related("lines")
        if scan := query.validated_data.get("scan"):
            found = found.filter(pk__in=[one.pk for one in desk_queries.list_by_scan(scan)])
        if states := query.validated_data.get("state"):
            found = found.filter(state__in=[state.upper() for state in states])
        pages = WarehousePagination()
        page = pages.paginate_queryset(found, request, view=self) or []
        return pages.get_paginated_response([_describe(one) for one in page])


class _StepView(_WarehouseView):
    """One step of one return, once for each key."""

    def step(
        self, request: Request, number: str, *, name: str, wish: Any, do: Callable[[Return], Return]
    ) -> Response:
        of_return = queries.find_return(number=number)
        key = read_idempotency_key(request)
        if of_return is None:
            raise Problem(_("There is no such return."), code="return_unknown", status_code=404)
        try:
            done = return_desk.call_once(
                return_id=of_return.pk,
                key=key,
                wish={"step": name, "wish": wish},
                do=lambda: do(of_return),
                actor_ref=self.actor_ref(request),
            )
        except CallReused as error:
            raise Problem(
                _("This key was used for another call. Make a new one for each."),
                code="idempotency_key_reused",
                status_code=409,
            ) from error
        except DecidedOtherwise as error:
            raise Problem(
                _("Somebody has decided on this return already, and differently."),
                code="return_decided",
                status_code=409,
            ) from error
        except PurchaseMissing as error:
            raise Problem(explain("order_gone"), code="order_gone", status_code=409) from error
        except (ReturnRefused, DecisionInvalid) as error:
            raise Problem(
                explain(error.code),
                code=f"return_{error.code}" if error.code == "wrong_state" else error.code,
                status_code=400 if error.code in _INVALID else 409,
            ) from error
        return Response(_describe(done))

    def actor_ref(self, request: Request) -> str:
        return f"user:{get_user_id(request)}"


class WarehouseTransitView(_StepView):
    @extend_schema(
        operation_id="report_return_transit",
        tags=["Warehouse"],
        summary="The carrier has the parcel",
        parameters=[LANGUAGE, IDEMPOTENCY_KEY],
        request=None,
        responses={200: WarehouseReturnOutput, **problems(400, 401, 403, 404, 409, 429)},
    )
    def post(self, request: Request, number: str) -> Response:
        """Members with that benefit are refunded now. A parcel that was reported before stays as it is."""
        return self.step(
            request,
            number,
            name="transit",
            wish=None,
            do=lambda one: return_steps.mark_in_transit(
                return_id=one.pk, actor_ref=self.actor_ref(request), now=timezone.now()
            ),
        )


class WarehouseReceiptView(_StepView):
    @extend_schema(
        operation_id="report_return_receipt",
        tags=["Warehouse"],
        summary="The goods have arrived",
        parameters=[LANGUAGE, IDEMPOTENCY_KEY],
        request=None,
        responses={200: WarehouseReturnOutput, **problems(400, 401, 403, 404, 409, 429)},
    )
    def post(self, request: Request, number: str) -> Response:
        """From now on runs the time until the refund that was promised. The first receipt counts."""
        return self.step(
            request,
            number,
            name="receipt",
            wish=None,
            do=lambda one: return_steps.receive_return(
                return_id=one.pk, actor_ref=self.actor_ref(request), now=timezone.now()
            ),
        )


class WarehouseLateReceiptView(_StepView):
    @extend_schema(
        operation_id="report_return_late_receipt",
        tags=["Warehouse"],
        summary="The goods have arrived although the return was closed",
        parameters=[LANGUAGE, IDEMPOTENCY_KEY],
        request=LateReceiptInput,
        responses={200: WarehouseReturnOutput, **problems(400, 401, 403, 404, 409, 429)},
        examples=[OpenApiExample("Late", {"reason": "The carrier had lost it."}, request_only=True)],
    )
    def post(self, request: Request, number: str) -> Response:
        """
        Opens a return again that was called off, or closed because nothing had been sent: its goods are
        received, and the customer is told. 409 `returned_otherwise` when pieces of it came back, or are to
        come back, with another return.
        """
        said = LateReceiptInput(data=request.data)
        said.is_valid(raise_exception=True)
        return self.step(
            request,
            number,
            name="late-receipt",
            wish=said.validated_data,
            do=lambda one: return_steps.receive_late(
                return_id=one.pk,
                reason=said.validated_data["reason"],
                actor_ref=self.actor_ref(request),
                now=timezone.now(),
            ),
        )


class WarehouseInspectionView(_StepView):
    @extend_schema(
        operation_id="report_return_inspection",
        tags=["Warehouse"],
        summary="What was found in the parcel",
        parameters=[LANGUAGE, IDEMPOTENCY_KEY],
        request=InspectionInput,
        responses={200: WarehouseReturnOutput, **problems(400, 401, 403, 404, 409, 429)},
        examples=[
            OpenApiExample(
                "One of two cups is broken",
                {
                    "lines": [
                        {
                            "line": 17,
                            "accepted": 1,
                            "condition": "as_new",
                            "refusal": "The second cup is broken.",
                        }
                    ]
                },
                request_only=True,
            )
        ],
    )
    def post(self, request: Request, number: str) -> Response:
        """
        Decides: refund, points and stock are booked with it, once. Name every line of the return. What was
        decided stays: the same again gets the return, anything else is 409 `return_decided`.
        """
        found = InspectionInput(data=request.data)
        found.is_valid(raise_exception=True)
        decisions = [
            Decision(
                line_id=line["line"],
                accepted=line["accepted"],
                condition=line["condition"].upper(),
                deduction=line.get("deduction", NOTHING),
                refusal=line["refusal"],
            )
            for line in found.validated_data["lines"]
        ]
        return self.step(
            request,
            number,
            name="inspection",
            wish=found.validated_data,
            do=lambda one: return_desk.inspect_strictly(
                return_id=one.pk, decisions=decisions, actor_ref=self.actor_ref(request), now=timezone.now()
            ),
        )


def _describe(one: Return) -> dict[str, Any]:
    label = getattr(one, "label", None)
    body = {
        "number": one.number,
        "order": one.order_ref,
        "kind": one.kind.lower(),
        "state": one.state.lower(),
        "tracking_code": (label.tracking_code or None) if label else None,
        "currency": one.currency,
        "requested_at": one.requested_at,
        "send_until": one.send_until,
        "shipped_at": one.shipped_at,
        "received_at": one.received_at,
        "refund_due_at": one.refund_due_at,
        "is_decided": one.state not in OPEN,
        "lines": [
            {
                "line": line.line_id,
                "title": line.title,
                "sku": line.sku,
                "upc": line.upc,
                "quantity": line.quantity,
                "reason": line.reason,
                "comment": line.comment,
                "accepted": line.accepted,
                "condition": line.condition.lower() or None,
                "deduction": in_coins(line.deduction, one.currency),
                "refusal": line.refusal,
            }
            for line in sorted(one.lines.all(), key=lambda line: line.pk)
        ],
    }
    return dict(WarehouseReturnOutput(body).data)

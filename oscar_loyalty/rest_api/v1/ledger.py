from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response

from oscar_loyalty.flows.causes import Touched, list_touched, with_causes
from oscar_loyalty.flows.wording import list_parts
from oscar_loyalty.points import queries as points
from oscar_loyalty.points.models import EarnedLine, Entry, Lot
from oscar_loyalty.programmes.rules import FAR_FUTURE
from oscar_loyalty.rest_api import texts
from oscar_loyalty.rest_api.base import MemberView
from oscar_loyalty.rest_api.fields import MoneyField, WholeNumberField
from oscar_loyalty.rest_api.problems import InvalidQuery
from oscar_loyalty.rest_api.schema import LANGUAGE, page_of, problems
from oscar_loyalty.shop.orders import LineTitle, find_line_titles

#: Reservations come and go with every basket, so a member's statement leaves them out.
KINDS = [kind for kind in Entry.Kind.values if kind not in (Entry.Kind.HOLD, Entry.Kind.RELEASE)]

DIRECTIONS = ["in", "out", "none"]
LOT_STATES = ["spendable", "pending"]

_DIRECTIONS = {1: "in", 0: "none", -1: "out"}


class LedgerPagination(CursorPagination):
    page_size = 20
    page_size_query_param = "page_size"
    max_page_size = 100
    ordering = "-seq"


class LotPagination(LedgerPagination):
    ordering = ("expires_at", "id")  # type: ignore[assignment]


class PageQuery(serializers.Serializer[Any]):
    cursor = serializers.CharField(required=False, help_text="From `next` or `previous` of a page.")
    page_size = serializers.IntegerField(
        required=False, min_value=1, max_value=LedgerPagination.max_page_size, help_text="20 by default."
    )


class LedgerQuery(PageQuery):
    kind = serializers.MultipleChoiceField(
        choices=KINDS, required=False, help_text="Only movements of this kind; repeat it for several."
    )
    order = serializers.CharField(
        required=False, max_length=128, help_text="Only movements caused by the order of this number."
    )


class EarnedLineOutput(serializers.Serializer[Any]):
    title = serializers.CharField(help_text="As on the order.")
    product = serializers.IntegerField(allow_null=True, help_text="Null for shipping and deleted products.")
    basis = MoneyField(help_text="Money that the points were computed on.")
    points = WholeNumberField(min_value=0)
    rule = serializers.CharField(
        source="rule_code", help_text="`PURCHASE`: the base rate; `TIER`: a perk; else a rule's code."
    )


class PartOutput(serializers.Serializer[Any]):
    """What one rule brings to an earning."""

    rule = serializers.CharField(
        source="code", help_text="`PURCHASE`: the base rate; `TIER`: a perk; else a rule's code."
    )
    points = WholeNumberField(min_value=0)
    text = serializers.CharField(help_text="Why, to show.")


class ExplanationOutput(serializers.Serializer[Any]):
    text = serializers.CharField(help_text="How many points and why, in a sentence. May be empty.")
    rule = serializers.CharField(allow_null=True, help_text="`PURCHASE` for points earned with an order.")
    programme_version = WholeNumberField(min_value=1, allow_null=True, help_text="In force at that time.")
    amount = MoneyField(
        allow_null=True, help_text="Earned: money that the points were computed on. Spent: money saved."
    )
    currency = serializers.CharField(allow_null=True)
    rounding = serializers.CharField(
        allow_null=True, help_text="`FLOOR_ONCE`: rounded down once, for the whole order."
    )
    lines = EarnedLineOutput(many=True, help_text="By line of the order and rule.")
    parts = PartOutput(
        many=True, help_text="What each rule brought; they sum to the points. Empty where only one acted."
    )


class TouchedLotOutput(serializers.Serializer[Any]):
    id = serializers.UUIDField(help_text="As in the list of lots, while it has points.")
    order = serializers.CharField(allow_null=True, help_text="Number of the order that earned it.")
    points = WholeNumberField(min_value=0, help_text="How many of its points moved.")
    change = serializers.IntegerField(
        help_text="Signed: what the lot won or lost. 0: its points only became spendable."
    )


class LedgerEntryOutput(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=KINDS)
    points = serializers.IntegerField(help_text="Signed: below zero when points were taken.")
    direction = serializers.ChoiceField(
        choices=DIRECTIONS,
        help_text="`none`: the total stays, for example when pending points become spendable.",
    )
    available_after = WholeNumberField(min_value=0, help_text="Spendable points right after it.")
    text = serializers.CharField(help_text="What happened, for the statement.")
    explanation = ExplanationOutput(allow_null=True, help_text="Null when there is nothing to explain.")
    order = serializers.CharField(allow_null=True, help_text="Number of the order that caused it.")
    reverses = serializers.UUIDField(allow_null=True, help_text="The movement that it takes back.")
    lots = TouchedLotOutput(many=True, help_text="Where the points came from or went, in this order.")
    effective_at = serializers.DateTimeField(help_text="When it happened.")
    booked_at = serializers.DateTimeField()


class LotOutput(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    points = WholeNumberField(min_value=0, help_text="Left, reserved ones included.")
    state = serializers.ChoiceField(choices=LOT_STATES)
    spendable_from = serializers.DateTimeField(
        allow_null=True, help_text="Null while it is not known, for example before the order is shipped."
    )
    expires_at = serializers.DateTimeField(
        allow_null=True, help_text="Null while it is not known, and for points that do not expire."
    )
    order = serializers.CharField(allow_null=True, help_text="Number of the order that earned it.")
    earned_at = serializers.DateTimeField()


class LedgerView(MemberView):
    @extend_schema(
        operation_id="list_ledger",
        tags=["Member"],
        summary="Statement: every movement of points",
        parameters=[LANGUAGE, LedgerQuery],
        responses={200: page_of(LedgerEntryOutput), **problems(400, 401, 403, 404, 429)},
    )
    def get(self, request: Request) -> Response:
        """Newest first. Follow `next` for older movements; a page never shifts when new ones come in."""
        wanted = _read_query(LedgerQuery, request)
        entries = points.list_entries(account_id=self.account.pk)
        if kinds := wanted.get("kind"):
            entries = entries.filter(kind__in=kinds)
        if order := wanted.get("order"):
            entries = entries.filter(order_ref=order)
        pages = LedgerPagination()
        entries = with_causes(entries).prefetch_related("lines")
        page = pages.paginate_queryset(entries, request, view=self) or []
        titles = find_line_titles(line.line_ref for entry in page for line in entry.lines.all())
        rows = [_describe_entry(entry, titles=titles) for entry in page]
        return pages.get_paginated_response(LedgerEntryOutput(rows, many=True).data)


class LotsView(MemberView):
    @extend_schema(
        operation_id="list_lots",
        tags=["Member"],
        summary="Points left, by what earned them and when they expire",
        parameters=[LANGUAGE, PageQuery],
        responses={200: page_of(LotOutput), **problems(400, 401, 403, 404, 429)},
    )
    def get(self, request: Request) -> Response:
        """Earliest expiry first, the order in which they are spent; pending points come last."""
        _read_query(PageQuery, request)
        lots = points.list_open_lots(account_id=self.account.pk).exclude(
            Q(pending=0) & Q(expires_at__lte=self.now)
        )
        pages = LotPagination()
        page = pages.paginate_queryset(lots, request, view=self) or []
        rows = [_describe_lot(lot, now=self.now) for lot in page]
        return pages.get_paginated_response(LotOutput(rows, many=True).data)


def _read_query(serializer_class: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    wanted = serializer_class(data=request.query_params)
    if not wanted.is_valid():
        raise InvalidQuery(wanted.errors)
    return dict(wanted.validated_data)


def _describe_entry(entry: Entry, *, titles: dict[str, LineTitle]) -> dict[str, Any]:
    direction = _DIRECTIONS[Entry.Kind(entry.kind).sign]
    return {
        "id": entry.public_id,
        "kind": entry.kind,
        "points": -entry.points if direction == "out" else entry.points,
        "direction": direction,
        "available_after": entry.available_after,
        "text": texts.entry_text(entry),
        "explanation": _explain(entry, titles=titles),
        "order": entry.order_ref or None,
        "reverses": entry.reverses and entry.reverses.public_id,
        "lots": [_describe_touched(touched) for touched in list_touched(entry)],
        "effective_at": entry.effective_at,
        "booked_at": entry.created_at,
    }


def _explain(entry: Entry, *, titles: dict[str, LineTitle]) -> dict[str, Any] | None:
    facts = entry.explanation
    reason = texts.entry_reason(entry)
    lines = list(_describe_lines(entry.lines.all(), titles=titles))
    if not (facts or reason or lines):
        return None
    amount = facts.get("basis", facts.get("amount"))
    return {
        "text": reason,
        "rule": facts.get("rule"),
        "programme_version": facts.get("version"),
        "amount": amount if amount is None else Decimal(amount),
        "currency": facts.get("currency"),
        "rounding": facts.get("rounding"),
        "lines": lines,
        "parts": list_parts(facts),
    }


def _describe_touched(touched: Touched) -> dict[str, Any]:
    return {
        "id": touched.lot.public_id,
        "order": _order_of(touched.lot),
        "points": touched.points,
        "change": touched.change,
    }


def _describe_lines(lines: Iterable[EarnedLine], *, titles: dict[str, LineTitle]) -> Iterable[dict[str, Any]]:
    for line in sorted(lines, key=lambda line: line.pk):
        known = titles.get(line.line_ref)
        if known is not None:
            title = known.title
        else:
            title = _("Shipping") if line.line_ref == "shipping" else _("An item that is no longer known")
        yield {
            "title": title,
            "product": known and known.product_id,
            "basis": line.basis,
            "points": line.points,
            "rule_code": line.rule_code,
        }


def _describe_lot(lot: Lot, *, now: datetime) -> dict[str, Any]:
    is_spendable = lot.active_at <= now
    return {
        "id": lot.public_id,
        "points": lot.remaining + lot.pending,
        "state": "spendable" if is_spendable else "pending",
        "spendable_from": None if lot.active_at == FAR_FUTURE else lot.active_at,
        "expires_at": None if lot.expires_at == FAR_FUTURE else lot.expires_at,
        "order": _order_of(lot),
        "earned_at": lot.created_at,
    }


def _order_of(lot: Lot) -> str | None:
    return lot.source_ref.removeprefix("order:") if lot.source_ref.startswith("order:") else None

from decimal import Decimal
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from oscar_loyalty.flows import tier_wording as wording
from oscar_loyalty.programmes import queries as programmes
from oscar_loyalty.rest_api.base import LoyaltyView, MemberView
from oscar_loyalty.rest_api.fields import DecimalStringField, WholeNumberField, in_coins
from oscar_loyalty.rest_api.schema import LANGUAGE, problems
from oscar_loyalty.rest_api.v1.programme import answer_everybody, no_programme
from oscar_loyalty.tiers.models import Tier, TierChange, TierScheme
from oscar_loyalty.tiers.progress import Progress, read_past_changes, read_progress
from oscar_loyalty.tiers.queries import TierTable, find_tier_table, name_of

STATES = ["no_tiers", "none", "held", "grace", "given"]
METRICS = TierScheme.Metric.values
_METRIC = "What `reach`, `keep`, `qualified` and `missing` count; null without tiers."


class TierNameOutput(serializers.Serializer[Any]):
    code = serializers.CharField(help_text="Stable.")
    name = serializers.CharField(help_text="In the language of the request.")
    rank = WholeNumberField(min_value=1, help_text="1 is the lowest.")


class TierOutput(TierNameOutput):
    reach = DecimalStringField(help_text="Reached with so much.")
    keep = DecimalStringField(help_text="Kept with so much; 0: for good.")
    reach_text = serializers.CharField()
    keep_text = serializers.CharField()


class TiersOutput(serializers.Serializer[Any]):
    metric = serializers.ChoiceField(choices=METRICS, allow_null=True, help_text=_METRIC)
    currency = serializers.CharField(allow_null=True, help_text="With the metric `SPEND`.")
    period = serializers.ChoiceField(choices=TierScheme.Period.values, allow_null=True)
    period_months = WholeNumberField(min_value=1, allow_null=True)
    grace_days = WholeNumberField(
        min_value=0, allow_null=True, help_text="A tier that is no longer earned is kept so much longer."
    )
    downgrade = serializers.ChoiceField(choices=TierScheme.Downgrade.values, allow_null=True)
    tiers = TierOutput(many=True, help_text="Lowest first; empty when the programme has none.")
    sentences = serializers.ListField(
        child=serializers.CharField(), help_text="The rules in plain sentences."
    )


class NextTierOutput(serializers.Serializer[Any]):
    tier = TierNameOutput()
    missing = DecimalStringField()
    until = serializers.DateTimeField(
        allow_null=True, help_text="From then on more is missing: a period ends, or an order stops counting."
    )
    percent = WholeNumberField(min_value=0, help_text="Of the way, rounded down.")
    text = serializers.CharField()


class KeepTierOutput(serializers.Serializer[Any]):
    missing = DecimalStringField(help_text="To be bought from `starts_at` on, before `ends_at`.")
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    text = serializers.CharField()


class TierChangeOutput(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    from_name = serializers.CharField(allow_blank=True, help_text="Empty: none.")
    to_name = serializers.CharField(allow_blank=True)
    reason = serializers.ChoiceField(choices=TierChange.Reason.values)
    reason_text = serializers.CharField()
    order = serializers.CharField(source="order_ref", allow_blank=True, help_text="Number of the order.")


class MyTierOutput(serializers.Serializer[Any]):
    state = serializers.ChoiceField(
        choices=STATES,
        help_text="`none`: not reached one yet. `grace`: no longer earned, but held. `given`: by staff.",
    )
    metric = serializers.ChoiceField(choices=METRICS, allow_null=True, help_text=_METRIC)
    currency = serializers.CharField(allow_null=True)
    tier = TierNameOutput(allow_null=True)
    since = serializers.DateTimeField(allow_null=True)
    lost_at = serializers.DateTimeField(
        allow_null=True, help_text="If nothing more is bought; null: it is not lost by time alone."
    )
    qualified = DecimalStringField(allow_null=True, help_text="Counts today.")
    next = NextTierOutput(allow_null=True)
    keep = KeepTierOutput(allow_null=True)
    sentences = serializers.ListField(child=serializers.CharField(), help_text="All of that, to show.")
    history = TierChangeOutput(many=True, help_text="The newest 20 changes.")


class ProjectedTierOutput(serializers.Serializer[Any]):
    code = serializers.CharField(allow_blank=True, help_text="Tier after this order; empty: none.")
    name = serializers.CharField(allow_blank=True)
    rises = serializers.BooleanField(help_text="This order reaches a tier above the one that is held.")
    next_code = serializers.CharField(allow_blank=True, help_text="The tier above; empty: there is none.")
    next_name = serializers.CharField(allow_blank=True)
    missing = DecimalStringField(help_text="What the tier above then still takes.")
    metric = serializers.ChoiceField(choices=METRICS)
    currency = serializers.CharField(allow_null=True)


class TiersView(LoyaltyView):
    """The same for everybody, as the programme itself."""

    authentication_classes: list[Any] = []
    throttle_scope = "public"

    @extend_schema(
        operation_id="get_tiers",
        tags=["Programme"],
        summary="The tiers of the programme",
        parameters=[LANGUAGE],
        responses={200: TiersOutput, 304: None, **problems(404, 429)},
    )
    def get(self, request: Request) -> Any:
        """
        Public and the same for everybody, also for those who are no members. Send the `ETag` back as
        `If-None-Match` to be answered with 304 while nothing has changed.
        """
        return answer_everybody(request, lambda: TiersOutput(_describe_tiers()).data)


class MyTierView(MemberView):
    @extend_schema(
        operation_id="get_my_tier",
        tags=["Member"],
        summary="The member's tier",
        parameters=[LANGUAGE],
        responses={200: MyTierOutput, **problems(401, 403, 404, 429)},
    )
    def get(self, request: Request) -> Response:
        """
        The tier, what is missing for the next one, what keeps this one and what would be lost: in numbers
        and in sentences. Computed for this moment, so that it is right at midnight too.
        """
        progress = read_progress(member_id=self.account.member_id, now=self.now)
        return Response(MyTierOutput(_describe_mine(progress, member_id=self.account.member_id)).data)


def _describe_tiers() -> dict[str, Any]:
    now = timezone.now()
    table = find_tier_table(at=now)
    if table is None:
        if programmes.find_policy(currency="", at=now) is None:
            raise no_programme()
        nothing = ("metric", "currency", "period", "period_months", "grace_days", "downgrade")
        return {**dict.fromkeys(nothing), "tiers": [], "sentences": []}
    scheme = table.scheme
    return {
        "metric": scheme.metric,
        "currency": scheme.currency if table.thresholds_are_money else None,
        "period": scheme.period,
        "period_months": 12 if scheme.period == TierScheme.Period.CALENDAR else scheme.period_months,
        "grace_days": scheme.grace_days,
        "downgrade": scheme.downgrade,
        "tiers": [
            {
                **_describe_name(tier),
                "reach": _amount(tier.entry_threshold, table=table),
                "keep": _amount(tier.keep_threshold, table=table),
                "reach_text": wording.reach_text(tier, table=table),
                "keep_text": wording.keep_text(tier, table=table),
            }
            for tier in table.tiers
        ],
        "sentences": wording.rules_sentences(table),
    }


def _describe_mine(progress: Progress | None, *, member_id: int) -> dict[str, Any]:
    if progress is None:
        nothing = ("metric", "currency", "tier", "since", "lost_at", "qualified", "next", "keep")
        return {"state": "no_tiers", **dict.fromkeys(nothing), "sentences": [], "history": []}
    table, tier, above = progress.table, progress.tier, progress.next_tier
    return {
        "state": _state_of(progress),
        "metric": progress.metric,
        "currency": progress.currency if progress.is_money else None,
        "tier": tier and _describe_name(tier),
        "since": progress.standing.since if tier else None,
        "lost_at": progress.lost_at,
        "qualified": _amount(progress.qualified, table=table),
        "next": above
        and {
            "tier": _describe_name(above),
            "missing": _amount(progress.missing, table=table),
            "until": progress.missing_until,
            "percent": progress.percent,
            "text": wording.next_sentence(progress),
        },
        "keep": None
        if progress.keep_missing is None
        else {
            "missing": _amount(progress.keep_missing, table=table),
            "starts_at": progress.keep_from,
            "ends_at": progress.keep_by,
            "text": wording.keep_sentence(progress),
        },
        "sentences": wording.sentences(progress),
        "history": read_past_changes(member_id=member_id, table=table),
    }


def _state_of(progress: Progress) -> str:
    if progress.tier is None:
        return "none"
    if progress.is_given:
        return "given"
    return "grace" if progress.is_in_grace else "held"


def _describe_name(tier: Tier) -> dict[str, Any]:
    return {"code": tier.code, "name": name_of(tier), "rank": tier.rank}


def _amount(value: Decimal, *, table: TierTable) -> Decimal:
    """Money in its coins, anything else whole."""
    return (
        in_coins(value, table.scheme.currency) if table.thresholds_are_money else value.quantize(Decimal(1))
    )

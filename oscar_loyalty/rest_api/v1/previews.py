from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from oscar_loyalty.flows.earning import EarnPreview, Situation, preview_each
from oscar_loyalty.flows.wording import describe_parts
from oscar_loyalty.members.models import Member
from oscar_loyalty.members.queries import find_active_member
from oscar_loyalty.points.rules import PurchaseLine
from oscar_loyalty.programmes import queries as programmes
from oscar_loyalty.programmes.rules import Policy
from oscar_loyalty.rest_api import texts
from oscar_loyalty.rest_api.base import LoyaltyView
from oscar_loyalty.rest_api.baskets import get_basket, get_strategy
from oscar_loyalty.rest_api.fields import MoneyField, WholeNumberField, YesOrNoField, in_coins
from oscar_loyalty.rest_api.schema import LANGUAGE, problems
from oscar_loyalty.rest_api.v1.ledger import PartOutput
from oscar_loyalty.rest_api.v1.tiers import ProjectedTierOutput
from oscar_loyalty.shop.baskets import get_basket_lines
from oscar_loyalty.shop.channels import find_channel
from oscar_loyalty.shop.currencies import get_default_currency
from oscar_loyalty.shop.perk_products import find_shut
from oscar_loyalty.shop.products import find_products, get_product_lines
from oscar_loyalty.tiers.models import TierScheme
from oscar_loyalty.tiers.progress import project_tier

STATES = list(texts.EARNING_STATES)
MOST_ITEMS = 100
MOST_PIECES = 10_000


class ItemInput(serializers.Serializer[Any]):
    product = WholeNumberField(
        min_value=1, max_value=2**31 - 1, help_text="Id of the product, as django-oscar-api states it."
    )
    quantity = WholeNumberField(min_value=1, max_value=MOST_PIECES, default=1)


class PreviewsInput(serializers.Serializer[Any]):
    items = serializers.ListField(
        child=ItemInput(),
        required=False,
        max_length=MOST_ITEMS,
        default=list,
        help_text="Up to 100 products.",
    )
    basket = YesOrNoField(required=False, default=False, help_text="Preview the current basket as well.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs["items"] and not attrs["basket"]:
            raise serializers.ValidationError(_("Name items, or ask for the basket."), code="required")
        return attrs


class PreviewOutput(serializers.Serializer[Any]):
    state = serializers.ChoiceField(
        choices=STATES,
        help_text="`earning`, `choose_variant` (points of the cheapest variant), or why there are none.",
    )
    points = WholeNumberField(min_value=0)
    value = MoneyField(help_text="What the points will save.")
    basis = MoneyField(help_text="Money that the points are computed on.")
    currency = serializers.CharField()
    text = serializers.CharField(help_text="The same as a sentence to show.")
    parts = PartOutput(
        many=True,
        help_text="What each rule brings; they sum to `points`. Empty where only the base rate acts.",
    )


class _ItemOutput(serializers.Serializer[Any]):
    product = serializers.IntegerField()
    quantity = serializers.IntegerField()


class ItemPreviewOutput(_ItemOutput, PreviewOutput):
    """An item of the request, and what it would earn."""


class BasketLinePreviewOutput(serializers.Serializer[Any]):
    product = serializers.IntegerField()
    basis = MoneyField()
    points = WholeNumberField(min_value=0, help_text="Share of the basket's points.")


class BasketPreviewOutput(PreviewOutput):
    lines = BasketLinePreviewOutput(many=True)
    projected_tier = ProjectedTierOutput(
        allow_null=True,
        help_text="The member's tier after this order. Null for others, and while there are no tiers.",
    )


class PreviewsOutput(serializers.Serializer[Any]):
    is_member = serializers.BooleanField(help_text="False: what the caller would earn as a member.")
    programme_version = WholeNumberField(min_value=1, allow_null=True)
    items = ItemPreviewOutput(many=True, help_text="In the order of the request.")
    basket = BasketPreviewOutput(allow_null=True, help_text="Null when it was not asked for.")


@dataclass(frozen=True, kw_only=True)
class _Case:
    """One thing to preview: what it would be in an order, or the state that says why it is nothing."""

    currency: str
    lines: Sequence[PurchaseLine] = ()
    state: str = "earning"


class EarnPreviewsView(LoyaltyView):
    throttle_scope = write_scope = "public"

    @extend_schema(
        operation_id="preview_earnings",
        tags=["Earning"],
        summary="What products and the basket would earn",
        parameters=[LANGUAGE],
        request=PreviewsInput,
        responses={200: PreviewsOutput, **problems(400, 404, 429)},
        examples=[
            OpenApiExample(
                "A listing page", {"items": [{"product": 12}, {"product": 14}]}, request_only=True
            ),
            OpenApiExample(
                "A product page and the basket",
                {"items": [{"product": 12, "quantity": 2}], "basket": True},
                request_only=True,
            ),
        ],
    )
    def post(self, request: Request) -> Response:
        """
        Up to 100 products in one call, each as if it were ordered on its own, and the current basket
        with all its discounts. Computed by the same code that books the points of an order. Changes
        nothing; works for guests too.
        """
        wanted = PreviewsInput(data=request.data)
        wanted.is_valid(raise_exception=True)
        items = wanted.validated_data["items"]
        basket = get_basket(request) if wanted.validated_data["basket"] else None
        cases = _cases_of(items, request=request)
        if basket is not None:
            cases.append(_case_of_basket(basket))
        policies = _Policies(user_id=request.user.pk, channel=find_channel(basket))
        previews = policies.preview(cases)
        member = find_active_member(user_id=request.user.pk)
        is_member = member is not None
        described = [_describe(*pair, is_member=is_member) for pair in zip(cases, previews, strict=True)]
        of_basket = described.pop() if basket is not None else None
        if of_basket is not None:
            of_basket["lines"] = _describe_basket_lines(cases[-1], previews[-1])
            of_basket["projected_tier"] = _describe_projection(
                cases[-1], previews[-1], policies=policies, member=member
            )
        body = {
            "is_member": is_member,
            "programme_version": policies.version,
            "items": [
                {"product": item["product"], "quantity": item["quantity"], **row}
                for item, row in zip(items, described, strict=True)
            ],
            "basket": of_basket,
        }
        return Response(PreviewsOutput(body).data)


class _Policies:
    """The promises of today, read once for each currency (a shop mostly has one)."""

    def __init__(self, *, user_id: int | None, channel: str) -> None:
        self.now = timezone.now()
        self.situation = Situation(at=self.now, user_id=user_id, channel=channel)
        self.by_currency: dict[str, Policy | None] = {}

    @property
    def version(self) -> int | None:
        return next((policy.version for policy in self.by_currency.values() if policy), None)

    def preview(self, cases: Sequence[_Case]) -> list[EarnPreview | str]:
        """A preview for each case, or the state that says why there is none."""
        answers: dict[int, EarnPreview | str] = {}
        for currency in dict.fromkeys(case.currency for case in cases):
            policy = programmes.find_policy(currency=currency, at=self.now)
            self.by_currency[currency] = policy
            indexes = [index for index, case in enumerate(cases) if case.currency == currency]
            if policy is None or policy.rate is None:
                answers.update(dict.fromkeys(indexes, "currency_not_supported"))
            elif not policy.can_earn():
                answers.update(dict.fromkeys(indexes, "paused"))
            else:
                wanted = {index: cases[index].lines for index in indexes}
                answers.update(preview_each(wanted, policy=policy, situation=self.situation))
        return [answers[index] for index in range(len(cases))]


def _cases_of(items: Sequence[Mapping[str, int]], *, request: Request) -> list[_Case]:
    if not items:
        return []
    now = timezone.now()
    products = find_products((item["product"] for item in items), now=now)
    strategy = get_strategy(request)
    shut = find_shut(products.values(), user_id=request.user.pk, now=now)
    return [
        _Case(currency=get_default_currency(), state="members_only")
        if item["product"] in shut
        else _case_of_product(products.get(item["product"]), quantity=item["quantity"], strategy=strategy)
        for item in items
    ]


def _case_of_product(product: Any, *, quantity: int, strategy: Any) -> _Case:
    if product is None:
        return _Case(currency=get_default_currency(), state="unknown_product")
    if product.is_parent:
        return _case_of_parent(product, quantity=quantity, strategy=strategy)
    info = strategy.fetch_for_product(product)
    lines = get_product_lines(product, purchase_info=info, quantity=quantity)
    if not lines:
        return _Case(currency=get_default_currency(), state="no_price")
    return _Case(currency=info.price.currency, lines=lines)


def _case_of_parent(product: Any, *, quantity: int, strategy: Any) -> _Case:
    variants = [
        _case_of_product(child, quantity=quantity, strategy=strategy)
        for child in product.get_public_children()
    ]
    priced = [variant for variant in variants if variant.lines]
    if not priced:
        return _Case(currency=get_default_currency(), state="no_price")
    cheapest = min(priced, key=lambda variant: variant.lines[0].incl_tax)
    return _Case(currency=cheapest.currency, lines=cheapest.lines, state="choose_variant")


def _case_of_basket(basket: Any) -> _Case:
    if basket.pk is None or basket.is_empty:
        return _Case(currency=get_default_currency(), state="basket_empty")
    return _Case(currency=basket.currency or get_default_currency(), lines=get_basket_lines(basket))


def _describe(case: _Case, preview: EarnPreview | str, *, is_member: bool) -> dict[str, Any]:
    if isinstance(preview, str) or not case.lines:
        # A product that is not there is not there, whether the programme is paused or not.
        state = case.state if not case.lines else str(preview)
        points, value, basis = 0, Decimal(0), Decimal(0)
        parts = []
    else:
        points, value, basis = preview.points, preview.value, preview.basis
        parts = describe_parts(preview.earning)
        state = case.state if points else "below_one_point" if basis else "excluded"
    return {
        "state": state,
        "points": points,
        "value": in_coins(value, case.currency),
        "basis": in_coins(basis, case.currency),
        "currency": case.currency,
        "text": texts.preview_text(
            state=state, points=points, value=value, currency=case.currency, is_member=is_member
        ),
        "parts": parts,
    }


def _describe_basket_lines(case: _Case, preview: EarnPreview | str) -> list[dict[str, Any]]:
    if isinstance(preview, str):
        return []
    product_of = {line.ref: line.product_id for line in case.lines}
    # One row for a line, whatever the number of rules.
    rows: dict[str, dict[str, Any]] = {}
    for line in preview.earning.lines:
        row = rows.setdefault(
            line.ref,
            {"product": product_of[line.ref], "basis": in_coins(line.basis, case.currency), "points": 0},
        )
        row["points"] += line.points
    return list(rows.values())


def _describe_projection(
    case: _Case, preview: EarnPreview | str, *, policies: _Policies, member: Member | None
) -> dict[str, Any] | None:
    policy = policies.by_currency.get(case.currency)
    if member is None or policy is None or isinstance(preview, str) or not case.lines:
        return None
    found = project_tier(
        member_id=member.pk,
        policy=policy,
        earning=preview.earning,
        currency=case.currency,
        now=policies.now,
    )
    if found is None:
        return None
    is_money = found.metric == TierScheme.Metric.SPEND
    missing = in_coins(found.missing, found.currency) if is_money else found.missing.quantize(Decimal(1))
    return {
        "code": found.code,
        "name": found.name,
        "rises": found.rises,
        "next_code": found.next_code,
        "next_name": found.next_name,
        "missing": missing,
        "metric": found.metric,
        "currency": found.currency if is_money else None,
    }

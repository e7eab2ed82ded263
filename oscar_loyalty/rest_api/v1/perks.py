from typing import Any

from django.utils import timezone
from django.utils.translation import get_language
from drf_spectacular.utils import extend_schema
from oscar.core.loading import get_class
from rest_framework import serializers
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from oscar_loyalty.rest_api.base import LoyaltyView, get_user_id
from oscar_loyalty.rest_api.baskets import get_basket
from oscar_loyalty.rest_api.fields import MoneyField, WholeNumberField, in_coins
from oscar_loyalty.rest_api.schema import LANGUAGE, problems
from oscar_loyalty.shop.baskets import get_currency
from oscar_loyalty.shop.perk_hints import PerkHints, find_perk_hints
from oscar_loyalty.shop.shipping import is_reduced_by_perk
from oscar_loyalty.tiers.entitlements import Entitlement, find_entitlements
from oscar_loyalty.tiers.perks import describe_perk


class PerkOutput(serializers.Serializer[Any]):
    kind = serializers.CharField(help_text="Code of the kind: `FREE_SHIPPING`, `RETURN_WINDOW` …")
    text = serializers.CharField(help_text="What it gives, as a sentence to show.")
    parameters = serializers.DictField(help_text="Details, as each kind has them.")
    origin = serializers.ChoiceField(choices=["tier", "grant"])
    uses_left = WholeNumberField(min_value=0, allow_null=True, help_text="Null: any number of orders.")


class PerksOutput(serializers.Serializer[Any]):
    tier = serializers.CharField(allow_blank=True, help_text="Code of the tier; empty: none.")
    perks = PerkOutput(many=True)


class FreeDeliveryOutput(serializers.Serializer[Any]):
    missing = MoneyField(help_text="Value of goods that is missing.")
    minimum = MoneyField()
    percent = WholeNumberField(min_value=0, max_value=99, help_text="How far the basket is, for a bar.")


class MissedPerkOutput(serializers.Serializer[Any]):
    tier = serializers.CharField(source="tier_code")
    tier_name = serializers.CharField()
    kind = serializers.CharField()
    text = serializers.CharField()


class PerkShippingOutput(serializers.Serializer[Any]):
    code = serializers.CharField()
    name = serializers.CharField()
    charge = MoneyField(help_text="What is to be paid, with VAT where it is known.")
    saved = MoneyField(help_text="What perks take off.")


class BasketPerksOutput(serializers.Serializer[Any]):
    currency = serializers.CharField()
    tier = serializers.CharField(source="tier_code", allow_blank=True)
    tier_name = serializers.CharField(allow_blank=True)
    saved = MoneyField(help_text="By perks, with the delivery that the basket page shows.")
    free_delivery = FreeDeliveryOutput(allow_null=True, help_text="Null: free already, or never.")
    missed = MissedPerkOutput(many=True, help_text="What better tiers get; for guests, what members get.")
    shipping_methods = PerkShippingOutput(many=True)


class MyPerksView(LoyaltyView):
    """The caller's perks."""

    permission_classes = [IsAuthenticated]

    @extend_schema(
        operation_id="list_my_perks",
        tags=["Perks"],
        summary="What the caller is entitled to now",
        parameters=[LANGUAGE],
        responses={200: PerksOutput, **problems(401, 403, 404, 429)},
    )
    def get(self, request: Request) -> Response:
        """Perks of the caller's tier and those given to them; empty for who takes no part."""
        entitled = find_entitlements(user_id=get_user_id(request), now=timezone.now())
        body = {"tier": entitled.tier_code, "perks": [_describe(perk) for perk in entitled.all]}
        return Response(PerksOutput(body).data)


class BasketPerksView(LoyaltyView):
    """Perks on the caller's basket. Guests may look, to learn what they are missing."""

    @extend_schema(
        operation_id="get_basket_perks",
        tags=["Perks"],
        summary="What perks do for the basket",
        parameters=[LANGUAGE],
        responses={200: BasketPerksOutput, **problems(404, 429)},
    )
    def get(self, request: Request) -> Response:
        """Delivery is shown as long as no address is known; the checkout has the last word."""
        basket = get_basket(request)
        methods = [] if basket.pk is None or basket.is_empty else _list_methods(basket, request)
        hints = find_perk_hints(
            basket,
            shipping_method=methods[0] if methods else None,
            language=get_language() or "en",
            now=timezone.now(),
        ) or PerkHints(currency=get_currency(basket))
        return Response(BasketPerksOutput(_in_coins(hints, basket, methods)).data)


def _list_methods(basket: Any, request: Request) -> list[Any]:
    repository = get_class("shipping.repository", "Repository")()
    return list(
        repository.get_shipping_methods(
            basket=basket, user=request.user, shipping_addr=None, request=request._request
        )
    )


def _describe(perk: Entitlement) -> dict[str, Any]:
    return {
        "kind": perk.kind,
        "text": describe_perk(perk.kind, perk.parameters),
        "parameters": perk.parameters,
        "origin": "tier" if perk.grant_id is None else "grant",
        "uses_left": perk.uses_left,
    }


def _in_coins(hints: PerkHints, basket: Any, methods: list[Any]) -> dict[str, Any]:
    currency = hints.currency
    near = hints.free_delivery
    described = []
    for method in methods:
        price = method.calculate(basket)
        charge = price.incl_tax if price.is_tax_known else price.excl_tax
        saved = method.discount(basket) if is_reduced_by_perk(method) else charge * 0
        described.append(
            {
                "code": method.code,
                "name": str(method.name),
                "charge": in_coins(charge, currency),
                "saved": in_coins(saved, currency),
            }
        )
    return {
        "currency": currency,
        "tier_code": hints.tier_code,
        "tier_name": hints.tier_name,
        "saved": in_coins(hints.saved, currency),
        "free_delivery": near
        and {
            "missing": in_coins(near.missing, currency),
            "minimum": in_coins(near.minimum, currency),
            "percent": near.percent,
        },
        "missed": hints.missed,
        "shipping_methods": described,
    }

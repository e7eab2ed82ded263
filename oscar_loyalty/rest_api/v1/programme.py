import hashlib
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.utils import timezone, translation
from django.utils.cache import get_conditional_response, patch_vary_headers
from django.utils.translation import gettext as _
from django.utils.translation.trans_real import parse_accept_lang_header
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from oscar_loyalty.programmes import queries as programmes
from oscar_loyalty.programmes.models import ProgrammeVersion
from oscar_loyalty.programmes.rules import Rate
from oscar_loyalty.rest_api import texts
from oscar_loyalty.rest_api.base import LoyaltyView
from oscar_loyalty.rest_api.fields import DecimalStringField, MoneyField, WholeNumberField, in_coins
from oscar_loyalty.rest_api.problems import Problem
from oscar_loyalty.rest_api.schema import LANGUAGE, problems
from oscar_loyalty.shop.products import list_excluded_names

MAX_AGE_SECONDS = 300
SWITCH_STATES = ["active", "paused"]


class ExchangeOutput(serializers.Serializer[Any]):
    points = WholeNumberField(min_value=0)
    amount = MoneyField()


class CurrencyOutput(serializers.Serializer[Any]):
    currency = serializers.CharField(help_text="ISO 4217.")
    earn = ExchangeOutput(help_text="So many points for every so much money paid.")
    redeem = ExchangeOutput(help_text="So many points save so much money.")
    card_minimum = MoneyField(help_text="Points leave nothing to pay, or at least this much.")


class EarningOutput(serializers.Serializer[Any]):
    state = serializers.ChoiceField(choices=SWITCH_STATES)
    includes_tax = serializers.BooleanField(help_text="Points count on the price with VAT.")
    includes_shipping = serializers.BooleanField()
    excluded = serializers.ListField(
        child=serializers.CharField(), help_text="Categories and types of products that earn nothing."
    )
    spendable_after_status = serializers.CharField(
        allow_null=True, help_text="Order status at which the waiting period starts; null: the order itself."
    )
    waiting_days = WholeNumberField(min_value=0)
    expiry_months = WholeNumberField(min_value=1, allow_null=True, help_text="Null: points do not expire.")


class SpendingOutput(serializers.Serializer[Any]):
    state = serializers.ChoiceField(choices=SWITCH_STATES)
    minimum_points = WholeNumberField(min_value=1)
    step_points = WholeNumberField(min_value=1)
    maximum_share_percent = DecimalStringField(help_text="Share of the goods that points may pay.")


class SentencesOutput(serializers.Serializer[Any]):
    earning = serializers.ListField(child=serializers.CharField())
    spending = serializers.ListField(child=serializers.CharField())
    waiting = serializers.CharField()
    expiry = serializers.CharField()


class ProgrammeOutput(serializers.Serializer[Any]):
    name = serializers.CharField()
    version = WholeNumberField(min_value=1, help_text="Grows with every change of what follows.")
    terms_version = serializers.CharField(help_text="Send it back as `accept_terms` when a customer joins.")
    earning = EarningOutput()
    spending = SpendingOutput()
    currencies = CurrencyOutput(many=True)
    sentences = SentencesOutput(help_text="The same in plain sentences, in the language of the request.")


class ProgrammeView(LoyaltyView):
    """The same for everybody, so that caches may keep it: nobody is authenticated, no cookie is set."""

    authentication_classes: list[Any] = []
    throttle_scope = "public"

    @extend_schema(
        operation_id="get_programme",
        tags=["Programme"],
        summary="What the programme promises",
        parameters=[LANGUAGE],
        responses={200: ProgrammeOutput, 304: None, **problems(404, 429)},
    )
    def get(self, request: Request) -> Any:
        """
        How points are earned and spent, in numbers and in plain sentences.

        Public and the same for everybody. Send the `ETag` back as `If-None-Match` to be answered with
        304 while nothing has changed. The language is that of `Accept-Language`, whatever language the
        shopper has chosen in the shop's own pages.
        """
        return answer_everybody(request, lambda: ProgrammeOutput(_describe_programme()).data)


def answer_everybody(request: Request, describe: Callable[[], Any]) -> Any:
    """
    An answer that is the same for all who read one language, for caches to keep: with an ``ETag``, and 304
    for who has it already.
    """
    language = _accepted_language(request)
    with translation.override(language):
        body = describe()
    response = Response(body)
    response["Cache-Control"] = f"public, max-age={MAX_AGE_SECONDS}"
    response["Content-Language"] = language
    patch_vary_headers(response, ["Accept-Language"])
    digest = hashlib.sha256(json.dumps([language, body]).encode()).hexdigest()
    response["ETag"] = f'"{digest[:32]}"'
    answer: Any = get_conditional_response(request._request, etag=response["ETag"], response=response)
    # A cache may hand it to anybody, so no middleware may tie a session or a basket to it.
    answer.set_cookie = _set_no_cookie
    return answer


def _set_no_cookie(*args: Any, **kwargs: Any) -> None:
    """Stands for ``set_cookie`` of an answer that everybody may get."""


def _accepted_language(request: Request) -> str:
    """The best language of the header. A language cookie is left aside: caches cannot tell it apart."""
    for code, _priority in parse_accept_lang_header(request.headers.get("Accept-Language", "")):
        if code == "*":
            break
        try:
            return translation.get_supported_language_variant(code)
        except LookupError:
            continue
    return settings.LANGUAGE_CODE


def _describe_programme() -> dict[str, Any]:
    try:
        version = programmes.get_version(at=timezone.now())
    except programmes.ProgrammeMissing as error:
        raise no_programme() from error
    programme = version.programme
    rates = _rates_of(version)
    excluded = _excluded_names(version)
    return {
        "name": programme.name,
        "version": version.number,
        "terms_version": version.terms_version,
        "earning": {
            "state": "paused" if programme.earning_paused else "active",
            "includes_tax": version.includes_tax,
            "includes_shipping": version.includes_shipping,
            "excluded": excluded,
            "spendable_after_status": version.spendable_status or None,
            "waiting_days": version.waiting_days,
            "expiry_months": version.expiry_months,
        },
        "spending": {
            "state": "paused" if programme.redemption_paused else "active",
            "minimum_points": version.minimum_points,
            "step_points": version.step_points,
            "maximum_share_percent": version.maximum_share_percent,
        },
        "currencies": [
            {
                "currency": rate.currency,
                "earn": _exchange(rate.earn_points, rate.earn_amount, rate.currency),
                "redeem": _exchange(rate.redeem_points, rate.redeem_amount, rate.currency),
                "card_minimum": in_coins(rate.card_minimum, rate.currency),
            }
            for rate in rates
        ],
        "sentences": {
            "earning": texts.earning_sentences(rates, version=version, excluded=excluded),
            "spending": texts.redemption_sentences(rates, version=version),
            "waiting": texts.waiting_sentence(version=version),
            "expiry": texts.expiry_sentence(version=version),
        },
    }


def _exchange(points: int, amount: Decimal, currency: str) -> dict[str, Any]:
    return {"points": points, "amount": in_coins(amount, currency)}


def _excluded_names(version: Any) -> list[str]:
    if not (version.excluded_category_ids or version.excluded_product_class_ids):
        return []
    return list_excluded_names(policy=version)


def _rates_of(version: ProgrammeVersion) -> list[Rate]:
    names = ("currency", "earn_points", "earn_amount", "redeem_points", "redeem_amount", "card_minimum")
    return [Rate(**row) for row in version.rates.order_by("currency").values(*names)]


def no_programme() -> Problem:
    return Problem(_("It has not been set up yet, or starts later."), code="no_programme", status_code=404)

"""
The saved offers of the shop that carry perks. Each is in force only while some perk needs it, so that a
shop without perks pays no statement for them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import translation
from django.utils.translation import gettext
from oscar.core.loading import get_model

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.shop.access_offer import AccessBenefit, AccessCondition
from oscar_loyalty.shop.gift_offer import GiftBenefit, GiftCondition
from oscar_loyalty.shop.member_price_offer import MemberPriceBenefit, MemberPriceCondition
from oscar_loyalty.shop.offers import SWITCHED_OFF_AT
from oscar_loyalty.shop.promise_offer import PromiseBenefit, PromiseCondition
from oscar_loyalty.shop.shipping_offer import ShippingPerkBenefit, ShippingPerkCondition
from oscar_loyalty.tiers.entitlements import list_kinds_in_use
from oscar_loyalty.tiers.models import ProductAccess
from oscar_loyalty.tiers.shipping import SHIPPING_KINDS

Benefit = get_model("offer", "Benefit")
Condition = get_model("offer", "Condition")


@dataclass(frozen=True, kw_only=True)
class Carrier:
    """One such offer. ``priority``: after the shop's own offers and vouchers, before points."""

    condition: Any
    benefit: Any
    priority: int
    get_name: Callable[[], str]
    get_description: Callable[[], str]
    is_needed: Callable[[set[str], datetime], bool]

    @property
    def paths(self) -> tuple[str, str]:
        return _path(self.condition), _path(self.benefit)


def _needs(*kinds: str) -> Callable[[set[str], datetime], bool]:
    return lambda used, now: not used.isdisjoint(kinds)


SHIPPING = Carrier(
    condition=ShippingPerkCondition,
    benefit=ShippingPerkBenefit,
    priority=-9_300,
    get_name=lambda: gettext("Delivery benefit"),
    get_description=lambda: gettext("Members of our loyalty programme pay less for delivery in some tiers."),
    is_needed=_needs(*SHIPPING_KINDS),
)

#: Where a basket learns about perks that no total shows; needed as long as there is any perk.
PROMISES = Carrier(
    condition=PromiseCondition,
    benefit=PromiseBenefit,
    priority=-9_400,
    get_name=lambda: gettext("Benefits of membership"),
    get_description=lambda: gettext("Members of our loyalty programme have benefits beside the price."),
    is_needed=lambda used, now: bool(used),
)

MEMBER_PRICE = Carrier(
    condition=MemberPriceCondition,
    benefit=MemberPriceBenefit,
    priority=-9_200,
    get_name=lambda: gettext("Member price"),
    get_description=lambda: gettext("Members of our loyalty programme pay less for some products."),
    is_needed=_needs("MEMBER_PRICE"),
)
#: After member prices: it takes what is left to pay for one piece.
GIFT = Carrier(
    condition=GiftCondition,
    benefit=GiftBenefit,
    priority=-9_250,
    get_name=lambda: gettext("Birthday gift"),
    get_description=lambda: gettext(
        "Members of our loyalty programme get a gift in the week of their birthday."
    ),
    is_needed=_needs("BIRTHDAY_GIFT"),
)


def _is_anything_closed(used: set[str], now: datetime) -> bool:
    return ProductAccess.objects.filter(Q(opens_at=None) | Q(opens_at__gt=now)).exists()


#: Before every other offer: what is taken out of a basket counts for none.
ACCESS = Carrier(
    condition=AccessCondition,
    benefit=AccessBenefit,
    priority=1_000_000,
    get_name=lambda: gettext("Members first"),
    get_description=lambda: gettext("Some products are sold to members of our loyalty programme first."),
    is_needed=_is_anything_closed,
)

CARRIERS: list[Carrier] = [SHIPPING, PROMISES, MEMBER_PRICE, GIFT, ACCESS]


def find_offer(carrier: Carrier) -> Any | None:
    """The saved offer, if it was made, whether it is in force or not."""
    condition, benefit = carrier.paths
    offers = get_model("offer", "ConditionalOffer").objects
    return (
        offers.filter(Q(benefit__proxy_class=benefit) | Q(condition__proxy_class=condition))
        .order_by("pk")
        .first()
    )


def align_offers(*, now: datetime) -> int:
    """
    Make, repair, end or bring back each offer as perks need it; safe to repeat. Returns how many changed.
    """
    used = list_kinds_in_use(now=now) if loyalty_settings.enabled else set()
    return sum(
        _align(carrier, needed=loyalty_settings.enabled and carrier.is_needed(used, now))
        for carrier in CARRIERS
    )


def remove_offers() -> int:
    """Delete all of them, with conditions and benefits, which would break baskets without the app's code."""
    conditions = Condition.objects.filter(proxy_class__in=[carrier.paths[0] for carrier in CARRIERS])
    benefits = Benefit.objects.filter(proxy_class__in=[carrier.paths[1] for carrier in CARRIERS])
    offers = get_model("offer", "ConditionalOffer").objects.filter(
        Q(benefit__in=benefits) | Q(condition__in=conditions)
    )
    with transaction.atomic():
        removed: int = offers.count()
        offers.delete()
        benefits.delete()
        conditions.delete()
    return removed


def translate_offer_name(stored: str) -> str:
    """The name of one of our offers in the reader's language, unless the staff have given it another."""
    for carrier in CARRIERS:
        if stored in _given_names(carrier.paths):
            return carrier.get_name()
    return stored


def _align(carrier: Carrier, *, needed: bool) -> bool:
    offer_model = get_model("offer", "ConditionalOffer")
    offer = find_offer(carrier)
    if offer is None:
        if not needed:
            return False
        try:
            with transaction.atomic():
                _make(carrier)
        except IntegrityError:
            # Somebody else was faster, or an offer of the shop has the name.
            if find_offer(carrier) is None:
                raise
        return True
    vital: dict[str, Any] = {
        "offer_type": offer_model.SITE,
        "exclusive": False,
        "priority": carrier.priority,
        "max_basket_applications": 1,
    }
    if not needed:
        vital["end_datetime"] = SWITCHED_OFF_AT
    elif offer.end_datetime == SWITCHED_OFF_AT:
        vital["end_datetime"] = None
    if all(getattr(offer, name) == value for name, value in vital.items()):
        return False
    offer_model.objects.filter(pk=offer.pk).update(**vital)
    return True


def _make(carrier: Carrier) -> Any:
    offer_model = get_model("offer", "ConditionalOffer")
    condition, benefit = carrier.paths
    with translation.override(settings.LANGUAGE_CODE):
        name, description = carrier.get_name(), carrier.get_description()
    return offer_model.objects.create(
        name=name,
        description=description,
        offer_type=offer_model.SITE,
        priority=carrier.priority,
        exclusive=False,
        max_basket_applications=1,
        condition=Condition.objects.get_or_create(proxy_class=condition)[0],
        benefit=Benefit.objects.get_or_create(proxy_class=benefit)[0],
    )


@cache
def _given_names(paths: tuple[str, str]) -> frozenset[str]:
    carrier = next(carrier for carrier in CARRIERS if carrier.paths == paths)
    names = set()
    for code, _name in settings.LANGUAGES:
        with translation.override(code):
            names.add(carrier.get_name())
    return frozenset(names)


def _path(proxy: type) -> str:
    return f"{proxy.__module__}.{proxy.__name__}"

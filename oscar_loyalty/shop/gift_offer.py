"""
The birthday gift as one saved offer of the shop: in the week of their birthday a member pays nothing for
one piece of a product, once. They put it into the basket themselves, so that nobody gets what they do not
want; a variant is one of its product.
"""

import logging
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from oscar.core.loading import get_class, get_model

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.members import queries as members
from oscar_loyalty.shop.baskets import get_goods, is_tax_known, line_price, priced_lines, reapply_offers
from oscar_loyalty.shop.offers import discount_line, read_combinations
from oscar_loyalty.shop.perks import GIFT_VALUE_AS, perks_of, take_use
from oscar_loyalty.tiers.entitlements import Entitlement
from oscar_loyalty.tiers.models import PerkUse
from oscar_loyalty.transactions import spare_transaction

Benefit = get_model("offer", "Benefit")
Condition = get_model("offer", "Condition")
BasketDiscount = get_class("offer.results", "BasketDiscount")
ZERO_DISCOUNT = get_class("offer.results", "ZERO_DISCOUNT")

logger = logging.getLogger(__name__)
KIND = "BIRTHDAY_GIFT"
#: The birthday is in the middle of its week.
DAYS_AROUND = 3
#: A gift in this time was that of the same birthday.
SAME_BIRTHDAY = timedelta(days=180)
_CENT = Decimal("0.01")
#: Where a basket object keeps the result, with the line objects that carry it.
_APPLIED_AS = "_loyalty_gift"


class GiftDiscount(BasketDiscount):  # type: ignore[misc, valid-type]
    """The price of the gift."""

    is_final = True
    is_perk = True
    makes_room = True

    def __init__(self, amount: Decimal, *, entitlement: Entitlement) -> None:
        super().__init__(amount)
        self.entitlement = entitlement

    @property
    def description(self) -> str:
        return gettext("Birthday gift")


class GiftCondition(Condition):  # type: ignore[misc, valid-type]
    """It is the week of the birthday of the basket's owner, and the gift is in the basket."""

    class Meta:
        app_label = "oscar_loyalty"
        proxy = True
        verbose_name = _("condition: week of the customer's birthday")
        verbose_name_plural = _("conditions: week of the customer's birthday")

    @property
    def name(self) -> str:
        return gettext("It is the week of the customer's birthday")

    @property
    def description(self) -> str:
        return self.name

    def is_satisfied(self, offer: Any, basket: Any) -> bool:
        if not loyalty_settings.enabled or basket.pk is None:
            return False
        setattr(basket, GIFT_VALUE_AS, Decimal(0))
        try:
            with spare_transaction():
                return _find_gift(basket, now=timezone.now()) is not None
        except Exception:
            logger.exception("The birthday gift of basket %s could not be judged", basket.pk)
            return False

    def consume_items(self, offer: Any, basket: Any, affected_lines: Any) -> None:
        """The gift stacks with every other offer."""


class GiftBenefit(Benefit):  # type: ignore[misc, valid-type]
    class Meta:
        app_label = "oscar_loyalty"
        proxy = True
        verbose_name = _("benefit: birthday gift")
        verbose_name_plural = _("benefits: birthday gift")

    @property
    def name(self) -> str:
        return gettext("One piece of the gift costs nothing")

    @property
    def description(self) -> str:
        return self.name

    def apply(self, basket: Any, condition: Any, offer: Any, **kwargs: Any) -> Any:
        held = perks_of(basket, now=timezone.now()).find(KIND)
        line = None if held is None else _find_line(basket, held)
        if held is None or line is None:
            return ZERO_DISCOUNT
        with_tax = is_tax_known(basket)
        setattr(
            basket,
            GIFT_VALUE_AS,
            Decimal(line.unit_price_incl_tax if with_tax else line.unit_price_excl_tax),
        )
        applied = getattr(basket, _APPLIED_AS, None)
        if applied is not None and applied[0] is basket._lines and basket._lines is not None:
            # Oscar may apply offers twice without a reset.
            return applied[1]
        to_pay = line_price(line, with_tax=with_tax)
        rest = (to_pay * (line.quantity - 1) / line.quantity).quantize(_CENT, ROUND_HALF_UP)
        before = get_goods(basket).total
        read_combinations(basket, offer)
        discount_line(line, to_pay - rest, with_tax=with_tax, offer=offer)
        result = GiftDiscount(before - get_goods(basket).total, entitlement=held)
        setattr(basket, _APPLIED_AS, (basket._lines, result))
        return result

    def apply_deferred(self, basket: Any, order: Any, application: Any) -> str | None:
        """:raises PerkUnavailable: the gift has been taken with another order meanwhile"""
        result = application["result"]
        if not isinstance(result, GiftDiscount):
            return None
        take_use(
            result.entitlement,
            basket=basket,
            order=order,
            saved=result.discount,
            now=timezone.now(),
            once_within=SAME_BIRTHDAY,
            then=lambda: reapply_offers(basket),
            message=gettext(
                "Your birthday gift has been used for another order meanwhile, so the total has changed. "
                "No order was placed: please check the total and confirm again."
            ),
        )
        return result.description


def is_birthday_week(*, month: int, day: int, today: date) -> bool:
    """Whether ``today`` is at most three days from a birthday; 29 February is 28 in other years."""
    for year in (today.year - 1, today.year, today.year + 1):
        try:
            birthday = date(year, month, day)
        except ValueError:
            birthday = date(year, 2, 28)
        if abs((birthday - today).days) <= DAYS_AROUND:
            return True
    return False


def _find_gift(basket: Any, *, now: datetime) -> Entitlement | None:
    """No statement without the product in the basket, else two at most."""
    entitled = perks_of(basket, now=now)
    held = entitled.find(KIND)
    if held is None or entitled.member_id is None or _find_line(basket, held) is None:
        return None
    birthday = members.find_birthday(member_id=entitled.member_id, now=now)
    if birthday is None:
        return None
    if not is_birthday_week(month=birthday[0], day=birthday[1], today=timezone.localdate(now)):
        return None
    earlier = PerkUse.objects.filter(
        member_id=entitled.member_id, kind=KIND, undone_at=None, used_at__gt=now - SAME_BIRTHDAY
    )
    return None if earlier.exists() else held


def _find_line(basket: Any, held: Entitlement) -> Any | None:
    wanted = held.parameters["product"]
    for line in priced_lines(basket):
        if line.stockrecord_id and wanted in (line.product_id, line.product.parent_id):
            return line
    return None

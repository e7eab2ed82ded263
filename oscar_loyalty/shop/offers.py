"""
Points as one saved offer of the shop: a condition (points are reserved for this basket) and a benefit
(their value is taken off its lines). Oscar then gets taxes, totals, the order's discounts and both
checkouts right by itself, and spends the points inside the transaction that places the order.
"""

import logging
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q, prefetch_related_objects
from django.utils import timezone, translation
from django.utils.formats import number_format
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from oscar.core.loading import get_class, get_model

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.points import services
from oscar_loyalty.points.rules import RedemptionQuote, points_worth, share_out
from oscar_loyalty.programmes.rules import Rate
from oscar_loyalty.shop import redemption
from oscar_loyalty.shop.baskets import (
    Goods,
    basket_ref,
    get_goods,
    is_payable,
    is_tax_known,
    line_price,
    priced_lines,
    reapply_offers,
)
from oscar_loyalty.transactions import spare_transaction

# Models before classes: Oscar's offer modules import each other in a circle otherwise.
Benefit = get_model("offer", "Benefit")
Condition = get_model("offer", "Condition")
BasketDiscount = get_class("offer.results", "BasketDiscount")
ZERO_DISCOUNT = get_class("offer.results", "ZERO_DISCOUNT")
UnableToPlaceOrder = get_class("order.exceptions", "UnableToPlaceOrder")

logger = logging.getLogger(__name__)

#: Applied after every other offer: points pay for what is left.
LAST = -10_000
#: The class of benefits that give points after the order. They live in ``bonus_offers``, which needs this
#: module, so it is named here.
BONUS_BENEFIT = "oscar_loyalty.shop.bonus_offers.BonusBenefit"
#: Marks that the offer has ended because the app is switched off, not by the staff's wish.
SWITCHED_OFF_AT = datetime(2000, 1, 1, tzinfo=UTC)


class PointsUnavailable(UnableToPlaceOrder, ValueError):  # type: ignore[misc, valid-type]
    """The points of a basket cannot be spent as quoted; the order was not placed. Oscar's checkout
    catches the first base and shows the message, django-oscar-api the second."""


class PointsDiscount(BasketDiscount):  # type: ignore[misc, valid-type]
    """What ``points`` take off a basket. ``reduced``: the member was promised more a moment ago, so no
    order is placed before they have seen the new total."""

    is_final = True
    makes_room = True

    def __init__(self, amount: Decimal, *, points: int, reduced: bool) -> None:
        super().__init__(amount)
        self.points = points
        self.reduced = reduced

    @property
    def is_successful(self) -> bool:
        return self.discount > 0 or self.reduced

    @property
    def description(self) -> str:
        return name_points(self.points)


def name_points(points: int) -> str:
    """``1,000 points`` in the language of the reader."""
    return ngettext("%(points)s point", "%(points)s points", points) % {
        "points": number_format(points, use_l10n=True, force_grouping=True)
    }


class PointsCondition(Condition):  # type: ignore[misc, valid-type]
    """Points of the basket's owner are reserved for the basket. Costs no statement for guests."""

    class Meta:
        app_label = "oscar_loyalty"
        proxy = True
        verbose_name = _("condition: points are reserved")
        verbose_name_plural = _("conditions: points are reserved")

    @property
    def name(self) -> str:
        return gettext("The customer has chosen to spend points")

    @property
    def description(self) -> str:
        return self.name

    def is_satisfied(self, offer: Any, basket: Any) -> bool:
        if not loyalty_settings.enabled or basket.owner_id is None:
            return False
        try:
            with spare_transaction():
                return redemption.has_points(basket, now=timezone.now())
        except Exception:
            # The shop goes on without points rather than not at all.
            logger.exception("The points of basket %s could not be read", basket.pk)
            return False

    def consume_items(self, offer: Any, basket: Any, affected_lines: Any) -> None:
        """Points stack with every other offer."""


class PointsBenefit(Benefit):  # type: ignore[misc, valid-type]
    """Takes the value of the reserved points off the basket's lines, as far as the limits allow."""

    class Meta:
        app_label = "oscar_loyalty"
        proxy = True
        verbose_name = _("benefit: the value of the points")
        verbose_name_plural = _("benefits: the value of the points")

    @property
    def name(self) -> str:
        return gettext("The points pay for a part of the goods")

    @property
    def description(self) -> str:
        return self.name

    def apply(self, basket: Any, condition: Any, offer: Any, **kwargs: Any) -> Any:
        standing = redemption.find_standing(basket, now=timezone.now())
        if standing is None:
            return ZERO_DISCOUNT
        if standing.is_applied_to(basket):
            return standing.result
        try:
            goods = get_goods(basket)
            quoted, reduced = self._quote(basket, standing, goods=goods)
            rate = _rate_of(standing)
            shares = _share_out(basket, quoted.amount, goods=goods, rate=rate) if quoted.amount else []
        except Exception:
            logger.exception("Points could not be applied to basket %s", basket.pk)
            return ZERO_DISCOUNT
        read_combinations(basket, offer)
        saved = _discount(basket, shares, amount=quoted.amount, offer=offer)
        applied = _worth(saved, quoted, rate=rate)
        standing.applied, standing.goods, standing.lines = applied, goods, basket._lines
        standing.result = PointsDiscount(applied.amount, points=applied.points, reduced=reduced)
        return standing.result

    def apply_deferred(self, basket: Any, order: Any, application: Any) -> str | None:
        """
        Spend the points inside the transaction that places the order; once, however often it is called
        for the same order.

        :raises PointsUnavailable: the reservation has changed or ended since it was applied
        """
        result = application["result"]
        if not isinstance(result, PointsDiscount):
            return None
        try:
            if result.reduced:
                raise services.InsufficientPoints
            services.capture_hold(
                ref=basket_ref(basket),
                points=result.points,
                amount=result.discount,
                # Oscar's generator makes whole numbers, which become text only in the database.
                order_ref=str(order.number),
                now=timezone.now(),
            )
        except (services.HoldNotOpen, services.InsufficientPoints, services.AccountNotOpen) as error:
            _show_new_total(basket)
            raise PointsUnavailable(
                gettext(
                    "Your points are no longer available as before, so the total has changed. "
                    "No order was placed: please check the total and confirm again."
                )
            ) from error
        return result.description

    def _quote(
        self, basket: Any, standing: redemption.Standing, *, goods: Goods
    ) -> tuple[RedemptionQuote, bool]:
        """What the reserved points do for the goods, and whether that is less than was promised."""
        policy = standing.policy
        assert policy is not None
        quoted = redemption.quote(
            requested=standing.requested, available=standing.held, goods=goods, policy=policy
        )
        rounded = self.round(quoted.amount, standing.currency)
        quoted = _worth(min(rounded, quoted.amount), quoted, rate=_rate_of(standing))
        if standing.promised is None:
            return quoted, False
        promised = redemption.quote(
            requested=standing.requested, available=standing.promised, goods=goods, policy=policy
        )
        return quoted, promised.points > quoted.points


def make_room_for_voucher(basket: Any) -> None:
    """
    Take points and member prices off a basket to which a voucher has just been added, so that an exclusive
    voucher finds the lines free; Oscar applies all offers again right after this, ours last.
    """
    results = (application["result"] for application in basket.offer_applications)
    if any(getattr(result, "makes_room", False) for result in results):
        basket.reset_offer_applications()


def find_offer() -> Any | None:
    """The saved offer that carries points, if it was made."""
    offers = get_model("offer", "ConditionalOffer").objects
    return offers.filter(benefit__proxy_class=_path(PointsBenefit)).order_by("pk").first()


def translate_offer_name(stored: str) -> str:
    """The name of the offer in the reader's language, unless the staff have given it another one."""
    return gettext("Loyalty points") if stored in _given_names() else stored


def remove_offers() -> int:
    """
    Delete every offer that carries points or gives some, with its benefit and a condition of ours; return
    how many there were.
    A row that names a class of ours would break each basket of the shop once the app is gone. What
    orders recorded of it stays.
    """
    classes = [_path(PointsBenefit), BONUS_BENEFIT]
    benefits = get_model("offer", "Benefit").objects.filter(proxy_class__in=classes)
    conditions = get_model("offer", "Condition").objects.filter(proxy_class=_path(PointsCondition))
    offers = get_model("offer", "ConditionalOffer").objects.filter(
        Q(benefit__in=benefits) | Q(condition__in=conditions)
    )
    with transaction.atomic():
        removed: int = offers.count()
        offers.delete()
        benefits.delete()
        conditions.delete()
    return removed


def ensure_offer() -> Any:
    """
    The one saved offer that carries points; made or repaired where needed, safe to repeat. While the
    app is switched off the offer has ended, so that it is not listed among the shop's offers.
    """
    offer_model = get_model("offer", "ConditionalOffer")
    offer = find_offer()
    if offer is None:
        try:
            with transaction.atomic():
                offer = _make_offer(offer_model)
        except IntegrityError:
            # Somebody else was faster, or an offer of the shop has the name.
            offer = find_offer()
            if offer is None:
                raise
    vital: dict[str, Any] = {
        "offer_type": offer_model.SITE,
        "exclusive": False,
        "priority": LAST,
        "max_basket_applications": 1,
    }
    if not loyalty_settings.enabled:
        vital["end_datetime"] = SWITCHED_OFF_AT
    elif offer.end_datetime == SWITCHED_OFF_AT:
        vital["end_datetime"] = None
    if any(getattr(offer, name) != value for name, value in vital.items()):
        offer_model.objects.filter(pk=offer.pk).update(**vital)
        offer.refresh_from_db()
    return offer


@cache
def _given_names() -> frozenset[str]:
    """What the offer was called when it was made, in whichever language that was."""
    names = set()
    for code, _name in settings.LANGUAGES:
        with translation.override(code):
            names.add(gettext("Loyalty points"))
    return frozenset(names)


def _make_offer(offer_model: Any) -> Any:
    with translation.override(settings.LANGUAGE_CODE):
        name = gettext("Loyalty points")
        description = gettext(
            "Members of our loyalty programme pay with the points they have collected. They choose in the "
            "basket or at checkout how many to spend."
        )
    return offer_model.objects.create(
        name=name,
        description=description,
        offer_type=offer_model.SITE,
        priority=LAST,
        exclusive=False,
        max_basket_applications=1,
        condition=Condition.objects.create(proxy_class=_path(PointsCondition)),
        benefit=Benefit.objects.create(proxy_class=_path(PointsBenefit)),
    )


def _path(proxy: type) -> str:
    return f"{proxy.__module__}.{proxy.__name__}"


def _rate_of(standing: redemption.Standing) -> Rate:
    assert standing.policy is not None
    assert standing.policy.rate is not None
    return standing.policy.rate


def _worth(amount: Decimal, quoted: RedemptionQuote, *, rate: Rate) -> RedemptionQuote:
    """The quote for money that was really saved: no more points than that is worth."""
    if amount == quoted.amount:
        return quoted
    return replace(quoted, points=min(quoted.points, points_worth(amount, rate=rate)), amount=amount)


def _share_out(basket: Any, amount: Decimal, *, goods: Goods, rate: Rate) -> list[tuple[Any, Decimal]]:
    """Lines with their shares of ``amount``, pro rata in whole coins, the biggest line last."""
    with_tax = is_tax_known(basket)
    lines = [line for line in priced_lines(basket) if is_payable(line)]
    prices = [(line, line_price(line, with_tax=with_tax)) for line in lines]
    prices = sorted(((line, price) for line, price in prices if price > 0), key=lambda pair: pair[1])
    if amount >= goods.payable:
        return prices
    coin = max(rate.cent, Decimal("0.01"))
    coins = share_out(int(amount / coin), [Fraction(price) for _line, price in prices])
    return [(line, min(price, share * coin)) for (line, price), share in zip(prices, coins, strict=True)]


def _discount(basket: Any, shares: list[tuple[Any, Decimal]], *, amount: Decimal, offer: Any) -> Decimal:
    """Take the shares off their lines and return what the basket's total fell by."""
    if not shares:
        return Decimal("0.00")
    with_tax = is_tax_known(basket)
    before = get_goods(basket).total
    *smaller, (biggest, share) = shares
    for line, part in smaller:
        discount_line(line, part, with_tax=with_tax, offer=offer)
    price = line_price(biggest, with_tax=with_tax)
    if share < price:
        # Whatever rounding did to the other lines is put right here.
        share = min(price, amount - (before - get_goods(basket).total))
    discount_line(biggest, share, with_tax=with_tax, offer=offer)
    return before - get_goods(basket).total


def read_combinations(basket: Any, offer: Any) -> None:
    """Oscar asks for every line which of its offers combine with ours: read that once for all."""
    others = {id(taken.offer): taken.offer for line in basket.all_lines() for taken in line.discounts}
    offers = [other for other in others.values() if other is not None]
    if offers:
        prefetch_related_objects([offer, *offers], "combinations")


def discount_line(line: Any, share: Decimal, *, with_tax: bool, offer: Any) -> None:
    """Take ``share`` of what the customer pays for a line off it: with VAT where ``with_tax``."""
    if share <= 0:
        return
    # Oscar refuses to mix net and gross discounts on one line.
    if line.discounts.excl_tax:
        incl_tax = False
    else:
        incl_tax = bool(line.discounts.incl_tax) or (with_tax and settings.OSCAR_OFFERS_INCL_TAX)
    if with_tax and not incl_tax:
        # The share is what the customer saves, with VAT; this discount is net.
        net = line_price(line, with_tax=False)
        covers_all = share >= line_price(line, with_tax=True)
        share = net if covers_all else min(net, (share * line._tax_ratio).quantize(Decimal("0.0001")))
    line.discount(share, line.quantity, incl_tax=incl_tax, offer=offer)


def _show_new_total(basket: Any) -> None:
    """The page that tells of the failure shows the basket as it is now."""
    try:
        redemption.forget_standing(basket)
        reapply_offers(basket)
    except Exception:
        logger.exception("Offers could not be applied anew to basket %s", basket.pk)

"""
Bonus points as offers of the shop: "buy two, get 200 points". A benefit that takes nothing off, but is an
action after the order. Staff make it in our admin and choose it in Oscar's offer dashboard as a "custom
incentive".

What an offer promised is written down while the order is placed; the flow that rewards the order books it.
"""

import logging
from dataclasses import dataclass
from typing import Any

from django.utils import timezone
from django.utils.functional import lazystr
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from oscar.core.loading import get_class, get_model

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.points.models import Account
from oscar_loyalty.programmes import queries as programmes
from oscar_loyalty.shop import redemption
from oscar_loyalty.shop.baskets import get_currency
from oscar_loyalty.shop.bonus_models import OfferBonus, OrderBonus
from oscar_loyalty.shop.offers import BONUS_BENEFIT, name_points
from oscar_loyalty.transactions import spare_transaction

# Models before classes: Oscar's offer modules import each other in a circle otherwise.
Benefit = get_model("offer", "Benefit")
PostOrderAction = get_class("offer.results", "PostOrderAction")
ZERO_DISCOUNT = get_class("offer.results", "ZERO_DISCOUNT")

logger = logging.getLogger(__name__)

_KEPT_AS = "_loyalty_bonuses"
_TALLY = "_loyalty_bonus"


@dataclass(frozen=True, kw_only=True)
class _Known:
    """What one basket object needs to know, however many offers and applications there are."""

    bonuses: dict[int, OfferBonus]
    can_earn: bool
    is_member: bool


class BonusAction(PostOrderAction):  # type: ignore[misc, valid-type]
    """
    What an offer gives after the order. Oscar keeps the result of the first application and its text, so
    one object counts all of them and its text is made when somebody reads it.
    """

    def __init__(self, bonus: OfferBonus, *, is_member: bool) -> None:
        self.bonus = bonus
        self.is_member = is_member
        self.times = 0
        self.is_final = bonus.once_per_order

    @property
    def points(self) -> int:
        return self.bonus.points * (1 if self.bonus.once_per_order else self.times)

    @property
    def description(self) -> Any:
        return lazystr(self)

    def __str__(self) -> str:
        points, text = name_points(self.points), self.bonus.text
        if not self.is_member:
            said = gettext("Members of our loyalty programme get %(points)s") % {"points": points}
        elif not text:
            return gettext("%(points)s as a bonus") % {"points": points}
        else:
            said = points
        return f"{said}: {text}" if text else said


class BonusBenefit(Benefit):  # type: ignore[misc, valid-type]
    """Gives points after the order; see :class:`OfferBonus` for how many."""

    class Meta:
        app_label = "oscar_loyalty"
        proxy = True
        verbose_name = _("bonus points of an offer")
        verbose_name_plural = _("bonus points of offers")

    @property
    def name(self) -> str:
        """For staff, in Oscar's list of custom incentives."""
        bonus = find_bonus(self.pk)
        if bonus is None:
            return gettext("Bonus points (not set)")
        said = gettext("%(points)s as a bonus") % {"points": name_points(bonus.points)}
        if bonus.once_per_order:
            said = gettext("%(bonus)s, once per order") % {"bonus": said}
        return f"{said}: {bonus.text}" if bonus.text else said

    @property
    def description(self) -> str:
        return self.name

    def apply(self, basket: Any, condition: Any, offer: Any, **kwargs: Any) -> Any:
        try:
            with spare_transaction():
                action = self._count(basket, offer)
        except Exception:
            # The shop goes on without a bonus rather than not at all.
            logger.exception("The bonus of offer %s could not be applied", offer.pk)
            return ZERO_DISCOUNT
        if action is None:
            return ZERO_DISCOUNT
        before = _consumed(basket, offer)
        condition.consume_items(offer, basket, ())
        if _consumed(basket, offer) == before:
            # A condition that uses nothing up would be met for ever.
            action.is_final = True
        return action

    def apply_deferred(self, basket: Any, order: Any, application: Any) -> str | None:
        """
        Write down what was promised, inside the transaction that places the order; once, however often it is
        called for the same order. Never stops an order.
        """
        action = application["result"]
        if not isinstance(action, BonusAction):
            return None
        bonus, offer = action.bonus, application["offer"]
        try:
            with spare_transaction():
                OrderBonus.objects.get_or_create(
                    # Oscar's generator makes whole numbers, which become text only in the database.
                    order_ref=str(order.number),
                    offer_ref=offer.pk,
                    defaults={
                        "offer_name": offer.name[:128],
                        "points": action.points,
                        "times": action.times,
                        "text_de": bonus.text_de,
                        "text_en": bonus.text_en,
                        "made_at": timezone.now(),
                    },
                )
        except Exception:
            logger.exception("The bonus of offer %s for order %s was not kept", offer.pk, order.number)
        return str(action)

    def _count(self, basket: Any, offer: Any) -> BonusAction | None:
        """One more application. Oscar reads its offers anew for each round in which it applies them."""
        known = _know(basket)
        bonus = known.bonuses.get(self.pk)
        if bonus is None or not known.can_earn:
            return None
        action: BonusAction | None = offer.__dict__.get(_TALLY)
        if action is None:
            action = offer.__dict__[_TALLY] = BonusAction(bonus, is_member=known.is_member)
        action.times += 1
        return action


def find_bonus(benefit_id: int | None) -> OfferBonus | None:
    return OfferBonus.objects.filter(benefit_ref=benefit_id).first() if benefit_id else None


def make_benefit() -> Any:
    """A saved benefit that staff can choose in Oscar's dashboard; :class:`OfferBonus` says what it gives."""
    return BonusBenefit.objects.create(proxy_class=BONUS_BENEFIT)


def list_benefits() -> Any:
    """The saved benefits that give points."""
    return BonusBenefit.objects.filter(proxy_class=BONUS_BENEFIT)


def _know(basket: Any) -> _Known:
    """Three statements at most for one basket object; two for guests. None where no such offer applies."""
    known: tuple[int | None, _Known] | None = getattr(basket, _KEPT_AS, None)
    if known is not None and known[0] == basket.owner_id:
        return known[1]
    if not loyalty_settings.enabled:
        return _Known(bonuses={}, can_earn=False, is_member=False)
    now = timezone.now()
    policy = programmes.find_policy(currency=get_currency(basket), at=now)
    standing = redemption.find_standing(basket, now=now)
    found = _Known(
        bonuses={bonus.benefit_ref: bonus for bonus in OfferBonus.objects.all()},
        can_earn=policy is not None and policy.can_earn(),
        is_member=standing is not None and standing.account.status != Account.Status.CLOSED,
    )
    setattr(basket, _KEPT_AS, (basket.owner_id, found))
    return found


def _consumed(basket: Any, offer: Any) -> int:
    return sum(int(line.discounts.num_consumed(offer)) for line in basket.all_lines())

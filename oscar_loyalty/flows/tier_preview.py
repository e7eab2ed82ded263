"""A version of the programme as members of one of its tiers would have it, without being one: for staff."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext

from oscar_loyalty.flows.earning import earnings_under_policy
from oscar_loyalty.flows.tier_desk import list_tiers, say_perk_to_staff
from oscar_loyalty.flows.wording import Part, count_points, describe_parts, money
from oscar_loyalty.points.rules import value_of
from oscar_loyalty.programmes.models import ProgrammeVersion
from oscar_loyalty.programmes.queries import find_policy_of_version
from oscar_loyalty.programmes.rules import Policy
from oscar_loyalty.registry import perks
from oscar_loyalty.shop.orders import PurchaseFacts
from oscar_loyalty.shop.trial_baskets import Trial, try_basket
from oscar_loyalty.tiers.entitlements import NOTHING, Entitlement, Entitlements, are_readable
from oscar_loyalty.tiers.models import Tier, TierPerk
from oscar_loyalty.tiers.queries import name_of

#: Who is not a member of a tier; no code of a tier looks like these.
GUEST, NO_TIER = ":guest", ":none"


@dataclass(frozen=True, kw_only=True)
class Wish:
    """The basket to look at: ``goods`` on the shelf in ``currency``, with one piece of ``product`` if any."""

    goods: Decimal
    currency: str
    product: Any = None


@dataclass(frozen=True, kw_only=True)
class Points:
    """What a basket would bring. ``note`` says why it is nothing, or for whom it is."""

    points: int = 0
    worth: Decimal = Decimal(0)
    parts: tuple[Part, ...] = ()
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class View:
    """A version seen from one tier. ``missed`` says what ``next_name``, the tier above it, has more."""

    perks: tuple[str, ...]
    points: Points
    trial: Trial
    next_name: str = ""
    missed: tuple[str, ...] = ()


def preview_tier(
    version: ProgrammeVersion,
    *,
    who: str,
    wish: Wish,
    request: Any,
    name_methods: Callable[[], Mapping[str, str]],
    now: datetime,
) -> View:
    """
    What members of the tier ``who`` have under a version; of a guest, or a member without a tier, what they
    have. A version that is still to come is judged by the moment when it comes. Nothing is written.
    """
    at = max(now, version.active_from) if version.active_from is not None else now
    desk = _Desk(version, wish=wish, request=request, name_methods=name_methods, at=at)
    tiers = list_tiers(version)
    index = next((index for index, tier in enumerate(tiers) if tier.code == who), -1)
    mine = desk.look(tiers[index] if index >= 0 else None, is_guest=who == GUEST)
    view = View(perks=tuple(desk.say(perk) for perk in mine.perks), points=mine.points, trial=mine.trial)
    if index + 1 == len(tiers):
        return view
    above = desk.look(tiers[index + 1], is_guest=False)
    return View(
        perks=view.perks,
        points=view.points,
        trial=view.trial,
        next_name=name_of(tiers[index + 1]),
        missed=tuple(desk.list_missed(mine, above)),
    )


@dataclass(frozen=True, kw_only=True)
class _Look:
    perks: tuple[TierPerk, ...]
    points: Points
    trial: Trial


class _Desk:
    """One version, one basket; whose it is varies."""

    def __init__(
        self,
        version: ProgrammeVersion,
        *,
        wish: Wish,
        request: Any,
        name_methods: Callable[[], Mapping[str, str]],
        at: datetime,
    ) -> None:
        self.wish, self.request, self.at = wish, request, at
        self._name_methods = name_methods
        self._policy = find_policy_of_version(currency=wish.currency, number=version.number)
        self._perks = sorted(version.tier_perks.all(), key=_place_of)

    def look(self, tier: Tier | None, *, is_guest: bool) -> _Look:
        perks = tuple(perk for perk in self._perks if tier is not None and perk.tier_code == tier.code)
        trial = try_basket(
            self.wish.goods,
            currency=self.wish.currency,
            product=self.wish.product,
            entitled=_entitle(perks),
            request=self.request,
            now=self.at,
        )
        code = tier.code if tier is not None else ""
        points = self._earn(trial, tier_code=code)
        return _Look(perks=perks, points=self._as_guest(points) if is_guest else points, trial=trial)

    def say(self, perk: TierPerk) -> str:
        return say_perk_to_staff(perk, name_methods=self._name_methods)

    def list_missed(self, mine: _Look, above: _Look) -> Iterator[str]:
        """What the next tier gives more, in sentences: perks first, then what they do for the basket."""
        held = {perk.kind: perk for perk in mine.perks}
        for perk in above.perks:
            if perk.kind not in held or not _acts(held[perk.kind]) or _is_better(perk, held[perk.kind]):
                yield self.say(perk)
        more = above.points.points - mine.points.points
        if more > 0:
            yield gettext("%(points)s more for this basket") % {"points": count_points(more)}
        prices = {delivery.code: delivery.price for delivery in mine.trial.deliveries}
        for delivery in above.trial.deliveries:
            paid = prices.get(delivery.code)
            if delivery.price is not None and paid is not None and delivery.price < paid:
                yield gettext("%(method)s for %(price)s instead of %(paid)s") % {
                    "method": delivery.name,
                    "price": self._money(delivery.price),
                    "paid": self._money(paid),
                }
        mine_pay, they_pay = _price_of(mine.trial), _price_of(above.trial)
        if they_pay is not None and mine_pay is not None and they_pay < mine_pay:
            yield gettext("The product for %(price)s instead of %(paid)s") % {
                "price": self._money(they_pay),
                "paid": self._money(mine_pay),
            }

    def _earn(self, trial: Trial, *, tier_code: str) -> Points:
        policy = self._policy
        if policy is None or policy.rate is None:
            text = gettext("This version earns nothing in %(currency)s.")
            return Points(note=text % {"currency": self.wish.currency})
        if not policy.can_earn():
            return Points(note=gettext("Earning is paused."))
        purchase = PurchaseFacts(
            order_id=0,
            number="",
            user_id=None,
            is_claimed=False,
            currency=self.wish.currency,
            placed_at=self.at,
            status="",
            is_cancelled=False,
            lines=trial.lines,
        )
        earning = earnings_under_policy([purchase], policy=policy, tier_codes={0: tier_code}).of(purchase)
        return Points(
            points=earning.points,
            worth=value_of(earning.points, rate=policy.rate),
            parts=tuple(describe_parts(earning)),
        )

    def _as_guest(self, points: Points) -> Points:
        policy: Policy | None = self._policy
        if not points.points or policy is None:
            return points
        if policy.claim_days:
            text = gettext("Guests get %(points)s if they become members and claim the order in time.")
        else:
            text = gettext("Guests get nothing; as members they would get %(points)s.")
        return Points(note=text % {"points": count_points(points.points)})

    def _money(self, amount: Decimal) -> str:
        return money(amount, self.wish.currency)


def _entitle(held: tuple[TierPerk, ...]) -> Entitlements:
    """What a tier's perks come to for somebody who has used none of them."""
    if not held:
        return NOTHING
    return Entitlements(
        tier_code=held[0].tier_code,
        all=tuple(
            Entitlement(
                kind=perk.kind,
                parameters=perk.parameters,
                tier_code=perk.tier_code,
                uses_left=perk.uses_per_period,
            )
            for perk in held
            if _acts(perk) and perk.uses_per_period != 0
        ),
    )


def _acts(perk: TierPerk) -> bool:
    return perk.kind in perks and are_readable(perk.kind, perk.parameters)


def _is_better(one: TierPerk, other: TierPerk) -> bool:
    return _acts(one) and bool(perks.get(one.kind).is_better(one.parameters, other.parameters))


def _place_of(perk: TierPerk) -> tuple[int, str]:
    """In the order in which kinds were registered, like the matrix."""
    known = [kind.code for kind in perks]
    return (known.index(perk.kind) if perk.kind in known else len(known), perk.kind)


def _price_of(trial: Trial) -> Decimal | None:
    return trial.product_price if trial.member_price is None else trial.member_price

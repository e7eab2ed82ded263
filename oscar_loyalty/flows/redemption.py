"""A member spends points on a basket: what is possible, doing it, undoing it."""

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.points import queries as points_queries
from oscar_loyalty.points import services
from oscar_loyalty.points.book import check_points
from oscar_loyalty.points.models import Account, Hold
from oscar_loyalty.points.rules import RedemptionQuote
from oscar_loyalty.programmes.rules import Policy
from oscar_loyalty.shop import redemption as shop
from oscar_loyalty.shop.baskets import (
    Goods,
    basket_ref,
    find_open_basket_ref,
    get_currency,
    get_goods,
    is_still_open,
    lock_basket,
    reapply_offers,
)

#: Why nothing more can be spent, by the code of a limit; the rest of a quote's reasons are about one amount.
_LIMITS = ("balance", "share", "goods", "card_minimum")
_EVERYTHING = 10**12


@dataclass(frozen=True, kw_only=True)
class Redemption:
    """
    What the points of a member can do for a basket, and what they do now.

    ``state`` is ``redeemable``, or why not: ``disabled``, ``guest``, ``not_member``,
    ``account_frozen``, ``paused``, ``currency_not_supported``, ``basket_empty``, ``basket_frozen``
    (being paid or ordered), ``insufficient_points``, ``basket_too_small``.
    """

    state: str
    currency: str
    #: Points that could be spent on this basket: the balance, with what is held for it.
    available: int = 0
    #: What the member asked for; 0: nothing.
    requested: int = 0
    #: Points that are applied now, and the money they save.
    applied: int = 0
    amount: Decimal = Decimal("0.00")
    #: Why less is applied than was asked for: balance, share, goods, card_minimum, step, minimum.
    reasons: tuple[str, ...] = ()
    minimum: int = 1
    step: int = 1
    #: The most that could be applied now, the money it would save, and what limits it: balance, share,
    #: goods, card_minimum.
    maximum: int = 0
    maximum_amount: Decimal = Decimal("0.00")
    maximum_reasons: tuple[str, ...] = ()
    share_percent: Decimal = Decimal("100.00")
    #: Goods net of every other discount, and what is left to pay for them after points; no shipping.
    goods: Decimal = Decimal("0.00")
    total: Decimal = Decimal("0.00")
    balance_after: int = 0
    #: Until when the points are reserved if nobody touches the basket.
    expires_at: datetime | None = None


class RedemptionRefused(ValueError):
    """The points cannot be spent on the basket; nothing was written. ``code`` is a state of
    :class:`Redemption`, or ``minimum`` or ``step`` when another number of points could be spent."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def get_redemption(*, basket: Any, now: datetime) -> Redemption:
    """
    The limits and the present state of redeeming on a basket whose offers have been applied. One
    statement more than applying them cost, two when points have become due; none for guests.
    """
    currency = get_currency(basket)
    if not loyalty_settings.enabled:
        return _closed("disabled", basket)
    if basket.owner_id is None:
        return _closed("guest", basket)
    standing = shop.find_standing(basket, now=now)
    if standing is None:
        return _closed("not_member", basket)
    policy = shop.read_policy(basket, standing, now=now)
    if policy is None:
        return _closed("disabled", basket)
    goods = shop.goods_before_points(basket, standing)
    available = points_queries.get_balance(account=standing.account, now=now).available + standing.held
    applied = _applied(basket, standing, goods=goods, policy=policy)
    most = _most(available=available, goods=goods, policy=policy)
    return Redemption(
        state=_state_of(basket, standing, policy=policy, available=available, most=most.points),
        currency=currency,
        available=available,
        requested=standing.requested,
        applied=applied.points,
        amount=applied.amount,
        reasons=applied.reasons,
        minimum=policy.minimum_points,
        step=policy.step_points,
        maximum=most.points,
        maximum_amount=most.amount,
        maximum_reasons=most.reasons,
        share_percent=policy.maximum_share_percent,
        goods=goods.total,
        total=goods.total - applied.amount,
        balance_after=available - applied.points,
        expires_at=standing.hold.expires_at if standing.hold is not None and standing.held else None,
    )


def redeem(*, basket: Any, points: int, now: datetime) -> Redemption:
    """
    Spend up to ``points`` (whole, above zero) on an open basket instead of what was asked for before,
    reserve them, and apply the basket's offers anew. What limits it is in the result's ``reasons``.

    :raises InvalidPoints: ``points`` is not a whole number above zero
    :raises RedemptionRefused: nothing could be spent; what was applied before stays
    """
    check_points(points)
    standing = shop.read_standing(basket, now=now)
    possible = get_redemption(basket=basket, now=now)
    if possible.state != "redeemable":
        raise RedemptionRefused(possible.state)
    if points < possible.minimum:
        raise RedemptionRefused("minimum")
    assert standing is not None
    try:
        with transaction.atomic():
            lock_basket(basket)
            services.hold_points(
                account_id=standing.account.pk,
                ref=basket_ref(basket),
                requested=points,
                currency=possible.currency,
                expires_at=now + timedelta(minutes=loyalty_settings.hold_minutes),
                now=now,
            )
            if not is_still_open(basket):
                raise RedemptionRefused("basket_frozen")
            _apply_anew(basket)
            result = get_redemption(basket=basket, now=now)
            if not result.applied:
                raise RedemptionRefused(_refusal(result))
    except services.InsufficientPoints as error:
        raise RedemptionRefused("insufficient_points") from error
    except services.AccountNotOpen as error:
        raise RedemptionRefused("account_frozen") from error
    except services.HoldNotOpen as error:
        # The basket was another member's until a moment ago.
        raise RedemptionRefused("disabled") from error
    except RedemptionRefused:
        _apply_anew(basket)
        raise
    return result


def undo_redemption(*, basket: Any, now: datetime) -> Redemption:
    """
    Spend nothing on the basket after all: end the reservation and apply the basket's offers anew. Safe
    to repeat.

    :raises RedemptionRefused: the basket is being paid or was ordered (``basket_frozen``)
    """
    if basket.pk is not None and basket.owner_id is not None and loyalty_settings.enabled:
        if not basket.can_be_edited:
            raise RedemptionRefused("basket_frozen")
        services.release_hold(ref=basket_ref(basket), now=now)
        _apply_anew(basket)
    return get_redemption(basket=basket, now=now)


def end_redemption(*, ref: str, now: datetime) -> None:
    """The basket is gone: its points are free again. Safe to repeat."""
    services.release_hold(ref=ref, now=now)


def move_redemption(*, ref: str, owner_id: int, now: datetime) -> None:
    """
    A basket was merged into another one of the same customer: free its points, and hold them for the
    other basket unless something was asked for there already. Safe to repeat.
    """
    with transaction.atomic():
        hold = points_queries.find_latest_hold(ref=ref)
        if hold is None or hold.state not in (Hold.State.OPEN, Hold.State.EXPIRED):
            return
        services.release_hold(ref=ref, now=now)
        target = find_open_basket_ref(owner_id=owner_id)
        if target is None or target == ref:
            return
        there = points_queries.find_latest_hold(ref=target)
        if there is not None and there.state in (Hold.State.OPEN, Hold.State.EXPIRED):
            return
        with suppress(services.InsufficientPoints, services.AccountNotOpen):
            services.hold_points(
                account_id=hold.account_id,
                ref=target,
                requested=hold.requested,
                currency=hold.currency,
                expires_at=now + timedelta(minutes=loyalty_settings.hold_minutes),
                now=now,
            )


def _apply_anew(basket: Any) -> None:
    shop.forget_standing(basket)
    reapply_offers(basket)


def _closed(state: str, basket: Any) -> Redemption:
    goods = get_goods(basket).total
    return Redemption(state=state, currency=get_currency(basket), goods=goods, total=goods)


def _state_of(basket: Any, standing: shop.Standing, *, policy: Policy, available: int, most: int) -> str:
    if policy.redemption_paused:
        return "paused"
    if policy.rate is None:
        return "currency_not_supported"
    if standing.account.status != Account.Status.OPEN:
        return "account_frozen"
    if basket.is_empty:
        return "basket_empty"
    if not basket.can_be_edited:
        return "basket_frozen"
    if available < policy.minimum_points:
        return "insufficient_points"
    return "redeemable" if most else "basket_too_small"


def _applied(basket: Any, standing: shop.Standing, *, goods: Goods, policy: Policy) -> RedemptionQuote:
    """What the offer has taken off; when it took nothing, why."""
    if standing.applied is not None and standing.is_applied_to(basket):
        return standing.applied
    nothing = RedemptionQuote(points=0, amount=Decimal("0.00"))
    if not standing.requested or not policy.can_redeem():
        return nothing
    quoted = shop.quote(requested=standing.requested, available=standing.held, goods=goods, policy=policy)
    return replace(nothing, reasons=quoted.reasons)


def _most(*, available: int, goods: Goods, policy: Policy) -> RedemptionQuote:
    if not policy.can_redeem():
        return RedemptionQuote(points=0, amount=Decimal("0.00"))
    most = shop.quote(requested=_EVERYTHING, available=_EVERYTHING, goods=goods, policy=policy)
    if available < most.points or not most.points:
        most = shop.quote(requested=_EVERYTHING, available=available, goods=goods, policy=policy)
    return RedemptionQuote(
        points=most.points,
        amount=most.amount,
        reasons=tuple(reason for reason in most.reasons if reason in _LIMITS),
    )


def _refusal(result: Redemption) -> str:
    """The code of a limit that left nothing; the offer itself is missing when no limit did."""
    return result.reasons[-1] if result.reasons else "disabled"

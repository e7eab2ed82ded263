"""What the points of a member do for a basket: read anew each time Oscar applies its offers."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.points import queries as points
from oscar_loyalty.points import services
from oscar_loyalty.points.models import Account, Hold
from oscar_loyalty.points.rules import RedemptionLimits, RedemptionQuote, quote_redemption
from oscar_loyalty.programmes import queries as programmes
from oscar_loyalty.programmes.rules import Policy
from oscar_loyalty.shop.baskets import Goods, basket_ref, get_currency, get_goods, lock_basket

#: Where a basket object keeps its standing, in a list of one, or an empty one when there is none.
_KEPT_AS = "_loyalty_standing"
_WISHED = (Hold.State.OPEN, Hold.State.EXPIRED)


@dataclass(kw_only=True)
class Standing:
    """A member's points beside one basket. It lives no longer than the basket object."""

    account: Account
    #: The newest reservation for the basket, in any state.
    hold: Hold | None
    #: What the member asked for, also when the reservation has run out since; 0: nothing.
    requested: int
    #: Points of a reservation that had run out and had to be made again just now.
    promised: int | None = None
    #: The basket's currency and the policy for it, once ``read_policy`` was asked.
    currency: str = ""
    policy: Policy | None = None
    policy_is_read: bool = False
    #: What the offer took off the basket, and the goods before that.
    applied: RedemptionQuote | None = None
    goods: Goods | None = None
    #: The offer's result, and the line objects that carry its discount: Oscar may apply offers twice
    #: without a reset.
    result: Any = None
    lines: object = None

    @property
    def held(self) -> int:
        """Points that are reserved for the basket now."""
        return self.hold.points if self.hold is not None and self.hold.state == Hold.State.OPEN else 0

    def is_applied_to(self, basket: Any) -> bool:
        return self.lines is not None and self.lines is basket._lines


def read_standing(basket: Any, *, now: datetime) -> Standing | None:
    """
    The standing of the basket's owner, read anew in one statement, and without one for guests.
    ``None``: the owner takes no part.
    """
    earlier = _kept(basket)
    if not loyalty_settings.enabled or basket.pk is None or basket.owner_id is None:
        return None
    found = points.find_account_with_hold(
        user_id=basket.owner_id, programme_code=loyalty_settings.programme_code, ref=basket_ref(basket)
    )
    if found is None:
        setattr(basket, _KEPT_AS, [])
        return None
    account, hold = found
    standing = Standing(
        account=account,
        hold=hold,
        requested=hold.requested if hold is not None and hold.state in _WISHED else 0,
    )
    if earlier is not None and earlier.promised is not None:
        # What was lost in this request is not forgotten because Oscar applies its offers again.
        standing.promised, standing.requested = earlier.promised, earlier.requested
    if earlier is not None and earlier.is_applied_to(basket):
        standing.applied, standing.goods = earlier.applied, earlier.goods
        standing.result, standing.lines = earlier.result, earlier.lines
    setattr(basket, _KEPT_AS, [standing])
    return standing


def find_standing(basket: Any, *, now: datetime) -> Standing | None:
    """The standing that was read when offers were applied to this basket object, or a new one."""
    if getattr(basket, _KEPT_AS, None) is None:
        return read_standing(basket, now=now)
    return _kept(basket)


def forget_standing(basket: Any) -> None:
    """Something has changed that the standing does not know."""
    setattr(basket, _KEPT_AS, None)


def read_policy(basket: Any, standing: Standing, *, now: datetime) -> Policy | None:
    """The policy in force for the basket's currency: one statement in the life of a standing."""
    if not standing.policy_is_read:
        # Oscar works a basket's currency out of the prices of its lines: asked for once.
        standing.currency = get_currency(basket)
        standing.policy = programmes.find_policy(currency=standing.currency, at=now)
        standing.policy_is_read = True
    return standing.policy


def find_policy(basket: Any, *, now: datetime) -> Policy | None:
    """The policy in force for the basket's currency; no statement when it was read for its points."""
    standing = find_standing(basket, now=now)
    if standing is not None:
        return read_policy(basket, standing, now=now)
    return programmes.find_policy(currency=get_currency(basket), at=now)


def has_points(basket: Any, *, now: datetime) -> bool:
    """
    Whether points are reserved for the basket and may be spent on it today; one statement, two when
    points were asked for. The reservation is kept alive while its member is about.
    """
    standing = read_standing(basket, now=now)
    if standing is None or standing.hold is None or not standing.requested:
        return False
    policy = read_policy(basket, standing, now=now)
    if policy is None or not policy.can_redeem() or standing.account.status != Account.Status.OPEN:
        return False
    if standing.hold.currency != standing.currency:
        return False
    if standing.hold.state in _WISHED:
        _keep_hold(basket, standing, now=now)
    return bool(standing.held or standing.promised)


def _keep_hold(basket: Any, standing: Standing, *, now: datetime) -> None:
    """
    Renew the reservation in the second half of its life, make it again when it has run out, take more
    when more was asked for and has become available. A wish that nothing is left for ends;
    one that another request has ended since is not brought back.
    """
    hold, account = standing.hold, standing.account
    assert hold is not None
    lifetime = timedelta(minutes=loyalty_settings.hold_minutes)
    has_run_out = hold.state == Hold.State.EXPIRED
    may_grow = hold.points < hold.requested and (account.available > 0 or account.due_at <= now)
    if not has_run_out and not may_grow and hold.expires_at - now > lifetime / 2:
        return
    if has_run_out:
        standing.promised = hold.points
    try:
        with transaction.atomic():
            lock_basket(basket)
            standing.hold = services.renew_hold(
                hold=hold, expires_at=max(hold.expires_at, now + lifetime), now=now
            )
        standing.requested = standing.hold.requested
        account.refresh_from_db(fields=["available", "due_at"])
    except (services.InsufficientPoints, services.AccountNotOpen):
        services.release_hold(ref=hold.ref, now=now)
        standing.hold = None
    except services.HoldNotOpen:
        standing.hold, standing.promised = None, hold.points


def quote(*, requested: int, available: int, goods: Goods, policy: Policy) -> RedemptionQuote:
    """What ``requested`` points of ``available`` ones would do for goods under a policy."""
    assert policy.rate is not None
    return quote_redemption(
        requested=requested,
        available=available,
        goods=goods.payable,
        besides=goods.total - goods.payable,
        limits=RedemptionLimits(
            rate=policy.rate,
            minimum=policy.minimum_points,
            step=policy.step_points,
            share_percent=policy.maximum_share_percent,
        ),
    )


def goods_before_points(basket: Any, standing: Standing | None) -> Goods:
    """Goods net of every other offer, whether or not points have been taken off already."""
    if standing is not None and standing.goods is not None and standing.is_applied_to(basket):
        return standing.goods
    return get_goods(basket)


def _kept(basket: Any) -> Standing | None:
    kept: list[Standing] | None = getattr(basket, _KEPT_AS, None)
    return kept[0] if kept else None

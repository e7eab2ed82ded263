"""
What of an order may come back until when, what that costs, and how long the shop has.

The days count where the shop is, and end on working days.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.delivery.calendars import Region, is_holiday
from oscar_loyalty.flows import return_settlement as settlement
from oscar_loyalty.flows.return_settlement import Ground, find_ground
from oscar_loyalty.points import queries as points
from oscar_loyalty.points.models import Account
from oscar_loyalty.returns import queries, rules
from oscar_loyalty.returns.models import FAULTS, NOTHING, Reason, Return, ReturnPolicy, SpentPoints
from oscar_loyalty.returns.rules import WITHDRAWAL_DAYS, Taken
from oscar_loyalty.shop import return_orders
from oscar_loyalty.shop.return_orders import SoldItem, SoldOrder
from oscar_loyalty.tiers import queries as tiers
from oscar_loyalty.tiers.entitlements import find_entitlements

#: Without a programme there is no time zone in the database.
_TIME_ZONE = "Europe/Berlin"


class ReturnRefused(ValueError):
    """
    ``code`` says why nothing was changed: ``nothing_chosen``, ``unknown_line``, ``too_many``,
    ``not_delivered``, ``too_late``, ``excluded``, ``order_cancelled``, ``store_credit_not_offered``,
    ``unknown_reason``, ``key_reused``, ``refund_under_way``, ``reason_missing``, ``returned_otherwise``,
    ``wrong_state``; ``line_id`` names the line, where it is about one.
    """

    def __init__(self, code: str, *, line_id: int | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.line_id = line_id


@dataclass(frozen=True, kw_only=True)
class Pick:
    """So many pieces of a line of an order, and why they come back."""

    line_id: int
    quantity: int
    reason: str = Reason.WITHDRAWAL
    comment: str = ""


@dataclass(frozen=True, kw_only=True)
class ReturnableLine:
    """
    A line of an order. ``left``: pieces that may be returned now, for any reason or, with ``only_faults``,
    when they are faulty; ``why_none`` says why there is none: ``not_delivered``, ``all_returned``,
    ``too_late``.
    """

    line_id: int
    title: str
    sku: str
    upc: str
    product_id: int | None
    ordered: int
    returned: int
    left: int
    amount: Decimal
    only_faults: bool
    why_none: str


@dataclass(frozen=True, kw_only=True)
class ReturnableOrder:
    """
    What may come back of an order, until when (the first instant at which it is too late; ``None`` while it
    has not arrived), and what that costs.
    """

    order_id: int
    number: str
    currency: str
    user_id: int | None
    placed_at: datetime
    delivered_at: datetime | None
    return_until: datetime | None
    withdraw_until: datetime | None
    time_zone: str
    window_days: int
    fee: Decimal
    free_because: str
    offers_store_credit: bool
    asks_for_set_off: bool
    refund_days: int
    lines: tuple[ReturnableLine, ...]

    @property
    def has_anything(self) -> bool:
        return any(line.left for line in self.lines)


def find_returnable(*, order_id: int, now: datetime) -> ReturnableOrder:
    """
    What of an order may be returned now. Reads only.

    :raises PurchaseMissing: the order is gone
    """
    order = return_orders.get_sold_order(order_id=order_id, now=now)
    return returnable_of(order, ground=find_ground(order, now=now), now=now)


def returnable_of(order: SoldOrder, *, ground: Ground, now: datetime) -> ReturnableOrder:
    terms = ground.terms
    perks = _perks_of(order, now=now)
    window_days = max([terms.window_days, *(details["days"] for details in perks.get("RETURN_WINDOW", ()))])
    delivered_at = order.delivered_at
    if delivered_at is None and not order.has_reports:
        assumed = order.purchase.placed_at + timedelta(days=terms.assumed_delivery_days)
        delivered_at = assumed if assumed <= now else None
    return_until = _until(delivered_at, days=window_days, ground=ground)
    fault_until = _until(delivered_at, days=max(terms.fault_days, window_days), ground=ground)
    returned = queries.find_returned_pieces(order_ref=order.number)
    excluded = return_orders.find_excluded(order, policy=terms)
    is_over = return_until is not None and now >= return_until
    is_all_over = fault_until is not None and now >= fault_until
    lines = []
    for item in order.items:
        gone = returned.get(item.line_id, 0)
        here = item.quantity if delivered_at is not None else min(item.reported, item.quantity)
        left = 0 if is_all_over or order.purchase.is_cancelled else max(here - gone, 0)
        lines.append(
            ReturnableLine(
                line_id=item.line_id,
                title=item.title,
                sku=item.sku,
                upc=item.upc,
                product_id=item.product_id,
                ordered=item.quantity,
                returned=gone,
                left=left,
                amount=item.amount,
                only_faults=is_over or item.line_id in excluded,
                why_none="" if left else _why_none(item, gone=gone, is_over=is_all_over),
            )
        )
    free_because = Return.FreeBecause.CHARGED
    if not terms.fee:
        free_because = Return.FreeBecause.POLICY
    elif "FREE_RETURNS" in perks:
        free_because = Return.FreeBecause.PERK
    is_member = order.purchase.user_id is not None and ground.policy is not None
    return ReturnableOrder(
        order_id=order.purchase.order_id,
        number=order.number,
        currency=order.currency,
        user_id=order.purchase.user_id,
        placed_at=order.purchase.placed_at,
        delivered_at=delivered_at,
        return_until=return_until,
        withdraw_until=_until(delivered_at, days=WITHDRAWAL_DAYS, ground=ground),
        time_zone=time_zone_of(ground),
        window_days=window_days,
        fee=NOTHING if free_because else terms.fee,
        free_because=free_because,
        offers_store_credit=is_member
        and terms.offers_store_credit
        and bool(ground.policy and rules.unit_value_of(ground.policy))
        and account_of(ground) is not None,
        asks_for_set_off=is_member and terms.spent_points == SpentPoints.SET_OFF,
        refund_days=terms.refund_days,
        lines=tuple(lines),
    )


def _why_none(item: SoldItem, *, gone: int, is_over: bool) -> str:
    if gone >= item.quantity:
        return "all_returned"
    return "too_late" if is_over else "not_delivered"


def _perks_of(order: SoldOrder, *, now: datetime) -> Mapping[str, list[dict[str, int]]]:
    """Perks about returns that the buyer has today, or had when they ordered: the better one counts."""
    user_id = order.purchase.user_id
    if user_id is None or not loyalty_settings.enabled:
        return {}
    found: dict[str, list[dict[str, int]]] = {}
    today = [(one.kind, dict(one.parameters)) for one in find_entitlements(user_id=user_id, now=now).all]
    for kind, details in [*today, *tiers.find_frozen_perks(order_ref=order.number)]:
        found.setdefault(kind, []).append(details)
    return found


# What is asked for


def check_picks(
    picks: Sequence[Pick], *, kind: str, returnable: ReturnableOrder, ground: Ground, now: datetime
) -> None:
    """:raises ReturnRefused: these pieces cannot be returned for these reasons"""
    if ground.order.purchase.is_cancelled:
        raise ReturnRefused("order_cancelled")
    if not picks:
        raise ReturnRefused("nothing_chosen")
    lines = {line.line_id: line for line in returnable.lines}
    seen: set[int] = set()
    for pick in picks:
        line = lines.get(pick.line_id)
        if line is None or pick.line_id in seen:
            raise ReturnRefused("unknown_line", line_id=pick.line_id)
        seen.add(pick.line_id)
        if pick.reason not in Reason.values:
            raise ReturnRefused("unknown_reason", line_id=pick.line_id)
        if type(pick.quantity) is not int or pick.quantity < 1:
            raise ReturnRefused("nothing_chosen", line_id=pick.line_id)
        is_withdrawal = kind == Return.Kind.WITHDRAWAL
        is_fault = pick.reason in FAULTS
        if line.why_none and not (is_withdrawal and line.why_none == "not_delivered"):
            raise ReturnRefused(line.why_none, line_id=pick.line_id)
        if line.only_faults and not is_fault:
            late = not _is_in_time(returnable, is_withdrawal=is_withdrawal, now=now)
            raise ReturnRefused("too_late" if late else "excluded", line_id=pick.line_id)
        left = line.ordered - line.returned if is_withdrawal else line.left
        if pick.quantity > left:
            raise ReturnRefused("too_many", line_id=pick.line_id)
        if is_withdrawal and not _is_in_time(returnable, is_withdrawal=True, now=now):
            raise ReturnRefused("too_late", line_id=pick.line_id)


def _is_in_time(returnable: ReturnableOrder, *, is_withdrawal: bool, now: datetime) -> bool:
    until = returnable.return_until
    if is_withdrawal and returnable.withdraw_until is not None and until is not None:
        until = max(until, returnable.withdraw_until)
    return until is None or now < until


def fee_for(picks: Sequence[Pick], *, returnable: ReturnableOrder, keeps: bool) -> tuple[Decimal, str]:
    if keeps:
        return NOTHING, Return.FreeBecause.KEEP
    # One faulty piece makes the parcel free.
    if any(pick.reason in FAULTS for pick in picks):
        return NOTHING, Return.FreeBecause.FAULT
    return returnable.fee, returnable.free_because


def is_instant(of_return: Return, *, ground: Ground, now: datetime) -> bool:
    if "INSTANT_REFUND" not in _perks_of(ground.order, now=now):
        return False
    taken = {line.line_id: Taken(pieces=line.quantity) for line in of_return.lines.all()}
    limit = ground.terms.instant_refund_limit
    # Also asked of a return that is booked by now, for its preview: that one does not count as gone.
    return limit is None or settlement.quote(ground, taken=taken, but_not=of_return.pk).goods <= limit


# Whose and until when


def account_of(ground: Ground) -> Account | None:
    return points.find_account_of_user(
        user_id=ground.order.purchase.user_id, programme_code=loyalty_settings.programme_code
    )


def _until(delivered_at: datetime | None, *, days: int, ground: Ground) -> datetime | None:
    if delivered_at is None:
        return None
    return rules.last_moment(
        delivered_at, days=days, is_holiday=calendar_of(ground.terms), time_zone=time_zone_of(ground)
    )


def refund_until(received_at: datetime, *, ground: Ground) -> datetime:
    return rules.in_working_days(
        received_at,
        days=ground.terms.refund_days,
        is_holiday=calendar_of(ground.terms),
        time_zone=time_zone_of(ground),
    )


def calendar_of(terms: ReturnPolicy) -> Callable[[date], bool]:
    """Holidays of the shop's part of the country, for shops that have the library for it."""
    region = Region(country=terms.country, subdivision=terms.subdivision)

    def is_free(day: date) -> bool:
        try:
            return is_holiday(day, region=region)
        except ImportError:
            return False

    return is_free


def time_zone_of(ground: Ground) -> str:
    return ground.policy.time_zone if ground.policy else _TIME_ZONE

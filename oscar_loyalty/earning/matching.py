"""
Whether a rule holds for an order, and which lines it means. Conditions are turned once into as many small
checks as are set: most rules have one or two, and a simulation asks them for every order.
"""

from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo

from oscar_loyalty.earning.conditions import Conditions
from oscar_loyalty.earning.facts import Context, Line

#: Asked with the order as a whole and the money for its goods.
Check = Callable[[Context, Decimal], bool]
Picker = Callable[[Line], bool]


def holds_for_member(conditions: Conditions, *, context: Context) -> bool:
    """Whether a rule that needs no order holds for a member now."""
    return all(check(context, Decimal(0)) for check in _checks_of_member(conditions))


def checks_of(conditions: Conditions) -> tuple[Check, ...]:
    """
    What a rule asks of the whole order, all of which must be so; of the payment, as far as it is known.
    What is cheap and rarely so comes first.
    """
    return (*_checks_of_member(conditions), *_checks_of_order(conditions))


def picker_of(conditions: Conditions) -> Picker | None:
    """
    Whether a rule means a line; ``None`` where it means all of them. Shipping is meant only where no goods
    are picked.
    """
    if not conditions.picks_lines:
        return None
    pickers = _pickers_of(conditions)
    if len(pickers) == 1:
        [only] = pickers
        return lambda line: not line.is_shipping and only(line)
    return lambda line: not line.is_shipping and all(picks(line) for picks in pickers)


def _pickers_of(conditions: Conditions) -> list[Picker]:
    pickers: list[Picker] = []
    if products := conditions.product_ids:
        pickers.append(lambda line: line.product_id in products or line.parent_id in products)
    if classes := conditions.product_class_ids:
        pickers.append(lambda line: line.product_class_id in classes)
    if categories := conditions.category_ids:
        pickers.append(lambda line: not categories.isdisjoint(line.category_ids))
    if ranges := conditions.range_ids:
        pickers.append(lambda line: not ranges.isdisjoint(line.range_ids))
    if attributes := conditions.attributes:
        pickers.append(
            lambda line: all(
                wanted & line.attributes.get(code, frozenset()) for code, wanted in attributes.items()
            )
        )
    return pickers


def _checks_of_member(conditions: Conditions) -> list[Check]:
    checks: list[Check] = []
    if tiers := conditions.tiers:
        checks.append(lambda context, _goods: context.tier_code in tiers)
    if segments := conditions.segments:
        checks.append(lambda context, _goods: not segments.isdisjoint(context.segments))
    if groups := conditions.group_ids:
        checks.append(lambda context, _goods: not groups.isdisjoint(context.group_ids))
    if since := conditions.active_from:
        checks.append(lambda context, _goods: context.placed_at >= since)
    if until := conditions.active_to:
        checks.append(lambda context, _goods: context.placed_at < until)
    if conditions.weekdays or conditions.hours:
        checks.append(lambda context, _goods: _is_time_of(conditions, context))
    return checks


def _checks_of_order(conditions: Conditions) -> list[Check]:
    checks: list[Check] = []
    if nth := conditions.nth_order:
        checks.append(lambda context, _goods: context.order_number == nth)
    if every := conditions.every_nth_order:
        checks.append(
            lambda context, _goods: context.order_number is not None and not context.order_number % every
        )
    if least := conditions.minimum_value:
        checks.append(lambda context, goods: context.currency in least and goods >= least[context.currency])
    if channels := conditions.channels:
        checks.append(lambda context, _goods: context.channel in channels)
    if shipping := conditions.shipping_methods:
        checks.append(lambda context, _goods: context.shipping_method in shipping)
    if methods := conditions.payment_methods:
        checks.append(
            lambda context, _goods: (
                context.payment_methods is None or not methods.isdisjoint(context.payment_methods)
            )
        )
    return checks


def _is_time_of(conditions: Conditions, context: Context) -> bool:
    """By the clock on the wall where the programme is."""
    local = context.placed_at.astimezone(_zone(context.time_zone))
    if conditions.weekdays and local.weekday() not in conditions.weekdays:
        return False
    return not conditions.hours or _within(local.hour * 60 + local.minute, *conditions.hours)


def _within(minute: int, start: int, end: int) -> bool:
    if start < end:
        return start <= minute < end
    return minute >= start or minute < end


@lru_cache(maxsize=32)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)

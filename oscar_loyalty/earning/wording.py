"""Rules in plain sentences, for staff: what it gives, when, and up to which limits."""

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.formats import date_format
from django.utils.text import capfirst
from django.utils.translation import gettext, ngettext

from oscar_loyalty.earning.conditions import Conditions
from oscar_loyalty.earning.rules import Rule
from oscar_loyalty.registry import segments

Names = Mapping[str, Mapping[Any, str]]


def describe_rule(rule: Rule, *, time_zone: str, names: Names | None = None) -> str:
    """
    "2 times the usual points; on Saturday, Sunday; at most 500 points per order". ``names`` say what the
    shop calls things, by name of the condition and id or code; what has no name there is shown as it is.
    """
    said = [rule.kind.describe(rule.parameters)]
    said += describe_conditions(rule.conditions, time_zone=time_zone, names=names or {})
    if rule.cap_order_points is not None:
        said.append(gettext("at most %(points)s points per order") % {"points": rule.cap_order_points})
    if rule.cap_member_points is not None:
        said.append(
            gettext("at most %(points)s points per member, %(period)s")
            % {"points": rule.cap_member_points, "period": name_period(rule.cap_member_period)}
        )
    if rule.budget_points is not None:
        said.append(gettext("at most %(points)s points for all members") % {"points": rule.budget_points})
    if rule.exclusion_group:
        said.append(gettext("only the best of “%(group)s”") % {"group": rule.exclusion_group})
    return capfirst("; ".join(said))


def describe_conditions(conditions: Conditions, *, time_zone: str, names: Names) -> list[str]:
    """One clause for each condition that is set."""
    said: list[str] = []
    for name, clause in (
        ("product_ids", gettext("for the products %(values)s")),
        ("category_ids", gettext("for the categories %(values)s and below")),
        ("product_class_ids", gettext("for the product types %(values)s")),
        ("range_ids", gettext("for the ranges %(values)s")),
        ("tiers", gettext("for members of %(values)s")),
        ("group_ids", gettext("for the customer groups %(values)s")),
        ("channels", gettext("for orders through %(values)s")),
        ("shipping_methods", gettext("with shipping by %(values)s")),
        ("payment_methods", gettext("paid by %(values)s, judged when the order is confirmed")),
    ):
        values = getattr(conditions, name)
        if values:
            said.append(clause % {"values": _list(values, names.get(name, {}))})
    for code, values in sorted(conditions.attributes.items()):
        said.append(
            gettext("where %(attribute)s is %(values)s")
            % {"attribute": names.get("attributes", {}).get(code, code), "values": _list(values, {})}
        )
    if conditions.segments:
        known = {one.code: str(one.label) for one in segments}
        said.append(gettext("for members who are %(values)s") % {"values": _list(conditions.segments, known)})
    if conditions.nth_order:
        said.append(
            gettext("for the first order")
            if conditions.nth_order == 1
            else gettext("for order number %(number)s of a customer") % {"number": conditions.nth_order}
        )
    if conditions.every_nth_order:
        said.append(
            ngettext("for every order", "for every %(number)sth order", conditions.every_nth_order)
            % {"number": conditions.every_nth_order}
        )
    if conditions.minimum_value:
        amounts = ", ".join(f"{amount:f} {code}" for code, amount in sorted(conditions.minimum_value.items()))
        said.append(gettext("from goods of %(amounts)s") % {"amounts": amounts})
    return said + _describe_time(conditions, time_zone=time_zone)


def name_period(period: str) -> str:
    """ "per month", "in all"."""
    return {
        "DAY": gettext("per day"),
        "WEEK": gettext("per week"),
        "MONTH": gettext("per month"),
        "YEAR": gettext("per year"),
        "EVER": gettext("in all"),
    }.get(period, period)


def _describe_time(conditions: Conditions, *, time_zone: str) -> list[str]:
    said = []
    zone = ZoneInfo(time_zone)
    for moment, clause in (
        (conditions.active_from, gettext("from %(moment)s")),
        (conditions.active_to, gettext("until before %(moment)s")),
    ):
        if moment is not None:
            said.append(clause % {"moment": date_format(moment.astimezone(zone), "SHORT_DATETIME_FORMAT")})
    if conditions.weekdays:
        days = [str(name_weekday(day)) for day in sorted(conditions.weekdays)]
        said.append(gettext("on %(days)s") % {"days": ", ".join(days)})
    if conditions.hours:
        start, end = (f"{minutes // 60:02}:{minutes % 60:02}" for minutes in conditions.hours)
        said.append(gettext("from %(start)s to %(end)s o'clock") % {"start": start, "end": end})
    return said


def name_weekday(day: int) -> str:
    return [
        gettext("Monday"),
        gettext("Tuesday"),
        gettext("Wednesday"),
        gettext("Thursday"),
        gettext("Friday"),
        gettext("Saturday"),
        gettext("Sunday"),
    ][day]


def _list(values: Any, names: Mapping[Any, str]) -> str:
    return ", ".join(sorted(str(names.get(value, value)) for value in values))

"""Money, points and reasons in the reader's words."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from babel.numbers import format_currency, format_decimal
from django.utils.translation import get_language, gettext, ngettext, to_locale

from oscar_loyalty.points.models import Adjustment, Entry
from oscar_loyalty.points.rules import Earning

_SIGNS = {1: "+", 0: "", -1: "−"}


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one rule brought, and why, in the reader's words."""

    code: str
    points: int
    text: str


def money(amount: Decimal, currency: str) -> str:
    """€1,234.50, or 1.234,50 € for a German reader; no more decimals than the currency has."""
    return format_currency(amount, currency, locale=_locale())


def number(value: Decimal | int) -> str:
    return format_decimal(value, locale=_locale())


def count_points(points: int) -> str:
    return ngettext("%(points)s point", "%(points)s points", points) % {"points": number(points)}


def signed_points(entry: Entry) -> str:
    """The points of an entry as the member feels them: +120, −80, and 80 where they only change state."""
    return f"{_SIGNS[Entry.Kind(entry.kind).sign]}{number(entry.points)}"


def name_reason(code: str) -> str:
    """Why something was booked, in words: a code of the staff's adjustments, or one of the ledger itself."""
    own = {
        "TRANSFER": gettext("transfer between members"),
        "MERGE": gettext("merge of members"),
        "CLOSED": gettext("closing of the account"),
    }
    return own.get(code) or str(dict(Adjustment.Reason.choices).get(code, code))


def name_part(part: Mapping[str, Any]) -> str:
    """
    Why a part of an earning was given, to its customer and in their language: the text that staff wrote,
    or what the rule does. ``part`` is one of ``explanation["rules"]``.
    """
    german = (get_language() or "").startswith("de")
    texts = (part.get("text_de"), part.get("text_en"))
    wanted, other = texts if german else reversed(texts)
    if wanted or other:
        return str(wanted or other)
    if part.get("code") == "PURCHASE":
        return gettext("base points")
    parameters = part.get("parameters") or {}
    if part.get("kind") == "MULTIPLIER" and "factor" in parameters:
        return gettext("%(factor)s times the points") % {"factor": _exact(parameters["factor"])}
    return gettext("bonus")


def list_parts(facts: Mapping[str, Any]) -> list[Part]:
    """What each rule brought to a booking, by its explanation; nothing where only the base rate acted."""
    rules = facts.get("rules")
    if not isinstance(rules, list):
        return []
    return [
        Part(code=str(one.get("code", "")), points=int(one.get("points", 0)), text=name_part(one))
        for one in rules
        if isinstance(one, dict)
    ]


def describe_parts(earning: Earning) -> list[Part]:
    """The same for an earning that is not booked."""
    return [
        Part(
            code=part.rule_code,
            points=part.points,
            text=name_part(
                {
                    "code": part.rule_code,
                    "kind": part.kind,
                    "text_de": part.text_de,
                    "text_en": part.text_en,
                    "parameters": dict(part.parameters),
                }
            ),
        )
        for part in earning.parts
    ]


def name_occasion(code: str) -> str:
    """What earned points without an order, to its member; empty for what an order earned."""
    return {
        "SIGN_UP": gettext("Welcome"),
        "BIRTHDAY": gettext("Happy birthday"),
        "PROFILE_COMPLETED": gettext("Profile completed"),
        "NEWSLETTER": gettext("Newsletter confirmed"),
        "EVENT": gettext("Earned"),
    }.get(code, "")


def add_up(parts: Iterable[Part]) -> str:
    """ "base points 107 + Gold 12 + double points weekend 50"."""
    return " + ".join(f"{part.text} {number(part.points)}" for part in parts)


def explain_entry(entry: Entry) -> list[str]:
    """The facts that an entry was computed from, one short statement each."""
    facts = entry.explanation
    said = []
    if parts := list_parts(facts):
        said.append(add_up(parts))
    if "earn_amount" in facts:
        said.append(_explain_earning(facts))
    elif "amount" in facts:
        said.append(gettext("saved %(money)s") % {"money": _money_of(facts, "amount")})
    elif "rate" in facts:
        said.append(
            gettext("%(before)s became %(after)s: from %(from_currency)s to %(to_currency)s at %(rate)s")
            % {
                "before": count_points(int(str(facts.get("points_before", 0)))),
                "after": count_points(int(str(facts.get("points_after", 0)))),
                "from_currency": facts.get("from_currency"),
                "to_currency": facts.get("to_currency"),
                "rate": _exact(facts["rate"]),
            }
        )
    if facts.get("event"):
        said.append(gettext("event %(code)s") % {"code": facts["event"]})
    if facts.get("note"):
        said.append(str(facts["note"]))
    if "version" in facts:
        said.append(gettext("version %(number)s of the programme") % {"number": facts["version"]})
    if facts.get("rounding") == "FLOOR_ONCE":
        said.append(gettext("rounded down once for the whole order"))
    return said


def _explain_earning(facts: dict[str, object]) -> str:
    basis = _money_of(facts, "basis")
    tax = gettext("with VAT") if facts.get("includes_tax") else gettext("without VAT")
    shipping = gettext("with shipping") if facts.get("includes_shipping") else gettext("without shipping")
    return gettext("%(points)s for every %(money)s, on %(basis)s %(tax)s, %(shipping)s") % {
        "points": count_points(int(str(facts.get("earn_points", 0)))),
        "money": _money_of(facts, "earn_amount"),
        "basis": basis,
        "tax": tax,
        "shipping": shipping,
    }


def _money_of(facts: dict[str, object], name: str) -> str:
    try:
        return money(Decimal(str(facts.get(name))), str(facts.get("currency", "")))
    except InvalidOperation:
        return str(facts.get(name))


def _exact(value: object) -> str:
    """A number with all its decimals: an exchange rate is not rounded for its reader."""
    try:
        return format_decimal(Decimal(str(value)), locale=_locale(), decimal_quantization=False)
    except InvalidOperation:
        return str(value)


def _locale() -> str:
    return to_locale(get_language() or "en")

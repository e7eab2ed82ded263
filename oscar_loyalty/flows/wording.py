"""Money, points and reasons in the reader's words."""

from decimal import Decimal, InvalidOperation

from babel.numbers import format_currency, format_decimal
from django.utils.translation import get_language, gettext, ngettext, to_locale

from oscar_loyalty.points.models import Adjustment, Entry

_SIGNS = {1: "+", 0: "", -1: "−"}


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


def explain_entry(entry: Entry) -> list[str]:
    """The facts that an entry was computed from, one short statement each."""
    facts = entry.explanation
    said = []
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

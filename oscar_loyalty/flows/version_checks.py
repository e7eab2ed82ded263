"""
What is wrong with a version before it comes into force.

An error would promise what nobody can keep, or is a contradiction: it is not put into force. A warning is
something that staff may want so, such as a campaign that is over or a product that is no longer sold.
"""

import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from itertools import combinations, pairwise
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext, ngettext

from oscar_loyalty.programmes.copying import list_parts
from oscar_loyalty.programmes.models import ProgrammeVersion
from oscar_loyalty.registry import perks, segments
from oscar_loyalty.shop import existence
from oscar_loyalty.shop.configuration import list_order_statuses, list_shop_currencies


class Severity(enum.StrEnum):
    ERROR = "ERROR"
    WARNING = "WARNING"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """``object`` is the row that it is about: the version itself or one of its parts."""

    severity: Severity
    text: str
    object: Any

    @property
    def is_error(self) -> bool:
        return self.severity == Severity.ERROR


def lint_version(version: ProgrammeVersion, *, now: datetime) -> list[Finding]:
    """Everything that is wrong with a version if it came into force at its moment, a draft now; errors
    first. Each check asks a fixed number of statements, however many rules there are."""
    seen = _Seen(version, now=now)
    found = [finding for check in CHECKS for finding in check(seen)]
    return sorted(found, key=lambda finding: not finding.is_error)


class _Seen:
    """A version with its parts, each kind of them read once, by the name of its model."""

    def __init__(self, version: ProgrammeVersion, *, now: datetime) -> None:
        self.version = version
        self.begins = max(version.active_from or now, now)
        self._parts = {model._meta.model_name: (model, key) for model, key in list_parts()}
        self._rows: dict[str, list[Any]] = {}
        self.rates = {rate.currency: rate for rate in self.rows("currencyrate")}

    def rows(self, model_name: str) -> list[Any]:
        """Nothing where no room has such a model."""
        if model_name not in self._rows:
            model, key = self._parts.get(model_name, (None, ""))
            rows = model._default_manager.filter(**{key: self.version}).order_by("pk") if model else []
            self._rows[model_name] = list(rows)
        return self._rows[model_name]

    def all_rows(self) -> Iterator[models.Model]:
        for name in self._parts:
            yield from self.rows(str(name))

    @property
    def tier_codes(self) -> set[str]:
        return {tier.code for tier in self.rows("tier")}


def _error(text: str, about: Any) -> Finding:
    return Finding(severity=Severity.ERROR, text=text, object=about)


def _warning(text: str, about: Any) -> Finding:
    return Finding(severity=Severity.WARNING, text=text, object=about)


# programmes


def _check_rates(seen: _Seen) -> Iterator[Finding]:
    if not seen.rates:
        yield _error(gettext("There is no rate: nobody earns or spends points."), seen.version)
        return
    for currency in list_shop_currencies():
        if currency not in seen.rates:
            yield _warning(
                gettext("Something is priced in %(currency)s, but there is no rate for it.")
                % {"currency": currency},
                seen.version,
            )


def _check_promises(seen: _Seen) -> Iterator[Finding]:
    version = seen.version
    statuses = list_order_statuses()
    if version.spendable_status and statuses and version.spendable_status not in statuses:
        yield _error(
            gettext("Points wait for the order status “%(status)s”, which no order ever reaches.")
            % {"status": version.spendable_status},
            version,
        )
    if version.step_points and version.minimum_points % version.step_points:
        yield _error(gettext("The smallest redemption is not a multiple of the step."), version)
    for kind, ids in (
        ("category_ids", version.excluded_category_ids),
        ("product_class_ids", version.excluded_product_class_ids),
    ):
        if missing := existence.find_missing(kind, ids):
            yield _warning(_say_missing(missing), version)


def _check_values(seen: _Seen) -> Iterator[Finding]:
    """What a form would have refused, for rows that came in without one."""
    for row in (seen.version, *seen.all_rows()):
        try:
            keys = {field.name for field in row._meta.concrete_fields if field.is_relation}
            row.full_clean(exclude=keys, validate_unique=False, validate_constraints=False)
        except ValidationError as error:
            for text in error.messages:
                yield _error(text, row)


# tiers


def _check_tiers(seen: _Seen) -> Iterator[Finding]:
    tiers = sorted(seen.rows("tier"), key=lambda tier: tier.rank)
    schemes = seen.rows("tierscheme")
    for lower, higher in pairwise(tiers):
        if higher.entry_threshold <= lower.entry_threshold:
            yield _error(
                gettext("“%(higher)s” is reached with no more than “%(lower)s” below it.")
                % {"higher": higher, "lower": lower},
                higher,
            )
        elif higher.keep_threshold < lower.keep_threshold:
            yield _warning(
                gettext("“%(higher)s” is kept with less than “%(lower)s” below it.")
                % {"higher": higher, "lower": lower},
                higher,
            )
    if tiers and not schemes:
        yield _error(gettext("There are tiers, but nothing says how they are reached."), tiers[0])
    for scheme in schemes:
        if not tiers:
            yield _warning(gettext("It says how tiers are reached, but there are none."), scheme)
        if scheme.metric == "SPEND" and scheme.currency not in list_shop_currencies():
            yield _error(
                gettext("Tiers are reached by money spent in %(currency)s, in which nothing is priced.")
                % {"currency": scheme.currency},
                scheme,
            )


def _check_perks(seen: _Seen) -> Iterator[Finding]:
    for perk in seen.rows("tierperk"):
        if perk.tier_code not in seen.tier_codes:
            yield _error(_say_no_tier([perk.tier_code]), perk)
        if perk.kind not in perks:
            yield _warning(
                gettext("Nobody registered the perk %(kind)s: it does nothing.") % {"kind": perk.kind}, perk
            )
        elif perk.uses_per_period is not None and not perks.get(perk.kind).counts_uses:
            yield _warning(
                gettext("Nobody counts the uses of this perk, so the limit of uses does nothing."), perk
            )


# earning


def _check_rules(seen: _Seen) -> Iterator[Finding]:
    for rule in seen.rows("earningrule"):
        for text in (*_contradictions(rule, seen), *_unknown_names(rule, seen)):
            yield _error(text, rule)
        if text := _find_over(rule, seen):
            yield _warning(text, rule)


def _check_references(seen: _Seen) -> Iterator[Finding]:
    """Ids of the shop, asked for once for all rules."""
    rules = seen.rows("earningrule")
    for kind in existence.KINDS:
        wanted = {one for rule in rules for one in _conditions(rule).get(kind) or ()}
        missing = existence.find_missing(kind, wanted)
        for rule in rules:
            ids = set(_conditions(rule).get(kind) or ())
            if gone := ids & missing:
                text = _say_missing(gone)
                if gone == ids:
                    text = f"{text} {gettext('So the rule never matches.')}"
                yield _warning(text, rule)


def _check_competition(seen: _Seen) -> Iterator[Finding]:
    rates = [rule for rule in seen.rows("earningrule") if rule.kind == "RATE"]
    for one, other in combinations(rates, 2):
        if one.position != other.position or not _may_meet(one, other):
            continue
        text = gettext("“%(one)s” and “%(other)s” are rates at the same position for the same lines.") % {
            "one": one,
            "other": other,
        }
        is_same = _conditions(one) == _conditions(other)
        yield (_error if is_same else _warning)(text, other)


def _contradictions(rule: Any, seen: _Seen) -> Iterator[str]:
    conditions, parameters = _conditions(rule), _mapping(rule.parameters)
    if getattr(rule, "budget_points", None) == 0:
        yield gettext("Its budget is 0, so it gives nothing.")
    if 0 in (getattr(rule, "cap_order_points", None), getattr(rule, "cap_member_points", None)):
        yield gettext("It is limited to 0 points, so it gives nothing.")
    factor = _number(parameters.get("factor"))
    if rule.kind == "MULTIPLIER" and factor is not None and factor < 1:
        yield gettext("It multiplies by less than 1.")
    begin, end = _moment(conditions.get("active_from")), _moment(conditions.get("active_to"))
    if begin and end and end <= begin:
        yield gettext("Its period ends before it begins.")
    for name, least in conditions.items():
        if name.startswith("minimum_"):
            most = _number(conditions.get(name.replace("minimum_", "maximum_")))
            least = _number(least)
            if least is not None and most is not None and least > most:
                yield gettext("It never matches: its smallest value is above its largest.")
    nth, every = conditions.get("nth_order"), conditions.get("every_nth_order")
    if isinstance(nth, int) and isinstance(every, int) and every and nth % every:
        yield gettext("It never matches: order number %(nth)s is not one of every %(every)s.") % {
            "nth": nth,
            "every": every,
        }
    values = conditions.get("minimum_value")
    currencies = set(values) if isinstance(values, Mapping) else set()
    currency = {parameters["currency"]} if rule.kind == "RATE" and parameters.get("currency") else set()
    for wanted in (currencies, currency):
        if wanted and not wanted & set(seen.rates):
            yield gettext("It never matches: there is no rate for %(currencies)s.") % {
                "currencies": ", ".join(sorted(wanted))
            }
    if currencies and currency and not currencies & currency:
        yield gettext("It never matches: its smallest order value is in another currency.")


def _unknown_names(rule: Any, seen: _Seen) -> Iterator[str]:
    conditions = _conditions(rule)
    if unknown := sorted(set(conditions.get("tiers") or ()) - seen.tier_codes):
        yield _say_no_tier(unknown)
    if unknown := sorted(one for one in conditions.get("segments") or () if one not in segments):
        yield gettext("Nobody registered the segment %(names)s.") % {"names": ", ".join(unknown)}


def _find_over(rule: Any, seen: _Seen) -> str:
    end = _moment(_conditions(rule).get("active_to"))
    if end is not None and end <= seen.begins:
        return gettext("It never matches: its period is over before the version begins.")
    return ""


_LINES = ("product_ids", "category_ids", "product_class_ids", "range_ids")
_ONE_OF = ("tiers", "channels", "shipping_methods", "payment_methods", "weekdays")


def _may_meet(one: Any, other: Any) -> bool:
    """Whether two rules could mean the same line of the same order, as far as their conditions tell. A
    product may be in several categories and ranges, so these never tell."""
    first, second = _conditions(one), _conditions(other)
    if _mapping(one.parameters).get("currency") != _mapping(other.parameters).get("currency"):
        return False
    for name in ("product_ids", "product_class_ids", *_ONE_OF):
        mine, theirs = first.get(name), second.get(name)
        if mine and theirs and not set(mine) & set(theirs):
            return False
    for earlier, later in ((first, second), (second, first)):
        end, begin = _moment(earlier.get("active_to")), _moment(later.get("active_from"))
        if end and begin and end <= begin:
            return False
    # One that picks lines and one that means all of them are an exception and its rule.
    return any(first.get(name) for name in _LINES) == any(second.get(name) for name in _LINES)


#: Asked in this order. A room whose rows are a part of a version adds its own here.
CHECKS: Sequence[Callable[[_Seen], Iterator[Finding]]] = (
    _check_rates,
    _check_promises,
    _check_values,
    _check_tiers,
    _check_perks,
    _check_rules,
    _check_references,
    _check_competition,
)


def _say_missing(ids: set[int]) -> str:
    return ngettext(
        "Something that it names is no longer in the shop (number %(ids)s).",
        "Some of what it names is no longer in the shop (numbers %(ids)s).",
        len(ids),
    ) % {"ids": ", ".join(str(one) for one in sorted(ids))}


def _say_no_tier(codes: Sequence[str]) -> str:
    return ngettext(
        "There is no tier %(codes)s in this version.",
        "There are no tiers %(codes)s in this version.",
        len(codes),
    ) % {"codes": ", ".join(codes)}


def _conditions(rule: Any) -> Mapping[str, Any]:
    return _mapping(rule.conditions)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: Any) -> Decimal | None:
    try:
        return Decimal(str(value)) if isinstance(value, int | str | float | Decimal) else None
    except InvalidOperation:
        return None


def _moment(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None

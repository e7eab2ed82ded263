"""Rules of a version as the engine takes them, and what is left of their limits."""

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce

from oscar_loyalty.earning.conditions import InvalidConditions, read_conditions
from oscar_loyalty.earning.models import EarningRule, Occurrence, RuleBudget, WaitingOrder
from oscar_loyalty.earning.rules import Rule
from oscar_loyalty.points.models import EarnedLine, Entry
from oscar_loyalty.programmes.models import ProgrammeVersion
from oscar_loyalty.registry import earning_rules

logger = logging.getLogger(__name__)


def list_rules(*, programme_id: int, version: int, occasion: str = "PURCHASE") -> list[Rule]:
    """
    The rules of a version for an occasion that are not paused, in the order of their positions: one
    statement. Kinds that nobody registered and conditions that cannot be read are left out and logged:
    ``loyalty_doctor`` names them.
    """
    return read_rules(_rows(programme_id=programme_id, version=version).filter(occasion=occasion))


def list_event_rules(*, programme_id: int, version: int, event_code: str) -> list[Rule]:
    """The same for one event that the shop reports."""
    rows = _rows(programme_id=programme_id, version=version)
    return read_rules(rows.filter(occasion=EarningRule.Occasion.EVENT, event_code=event_code))


def _rows(*, programme_id: int, version: int) -> QuerySet[EarningRule]:
    paused = RuleBudget.objects.filter(
        programme_id=programme_id, rule_code=OuterRef("code"), paused_at__isnull=False
    )
    rows = EarningRule.objects.filter(
        ~Exists(paused), version__programme_id=programme_id, version__number=version
    )
    return rows.order_by("position", "id")


def read_rules(rows: Iterable[EarningRule]) -> list[Rule]:
    """Rules from their rows, saved or not; for drafts and simulations too."""
    rules = []
    for row in rows:
        kind = earning_rules.find(row.kind)
        if kind is None:
            logger.error("Earning rule %s is of kind %s, which nobody registered", row.code, row.kind)
            continue
        try:
            conditions = read_conditions(row.conditions)
        except InvalidConditions:
            logger.exception("Earning rule %s has conditions that cannot be read", row.code)
            continue
        rules.append(
            Rule(
                code=row.code,
                kind=kind,
                parameters=row.parameters,
                conditions=conditions,
                **{name: getattr(row, name) for name in _COPIED},
            )
        )
    return rules


_COPIED = (
    *("name", "text_de", "text_en", "position", "exclusion_group", "qualifies"),
    *("cap_order_points", "cap_member_points", "cap_member_period", "budget_points"),
)


def list_unknown_kinds() -> list[str]:
    """Kinds that rules of some version are of and that nobody registered."""
    stored = EarningRule.objects.values_list("kind", flat=True).distinct().order_by("kind")
    return [code for code in stored if code not in earning_rules]


def find_budgets(*, programme_id: int, codes: Collection[str]) -> dict[str, RuleBudget]:
    """What rules have given so far; nothing for rules that have given nothing yet. One statement."""
    if not codes:
        return {}
    rows = RuleBudget.objects.filter(programme_id=programme_id, rule_code__in=codes)
    return {row.rule_code: row for row in rows}


def list_paused_rules() -> QuerySet[RuleBudget]:
    """Rules that are paused, the latest first: for the dashboard."""
    return (
        RuleBudget.objects.select_related("programme").filter(paused_at__isnull=False).order_by("-paused_at")
    )


#: What a line of an entry does to what its rule has given.
_SIGNS = {Entry.Kind.EARN: 1, Entry.Kind.CLAWBACK: -1, Entry.Kind.CLAWBACK_UNDONE: 1}


def list_paused_rules_of(version: ProgrammeVersion) -> list[tuple[EarningRule, RuleBudget]]:
    """Rules of a version that give nothing because they are paused, with since when and why; the latest
    first. Two statements."""
    budgets = {
        budget.rule_code: budget for budget in list_paused_rules().filter(programme=version.programme_id)
    }
    rules = {rule.code: rule for rule in EarningRule.objects.filter(version=version, code__in=budgets)}
    return [(rules[code], budget) for code, budget in budgets.items() if code in rules]


@dataclass(frozen=True, kw_only=True)
class Given:
    """Points of one booked line: negative where they were taken back again, at the moment of the earning."""

    rule_code: str
    at: datetime
    points: int


def find_given(
    *, member_ids: Collection[int], codes: Collection[str] | None, since: datetime | None
) -> dict[int, list[Given]]:
    """
    What members got from rules (``None``: from any) since a moment, net of what was taken back; what a
    merged member got counts for who remained. One statement.
    """
    lines = (
        EarnedLine.objects.filter(entry__kind__in=_SIGNS)
        .filter(
            Q(entry__account__member_id__in=member_ids)
            | Q(entry__account__member__merged_into_id__in=member_ids)
        )
        .annotate(
            at=Coalesce(
                *("entry__reverses__reverses__effective_at", "entry__reverses__effective_at"),
                "entry__effective_at",
            )
        )
        .annotate(whose=Coalesce("entry__account__member__merged_into_id", F("entry__account__member_id")))
    )
    if codes is not None:
        lines = lines.filter(rule_code__in=codes)
    if since is not None:
        lines = lines.filter(at__gte=since)
    given: dict[int, list[Given]] = defaultdict(list)
    rows = lines.values_list("whose", "rule_code", "at", "points", "entry__kind")
    for member_id, code, at, points, kind in rows:
        given[member_id].append(Given(rule_code=code, at=at, points=_SIGNS[kind] * points))
    return given


def is_waiting(*, order_ref: str) -> bool:
    """Whether rules of an order are still to be judged."""
    return WaitingOrder.objects.filter(order_ref=order_ref, stopped_at=None).exists()


def find_occurrence(*, member_id: int, key: str) -> Occurrence | None:
    return Occurrence.objects.filter(member_id=member_id, key=key).first()

"""Limits per member and period, and budgets: whole points that may still be given. No database."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from oscar_loyalty.earning.kinds import Role
from oscar_loyalty.earning.rules import Judgement, Rule, is_within, limit_earning
from oscar_loyalty.points.rules import Earning

#: Stands for "all rules together" where a CAP limits them.
_ALL = ""


def period_start(at: datetime, *, period: str, time_zone: str) -> datetime | None:
    """
    The first moment of the local day, week (from Monday), month or year in which ``at`` lies, in UTC;
    ``None`` for EVER. Days with a clock change are 23 or 25 hours long.
    """
    if period == "EVER":
        return None
    return _start_of(at.astimezone(ZoneInfo(time_zone)).date(), period=period, time_zone=time_zone)


@lru_cache(maxsize=4096)
def _start_of(day: date, *, period: str, time_zone: str) -> datetime:
    """Days repeat: a simulation asks for each of its year thousands of times."""
    first = {
        "DAY": lambda: day,
        "WEEK": lambda: day - timedelta(days=day.weekday()),
        "MONTH": lambda: day.replace(day=1),
        "YEAR": lambda: date(day.year, 1, 1),
    }[period]()
    return datetime.combine(first, time.min, tzinfo=ZoneInfo(time_zone)).astimezone(UTC)


@dataclass(kw_only=True)
class Allowances:
    """
    What members and budgets have left while purchases are judged one after the other: each one that is
    taken lowers it for the next. Filled from the ledger once, so that a batch needs no statement for each.

    ``granted`` are points that rules with a budget have given so far, by code; what is in ``paused`` gives
    nothing more. ``taken`` are those that were given since then.
    """

    time_zone: str
    #: Periods for which members are counted at all.
    periods: frozenset[str] = frozenset()
    granted: dict[str, int] = field(default_factory=dict)
    paused: frozenset[str] = frozenset()
    taken: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _used: dict[tuple[int, str, str, datetime | None], int] = field(default_factory=lambda: defaultdict(int))

    def add(self, *, member_id: int, code: str, at: datetime, points: int) -> None:
        """Points that a member got from a rule at a moment."""
        for period in self.periods:
            start = period_start(at, period=period, time_zone=self.time_zone)
            self._used[member_id, code, period, start] += points
            self._used[member_id, _ALL, period, start] += points

    def limit(
        self,
        judgement: Judgement,
        *,
        rules: Mapping[str, Rule],
        member_id: int | None,
        at: datetime,
        again: Callable[[Mapping[str, int], int | None], Judgement] | None = None,
    ) -> Earning:
        """
        What of an earning is left; takes nothing: see :meth:`take`. Where a limit is met, ``again`` judges
        the purchase with what is left, so that it is rounded once; without it whole points are cut.
        """
        earning = judgement.earning
        if not earning.points:
            return earning
        most_of: dict[str, int] = {}
        for code in judgement.holding:
            rule = rules[code]
            left = []
            if rule.budget_points is not None:
                spent = self.granted.get(code, 0) + self.taken.get(code, 0)
                left.append(0 if code in self.paused else rule.budget_points - spent)
            if rule.cap_member_points is not None and member_id is not None:
                used = self._used_by(member_id, code=code, period=rule.cap_member_period, at=at)
                left.append(rule.cap_member_points - used)
            if left:
                most_of[code] = max(min(left), 0)
        whole = [
            rule.parameters["points"]
            - (
                self._used_by(member_id, code=_ALL, period=rule.parameters["per"], at=at)
                if member_id is not None
                else 0
            )
            for rule in judgement.member_caps
        ]
        most = max(min(whole), 0) if whole else None
        if again is None or is_within(earning, most_of=most_of, most=most):
            return limit_earning(earning, most_of=most_of, most=most)
        return again(most_of, most).earning

    def take(
        self, earning: Earning, *, rules: Mapping[str, Rule], member_id: int | None, at: datetime
    ) -> None:
        """Count an earning that is about to be booked."""
        points_of: dict[str, int] = defaultdict(int)
        for line in earning.lines:
            points_of[line.rule_code] += line.points
        for code, points in points_of.items():
            if member_id is not None and points:
                self.add(member_id=member_id, code=code, at=at, points=points)
            rule = rules.get(code)
            if rule is not None and rule.budget_points is not None and points:
                self.taken[code] += points

    def _used_by(self, member_id: int, *, code: str, period: str, at: datetime) -> int:
        start = period_start(at, period=period, time_zone=self.time_zone)
        return max(self._used.get((member_id, code, period, start), 0), 0)


def periods_of(rules: Iterable[Rule]) -> frozenset[str]:
    """Periods in which some rule or CAP limits what one member gets; none: no history is needed."""
    periods = {rule.cap_member_period for rule in rules if rule.cap_member_points is not None}
    periods |= {rule.parameters["per"] for rule in rules if rule.kind.role is Role.CAP}
    return frozenset(periods - {"ORDER"})


def earliest_start(periods: Iterable[str], *, at: datetime, time_zone: str) -> datetime | None:
    """From when on a member's history matters; ``None``: from the beginning."""
    starts = [period_start(at, period=period, time_zone=time_zone) for period in periods]
    found = [start for start in starts if start is not None]
    return min(found) if len(found) == len(starts) and found else None

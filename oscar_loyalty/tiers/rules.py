"""
Where a member stands: a fold over what they bought, what staff gave them, and the rules of each time.
Pure: no database, no clock. The same input gives the same answer, whatever was asked before.

See docs/explanation/tiers.md for worked examples.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from oscar_loyalty.programmes.rules import FAR_FUTURE
from oscar_loyalty.tiers.periods import Periods, after_grace, counts_until, local_day

NOTHING = Decimal(0)


@dataclass(frozen=True, kw_only=True)
class TierRule:
    """One tier: reached with ``entry``, kept with ``keep`` (which is not more), in units of the metric."""

    code: str
    entry: Decimal
    keep: Decimal


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """How tiers are reached and kept for some time; the codes are those of ``tiers.models.TierScheme``.
    ``tiers`` are sorted from the lowest to the highest."""

    metric: str
    currency: str
    period: str
    months: int
    grace_days: int
    downgrade: str
    tiers: tuple[TierRule, ...]

    def rank_of(self, code: str) -> int:
        """1 is the lowest; 0 stands for no tier, and for one that the scheme does not know."""
        return next((rank for rank, tier in enumerate(self.tiers, start=1) if tier.code == code), 0)

    def code_of(self, rank: int) -> str:
        return self.tiers[rank - 1].code if rank else ""

    def reached_with(self, amount: Decimal) -> int:
        """The highest rank that is reached with an amount."""
        return sum(tier.entry <= amount for tier in self.tiers)

    def kept_with(self, amount: Decimal) -> int:
        """The highest rank that is kept with an amount."""
        return max((rank for rank, tier in enumerate(self.tiers, start=1) if tier.keep <= amount), default=0)


#: Rules with the moment from which they are in force, in order of time; ``None``: there are no tiers.
Schemes = Sequence[tuple[datetime, Scheme | None]]


class Contribution(NamedTuple):
    """What is left of one order after all returns (or of one correction), at the moment it was placed. Very
    many are made: a tuple takes a third of the time."""

    occurred_at: datetime
    order_ref: str
    points: int
    spend: Decimal
    currency: str
    orders: int

    def counted_by(self, scheme: Scheme) -> Decimal:
        if scheme.metric == "POINTS":
            return Decimal(self.points)
        if scheme.metric == "ORDERS":
            return Decimal(self.orders)
        return self.spend if self.currency == scheme.currency else NOTHING


@dataclass(frozen=True, kw_only=True)
class Override:
    """A tier given by staff from a moment to before another one. It lifts, it never lowers."""

    tier_code: str
    active_from: datetime
    active_to: datetime

    def is_active(self, at: datetime) -> bool:
        return self.active_from <= at < self.active_to


@dataclass(frozen=True, kw_only=True)
class Change:
    """The tier changed; the codes of ``reason`` are those of ``tiers.models.TierChange``."""

    at: datetime
    from_code: str
    to_code: str
    reason: str
    order_ref: str = ""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """
    Where a member stands at a moment. ``qualified`` is what counts in the period of the moment, in units
    of the metric. ``earned_code`` is the tier without what staff gave.

    ``lost_at``: when the tier is lost if nothing more is bought, as far as anybody knows today. Not
    enough counts to keep it from ``short_from`` on, which is in the past while a grace runs; if more is
    wanted then, it is ``keep_missing`` more, bought from ``keep_from`` to before ``keep_by``.
    ``due_at``: nothing here changes by time alone before.
    """

    tier_code: str
    earned_code: str
    since: datetime
    qualified: Decimal
    due_at: datetime = FAR_FUTURE
    lost_at: datetime = FAR_FUTURE
    short_from: datetime = FAR_FUTURE
    keep_missing: Decimal = NOTHING
    keep_from: datetime = FAR_FUTURE
    keep_by: datetime = FAR_FUTURE
    #: When the first part of ``qualified`` stops counting, or the period ends.
    counts_until: datetime = FAR_FUTURE
    changes: tuple[Change, ...] = ()


def fold(
    *,
    contributions: Iterable[Contribution],
    overrides: Sequence[Override],
    schemes: Schemes,
    joined_at: datetime,
    time_zone: str,
    now: datetime,
) -> Standing:
    """
    Where a member stands at ``now``, and every change on the way there.

    Nobody has a tier before they joined or before there were tiers; what was bought before that counts
    as far as the period reaches back. Members keep their tier when the rules change, by its code or,
    where that is gone, by its rank; whether it is still earned is judged by the new rules.
    """
    contributions = sorted(contributions, key=lambda one: one.occurred_at)
    known = [one for one in contributions if one.occurred_at <= now]
    coming = [one.occurred_at for one in contributions[len(known) :]]
    run = _Run(known, overrides=overrides, joined_at=joined_at, time_zone=time_zone, now=now)
    run.live(schemes)
    return run.standing(next_known=min(coming, default=FAR_FUTURE))


def changes_until(
    now: datetime,
    *,
    contributions: Iterable[Contribution],
    schemes: Schemes,
    joined_at: datetime,
    time_zone: str,
) -> Sequence[Change]:
    """
    Every change that :func:`fold` tells, and nothing of what is to come: for whoever asks for very many
    members. Nothing that staff gave.
    """
    known = sorted([one for one in contributions if one.occurred_at <= now], key=lambda one: one.occurred_at)
    run = _Run(known, overrides=(), joined_at=joined_at, time_zone=time_zone, now=now)
    run.live(schemes)
    return run.changes


def _join_equal(schemes: Schemes) -> list[tuple[datetime, Scheme | None]]:
    """A version that says the same about tiers as the one before it changes nothing."""
    joined: list[tuple[datetime, Scheme | None]] = []
    for begin, scheme in schemes:
        if not joined or joined[-1][1] != scheme:
            joined.append((begin, scheme))
    return joined


class _Run:
    """One member's way through time. Nothing changes between the moments at which it stops."""

    def __init__(
        self,
        known: Sequence[Contribution],
        *,
        overrides: Sequence[Override],
        joined_at: datetime,
        time_zone: str,
        now: datetime,
    ) -> None:
        self._known = known
        self._overrides = overrides
        self._joined_at = joined_at
        self._time_zone = time_zone
        self._now = now
        self._scheme: Scheme | None = None
        #: Of the tier that is earned.
        self._rank = 0
        #: Since when it is no longer earned.
        self._short_from: datetime | None = None
        self._code = ""
        self._since = joined_at
        self.changes: list[Change] = []
        self._window: _Window | None = None
        self._ahead: list[datetime] = []

    def live(self, schemes: Schemes) -> None:
        """Under one scheme after the other, until now."""
        in_force = _join_equal([(begin, scheme) for begin, scheme in schemes if begin <= self._now])
        for number, (begin, scheme) in enumerate(in_force):
            end = in_force[number + 1][0] if number + 1 < len(in_force) else FAR_FUTURE
            if end > self._joined_at:
                self._live_under(scheme, begin=max(begin, self._joined_at), end=end)

    def _live_under(self, scheme: Scheme | None, *, begin: datetime, end: datetime) -> None:
        """From ``begin`` to before ``end``, or to now if that is earlier."""
        self._take_over(scheme)
        if scheme is None:
            self._window = None
            self._note_change(begin, rules_changed=True, rank_before=0)
            return
        self._window = _Window(scheme, self._known, joined_at=self._joined_at, time_zone=self._time_zone)
        stops = {moment for one in self._overrides for moment in (one.active_from, one.active_to)}
        stops.update(self._window.moments)
        ahead = sorted(moment for moment in stops if begin < moment < end)
        self._step(begin, rules_changed=begin > self._joined_at)
        while (moment := self._next(ahead)) < end and moment <= self._now:
            self._step(moment)
            del ahead[: bisect_right(ahead, moment)]
        self._ahead = ahead

    def standing(self, *, next_known: datetime) -> Standing:
        if self._window is None or self._scheme is None:
            return Standing(
                tier_code="",
                earned_code="",
                since=self._since,
                qualified=NOTHING,
                due_at=next_known,
                changes=tuple(self.changes),
            )
        scheme, window = self._scheme, self._window
        now = Standing(
            tier_code=self._code,
            earned_code=scheme.code_of(self._rank),
            since=self._since,
            qualified=window.qualified(self._now),
            due_at=min(self._next(self._ahead), next_known),
            counts_until=window.counts_until(self._now),
            changes=tuple(self.changes),
        )
        return self._look_ahead(now)

    def _look_ahead(self, now: Standing) -> Standing:
        """Live on without buying anything, until the tier is lost."""
        assert self._scheme is not None
        assert self._window is not None
        held = self._scheme.rank_of(now.tier_code)
        ahead = self._ahead
        while held:
            moment = self._next(ahead)
            if moment >= FAR_FUTURE:
                break
            short_from, rank = self._short_from, self._rank
            self._step(moment)
            del ahead[: bisect_right(ahead, moment)]
            if self._scheme.rank_of(self._code) < held:
                if rank < held or self._rank == rank:  # staff gave it
                    return _but(now, lost_at=moment)
                # Without a grace it is lost in the moment in which it is no longer earned.
                short_from = short_from or moment
                missing, since, until = self._window.wanted(
                    self._scheme.tiers[held - 1].keep, short_from=short_from, lost_at=moment, now=self._now
                )
                return _but(
                    now,
                    lost_at=moment,
                    short_from=short_from,
                    keep_missing=missing,
                    keep_from=since,
                    keep_by=until,
                )
        return now

    def _take_over(self, scheme: Scheme | None) -> None:
        """Bring the rank along from the rules before."""
        before, self._scheme = self._scheme, scheme
        if scheme is None or before is None:
            self._rank, self._short_from = 0, None
        elif self._rank:
            code = before.code_of(self._rank)
            self._rank = scheme.rank_of(code) or min(self._rank, len(scheme.tiers))

    def _next(self, ahead: Sequence[datetime]) -> datetime:
        """The next moment at which anything may change."""
        return min(ahead[0] if ahead else FAR_FUTURE, self._lost_at())

    def _lost_at(self) -> datetime:
        if self._short_from is None or self._scheme is None:
            return FAR_FUTURE
        return after_grace(self._short_from, days=self._scheme.grace_days, time_zone=self._time_zone)

    def _step(self, moment: datetime, *, rules_changed: bool = False) -> None:
        assert self._scheme is not None
        assert self._window is not None
        scheme, rank_before = self._scheme, self._rank
        amount = self._window.standing(moment)
        reached = scheme.reached_with(amount)
        if reached > self._rank:
            self._rank, self._short_from = reached, None
        while self._rank:
            if scheme.tiers[self._rank - 1].keep <= amount:
                self._short_from = None
                break
            if self._short_from is None:
                self._short_from = moment
            if self._lost_at() > moment:
                break
            # Not kept with this amount, so the tier it falls to is below it.
            fallen = self._rank - 1 if scheme.downgrade == "ONE_STEP" else scheme.kept_with(amount)
            self._rank, self._short_from = fallen, None
        self._note_change(moment, rules_changed=rules_changed, rank_before=rank_before)

    def _note_change(self, moment: datetime, *, rules_changed: bool, rank_before: int) -> None:
        code = ""
        if self._scheme is not None:
            given = [self._scheme.rank_of(one.tier_code) for one in self._overrides if one.is_active(moment)]
            code = self._scheme.code_of(max(self._rank, *given) if given else self._rank)
        if code == self._code:
            return
        reason, order_ref = "RULES", ""
        if not rules_changed and self._scheme is not None:
            was, now_is = self._scheme.rank_of(self._code), self._scheme.rank_of(code)
            if now_is > was:
                reason = "REACHED" if self._rank == now_is and self._rank > rank_before else "OVERRIDE"
            else:
                reason = "LOST" if self._rank < rank_before and rank_before >= was else "OVERRIDE_ENDED"
        if reason == "REACHED" and self._scheme is not None:
            # What was returned, or does not count for these tiers, has lifted nobody.
            order_ref = next(
                (
                    one.order_ref
                    for one in reversed(self._known)
                    if one.occurred_at == moment and one.counted_by(self._scheme) > 0
                ),
                "",
            )
        self.changes.append(
            Change(at=moment, from_code=self._code, to_code=code, reason=reason, order_ref=order_ref)
        )
        self._code, self._since = code, moment


class _Window:
    """What counts under one scheme at any moment. Asked in order of time."""

    def __init__(
        self, scheme: Scheme, known: Sequence[Contribution], *, joined_at: datetime, time_zone: str
    ) -> None:
        counted = [(one.occurred_at, one.counted_by(scheme)) for one in known]
        self._counted = [(moment, amount) for moment, amount in counted if amount]
        self._periods: Periods | None = None
        self._sums: dict[int, Decimal] = defaultdict(Decimal)
        self._done = 0
        events: list[tuple[datetime, int, Decimal]] = []
        stops: set[datetime] = set()
        if scheme.period == "ROLLING":
            for moment, amount in self._counted:
                until = counts_until(moment, months=scheme.months, time_zone=time_zone)
                events += [(moment, 0, amount), (until, 0, -amount)]
        else:
            self._periods = _periods_of(scheme, joined_at=joined_at, time_zone=time_zone)
            for moment, amount in self._counted:
                number = self._periods.number_at(moment)
                events.append((moment, number, amount))
                # It counts in its own period, and keeps what was reached through the next one.
                stops |= {self._periods.start(number + 1), self._periods.start(number + 2)}
        self._events = sorted(events)
        self.moments = stops.union(moment for moment, _number, _amount in events)

    def standing(self, moment: datetime) -> Decimal:
        """What tiers are reached and kept with: in a rolling period all that counts, in the others the
        better of the period that runs and the one before it."""
        self._advance(moment)
        if self._periods is None:
            return self._sums[0]
        number = self._periods.number_at(moment)
        return max(self._sums[number], self._sums[number - 1])

    def qualified(self, moment: datetime) -> Decimal:
        """What counts in the period that runs."""
        self._advance(moment)
        return self._sums[self._periods.number_at(moment) if self._periods else 0]

    def counts_until(self, moment: datetime) -> datetime:
        if self._periods is not None:
            return self._periods.start(self._periods.number_at(moment) + 1)
        return next((at for at, _number, amount in self._events if at > moment and amount < 0), FAR_FUTURE)

    def wanted(
        self, keep: Decimal, *, short_from: datetime, lost_at: datetime, now: datetime
    ) -> tuple[Decimal, datetime, datetime]:
        """How much more is wanted to keep a tier, from when and until when it has to be bought."""
        if self._periods is None:
            return keep - self.standing(lost_at), now, lost_at
        if short_from <= now:
            # In a grace: what is bought in the period that runs.
            number = self._periods.number_at(now)
            return keep - self._sums[number], now, min(lost_at, self._periods.start(number + 1))
        number = self._periods.number_at(short_from) - 1
        return keep - self._sums[number], max(now, self._periods.start(number)), short_from

    def _advance(self, moment: datetime) -> None:
        while self._done < len(self._events) and self._events[self._done][0] <= moment:
            _at, number, amount = self._events[self._done]
            self._sums[number] += amount
            self._done += 1


def _periods_of(scheme: Scheme, *, joined_at: datetime, time_zone: str) -> Periods:
    if scheme.period == "CALENDAR":
        return Periods(first_day=date(2000, 1, 1), months=12, time_zone=time_zone)
    return Periods(first_day=local_day(joined_at, time_zone), months=scheme.months, time_zone=time_zone)


def _but(standing: Standing, **values: object) -> Standing:
    return Standing(**{**standing.__dict__, **values})

"""
What a simulation counts while orders go by: sums, the members with the largest difference, a few samples.

Its size does not grow with the orders. Tallies of different members are put together in any order with the
same result, and survive a journey through JSON.
"""

import heapq
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

#: Members shown on each side, and orders shown.
MOST_MEMBERS = 10
SAMPLES = 10


@dataclass(frozen=True, kw_only=True)
class MemberOutcome:
    """Whole points that one member's orders bring; tiers are codes, empty for none."""

    member_id: int
    orders: int
    before: int
    after: int
    tier_before: str = ""
    tier_after: str = ""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One order with what it brings under both versions: ``facts`` are those that a booking stores, and
    empty where the version earns nothing in the currency."""

    number: str
    placed_at: str
    currency: str
    before: int
    after: int
    facts_before: Mapping[str, Any] = field(default_factory=dict)
    facts_after: Mapping[str, Any] = field(default_factory=dict)


def draw(number: str) -> int:
    """Which orders become samples: the lowest draws. The same in every run, whatever is done in parallel."""
    return zlib.crc32(number.encode())


@dataclass(kw_only=True)
class Tally:
    orders: int = 0
    cancelled: int = 0
    members: int = 0
    gaining: int = 0
    losing: int = 0
    #: By currency: orders, points before, points after.
    currencies: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0, 0]))
    #: Members by their tier before and after.
    moves: Counter[tuple[str, str]] = field(default_factory=Counter)
    gained: list[MemberOutcome] = field(default_factory=list)
    lost: list[MemberOutcome] = field(default_factory=list)
    #: Samples by whether both versions bring the same.
    samples: dict[bool, list[Sample]] = field(default_factory=lambda: {True: [], False: []})

    def add_order(self, *, currency: str, before: int, after: int) -> None:
        self.orders += 1
        sums = self.currencies[currency]
        sums[0] += 1
        sums[1] += before
        sums[2] += after

    def wants(self, number: str, *, is_same: bool) -> bool:
        """Whether an order would become a sample, before its facts are put together."""
        kept = self.samples[is_same]
        return len(kept) < SAMPLES or draw(number) <= draw(kept[-1].number)

    def add_sample(self, sample: Sample) -> None:
        self._keep_samples([sample])

    def add_member(self, outcome: MemberOutcome) -> None:
        self.members += 1
        self.gaining += outcome.after > outcome.before
        self.losing += outcome.after < outcome.before
        self.moves[outcome.tier_before, outcome.tier_after] += 1
        self._keep_members([outcome])

    def merge(self, other: "Tally") -> None:
        self.orders += other.orders
        self.cancelled += other.cancelled
        self.members += other.members
        self.gaining += other.gaining
        self.losing += other.losing
        self.moves += other.moves
        for currency, sums in other.currencies.items():
            mine = self.currencies[currency]
            self.currencies[currency] = [one + more for one, more in zip(mine, sums, strict=True)]
        self._keep_members([*other.gained, *other.lost])
        self._keep_samples([*other.samples[True], *other.samples[False]])

    def chosen_samples(self) -> list[Sample]:
        """At most ten, one half of orders that differ and one of orders that do not, as far as there are."""
        same, different = self.samples[True], self.samples[False]
        kept = different[: max(SAMPLES // 2, SAMPLES - len(same))]
        return [*kept, *same[: SAMPLES - len(kept)]]

    def to_json(self) -> dict[str, Any]:
        return {
            **{name: getattr(self, name) for name in ("orders", "cancelled", "members", "gaining", "losing")},
            "currencies": {currency: list(sums) for currency, sums in self.currencies.items()},
            "moves": [[*codes, members] for codes, members in sorted(self.moves.items())],
            "gained": [asdict(one) for one in self.gained],
            "lost": [asdict(one) for one in self.lost],
            "samples": [asdict(one) for one in (*self.samples[True], *self.samples[False])],
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Tally":
        tally = cls(
            **{name: stored[name] for name in ("orders", "cancelled", "members", "gaining", "losing")},
            moves=Counter({(before, after): members for before, after, members in stored["moves"]}),
        )
        tally.currencies.update({currency: list(sums) for currency, sums in stored["currencies"].items()})
        tally._keep_members(MemberOutcome(**one) for one in (*stored["gained"], *stored["lost"]))
        tally._keep_samples(Sample(**one) for one in stored["samples"])
        return tally

    def _keep_members(self, outcomes: Iterable[MemberOutcome]) -> None:
        for outcome in outcomes:
            difference = outcome.after - outcome.before
            if not difference:
                continue
            kept = self.gained if difference > 0 else self.lost
            if len(kept) == MOST_MEMBERS and _size(outcome) < _size(kept[-1]):
                continue
            kept[:] = heapq.nlargest(MOST_MEMBERS, [*kept, outcome], key=_size)

    def _keep_samples(self, samples: Iterable[Sample]) -> None:
        for sample in samples:
            kept = self.samples[sample.before == sample.after]
            kept[:] = heapq.nsmallest(
                SAMPLES, [*kept, sample], key=lambda one: (draw(one.number), one.number)
            )


def _size(outcome: MemberOutcome) -> tuple[int, int]:
    return abs(outcome.after - outcome.before), -outcome.member_id

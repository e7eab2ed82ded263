"""How fast money goes back, and what comes back how often: pure functions on facts."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal


@dataclass(frozen=True, kw_only=True)
class Refunded:
    """A return whose money has gone out after its goods had come."""

    received_at: datetime
    refunded_at: datetime
    due_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class LeadTime:
    """
    From receipt to refund: of so many returns (``count``) half took no longer than ``median``, nine of ten no
    longer than ``p90``; ``on_time``: percent by the promised day, of those with one. ``None``: no returns.
    """

    count: int
    median: timedelta | None
    p90: timedelta | None
    on_time: Decimal | None


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Pieces of a product that came back for a reason."""

    key: str
    title: str
    reason: str
    pieces: int


@dataclass(frozen=True, kw_only=True)
class ReturnRate:
    """How much of a product comes back: ``reasons`` with pieces, most frequent first."""

    key: str
    title: str
    sold: int
    returned: int
    reasons: tuple[tuple[str, int], ...]

    @property
    def percent(self) -> Decimal | None:
        return Decimal(100) * self.returned / self.sold if self.sold else None


def percentile(values: Sequence[timedelta], percent: int) -> timedelta:
    """The smallest of the sorted ``values`` that so many percent of them do not exceed (nearest rank)."""
    rank = -(-percent * len(values) // 100)
    return values[max(rank, 1) - 1]


def measure_lead_time(refunds: Iterable[Refunded]) -> LeadTime:
    refunds = list(refunds)
    times = sorted(max(one.refunded_at - one.received_at, timedelta(0)) for one in refunds)
    promised = [one for one in refunds if one.due_at is not None]
    kept = sum(one.refunded_at < one.due_at for one in promised if one.due_at is not None)
    return LeadTime(
        count=len(times),
        median=percentile(times, 50) if times else None,
        p90=percentile(times, 90) if times else None,
        on_time=Decimal(100) * kept / len(promised) if promised else None,
    )


def rate_products(returned: Iterable[Piece], *, sold: Mapping[str, int]) -> list[ReturnRate]:
    """By product, most returned pieces first."""
    titles: dict[str, str] = {}
    reasons: dict[str, Counter[str]] = {}
    for one in returned:
        titles[one.key] = one.title
        reasons.setdefault(one.key, Counter())[one.reason] += one.pieces
    rates = [
        ReturnRate(
            key=key,
            title=titles[key],
            sold=sold.get(key, 0),
            returned=counted.total(),
            reasons=tuple(sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))),
        )
        for key, counted in reasons.items()
    ]
    return sorted(rates, key=lambda rate: (-rate.returned, rate.title, rate.key))

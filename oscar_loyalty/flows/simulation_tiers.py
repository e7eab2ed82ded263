"""Where members would stand under a version, as far as a simulation can tell: by the orders it replays."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from oscar_loyalty.programmes.models import ProgrammeVersion
from oscar_loyalty.tiers import rules
from oscar_loyalty.tiers.models import Tier, TierScheme


class TierJudge(Protocol):
    """Knows the tiers of one version. ``codes`` from the lowest to the highest."""

    @property
    def codes(self) -> Sequence[str]: ...

    def find_code(self, orders: Sequence[rules.Contribution], *, joined_at: datetime) -> str:
        """The tier of a member who placed these orders, by time; empty for none."""
        ...

    def find_codes_before(
        self, orders: Sequence[rules.Contribution], *, joined_at: datetime
    ) -> dict[str, str]:
        """The tier that a member held before each of these orders, by its reference."""
        ...


class FoldJudge:
    """Judges by the same fold as the members' real tiers, as if the version had always been in force. What
    staff gave to single members is left out: it is the same under every version."""

    def __init__(self, scheme: rules.Scheme, *, time_zone: str, now: datetime) -> None:
        self.codes = [tier.code for tier in scheme.tiers]
        self._scheme = scheme
        self._time_zone = time_zone
        self._now = now

    def find_code(self, orders: Sequence[rules.Contribution], *, joined_at: datetime) -> str:
        changes = self._find_changes(orders, joined_at=joined_at)
        return changes[-1].to_code if changes else ""

    def find_codes_before(
        self, orders: Sequence[rules.Contribution], *, joined_at: datetime
    ) -> dict[str, str]:
        changes = self._find_changes(orders, joined_at=joined_at)
        codes = {}
        for order in orders:
            held = (
                change.to_code
                for change in reversed(changes)
                if change.at <= order.occurred_at and change.order_ref != order.order_ref
            )
            codes[order.order_ref] = next(held, "")
        return codes

    def _find_changes(
        self, orders: Sequence[rules.Contribution], *, joined_at: datetime
    ) -> Sequence[rules.Change]:
        return rules.changes_until(
            self._now,
            contributions=orders,
            schemes=[(joined_at, self._scheme)],
            joined_at=joined_at,
            time_zone=self._time_zone,
        )


def judge_of(version: ProgrammeVersion, *, now: datetime) -> TierJudge | None:
    """Two statements; ``None`` when the version has no tiers."""
    scheme = TierScheme.objects.filter(version=version).first()
    tiers = list(Tier.objects.filter(version=version).order_by("rank"))
    if scheme is None or not tiers:
        return None
    return FoldJudge(
        rules.Scheme(
            metric=scheme.metric,
            currency=scheme.currency,
            period=scheme.period,
            months=scheme.period_months,
            grace_days=scheme.grace_days,
            downgrade=scheme.downgrade,
            tiers=tuple(
                rules.TierRule(code=tier.code, entry=tier.entry_threshold, keep=tier.keep_threshold)
                for tier in tiers
            ),
        ),
        time_zone=version.programme.time_zone,
        now=now,
    )


#: Makes the judge of a version; ``None`` when the version has no tiers.
find_judge: Callable[..., TierJudge | None] = judge_of

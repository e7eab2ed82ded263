"""Members' histories, made up."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import strategies as st

from oscar_loyalty.tiers.rules import Contribution, Override, Scheme, TierRule

#: Shortly before a leap day and before clocks change.
START = datetime(2023, 10, 15, tzinfo=UTC)
DAYS = 1100
ZONES = ["Europe/Berlin", "America/New_York", "UTC", "Pacific/Chatham"]

# Many on a local midnight or on the last of a month, where mistakes live.
moments = st.one_of(
    st.integers(0, DAYS * 24).map(lambda hours: START + timedelta(hours=hours)),
    st.integers(0, DAYS).map(lambda days: START + timedelta(days=days, hours=-1)),
    st.integers(0, DAYS).map(lambda days: START + timedelta(days=days, minutes=-1)),
    st.sampled_from([datetime(2024, 2, 29, 9, tzinfo=UTC), datetime(2024, 1, 31, 9, tzinfo=UTC)]),
)


@st.composite
def schemes_of_tiers(draw):
    thresholds = sorted(draw(st.sets(st.integers(1, 12), min_size=1, max_size=3)))
    tiers, keep = [], 0
    for name, entry in zip(["silver", "gold", "platinum"], thresholds, strict=False):
        keep = draw(st.integers(min(keep, entry), entry))
        tiers.append(TierRule(code=name, entry=Decimal(entry), keep=Decimal(keep)))
    if draw(st.booleans()):
        tiers = [TierRule(code=f"{tier.code}-2", entry=tier.entry, keep=tier.keep) for tier in tiers]
    return Scheme(
        metric=draw(st.sampled_from(["POINTS", "SPEND", "ORDERS"])),
        currency="EUR",
        period=draw(st.sampled_from(["ROLLING", "CALENDAR", "ANNIVERSARY"])),
        months=draw(st.sampled_from([1, 3, 6, 12])),
        grace_days=draw(st.sampled_from([0, 1, 30, 90])),
        downgrade=draw(st.sampled_from(["ONE_STEP", "FULL"])),
        tiers=tuple(tiers),
    )


@st.composite
def histories_of_schemes(draw, joined_at):
    schemes = draw(
        st.lists(st.one_of(schemes_of_tiers(), schemes_of_tiers(), st.none()), min_size=1, max_size=3)
    )
    begins = [draw(st.sampled_from([joined_at, START, joined_at - timedelta(days=400)]))]
    begins += sorted(draw(st.lists(moments, min_size=2, max_size=2, unique=True)))
    pairs = zip(begins, schemes, strict=False)
    return sorted(dict(pairs).items(), key=lambda pair: pair[0])


contributions = st.builds(
    Contribution,
    occurred_at=moments,
    order_ref=st.integers(1, 10**6).map(str),
    points=st.integers(0, 6),
    spend=st.integers(0, 600).map(lambda cents: Decimal(cents) / 100),
    currency=st.sampled_from(["EUR", "EUR", "EUR", "USD"]),
    orders=st.integers(0, 2),
)


@st.composite
def overrides(draw):
    begin = draw(moments)
    return Override(
        tier_code=draw(st.sampled_from(["silver", "gold", "platinum", "gold-2", "gone"])),
        active_from=begin,
        active_to=begin + timedelta(hours=draw(st.integers(1, 9000))),
    )


@st.composite
def lives(draw):
    """The arguments of ``fold`` without the moment of asking."""
    joined_at = draw(moments.filter(lambda moment: moment < START + timedelta(days=500)))
    return {
        "contributions": draw(st.lists(contributions, max_size=10)),
        "overrides": draw(st.lists(overrides(), max_size=2)),
        "schemes": draw(histories_of_schemes(joined_at)),
        "joined_at": joined_at,
        "time_zone": draw(st.sampled_from(ZONES)),
    }

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from oscar_loyalty.programmes.rules import FAR_FUTURE
from oscar_loyalty.tiers.periods import Periods, add_months, after_grace, counts_until
from oscar_loyalty.tiers.rules import Contribution, Override, Scheme, TierRule, changes_until, fold

from .oracle import Oracle
from .strategies import DAYS, START, lives, moments

BERLIN = "Europe/Berlin"
LATER = START + timedelta(days=DAYS + 500)


def at(text, hour=12):
    return datetime.fromisoformat(f"{text}T{hour:02}:00:00").replace(tzinfo=UTC)


def midnight(text):
    return datetime.fromisoformat(f"{text}T00:00:00+01:00").astimezone(UTC)


def scheme(**values):
    return Scheme(
        **{
            "metric": "SPEND",
            "currency": "EUR",
            "period": "ROLLING",
            "months": 12,
            "grace_days": 30,
            "downgrade": "ONE_STEP",
            "tiers": (
                TierRule(code="silver", entry=Decimal(500), keep=Decimal(400)),
                TierRule(code="gold", entry=Decimal(1000), keep=Decimal(800)),
            ),
            **values,
        }
    )


def bought(day, spend, *, hour=12, **values):
    return Contribution(
        **{
            "occurred_at": at(day, hour),
            "order_ref": f"order of {day}",
            "points": int(Decimal(spend)),
            "spend": Decimal(spend),
            "currency": "EUR",
            "orders": 1,
            **values,
        }
    )


def stand(*contributions, now, under=None, joined="2024-01-01", overrides=(), schemes=None):
    return fold(
        contributions=contributions,
        overrides=overrides,
        schemes=schemes or [(at("2020-01-01"), under or scheme())],
        joined_at=at(joined, 0),
        time_zone=BERLIN,
        now=now,
    )


def told(standing):
    return [(one.reason, one.from_code, one.to_code) for one in standing.changes]


# Against the oracle


@given(lives(), moments)
def test_the_fold_says_what_looking_at_every_day_says(life, now):
    now = max(now, life["joined_at"])
    standing = fold(**life, now=now)
    code, earned, counts, changes = Oracle(**life).live(now)
    assert (standing.tier_code, standing.earned_code) == (code, earned)
    assert standing.qualified == counts
    assert [(one.at, one.from_code, one.to_code) for one in standing.changes] == changes
    assert standing.since == (changes[-1][0] if changes else life["joined_at"])


@given(lives(), moments)
def test_changes_alone_are_those_of_the_fold(life, now):
    now = max(now, life["joined_at"])
    del life["overrides"]
    changes = changes_until(now, **life)
    standing = fold(**life, overrides=(), now=now)
    assert tuple(changes) == standing.changes
    assert standing.tier_code == (changes[-1].to_code if changes else "")


@given(lives(), moments)
def test_by_time_alone_nothing_changes_before_it_is_due(life, now):
    now = max(now, life["joined_at"])
    standing = fold(**life, now=now)
    later = max(min(standing.due_at, LATER) - timedelta(microseconds=1), now)
    # Rules of the future are not known to those who ask today.
    life["schemes"] = [(begin, rules) for begin, rules in life["schemes"] if begin <= now]
    # These two are told from the moment of asking on.
    asked = {"keep_from": standing.keep_from, "counts_until": standing.counts_until}
    assert replace(fold(**life, now=later), **asked) == standing


@given(lives(), moments)
def test_a_tier_is_lost_when_it_was_said_to_be_lost(life, now):
    now = max(now, life["joined_at"])
    life["schemes"] = [(begin, rules) for begin, rules in life["schemes"] if begin <= now]
    life["contributions"] = [one for one in life["contributions"] if one.occurred_at <= now]
    life["overrides"] = [one for one in life["overrides"] if one.active_from <= now]
    standing = fold(**life, now=now)
    if not standing.tier_code:
        assert standing.lost_at == FAR_FUTURE
        return
    rules = life["schemes"][-1][1]
    until = min(standing.lost_at, LATER)
    before = fold(**life, now=until - timedelta(microseconds=1))
    assert rules.rank_of(before.tier_code) >= rules.rank_of(standing.tier_code)
    if standing.lost_at < LATER:
        assert rules.rank_of(fold(**life, now=until).tier_code) < rules.rank_of(standing.tier_code)


@settings(suppress_health_check=[HealthCheck.filter_too_much])
@given(lives(), moments, st.data())
def test_what_is_missing_keeps_the_tier_and_in_fixed_periods_a_cent_less_does_not(life, now, data):
    now = max(now, life["joined_at"])
    life["schemes"] = [(begin, rules) for begin, rules in life["schemes"] if begin <= now]
    life["contributions"] = [one for one in life["contributions"] if one.occurred_at <= now]
    life["overrides"] = []
    standing = fold(**life, now=now)
    assume(standing.lost_at < FAR_FUTURE and standing.keep_by > standing.keep_from)
    rules = life["schemes"][-1][1]
    seconds = int((standing.keep_by - standing.keep_from).total_seconds())
    bought_at = standing.keep_from + timedelta(seconds=data.draw(st.integers(0, max(seconds - 1, 0))))

    def buy(amount):
        whole = Contribution(
            occurred_at=bought_at,
            order_ref="",
            points=amount,
            spend=amount,
            currency=rules.currency,
            orders=amount,
        )
        return fold(**{**life, "contributions": [*life["contributions"], whole]}, now=standing.lost_at)

    assert standing.keep_missing > 0
    if rules.period == "ROLLING":
        # With a grace longer than the period it has to count when the grace ends.
        until = counts_until(bought_at, months=rules.months, time_zone=life["time_zone"])
        assume(until > standing.lost_at)
    assert rules.rank_of(buy(standing.keep_missing).tier_code) >= rules.rank_of(standing.tier_code)
    if rules.period != "ROLLING":
        less = buy(standing.keep_missing - Decimal("0.01"))
        assert rules.rank_of(less.tier_code) < rules.rank_of(standing.tier_code)


@given(lives(), moments)
def test_what_was_returned_counts_as_if_it_had_never_been_bought(life, now):
    now = max(now, life["joined_at"])
    nothing = Contribution(
        occurred_at=now, order_ref="1", points=0, spend=Decimal(0), currency="EUR", orders=0
    )
    with_it = fold(**{**life, "contributions": [*life["contributions"], nothing]}, now=now)
    assert with_it == fold(**life, now=now)


# A rolling period


def test_a_tier_is_reached_by_the_order_that_crosses_its_threshold():
    first, second = bought("2024-02-01", "499.99"), bought("2024-03-01", "0.01")
    assert stand(first, now=at("2024-03-01")).tier_code == ""
    standing = stand(first, second, now=at("2024-03-01"))
    assert standing.tier_code == "silver"
    assert standing.since == second.occurred_at
    assert standing.changes[0].order_ref == "order of 2024-03-01"
    assert told(standing) == [("REACHED", "", "silver")]


def test_two_tiers_at_once_are_one_change():
    assert told(stand(bought("2024-02-01", 1500), now=at("2024-03-01"))) == [("REACHED", "", "gold")]


def test_a_tier_that_is_no_longer_earned_is_kept_for_the_grace_and_then_lost_step_by_step():
    order = bought("2024-02-01", 1000)
    # Counts to the end of 1 February 2025; 30 days later gold is gone, after 30 more silver.
    standing = stand(order, now=at("2025-01-15"))
    assert (standing.tier_code, standing.short_from) == ("gold", midnight("2025-02-02"))
    assert standing.lost_at == midnight("2025-03-04")
    assert (standing.keep_missing, standing.keep_by) == (800, standing.lost_at)
    in_grace = stand(order, now=at("2025-03-03"))
    assert (in_grace.tier_code, in_grace.qualified) == ("gold", 0)
    assert stand(order, now=at("2025-03-04")).tier_code == "silver"
    fallen = stand(order, now=at("2025-06-01"))
    assert told(fallen) == [
        ("REACHED", "", "gold"),
        ("LOST", "gold", "silver"),
        ("LOST", "silver", ""),
    ]
    assert fallen.changes[2].at == datetime(2025, 4, 2, 22, tzinfo=UTC)  # midnight in summer


def test_in_full_a_member_falls_to_what_is_kept():
    orders = [bought("2024-02-01", 600), bought("2024-06-01", 450)]
    standing = stand(*orders, now=at("2025-03-10"), under=scheme(downgrade="FULL"))
    assert told(standing) == [
        ("REACHED", "", "silver"),
        ("REACHED", "silver", "gold"),
        ("LOST", "gold", "silver"),
    ]
    nothing_left = stand(orders[0], now=at("2025-03-10"), under=scheme(downgrade="FULL", grace_days=0))
    assert told(nothing_left)[-1] == ("LOST", "silver", "")


def test_without_grace_a_member_falls_at_once_and_that_is_one_change():
    standing = stand(bought("2024-02-01", 1000), now=at("2025-03-10"), under=scheme(grace_days=0))
    assert told(standing) == [("REACHED", "", "gold"), ("LOST", "gold", "")]
    assert standing.changes[1].at == midnight("2025-02-02")


def test_buying_enough_in_the_grace_keeps_the_tier():
    orders = [bought("2024-02-01", 1000), bought("2025-02-20", 800)]
    standing = stand(*orders, now=at("2025-06-01"))
    assert (standing.tier_code, told(standing)) == ("gold", [("REACHED", "", "gold")])


# Periods that are renewed


def test_a_tier_of_a_calendar_year_is_held_through_the_next_year_and_its_grace():
    rules = scheme(period="CALENDAR")
    order = bought("2024-11-20", 1000)
    held = stand(order, now=at("2025-12-31"), under=rules)
    assert (held.tier_code, held.qualified) == ("gold", 0)
    assert held.short_from == midnight("2026-01-01")
    assert held.lost_at == midnight("2026-01-31")
    assert (held.keep_missing, held.keep_by) == (800, midnight("2026-01-01"))
    assert stand(order, now=at("2026-01-30"), under=rules).tier_code == "gold"
    assert stand(order, now=at("2026-01-31"), under=rules).tier_code == "silver"


def test_a_year_with_enough_renews_the_tier_for_the_next():
    rules = scheme(period="CALENDAR")
    orders = [bought("2024-11-20", 1000), bought("2025-05-05", 800)]
    standing = stand(*orders, now=at("2026-06-01"), under=rules)
    assert standing.tier_code == "gold"
    assert standing.lost_at == midnight("2027-01-31")


def test_the_year_of_an_order_is_that_of_the_shop():
    rules = scheme(period="CALENDAR")
    # 23:30 UTC on New Year's Eve is the new year in Berlin.
    order = bought("2024-12-31", 600, hour=23)
    assert stand(order, now=at("2025-06-01"), under=rules).qualified == 600


def test_years_since_joining_begin_on_the_day_of_joining():
    rules = scheme(period="ANNIVERSARY", months=12)
    orders = [bought("2025-02-27", 600), bought("2025-02-28", 600)]
    # Joined on a leap day: the second year begins on 28 February.
    standing = stand(*orders, now=at("2025-03-01"), under=rules, joined="2024-02-29")
    assert (standing.tier_code, standing.qualified) == ("silver", 600)


# What staff give


def test_an_override_lifts_until_it_ends_and_never_lowers():
    given = Override(tier_code="gold", active_from=at("2024-03-01"), active_to=at("2024-09-01"))
    order = bought("2024-02-01", 500)
    standing = stand(order, now=at("2024-10-01"), overrides=[given])
    assert told(standing) == [
        ("REACHED", "", "silver"),
        ("OVERRIDE", "silver", "gold"),
        ("OVERRIDE_ENDED", "gold", "silver"),
    ]
    during = stand(order, now=at("2024-05-01"), overrides=[given])
    assert (during.tier_code, during.earned_code, during.lost_at) == ("gold", "silver", given.active_to)
    lower = replace(given, tier_code="silver")
    assert stand(bought("2024-02-01", 1000), now=at("2024-05-01"), overrides=[lower]).tier_code == "gold"


def test_a_tier_that_was_given_and_then_earned_does_not_end_with_the_gift():
    given = Override(tier_code="gold", active_from=at("2024-03-01"), active_to=at("2024-09-01"))
    standing = stand(bought("2024-04-01", 1000), now=at("2024-10-01"), overrides=[given])
    assert told(standing) == [("OVERRIDE", "", "gold")]


# New rules


def test_when_tiers_begin_members_get_what_their_orders_reach():
    schemes = [(at("2020-01-01"), None), (at("2024-06-01"), scheme())]
    standing = stand(bought("2024-02-01", 600), now=at("2024-07-01"), schemes=schemes)
    assert told(standing) == [("RULES", "", "silver")]
    assert standing.since == at("2024-06-01")


def test_a_tier_is_kept_by_its_code_or_its_rank_and_judged_by_the_new_rules():
    dearer = scheme(
        tiers=(
            TierRule(code="bronze", entry=Decimal(600), keep=Decimal(600)),
            TierRule(code="gold", entry=Decimal(2000), keep=Decimal(2000)),
        )
    )
    schemes = [(at("2020-01-01"), scheme()), (at("2024-06-01"), dearer)]
    gold = stand(bought("2024-02-01", 1000), now=at("2024-06-02"), schemes=schemes)
    # Short of the new threshold from the moment the rules came into force; then the grace runs.
    assert (gold.tier_code, gold.short_from) == ("gold", at("2024-06-01"))
    assert gold.lost_at == datetime(2024, 7, 1, 22, tzinfo=UTC)
    silver = stand(bought("2024-02-01", 500), now=at("2024-06-02"), schemes=schemes)
    assert told(silver) == [("REACHED", "", "silver"), ("RULES", "silver", "bronze")]
    assert stand(bought("2024-02-01", 500), now=at("2024-08-02"), schemes=schemes).tier_code == ""


def test_a_version_without_tiers_ends_them():
    schemes = [(at("2020-01-01"), scheme()), (at("2024-06-01"), None)]
    standing = stand(bought("2024-02-01", 1000), now=at("2024-07-01"), schemes=schemes)
    assert told(standing) == [("REACHED", "", "gold"), ("RULES", "gold", "")]
    assert standing.due_at == FAR_FUTURE


def test_nobody_has_a_tier_before_joining_and_what_was_bought_before_counts():
    standing = stand(bought("2023-12-01", 600), now=at("2024-02-01"), joined="2024-01-01")
    assert told(standing) == [("REACHED", "", "silver")]
    assert standing.since == at("2024-01-01", 0)


@pytest.mark.parametrize(("metric", "counts"), [("SPEND", Decimal("600.50")), ("POINTS", 600), ("ORDERS", 1)])
def test_each_metric_counts_its_own(metric, counts):
    foreign = bought("2024-02-02", 70, currency="USD", points=0, orders=0)
    order = bought("2024-02-01", "600.50")
    standing = stand(order, foreign, now=at("2024-02-03"), under=scheme(metric=metric))
    assert standing.qualified == counts


# Dates


def test_months_end_where_the_month_ends():
    assert add_months(date(2024, 1, 31), 1) == date(2024, 2, 29)
    assert add_months(date(2024, 2, 29), 12) == date(2025, 2, 28)
    assert add_months(date(2024, 3, 31), -13) == date(2023, 2, 28)


def test_days_end_where_the_clock_says_on_days_with_a_clock_change():
    # 30 March 2025 has 23 hours in Berlin.
    until = counts_until(at("2024-03-30"), months=12, time_zone=BERLIN)
    assert until == datetime(2025, 3, 30, 22, tzinfo=UTC)
    assert after_grace(until, days=1, time_zone=BERLIN) - until == timedelta(hours=24)
    assert after_grace(midnight("2025-03-30"), days=1, time_zone=BERLIN) == until
    assert after_grace(at("2025-03-29"), days=1, time_zone=BERLIN) == until


def test_periods_follow_each_other_without_a_gap():
    periods = Periods(first_day=date(2024, 1, 31), months=1, time_zone=BERLIN)
    for number in range(-14, 15):
        start = periods.start(number)
        assert periods.number_at(start) == number
        assert periods.number_at(start - timedelta(microseconds=1)) == number - 1
    assert periods.start(2) == datetime(2024, 3, 30, 23, tzinfo=UTC)

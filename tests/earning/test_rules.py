from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oscar_loyalty.earning.conditions import Conditions, InvalidConditions, read_conditions, write_conditions
from oscar_loyalty.earning.facts import Context, Line, MemberFacts, Multiplier
from oscar_loyalty.earning.kinds import InvalidParameters
from oscar_loyalty.earning.limits import Allowances, earliest_start, period_start
from oscar_loyalty.earning.rules import Judgement, Rule, judge, limit_earning
from oscar_loyalty.earning.segments import find_segments
from oscar_loyalty.points.rules import LineBasis, points_for_lines
from oscar_loyalty.programmes.rules import Rate
from oscar_loyalty.registry import earning_rules

BERLIN = "Europe/Berlin"
#: A Tuesday, 13:00 in Berlin.
NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
EUR = Rate(
    currency="EUR",
    earn_points=1,
    earn_amount=Decimal("1.00"),
    redeem_points=100,
    redeem_amount=Decimal("1.00"),
    card_minimum=Decimal("0.50"),
)


def context(**facts):
    return Context(**{"currency": "EUR", "placed_at": NOW, "time_zone": BERLIN, **facts})


def line(amount, *, ref="line:1", **facts):
    return Line(ref=ref, amount=Decimal(amount), **facts)


def rule(kind, code="rule", *, conditions=None, **values):
    names = {one.name for one in earning_rules.get(kind).parameters}
    given_parameters = {name: values.pop(name) for name in list(values) if name in names}
    return Rule(
        code=code,
        kind=earning_rules.get(kind),
        parameters=earning_rules.get(kind).validate(given_parameters),
        conditions=read_conditions(conditions or {}),
        **values,
    )


def double(code="double", **values):
    return rule("MULTIPLIER", code, **{"factor": "2", **values})


def bonus(points, code="bonus", **values):
    return rule("BONUS", code, points=points, **values)


def earn(*rules, lines=None, rate=EUR, **facts):
    lines = [line("107.00")] if lines is None else lines
    return judge(lines=lines, rate=rate, context=context(**facts), rules=rules).earning


def parts(earning):
    return {part.rule_code: part.points for part in earning.parts}


def cells(earning):
    return {(one.ref, one.rule_code): one.points for one in earning.lines}


# Kinds


def test_base_tier_and_weekend_add_up():
    earning = earn(bonus(50, "weekend"), multipliers=(Multiplier("TIER", Fraction("1.12"), "Gold", "Gold"),))
    assert (earning.points, parts(earning)) == (169, {"PURCHASE": 107, "TIER": 12, "weekend": 50})


def test_a_rate_replaces_the_base_where_it_matches_and_the_first_one_wins():
    lines = [
        line("10.00", ref="a", product_class_id=7),
        line("10.00", ref="b", product_class_id=8),
        line("10.00", ref="c"),
    ]
    first = rule(
        "RATE",
        "books",
        points=5,
        amount="1.00",
        currency="EUR",
        position=1,
        conditions={"product_class_ids": [7]},
    )
    second = rule(
        "RATE",
        "media",
        points=3,
        amount="1.00",
        currency="EUR",
        position=2,
        conditions={"product_class_ids": [7, 8]},
    )
    earning = earn(first, second, lines=lines)
    assert cells(earning) == {("a", "books"): 50, ("b", "media"): 30, ("c", "PURCHASE"): 10}


def test_a_rate_of_nothing_makes_a_brand_earn_nothing_and_says_so_in_its_line():
    nothing = rule("RATE", "none", points=0, amount="1.00", currency="EUR")
    earning = earn(nothing)
    assert (earning.points, cells(earning)) == (0, {("line:1", "none"): 0})


def test_a_rate_in_another_currency_is_not_there():
    assert earn(rule("RATE", points=9, amount="1.00", currency="CHF")).points == 107


def test_multipliers_add_up_and_multiply_what_a_rate_gives():
    triple = rule("MULTIPLIER", "triple", factor="3")
    books = rule("RATE", "books", points=2, amount="1.00", currency="EUR")
    earning = earn(double(), triple, books, lines=[line("10.00")])
    assert parts(earning) == {"books": 20, "double": 20, "triple": 40}


def test_a_bonus_is_given_once_and_spread_by_money_or_for_each_unit():
    lines = [
        line("30.00", ref="a", quantity=3),
        line("10.00", ref="b"),
        line("5.00", ref="s", is_shipping=True),
    ]
    assert cells(earn(bonus(9), lines=lines[:2])) == {
        ("a", "PURCHASE"): 30, ("a", "bonus"): 7, ("b", "PURCHASE"): 10, ("b", "bonus"): 2,
    }  # fmt: skip
    assert parts(earn(bonus(5, per="UNIT"), lines=lines))["bonus"] == 20


def test_nothing_is_given_on_nothing():
    free = [line("0.00"), line("50.00", ref="x", excluded=True), line("-5.00", ref="y")]
    earning = earn(double(), bonus(500), lines=free)
    assert (earning.points, earning.basis, earning.parts) == (0, Decimal(0), ())
    assert earn(bonus(500), lines=[]).points == 0


def test_what_is_excluded_gets_no_bonus_although_it_matches():
    lines = [line("10.00", ref="card", product_class_id=9, excluded=True), line("10.00", ref="b")]
    assert earn(bonus(5, conditions={"product_class_ids": [9]}), lines=lines).points == 10


# Combination


def test_of_an_exclusion_group_only_the_best_counts_and_the_first_on_a_tie():
    small, big = bonus(40, "small", exclusion_group="march"), double(exclusion_group="march")
    assert parts(earn(small, big)) == {"PURCHASE": 107, "double": 107}
    assert parts(earn(small, big, lines=[line("20.00")])) == {"PURCHASE": 20, "small": 40}
    tied = bonus(40, "tied", exclusion_group="march")
    assert parts(earn(small, tied)) == {"PURCHASE": 107, "small": 40}


def test_the_best_of_a_group_is_found_after_its_own_limit():
    limited = double(exclusion_group="march", cap_order_points=30)
    assert parts(earn(limited, bonus(40, exclusion_group="march"))) == {"PURCHASE": 107, "bonus": 40}


def test_a_rule_never_gives_more_than_its_limit_whatever_others_lose_by_rounding():
    thirds = [line("1.10", ref=str(number)) for number in range(10)]
    picky = bonus(300, cap_order_points=1)
    earning = earn(picky, lines=thirds)
    assert (earning.points, parts(earning)) == (12, {"PURCHASE": 11, "bonus": 1})


def test_the_smallest_limit_of_the_order_shrinks_everything_in_proportion():
    earning = earn(double(), rule("CAP", "cap", points=60), rule("CAP", "cap2", points=100))
    assert (earning.points, parts(earning)) == (60, {"PURCHASE": 30, "double": 30})


def test_the_better_of_two_tier_multipliers_counts():
    both = (Multiplier("TIER", Fraction(2)), Multiplier("TIER", Fraction(3)), Multiplier("TIER", Fraction(1)))
    assert parts(earn(lines=[line("10.00")], multipliers=both)) == {"PURCHASE": 10, "TIER": 20}


def test_a_rule_that_waits_for_the_payment_is_told_and_given_later():
    invoice = bonus(10, conditions={"payment_methods": ["invoice"]})
    lines = [line("5.00")]
    before = judge(lines=lines, rate=EUR, context=context(), rules=[invoice])
    assert (before.waits, before.earning.points) == (True, 5)
    for methods, points in ((frozenset({"invoice"}), 15), (frozenset({"card"}), 5), (frozenset(), 5)):
        after = judge(lines=lines, rate=EUR, context=context(payment_methods=methods), rules=[invoice])
        assert (after.waits, after.earning.points) == (False, points)


def test_a_kind_that_returns_less_than_nothing_takes_nothing_away():
    class Malus(type(earning_rules.get("MULTIPLIER"))):
        code = "MALUS"
        parameters = ()

        def points(self, *, parameters, lines, base, context):
            return [Fraction(-100) for _line in lines]

    with earning_rules.temporarily(Malus):
        assert earn(rule("MALUS")).points == 107


# Conditions


@pytest.mark.parametrize(
    ("conditions", "facts", "holds"),
    [
        ({"product_ids": [4]}, {"product_id": 4}, True),
        ({"product_ids": [4]}, {"product_id": 5, "parent_id": 4}, True),
        ({"product_ids": [4]}, {"product_id": 5}, False),
        ({"category_ids": [1, 2]}, {"category_ids": frozenset({2, 9})}, True),
        ({"category_ids": [1]}, {"category_ids": frozenset({2})}, False),
        ({"range_ids": [3]}, {"range_ids": frozenset({3})}, True),
        ({"range_ids": [3]}, {}, False),
        ({"attributes": {"brand": ["Acme", "Best"]}}, {"attributes": {"brand": frozenset({"Acme"})}}, True),
        ({"attributes": {"brand": ["Acme"]}}, {"attributes": {"brand": frozenset({"acme"})}}, False),
        ({"attributes": {"brand": ["A"], "size": ["L"]}}, {"attributes": {"brand": frozenset({"A"})}}, False),
        ({"product_class_ids": [7], "range_ids": [3]}, {"product_class_id": 7}, False),
    ],
)  # fmt: skip
def test_conditions_that_pick_lines(conditions, facts, holds):
    assert (earn(double(conditions=conditions), lines=[line("10.00", **facts)]).points == 20) is holds


@pytest.mark.parametrize(
    ("conditions", "facts", "holds"),
    [
        ({"tiers": ["gold"]}, {"tier_code": "gold"}, True),
        ({"tiers": ["gold"]}, {}, False),
        ({"segments": ["NEW", "LAPSED"]}, {"segments": frozenset({"NEW"})}, True),
        ({"segments": ["NEW"]}, {}, False),
        ({"group_ids": [3]}, {"group_ids": frozenset({3, 4})}, True),
        ({"nth_order": 1}, {"order_number": 1}, True),
        ({"nth_order": 1}, {"order_number": 2}, False),
        ({"nth_order": 1}, {}, False),
        ({"every_nth_order": 5}, {"order_number": 10}, True),
        ({"every_nth_order": 5}, {"order_number": 9}, False),
        ({"every_nth_order": 5}, {}, False),
        ({"minimum_value": {"EUR": "107.00"}}, {}, True),
        ({"minimum_value": {"EUR": "107.01"}}, {}, False),
        ({"minimum_value": {"CHF": "1"}}, {}, False),
        ({"active_from": "2026-03-10T12:00:00+00:00"}, {}, True),
        ({"active_to": "2026-03-10T12:00:00+00:00"}, {}, False),
        ({"weekdays": [1]}, {}, True),
        ({"weekdays": [5, 6]}, {}, False),
        ({"hours": ["13:00", "14:00"]}, {}, True),
        ({"hours": ["12:00", "13:00"]}, {}, False),
        ({"hours": ["22:00", "13:01"]}, {}, True),
        ({"channels": ["APP"]}, {"channel": "APP"}, True),
        ({"channels": ["APP"]}, {"channel": "SHOP"}, False),
        ({"shipping_methods": ["no-rush"]}, {"shipping_method": "no-rush"}, True),
        ({"shipping_methods": ["no-rush"]}, {"shipping_method": "express"}, False),
    ],
)  # fmt: skip
def test_conditions_of_the_whole_order(conditions, facts, holds):
    assert (earn(double(conditions=conditions), **facts).points == 214) is holds


@pytest.mark.parametrize(
    ("placed_at", "holds"),
    [
        ("2026-03-27T22:59:59+00:00", False),  # Friday, the last second
        ("2026-03-27T23:00:00+00:00", True),  # Saturday, 00:00 in Berlin
        ("2026-03-29T21:59:59+00:00", True),  # Sunday 23:59:59, an hour shorter than others
        ("2026-03-29T22:00:00+00:00", False),  # Monday 00:00 in summer time
        ("2026-10-25T22:59:59+00:00", True),  # Sunday with 25 hours
        ("2026-10-25T23:00:00+00:00", False),
    ],
)
def test_a_weekend_is_that_of_the_programmes_time_zone_when_clocks_change_too(placed_at, holds):
    moment = datetime.fromisoformat(placed_at)
    assert (earn(double(conditions={"weekdays": [5, 6]}), placed_at=moment).points == 214) is holds


def test_hours_are_those_of_the_clock_on_the_wall_before_and_after_a_change():
    evening = double(conditions={"hours": ["18:00", "24:00"]})
    for moment in ("2026-03-28T17:00:00+00:00", "2026-03-29T16:00:00+00:00"):
        assert earn(evening, placed_at=datetime.fromisoformat(moment)).points == 214


def test_shipping_is_goods_for_nobody_and_not_meant_by_rules_that_pick_goods():
    lines = [line("40.00", ref="a", product_class_id=1), line("20.00", ref="shipping", is_shipping=True)]
    least = double(conditions={"minimum_value": {"EUR": "50.00"}})
    assert earn(least, lines=lines).points == 60
    assert earn(double(conditions={"product_class_ids": [1]}), lines=lines).points == 100
    assert earn(double(), lines=lines).points == 120


def test_segments_are_told_from_what_was_the_case_when_the_order_was_placed():
    wanted = frozenset({"NEW", "ACTIVE", "LAPSED", "UNKNOWN"})

    def of(**facts):
        return find_segments(MemberFacts(at=NOW, **facts), wanted=wanted)

    assert of() == frozenset()
    assert of(joined_at=NOW) == {"NEW"}
    assert of(joined_at=NOW.replace(year=2025), last_order_at=NOW.replace(month=1)) == {"ACTIVE"}
    assert of(joined_at=NOW.replace(year=2020), last_order_at=NOW.replace(year=2024)) == {"LAPSED"}


@pytest.mark.parametrize(
    "stored",
    [
        {"weekdays": [7]},
        {"weekdays": ["1"]},
        {"hours": ["25:00", "26:00"]},
        {"hours": ["10:00", "10:00"]},
        {"hours": "10:00"},
        {"minimum_value": {"EUR": 1.5}},
        {"minimum_value": {"EUR": "-1"}},
        {"minimum_value": {"EURO": "1"}},
        {"active_from": "2026-03-10"},
        {"active_from": "2026-03-10T00:00:00Z", "active_to": "2026-03-09T00:00:00Z"},
        {"product_ids": [True]},
        {"product_ids": 4},
        {"tiers": "gold"},
        {"nth_order": 0},
        {"colour": "red"},
        {"attributes": ["brand"]},
    ],
)
def test_conditions_that_cannot_be_meant_are_refused(stored):
    with pytest.raises(InvalidConditions):
        read_conditions(stored)


def test_conditions_are_written_as_they_are_read():
    stored = {
        "product_ids": [1, 2],
        "attributes": {"brand": ["Acme", "Best"]},
        "tiers": ["gold"],
        "nth_order": 1,
        "minimum_value": {"EUR": "50.00"},
        "active_from": "2026-03-10T00:00:00+00:00",
        "weekdays": [5, 6],
        "hours": ["18:00", "24:00"],
    }
    assert write_conditions(read_conditions(stored)) == stored
    assert write_conditions(Conditions()) == {}
    assert read_conditions({"tiers": [], "nth_order": None, "attributes": {}}) == Conditions()


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("RATE", {"points": 1}),
        ("RATE", {"points": 1, "amount": "0", "currency": "EUR"}),
        ("RATE", {"points": 1.5, "amount": "1", "currency": "EUR"}),
        ("RATE", {"points": 1, "amount": "1", "currency": "Euro"}),
        ("MULTIPLIER", {"factor": "0.5"}),
        ("MULTIPLIER", {"factor": "NaN"}),
        ("MULTIPLIER", {"factor": 2.0}),
        ("MULTIPLIER", {"factor": "2", "colour": "red"}),
        ("MULTIPLIER", {"factor": "1000"}),
        ("BONUS", {"points": 0}),
        ("BONUS", {"points": True}),
        ("BONUS", {"points": 5, "per": "WEEK"}),
        ("CAP", {"points": -1}),
    ],
)
def test_parameters_that_cannot_be_meant_are_refused(kind, parameters):
    with pytest.raises(InvalidParameters):
        earning_rules.get(kind).validate(parameters)


def test_parameters_are_stored_as_the_engine_reads_them():
    rate = earning_rules.get("RATE").validate({"points": "2", "amount": Decimal("0.125"), "currency": "eur"})
    assert rate == {"points": 2, "amount": "0.125", "currency": "EUR"}
    assert earning_rules.get("BONUS").validate({"points": 5}) == {"points": 5, "per": "ORDER"}


# Limits


def limited(rules, *, used=(), granted=None, paused=(), member_id=1, **facts):
    by_code = {one.code: one for one in rules}
    allowances = Allowances(
        time_zone=BERLIN,
        periods=frozenset({"DAY", "WEEK", "MONTH", "YEAR", "EVER"}),
        granted=granted or {},
        paused=frozenset(paused),
    )
    for code, at, points in used:
        allowances.add(member_id=1, code=code, at=at, points=points)
    judgement = judge(lines=[line("100.00")], rate=EUR, context=context(**facts), rules=rules)
    return allowances.limit(judgement, rules=by_code, member_id=member_id, at=NOW)


def test_a_member_gets_no_more_of_a_rule_in_a_period_than_its_limit():
    capped = double(cap_member_points=150, cap_member_period="MONTH")
    march, february = NOW.replace(day=1), NOW.replace(month=2)
    assert parts(limited([capped])) == {"PURCHASE": 100, "double": 100}
    assert parts(limited([capped], used=[("double", march, 90)])) == {"PURCHASE": 100, "double": 60}
    assert parts(limited([capped], used=[("double", february, 90)])) == {"PURCHASE": 100, "double": 100}
    assert parts(limited([capped], used=[("double", march, 200)])) == {"PURCHASE": 100}
    assert parts(limited([capped], used=[("double", march, 200)], member_id=2))["double"] == 100


def test_a_limit_of_everything_counts_every_rule():
    most = rule("CAP", "cap", points=120, per="DAY")
    assert limited([most]).points == 100
    assert limited([most, double()], used=[("other", NOW, 20)]).points == 100
    assert limited([most], used=[("other", NOW, 200)]).points == 0


def test_a_budget_gives_the_rest_that_fits_and_then_nothing():
    campaign = double(budget_points=1000)
    assert parts(limited([campaign], granted={"double": 970})) == {"PURCHASE": 100, "double": 30}
    assert parts(limited([campaign], granted={"double": 1000})) == {"PURCHASE": 100}
    assert parts(limited([campaign], paused=["double"])) == {"PURCHASE": 100}


def test_what_one_purchase_takes_is_gone_for_the_next():
    capped = double(cap_member_points=150, cap_member_period="EVER", budget_points=120)
    by_code = {"double": capped}
    allowances = Allowances(time_zone=BERLIN, periods=frozenset({"EVER"}))
    got = []
    for member_id in (1, 2):
        judgement = judge(lines=[line("100.00")], rate=EUR, context=context(), rules=[capped])
        earning = allowances.limit(judgement, rules=by_code, member_id=member_id, at=NOW)
        allowances.take(earning, rules=by_code, member_id=member_id, at=NOW)
        got.append(earning.points)
    assert (got, dict(allowances.taken)) == ([200, 120], {"double": 120})


@pytest.mark.parametrize(
    ("period", "expected"),
    [
        ("DAY", "2026-03-28T23:00:00+00:00"),
        ("WEEK", "2026-03-22T23:00:00+00:00"),
        ("MONTH", "2026-02-28T23:00:00+00:00"),
        ("YEAR", "2025-12-31T23:00:00+00:00"),
    ],
)
def test_periods_begin_at_local_midnight(period, expected):
    at = datetime(2026, 3, 29, 20, 0, tzinfo=UTC)  # the day with 23 hours
    assert period_start(at, period=period, time_zone=BERLIN) == datetime.fromisoformat(expected)


def test_the_history_is_read_from_the_earliest_period_on():
    assert earliest_start({"DAY", "WEEK"}, at=NOW, time_zone=BERLIN) == datetime(2026, 3, 8, 23, tzinfo=UTC)
    assert earliest_start({"DAY", "EVER"}, at=NOW, time_zone=BERLIN) is None


# Properties


money = st.decimals(min_value=-20, max_value=400, places=2)
rates = st.builds(
    replace,
    st.just(EUR),
    earn_points=st.integers(0, 20),
    earn_amount=st.decimals(min_value="0.01", max_value="20", places=2),
)
purchases = st.lists(
    st.builds(
        line,
        money,
        excluded=st.booleans(),
        quantity=st.integers(1, 5),
        product_class_id=st.sampled_from([1, 2]),
        is_shipping=st.sampled_from([False, False, True]),
    ),
    max_size=5,
).map(lambda lines: [one._replace(ref=f"line:{number}") for number, one in enumerate(lines)])
limits = st.one_of(st.none(), st.integers(0, 60))
factors = st.decimals(min_value=1, max_value=4, places=2).map(str)
picked = st.sampled_from([{}, {}, {"product_class_ids": [1]}, {"minimum_value": {"EUR": "50"}}])
groups = st.sampled_from(["", "", "a", "b"])
adders = st.one_of(
    st.builds(double, factor=factors, cap_order_points=limits, conditions=picked, exclusion_group=groups),
    st.builds(
        bonus,
        st.integers(1, 500),
        per=st.sampled_from(["ORDER", "UNIT"]),
        cap_order_points=limits,
        conditions=picked,
        exclusion_group=groups,
    ),
)
others = st.one_of(
    st.builds(
        rule,
        st.just("RATE"),
        points=st.integers(0, 9),
        amount=st.sampled_from(["1.00", "3.00", "0.70"]),
        currency=st.just("EUR"),
        conditions=picked,
        cap_order_points=limits,
    ),
    st.builds(rule, st.just("CAP"), points=st.integers(0, 300)),
)
perks = st.lists(st.builds(Multiplier, st.just("TIER"), factors.map(Fraction)), max_size=2).map(tuple)


def numbered(rules):
    return [replace(one, code=f"rule-{number}", position=number) for number, one in enumerate(rules)]


rule_sets = st.lists(st.one_of(adders, others), max_size=5).map(numbered)


@given(lines=purchases, rate=rates)
def test_without_rules_it_is_the_base_rate_to_the_last_line(lines, rate):
    judgement = judge(lines=lines, rate=rate, context=context())
    bases = [LineBasis(ref=one.ref, amount=one.amount, excluded=one.excluded) for one in lines]
    assert judgement == Judgement(earning=points_for_lines(bases, rate=rate))


@given(lines=purchases, rate=rates, rules=rule_sets, multipliers=perks, most=limits, data=st.data())
def test_what_is_left_for_a_member_is_never_exceeded_and_rounded_once(
    lines, rate, rules, multipliers, most, data
):
    most_of = {one.code: data.draw(st.integers(0, 50)) for one in rules}
    facts = context(multipliers=multipliers)
    free = judge(lines=lines, rate=rate, context=facts, rules=rules).earning
    tight = judge(lines=lines, rate=rate, context=facts, rules=rules, most_of=most_of, most=most).earning
    assert tight.points == sum(one.points for one in tight.lines) <= free.points
    assert most is None or tight.points <= most
    for code, limit in most_of.items():
        assert sum(one.points for one in tight.lines if one.rule_code == code) <= limit


@given(lines=purchases, rate=rates, rules=rule_sets, multipliers=perks)
def test_it_adds_up_and_nothing_is_ever_negative_or_above_its_limit(lines, rate, rules, multipliers):
    judgement = judge(lines=lines, rate=rate, context=context(multipliers=multipliers), rules=rules)
    earning = judgement.earning
    assert earning.points == sum(one.points for one in earning.lines) >= 0
    assert all(one.points >= 0 for one in earning.lines)
    assert len({(one.ref, one.rule_code) for one in earning.lines}) == len(earning.lines)
    if earning.parts:
        assert earning.points == sum(part.points for part in earning.parts)
    for one in rules:
        brought = sum(cell.points for cell in earning.lines if cell.rule_code == one.code)
        assert one.cap_order_points is None or brought <= one.cap_order_points
        if one.kind.code == "CAP" and any(cell.basis for cell in earning.lines):
            assert earning.points <= one.parameters["points"]
    for group in ("a", "b"):
        members = {one.code for one in rules if one.exclusion_group == group}
        assert len({cell.rule_code for cell in earning.lines} & members) <= 1


@given(lines=purchases, rate=rates, rules=rule_sets, multipliers=perks)
def test_the_sum_loses_less_than_one_point_by_rounding(lines, rate, rules, multipliers):
    facts = context(multipliers=multipliers)
    # A thousand times the points: what is exact shows.
    times = 1000
    finer = replace(rate, earn_points=rate.earn_points * times)
    rules = [one for one in rules if one.kind.code == "MULTIPLIER" and one.cap_order_points is None]
    rules = [replace(one, exclusion_group="") for one in rules]
    coarse = judge(lines=lines, rate=rate, context=facts, rules=rules).earning.points
    exact = judge(lines=lines, rate=finer, context=facts, rules=rules).earning.points
    assert coarse == exact // times


@given(
    lines=purchases,
    rate=rates,
    rules=st.lists(adders, max_size=5).map(numbered),
    multipliers=perks,
    which=st.integers(0, 4),
    more=st.decimals(min_value=0, max_value=100, places=2),
)
def test_who_pays_more_never_earns_less(lines, rate, rules, multipliers, which, more):
    facts = context(multipliers=multipliers)
    dearer = [
        one._replace(amount=one.amount + more) if number == which else one for number, one in enumerate(lines)
    ]
    before = judge(lines=lines, rate=rate, context=facts, rules=rules).earning.points
    assert judge(lines=dearer, rate=rate, context=facts, rules=rules).earning.points >= before


@given(lines=purchases, rules=rule_sets, most=limits, data=st.data())
def test_limits_cut_whole_points_and_leave_the_rest_alone(lines, rules, most, data):
    earning = judge(lines=lines, rate=EUR, context=context(), rules=rules).earning
    most_of = {one.code: data.draw(st.integers(0, 50)) for one in rules}
    cut = limit_earning(earning, most_of=most_of, most=most)
    assert cut.points == sum(one.points for one in cut.lines) <= earning.points
    assert most is None or cut.points <= most
    before = {(one.ref, one.rule_code): one.points for one in earning.lines}
    assert all(0 <= one.points <= before[one.ref, one.rule_code] for one in cut.lines)
    for code, limit in most_of.items():
        assert sum(one.points for one in cut.lines if one.rule_code == code) <= limit
    if cut.parts:
        assert cut.points == sum(part.points for part in cut.parts)

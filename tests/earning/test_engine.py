"""The engine counts in whole numbers; a slow one in fractions must say the same, to the last line."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from hypothesis import example, given
from hypothesis import strategies as st

from oscar_loyalty.earning.conditions import Conditions
from oscar_loyalty.earning.facts import Context, Line, Multiplier
from oscar_loyalty.earning.kinds import Format, Kind, Parameter, Role
from oscar_loyalty.earning.limits import Allowances
from oscar_loyalty.earning.rules import Engine, Rule
from oscar_loyalty.programmes.rules import Rate
from oscar_loyalty.registry import earning_rules

from . import oracle

BERLIN = "Europe/Berlin"
MONDAY = datetime(2026, 3, 9, tzinfo=UTC)


class PerWeight(Kind):
    """A kind of a shop: fractions of its own, sometimes below zero."""

    code = "PER_WEIGHT"
    parameters = (Parameter(name="grams", label="grams", format=Format.NUMBER, required=True),)

    def points(self, *, parameters, lines, base, context):
        return [
            Fraction(parameters["grams"] * line.quantity, 700) - share / 3
            for line, share in zip(lines, base, strict=True)
        ]


class HalfOfTheBase(Kind):
    """Another one, which replaces the base and knows its currency."""

    code = "HALF"
    role = Role.BASE

    def applies(self, *, parameters, context):
        return context.currency == "CHF"

    def points(self, *, parameters, lines, base, context):
        return [share / 2 for share in base]


def kind(code):
    return {"PER_WEIGHT": PerWeight(), "HALF": HalfOfTheBase()}.get(code) or earning_rules.get(code)


some = st.booleans()


def sometimes(strategy, otherwise):
    """Conditions that are all set never hold together."""
    return st.one_of(st.just(otherwise), st.just(otherwise), st.just(otherwise), strategy)


def any_of(*values):
    return sometimes(st.frozensets(st.sampled_from(values), min_size=1), frozenset())


currencies = st.sampled_from(["EUR", "EUR", "CHF", "JPY"])
moments = st.integers(0, 7 * 24 * 4 - 1).map(lambda quarters: MONDAY + timedelta(minutes=15 * quarters))
codes = st.sampled_from(["", "silver", "gold"])
few = st.integers(1, 3)
hours = st.tuples(st.integers(0, 23), st.integers(1, 24)).filter(lambda pair: pair[0] != pair[1])
conditions = st.builds(
    Conditions,
    product_ids=any_of(1, 2, 3),
    category_ids=any_of(1, 2),
    product_class_ids=any_of(1, 2),
    range_ids=any_of(1, 2),
    attributes=sometimes(st.just({"brand": frozenset({"Acme"})}), {}),
    tiers=any_of("silver", "gold"),
    segments=any_of("NEW", "LAPSED"),
    group_ids=any_of(1, 2),
    nth_order=sometimes(few, None),
    every_nth_order=sometimes(few, None),
    minimum_value=sometimes(
        st.dictionaries(currencies, st.sampled_from([Decimal(5), Decimal("49.99")]), min_size=1), {}
    ),
    active_from=sometimes(moments, None),
    active_to=sometimes(moments, None),
    weekdays=any_of(0, 5, 6),
    hours=sometimes(hours.map(lambda pair: (pair[0] * 60, pair[1] * 60)), None),
    channels=any_of("APP", "SHOP"),
    shipping_methods=any_of("express", "no-rush"),
    payment_methods=any_of("card", "invoice"),
)
amounts = st.decimals(min_value=-5, max_value=400, places=2)
odd_amounts = st.one_of(
    amounts, st.sampled_from([Decimal("0.00"), Decimal(100), Decimal("1E+2"), Decimal("0.001")])
)
order_lines = st.lists(
    st.builds(
        Line,
        ref=st.just(""),
        amount=odd_amounts,
        excluded=st.sampled_from([False, False, True]),
        quantity=few,
        is_shipping=st.sampled_from([False, False, False, True]),
        product_id=st.sampled_from([None, 1, 2, 4]),
        parent_id=st.sampled_from([None, 3]),
        product_class_id=st.sampled_from([None, 1, 2]),
        category_ids=st.frozensets(few, max_size=2),
        range_ids=st.frozensets(few, max_size=2),
        attributes=st.sampled_from([{}, {"brand": frozenset({"Acme"})}, {"brand": frozenset({"Best"})}]),
    ),
    max_size=6,
).map(lambda lines: [one._replace(ref=f"line:{number}") for number, one in enumerate(lines)])
contexts = st.builds(
    Context,
    currency=currencies,
    placed_at=moments,
    time_zone=st.just(BERLIN),
    tier_code=codes,
    segments=st.frozensets(st.sampled_from(["NEW", "LAPSED"])),
    group_ids=st.frozensets(few),
    order_number=st.sampled_from([None, 1, 2, 6]),
    channel=st.sampled_from(["APP", "SHOP"]),
    shipping_method=st.sampled_from(["express", "no-rush"]),
    payment_methods=st.one_of(st.none(), st.frozensets(st.sampled_from(["card", "invoice"]))),
    multipliers=st.lists(
        st.builds(
            Multiplier,
            st.sampled_from(["TIER", "TIER", "CARD"]),
            st.decimals(min_value="0.5", max_value=3, places=2).map(Fraction),
            st.sampled_from(["Gold", "Silber"]),
        ),
        max_size=3,
    ).map(tuple),
)
rates = st.builds(
    Rate,
    currency=st.just("EUR"),
    earn_points=st.integers(0, 20),
    earn_amount=st.decimals(min_value="0.01", max_value=20, places=2),
    redeem_points=st.just(100),
    redeem_amount=st.just(Decimal(1)),
    card_minimum=st.just(Decimal("0.50")),
)
limits = st.one_of(st.none(), st.none(), st.integers(0, 80))
kinds_and_parameters = st.one_of(
    st.tuples(
        st.just("RATE"),
        st.fixed_dictionaries(
            {
                "points": st.integers(0, 9),
                "amount": st.sampled_from(["1.00", "0.70", "3"]),
                "currency": currencies,
            }
        ),
    ),
    st.tuples(
        st.just("MULTIPLIER"),
        st.fixed_dictionaries({"factor": st.decimals(min_value=1, max_value=4, places=2).map(str)}),
    ),
    st.tuples(
        st.just("BONUS"),
        st.fixed_dictionaries({"points": st.integers(1, 300), "per": st.sampled_from(["ORDER", "UNIT"])}),
    ),
    st.tuples(
        st.just("CAP"),
        st.fixed_dictionaries(
            {"points": st.integers(0, 300), "per": st.sampled_from(["ORDER", "ORDER", "MONTH", "EVER"])}
        ),
    ),
    st.tuples(st.just("PER_WEIGHT"), st.fixed_dictionaries({"grams": st.integers(0, 5000)})),
    st.tuples(st.just("HALF"), st.just({})),
)


@st.composite
def rules_of_one_version(draw):
    rules = []
    for number in range(draw(st.integers(0, 6))):
        code, parameters = draw(kinds_and_parameters)
        period = draw(st.sampled_from(["", "", "MONTH"]))
        rules.append(
            Rule(
                code=f"rule-{number}",
                kind=kind(code),
                parameters=parameters,
                conditions=draw(conditions),
                text_de=draw(st.sampled_from(["", "Aktion"])),
                position=draw(st.integers(0, 2)),
                exclusion_group=draw(st.sampled_from(["", "", "a", "b"])),
                cap_order_points=draw(limits),
                cap_member_points=draw(st.integers(0, 200)) if period else None,
                cap_member_period=period,
                budget_points=draw(limits),
                qualifies=draw(some),
            )
        )
    return sorted(rules, key=lambda one: one.position)


THIRDS = [Line(ref=f"line:{number}", amount=Decimal("1.10")) for number in range(3)]
EUR = Rate(
    currency="EUR",
    earn_points=1,
    earn_amount=Decimal("3.00"),
    redeem_points=100,
    redeem_amount=Decimal(1),
    card_minimum=Decimal(0),
)


@given(
    lines=order_lines,
    rate=rates,
    context=contexts,
    rules=rules_of_one_version(),
    most=limits,
    left=st.lists(limits, min_size=7, max_size=7),
)
@example(
    lines=THIRDS,
    rate=EUR,
    context=Context(currency="EUR", placed_at=MONDAY, time_zone=BERLIN),
    rules=[
        Rule(code="rule-0", kind=kind("BONUS"), parameters={"points": 3, "per": "ORDER"}, cap_order_points=1)
    ],
    most=2,
    left=[None] * 7,
)
def test_whole_numbers_and_fractions_say_the_same(lines, rate, context, rules, most, left):
    names = ["PURCHASE", *(one.code for one in rules)]
    most_of = {code: limit for code, limit in zip(names, left, strict=False) if limit is not None}
    asked = {"lines": lines, "context": context, "most_of": most_of, "most": most}
    judged = Engine(rules, rate=rate).judge(**asked)
    expected = oracle.judge(**asked, rate=rate, rules=rules)
    assert judged == expected
    # Decimals of one value are written down in several ways, and bookings store them.
    assert repr(judged.earning) == repr(expected.earning)


@given(
    orders=st.lists(st.tuples(order_lines, contexts, st.sampled_from([1, 2, None])), max_size=3),
    rate=rates,
    rules=rules_of_one_version(),
)
def test_one_order_after_the_other_takes_from_limits_and_budgets_what_it_takes_in_fractions(
    orders, rate, rules
):
    by_code = {one.code: one for one in rules}
    engine = Engine(rules, rate=rate)

    def earn_all(judge):
        allowances = Allowances(time_zone=BERLIN, periods=frozenset({"MONTH", "EVER"}))
        for lines, context, member_id in orders:
            taking = {"rules": by_code, "member_id": member_id, "at": context.placed_at}
            earning = allowances.limit(
                judge(lines=lines, context=context),
                **taking,
                again=lambda most_of, most, lines=lines, context=context: judge(
                    lines=lines, context=context, most_of=most_of, most=most
                ),
            )
            allowances.take(earning, **taking)
            yield earning

    slowly = earn_all(lambda **asked: oracle.judge(**asked, rate=rate, rules=rules))
    assert list(earn_all(engine.judge)) == list(slowly)


def test_a_kind_that_changes_the_formula_of_another_is_asked_itself():
    class Thrice(type(kind("MULTIPLIER"))):
        code = "THRICE"

        def points(self, *, parameters, lines, base, context):
            return [
                3 * one
                for one in super().points(parameters=parameters, lines=lines, base=base, context=context)
            ]

    rule = Rule(code="thrice", kind=Thrice(), parameters={"factor": "2"})
    context = Context(currency="EUR", placed_at=MONDAY, time_zone=BERLIN)
    rate = replace(EUR, earn_amount=Decimal(1))
    line = Line(ref="line:1", amount=Decimal(10))
    assert Engine([rule], rate=rate).judge(lines=[line], context=context).earning.points == 10 + 30


def test_details_that_nobody_can_read_hurt_only_where_the_rule_holds():
    broken = Rule(
        code="broken",
        kind=kind("MULTIPLIER"),
        parameters={},
        conditions=Conditions(tiers=frozenset({"gold"})),
    )
    context = Context(currency="EUR", placed_at=MONDAY, time_zone=BERLIN)
    line = Line(ref="line:1", amount=Decimal(30))
    assert Engine([broken], rate=EUR).judge(lines=[line], context=context).earning.points == 10

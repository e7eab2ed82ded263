from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from oscar_loyalty.points.rules import (
    LineBasis,
    PurchaseLine,
    RedemptionLimits,
    bases_for,
    floor_together,
    points_for_lines,
    points_left,
    points_to_take_back,
    points_worth,
    quote_redemption,
    share_out,
    sum_at_rate,
    value_of,
)
from oscar_loyalty.programmes.rules import Rate

EUR = Rate(
    currency="EUR",
    earn_points=1,
    earn_amount=Decimal("1.00"),
    redeem_points=100,
    redeem_amount=Decimal("1.00"),
    card_minimum=Decimal("0.50"),
)
FREELY = RedemptionLimits(rate=EUR, minimum=1, step=1, share_percent=Decimal(100))

money = st.decimals(min_value=0, max_value=500, places=2)
rates = st.builds(
    replace,
    st.just(EUR),
    earn_points=st.integers(0, 20),
    earn_amount=st.decimals(min_value="0.01", max_value="20", places=2),
    redeem_points=st.integers(1, 300),
    redeem_amount=st.decimals(min_value="0.01", max_value="5", places=2),
    card_minimum=st.sampled_from([Decimal("0.00"), Decimal("0.50"), Decimal("10.00")]),
)
limits = st.builds(
    RedemptionLimits,
    rate=rates,
    minimum=st.sampled_from([1, 1, 50, 500]),
    step=st.sampled_from([1, 1, 10, 100]),
    share_percent=st.sampled_from(
        [Decimal(100), Decimal(100), Decimal(50), Decimal("33.33"), Decimal("0.01")]
    ),
)
points = st.integers(0, 100_000)


def quote(requested, *, available=100_000, goods="30.00", besides="0", **terms):
    return quote_redemption(
        requested=requested,
        available=available,
        goods=Decimal(goods),
        besides=Decimal(besides),
        limits=replace(FREELY, **terms),
    )


def facts(quoted):
    return quoted.points, str(quoted.amount), quoted.reasons


# Redeeming


def test_what_was_asked_for_is_spent_when_nothing_limits_it():
    assert facts(quote(1000)) == (1000, "10.00", ())


@pytest.mark.parametrize(
    ("asked", "terms", "expected"),
    [
        (1000, {"available": 700}, (700, "7.00", ("balance",))),
        (5000, {}, (3000, "30.00", ("goods",))),
        (5000, {"share_percent": Decimal(50)}, (1500, "15.00", ("share",))),
        (2980, {}, (2950, "29.50", ("card_minimum",))),
        (1234, {"step": 100}, (1200, "12.00", ("step",))),
        (2980, {"step": 100}, (2900, "29.00", ("step",))),
        (99, {"minimum": 100}, (0, "0", ("minimum",))),
        (1000, {"available": 80, "minimum": 100}, (0, "0", ("balance", "minimum"))),
        (1000, {"available": 0}, (0, "0", ("balance",))),
        (1000, {"goods": "0"}, (0, "0", ("goods",))),
        (60, {"goods": "0.60", "share_percent": Decimal(50)}, (10, "0.10", ("share", "card_minimum"))),
        (20, {"goods": "0.40"}, (0, "0", ("card_minimum",))),
        (40, {"goods": "0.40"}, (40, "0.40", ())),
        (9000, {"goods": "9.95", "step": 100}, (995, "9.95", ("goods",))),
        (3000, {"besides": "0.20"}, (2970, "29.70", ("card_minimum",))),
        (2980, {"besides": "4.00"}, (2980, "29.80", ())),
        # At a limit is within it.
        (1000, {"available": 1000}, (1000, "10.00", ())),
        (2950, {}, (2950, "29.50", ())),
        (100, {"minimum": 100}, (100, "1.00", ())),
        # A share is rounded down.
        (5000, {"goods": "10.03", "share_percent": Decimal(50)}, (501, "5.01", ("share",))),
    ],
)
def test_limits_and_the_reasons_they_give(asked, terms, expected):
    assert facts(quote(asked, **terms)) == expected


def test_a_point_that_saves_nothing_is_not_spent():
    rate = replace(EUR, redeem_points=300)
    assert facts(quote(16, rate=rate)) == (15, "0.05", ())
    assert facts(quote(2, rate=rate)) == (0, "0", ("minimum",))


def test_points_that_save_nothing_are_left_in_whole_steps():
    # Ten points save a cent, and twelve are the first step that does.
    assert facts(quote(18, step=3, rate=replace(EUR, redeem_points=1000))) == (12, "0.01", ())


def test_nothing_is_paid_besides_the_goods_unless_that_is_said():
    quoted = quote_redemption(requested=2980, available=3000, goods=Decimal(30), limits=FREELY)
    assert facts(quoted) == (2950, "29.50", ("card_minimum",))


def test_the_last_point_may_save_less_than_its_value():
    rate = replace(EUR, redeem_points=1, redeem_amount=Decimal("0.50"))
    assert facts(quote(1000, goods="10.20", rate=rate)) == (21, "10.20", ("goods",))


@given(requested=points, available=points, goods=money, besides=money, limits=limits)
def test_a_quote_keeps_every_limit(requested, available, goods, besides, limits):
    quoted = quote_redemption(
        requested=requested, available=available, goods=goods, besides=besides, limits=limits
    )
    rate = limits.rate
    assert 0 <= quoted.points <= min(requested, available)
    assert 0 <= quoted.amount <= goods * limits.share_percent / 100
    assert quoted.amount <= value_of(quoted.points, rate=rate)
    assert quoted.amount == quoted.amount.quantize(rate.cent)
    assert (quoted.points == 0) == (quoted.amount == 0)
    left = goods + besides - quoted.amount
    assert quoted.points == 0 or left == 0 or left >= rate.card_minimum
    assert quoted.points == 0 or quoted.points >= limits.minimum
    assert quoted.points % limits.step == 0 or quoted.amount == goods or quoted.points == limits.minimum
    if quoted.points < requested and not quoted.reasons:
        # Less without a reason: the same saving for fewer points.
        assert quoted.amount == value_of(requested, rate=rate)


@given(requested=points, more=points, available=points, goods=money, limits=limits)
def test_who_asks_for_more_never_saves_less(requested, more, available, goods, limits):
    assume(limits.minimum == 1)
    low = quote_redemption(requested=requested, available=available, goods=goods, limits=limits)
    high = quote_redemption(requested=requested + more, available=available, goods=goods, limits=limits)
    assert high.amount >= low.amount
    assert high.points >= low.points


@given(requested=points, available=points, more=points, goods=money, limits=limits)
def test_who_has_more_never_saves_less(requested, available, more, goods, limits):
    assume(limits.minimum == 1)
    low = quote_redemption(requested=requested, available=available, goods=goods, limits=limits)
    high = quote_redemption(requested=requested, available=available + more, goods=goods, limits=limits)
    assert high.amount >= low.amount


@given(requested=points, available=points, goods=money, limits=limits)
def test_asking_for_what_was_quoted_is_quoted_in_full(requested, available, goods, limits):
    first = quote_redemption(requested=requested, available=available, goods=goods, limits=limits)
    again = quote_redemption(requested=first.points, available=available, goods=goods, limits=limits)
    assert (again.points, again.amount) == (first.points, first.amount)


@given(amount=money, rate=rates)
def test_the_points_that_an_amount_is_worth_are_the_fewest(amount, rate):
    enough = points_worth(amount, rate=rate)
    assert value_of(enough, rate=rate) >= amount
    assert enough == 0 or value_of(enough - 1, rate=rate) < amount


# Earning


@given(amounts=st.lists(money, max_size=12), rate=rates)
def test_earning_is_floored_once_and_shared_exactly(amounts, rate):
    earning = points_for_lines(
        [LineBasis(ref=str(number), amount=amount) for number, amount in enumerate(amounts)], rate=rate
    )
    exact = Fraction(sum(amounts)) * rate.earn_points / Fraction(rate.earn_amount)
    assert earning.points == int(exact)
    assert earning.basis == sum(amounts)
    assert sum(line.points for line in earning.lines) == earning.points
    for line in earning.lines:
        own = Fraction(line.basis) * rate.earn_points / Fraction(rate.earn_amount)
        assert abs(line.points - own) < 1


@given(amounts=st.lists(money, max_size=12), rate=rates)
def test_lines_share_what_they_earn_as_exact_fractions_would(amounts, rate):
    lines = [LineBasis(ref=str(number), amount=amount) for number, amount in enumerate(amounts)]
    exact = [Fraction(amount) * rate.earn_points / Fraction(rate.earn_amount) for amount in amounts]
    assert [line.points for line in points_for_lines(lines, rate=rate).lines] == floor_together(exact)


@given(amounts=st.lists(st.tuples(money, st.booleans()), max_size=8), rate=rates)
def test_a_sum_is_that_of_the_lines(amounts, rate):
    lines = [LineBasis(ref="", amount=amount, excluded=excluded) for amount, excluded in amounts]
    earning = points_for_lines(lines, rate=rate)
    assert sum_at_rate(lines, rate=rate) == (earning.points, earning.basis)


@given(amounts=st.lists(money, min_size=1, max_size=8), extra=money, rate=rates)
def test_buying_more_never_earns_less(amounts, extra, rate):
    lines = [LineBasis(ref=str(number), amount=amount) for number, amount in enumerate(amounts)]
    more = [lines[0]._replace(amount=lines[0].amount + extra), *lines[1:]]
    assert points_for_lines(more, rate=rate).points >= points_for_lines(lines, rate=rate).points


def test_a_line_that_earns_whole_points_keeps_them():
    """In proportion to the floored sum it would lose one to the other line."""
    rate = replace(EUR, earn_amount=Decimal("0.14"))
    lines = [LineBasis(ref="tea", amount=Decimal("0.08")), LineBasis(ref="coffee", amount=Decimal("1.26"))]
    assert [line.points for line in points_for_lines(lines, rate=rate).lines] == [0, 9]


def test_excluded_and_negative_lines_earn_nothing():
    earning = points_for_lines(
        [
            LineBasis(ref="gift card", amount=Decimal("50.00"), excluded=True),
            LineBasis(ref="refund", amount=Decimal("-5.00")),
            LineBasis(ref="coffee", amount=Decimal("9.99")),
        ],
        rate=EUR,
    )
    assert [line.points for line in earning.lines] == [0, 0, 9]


@given(total=st.integers(0, 10_000), weights=st.lists(st.fractions(min_value=0, max_value=500), max_size=10))
def test_shares_sum_up_and_stay_near_their_proportion(total, weights):
    shares = share_out(total, weights)
    whole = sum(weights)
    if not whole:
        assert shares == [0] * len(weights)
        return
    assert sum(shares) == total
    assert all(abs(share - weight * total / whole) < 1 for share, weight in zip(shares, weights, strict=True))
    assert all(share == 0 for share, weight in zip(shares, weights, strict=True) if weight == 0)


def test_equal_fractions_go_to_the_earlier_line():
    assert share_out(5, [Fraction(1), Fraction(1), Fraction(1)]) == [2, 2, 1]


def test_nothing_is_shared_out_where_nothing_weighs():
    assert share_out(7, [Fraction(0), Fraction(0)]) == [0, 0]


@pytest.mark.parametrize(
    ("share", "gone"),
    [("0", 0), ("299/3000", 0), ("1/10", 1), ("2999/3000", 9), ("1", 10)],
)
def test_points_go_with_the_share_that_is_given_back(share, gone):
    assert points_to_take_back(10, share=Fraction(share)) == gone


def test_what_is_left_of_an_earning_is_counted_line_by_line():
    earning = points_for_lines([LineBasis("a", Decimal(10)), LineBasis("b", Decimal(20))], rate=EUR)
    assert points_left(earning, shares={}) == 30
    assert points_left(earning, shares={"a": Fraction(1, 4)}) == 28
    assert points_left(earning, shares={"a": Fraction(1, 4), "b": Fraction(1)}) == 8
    assert points_left(earning, shares={"a": Fraction(1), "b": Fraction(1), "other": Fraction(1)}) == 0


@pytest.mark.parametrize(("includes_tax", "amount"), [(True, "11.90"), (False, "10.00")])
@pytest.mark.parametrize("includes_shipping", [True, False])
def test_the_programme_says_which_money_earns(includes_tax, amount, includes_shipping):
    policy = SimpleNamespace(
        includes_tax=includes_tax,
        includes_shipping=includes_shipping,
        excluded_product_class_ids=frozenset({8}),
    )

    def line(ref, product_id, product_class_id, **more):
        return PurchaseLine(
            ref=ref,
            product_id=product_id,
            product_class_id=product_class_id,
            incl_tax=Decimal("11.90"),
            excl_tax=Decimal("10.00"),
            **more,
        )

    lines = [
        line("plain", 1, 1),
        line("product", 2, 1),
        line("class", 3, 8),
        line("both", 2, 8),
        line("shipping", None, None, is_shipping=True),
    ]
    bases = bases_for(lines, policy=policy, excluded_product_ids=frozenset({2}))
    assert [basis.ref for basis in bases] == [one.ref for one in lines]
    assert {str(basis.amount) for basis in bases} == {amount}
    assert [basis.excluded for basis in bases] == [False, True, True, True, not includes_shipping]
    # Made from an iterator, as queries give them.
    assert points_for_lines(iter(bases), rate=EUR).points == int(
        Decimal(amount) * (2 if includes_shipping else 1)
    )

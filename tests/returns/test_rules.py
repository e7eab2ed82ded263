"""Money and points of returns: pure rules, checked against what must hold after any sequence of returns."""

from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oscar_loyalty.returns import rules
from oscar_loyalty.returns.rules import Gone, LineQuote, SoldLine, Taken, TooMany

CENT = Decimal("0.01")
BERLIN = "Europe/Berlin"

amounts = st.decimals(min_value=0, max_value=5000, places=2)


@st.composite
def orders(draw: st.DrawFn) -> list[SoldLine]:
    count = draw(st.integers(1, 4))
    return [
        SoldLine(
            line_id=pk,
            quantity=draw(st.integers(1, 7)),
            amount=draw(amounts),
            points=draw(st.integers(0, 3000)),
        )
        for pk in range(1, count + 1)
    ]


def quote(lines: list[SoldLine], taken: dict[int, Taken], gone: dict[int, Gone], **changes: object):
    values = {
        "delivery": Decimal("4.90"),
        "delivery_gone": Decimal("0.00"),
        "refunds_delivery": True,
        "delivery_limit": None,
        "cent": CENT,
    }
    return rules.quote_return(lines, taken=taken, gone=gone, **{**values, **changes})


def test_a_third_of_a_line_is_rounded_once_and_the_last_piece_brings_the_rest() -> None:
    line = SoldLine(line_id=1, quantity=3, amount=Decimal("10.00"), points=100)
    gone: dict[int, Gone] = {}
    money, points = [], []
    for pieces in range(1, 4):
        one = quote([line], {1: Taken(pieces=1)}, gone)
        money.append(one.goods)
        points.append(one.points_back)
        gone = {1: Gone(pieces=pieces, amount=sum(money))}
    assert money == [Decimal("3.33"), Decimal("3.34"), Decimal("3.33")]
    assert points == [33, 33, 34]


@given(orders(), st.data())
def test_any_sequence_of_returns_ends_where_one_return_of_everything_does(
    lines: list[SoldLine], data: st.DataObject
) -> None:
    at_once = quote(lines, {line.line_id: Taken(pieces=line.quantity) for line in lines}, {})
    pieces = [line.line_id for line in lines for _ in range(line.quantity)]
    order = data.draw(st.permutations(pieces))
    gone: dict[int, Gone] = {}
    goods, delivery, points = Decimal(0), Decimal(0), 0
    while order:
        size = data.draw(st.integers(1, len(order)))
        step, order = order[:size], order[size:]
        taken = {pk: Taken(pieces=step.count(pk)) for pk in set(step)}
        one = quote(lines, taken, gone, delivery_gone=delivery)
        goods, delivery, points = goods + one.goods, delivery + one.delivery, points + one.points_back
        for part in one.lines:
            before = gone.get(part.line_id, Gone())
            gone[part.line_id] = Gone(pieces=before.pieces + part.pieces, amount=before.amount + part.amount)
    assert (goods, delivery, points) == (at_once.goods, at_once.delivery, at_once.points_back)
    assert goods == sum(line.amount for line in lines)
    assert points == sum(line.points for line in lines)
    assert one.shares == at_once.shares
    assert set(one.shares.values()) == {Fraction(1)}


@given(orders(), st.data())
def test_a_step_never_brings_more_than_was_paid_nor_less_than_nothing(
    lines: list[SoldLine], data: st.DataObject
) -> None:
    taken, gone = {}, {}
    for line in lines:
        before = data.draw(st.integers(0, line.quantity))
        gone[line.line_id] = Gone(pieces=before, amount=rules.money_so_far(line, pieces=before, cent=CENT))
        deduction = data.draw(amounts)
        taken[line.line_id] = Taken(
            pieces=data.draw(st.integers(0, line.quantity - before)), deduction=deduction
        )
    one = quote(lines, taken, gone)
    by_id = {line.line_id: line for line in lines}
    for part in one.lines:
        assert Decimal(0) <= part.amount <= by_id[part.line_id].amount
        assert 0 <= part.points_back <= by_id[part.line_id].points
        assert part.deduction <= taken[part.line_id].deduction
    assert all(0 <= share <= 1 for share in one.shares.values())


@given(st.integers(1, 7), amounts, st.data())
def test_whatever_is_undone_and_comes_again_brings_the_line_to_the_cent(
    quantity: int, amount: Decimal, data: st.DataObject
) -> None:
    line = SoldLine(line_id=1, quantity=quantity, amount=amount)
    booked: list[LineQuote] = []

    def take_back(pieces: int) -> None:
        before = Gone(
            pieces=sum(one.pieces for one in booked), amount=sum((one.amount for one in booked), Decimal(0))
        )
        booked.extend(quote([line], {1: Taken(pieces=pieces)}, {1: before}).lines)

    for _step in range(data.draw(st.integers(0, 8))):
        left = quantity - sum(one.pieces for one in booked)
        if booked and (not left or data.draw(st.booleans())):
            booked.pop(data.draw(st.integers(0, len(booked) - 1)))
        else:
            take_back(data.draw(st.integers(1, left)))
        assert sum(one.amount for one in booked) <= amount
    if left := quantity - sum(one.pieces for one in booked):
        take_back(left)
    assert sum(one.amount for one in booked) == amount


def test_more_pieces_than_are_left_are_refused() -> None:
    line = SoldLine(line_id=1, quantity=2, amount=Decimal("10.00"))
    with pytest.raises(TooMany):
        quote([line], {1: Taken(pieces=2)}, {1: Gone(pieces=1)})


def test_what_is_kept_for_a_loss_of_value_stays_bought() -> None:
    line = SoldLine(line_id=1, quantity=1, amount=Decimal("40.00"), points=10)
    one = quote([line], {1: Taken(pieces=1, deduction=Decimal("10.00"))}, {})
    assert one.goods == Decimal("30.00")
    assert one.shares["line:1"] == Fraction(3, 4)
    assert one.points_back == 10


def test_the_delivery_charge_comes_back_with_the_last_piece_up_to_the_standard() -> None:
    lines = [
        SoldLine(line_id=1, quantity=1, amount=Decimal("10.00")),
        SoldLine(line_id=2, quantity=1, amount=Decimal("5.00")),
    ]
    first = quote(lines, {1: Taken(pieces=1)}, {}, delivery_limit=Decimal("3.00"))
    assert first.delivery == 0
    assert first.shares["shipping"] == 0
    last = quote(lines, {2: Taken(pieces=1)}, {1: Gone(pieces=1)}, delivery_limit=Decimal("3.00"))
    assert last.delivery == Decimal("3.00")
    assert last.is_all
    never = quote(lines, {2: Taken(pieces=1)}, {1: Gone(pieces=1)}, refunds_delivery=False)
    assert never.delivery == 0


def test_an_order_paid_by_points_alone_is_shared_by_pieces() -> None:
    lines = [
        SoldLine(line_id=1, quantity=3, amount=Decimal("0.00"), points=300),
        SoldLine(line_id=2, quantity=1, amount=Decimal("0.00"), points=100),
    ]
    one = quote(lines, {1: Taken(pieces=1)}, {}, delivery=Decimal("0.00"))
    assert one.goods == 0
    assert one.points_back == 100
    assert one.shares[""] == Fraction(1, 4)


def test_a_set_off_never_takes_more_than_the_refund_and_is_rounded_for_the_customer() -> None:
    value = Decimal("0.015")
    assert rules.set_off_for(101, unit_value=value, refund=Decimal("9.00"), cent=CENT) == (
        101,
        Decimal("1.51"),
    )
    assert rules.set_off_for(1000, unit_value=value, refund=Decimal("9.00"), cent=CENT) == (
        600,
        Decimal("9.00"),
    )
    assert rules.set_off_for(5, unit_value=Decimal(0), refund=Decimal("9.00"), cent=CENT)[0] == 0


def test_store_credit_has_its_bonus_and_never_loses_a_cent() -> None:
    assert rules.credit_for(Decimal("19.99"), unit_value=Decimal("0.01"), bonus_percent=Decimal(10)) == 2199
    assert rules.credit_for(Decimal("0.01"), unit_value=Decimal("0.05"), bonus_percent=Decimal(0)) == 1


def christmas(day: date) -> bool:
    return (day.month, day.day) in ((12, 25), (12, 26), (1, 1))


@pytest.mark.parametrize(
    ("delivered", "days", "last_day"),
    [
        # 14 days after Friday, 27 November are Friday, 11 December.
        (datetime(2026, 11, 27, 9, tzinfo=UTC), 14, date(2026, 12, 11)),
        # The 14th day is Saturday, the 12th: Monday, the 14th.
        (datetime(2026, 11, 28, 9, tzinfo=UTC), 14, date(2026, 12, 14)),
        # The 14th day is Christmas Day, a Friday; Saturday and Sunday follow.
        (datetime(2026, 12, 11, 9, tzinfo=UTC), 14, date(2026, 12, 28)),
        # Delivered at half past midnight in Berlin: that day counts, not the one of UTC.
        (datetime(2026, 11, 26, 23, 30, tzinfo=UTC), 14, date(2026, 12, 11)),
    ],
)
def test_a_period_ends_with_a_working_day(delivered: datetime, days: int, last_day: date) -> None:
    end = rules.last_moment(delivered, days=days, is_holiday=christmas, time_zone=BERLIN)
    # The first instant after that day in Berlin is 23 o'clock of it in winter's UTC.
    assert end == datetime(last_day.year, last_day.month, last_day.day, 23, tzinfo=UTC)


def test_working_days_leave_out_weekends_and_holidays() -> None:
    start = datetime(2026, 12, 23, 12, tzinfo=UTC)
    end = rules.in_working_days(start, days=2, is_holiday=christmas, time_zone=BERLIN)
    # Thursday, the 24th, and Monday, the 28th.
    assert end == datetime(2026, 12, 28, 23, tzinfo=UTC)

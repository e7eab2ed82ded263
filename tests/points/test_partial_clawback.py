"""Taking an earning back in steps ends where taking it back at once ends."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oscar_loyalty.points import services
from oscar_loyalty.points.models import EarnedLine, Entry
from oscar_loyalty.points.rules import LineEarning, points_to_take_back
from oscar_loyalty.testing.ledger import assert_ledger_balanced

from .conftest import NOW

LINES = tuple(
    LineEarning(ref=ref, basis=Decimal(basis), points=points)
    for ref, basis, points in (("line:1", "39.80", 40), ("line:2", "79.60", 79), ("shipping", "0.40", 0))
)


@pytest.fixture
def earned(account) -> Entry:
    return earn(account, "1")


def earn(account, order, *, lines=LINES) -> Entry:
    return services.award_points(
        account_id=account.pk,
        points=119,
        idempotency_key=f"purchase:{order}",
        source_ref=f"order:{order}",
        order_ref=order,
        active_at=NOW,
        expiry_months=36,
        unit_value=Decimal("0.01"),
        currency="EUR",
        lines=lines,
        now=NOW,
    )


def take(account, earned, key, **what):
    entry = services.clawback_points(
        account_id=account.pk, earned=earned, idempotency_key=key, now=NOW, **what
    )
    assert_ledger_balanced(account)
    if entry is not None and earned.lines.exists():
        assert sum(line.points for line in entry.lines.all()) == entry.points
    return entry and entry.points


def taken_by_line(earned):
    gone: dict[str, int] = {}
    for line in EarnedLine.objects.filter(entry__reverses=earned):
        gone[line.line_ref] = gone.get(line.line_ref, 0) + line.points
    return gone


def shares(**given_back):
    return {ref.replace("_", ":"): Fraction(share) for ref, share in given_back.items()}


def test_a_line_given_back_in_steps_loses_its_share_and_no_more(account, earned):
    assert take(account, earned, "r1", shares=shares(line_2="1/8")) == 9
    assert take(account, earned, "r2", shares=shares(line_2="1/4")) == 10
    assert take(account, earned, "r3", shares=shares(line_2="2/8")) is None
    assert take(account, earned, "r4", shares=shares(line_1=1, line_2=1)) == 100
    assert take(account, earned, "r5") is None
    assert taken_by_line(earned) == {"line:1": 40, "line:2": 79}


def test_steps_by_line_and_by_number_end_at_the_same_points(account, earned):
    assert take(account, earned, "r1", points=7) == 7
    assert take(account, earned, "r2", shares=shares(line_1="1/2")) == 18
    assert take(account, earned, "r3", points=50) == 50
    assert take(account, earned, "r4") == 44
    assert taken_by_line(earned) == {"line:1": 40, "line:2": 79}


def test_what_is_repeated_is_taken_once_and_more_than_earned_never(account, earned):
    assert take(account, earned, "r1", shares=shares(line_1="1/4")) == 10
    assert take(account, earned, "r1", shares={"line:1": Fraction(2, 8)}) == 10
    with pytest.raises(services.IdempotencyKeyReused):
        take(account, earned, "r1", shares=shares(line_1="1/3"))
    with pytest.raises(services.InsufficientPoints):
        take(account, earned, "r2", points=110)
    assert take(account, earned, "r3", shares=shares(line_1=1)) == 30
    assert taken_by_line(earned) == {"line:1": 40}


@pytest.mark.parametrize("share", [Fraction(5, 4), Fraction(-1, 4), 2, 0.5, Decimal("0.5"), "1/2", None])
def test_what_is_no_part_of_a_line_is_refused(account, earned, share):
    with pytest.raises(services.InvalidShare):
        take(account, earned, "r1", shares={"line:1": share})
    assert not earned.reversed_by.exists()


def test_only_what_can_name_a_line_names_a_share(account, earned):
    with pytest.raises(services.InvalidText):
        take(account, earned, "r1", shares={"line:\0": Fraction(1)})
    assert take(account, earned, "r1", shares=shares(line_1=0)) is None


def test_unknown_lines_and_less_returned_than_before_take_nothing(account, earned):
    assert take(account, earned, "r1", shares=shares(line_1="1/4")) == 10
    assert take(account, earned, "r2", shares=shares(line_1="1/8", line_9=1)) is None
    with pytest.raises(ValueError, match="Either"):
        take(account, earned, "r3", points=1, shares={})


def test_what_was_recorded_for_no_line_goes_with_the_whole_order(account):
    bonus = earn(account, "1", lines=())
    assert take(account, bonus, "r1", shares=shares(line_1=1)) is None
    assert take(account, bonus, "r2", shares={"": Fraction(1, 3)}) == 39
    assert take(account, bonus, "r3", points=20) == 20
    assert take(account, bonus, "r4", shares={"": Fraction(1, 2)}) is None
    assert take(account, bonus, "r5", shares={"": Fraction(2, 3)}) == 20
    assert take(account, bonus, "r6", shares={"": Fraction(1)}) == 40
    assert taken_by_line(bonus) == {}


def test_each_rule_of_a_line_is_rounded_down_for_itself(account):
    lines = [
        LineEarning(ref="line:1", rule_code="PURCHASE", basis=Decimal(50), points=55),
        LineEarning(ref="line:1", rule_code="DOUBLE", basis=Decimal(50), points=55),
        LineEarning(ref="", rule_code="WELCOME", basis=Decimal(0), points=9),
    ]
    earned = earn(account, "1", lines=lines)
    assert take(account, earned, "r1", shares={"line:1": Fraction(1, 2), "": Fraction(1, 2)}) == 27 + 27 + 4
    assert take(account, earned, "r2", shares={"line:1": Fraction(1), "": Fraction(1)}) == 28 + 28 + 5


@given(
    points=st.integers(0, 10**12),
    steps=st.lists(st.fractions(0, 1), max_size=6),
)
def test_the_share_of_a_line_grows_with_what_is_returned_up_to_all_of_it(points, steps):
    parts = sorted([*steps, Fraction(1)])
    gone = [points_to_take_back(points, share=part) for part in parts]
    assert gone == sorted(gone)
    assert gone[-1] == points
    assert all(0 <= points * part - taken < 1 for taken, part in zip(gone, parts, strict=True))


def test_what_went_of_another_order_leaves_the_lines_of_this_one(account, earned):
    """Lines of all orders have the same names."""
    other = earn(account, "2")
    assert take(account, other, "r1", shares=shares(line_2=1)) == 79
    assert take(account, earned, "r2", shares=shares(line_2="1/8")) == 9
    assert take(account, earned, "r3") == 110
    assert taken_by_line(earned) == {"line:1": 40, "line:2": 79}
    entries = Entry.objects.filter(kind=Entry.Kind.CLAWBACK).order_by("seq")
    assert list(entries.values_list("order_ref", flat=True)) == ["2", "1", "1"]

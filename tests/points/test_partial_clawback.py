"""Taking an earning back in steps ends where taking it back at once ends."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oscar_loyalty.points import services
from oscar_loyalty.points.models import EarnedLine, Entry
from oscar_loyalty.points.rules import LineEarning, points_to_take_back
from oscar_loyalty.testing.ledger import assert_ledger_balanced

from .conftest import NOW

LINES = (("line:1", "39.80", 40), ("line:2", "79.60", 79), ("shipping", "0.40", 0))


@pytest.fixture
def earned(account) -> Entry:
    return earn(account, "1")


def earn(account, order) -> Entry:
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
        lines=[LineEarning(ref=ref, basis=Decimal(basis), points=points) for ref, basis, points in LINES],
        now=NOW,
    )


def take(account, earned, key, **what):
    entry = services.clawback_points(
        account_id=account.pk, earned=earned, idempotency_key=key, now=NOW, **what
    )
    assert_ledger_balanced(account)
    if entry is not None:
        assert sum(line.points for line in entry.lines.all()) == entry.points
    return entry and entry.points


def taken_by_line(earned):
    gone: dict[str, int] = {}
    for line in EarnedLine.objects.filter(entry__reverses=earned):
        gone[line.line_ref] = gone.get(line.line_ref, 0) + line.points
    return gone


def money(**returned):
    return {ref.replace("_", ":"): Decimal(amount) for ref, amount in returned.items()}


def test_a_line_given_back_in_steps_loses_its_share_and_no_more(account, earned):
    assert take(account, earned, "r1", lines=money(line_2="10.00")) == 9
    assert take(account, earned, "r2", lines=money(line_2="20.00")) == 10
    assert take(account, earned, "r3", lines=money(line_2="20.00")) is None
    assert take(account, earned, "r4", lines=money(line_1="39.80", line_2="79.60")) == 100
    assert take(account, earned, "r5") is None
    assert taken_by_line(earned) == {"line:1": 40, "line:2": 79}


def test_steps_by_line_and_by_number_end_at_the_same_points(account, earned):
    assert take(account, earned, "r1", points=7) == 7
    assert take(account, earned, "r2", lines=money(line_1="20.00")) == 18
    assert take(account, earned, "r3", points=50) == 50
    assert take(account, earned, "r4") == 44
    assert taken_by_line(earned) == {"line:1": 40, "line:2": 79}


def test_what_is_repeated_is_taken_once_and_more_than_earned_never(account, earned):
    assert take(account, earned, "r1", lines=money(line_1="10.00")) == 10
    assert take(account, earned, "r1", lines=money(line_1="10.0")) == 10
    with pytest.raises(services.IdempotencyKeyReused):
        take(account, earned, "r1", lines=money(line_1="11.00"))
    with pytest.raises(services.InsufficientPoints):
        take(account, earned, "r2", points=110)
    assert take(account, earned, "r3", lines=money(line_1="5000")) == 30
    assert taken_by_line(earned) == {"line:1": 40}


def test_unknown_lines_and_less_returned_than_before_take_nothing(account, earned):
    assert take(account, earned, "r1", lines=money(line_1="10.00")) == 10
    assert take(account, earned, "r2", lines=money(line_1="5.00", line_9="5.00")) is None
    with pytest.raises(ValueError, match="Either"):
        take(account, earned, "r3", points=1, lines={})


@given(
    points=st.integers(0, 10**12),
    basis=st.integers(1, 10**12),
    steps=st.lists(st.integers(0, 10**12), max_size=6),
)
def test_the_share_of_a_line_grows_with_what_is_returned_up_to_all_of_it(points, basis, steps):
    returned = sorted([*steps, basis])
    shares = [points_to_take_back(points, basis=Decimal(basis), returned=Decimal(step)) for step in returned]
    assert shares == sorted(shares)
    assert shares[-1] == points
    assert all(0 <= share <= points for share in shares)


def test_what_went_of_another_order_leaves_the_lines_of_this_one(account, earned):
    """Lines of all orders have the same names."""
    other = earn(account, "2")
    assert take(account, other, "r1", lines=money(line_2="79.60")) == 79
    assert take(account, earned, "r2", lines=money(line_2="10.00")) == 9
    assert take(account, earned, "r3") == 110
    assert taken_by_line(earned) == {"line:1": 40, "line:2": 79}
    entries = Entry.objects.filter(kind=Entry.Kind.CLAWBACK).order_by("seq")
    assert list(entries.values_list("order_ref", flat=True)) == ["2", "1", "1"]

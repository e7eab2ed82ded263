"""The replay of real orders agrees with the reckoning that shares no code with it."""

import random

import pytest

from benchmarks import replay

pytest.importorskip("pandas", reason="needs the extra bench")


@pytest.fixture
def path(tmp_path):
    """Nine customers in a year and a half: purchases, part returns, returns of what is gone, guests."""
    dice = random.Random(7)
    rows = ["InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"]
    for number in range(150):
        day = f"{2010 + number // 100}-{1 + number % 100 // 9:02}-{1 + number % 28:02} 10:{number % 60:02}:00"
        customer = f"{12000 + number % 9}.0" if number % 17 else ""
        sign, prefix = (-1, "C") if number % 4 == 3 else (1, "")
        for _line in range(dice.randint(1, 4)):
            article, quantity = dice.randint(1, 4), dice.randint(1, 12)
            price = dice.choice(["0.85", "3.395", "19.99", "120.00"])
            rows.append(
                f"{prefix}{536000 + number},A{article},x,{sign * quantity},{day},{price},{customer},UK"
            )
    path = tmp_path / "lines.csv"
    path.write_text("\n".join(rows))
    return path


@pytest.mark.django_db
def test_the_sums_of_every_customer_agree(path, capsys):
    events, left_out = replay.read_events(path)
    assert any(isinstance(event, replay.Return) for event in events)
    booked, reckoned = replay.replay(events), replay.reckon(events)
    for name in ("earned", "reversed", "expired", "available"):
        assert sum(row[name] for row in reckoned.values()) > 0, name
    assert left_out > 0
    assert replay.report(booked, reckoned) == 0
    assert "           0  customers differ" in capsys.readouterr().out


def test_a_difference_is_shown_and_ends_with_1(capsys):
    row = dict.fromkeys(replay.SUMS, 0)
    assert replay.report({"1": row | {"earned": 1}}, {"1": row}) == 1
    assert capsys.readouterr().err.startswith("1: {'earned': 1")
    assert replay.report({}, {"1": row}) == 1

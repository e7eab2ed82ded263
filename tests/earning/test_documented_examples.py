"""What the how-to shows is run as it stands."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from oscar_loyalty.earning.facts import Context, Line, MemberFacts
from oscar_loyalty.earning.rules import Rule, judge
from oscar_loyalty.registry import earning_rules, segments

from .test_rules import EUR

PAGE = Path(__file__).resolve().parents[2] / "docs/how-to/add-an-earning-rule.md"


@pytest.fixture
def blocks():
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture
def clean_registries():
    before = [dict(registry._found) for registry in (earning_rules, segments)]
    yield
    for registry, found in zip((earning_rules, segments), before, strict=True):
        registry._found = found


def test_the_class_in_the_how_to_gives_what_its_test_says(blocks, clean_registries):
    known = {
        "earning_rules": earning_rules,
        "Rule": Rule,
        "Line": Line,
        "Decimal": Decimal,
        "judge": judge,
        "Context": Context,
        "datetime": datetime,
        "UTC": UTC,
        "rate": EUR,
    }
    module = next(block for block in blocks if "class PerWeight" in block)
    test = next(block for block in blocks if "def test_heavy" in block)
    exec(module, known)  # noqa: S102
    exec(test, known)  # noqa: S102
    known["test_heavy_goods_bring_points_by_the_kilogram"]()
    kind = earning_rules.get("PER_WEIGHT")
    assert kind.describe({"points": 4, "grams": 2500}) == "4 points for each kilogram"


def test_the_segment_in_the_how_to_holds_for_regulars(blocks, clean_registries):
    exec(next(block for block in blocks if "class Regulars" in block), {})  # noqa: S102
    now = datetime.now(UTC)
    found = [segments.get("REGULARS").holds(MemberFacts(at=now, order_number=n)) for n in (None, 10, 11)]
    assert found == [False, False, True]

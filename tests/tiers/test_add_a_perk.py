"""The example of docs/how-to/add-a-perk.md works as it is written."""

import re
from pathlib import Path

import pytest

from oscar_loyalty.tiers.perks import InvalidParameters, describe_perk, perks

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "add-a-perk.md"


def test_the_example_is_a_kind_of_perk():
    example = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)[0]
    try:
        exec(compile(example, str(PAGE), "exec"), {})  # noqa: S102 - our own page
        kind = perks.get("FREE_COFFEE")
        assert kind.validate({"cups": "4"}) == {"cups": 4}
        with pytest.raises(InvalidParameters):
            kind.validate({})
        assert describe_perk("FREE_COFFEE", {"cups": 4}) == "4 cups of coffee a month in our stores"
        assert kind.is_better({"cups": 4}, {"cups": 2})
    finally:
        perks._found.pop("FREE_COFFEE", None)

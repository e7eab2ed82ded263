"""What customers read of a return, in sentences."""

from types import SimpleNamespace

import pytest

from oscar_loyalty.flows import return_wording
from oscar_loyalty.flows.returns import Standing
from oscar_loyalty.returns.models import FAULTS
from oscar_loyalty.tiers.models import Tier

GOLD = Tier(code="gold", name_de="Gold", name_en="Gold", rank=2)
SILVER = Tier(code="silver", name_de="Silber", name_en="Silver", rank=1)


def standing(tier):
    """Somebody on the way to nothing more, so that only the tier itself is told."""
    progress = SimpleNamespace(tier=tier, lost_at=None, next_tier=None)
    return Standing(tier_code=tier.code if tier else "", progress=progress)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (GOLD, GOLD, ["You keep Gold."]),
        (GOLD, SILVER, ["You drop to Silver."]),
        (SILVER, None, ["You lose Silver."]),
        (None, None, []),
    ],
)
def test_what_becomes_of_the_tier_is_told(before, after, said):
    assert return_wording.tier_sentences(standing(before), standing(after)) == said


def test_a_programme_without_tiers_says_nothing_of_them():
    assert return_wording.tier_sentences(Standing(), Standing()) == []


def test_every_code_of_a_refusal_has_words():
    known = [
        "nothing_chosen",
        "unknown_line",
        "too_many",
        "all_returned",
        "not_delivered",
        "too_late",
        "excluded",
        "order_cancelled",
        "store_credit_not_offered",
        "unknown_reason",
        "key_reused",
        "refund_under_way",
        "wrong_state",
        "photo_not_an_image",
        "photo_too_big",
        "photo_too_many",
        "photo_too_late",
    ]
    unknown = return_wording.refusal_text("something else")
    assert not [code for code in known if return_wording.refusal_text(code) == unknown]


def test_reasons_say_which_ones_are_free():
    assert {one["code"] for one in return_wording.reasons() if one["is_free"]} == set(FAULTS)

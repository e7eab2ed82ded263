"""Ready-made promises with which a programme can start. Staff change them in later versions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Preset:
    """``promises``: columns of the first version. ``waits_for_status``: points become spendable only
    after the order has reached a status (the shop's last one, unless another is named)."""

    description: str
    promises: Mapping[str, Any]
    waits_for_status: bool


PRESETS = {
    "de-classic": Preset(
        description="1 point per unit of money, 100 points save one unit, on prices with VAT; spendable "
        "14 days (the right of withdrawal) after the order is complete, gone after 36 months.",
        promises={"waiting_days": 14, "expiry_months": 36},
        waits_for_status=True,
    ),
    "simple": Preset(
        description="The same rates; spendable at once, never gone.",
        promises={"waiting_days": 0, "expiry_months": None},
        waits_for_status=False,
    ),
}

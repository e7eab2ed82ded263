"""Numbers as people type them."""

import re
from decimal import Decimal

_MOST_DIGITS = 9


def read_count(text: str) -> int | None:
    """A whole number from zero on; ``None`` for anything else."""
    text = text.strip()
    return int(text) if re.fullmatch(rf"[0-9]{{1,{_MOST_DIGITS}}}", text) else None


def read_amount(text: str) -> Decimal | None:
    """``4.50`` or ``4,50``, from zero on, without a separator of thousands; ``None`` for anything else."""
    found = re.fullmatch(rf"([0-9]{{1,{_MOST_DIGITS}}})(?:[.,]([0-9]{{1,2}}))?", text.strip())
    return Decimal(f"{found[1]}.{found[2] or '0'}") if found else None

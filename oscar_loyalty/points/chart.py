"""
The chart of accounts: what a posting does to the counters of an account and to the columns of a lot.

The only place that knows. Services apply it to rows, the audit folds it over history.
"""

from oscar_loyalty.points.models import Posting

_Code = Posting.Code

# Nothing comes back from breakage.
_DEBIT_COUNTER = {
    _Code.EXPENSE: ("earned", 1),
    _Code.PENDING: ("pending", -1),
    _Code.AVAILABLE: ("available", -1),
    _Code.HELD: ("held", -1),
    _Code.REDEEMED: ("spent", -1),
    # Given again: not earned once more.
    _Code.TAKEN_BACK: ("reversed", -1),
    _Code.DEBT: ("debt", 1),
    _Code.MOVED: ("moved_in", 1),
    _Code.CONVERSION: ("moved_in", 1),
}
_CREDIT_COUNTER = {
    _Code.EXPENSE: ("reversed", 1),
    _Code.PENDING: ("pending", 1),
    _Code.AVAILABLE: ("available", 1),
    _Code.HELD: ("held", 1),
    _Code.REDEEMED: ("spent", 1),
    _Code.BREAKAGE: ("expired", 1),
    _Code.DEBT: ("debt", -1),
    _Code.MOVED: ("moved", 1),
    _Code.CONVERSION: ("moved", 1),
}
#: Pairs that mean something else than their two sides. What nobody could collect counts as taken back
#: while it is owed, so a deficit that ends or changes accounts takes that along.
_PAIRS = {
    # Written off: the part of a clawback that nobody could collect is undone.
    (_Code.EXPENSE, _Code.DEBT): [("reversed", -1), ("debt", -1)],
    # Two accounts become one: the deficit leaves the one …
    (_Code.MOVED, _Code.DEBT): [("reversed", -1), ("debt", -1)],
    # … and comes to the other.
    (_Code.DEBT, _Code.MOVED): [("reversed", 1), ("debt", 1)],
}
_DEBIT_COLUMN = {
    _Code.PENDING: ("pending", -1),
    _Code.AVAILABLE: ("remaining", -1),
    # Held points stay in their lots until they are captured.
    _Code.HELD: ("remaining", -1),
    _Code.REDEEMED: ("spent", -1),
    _Code.TAKEN_BACK: ("reversed", -1),
}
_CREDIT_COLUMN = {
    _Code.EXPENSE: ("reversed", 1),
    _Code.PENDING: ("pending", 1),
    _Code.AVAILABLE: ("remaining", 1),
    _Code.REDEEMED: ("spent", 1),
    _Code.BREAKAGE: ("expired", 1),
    _Code.DEBT: ("reversed", 1),
    _Code.MOVED: ("moved", 1),
    _Code.CONVERSION: ("moved", 1),
}


def counter_effects(debit: str, credit: str) -> list[tuple[str, int]]:
    """``(counter, sign)`` of the account for each point posted from ``debit`` to ``credit``."""
    pair = (_Code(debit), _Code(credit))
    return _PAIRS.get(pair) or [_DEBIT_COUNTER[pair[0]], _CREDIT_COUNTER[pair[1]]]


def lot_effects(debit: str, credit: str) -> list[tuple[str, int]]:
    """``(column, sign)`` of the posting's lot for each point posted from ``debit`` to ``credit``."""
    effects = (_DEBIT_COLUMN.get(_Code(debit)), _CREDIT_COLUMN.get(_Code(credit)))
    return [effect for effect in effects if effect is not None]

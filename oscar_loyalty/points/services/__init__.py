"""
Every way in which points move. Each service books in one transaction under the account's row lock,
writes nothing when it raises, and can be repeated with the same key.
"""

from oscar_loyalty.points.errors import (
    AccountNotOpen,
    AdjustmentNotBooked,
    AdjustmentRejected,
    DeficitTooSmall,
    HoldNotOpen,
    HoldsOpen,
    IdempotencyKeyReused,
    InsufficientPoints,
    InvalidPoints,
    InvalidRate,
    InvalidShare,
    InvalidText,
    MergeRejected,
    MergeRequested,
    NeedsSecondPerson,
    OtherProgramme,
    SameAccount,
)
from oscar_loyalty.points.services.accounts import (
    lock_accounts,
    open_account,
    settle_account,
)
from oscar_loyalty.points.services.backfilling import (
    Award,
    Awarded,
    award_many,
)
from oscar_loyalty.points.services.closing import (
    close_account,
    restore_debt,
    write_off_debt,
)
from oscar_loyalty.points.services.corrections import (
    adjust_points,
    book_adjustment,
    reject_adjustment,
    request_adjustment,
    undo_adjustment,
)
from oscar_loyalty.points.services.earning import (
    award_points,
    clawback_points,
    schedule_activation,
)
from oscar_loyalty.points.services.freezing import (
    freeze_account,
    unfreeze_account,
)
from oscar_loyalty.points.services.merges import (
    book_merge,
    reject_merge,
    request_merge,
)
from oscar_loyalty.points.services.moving import (
    convert_points,
    merge_accounts,
    transfer_points,
)
from oscar_loyalty.points.services.spending import (
    capture_hold,
    end_holds,
    hold_points,
    release_hold,
    renew_hold,
    return_spend,
)
from oscar_loyalty.points.services.undoing import (
    undo_clawback,
    undo_spend_return,
)

__all__ = [
    "AccountNotOpen",
    "AdjustmentNotBooked",
    "AdjustmentRejected",
    "Award",
    "Awarded",
    "DeficitTooSmall",
    "HoldNotOpen",
    "HoldsOpen",
    "IdempotencyKeyReused",
    "InsufficientPoints",
    "InvalidPoints",
    "InvalidRate",
    "InvalidShare",
    "InvalidText",
    "MergeRejected",
    "MergeRequested",
    "NeedsSecondPerson",
    "OtherProgramme",
    "SameAccount",
    "adjust_points",
    "award_many",
    "award_points",
    "book_adjustment",
    "book_merge",
    "capture_hold",
    "clawback_points",
    "close_account",
    "convert_points",
    "end_holds",
    "freeze_account",
    "hold_points",
    "lock_accounts",
    "merge_accounts",
    "open_account",
    "reject_adjustment",
    "reject_merge",
    "release_hold",
    "renew_hold",
    "request_adjustment",
    "request_merge",
    "restore_debt",
    "return_spend",
    "schedule_activation",
    "settle_account",
    "transfer_points",
    "undo_adjustment",
    "undo_clawback",
    "undo_spend_return",
    "unfreeze_account",
    "write_off_debt",
]

"""What a service of this room raises. Whatever it raises, nothing was written."""


class InvalidPoints(ValueError):
    """Points must be a whole number between 1 and 10¹²."""


class InvalidText(ValueError):
    """A text holds NUL or half of a character, or is too long for its column."""


class IdempotencyKeyReused(ValueError):
    """The key was first used for something else."""


class LedgerInconsistent(RuntimeError):
    """Counters and lots disagree, which no sequence of bookings may cause."""


class InsufficientPoints(ValueError):
    """The balance is too small."""


class AccountNotOpen(ValueError):
    """The account is frozen, closed or merged."""


class SameAccount(ValueError):
    """Points cannot move from an account to itself."""


class OtherProgramme(ValueError):
    """Points cannot leave their programme."""


class HoldsOpen(ValueError):
    """Points are reserved for a basket; the reservation must end first."""


class DeficitTooSmall(ValueError):
    """More was to be written off than the member owes."""


class InvalidShare(ValueError):
    """A share that was given back must be an exact fraction from 0 to 1."""


class InvalidRate(ValueError):
    """A rate of exchange must be a number above zero between two currencies."""


class HoldNotOpen(ValueError):
    """The reservation was already captured, released or expired."""


class AdjustmentRejected(ValueError):
    """Somebody decided against this correction."""


class AdjustmentNotBooked(ValueError):
    """A correction that was never booked has nothing to undo."""


class NeedsSecondPerson(ValueError):
    """So many points are decided on by somebody other than whoever asked for it."""


class MergeRejected(ValueError):
    """Somebody decided against this merge."""


class MergeRequested(ValueError):
    """Another merge of this member is waiting for a decision."""

"""Why nothing was booked, in words for staff."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from oscar_loyalty.points import errors
from oscar_loyalty.programmes.queries import ProgrammeMissing

_WORDS: dict[type[Exception], Promise] = {
    errors.InsufficientPoints: _("Nothing was booked: the member does not have so many points any more."),
    errors.AccountNotOpen: _("Nothing was booked: the member's account is not open."),
    errors.DeficitTooSmall: _("Nothing was booked: the member does not owe so many points."),
    errors.NeedsSecondPerson: _(
        "Nothing was booked: somebody other than whoever asked for it decides on so many points."
    ),
    errors.SameAccount: _("Nothing was booked: this is the same member."),
    errors.OtherProgramme: _("Nothing was booked: the other account belongs to another programme."),
    errors.HoldsOpen: _(
        "Nothing was booked: points of the member are reserved for a basket that is being paid for. "
        "Try again when the order is placed."
    ),
    errors.MergeRejected: _("Nothing was booked: somebody has decided against this merge."),
    errors.MergeRequested: _("Nothing was booked: this member is already to be merged into another one."),
    errors.AdjustmentRejected: _("Nothing was booked: somebody has discarded this adjustment."),
    errors.AdjustmentNotBooked: _(
        "Nothing was booked: this adjustment was never booked, so there is nothing to undo."
    ),
    errors.IdempotencyKeyReused: _(
        "Nothing was booked: this form was sent before with other contents. Please begin anew."
    ),
    ProgrammeMissing: _("Nothing was booked: no version of the programme is in force."),
}

#: What a service may refuse when staff ask for something that makes sense.
REFUSALS = tuple(_WORDS)


def explain_refusal(error: Exception) -> str:
    """One sentence for an error out of :data:`REFUSALS`."""
    return next(str(words) for kind, words in _WORDS.items() if isinstance(error, kind))

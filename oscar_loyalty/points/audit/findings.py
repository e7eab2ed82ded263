"""What an audit can find. Codes are stable: monitoring may depend on them."""

from dataclasses import dataclass

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

#: code: (invariants it belongs to, what is wrong in one sentence)
CODES: dict[str, tuple[str, str]] = {
    "posting_invalid": ("I1", _("A posting has unknown or equal codes, or nothing above zero.")),
    "posting_out_of_place": ("I1", _("A posting does not belong to an entry of that kind.")),
    "entry_without_postings": ("I1", _("An entry moves nothing.")),
    "entry_points_differ": ("I1", _("An entry's points are not what its postings move.")),
    "counter_differs": ("I2 I5", _("A counter of the account is not what its postings add up to.")),
    "lot_differs": ("I3", _("A column of a lot is not what its postings add up to.")),
    "lot_amount_differs": ("I3", _("The columns of a lot do not add up to its amount.")),
    "lot_open_differs": ("I3", _("A lot with points is closed, or an empty one is open.")),
    "lots_differ_from_account": ("I4", _("The lots of an account do not hold what the account has.")),
    "counter_negative": ("I5", _("A counter was below zero after an entry.")),
    "debt_beside_balance": ("I6", _("An account has a deficit and points to spend.")),
    "seq_gap": ("I7", _("Entries are not numbered 1, 2, 3 …")),
    "head_seq_differs": ("I7", _("The account counts other entries than there are.")),
    "available_after_differs": ("I7", _("An entry states another balance than the entries up to it give.")),
    "key_digest_differs": ("I8", _("The digest of an entry's key is not the digest of its key.")),
    "fingerprint_missing": ("I8", _("An entry does not say what was asked for.")),
    "hold_differs": ("I9", _("A reservation is not what its entries reserve.")),
    "hold_not_spent": ("I9", _("A captured reservation has no spending entry of its points.")),
    "spend_without_hold": ("I9", _("Points were spent for an order that has no captured reservation.")),
    "fifo_broken": ("I10", _("Points were taken while a lot that expires earlier had some.")),
    "reversed_too_much": ("I11", _("More was undone of an entry than it booked.")),
    "reversed_too_much_of_lot": ("I11", _("More was returned to a lot than was spent of it.")),
    "line_taken_back_twice": ("I11", _("More was taken back of an order line than it earned.")),
    "lines_differ": ("I11", _("The lines of an earning do not add up to it.")),
    "message_missing": ("I13", _("An entry has no message in the outbox.")),
    "hash_differs": ("I14", _("An entry or its postings were altered.")),
    "prev_hash_differs": ("I14", _("An entry does not follow the one before it.")),
    "head_hash_differs": ("I14", _("The account's newest entry is another one.")),
    "activated_early": ("I15", _("Points became spendable before their moment.")),
    "expired_early": ("I15", _("Points expired before their moment.")),
    "used_after_expiry": ("I15", _("Points were reserved or taken after they had expired.")),
    "due_late": ("I15", _("The account would be settled later than its lots ask for.")),
    "group_unbalanced": ("moves", _("What left one account did not arrive in another.")),
    "conversion_differs": ("moves", _("What a conversion gave is not what it took times its rate.")),
    "lot_of_other_account": ("moves", _("A posting touches a lot of another account.")),
    "lot_parent_invalid": ("moves", _("A lot does not descend from an older lot of the same value.")),
    "lot_children_exceed": ("moves", _("Lots that descend from a lot hold more than was moved out of it.")),
    "ended_account_not_empty": ("moves", _("A closed or merged account still has points or a deficit.")),
    "redirect_invalid": ("moves", _("A merged account names no successor, or another one does.")),
    "open_key_differs": ("moves", _("The key that keeps a member to one open account is wrong.")),
}


def describe_finding(code: str) -> str:
    """What is wrong, in one sentence of the reader's language."""
    return gettext(CODES[code][1]) if code in CODES else code


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One broken promise. ``account`` is its public id; the other ids are primary keys."""

    code: str
    account: str
    entry_id: int | None = None
    lot_id: int | None = None
    hold_id: int | None = None
    expected: str = ""
    found: str = ""

    def __str__(self) -> str:
        where = "".join(
            f", {name} {pk}"
            for name, pk in (("entry", self.entry_id), ("lot", self.lot_id), ("hold", self.hold_id))
            if pk is not None
        )
        return f"{self.code}: account {self.account}{where}: expected {self.expected}, found {self.found}"

"""What an entry moved and what caused it, for members and for staff."""

from dataclasses import dataclass

from django.db.models import Prefetch, QuerySet

from oscar_loyalty.flows.wording import number
from oscar_loyalty.points.models import Entry, Lot, Posting

_Code = Posting.Code
#: Codes in which a lot still has its points.
_INSIDE = {_Code.PENDING, _Code.AVAILABLE, _Code.HELD}


@dataclass(frozen=True, kw_only=True)
class Touched:
    """What an entry did to one lot: ``points`` moved, of which ``change`` is what it won or lost."""

    lot: Lot
    points: int
    change: int

    @property
    def signed(self) -> str:
        """+80 or −80; 80 when points only moved within the lot, as when they become spendable."""
        sign = "+" if self.change > 0 else "\N{MINUS SIGN}" if self.change < 0 else ""
        return sign + number(abs(self.change) or self.points)

    def __str__(self) -> str:
        return f"{self.lot.source_ref} ({self.signed})"


def with_causes(entries: QuerySet[Entry]) -> QuerySet[Entry]:
    """Entries with everything that a statement looks at: two statements, however many they are."""
    postings = Posting.objects.select_related("lot").order_by("pk")
    return entries.select_related("adjustment", "reverses").prefetch_related(Prefetch("postings", postings))


def list_touched(entry: Entry) -> list[Touched]:
    """The lots that an entry touched, in the order in which it took from them or gave to them."""
    moved: dict[int, Touched] = {}
    for posting in entry.postings.all():
        if posting.lot is None:
            continue
        change = posting.points * ((posting.credit in _INSIDE) - (posting.debit in _INSIDE))
        before = moved.get(posting.lot.pk)
        moved[posting.lot.pk] = Touched(
            lot=posting.lot,
            points=posting.points + (before.points if before else 0),
            change=change + (before.change if before else 0),
        )
    return list(moved.values())

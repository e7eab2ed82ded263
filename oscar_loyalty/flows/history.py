"""The ledger as a member reads it. The words are in ``oscar_loyalty/partials/entry.html``."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django.utils.translation import get_language

from oscar_loyalty.flows.causes import Touched, list_touched
from oscar_loyalty.points.models import Entry
from oscar_loyalty.shop.orders import find_order_ids

#: Entries that made their lot, or did nothing to it, have no other lots to tell of.
_OWN_LOT = (Entry.Kind.EARN, Entry.Kind.ACTIVATE, Entry.Kind.ADJUST_UP)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One entry; ``change`` is signed, 0 when nothing was gained or lost. ``note`` is what staff wrote
    for the member in the language of the page, ``lots`` where the points were taken from or put back,
    ``has_order`` whether the member has a page about the order."""

    entry: Entry
    change: int
    note: str
    lots: list[Touched]
    has_order: bool


def read_lines(entries: Iterable[Entry], *, user_id: int | None) -> Iterator[Line]:
    """Lines for the history of a customer; ``with_causes`` fetched the entries. One statement more."""
    entries = list(entries)
    orders = find_order_ids((entry.order_ref for entry in entries), user_id=user_id) if user_id else {}
    for entry in entries:
        yield Line(
            entry=entry,
            change=Entry.Kind(entry.kind).sign * entry.points,
            note=_note_of(entry),
            lots=[] if entry.kind in _OWN_LOT else list_touched(entry),
            has_order=entry.order_ref in orders,
        )


def _note_of(entry: Entry) -> str:
    adjustment = getattr(entry, "adjustment", None)
    if adjustment is None:
        return ""
    german = (get_language() or "").startswith("de")
    texts = (adjustment.customer_text_de, adjustment.customer_text_en)
    wanted, other = texts if german else reversed(texts)
    return wanted or other or str(adjustment.get_reason_code_display())

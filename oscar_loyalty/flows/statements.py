"""The ledger as staff read it: each entry with what caused it, what it moved, and by whom."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from oscar_loyalty.flows.causes import Touched, list_touched, with_causes
from oscar_loyalty.flows.wording import explain_entry, name_reason, number, signed_points
from oscar_loyalty.points.models import Adjustment, Entry
from oscar_loyalty.shop.customers import find_actor_names
from oscar_loyalty.shop.orders import find_order_ids

__all__ = ["Row", "read_rows", "with_causes"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One entry; ``order_id`` while the order exists, ``actor`` by name while the person does."""

    entry: Entry
    points: str
    available_after: str
    #: In words; empty where an order or the entry itself says why.
    reason: str
    because: list[str]
    lots: list[Touched]
    order_id: int | None
    actor: str
    adjustment: Adjustment | None


def read_rows(entries: Iterable[Entry]) -> Iterator[Row]:
    """Rows for a table of entries that :func:`with_causes` fetched: two more statements."""
    entries = list(entries)
    orders = find_order_ids(entry.order_ref for entry in entries)
    actors = find_actor_names({entry.actor_ref for entry in entries})
    for entry in entries:
        yield Row(
            entry=entry,
            points=signed_points(entry),
            available_after=number(entry.available_after),
            reason=name_reason(entry.reason_code),
            because=explain_entry(entry),
            lots=list_touched(entry),
            order_id=orders.get(entry.order_ref),
            actor=actors.get(entry.actor_ref, entry.actor_ref),
            adjustment=getattr(entry, "adjustment", None),
        )

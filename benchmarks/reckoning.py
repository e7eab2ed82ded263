"""
The sums of a replay, worked out from its events with pandas and whole numbers: no line of the app, no
database. One point for each pound, the fractions of the lines shared out by the largest remainder.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any


def reckon(
    events: Sequence[Any], *, waiting_days: int, months: int, time_zone: str, until: datetime
) -> dict[str, dict[str, int]]:
    """Earned, reversed, expired, available, pending and debt of each customer at ``until``."""
    import pandas as pd

    table = pd.DataFrame(
        {
            "at": pd.to_datetime([event.at for event in events], utc=True),
            "customer": [event.customer for event in events],
            "event": list(events),
        }
    )
    table["active"] = table["at"] + pd.Timedelta(days=waiting_days)
    days = table["active"].dt.tz_convert(time_zone).dt.normalize().dt.tz_localize(None)
    ends = days + pd.DateOffset(months=months) + pd.Timedelta(days=1)
    table["expires"] = ends.dt.tz_localize(time_zone).dt.tz_convert("UTC")
    last = pd.Timestamp(until)
    return {
        customer: _one_customer(rows, until=last) for customer, rows in table.groupby("customer", sort=False)
    }


def _one_customer(rows: Any, *, until: Any) -> dict[str, int]:
    book = _Book()
    for row in rows.itertuples():
        book.time_passes(row.at)
        if hasattr(row.event, "lines"):
            book.buy(row.event, active=row.active, expires=row.expires)
        else:
            book.give_back(row.event)
    book.time_passes(until)
    return {
        "earned": book.earned,
        "reversed": book.reversed,
        "expired": book.expired,
        "available": sum(lot["left"] for lot in book.lots),
        "pending": sum(lot["pending"] for lot in book.lots),
        "debt": book.debt,
    }


class _Book:
    def __init__(self) -> None:
        self.lots: list[dict[str, Any]] = []
        self.orders: dict[str, dict[str, Any]] = {}
        self.earned = self.reversed = self.expired = self.debt = 0

    def time_passes(self, now: Any) -> None:
        """What becomes spendable and what expires, each at its own moment."""
        moments = [(lot["active"], 0, number) for number, lot in enumerate(self.lots) if lot["pending"]]
        moments += [
            (lot["expires"], 1, number)
            for number, lot in enumerate(self.lots)
            if lot["left"] or lot["pending"]
        ]
        for moment, is_end, number in sorted(moments):
            if moment > now:
                break
            lot = self.lots[number]
            if is_end:
                self.expired += lot["left"]
                lot["left"] = 0
            else:
                repaid = min(self.debt, lot["pending"])
                self.debt -= repaid
                lot["left"] += lot["pending"] - repaid
                lot["pending"] = 0

    def buy(self, purchase: Any, *, active: Any, expires: Any) -> None:
        cents = [amount for _ref, amount in purchase.lines]
        shares = [amount // 100 for amount in cents]
        points = sum(cents) // 100
        if not points:
            return
        rank = sorted(range(len(cents)), key=lambda index: (-(cents[index] % 100), index))
        for index in rank[: points - sum(shares)]:
            shares[index] += 1
        lot = {"pending": points, "left": 0, "active": active, "expires": expires}
        self.lots.append(lot)
        self.earned += points
        self.orders[purchase.invoice] = {
            "lot": lot,
            "lines": {
                ref: {"cents": amount, "points": share, "gone": 0}
                for (ref, amount), share in zip(purchase.lines, shares, strict=True)
            },
        }

    def give_back(self, returned: Any) -> None:
        order = self.orders.get(returned.invoice)
        if order is None:
            return
        wanted = 0
        for ref, cents in returned.returned:
            line = order["lines"][ref]
            gone = line["points"] * min(cents, line["cents"]) // line["cents"]
            wanted += gone - line["gone"]
            line["gone"] = gone
        self.reversed += wanted
        lot = order["lot"]
        share = min(wanted, lot["pending"])
        lot["pending"] -= share
        wanted -= share
        others = sorted(
            (number for number, one in enumerate(self.lots) if one is not lot),
            key=lambda number: (self.lots[number]["expires"], number),
        )
        for one in (lot, *(self.lots[number] for number in others)):
            share = min(wanted, one["left"])
            one["left"] -= share
            wanted -= share
        self.debt += wanted

"""
``python -m benchmarks.replay PATH [--database URL] [--customers N]``: real orders through the real services.

PATH is a file of order lines (parquet or CSV) with the columns InvoiceNo (a leading C is a cancellation),
StockCode, Quantity (negative on cancellations), InvoiceDate, UnitPrice and CustomerID. Every purchase is
awarded, every cancellation taken back and everything settled in the order of time on a scratch database.
``benchmarks.reckoning`` works out the same sums without a line of the app. Where the two differ for any
customer, the first differences are printed and the exit code is 1. Needs the extra ``bench``.

Which purchase a cancellation belongs to is not in such files: it takes back from the customer's latest
earlier purchases of the same article. What finds none is counted and left out. Tiers do not exist yet;
they will be one more kind of event in ``replay`` and one more column of the reckoning.
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import reckoning
from benchmarks.scratch import scratch_shop

WAITING_DAYS = 14
EXPIRY_MONTHS = 6
TIME_ZONE = "Europe/London"
#: After the last line, so that the newest points become spendable and old ones expire.
AFTERWARDS = timedelta(days=92)
SUMS = ("earned", "reversed", "expired", "available", "pending", "debt")


@dataclass(frozen=True)
class Purchase:
    """Lines are pairs of a reference and whole cents."""

    at: datetime
    customer: str
    invoice: str
    lines: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Return:
    """``returned`` is how many cents of each line have been given back so far, all returns together."""

    at: datetime
    customer: str
    invoice: str
    number: str
    returned: tuple[tuple[str, int], ...]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.replay", description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--database", default=os.environ.get("DATABASE_URL", "sqlite://:memory:"))
    parser.add_argument("--customers", type=int, help="only the first so many customers of the file")
    parser.add_argument(
        "--processes", type=int, help="share the customers out (default: one for each core; SQLite: 1)"
    )
    options = parser.parse_args(arguments)
    events, left_out = read_events(options.path, customers=options.customers)
    if not events:
        print("There is nothing to replay.", file=sys.stderr)
        return 1
    purchases = sum(isinstance(event, Purchase) for event in events)
    print(f"{purchases:>12,}  purchases of {len({event.customer for event in events}):,} customers")
    print(f"{len(events) - purchases:>12,}  returns matched to them; {left_out:,} lines found no purchase")
    started = time.perf_counter()
    processes = 1 if options.database.startswith("sqlite") else options.processes or os.cpu_count() or 1
    with scratch_shop(options.database):
        booked = replay(events) if processes == 1 else replay_in_processes(events, processes=processes)
    seconds = time.perf_counter() - started
    print(f"{len(events):>12,}  events in {seconds:.0f} s, {len(events) / seconds:,.0f}/s with the set-up")
    return report(booked, reckon(events))


def reckon(events: list[Purchase | Return]) -> dict[str, dict[str, int]]:
    return reckoning.reckon(
        events,
        waiting_days=WAITING_DAYS,
        months=EXPIRY_MONTHS,
        time_zone=TIME_ZONE,
        until=events[-1].at + AFTERWARDS,
    )


def report(booked: dict[str, dict[str, int]], reckoned: dict[str, dict[str, int]]) -> int:
    """Print the sums, and the first differences; 1 when there is one."""
    for name in SUMS:
        ours, theirs = (sum(row[name] for row in rows.values()) for rows in (booked, reckoned))
        print(f"{ours:>12,}  {name}{'' if ours == theirs else f' (reckoned: {theirs:,})'}")
    wrong = [customer for customer in sorted(reckoned) if booked.get(customer) != reckoned[customer]]
    for customer in wrong[:10]:
        print(f"{customer}: {booked.get(customer)} booked, {reckoned[customer]} reckoned", file=sys.stderr)
    print(f"{len(wrong):>12,}  customers differ")
    return 1 if wrong or set(booked) != set(reckoned) else 0


# Reading


def read_events(path: Path, *, customers: int | None = None) -> tuple[list[Purchase | Return], int]:
    """Purchases and returns in the order of time, and how many cancelled lines found no purchase."""
    import pandas as pd

    table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype=str)
    table = table[table["CustomerID"].notna()].reset_index(drop=True)
    table["at"] = pd.to_datetime(table["InvoiceDate"])
    table["customer"] = table["CustomerID"].astype(str).str.replace(r"\.0$", "", regex=True)
    table["quantity"] = table["Quantity"].astype(int)
    # Prices may have tenths of a cent.
    table["mills"] = (table["UnitPrice"].astype(float) * 1000).round().astype("int64")
    table["number"] = table["InvoiceNo"].astype(str)
    table["article"] = table["StockCode"].astype(str)
    if customers is not None:
        table = table[table["customer"].isin(sorted(table["customer"].unique())[:customers])]
    invoices = [
        (rows["at"].iloc[0], number.startswith("C"), number, rows)
        for number, rows in table.groupby("number", sort=False)
    ]
    invoices.sort(key=lambda one: one[:3])
    bought: dict[tuple[str, str], list[_Bought]] = defaultdict(list)
    returned: dict[str, dict[str, int]] = defaultdict(dict)
    events: list[Purchase | Return] = []
    left_out = 0
    for moment, is_cancelled, number, rows in invoices:
        at = moment.to_pydatetime().replace(tzinfo=UTC)
        customer = rows["customer"].iloc[0]
        lines = list(zip(rows.index, rows["article"], rows["quantity"], rows["mills"], strict=True))
        if not is_cancelled:
            shares = []
            for index, article, quantity, mills in lines:
                cents = (int(quantity) * int(mills) + 5) // 10
                if quantity > 0 and cents > 0:
                    ref = f"line:{index}"
                    shares.append((ref, cents))
                    bought[customer, article].append(_Bought(number, ref, int(quantity), cents))
            if shares:
                events.append(Purchase(at, customer, number, tuple(shares)))
            continue
        touched: dict[str, set[str]] = defaultdict(set)
        for _index, article, quantity, _mills in lines:
            wanted = -int(quantity)
            for one in reversed(bought[customer, article]):
                share = min(wanted, one.left)
                if share > 0:
                    one.left -= share
                    wanted -= share
                    gone = one.quantity - one.left
                    returned[one.invoice][one.ref] = one.cents * gone // one.quantity
                    touched[one.invoice].add(one.ref)
            left_out += wanted > 0
        for invoice, refs in touched.items():
            so_far = tuple((ref, returned[invoice][ref]) for ref in sorted(refs))
            events.append(Return(at, customer, invoice, number, so_far))
    return events, left_out


class _Bought:
    """One line of a purchase, and how many pieces of it were not returned yet."""

    def __init__(self, invoice: str, ref: str, quantity: int, cents: int) -> None:
        self.invoice, self.ref, self.quantity, self.cents = invoice, ref, quantity, cents
        self.left = quantity


# Booking


def replay(
    events: Sequence[Purchase | Return], *, until: datetime | None = None
) -> dict[str, dict[str, int]]:
    """
    Book all events with the services of the app and settle everything at ``until``, by default
    ``AFTERWARDS`` after the last one; the counters of each customer's account.
    """
    from oscar_loyalty.members.models import Member
    from oscar_loyalty.points.models import Account
    from oscar_loyalty.points.services import open_account, settle_account
    from oscar_loyalty.programmes.models import Programme

    programme, _created = Programme.objects.get_or_create(
        code="replay", defaults={"name": "Replay", "time_zone": TIME_ZONE}
    )
    accounts: dict[str, int] = {}
    entries: dict[str, Any] = {}
    started = shown = time.monotonic()
    for position, event in enumerate(events, start=1):
        if event.customer not in accounts:
            member = Member.objects.create(joined_at=event.at, terms_version="1", terms_accepted_at=event.at)
            account = open_account(member_id=member.pk, programme_id=programme.pk)
            accounts[event.customer] = account.pk
        _book(event, account_id=accounts[event.customer], entries=entries)
        if time.monotonic() - shown > 5:
            shown = time.monotonic()
            speed = position / (shown - started)
            print(f"{100 * position // len(events):>3} %  {speed:,.0f}/s", file=sys.stderr)
    until = until or events[-1].at + AFTERWARDS
    for account_id in accounts.values():
        settle_account(account_id=account_id, now=until)
    rows = {row["pk"]: row for row in Account.objects.values("pk", *SUMS)}
    return {
        customer: {name: rows[account_id][name] for name in SUMS} for customer, account_id in accounts.items()
    }


def replay_in_processes(events: Sequence[Purchase | Return], *, processes: int) -> dict[str, dict[str, int]]:
    """The same; each process takes all events of its share of the customers, in the order of time."""
    from django.db import connections

    customers = sorted({event.customer for event in events})
    shares: list[list[Purchase | Return]] = [[] for _ in range(processes)]
    part_of = {customer: number % processes for number, customer in enumerate(customers)}
    for event in events:
        shares[part_of[event.customer]].append(event)
    # A connection must not be shared by two processes.
    connections.close_all()
    # Everybody's points are settled at the same moment, however early their own last event was.
    until = events[-1].at + AFTERWARDS
    booked: dict[str, dict[str, int]] = {}
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("fork")) as pool:
        for part in pool.map(partial(replay, until=until), [share for share in shares if share]):
            booked.update(part)
    return booked


def _book(event: Purchase | Return, *, account_id: int, entries: dict[str, Any]) -> None:
    from oscar_loyalty.points.rules import LineBasis, points_for_lines
    from oscar_loyalty.points.services import award_points, clawback_points
    from oscar_loyalty.programmes.rules import Rate

    if isinstance(event, Return):
        earned = entries.get(event.invoice)
        if earned is not None:
            basis = {line.line_ref: line.basis for line in earned.lines.all()}
            clawback_points(
                account_id=account_id,
                earned=earned,
                idempotency_key=f"return:{event.number}:{event.invoice}",
                shares={
                    ref: Fraction(cents, 100) / Fraction(basis[ref])
                    for ref, cents in event.returned
                    if basis[ref]
                },
                now=event.at,
            )
        return
    rate = Rate(
        currency="GBP",
        earn_points=1,
        earn_amount=Decimal(1),
        redeem_points=100,
        redeem_amount=Decimal(1),
        card_minimum=Decimal("0.30"),
    )
    earning = points_for_lines(
        (LineBasis(ref=ref, amount=Decimal(cents) / 100) for ref, cents in event.lines), rate=rate
    )
    if earning.points:
        entries[event.invoice] = award_points(
            account_id=account_id,
            points=earning.points,
            idempotency_key=f"purchase:{event.invoice}",
            source_ref=f"order:{event.invoice}",
            order_ref=event.invoice,
            active_at=event.at + timedelta(days=WAITING_DAYS),
            expiry_months=EXPIRY_MONTHS,
            unit_value=rate.unit_value,
            currency="GBP",
            lines=earning.lines,
            now=event.at,
        )


if __name__ == "__main__":
    sys.exit(main())

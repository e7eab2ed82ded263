import csv
import io
import logging
import multiprocessing
import sys
import time
from collections.abc import Generator
from contextlib import closing
from datetime import date, datetime, timedelta
from pathlib import Path
from queue import Empty
from typing import Any, TextIO

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection, connections
from django.utils import timezone

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.flows import backfill
from oscar_loyalty.flows.backfill import Outcome, Terms, Totals
from oscar_loyalty.flows.tiering import recompute_due_tiers
from oscar_loyalty.programmes import queries as programmes
from oscar_loyalty.shop.orders import Period, count_orders

logger = logging.getLogger(__name__)

_COLUMNS = ("order", "placed", "member", "points", "state", "reason")
#: Seconds between two lines of progress where they are not overwritten.
_QUIET_SECONDS = 5


class Command(BaseCommand):
    help = (
        "Book points for past orders of members, as the programme promised when they were placed. May be "
        "stopped at any moment and run again: an order is never booked twice. Ends with 1 when orders "
        "failed, with 130 when it was interrupted."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--since", required=True, metavar="DATE", help="first day of the orders")
        parser.add_argument("--until", metavar="DATE", help="last day of the orders (default: today)")
        parser.add_argument(
            "--version-now",
            action="store_true",
            help="judge all orders by the version in force today, also those from before the first one",
        )
        parser.add_argument(
            "--expiry-from",
            choices=["order", "now"],
            default="order",
            help="order: points expire as if earned then, so old ones may be gone at once; now: the months "
            "are counted from today at the earliest (default: %(default)s)",
        )
        parser.add_argument("--dry-run", action="store_true", help="say what would be booked, book nothing")
        parser.add_argument("--limit", type=int, metavar="N", help="end after so many orders")
        parser.add_argument("--report", metavar="FILE.csv", help="write one row for each order")
        parser.add_argument(
            "--processes", type=int, default=1, metavar="N", help="work in parallel (default: %(default)s)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not loyalty_settings.enabled:
            self.stdout.write("The programme is switched off (OSCAR_LOYALTY_ENABLED): nothing was done.")
            return
        work = _work_of(options, now=timezone.now())
        report = _open_report(options["report"])
        try:
            totals = self._run(work, processes=options["processes"], report=report)
        except KeyboardInterrupt:
            self.stderr.write("Interrupted. What was booked stays; run the same command again to go on.")
            raise SystemExit(130) from None
        finally:
            if report is not None:
                report.close()
        if not work["dry_run"]:
            # Where members stand is computed once all their orders count, and not after each of them.
            recompute_due_tiers(now=work["now"], limit=None)
        self._print_totals(totals, dry_run=work["dry_run"])
        if totals.failed:
            raise CommandError(f"{totals.failed} orders could not be booked: see the log.")

    def _run(self, work: dict[str, Any], *, processes: int, report: TextIO | None) -> Totals:
        expected = count_orders(work["period"])
        if work["limit"] is not None:
            expected = min(expected, work["limit"])
        progress = _Progress(self.stderr, expected=expected)
        totals = Totals()
        if report is not None:
            csv.writer(report).writerow(_COLUMNS)
        with_rows = report is not None
        batches = (
            _run_here(work, with_rows=with_rows)
            if processes == 1
            else _run_in_processes(work, processes=processes, with_rows=with_rows)
        )
        with closing(batches):
            for batch, rows in batches:
                totals.merge(batch)
                if report is not None:
                    report.write(rows)
                    report.flush()
                progress.show(totals.orders)
        progress.end()
        return totals

    def _print_totals(self, totals: Totals, *, dry_run: bool) -> None:
        would = "would be booked" if dry_run else "booked"
        self.stdout.write(f"{totals.orders:>12,}  orders")
        self.stdout.write(f"{totals.booked:>12,}  {would}")
        self.stdout.write(f"{totals.points:>12,}  points")
        for state in ("PENDING", "SPENDABLE", "EXPIRED"):
            self.stdout.write(f"{totals.by_state[state]:>12,}    {state.lower()}")
        for reason, count in sorted(totals.by_reason.items()):
            self.stdout.write(f"{count:>12,}  {reason}")
        if totals.by_reason[backfill.Reason.NO_VERSION]:
            self.stdout.write(
                "Orders from before the first version earn with --version-now, under today's version."
            )


def _work_of(options: dict[str, Any], *, now: datetime) -> dict[str, Any]:
    if options["limit"] is not None and options["limit"] < 1:
        raise CommandError("--limit must be 1 or more.")
    processes = options["processes"]
    if not 1 <= processes <= 64:
        raise CommandError("--processes must be between 1 and 64.")
    if processes > 1 and options["limit"] is not None:
        raise CommandError("--limit goes with one process only.")
    if processes > 1 and connection.vendor == "sqlite":
        raise CommandError("--processes: SQLite lets one write at a time, so one process is as fast.")
    if programmes.find_programme() is None:
        raise CommandError("There is no programme yet: run loyalty_setup first.")
    since = _start_of(options["since"], name="--since")
    until = now
    if options["until"]:
        until = min(now, _start_of(options["until"], name="--until") + timedelta(days=1))
    if since >= until:
        raise CommandError("--since must be before --until, and neither in the future.")
    return {
        "period": Period(since=since, until=until),
        "terms": Terms(version_now=options["version_now"], expiry_from_now=options["expiry_from"] == "now"),
        "now": now,
        "dry_run": options["dry_run"],
        "limit": options["limit"],
    }


def _start_of(text: str, *, name: str) -> datetime:
    """The first moment of a day in the shop's time zone."""
    try:
        day = date.fromisoformat(text)
        return datetime.combine(day, datetime.min.time(), tzinfo=timezone.get_current_timezone())
    except ValueError:
        raise CommandError(f"{name}: “{text}” is not a day. Example: 2025-01-31.") from None


def _open_report(path: str | None) -> TextIO | None:
    if path is None:
        return None
    try:
        return Path(path).open("w", newline="", encoding="utf-8")
    except OSError as error:
        raise CommandError(f"--report: {path} cannot be written: {error.strerror}.") from None


def _run_here(work: dict[str, Any], *, with_rows: bool) -> Generator[tuple[Totals, str]]:
    for outcomes in backfill.backfill(**work):
        totals = Totals()
        totals.add(outcomes)
        yield totals, _rows_of(outcomes) if with_rows else ""


def _rows_of(outcomes: list[Outcome]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(
        (
            one.order_number or f"id {one.order_id}",
            one.placed_at.isoformat() if one.placed_at else "",
            one.member,
            one.points,
            one.state,
            one.reason or "",
        )
        for one in outcomes
    )
    return text.getvalue()


def _run_in_processes(
    work: dict[str, Any], *, processes: int, with_rows: bool
) -> Generator[tuple[Totals, str]]:
    """
    Each process takes the orders of its share of the customers. Whoever stops listening stops them
    after the batch at hand.
    """
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
    results: Any = context.Queue(maxsize=4 * processes)
    stop: Any = context.Event()
    # A connection must not be shared by two processes.
    connections.close_all()
    workers = [
        context.Process(target=_work_in_process, args=(work, part, processes, with_rows, results, stop))
        for part in range(processes)
    ]
    for worker in workers:
        worker.start()
    try:
        running = processes
        while running:
            try:
                result = results.get(timeout=1)
            except Empty:
                if any(worker.exitcode not in (None, 0) for worker in workers):
                    raise CommandError("A process died. Run the same command again to go on.") from None
                continue
            if result is None:
                running -= 1
            elif isinstance(result, str):
                raise CommandError(result)
            else:
                yield result
    finally:
        stop.set()
        while any(worker.is_alive() for worker in workers):
            # Nobody can end while what they have to say finds no room.
            try:
                results.get(timeout=0.1)
            except Empty:
                continue


def _work_in_process(
    work: dict[str, Any], part: int, parts: int, with_rows: bool, results: Any, stop: Any
) -> None:
    import signal

    import django

    # Ctrl-C reaches the whole group; the parent lets us finish our batch.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    django.setup()
    period = work["period"]
    ours = {
        **work,
        "period": Period(since=period.since, until=period.until, part=part, parts=parts),
    }
    try:
        for result in _run_here(ours, with_rows=with_rows):
            results.put(result)
            if stop.is_set():
                break
    except Exception as error:
        logger.exception("Process %s of %s ends", part + 1, parts)
        results.put(f"{type(error).__name__}: {error}".splitlines()[0])
    else:
        results.put(None)
    finally:
        connections.close_all()


class _Progress:
    """Percentage, speed and remaining time on one line; a line every few seconds where nobody watches."""

    def __init__(self, stream: Any, *, expected: int) -> None:
        self._stream = stream
        self._expected = expected
        self._started = self._shown = time.monotonic()
        self._watched = stream.isatty()
        self._width = 0

    def show(self, done: int) -> None:
        now = time.monotonic()
        if now - self._shown < (0.2 if self._watched else _QUIET_SECONDS):
            return
        self._shown = now
        speed = done / max(now - self._started, 0.001)
        left = timedelta(seconds=round(max(self._expected - done, 0) / max(speed, 0.001)))
        percent = min(100 * done // max(self._expected, 1), 100)
        line = f"{percent:>3} %  {done:,} of {self._expected:,} orders  {speed:,.0f}/s  {left} left"
        self._write(line)

    def _write(self, line: str) -> None:
        if not self._watched:
            self._stream.write(line)
            return
        self._stream.write("\r" + line.ljust(self._width), ending="")
        self._stream.flush()
        self._width = len(line)

    def end(self) -> None:
        if self._watched and self._width:
            self._stream.write("")

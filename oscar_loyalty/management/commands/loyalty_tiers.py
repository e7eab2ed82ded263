from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from oscar_loyalty.flows.tiering import check_tiers, recompute_all_tiers, recompute_due_tiers
from oscar_loyalty.management.progress import ProgressLine
from oscar_loyalty.programmes.queries import ProgrammeMissing

#: So many differences are written out; the rest is counted.
MOST_SHOWN = 50


class Command(BaseCommand):
    help = (
        "Bring members' tiers up to date. Safe to stop and start again, and to run while the shop is open. "
        "Without options what time or a new version of the programme has made due, as the tasks do."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--recompute", action="store_true", help="every member, from all their orders anew"
        )
        parser.add_argument(
            "--check",
            action="store_true",
            help="compare what is stored with a computation from scratch, after recomputing if that is asked "
            "for too; changes nothing itself; exits with 1 if anything differs",
        )

        parser.add_argument(
            "--processes", type=int, default=1, help="work in so many processes (default: %(default)s)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["processes"] < 1:
            raise CommandError("--processes must be 1 or more.")
        now, line = timezone.now(), self._line()
        try:
            if options["recompute"]:
                done = recompute_all_tiers(now=now, on_progress=line)
                self.stdout.write(f"{done} members were recomputed.")
            elif not options["check"]:
                done = recompute_due_tiers(
                    now=now, limit=None, processes=options["processes"], on_progress=line
                )
                self.stdout.write(f"{done} members were due.")
            if options["check"]:
                self._check()
        except ProgrammeMissing as error:
            raise CommandError("There is no programme. Run: manage.py loyalty_setup") from error

    def _check(self) -> None:
        found, line = 0, self._line()
        for one in check_tiers(now=timezone.now(), on_progress=line):
            found += 1
            if found <= MOST_SHOWN:
                self.stdout.write(
                    f"member {one.member}: {one.column} is {one.stored}, should be {one.computed}"
                )
        if found > MOST_SHOWN:
            self.stdout.write(f"… and {found - MOST_SHOWN} more")
        if found:
            raise CommandError(f"{found} differences. Run: manage.py loyalty_tiers --recompute", returncode=1)
        self.stdout.write("Every tier is what a computation from scratch says.")

    def _line(self) -> Callable[[int, int], None]:
        line = ProgressLine(self.stderr)
        return lambda done, total: line.show(done / total if total else 1.0, f"{done} of {total} members")

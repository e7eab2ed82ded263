from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.flows import sweeping
from oscar_loyalty.flows.long_jobs import run_waiting_jobs
from oscar_loyalty.management.progress import ProgressLine


class Command(BaseCommand):
    help = (
        "Do once what the background tasks do all the time: points of missed orders, due points, expired "
        "reservations, waiting news, jobs. A shop without Celery runs this every five minutes."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--days",
            type=int,
            default=sweeping.REWARD_WITHIN_DAYS,
            help="reward orders placed within so many days that have no points yet (default: %(default)s)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["days"] < 0:
            raise CommandError("--days must not be negative.")
        if not loyalty_settings.enabled:
            self.stdout.write(
                "The programme is switched off (OSCAR_LOYALTY_ENABLED): only payments and returns count."
            )
        line = ProgressLine(self.stderr)
        swept = sweeping.sweep(
            now=timezone.now(), reward_within_days=options["days"], on_progress=line.show_count
        )
        line.finish()
        for what, count in asdict(swept).items():
            self.stdout.write(f"{what:>11}  {count}")
        # Last: they may take long.
        self.stdout.write(f"{'jobs':>11}  {run_waiting_jobs(clock=timezone.now)}")
        if swept.failed:
            raise CommandError(f"{swept.failed} orders could not be brought up to date: see the log.")

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.flows import expiry
from oscar_loyalty.management.progress import ProgressLine


class Command(BaseCommand):
    help = "Let points become spendable or expire where that is due, and end expired reservations."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--processes", type=int, default=1, help="work in so many processes (default: %(default)s)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["processes"] < 1:
            raise CommandError("--processes must be 1 or more.")
        if not loyalty_settings.enabled:
            self.stdout.write("The programme is switched off (OSCAR_LOYALTY_ENABLED): nothing was done.")
            return
        now = timezone.now()
        line = ProgressLine(self.stderr)

        # Reservations first: held points do not expire, so what they give back may be due at once.
        holds = expiry.end_expired_holds(now=now, limit=None)
        settled = expiry.settle_due_accounts(
            now=now, limit=None, processes=options["processes"], on_progress=line.show_count
        )
        line.finish()
        self.stdout.write(f"{'holds':>10}  {holds}")
        self.stdout.write(f"{'accounts':>10}  {settled}")

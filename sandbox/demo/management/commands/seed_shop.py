from datetime import date
from time import monotonic

from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.utils import timezone

from sandbox.demo import people
from sandbox.demo.reset import empty_shop
from sandbox.demo.seed import Sizes, is_seeded, seed_shop


class Command(BaseCommand):
    help = "Fill the sandbox with goods, customers and orders. Does nothing when they are already there."

    def add_arguments(self, parser):
        parser.add_argument("--fresh", action="store_true", help="Throw everything away and begin again.")
        parser.add_argument("--seed", type=int, default=2024, help="The number all data is drawn from.")
        parser.add_argument(
            "--until",
            type=date.fromisoformat,
            help="The day after the last order (YYYY-MM-DD); today if left out.",
        )
        parser.add_argument("--customers", type=int, default=Sizes.customers)
        parser.add_argument("--orders", type=int, default=Sizes.orders)

    def handle(self, *, fresh, seed, until, customers, orders, **options):
        if fresh:
            self._say("Emptying the database")
            empty_shop()
            call_command("migrate", verbosity=0)
        if is_seeded():
            self._say("The shop has its demo data already; nothing to do. (--fresh builds it anew.)")
            return
        started = monotonic()
        seed_shop(
            seed=seed,
            until=until or timezone.localdate(),
            sizes=Sizes(customers=customers, orders=orders),
            report=self._say,
        )
        self._say(f"Done in {monotonic() - started:.0f} seconds.")
        self._say(people.describe_logins())

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()

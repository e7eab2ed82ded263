from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from oscar_loyalty.flows.conversion import NoConversionRate, NoUnitValue, convert_programme
from oscar_loyalty.programmes.queries import ProgrammeMissing
from oscar_loyalty.shop.configuration import is_currency


class Command(BaseCommand):
    help = (
        "Exchange all points whose value is frozen in one currency for points in another, at the rate that "
        "is stored in the admin. Points keep their expiry. Safe to stop and to run again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--from", dest="from_currency", required=True, metavar="EUR", help="old currency")
        parser.add_argument("--to", dest="to_currency", required=True, metavar="CHF", help="new currency")
        parser.add_argument("--dry-run", action="store_true", help="only say what would be exchanged")

    def handle(self, *args: Any, **options: Any) -> None:
        currencies = {name: options[f"{name}_currency"].strip().upper() for name in ("from", "to")}
        for name, code in currencies.items():
            if not is_currency(code):
                raise CommandError(f"--{name}: “{code}” is not a currency code of ISO 4217. Example: EUR.")
        if currencies["from"] == currencies["to"]:
            raise CommandError("--from and --to are the same currency: there is nothing to exchange.")
        try:
            done = convert_programme(
                from_currency=currencies["from"],
                to_currency=currencies["to"],
                dry_run=options["dry_run"],
                now=timezone.now(),
            )
        except ProgrammeMissing:
            raise CommandError("No version of the programme is in force: run `loyalty_setup`.") from None
        except NoConversionRate:
            raise CommandError(
                f"No rate from {currencies['from']} to {currencies['to']} is in force: add a conversion rate."
            ) from None
        except NoUnitValue:
            raise CommandError(
                f"The version in force has no rate for {currencies['to']}: publish one that says what a "
                f"point is worth in it."
            ) from None
        self.stdout.write(f"{'rate':>10}  {done.rate.rate.normalize():f}")
        self.stdout.write(f"{'accounts':>10}  {done.accounts}")
        self.stdout.write(f"{'before':>10}  {done.points_before}")
        self.stdout.write(f"{'after':>10}  {done.points_after}")
        self.stdout.write(f"{'waiting':>10}  {done.waiting}")
        if options["dry_run"]:
            self.stdout.write("Nothing was changed: this was a dry run.")
        if done.waiting:
            self.stdout.write("Who waits has points reserved for a basket: run this again later.")
        if done.failed:
            raise CommandError(f"{done.failed} accounts could not be converted: see the log.")

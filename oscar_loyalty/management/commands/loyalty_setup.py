from typing import Any
from zoneinfo import available_timezones

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.flows.setting_up import SetUp, set_up_shop
from oscar_loyalty.programmes.presets import PRESETS
from oscar_loyalty.returns.services import FIRST_POLICY
from oscar_loyalty.shop import configuration


class Command(BaseCommand):
    help = (
        "Make what the programme needs in the database: the programme, its first version, the offer with "
        "which points are redeemed and the kinds of mail. Whatever is there already stays as it is, so "
        "this is safe to run again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        presets = "; ".join(f"{name}: {preset.description}" for name, preset in PRESETS.items())
        parser.add_argument(
            "--preset", choices=sorted(PRESETS), default="de-classic", help=presets.replace("%", "%%")
        )
        parser.add_argument("--name", default="Points", help="the programme's name (default: %(default)s)")
        parser.add_argument(
            "--currency",
            action="append",
            metavar="EUR",
            help="repeat for several (default: every currency in which the shop prices something)",
        )
        parser.add_argument("--time-zone", help="points expire at its midnight (default: TIME_ZONE)")
        parser.add_argument(
            "--spendable-status",
            help="order status after which the waiting period starts (default: the shop's last one)",
        )
        parser.add_argument("--waiting-days", type=int, help="length of the waiting period")
        parser.add_argument(
            "--terms-version", default="1", help="version of the terms (default: %(default)s)"
        )
        parser.add_argument(
            "--returns",
            action="store_true",
            help="write down a first return policy, as German law asks for it: 14 days, free of charge",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        preset = PRESETS[options["preset"]]
        promises = dict(preset.promises)
        if options["waiting_days"] is not None:
            promises["waiting_days"] = _checked_days(options["waiting_days"])
        promises["spendable_status"] = _checked_status(
            options["spendable_status"],
            default=configuration.find_final_status() if preset.waits_for_status else "",
        )
        name = options["name"].strip()
        if not 0 < len(name) <= 100:
            raise CommandError("--name must have between 1 and 100 characters.")
        if not 0 < len(options["terms_version"]) <= 32:
            raise CommandError("--terms-version must have between 1 and 32 characters.")
        done = set_up_shop(
            code=loyalty_settings.programme_code,
            name=name,
            time_zone=_checked_time_zone(options["time_zone"] or settings.TIME_ZONE),
            currencies=_checked_currencies(options["currency"] or configuration.list_shop_currencies()),
            terms_version=options["terms_version"],
            promises=promises,
            returns=FIRST_POLICY if options["returns"] else None,
            now=timezone.now(),
        )
        self._report(done, asked_for_returns=options["returns"])

    def _report(self, done: SetUp, *, asked_for_returns: bool) -> None:
        version = done.version
        self._line(done.programme_made, f"programme “{done.programme.name}” ({done.programme.code})")
        self._line(
            done.programme_made,
            f"version {version.number}, in force from "
            f"{timezone.localtime(version.active_from):%Y-%m-%d %H:%M}, "
            f"with rates for {', '.join(done.currencies)}",
        )
        self._line(done.offer_made, "offer with which points are redeemed")
        self._line(done.mails_made > 0, "kinds of mail")
        if asked_for_returns:
            self._line(done.policies_made > 0, "return policy: 14 days, free of charge")
        for currency in done.currencies_without_rate:
            self.stderr.write(
                f"No rate for {currency}: points are neither earned nor spent in it. Publish a new version "
                f"of the programme with such a rate in Django's admin."
            )
        self.stdout.write("Now look at it with `manage.py loyalty_doctor`.")

    def _line(self, made: bool, what: str) -> None:
        word = self.style.SUCCESS("made     ") if made else "unchanged"
        self.stdout.write(f"{word}  {what}")


def _checked_days(days: int) -> int:
    if not 0 <= days <= 365:
        raise CommandError("--waiting-days must be between 0 and 365.")
    return days


def _checked_status(status: str | None, *, default: str) -> str:
    if status is None:
        return default
    statuses = configuration.list_order_statuses()
    if status and status not in statuses:
        known = ", ".join(f"“{known}”" for known in statuses) or "none"
        raise CommandError(
            f"--spendable-status: no order ever gets “{status}”. OSCAR_ORDER_STATUS_PIPELINE: {known}."
        )
    return status


def _checked_time_zone(time_zone: str) -> str:
    if time_zone not in available_timezones():
        raise CommandError(f"--time-zone: “{time_zone}” is not a time zone. Example: Europe/Berlin.")
    return time_zone


def _checked_currencies(currencies: list[str]) -> list[str]:
    currencies = list(dict.fromkeys(code.strip().upper() for code in currencies))
    for code in currencies:
        if not configuration.is_currency(code):
            raise CommandError(f"--currency: “{code}” is not a currency code of ISO 4217. Example: EUR.")
    return currencies

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.shop.diagnosis import DATABASE_EXAMINATIONS, SETTINGS_EXAMINATIONS, Diagnosis, examine


class Command(BaseCommand):
    help = (
        "Look for mistakes in the installation and name each with its fix. Ends with 1 when there are errors."
    )
    # The doctor reports what the checks would stop at.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON document for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        diagnoses = list(_examine_everything())
        if options["json"]:
            self._print_json(diagnoses)
        else:
            self._print_lines(diagnoses)
        if any(diagnosis.status == "error" for diagnosis in diagnoses):
            raise SystemExit(1)

    def _print_lines(self, diagnoses: list[Diagnosis]) -> None:
        styles = {"ok": self.style.SUCCESS, "warning": self.style.WARNING, "error": self.style.ERROR}
        for diagnosis in diagnoses:
            self.stdout.write(f"{styles[diagnosis.status](f'{diagnosis.status:<7}')}  {diagnosis.title}")
            for finding in diagnosis.findings:
                self.stdout.write(f"         oscar_loyalty.{finding.code}: {finding.problem}")
                self.stdout.write(f"         Fix: {finding.fix}")
        if not loyalty_settings.enabled:
            self.stdout.write("The programme is switched off (OSCAR_LOYALTY_ENABLED = False).")

    def _print_json(self, diagnoses: list[Diagnosis]) -> None:
        document = {
            "enabled": loyalty_settings.enabled,
            "examinations": [
                {
                    "title": one.title,
                    "status": one.status,
                    "findings": [asdict(found) for found in one.findings],
                }
                for one in diagnoses
            ],
        }
        self.stdout.write(json.dumps(document, ensure_ascii=False, indent=2))


def _examine_everything() -> Iterator[Diagnosis]:
    now = timezone.now()
    for examination in SETTINGS_EXAMINATIONS:
        yield examine(examination, now=now)
    tables, *rest = DATABASE_EXAMINATIONS
    yield (diagnosis := examine(tables, now=now))
    # Without its tables nothing else can be looked at.
    if diagnosis.status != "error":
        for examination in rest:
            yield examine(examination, now=now)

import json
import re
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.db.models import Q
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from oscar_loyalty.flows.auditing import audit_ledger
from oscar_loyalty.flows.sweeping import KEEP_SENT_DAYS
from oscar_loyalty.management.progress import ProgressLine
from oscar_loyalty.points.audit import CODES, Finding, audit_account
from oscar_loyalty.points.audit.runs import AuditFailed, Progress, find_first_entry_since, list_findings
from oscar_loyalty.points.models import Account

#: Findings that are printed; all are counted, and --json prints all that are kept.
_SHOWN = 50


class Command(BaseCommand):
    help = (
        "Replay the ledger from its first entry and check every promise it makes. Ends with 0 when all is "
        "well, 1 when something was found, 2 when the audit could not be carried out."
    )
    # An audit says what is there, whatever is wrong with the settings.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--processes", type=int, default=1, help="work in so many processes (default: %(default)s)"
        )
        parser.add_argument(
            "--resume", action="store_true", help="go on with the last audit if it was interrupted"
        )
        parser.add_argument("--account", metavar="PUBLIC_ID", help="only this account, or this member")
        parser.add_argument(
            "--since",
            metavar="ENTRY|DATE",
            help="only accounts with a booking since: the id of an entry, or a date",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON document for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["processes"] < 1:
            raise CommandError("--processes must be 1 or more.", returncode=2)
        started = time.monotonic()
        try:
            public_id = options["account"]
            report = self._audit_one(public_id) if public_id else self._audit_all(options)
        except (AuditFailed, DatabaseError) as error:
            line = " ".join(str(error).split())
            raise CommandError(f"The audit could not be carried out: {line}", returncode=2) from error
        report["seconds"] = round(time.monotonic() - started, 1)
        if options["json"]:
            self.stdout.write(json.dumps(report, ensure_ascii=False, indent=2))
        else:
            self._print(report)
        if report["findings"]:
            sys.exit(1)

    def _audit_one(self, public_id: str) -> dict[str, Any]:
        try:
            wanted = UUID(public_id)
        except ValueError:
            raise CommandError(f"There is no account {public_id}.", returncode=2) from None
        # The pages of staff show the id of a member, findings that of an account.
        accounts = list(Account.objects.filter(Q(public_id=wanted) | Q(member__public_id=wanted)))
        if not accounts:
            raise CommandError(f"There is no account {public_id}.", returncode=2)
        since = timezone.now() - timedelta(days=KEEP_SENT_DAYS)
        findings = [f for account in accounts for f in audit_account(account.pk, announced_since=since)]
        entries = sum(account.seq for account in accounts)
        return _report(accounts=len(accounts), entries=entries, count=len(findings), findings=findings)

    def _audit_all(self, options: dict[str, Any]) -> dict[str, Any]:
        since = options["since"]
        line = ProgressLine(self.stderr)

        def show(progress: Progress) -> None:
            line.show(
                progress.done,
                f"{progress.accounts} accounts, {progress.entries} entries, {progress.findings} findings",
            )

        run = audit_ledger(
            clock=timezone.now,
            resume=options["resume"],
            since_entry=_since_entry(since) if since else None,
            processes=options["processes"],
            on_progress=show,
        )
        line.finish()
        return {
            "run": run.pk,
            "started_at": run.started_at.isoformat(),
            **_report(
                accounts=run.accounts,
                entries=run.entries,
                count=run.findings,
                findings=list_findings(run),
            ),
        }

    def _print(self, report: dict[str, Any]) -> None:
        for finding in report["details"][:_SHOWN]:
            self.stdout.write(str(Finding(**finding)))
        if report["findings"] > _SHOWN:
            self.stdout.write(f"… and {report['findings'] - _SHOWN} more: --json prints them")
        for code, count in report["codes"].items():
            invariants, meaning = CODES[code]
            self.stdout.write(f"{count:>10}  {code} ({invariants}): {meaning}")
        self.stdout.write(f"{'accounts':>10}  {report['accounts']}")
        self.stdout.write(f"{'entries':>10}  {report['entries']}")
        style = self.style.ERROR if report["findings"] else self.style.SUCCESS
        self.stdout.write(style(f"{'findings':>10}  {report['findings']}"))


def _since_entry(text: str) -> int:
    """:raises CommandError: neither the id of an entry nor a date"""
    if re.fullmatch(r"[0-9]{1,18}", text):
        return int(text)
    try:
        moment = parse_datetime(text)
        if moment is None and (day := parse_date(text)):
            moment = datetime.combine(day, time_of_day.min)
    except ValueError:
        moment = None
    if moment is None:
        raise CommandError(
            f"--since {text}: give the id of an entry or a date like 2026-01-31.", returncode=2
        )
    if timezone.is_naive(moment):
        moment = timezone.make_aware(moment)
    # Nothing since: an id that no entry has yet.
    return find_first_entry_since(moment.astimezone(UTC)) or 2**62


def _report(*, accounts: int, entries: int, count: int, findings: Iterable[Finding]) -> dict[str, Any]:
    details = [asdict(finding) for finding in findings]
    codes = Counter(finding["code"] for finding in details)
    return {
        "accounts": accounts,
        "entries": entries,
        "findings": count,
        "codes": dict(codes.most_common()),
        "details": details,
    }

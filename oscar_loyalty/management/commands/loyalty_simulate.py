import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.flows import simulation
from oscar_loyalty.jobs.models import JobRun
from oscar_loyalty.jobs.services import AlreadyRunning, cancel_job, end_cancelled_job
from oscar_loyalty.management.progress import ProgressLine
from oscar_loyalty.processes import can_share_work
from oscar_loyalty.programmes.models import ProgrammeVersion


class Command(BaseCommand):
    help = (
        "Replay the orders of the last months under a draft and under the version in force, and say what "
        "would have been earned, what it costs and who gains or loses. Books nothing. Ends with 1 when it "
        "failed, with 130 when it was interrupted."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--number", type=int, metavar="N", help="the version, by its number")
        which.add_argument("--job", type=int, metavar="ID", help="do a job that was asked for in the admin")
        parser.add_argument(
            "--months", type=int, default=12, help="so many months back from now (default: %(default)s)"
        )
        parser.add_argument(
            "--processes", type=int, default=1, metavar="N", help="work in parallel (default: %(default)s)"
        )
        parser.add_argument("--json", action="store_true", help="print the result as JSON for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        if not 1 <= options["processes"] <= 64:
            raise CommandError("--processes must be between 1 and 64.")
        if options["processes"] > 1 and not can_share_work():
            raise CommandError("--processes: other processes would not see this database.")
        job_id = options["job"] or self._request(number=options["number"], months=options["months"])
        line = ProgressLine(self.stderr)

        def show(done: int, total: int) -> None:
            line.show(done / total if total else 1.0, f"{done:,} of {total:,} orders")

        try:
            job = simulation.run_simulation(
                job_id=job_id, clock=timezone.now, processes=options["processes"], on_progress=show
            )
        except JobRun.DoesNotExist:
            raise CommandError(f"There is no job {job_id}.") from None
        except KeyboardInterrupt:
            now = timezone.now()
            end_cancelled_job(job=cancel_job(job_id=job_id, now=now), now=now)
            self.stderr.write("Interrupted; nothing was booked.")
            raise SystemExit(130) from None
        line.finish()
        if job.state != JobRun.State.DONE:
            raise CommandError(f"Job {job.pk} is {job.state.lower()}. {job.error}".strip())
        assert job.result is not None
        if options["json"]:
            self.stdout.write(json.dumps(job.result, ensure_ascii=False, indent=2))
        else:
            self._print(job.result)

    def _request(self, *, number: int, months: int) -> int:
        if not 1 <= months <= 120:
            raise CommandError("--months must be between 1 and 120.")
        versions = ProgrammeVersion.objects.select_related("programme")
        version = versions.filter(programme__code=loyalty_settings.programme_code, number=number).first()
        if version is None:
            raise CommandError(f"There is no version {number}.")
        try:
            job = simulation.request_simulation(
                version=version, months=months, requested_by_ref="command", now=timezone.now()
            )
        except AlreadyRunning as running:
            raise CommandError(
                f"Version {number} is being simulated already: --job {running.job.pk} goes on with it if "
                "its worker is gone."
            ) from None
        return int(job.pk)

    def _print(self, result: dict[str, Any]) -> None:
        compared = result["compared_number"]
        against = f"version {compared}" if compared is not None else "earning nothing"
        self.stdout.write(f"version {result['number']} against {against}")
        self.stdout.write(f"{result['orders']:>12,}  orders")
        self.stdout.write(f"{result['cancelled']:>12,}  cancelled orders, left out")
        self.stdout.write(f"{result['members']:>12,}  members with orders")
        self.stdout.write(f"{result['gaining']:>12,}    gain")
        self.stdout.write(f"{result['losing']:>12,}    lose")
        for row in result["currencies"]:
            self.stdout.write(
                f"{row['points_after']:>12,}  points instead of {row['points_before']:,}, worth "
                f"{row['cost_after']} instead of {row['cost_before']} {row['currency']}"
            )
        if result["tiers"] is None:
            self.stdout.write("no tiers")
        else:
            for before, after, members in result["tiers"]["moves"]:
                self.stdout.write(f"{members:>12,}  members {before or 'no tier'} → {after or 'no tier'}")

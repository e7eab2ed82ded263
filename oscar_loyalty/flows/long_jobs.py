"""Jobs that somebody asked for, by their kinds; and those whose nudge or worker was lost."""

from collections.abc import Callable, Mapping
from datetime import datetime

from oscar_loyalty.flows import simulation
from oscar_loyalty.jobs.models import JobRun
from oscar_loyalty.jobs.queries import get_job, list_waiting_jobs

#: What does the work of a kind: takes the job up, does it, and returns the job as it is then.
RUNNERS: Mapping[str, Callable[..., JobRun]] = {simulation.KIND: simulation.run_simulation}


def run_job(*, job_id: int, clock: Callable[[], datetime]) -> None:
    """Do a job, or go on with it; nothing when it is done or somebody is at it."""
    RUNNERS[get_job(job_id).kind](job_id=job_id, clock=clock)


def run_waiting_jobs(*, clock: Callable[[], datetime]) -> int:
    """Do what nobody works on, the oldest first; return how many jobs were looked at."""
    waiting = list(list_waiting_jobs(now=clock()).filter(kind__in=RUNNERS).values_list("pk", flat=True))
    for job_id in waiting:
        run_job(job_id=job_id, clock=clock)
    return len(waiting)

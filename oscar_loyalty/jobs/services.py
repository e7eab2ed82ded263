"""
The life of a job. Each step is one conditional statement, so two that want the same step do it once,
on every engine and without a lock that anybody waits for.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, Sum
from django.utils.translation import gettext

from oscar_loyalty.jobs.models import JobPart, JobRun
from oscar_loyalty.jobs.queries import find_open_job, open_key
from oscar_loyalty.jobs.rules import MOST_ATTEMPTS, STALE_AFTER

_State = JobRun.State
_UNDER_WAY = (_State.RUNNING, _State.CANCELLING)


class AlreadyRunning(ValueError):
    """The same work on the same subject is not over yet: ``job``."""

    def __init__(self, job: JobRun) -> None:
        super().__init__(str(job))
        self.job = job


class JobNotYours(RuntimeError):
    """The job was cancelled, or another worker has taken it up: stop here."""


def request_job(
    *,
    kind: str,
    subject: str,
    parameters: Mapping[str, Any],
    requested_by_ref: str,
    now: datetime,
) -> JobRun:
    """
    Ask for work; somebody will take it up.

    :raises AlreadyRunning: it is not over yet; nothing was written
    """
    try:
        with transaction.atomic():
            return JobRun.objects.create(
                kind=kind,
                subject=subject,
                open_key=open_key(kind, subject),
                parameters=dict(parameters),
                requested_by_ref=requested_by_ref,
                requested_at=now,
            )
    except IntegrityError:
        job = find_open_job(kind=kind, subject=subject)
        if job is None:
            raise
        raise AlreadyRunning(job) from None


def take_up_job(*, job_id: int, now: datetime) -> JobRun | None:
    """
    Begin with a job that nobody works on, or go on where a dead worker left it: its finished parts count.
    ``None``: somebody works on it, or it is over, also because it was taken up too often.
    """
    job = JobRun.objects.get(pk=job_id)
    dead = JobRun.objects.filter(pk=job_id, attempt=job.attempt, heartbeat_at__lt=now - STALE_AFTER)
    if job.state == _State.CANCELLING:
        dead.filter(state=_State.CANCELLING).update(state=_State.CANCELLED, open_key=None, finished_at=now)
        return None
    if job.attempt >= MOST_ATTEMPTS:
        error = gettext("The worker died %(count)s times at it. Its log says why.") % {"count": job.attempt}
        dead.filter(state=_State.RUNNING).update(
            state=_State.FAILED, open_key=None, finished_at=now, error=error
        )
        return None
    free = (
        JobRun.objects.filter(pk=job_id, attempt=job.attempt, state=_State.QUEUED)
        if job.state == _State.QUEUED
        else dead.filter(state=_State.RUNNING)
    )
    with transaction.atomic():
        taken = free.update(state=_State.RUNNING, attempt=job.attempt + 1, started_at=now, heartbeat_at=now)
        if not taken:
            return None
        parts = JobPart.objects.filter(job=job_id)
        parts.filter(state=JobPart.State.RUNNING).update(state=JobPart.State.WAITING, done=0)
        finished = parts.aggregate(done=Sum("done"))["done"] or 0
        JobRun.objects.filter(pk=job_id).update(done=finished)
    job.refresh_from_db()
    return job


def plan_parts(*, job: JobRun, parts: Sequence[Mapping[str, Any]], total: int) -> None:
    """Say what is to be done, once: who goes on with a job finds its plan."""
    with transaction.atomic():
        if not JobPart.objects.filter(job=job).exists():
            JobPart.objects.bulk_create(
                JobPart(job=job, number=number, parameters=dict(one)) for number, one in enumerate(parts)
            )
            JobRun.objects.filter(pk=job.pk).update(total=total)
    job.refresh_from_db()


def take_part(*, job: JobRun) -> JobPart | None:
    """The next part that nobody has; ``None`` when there is none left."""
    while True:
        part = JobPart.objects.filter(job=job, state=JobPart.State.WAITING).order_by("number").first()
        if part is None:
            return None
        waiting = JobPart.objects.filter(pk=part.pk, state=JobPart.State.WAITING)
        if waiting.update(state=JobPart.State.RUNNING):
            return part


def report_progress(*, job: JobRun, part: JobPart, more: int, now: datetime) -> None:
    """
    So many more are done, and the worker lives.

    :raises JobNotYours: it was cancelled, or somebody else has it
    """
    ours = JobRun.objects.filter(pk=job.pk, attempt=job.attempt, state=_State.RUNNING)
    if not ours.update(done=F("done") + more, heartbeat_at=now):
        raise JobNotYours(job.pk)
    JobPart.objects.filter(pk=part.pk).update(done=F("done") + more)


def finish_part(*, job: JobRun, part: JobPart, result: Any) -> None:
    """:raises JobNotYours: somebody else has the job; the result is not stored"""
    with transaction.atomic():
        if not JobRun.objects.select_for_update().filter(pk=job.pk, attempt=job.attempt).exists():
            raise JobNotYours(job.pk)
        JobPart.objects.filter(pk=part.pk).update(state=JobPart.State.DONE, result=result)


def finish_job(*, job: JobRun, result: Any, now: datetime) -> bool:
    """Store what came of it; the parts have done their duty. Whether it was still to be had."""
    with transaction.atomic():
        ours = JobRun.objects.filter(pk=job.pk, attempt=job.attempt, state=_State.RUNNING)
        finished = bool(
            ours.update(state=_State.DONE, result=result, done=F("total"), open_key=None, finished_at=now)
        )
        if finished:
            JobPart.objects.filter(job=job).delete()
    return finished


def end_cancelled_job(*, job: JobRun, now: datetime) -> None:
    """The worker has stopped because of a wish to cancel; nothing if that was not the reason."""
    wished = JobRun.objects.filter(pk=job.pk, attempt=job.attempt, state=_State.CANCELLING)
    wished.update(state=_State.CANCELLED, open_key=None, finished_at=now)


def fail_job(*, job: JobRun, error: str, now: datetime) -> None:
    """It ended with an error that trying again would repeat."""
    ours = JobRun.objects.filter(pk=job.pk, attempt=job.attempt, state__in=_UNDER_WAY)
    ours.update(state=_State.FAILED, open_key=None, finished_at=now, error=error[:500])


def cancel_job(*, job_id: int, now: datetime) -> JobRun:
    """What waits is cancelled at once, what runs as soon as its worker looks; what is over stays."""
    jobs = JobRun.objects.filter(pk=job_id)
    if not jobs.filter(state=_State.QUEUED).update(state=_State.CANCELLED, open_key=None, finished_at=now):
        jobs.filter(state=_State.RUNNING).update(state=_State.CANCELLING)
    job = JobRun.objects.get(pk=job_id)
    if job.state == _State.CANCELLING:
        take_up_job(job_id=job_id, now=now)  # ends it if nobody is there to look
        job.refresh_from_db()
    return job

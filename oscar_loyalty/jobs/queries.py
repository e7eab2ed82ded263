from datetime import datetime

from django.db.models import Q, QuerySet

from oscar_loyalty.jobs.models import JobRun
from oscar_loyalty.jobs.rules import STALE_AFTER

_State = JobRun.State


def get_job(job_id: int) -> JobRun:
    """:raises JobRun.DoesNotExist: there is none"""
    return JobRun.objects.get(pk=job_id)


def find_open_job(*, kind: str, subject: str) -> JobRun | None:
    """The work that is waiting or under way."""
    return JobRun.objects.filter(open_key=open_key(kind, subject)).first()


def open_key(kind: str, subject: str) -> str:
    return f"{kind}:{subject}"


def list_jobs(*, kind: str, subject: str) -> QuerySet[JobRun]:
    """Work of one kind on a subject, the latest first."""
    return JobRun.objects.filter(kind=kind, subject=subject).order_by("-id")


def list_waiting_jobs(*, now: datetime) -> QuerySet[JobRun]:
    """Jobs that nobody works on: never taken up, or left by a worker that is gone. The oldest first."""
    gone = Q(state__in=(_State.RUNNING, _State.CANCELLING), heartbeat_at__lt=now - STALE_AFTER)
    return JobRun.objects.filter(Q(state=_State.QUEUED) | gone).order_by("id")

"""Who asks for work, who does it, and what becomes of it when somebody stops it or dies."""

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from oscar_loyalty.jobs import queries, rules, services
from oscar_loyalty.jobs.models import JobPart, JobRun
from tests.concurrency.race import run_at_once

pytestmark = [pytest.mark.database, pytest.mark.django_db]
NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
DEAD = NOW + rules.STALE_AFTER + timedelta(seconds=1)
State = JobRun.State


def request(subject="version:1", now=NOW):
    return services.request_job(
        kind="TEST", subject=subject, parameters={"months": 3}, requested_by_ref="user:1", now=now
    )


def running(parts=2):
    job = services.take_up_job(job_id=request().pk, now=NOW)
    services.plan_parts(job=job, parts=[{"n": n} for n in range(parts)], total=10 * parts)
    return job


def test_a_job_goes_from_waiting_to_done():
    job = request()
    assert (job.state, job.is_open) == (State.QUEUED, True)
    assert list(queries.list_waiting_jobs(now=NOW)) == [job]
    job = services.take_up_job(job_id=job.pk, now=NOW)
    assert (job.state, job.attempt, job.started_at) == (State.RUNNING, 1, NOW)
    assert list(queries.list_waiting_jobs(now=NOW)) == []
    services.plan_parts(job=job, parts=[{"n": 1}], total=10)
    part = services.take_part(job=job)
    services.report_progress(job=job, part=part, more=4, now=NOW)
    assert (queries.get_job(job.pk).done, queries.get_job(job.pk).total) == (4, 10)
    services.finish_part(job=job, part=part, result={"sum": 1})
    assert services.take_part(job=job) is None
    assert services.finish_job(job=job, result={"sum": 1}, now=NOW)
    job.refresh_from_db()
    assert (job.state, job.done, job.result, job.is_open) == (State.DONE, 10, {"sum": 1}, False)
    assert not JobPart.objects.exists()
    request()


def test_the_same_work_is_asked_for_once_and_again_when_it_is_over():
    job = request()
    with pytest.raises(services.AlreadyRunning) as refused:
        request()
    assert refused.value.job == job
    services.cancel_job(job_id=job.pk, now=NOW)
    again = request()
    assert list(queries.list_jobs(kind="TEST", subject="version:1")) == [again, job]


def test_nobody_takes_up_what_somebody_works_on_or_what_is_over():
    job = running()
    assert services.take_up_job(job_id=job.pk, now=NOW) is None
    services.fail_job(job=job, error="x" * 600, now=NOW)
    assert services.take_up_job(job_id=job.pk, now=DEAD) is None
    job.refresh_from_db()
    assert (job.state, len(job.error)) == (State.FAILED, 500)


def test_what_waits_is_cancelled_at_once_and_what_is_over_stays():
    job = request()
    assert services.cancel_job(job_id=job.pk, now=NOW).state == State.CANCELLED
    assert services.cancel_job(job_id=job.pk, now=NOW + timedelta(days=1)).finished_at == NOW


def test_what_runs_is_cancelled_when_its_worker_looks():
    job = running()
    part = services.take_part(job=job)
    assert services.cancel_job(job_id=job.pk, now=NOW).state == State.CANCELLING
    with pytest.raises(services.JobNotYours):
        services.report_progress(job=job, part=part, more=1, now=NOW)
    assert not services.finish_job(job=job, result={}, now=NOW)
    services.end_cancelled_job(job=job, now=NOW)
    job.refresh_from_db()
    assert (job.state, job.result) == (State.CANCELLED, None)


def test_a_wish_to_cancel_that_no_worker_is_there_to_hear_is_fulfilled():
    job = running()
    assert services.cancel_job(job_id=job.pk, now=DEAD).state == State.CANCELLED
    other = request("version:2")
    services.take_up_job(job_id=other.pk, now=NOW)
    services.cancel_job(job_id=other.pk, now=NOW)
    assert list(queries.list_waiting_jobs(now=DEAD)) == [other]
    services.take_up_job(job_id=other.pk, now=DEAD)
    assert queries.get_job(other.pk).state == State.CANCELLED


def test_a_dead_worker_costs_the_parts_it_had_begun():
    job = running()
    first, second = services.take_part(job=job), services.take_part(job=job)
    services.report_progress(job=job, part=first, more=10, now=NOW)
    services.finish_part(job=job, part=first, result={"sum": 1})
    services.report_progress(job=job, part=second, more=5, now=NOW)
    assert queries.get_job(job.pk).done == 15
    again = services.take_up_job(job_id=job.pk, now=DEAD)
    assert (again.attempt, again.done, again.total) == (2, 10, 20)
    services.plan_parts(job=again, parts=[{"n": 7}], total=99)
    assert again.total == 20
    assert services.take_part(job=again) == second
    assert services.take_part(job=again) is None
    for late in (
        partial(services.report_progress, job=job, part=second, more=5, now=DEAD),
        partial(services.finish_part, job=job, part=second, result={}),
    ):
        with pytest.raises(services.JobNotYours):
            late()
    assert not services.finish_job(job=job, result={}, now=DEAD)


def test_what_kills_its_workers_again_and_again_has_failed():
    job = request()
    now = NOW
    for attempt in range(1, rules.MOST_ATTEMPTS + 1):
        assert services.take_up_job(job_id=job.pk, now=now).attempt == attempt
        now += rules.STALE_AFTER + timedelta(seconds=1)
    assert services.take_up_job(job_id=job.pk, now=now) is None
    job.refresh_from_db()
    assert (job.state, job.error) == (State.FAILED, "The worker died 3 times at it. Its log says why.")


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("row_locks")
class TestAtOnce:
    def test_many_wishes_for_the_same_work_make_one_job(self):
        results = run_at_once([request] * 6)
        assert sum(isinstance(result, JobRun) for result in results) == 1
        assert {result.job.pk for result in results if not isinstance(result, JobRun)} == {
            JobRun.objects.get().pk
        }

    def test_one_of_many_workers_takes_a_job_up(self):
        job = request()
        results = run_at_once([partial(services.take_up_job, job_id=job.pk, now=NOW)] * 6)
        assert len([result for result in results if result is not None]) == 1

    def test_no_part_is_taken_twice(self):
        job = running(parts=6)
        results = run_at_once([partial(services.take_part, job=job)] * 6)
        assert len({part.pk for part in results}) == 6


@pytest.mark.parametrize(
    ("done", "total", "percent"),
    [(0, 0, 0), (0, 7, 0), (1, 7, 14), (6999, 7000, 99), (7, 7, 100), (9, 7, 100)],
)
def test_percentage(done, total, percent):
    assert rules.percentage(done=done, total=total) == percent


def test_remaining_time_is_that_of_the_speed_so_far():
    later = NOW + timedelta(seconds=30)
    assert rules.remaining(done=30, total=100, started_at=NOW, now=later) == timedelta(seconds=70)
    assert rules.remaining(done=100, total=100, started_at=NOW, now=later) == timedelta(0)
    for nothing in ({"done": 0}, {"total": 0}, {"started_at": None}, {"now": NOW}):
        known = {"done": 30, "total": 100, "started_at": NOW, "now": later, **nothing}
        assert rules.remaining(**known) is None

"""loyalty_simulate, and jobs that a sweep takes up."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from oscar_loyalty import tasks
from oscar_loyalty.flows import simulation
from oscar_loyalty.flows.membership import join_programme
from oscar_loyalty.jobs.models import JobRun
from oscar_loyalty.programmes.services import create_draft
from tests.flows.conftest import customer, place_order, programme  # noqa: F401 - fixtures


@pytest.fixture
def draft(programme, customer):  # noqa: F811
    now = timezone.now()
    join_programme(user_id=customer.pk, now=now)
    place_order(user=customer, at=now - timedelta(days=3))
    draft = create_draft(based_on=programme.versions.get())
    draft.rates.update(earn_points=2)
    return draft


def run(*arguments, name="loyalty_simulate"):
    out = StringIO()
    call_command(name, *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def ask(draft, *, now=None):
    return simulation.request_simulation(
        version=draft, months=1, requested_by_ref="user:1", now=now or timezone.now()
    )


def test_a_draft_is_simulated_by_its_number(draft):
    text = run("--number", "2", "--months", "1")
    assert "version 2 against version 1" in text
    assert "238  points instead of 119, worth 2.38 instead of 1.19 EUR" in text
    assert "no tiers" in text
    assert JobRun.objects.get().requested_by_ref == "command"


def test_programs_read_json(draft):
    result = json.loads(run("--number", "2", "--json"))
    assert (result["orders"], result["gaining"], result["months"]) == (1, 1, 12)


def test_a_job_that_was_asked_for_in_the_admin_is_done(draft):
    job = ask(draft)
    assert "points instead of" in run("--job", str(job.pk))
    job.refresh_from_db()
    assert (job.state, job.requested_by_ref) == (JobRun.State.DONE, "user:1")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--number", "9"), "There is no version 9."),
        (("--job", "4711"), "There is no job 4711."),
        (("--number", "2", "--months", "0"), "--months must be"),
        (("--number", "2", "--processes", "0"), "--processes must be"),
        ((), "required"),
    ],
)
def test_what_makes_no_sense_is_refused(draft, arguments, words):
    with pytest.raises(CommandError, match=words):
        run(*arguments)


def test_two_at_once_are_one(draft):
    job = ask(draft)
    with pytest.raises(CommandError, match=f"--job {job.pk}"):
        run("--number", "2")


def test_what_fails_ends_with_an_error(draft, monkeypatch):
    def broken(**_values):
        raise ValueError("full")

    monkeypatch.setattr(simulation, "find_purchase_facts", lambda *_a, **_k: broken())
    with pytest.raises(CommandError, match=r"failed\. ValueError: full"):
        run("--number", "2")


def test_ctrl_c_cancels_it(draft, monkeypatch):
    def interrupted(*_arguments, **_values):
        raise KeyboardInterrupt

    monkeypatch.setattr(simulation, "find_purchase_facts", interrupted)
    with pytest.raises(SystemExit) as ended:
        run("--number", "2")
    assert ended.value.code == 130
    assert JobRun.objects.get().state == JobRun.State.CANCELLED


def test_the_task_does_the_job_and_the_sweep_one_whose_nudge_was_lost(draft):
    job = ask(draft)
    tasks.run_job(job_id=job.pk)
    tasks.run_job(job_id=job.pk)
    job.refresh_from_db()
    assert (job.state, job.attempt) == (JobRun.State.DONE, 1)
    for sweep in (tasks.run_waiting_jobs, lambda: run(name="loyalty_sweep")):
        lost = ask(draft)
        sweep()
        lost.refresh_from_db()
        assert lost.state == JobRun.State.DONE

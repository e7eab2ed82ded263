import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.utils import timezone

from oscar_loyalty.outbox.models import OutboxMessage
from oscar_loyalty.points.audit import reading, runs
from oscar_loyalty.points.audit_models import AuditRun, AuditShard
from oscar_loyalty.points.models import Account, Entry
from oscar_loyalty.shop.diagnosis import DATABASE_EXAMINATIONS, examine
from tests.points.test_settling import award, open_account

pytestmark = pytest.mark.django_db
NOW = timezone.now()


@pytest.fixture
def accounts(programme):
    accounts = [open_account(programme) for _ in range(5)]
    for number, account in enumerate(accounts):
        award(account, number, now=NOW, active_at=NOW)
    return accounts


@pytest.fixture
def programme(db):
    from oscar_loyalty.programmes.models import Programme

    return Programme.objects.get_or_create(code="default", defaults={"name": "Points"})[0]


def audit(*args):
    """Exit code, what was printed, what was told on stderr."""
    out, err = StringIO(), StringIO()
    try:
        call_command("loyalty_audit", *args, stdout=out, stderr=err)
    except SystemExit as end:
        return end.code, out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


def damage(account):
    Account.objects.filter(pk=account.pk).update(earned=150, spent=50)


def test_a_clean_ledger_ends_with_0(accounts):
    code, out, _ = audit()
    assert code == 0
    assert out.split() == ["accounts", "5", "entries", "10", "findings", "0"]
    run = AuditRun.objects.get()
    assert (run.accounts, run.entries, run.findings) == (5, 10, 0)
    assert run.finished_at is not None


def test_an_empty_ledger_is_clean():
    assert audit()[0] == 0


def test_findings_end_with_1_and_are_named(accounts):
    damage(accounts[2])
    code, out, _ = audit()
    assert code == 1
    assert f"counter_differs: account {accounts[2].public_id}: expected earned 100, found earned 150" in out
    assert AuditRun.objects.get().found.count() == 2


def test_one_document_for_programs(accounts):
    damage(accounts[2])
    code, out, _ = audit("--json")
    report = json.loads(out)
    assert code == 1
    assert (report["accounts"], report["entries"], report["findings"]) == (5, 10, 2)
    assert report["codes"] == {"counter_differs": 2}
    assert report["details"][0]["account"] == str(accounts[2].public_id)


def test_one_account(accounts):
    damage(accounts[2])
    assert audit("--account", str(accounts[1].public_id))[0] == 0
    assert audit("--account", str(accounts[2].public_id))[0] == 1
    # The id that staff see.
    assert audit("--account", str(accounts[1].member.public_id))[0] == 0
    assert audit("--account", str(accounts[2].member.public_id))[0] == 1
    assert not AuditRun.objects.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--account", "nobody"),
        ("--account", "00000000-0000-0000-0000-000000000000"),
        ("--since", "often"),
        ("--since", "2026-13-01"),
        ("--processes", "0"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line_and_ends_with_2(arguments):
    with pytest.raises(CommandError) as caught:
        audit(*arguments)
    assert caught.value.returncode == 2
    assert "\n" not in str(caught.value)


def test_a_lost_database_ends_with_2(accounts, monkeypatch):
    def lose(**_):
        raise OperationalError("the server closed the connection\nunexpectedly")

    monkeypatch.setattr(reading, "read_entries", lose)
    with pytest.raises(CommandError) as caught:
        audit()
    assert caught.value.returncode == 2
    assert "\n" not in str(caught.value)


def test_since_an_entry_or_a_date_only_what_was_booked_on_is_looked_at(accounts):
    newest = Entry.objects.order_by("-pk").first()
    assert "accounts  1" in audit("--since", str(newest.pk))[1]
    assert "accounts  5" in audit("--since", "2020-01-01")[1]
    tomorrow = (timezone.now() + timedelta(days=2)).date().isoformat()
    assert "accounts  0" in audit("--since", tomorrow)[1]
    damage(accounts[4])
    assert audit("--since", str(newest.pk))[0] == 1


def test_an_interrupted_audit_goes_on_where_it_was(accounts, monkeypatch):
    damage(accounts[0])
    damage(accounts[4])
    monkeypatch.setattr(reading, "PIECE", 2)
    read, calls = reading.read_entries, []

    def fail_at_the_third(**how):
        calls.append(how)
        if len(calls) == 3:
            raise OperationalError("gone")
        return read(**how)

    monkeypatch.setattr(reading, "read_entries", fail_at_the_third)
    with pytest.raises(CommandError):
        audit()
    assert AuditShard.objects.get().state == AuditShard.State.RUNNING
    assert AuditShard.objects.get().accounts == 2
    code, out, _ = audit("--resume")
    assert (code, AuditRun.objects.count()) == (1, 1)
    assert "accounts  5" in out
    run = AuditRun.objects.get()
    assert (run.accounts, run.entries, run.findings, run.found.count()) == (5, 10, 4, 4)
    # Nothing is left to resume: a new one begins.
    audit("--resume")
    assert AuditRun.objects.count() == 2


def test_whoever_lost_a_part_to_somebody_else_stops(accounts, monkeypatch):
    monkeypatch.setattr(reading, "PIECE", 2)
    run = runs.start_run(now=NOW, announced_since=NOW)
    slow = runs._work(run)
    next(slow)
    runs.carry_out(run, clock=timezone.now)
    assert list(slow) == []
    run.refresh_from_db()
    assert (run.accounts, runs.measure_progress(run).accounts) == (5, 5)


def test_the_doctor_tells_what_the_last_audit_found(accounts):
    (examination,) = [one for one in DATABASE_EXAMINATIONS if one.title == "Ledger is audited"]

    def codes(now):
        return [finding.code for finding in examine(examination, now=now).findings]

    assert codes(timezone.now()) == []
    assert codes(timezone.now() + timedelta(days=40)) == ["W131"]
    audit()
    assert codes(timezone.now()) == []
    damage(accounts[0])
    audit()
    assert codes(timezone.now()) == ["E130"]


def test_a_message_that_is_missing_is_found(accounts):
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {OutboxMessage._meta.db_table}")  # noqa: S608
    assert json.loads(audit("--json")[1])["codes"] == {"message_missing": 10}

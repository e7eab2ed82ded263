"""The database itself refuses to change or delete rows of the ledger."""

import json
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.apps import apps
from django.core import checks
from django.core.management import CommandError, call_command
from django.core.management.commands import flush as django_flush
from django.core.management.sql import emit_post_migrate_signal
from django.db import IntegrityError, connection, connections, models, transaction
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import AlterModelTable
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState
from django.db.models import QuerySet
from django.test import TransactionTestCase

from oscar_loyalty.members.models import Member
from oscar_loyalty.points import append_only, services
from oscar_loyalty.points.models import EarnedLine, Entry, Posting
from oscar_loyalty.points.rules import LineEarning
from oscar_loyalty.programmes.models import Programme
from oscar_loyalty.testing.ledger import assert_ledger_balanced, lifted_triggers

pytestmark = pytest.mark.database

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
GUARDED = (Entry, Posting, EarnedLine)


def earn(account, *, key="purchase:1"):
    return services.award_points(
        account_id=account.pk,
        points=100,
        idempotency_key=key,
        source_ref="order:1",
        active_at=NOW,
        expiry_months=36,
        unit_value=Decimal("0.01"),
        currency="EUR",
        now=NOW,
        lines=[LineEarning(ref="line:1", basis=Decimal("100.00"), points=100)],
    )


def make_account():
    programme, _ = Programme.objects.get_or_create(code="default", defaults={"name": "Points"})
    member = Member.objects.create(joined_at=NOW, terms_version="1", terms_accepted_at=NOW)
    return services.open_account(member_id=member.pk, programme_id=programme.pk)


def execute(statement, table):
    """``{}`` in the statement stands for the table: a model or a name."""
    name = table if isinstance(table, str) else table._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(statement.format(connection.ops.quote_name(name)))


@contextmanager
def refused():
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        yield


# In whatever database the tests run


@pytest.mark.parametrize("model", GUARDED)
def test_the_database_refuses_to_change_or_delete_a_row(account, model):
    earn(account)
    with refused():
        execute("UPDATE {} SET points = points + 1", model)
    with refused():
        execute("DELETE FROM {}", model)
    with refused():
        QuerySet(model).update(points=1)
    with refused():
        models.Model.save(model.objects.first())
    with refused():
        QuerySet(model).filter(pk=model.objects.first().pk)._raw_delete("default")
    assert_ledger_balanced(account)


@pytest.mark.django_db
def test_the_triggers_are_on_in_the_test_database():
    assert append_only.find_missing(connection) == []


@pytest.mark.parametrize("model", GUARDED)
def test_a_statement_that_meets_no_row_is_none_of_their_business(db, model):
    """loaddata tries an UPDATE before it inserts."""
    execute("UPDATE {} SET points = 1", model)
    execute("DELETE FROM {}", model)


# Lifting them


@pytest.mark.django_db(transaction=True)
def test_lifted_triggers_let_a_test_tamper_and_come_back():
    account = make_account()
    entry = earn(account)
    with lifted_triggers():
        QuerySet(Entry).update(available_after=7)
    assert append_only.find_missing(connection) == []
    with refused():
        QuerySet(Entry).update(available_after=8)
    entry.refresh_from_db()
    assert entry.available_after == 7
    with pytest.raises(AssertionError):
        assert_ledger_balanced(account)


@pytest.mark.django_db(transaction=True)
def test_lifted_triggers_come_back_after_an_error():
    earn(make_account())
    with pytest.raises(ZeroDivisionError), lifted_triggers():
        raise ZeroDivisionError
    assert append_only.find_missing(connection) == []


def test_lifted_triggers_within_a_transaction(account):
    """Only where altering a table does not commit what the test did."""
    earn(account)
    if connection.features.can_rollback_ddl:
        with lifted_triggers():
            QuerySet(Entry).update(available_after=7)
        with refused():
            QuerySet(Entry).update(available_after=8)
    else:
        refusal = pytest.raises(transaction.TransactionManagementError, match="transaction=True")
        with refusal, lifted_triggers():
            pytest.fail("lifted")


# Flush, with which TransactionTestCase empties the database


@pytest.mark.django_db(transaction=True)
def test_flush_empties_the_ledger_and_leaves_the_triggers():
    earn(make_account())
    call_command("flush", interactive=False, verbosity=0)
    assert not any(model.objects.exists() for model in GUARDED)
    assert append_only.find_missing(connection) == []
    earn(make_account())
    with refused():
        execute("DELETE FROM {}", Posting)


@pytest.mark.django_db(transaction=True)
def test_without_our_command_flush_would_fail_where_it_deletes_row_by_row():
    earn(make_account())
    row_by_row = connection.vendor != "postgresql"
    with pytest.raises(CommandError) if row_by_row else nullcontext():
        call_command(django_flush.Command(), interactive=False, verbosity=0, reset_sequences=False)
    assert Entry.objects.exists() == row_by_row


@pytest.mark.django_db(transaction=True)
def test_the_triggers_stay_while_somebody_is_asked(monkeypatch):
    earn(make_account())
    seen = []

    def ask(question):
        seen.append(append_only.find_missing(connection))
        return "no"

    monkeypatch.setattr("builtins.input", ask)
    call_command("flush", verbosity=0)
    assert seen == [[]]
    assert Entry.objects.exists()
    assert "execute_sql_flush" not in vars(connection.ops)


class TransactionTestCaseOfAShop(TransactionTestCase):
    """Whichever of the two runs second finds an empty database."""

    def _earn_in_an_empty_shop(self):
        assert not Entry.objects.exists()
        earn(make_account())

    test_one = _earn_in_an_empty_shop
    test_another = _earn_in_an_empty_shop


# Migrations


@pytest.mark.django_db(transaction=True)
def test_a_trigger_that_somebody_dropped_or_disabled_is_missed_and_comes_back():
    if connection.vendor == "postgresql":
        execute("ALTER TABLE {} DISABLE TRIGGER loyalty_entry_no_delete", Entry)
    else:
        execute("DROP TRIGGER loyalty_entry_no_delete", Entry)
    assert [trigger.name for trigger in append_only.find_missing(connection)] == ["loyalty_entry_no_delete"]
    emit_post_migrate_signal(verbosity=0, interactive=False, db="default")
    assert append_only.find_missing(connection) == []


@pytest.mark.django_db(transaction=True)
def test_the_migration_names_the_tables_as_they_are_called_then_and_can_be_undone(monkeypatch):
    before = ProjectState.from_apps(apps)
    renamed = before.clone()
    rename = AlterModelTable("Entry", "points_entries_of_ours")
    rename.state_forwards("oscar_loyalty", renamed)
    operation = append_only.InstallAppendOnlyTriggers(*append_only.MODELS)
    earn(make_account())
    with connection.schema_editor() as editor:
        rename.database_forwards("oscar_loyalty", editor, before, renamed)
    try:
        assert append_only.find_missing(connection, apps=renamed.apps) == []
        with connection.schema_editor() as editor:
            operation.database_backwards("oscar_loyalty", editor, renamed, renamed)
        assert len(append_only.find_missing(connection, apps=renamed.apps)) == 6
        with connection.schema_editor() as editor:
            operation.database_forwards("oscar_loyalty", editor, renamed, renamed)
        assert append_only.find_missing(connection, apps=renamed.apps) == []
        with refused():
            execute("DELETE FROM {}", "points_entries_of_ours")
    finally:
        with connection.schema_editor() as editor:
            rename.database_backwards("oscar_loyalty", editor, renamed, before)
    assert append_only.find_missing(connection) == []


@pytest.mark.django_db(transaction=True)
def test_triggers_whose_migration_was_undone_stay_away(monkeypatch):
    operation = append_only.InstallAppendOnlyTriggers(*append_only.MODELS)
    state = ProjectState.from_apps(apps)
    with connection.schema_editor() as editor:
        operation.database_backwards("oscar_loyalty", editor, state, state)
    with monkeypatch.context() as patch:
        patch.setattr(MigrationLoader, "migrations_module", lambda label: ("oscar_loyalty.migrations", False))
        patch.setattr(MigrationRecorder, "applied_migrations", lambda self: {})
        append_only.restore(connection)
        assert len(append_only.find_missing(connection)) == 6
        patch.setattr(
            MigrationRecorder,
            "applied_migrations",
            lambda self: {(append_only.APP, append_only.MIGRATION): 1},
        )
        append_only.restore(connection)
    assert append_only.find_missing(connection) == []


def statements_of_the_migration():
    state = ProjectState.from_apps(apps)
    with connection.schema_editor(collect_sql=True, atomic=False) as editor:
        append_only.InstallAppendOnlyTriggers("Entry").database_forwards(
            "oscar_loyalty", editor, state, state
        )
    return editor.collected_sql


@pytest.mark.django_db(transaction=True)
def test_sqlmigrate_can_show_the_triggers():
    text = "\n".join(statements_of_the_migration())
    assert text.count("CREATE TRIGGER") == 2
    assert "append-only" in text


class NotHere:
    def allow_migrate(self, db, app_label, **hints):
        return app_label != "oscar_loyalty"


@pytest.mark.django_db(transaction=True)
def test_a_database_that_does_not_hold_the_ledger_gets_none(settings):
    settings.DATABASE_ROUTERS = [f"{__name__}.NotHere"]
    assert statements_of_the_migration() == []
    assert append_only.find_missing(connection) == []


@pytest.mark.django_db(transaction=True)
def test_an_engine_without_text_of_ours_gets_none_and_a_warning(monkeypatch):
    monkeypatch.setattr(connections["default"], "vendor", "oracle")
    assert statements_of_the_migration() == []
    assert append_only.find_missing(connection) == []
    (warning,) = checks.run_checks(tags=["oscar_loyalty"])
    assert (warning.id, warning.level) == ("oscar_loyalty.W012", checks.WARNING)


@pytest.mark.django_db(transaction=True)
def test_the_doctor_misses_the_triggers(capsys):
    with lifted_triggers(), pytest.raises(SystemExit):
        call_command("loyalty_doctor", "--json")
    found = json.loads(capsys.readouterr().out)
    (guard,) = [one for one in found["examinations"] if one["title"] == "Ledger refuses changes"]
    assert [finding["code"] for finding in guard["findings"]] == ["E119"]

"""
Triggers with which the database itself refuses to change or delete rows of the ledger.

Their text is frozen in ``oscar_loyalty/migrations/sql``. Whatever drops them without a word, such as
SQLite's way of altering a table, they are back when ``migrate`` ends. There is no variable that switches
them off: only who may alter the tables can lift them, which a shop's own login need not be able to do.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.apps import apps as installed_apps
from django.db import router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation, OperationCategory
from django.db.migrations.recorder import MigrationRecorder
from django.db.transaction import TransactionManagementError

APP = "oscar_loyalty"
MIGRATION = "0002_append_only"
MODELS = ("Entry", "Posting", "EarnedLine")
#: What Django calls the engines for which there is text; MariaDB is "mysql" to it.
ENGINES = ("postgresql", "mysql", "sqlite")

_SQL = Path(__file__).parents[1] / "migrations" / "sql"
_FUNCTION = "oscar_loyalty_refuse_change"


@dataclass(frozen=True)
class Trigger:
    """One refusal. The name stays when the table is renamed."""

    name: str
    table: str
    event: str

    def create(self, connection: BaseDatabaseWrapper) -> str:
        text = (_SQL / f"append_only_{connection.vendor}.sql").read_text(encoding="ascii")
        return text.format(
            trigger=self.name, table=connection.ops.quote_name(self.table), event=self.event
        ).strip()

    def drop(self, connection: BaseDatabaseWrapper) -> str:
        on = f" ON {connection.ops.quote_name(self.table)}" if connection.vendor == "postgresql" else ""
        return f"DROP TRIGGER IF EXISTS {self.name}{on}"


class InstallAppendOnlyTriggers(Operation):
    """
    Let the database refuse UPDATE and DELETE on the tables of these models of the app. Does nothing on
    an engine without text of ours; a system check says so. Undone, it takes the triggers away.
    """

    category = OperationCategory.SQL
    reversible = True
    reduces_to_sql = True

    def __init__(self, *models: str) -> None:
        self.models = models

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        return type(self).__name__, list(self.models), {}

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Triggers are no part of Django's models."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        for trigger in self._triggers(app_label, schema_editor, to_state):
            schema_editor.execute(trigger.drop(schema_editor.connection), params=None)
            schema_editor.execute(trigger.create(schema_editor.connection), params=None)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        triggers = self._triggers(app_label, schema_editor, to_state)
        for trigger in triggers:
            schema_editor.execute(trigger.drop(schema_editor.connection), params=None)
        if triggers and schema_editor.connection.vendor == "postgresql":
            schema_editor.execute(f"DROP FUNCTION IF EXISTS {_FUNCTION}()", params=None)

    def _triggers(self, app_label: str, schema_editor: Any, state: Any) -> list[Trigger]:
        connection = schema_editor.connection
        models = [_model(state.apps, name, app=app_label) for name in self.models]
        allowed = [model for model in models if self.allow_migrate_model(connection.alias, model)]
        return _triggers(allowed) if connection.vendor in ENGINES else []

    def describe(self) -> str:
        return f"Let the database refuse changes of {', '.join(self.models)}"

    @property
    def migration_name_fragment(self) -> str:
        return "append_only"


def find_missing(connection: BaseDatabaseWrapper, *, apps: Any = installed_apps) -> list[Trigger]:
    """Triggers that should guard the ledger in this database and do not, disabled ones among them."""
    if connection.vendor not in ENGINES:
        return []
    models = [_model(apps, name) for name in MODELS]
    wanted = _triggers(model for model in models if router.allow_migrate_model(connection.alias, model))
    there = _find_installed(connection, {trigger.table for trigger in wanted})
    return [trigger for trigger in wanted if (trigger.name, trigger.table) not in there]


def restore(connection: BaseDatabaseWrapper, *, apps: Any = installed_apps) -> None:
    """
    Put back what is missing, after ``migrate`` and where tables are made without migrations. Not where
    the migration that brings the triggers has been undone.
    """
    try:
        missing = find_missing(connection, apps=apps)
    except LookupError:  # The tables were unmade.
        return
    if not missing or not _is_wanted(connection):
        return
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
        for trigger in missing:
            if trigger.table in tables:
                cursor.execute(trigger.drop(connection))
                cursor.execute(trigger.create(connection))


@contextmanager
def lifted(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """
    Take the triggers of this database away for a while. For emptying the database, and for tests that
    tamper with the ledger; whoever sells points has no other use for it.

    :raises TransactionManagementError: within a transaction on MariaDB or MySQL, where altering the
        tables would commit it
    """
    transactional = connection.features.can_rollback_ddl
    wanted = _triggers(_model(installed_apps, name) for name in MODELS)
    there = _find_installed(connection, {trigger.table for trigger in wanted})
    triggers = [trigger for trigger in wanted if (trigger.name, trigger.table) in there]
    if triggers and connection.in_atomic_block and not transactional:
        raise TransactionManagementError(
            f"The triggers of the ledger cannot be lifted within a transaction on {connection.vendor}, "
            "which would commit it. In a test use TransactionTestCase or django_db(transaction=True)."
        )
    if transactional:
        # An error inside rolls back, and the triggers with it.
        with transaction.atomic(using=connection.alias):
            if connection.vendor == "postgresql":
                connection.check_constraints()  # It alters no table with checks outstanding.
            _execute(connection, [trigger.drop(connection) for trigger in triggers])
            yield
            _execute(connection, [trigger.create(connection) for trigger in triggers])
    else:
        try:
            _execute(connection, [trigger.drop(connection) for trigger in triggers])
            yield
        finally:
            _execute(connection, [trigger.drop(connection) for trigger in triggers])
            _execute(connection, [trigger.create(connection) for trigger in triggers])


def hinders_flush(connection: BaseDatabaseWrapper) -> bool:
    """Whether Django would empty guarded tables row by row; on PostgreSQL it truncates them."""
    if connection.vendor not in ("mysql", "sqlite"):
        return False
    models = [_model(installed_apps, name) for name in MODELS]
    tables = {table for _name, table in _find_installed(connection, {m._meta.db_table for m in models})}
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"SELECT 1 FROM {connection.ops.quote_name(table)} LIMIT 1")  # noqa: S608
            if cursor.fetchone():
                return True
    return False


def close_replace_hole(*, connection: BaseDatabaseWrapper, **_later: Any) -> None:
    """SQLite's INSERT OR REPLACE deletes rows past the triggers unless the connection says otherwise."""
    if connection.vendor == "sqlite":
        connection.connection.execute("PRAGMA recursive_triggers = ON")


def _model(apps: Any, name: str, *, app: str = APP) -> Any:
    """A model of ours, of now or of a state of migrations. :raises LookupError: it is not there"""
    return apps.all_models[app][name.lower()]


def _triggers(models: Any) -> list[Trigger]:
    return [
        Trigger(f"loyalty_{model._meta.model_name}_no_{event.lower()}", model._meta.db_table, event)
        for model in models
        for event in ("UPDATE", "DELETE")
    ]


def _find_installed(connection: BaseDatabaseWrapper, tables: set[str]) -> set[tuple[str, str]]:
    """Name and table of each trigger that works on one of these tables."""
    if not tables or connection.vendor not in ENGINES:
        return set()
    if connection.vendor == "postgresql":
        # Only the tables that an unqualified name means, whatever other schemas hold.
        query = """
            SELECT tgname, relname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
            WHERE pg_table_is_visible(tgrelid) AND tgenabled <> 'D' AND relname IN ({})"""
    elif connection.vendor == "mysql":
        query = """
            SELECT trigger_name, event_object_table FROM information_schema.triggers
            WHERE trigger_schema = DATABASE() AND event_object_table IN ({})"""
    else:
        query = "SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger' AND tbl_name IN ({})"
    with connection.cursor() as cursor:
        cursor.execute(query.format(", ".join(["%s"] * len(tables))), sorted(tables))
        return {(str(name), str(table)) for name, table in cursor.fetchall()}


def _is_wanted(connection: BaseDatabaseWrapper) -> bool:
    if MigrationLoader.migrations_module(APP)[0] is None:
        return True  # The shop makes tables without migrations, as test runs like to.
    return (APP, MIGRATION) in MigrationRecorder(connection).applied_migrations()


def _execute(connection: BaseDatabaseWrapper, statements: list[str]) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)

from collections.abc import Iterable
from typing import Any

from django.core.management.commands import flush
from django.db import connections

from oscar_loyalty.points import append_only


class Command(flush.Command):
    """
    Django's own command, which must get past the triggers of the ledger: SQLite and MariaDB empty tables
    by DELETE, and every ``TransactionTestCase`` of a shop calls it.
    """

    def handle(self, **options: Any) -> None:
        connection = connections[options["database"]]
        operations = connection.ops
        execute = operations.execute_sql_flush

        # Only while the rows go, not while somebody is asked whether they should.
        def execute_without_triggers(statements: Iterable[str]) -> None:
            if not append_only.hinders_flush(connection):
                return execute(statements)
            with append_only.lifted(connection):
                return execute(statements)

        operations.execute_sql_flush = execute_without_triggers  # type: ignore[method-assign,assignment]
        try:
            super().handle(**options)
        finally:
            del operations.execute_sql_flush

"""Begin again with an empty database."""

from pathlib import Path

from django.core.cache import cache
from django.core.management import call_command
from django.db import connection


def empty_shop() -> None:
    """
    Take every row out of the database.

    A SQLite file is removed, because tables that refuse deletion can only be emptied that way; other
    databases are truncated.
    """
    name = str(connection.settings_dict["NAME"])
    if connection.vendor == "sqlite" and not connection.is_in_memory_db():
        connection.close()
        for suffix in ("", "-wal", "-shm"):
            Path(name + suffix).unlink(missing_ok=True)
    else:
        call_command("flush", interactive=False, verbosity=0)
    cache.clear()

"""One booking in one statement on PostgreSQL. Other engines have nothing to do here."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).with_name("sql") / "postgresql_functions.sql"

FUNCTIONS = (
    "oscar_loyalty_award_1",
    "oscar_loyalty_capture_1",
    "oscar_loyalty_hold_1",
    "oscar_loyalty_release_1",
    # Called by the others, so last when they are dropped.
    "oscar_loyalty_digest_1",
    "oscar_loyalty_hash_1",
)


def install(apps, schema_editor):
    """Into the first schema of the connection's search path, beside the tables; safe to run again."""
    if schema_editor.connection.vendor == "postgresql":
        with schema_editor.connection.cursor() as cursor:
            cursor.execute(SQL.read_text(encoding="utf-8"))


def remove(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        with schema_editor.connection.cursor() as cursor:
            for name in FUNCTIONS:
                cursor.execute(f"DROP FUNCTION IF EXISTS {name}")


class Migration(migrations.Migration):
    dependencies = [("oscar_loyalty", "0002_append_only")]

    operations = [migrations.RunPython(install, remove)]

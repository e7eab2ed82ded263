"""Due accounts settled in batches on PostgreSQL. Other engines have nothing to do here."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).with_name("sql") / "settling_functions.sql"

LINK = "text, uuid, bigint, text, text, text, bigint, bigint, timestamptz, timestamptz, text, text"


def install(apps, schema_editor):
    """Into the first schema of the connection's search path, beside the tables; safe to run again."""
    if schema_editor.connection.vendor == "postgresql":
        with schema_editor.connection.cursor() as cursor:
            cursor.execute(SQL.read_text(encoding="utf-8"))


def remove(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        with schema_editor.connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION IF EXISTS oscar_loyalty_settle_1")
            cursor.execute(f"DROP AGGREGATE IF EXISTS oscar_loyalty_chain_1({LINK})")
            cursor.execute("DROP FUNCTION IF EXISTS oscar_loyalty_link_1")


class Migration(migrations.Migration):
    dependencies = [("oscar_loyalty", "0003_postgresql_functions")]

    operations = [migrations.RunPython(install, remove)]

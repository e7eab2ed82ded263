"""An award of several rules in one statement on PostgreSQL. Other engines have nothing to do here."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).with_name("sql") / "award_function.sql"


def install(apps, schema_editor):
    """Into the first schema of the connection's search path, beside the tables; safe to run again."""
    if schema_editor.connection.vendor == "postgresql":
        with schema_editor.connection.cursor() as cursor:
            cursor.execute(SQL.read_text(encoding="utf-8"))


def remove(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        with schema_editor.connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION IF EXISTS oscar_loyalty_award_2")


class Migration(migrations.Migration):
    dependencies = [("oscar_loyalty", "0005_rules_tiers_perks")]

    operations = [migrations.RunPython(install, remove)]

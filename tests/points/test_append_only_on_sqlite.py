"""Holes in the triggers that only SQLite has."""

import sqlite3

import pytest
from django.core.management.sql import emit_post_migrate_signal
from django.db import connection

from oscar_loyalty.points import append_only
from oscar_loyalty.points.models import Entry

from .test_append_only import earn, execute, make_account, refused

pytestmark = pytest.mark.skipif(connection.vendor != "sqlite", reason="only SQLite has these holes")

REPLACE = "INSERT OR REPLACE INTO {0} SELECT * FROM {0}"


def test_replacing_a_row_is_refused(account):
    earn(account)
    with refused():
        execute(REPLACE, Entry)


def test_replacing_a_row_would_get_past_the_triggers_without_the_pragma(account):
    earn(account)
    execute("PRAGMA recursive_triggers = OFF", Entry)
    try:
        execute(REPLACE, Entry)
    finally:
        execute("PRAGMA recursive_triggers = ON", Entry)


@pytest.mark.django_db(transaction=True)
def test_a_table_that_is_made_anew_loses_its_triggers_and_gets_them_back():
    earn(make_account())
    with connection.schema_editor() as editor:
        editor._remake_table(Entry)
    assert {trigger.table for trigger in append_only.find_missing(connection)} == {Entry._meta.db_table}
    emit_post_migrate_signal(verbosity=0, interactive=False, db="default")
    with refused():
        execute("DELETE FROM {}", Entry)


def test_a_program_that_does_not_know_us_is_refused_too(account, tmp_path):
    earn(account)
    copy = sqlite3.connect(tmp_path / "copy.sqlite3")
    copy.executescript("\n".join(connection.connection.iterdump()))
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        copy.execute("UPDATE oscar_loyalty_entry SET points = 1")
    copy.close()

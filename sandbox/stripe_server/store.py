"""What the server remembers: one SQLite database, one writer at a time."""

from __future__ import annotations

import json
import secrets
import sqlite3
import string
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .errors import ApiError

SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS objects_kind ON objects (kind, seq);
CREATE TABLE IF NOT EXISTS timers (due INTEGER NOT NULL, action TEXT NOT NULL, id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, created INTEGER NOT NULL, status INTEGER NOT NULL,
    body TEXT NOT NULL, request_id TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL, type TEXT NOT NULL, due REAL NOT NULL,
    state TEXT NOT NULL DEFAULT 'pending', attempts INTEGER NOT NULL DEFAULT 0, answer TEXT,
    signature TEXT NOT NULL DEFAULT 'good', waits_for_next INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS faults (id INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
TABLES = ("objects", "timers", "replies", "deliveries", "faults", "settings")


class Store:
    """
    Objects are plain dicts as Stripe shows them; keys that begin with ``_`` are the server's own.

    A dict read from here is a copy: ``save`` it to keep a change.
    """

    def __init__(self, path: str | None = None) -> None:
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        if path:
            self._db.execute("PRAGMA journal_mode=WAL")
        self._db.executescript(SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, and alone."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """A part of a transaction, undone by an error unless it keeps what was written (a declined card)."""
        self._db.execute("SAVEPOINT attempt")
        try:
            yield
        except BaseException as error:
            if not (isinstance(error, ApiError) and error.keeps_changes):
                self._db.execute("ROLLBACK TO attempt")
            raise
        finally:
            self._db.execute("RELEASE attempt")

    def sql(self, statement: str, *values: Any) -> list[sqlite3.Row]:
        with self._lock:
            return self._db.execute(statement, values).fetchall()

    def save(self, item: dict[str, Any]) -> dict[str, Any]:
        self.sql(
            "INSERT INTO objects (id, kind, body) VALUES (?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET body = excluded.body",
            item["id"],
            item["object"],
            json.dumps(item),
        )
        return item

    def find(self, kind: str, wanted: str) -> dict[str, Any] | None:
        rows = self.sql("SELECT body FROM objects WHERE kind = ? AND id = ?", kind, wanted)
        return json.loads(rows[0]["body"]) if rows else None

    def newest_first(self, kind: str, **having: Any) -> list[dict[str, Any]]:
        """Return all objects of a kind whose named fields have these values."""
        tests = "".join(f" AND json_extract(body, '$.{name}') = ?" for name in having)
        rows = self.sql(
            f"SELECT body FROM objects WHERE kind = ?{tests} ORDER BY seq DESC",  # noqa: S608 our own names
            kind,
            *having.values(),
        )
        return [json.loads(row["body"]) for row in rows]

    def setting(self, name: str, default: Any = None) -> Any:
        rows = self.sql("SELECT value FROM settings WHERE name = ?", name)
        return json.loads(rows[0]["value"]) if rows else default

    def set_setting(self, name: str, value: Any) -> None:
        self.sql("INSERT OR REPLACE INTO settings VALUES (?, ?)", name, json.dumps(value))

    def set_timer(self, due: int, action: str, wanted: str) -> None:
        self.sql("INSERT INTO timers VALUES (?, ?, ?)", due, action, wanted)

    def take_due_timers(self, now: int) -> list[tuple[str, str]]:
        rows = self.sql("SELECT action, id FROM timers WHERE due <= ? ORDER BY due, rowid", now)
        if rows:
            self.sql("DELETE FROM timers WHERE due <= ?", now)
        return [(row["action"], row["id"]) for row in rows]

    def clear(self, *, keeping: tuple[str, ...] = ()) -> None:
        """Forget everything but the settings named."""
        kept = {name: self.setting(name) for name in keeping}
        for table in TABLES:
            self.sql(f"DELETE FROM {table}")  # noqa: S608 our own names
        for name, value in kept.items():
            if value is not None:
                self.set_setting(name, value)

    def close(self) -> None:
        with self._lock:
            self._db.close()


def new_id(prefix: str, length: int = 24) -> str:
    return f"{prefix}_" + "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(length))

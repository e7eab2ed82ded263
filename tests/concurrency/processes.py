"""
Many processes at one start line.

Threads of one interpreter take turns; processes do not, and each has a database connection of its own,
as the workers of a shop have. They are forked, so that sixteen of them cost milliseconds instead of
sixteen starts of Django, and so that what a test patches (a lock that it removes) is patched in them.
"""

import multiprocessing
import os
import sqlite3
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.db import IntegrityError, connection, connections

#: Rounds of each race: few for every day, more by the environment.
ROUNDS = int(os.environ.get("LOYALTY_RACE_ROUNDS") or 3)
_fork = multiprocessing.get_context("fork")
#: A connection of the parent must not be closed by its child, nor be collected there.
_of_the_parent: list[Any] = []


def run_in_processes(jobs: list[Callable[[], Any]], *, seconds: float = 60) -> list[Any]:
    """
    Run every job in a process with a connection of its own, which is open before the start, and
    return what each one returned or raised, in order.
    """
    return results_of(start_processes(jobs), seconds=seconds)


def start_processes(jobs: list[Callable[[], Any]]) -> list[tuple[Any, Any]]:
    """Start every job as ``run_in_processes`` does, and come back at once."""
    start = _fork.Barrier(len(jobs))
    workers = []
    for job in jobs:
        receiver, sender = _fork.Pipe(duplex=False)
        process = _fork.Process(target=_work, args=(job, start, sender), daemon=True)
        with warnings.catch_warnings():
            # From Python 3.12 on a fork beside threads is warned of; ours touch nothing that is locked.
            warnings.simplefilter("ignore", DeprecationWarning)
            process.start()
        sender.close()
        workers.append((process, receiver))
    return workers


def results_of(workers: list[tuple[Any, Any]], *, seconds: float = 60) -> list[Any]:
    """What the processes returned or raised."""
    results = []
    for process, receiver in workers:
        try:
            results.append(receiver.recv() if receiver.poll(seconds) else TimeoutError("no answer"))
        except EOFError:
            results.append(ChildProcessError("it died"))
        process.join(timeout=5)
        if process.is_alive():
            process.kill()
    return results


def _work(job: Callable[[], Any], start: Any, sender: Any) -> None:
    _of_the_parent.append(connections["default"])
    del connections["default"]
    connection.ensure_connection()
    start.wait(timeout=30)
    try:
        result = job()
    except Exception as error:  # noqa: BLE001 - what was raised is the result
        # Without the driver's error, which not every driver lets us send.
        result = type(error)(*map(str, error.args)) if type(error).__module__ != "builtins" else error
    connection.close()
    try:
        sender.send(result)
    except Exception as error:  # noqa: BLE001
        sender.send(RuntimeError(f"{result!r} cannot be sent: {error}"))


def kinds(results: Iterable[Any]) -> Counter[str]:
    """How many results there are of each type."""
    return Counter(type(result).__name__ for result in results)


def stopped_by(results: Iterable[Any], *constraints: str) -> bool:
    """Whether the database refused a row of some process because of one of these constraints."""
    texts = [str(result) for result in results if isinstance(result, IntegrityError)]
    return any(name in text for name in constraints for text in texts)


def deadlocks() -> int:
    """Deadlocks that PostgreSQL has seen in this database; the other engines raise them only."""
    if connection.vendor != "postgresql":
        return 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return int(cursor.fetchone()[0])


@contextmanager
def database_for_processes(folder: Path) -> Iterator[None]:
    """On SQLite the tests' database is in memory, where no other process sees it: use a file."""
    if connection.vendor != "sqlite":
        yield
        return
    connection.ensure_connection()
    in_memory, name = connection.connection, connection.settings_dict["NAME"]
    path = folder / "shared.sqlite3"
    with sqlite3.connect(path) as copy:
        in_memory.backup(copy)
        copy.execute("PRAGMA journal_mode = WAL")
    copy.close()
    connection.connection, connection.settings_dict["NAME"] = None, str(path)
    try:
        yield
    finally:
        connection.close()
        connection.connection, connection.settings_dict["NAME"] = in_memory, name

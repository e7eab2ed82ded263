"""Transactions: within somebody else's, and tried again when the database picked them as a victim."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db import OperationalError, connection, transaction
from django.db.models import Model

P = ParamSpec("P")
R = TypeVar("R")

RETRIES = 5
#: Seconds of the first pause at most; it doubles each time.
FIRST_PAUSE = 0.02

# Serialization failure and deadlock. Not 55P03: a lock timeout is how long somebody wanted to wait.
_POSTGRESQL = {"40001", "40P01"}
# Deadlock, and a row lock that was not given in innodb_lock_wait_timeout.
_MYSQL = {1213, 1205}
_SQLITE_BUSY = 5


@contextmanager
def spare_transaction() -> Iterator[None]:
    """
    Whoever catches what is raised in here can go on in the transaction around it (a shop may have
    ``ATOMIC_REQUESTS``): on PostgreSQL a failed statement would spoil all of it. Costs nothing where
    there is no transaction.
    """
    if connection.in_atomic_block:
        with transaction.atomic():
            yield
    else:
        yield


def make_unless_there(rows: Sequence[Model], *, key: str) -> None:
    """
    Insert rows of one kind that nobody has made yet; who makes the same ones at the same time waits. To be
    locked afterwards. ``key`` is a field of the unique key that decides.

    On MariaDB and MySQL an insertion that fails leaves a shared lock, and two who then want the row to
    themselves wait in a circle: there the key is written over with the same value, which locks alone.
    """
    manager = type(rows[0])._default_manager
    if connection.vendor == "mysql":
        manager.bulk_create(rows, update_conflicts=True, update_fields=[key])
    else:
        manager.bulk_create(rows, ignore_conflicts=True)


def atomic_with_retries(function: Callable[P, R]) -> Callable[P, R]:
    """
    ``transaction.atomic`` for a function that may run again from its start: when the database ended its
    transaction for the sake of another one, it is tried again, five times, after pauses of random length.

    Inside a transaction of the caller's it is tried once. Locks that were taken before are still held
    then, so that trying again would meet the same deadlock; only the caller can begin anew.
    """

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        attempt = 0
        while True:
            try:
                with transaction.atomic():
                    return function(*args, **kwargs)
            except OperationalError as error:
                if connection.in_atomic_block or attempt == RETRIES or not is_passing(error):
                    raise
            time.sleep(random.uniform(0, FIRST_PAUSE * 2**attempt))  # noqa: S311 - no secret
            attempt += 1

    return wrapper


def is_passing(error: OperationalError) -> bool:
    """Whether the same transaction may well succeed the next time."""
    cause = error.__cause__
    if cause is None:
        return False
    if (sqlstate := getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)) is not None:
        return sqlstate in _POSTGRESQL
    if (code := getattr(cause, "sqlite_errorcode", None)) is not None:
        return bool(code & 0xFF == _SQLITE_BUSY)
    return bool(cause.args) and cause.args[0] in _MYSQL

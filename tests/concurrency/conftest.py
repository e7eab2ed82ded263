from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import TransactionTestCase

from .processes import database_for_processes, deadlocks


@pytest.fixture(scope="module")
def processes(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """
    The tests' database where other processes see it, emptied once after the module: emptying it after
    each race would take longer than the race.
    """
    with (
        mock.patch.object(TransactionTestCase, "_fixture_teardown"),
        django_db_blocker.unblock(),
        database_for_processes(tmp_path_factory.mktemp("shared")),
    ):
        yield
        if connection.vendor != "sqlite":  # there it was a copy
            call_command("flush", interactive=False, verbosity=0)
        connection.close()


@pytest.fixture
def no_deadlock(processes: None) -> Iterator[None]:
    """Nobody waited in a circle, not even where a retry would hide it."""
    before = deadlocks()
    yield
    assert deadlocks() == before, "the database had to end a deadlock"

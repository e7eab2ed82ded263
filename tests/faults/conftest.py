"""Servers for one module of tests, and how much of a fault to play."""

import os

import pytest

from tests.faults.servers import MariaDB, PostgreSQL

#: LOYALTY_FAULTS=full plays the big numbers; otherwise all of it takes a minute or two.
FULL = os.environ.get("LOYALTY_FAULTS") == "full"


@pytest.fixture(scope="session")
def postgresql():
    with PostgreSQL() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb():
    with MariaDB() as server:
        yield server


@pytest.fixture
def database_url(request, tmp_path):
    """The address of the engine that the test names (``indirect=True``)."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/shop.sqlite3"
    return request.getfixturevalue(request.param).url

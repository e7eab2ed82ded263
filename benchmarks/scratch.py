"""A database of its own for one run of a benchmark, dropped afterwards."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import django


@contextmanager
def scratch_database(url: str, settings: str = "benchmarks.ledger_settings") -> Iterator[None]:
    """An empty database beside the one that ``url`` names, with all tables."""
    os.environ["DATABASE_URL"] = url
    os.environ["DJANGO_SETTINGS_MODULE"] = settings
    django.setup()
    from django.conf import settings as configured
    from django.test.utils import get_runner

    runner = get_runner(configured)(verbosity=0, interactive=False)
    databases = runner.setup_databases()
    try:
        yield
    finally:
        runner.teardown_databases(databases)


@contextmanager
def scratch_shop(url: str) -> Iterator[None]:
    """The same with the whole plain shop of the tests, whose mails go nowhere."""
    os.environ["BENCHMARK_CASE"] = "installed"
    with scratch_database(url, "benchmarks.settings"):
        from django.test.utils import setup_test_environment, teardown_test_environment

        setup_test_environment()
        try:
            yield
        finally:
            teardown_test_environment()

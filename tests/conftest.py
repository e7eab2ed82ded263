"""
What every test may ask for, and the rules of the lanes.

A lane is a run of the suite on one engine or with one piece of equipment (sandbox/tools/lanes.py starts
them). A test that needs equipment says so with a marker; without the equipment it is skipped with
the reason, and where every lane is demanded (CI=true or LOYALTY_REQUIRE_LANES=1) that skip fails.
"""

import os
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest
import pytest_django
from django.conf import settings as django_settings
from django.db import connection
from django.utils import translation
from hypothesis import HealthCheck, Phase, settings

from sandbox.tools.equipment import all_lanes_demanded, find_broker, find_chromium

# Hypothesis: a developer's run, CI's run, and a long one for nights.
settings.register_profile("quick", max_examples=25, deadline=None)
settings.register_profile("ci", max_examples=100, deadline=None, print_blob=True)
settings.register_profile(
    "nightly",
    max_examples=int(os.environ.get("EXAMPLES") or 2000),
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
# Tests of changed code: always the same histories, and no search for a shorter one.
settings.register_profile(
    "mutation",
    max_examples=16,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "quick"))

EQUIPMENT = ("database", "broker", "browser")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "browser" in item.keywords and not find_chromium():
            item.add_marker(pytest.mark.skip(reason="Chromium is not here (CHROMIUM names its program)"))
        if "broker" in item.keywords and not find_broker():
            item.add_marker(pytest.mark.skip(reason="no broker answers (CELERY_BROKER_URL)"))
        if "stripe_live" in item.keywords and not os.environ.get("STRIPE_SECRET_KEY", "").startswith(
            "sk_test_"
        ):
            item.add_marker(pytest.mark.skip(reason="STRIPE_SECRET_KEY holds no test key"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = (yield).get_result()
    if not (report.skipped and all_lanes_demanded()) or hasattr(report, "wasxfail"):
        return
    for marker in EQUIPMENT:
        # On SQLite a `database` test may skip what only a server does; its own lanes may not.
        if marker in item.keywords and not (marker == "database" and connection.vendor == "sqlite"):
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid}: skipped, but the {marker} lane is demanded: {report.longrepr}"


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: pytest_django.DjangoDbBlocker) -> None:
    """What migrations alone put into a database, which most runs leave out (--nomigrations)."""
    with django_db_blocker.unblock(), connection.schema_editor() as editor:
        for name in ("0003_postgresql_functions", "0006_award_with_several_rules"):
            import_module(f"oscar_loyalty.migrations.{name}").install(None, editor)


@pytest.fixture(autouse=True)
def language_of_the_settings() -> None:
    """A request in another language leaves it active in the thread; the next test begins in ours."""
    translation.activate(django_settings.LANGUAGE_CODE)


#: Tables that a locking statement may read beside the one it locks: the time zone of a programme, by which
#: days are cut, and the reservation that names an account, which is read once more under the account's lock.
ALSO_READ = {"oscar_loyalty_programme", "oscar_loyalty_hold"}


def _lock_only(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
    if re.search(r" FOR (NO KEY )?UPDATE", str(sql)):
        read = set(re.findall(r"\(SELECT .*? FROM [`\"](\w+)", str(sql)))
        assert read <= ALSO_READ, f"What is read with a lock is as old as the wait for it: {sql}"
    return execute(sql, params, many, context)


@pytest.fixture(autouse=True)
def locks_read_nothing_else() -> Iterator[None]:
    """
    A statement that waits for a lock has the locked row as it is then, and all others as they were when it
    began to wait: an order once kept points of pieces that had come back. SQLite has no such statements.
    """
    with connection.execute_wrapper(_lock_only):
        yield


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Chromium's program, for ``executable_path`` of Playwright. Mark the test ``browser``."""
    path = find_chromium()
    assert path, "mark the test with pytest.mark.browser"
    return path


@pytest.fixture(scope="session")
def chromium(chromium_path: str) -> Iterator[object]:
    """A running headless Chromium (a Playwright ``Browser``). Mark the test ``browser``."""
    from playwright.sync_api import sync_playwright

    # Playwright keeps an event loop in this thread, at which Django's ORM would otherwise take offence.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    quiet = [
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-gpu",
    ]
    as_root = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium_path, args=["--no-first-run", "--disable-quic", *quiet, *as_root]
        )
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture(scope="session")
def broker_url() -> str:
    """The address of a broker that answers. Mark the test ``broker``."""
    url = find_broker()
    assert url, "mark the test with pytest.mark.broker"
    return url


@pytest.fixture
def row_locks() -> None:
    """Skip the test where the engine has no row locks to test (SQLite)."""
    if not connection.features.has_select_for_update:
        pytest.skip(f"{connection.vendor} has no row locks; the lanes of PostgreSQL and MariaDB run this")

"""The app lives in both hosts: a plain shop, and one that has forked Oscar's apps."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import oscar
import pytest
from django.apps import apps

ROOT = Path(__file__).resolve().parents[2]
HOSTS = ["plain", "forked"]


@pytest.mark.host
@pytest.mark.django_db
@pytest.mark.parametrize(
    "url", ["/", "/catalogue/", "/basket/", "/accounts/login/", "/offers/", "/admin/login/"]
)
def test_the_shop_opens(client, url):
    assert client.get(url, follow=True).status_code == 200


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize(
    "command",
    [["check", "--fail-level", "WARNING"], ["makemigrations", "--check", "--dry-run"]],
    ids=["no check complains", "no migration is missing"],
)
def test_the_app_is_complete_in_every_host(host, command):
    """In a process of its own, since this one may run without migrations."""
    result = _manage(host, *command)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_forked_host_lacks_the_migrations_that_only_oscar_has():
    """Otherwise it would prove nothing: a pin to Oscar's newest migration must break there."""
    newest = max(Path(oscar.__file__).parent.joinpath("apps/order/migrations").glob("0*.py")).stem
    result = _manage("forked", "showmigrations", "order", "--plan")
    assert result.returncode == 0, result.stderr
    assert "order.0001_initial" in result.stdout
    assert newest not in result.stdout


def test_our_migrations_name_only_the_first_migration_of_oscar():
    oscar_labels = {config.label for config in apps.get_app_configs() if config.name.startswith("oscar.")}
    oscar_labels |= {"order", "offer"}
    migrations = sorted((ROOT / "oscar_loyalty" / "migrations").glob("0*.py"))
    assert migrations, "the app has tables, so it has migrations"
    for file in migrations:
        for label, name in _dependencies(file):
            if label in oscar_labels:
                assert name == "__first__", f"{file.name} pins {label}.{name}"


def _dependencies(file: Path) -> list[tuple[str, str]]:
    for node in ast.walk(ast.parse(file.read_text())):
        targets = getattr(node, "targets", [])
        if isinstance(node, ast.Assign) and getattr(targets[0], "id", "") == "dependencies":
            # Beside plain pairs there is `migrations.swappable_dependency(…)`, which names no migration.
            return [ast.literal_eval(pair) for pair in node.value.elts if isinstance(pair, ast.Tuple)]
    return []


def _manage(host: str, *command: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": f"tests.hosts.{host}.settings",
        "DATABASE_URL": "sqlite://:memory:",
    }
    return subprocess.run(
        [sys.executable, "-m", "django", *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

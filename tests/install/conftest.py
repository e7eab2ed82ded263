"""A shop that runs without us, in a folder of its own and with processes of its own."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
_BLOCK = re.compile(r"```python title=\"(?P<file>[\w.]+)\"\n(?P<code>.*?)```", re.DOTALL)
_COMMAND = re.compile(r"^ *python manage\.py (?P<arguments>.+)$", re.MULTILINE)


@dataclass
class Shop:
    """A project in ``folder``; the package is found through the path, as pip would make it."""

    folder: Path
    is_package_here: bool = True

    def manage(self, *arguments: str) -> str:
        """What a management command prints. Fails the test when the command fails."""
        done = self._run("manage.py", *arguments)
        assert done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr[-3000:]}"
        return done.stdout + done.stderr

    def visit(self, *paths: str) -> dict[str, dict]:
        """Status and text of pages by path, as a guest with one product in the basket sees them."""
        done = self._run("visit.py", *paths)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    def _run(self, *arguments: str) -> subprocess.CompletedProcess:
        path = str(ROOT) if self.is_package_here else ""
        environment = {**os.environ, "PYTHONPATH": path, "DJANGO_SETTINGS_MODULE": "settings"}
        # Celery reads its broker from the environment too; this shop has none.
        for name in ("DATABASE_URL", "CELERY_BROKER_URL"):
            environment.pop(name, None)
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


def blocks_of(page: str, file: str) -> str:
    """The code that a page of the documentation wants at the end of a file."""
    text = (ROOT / page).read_text()
    return "\n".join(match["code"] for match in _BLOCK.finditer(text) if match["file"] == file)


def commands_of(page: str) -> list[list[str]]:
    """Arguments of the ``manage.py`` lines of a page, in its order."""
    return [match["arguments"].split() for match in _COMMAND.finditer((ROOT / page).read_text())]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A shop with one product and one customer, before anybody thought of points."""
    shop = Shop(tmp_path_factory.mktemp("shop"))
    for name in ("settings.py", "urls.py", "manage.py", "visit.py", "seed.py"):
        (shop.folder / name).write_text((HERE / "shop" / name).read_text())
    shop.manage("migrate", "--verbosity", "0")
    shop.manage("shell", "--command", "import seed")
    return shop

"""Who may lean on whom, and that each room says what it is."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "oscar_loyalty"
#: They decide by facts alone, so they ask neither Oscar nor Django's registry for anybody's models.
BLIND = ("conf.py", "flows", "jobs", "members", "outbox", "points", "programmes")
#: Folders whose names and contents Django prescribes.
PRESCRIBED = {"locale", "management", "migrations", "static", "templates", "templatetags", "__pycache__"}
ROOMS = sorted(folder for folder in PACKAGE.iterdir() if folder.is_dir() and folder.name not in PRESCRIBED)


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the package in ``folder`` against the contract, without the cache of other runs."""
    return subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))",
        ],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_import_contract_is_kept():
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("room", "line", "broken"),
    [
        (
            "points/rules.py",
            "from oscar.core.loading import get_model",
            "oscar_loyalty.points.rules -> oscar",
        ),
        ("points/rules.py", "import oscar_loyalty.flows.earning", "points.rules -> oscar_loyalty.flows"),
    ],
)
def test_the_import_contract_notices_what_breaks_it(tmp_path, room, line, broken):
    copy = tmp_path / "oscar_loyalty"
    shutil.copytree(
        PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "templates", "static", "locale")
    )
    shutil.copy(ROOT / "setup.cfg", tmp_path)
    module = copy / room
    module.write_text(f"{line}\n{module.read_text()}")
    result = lint_imports(tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    assert broken in result.stdout


@pytest.mark.parametrize("name", BLIND)
def test_rules_and_flows_look_up_no_models_of_the_shop(name):
    place = PACKAGE / name
    for file in [place] if place.is_file() else place.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            used = getattr(node, "id", getattr(node, "attr", getattr(node, "name", "")))
            assert used not in {"get_model", "get_class", "get_classes"}, f"{file.name}: {ast.unparse(node)}"


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_every_room_says_on_half_a_page_what_it_is(room):
    lines = (room / "README.md").read_text().splitlines()
    assert lines[0] == f"# {room.name}"
    assert 5 <= len(lines) <= 40

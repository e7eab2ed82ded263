"""Runs the tests of the sandbox under its own settings, on a database and files of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(420)  # a whole suite, on whatever else the machine is doing
@pytest.mark.skipif(
    os.environ.get("DJANGO_SETTINGS_MODULE") == "sandbox.settings", reason="this already is that process"
)
def test_the_sandbox_passes_its_own_tests(tmp_path):
    pytest.importorskip("oscarapi", reason="the sandbox is a shop with django-oscar-api")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("COV_", "PYTEST_"))},
        "DJANGO_SETTINGS_MODULE": "sandbox.settings",
        "SANDBOX_VAR": str(tmp_path),
        "DATABASE_URL": "sqlite://:memory:",
    }
    arguments = ["--ds=sandbox.settings", "--nomigrations", "-q", "-n0", "tests/sandbox/shop"]
    outcome = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr

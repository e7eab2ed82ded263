"""
Play one scenario in a process of its own: ``python -m tests.faults.play module:function`` with options
as JSON on the standard input and the outcome as JSON in the last line.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from typing import Any

from sandbox.run import ROOT

WITHIN = 900  # seconds


def begin(
    scenario: str, environment: dict[str, str], *, talks: bool = False, **options: Any
) -> subprocess.Popen[str]:
    """``talks``: the scenario goes on reading the standard input."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.play", scenario],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.faults.settings", **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(options) + "\n")
    process.stdin.flush()
    if not talks:
        process.stdin.close()
        process.stdin = None
    return process


def end(process: subprocess.Popen[str]) -> Any:
    """The outcome. Fails when the scenario failed."""
    try:
        out, errors = process.communicate(timeout=WITHIN)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 9)
    assert process.returncode == 0, out[-2000:] + errors[-6000:]
    return json.loads(out.splitlines()[-1])


def play(scenario: str, environment: dict[str, str], **options: Any) -> Any:
    return end(begin(scenario, environment, **options))


def main() -> None:
    import django
    from django.core.management import call_command

    options = json.loads(sys.stdin.readline())
    django.setup()
    call_command("migrate", run_syncdb=True, verbosity=0)
    module, _, function = sys.argv[1].partition(":")
    outcome = getattr(importlib.import_module(module), function)(**options)
    print(json.dumps(outcome), flush=True)


if __name__ == "__main__":
    main()

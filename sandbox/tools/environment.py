"""
The virtual environment ``.venv``: made once, brought up to date when the package's needs change.

``python3 -m sandbox.tools.environment sandbox test`` makes it by hand.
"""

from __future__ import annotations  # so that an old Python gets as far as the message below

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from sandbox.tools.progress import Progress, StepFailed

ROOT = Path(__file__).resolve().parents[2]

VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "installed.json"
OLDEST = (3, 11)


class PythonTooOld(Exception):
    """This Python is older than the package promises to support."""


def ensure(*extras: str, progress: Progress) -> Path:
    """
    Make ``.venv`` hold the package with ``extras`` and return its Python.

    Does nothing when the same setup.cfg and pyproject.toml were installed before with these extras.
    :raises PythonTooOld: this Python cannot run the package
    :raises StepFailed: a download or a build failed
    """
    if sys.version_info < OLDEST:
        have = ".".join(map(str, sys.version_info[:3]))
        raise PythonTooOld(
            f"Python 3.11 or newer is needed; {sys.executable} is {have}. "
            "Choose another: make PYTHON=/path/to/python3.11 …"
        )
    with _one_at_a_time():
        installed = _installed()
        if installed is None:
            # Moved, half made, or of a Python that is gone: begin again rather than guess.
            shutil.rmtree(VENV, ignore_errors=True)
            _make(progress)
            installed = {"needs": "", "extras": []}
        needs = _fingerprint()
        wanted = set(extras)
        if installed["needs"] == needs and wanted <= set(installed["extras"]):
            progress.say("Packages are installed and up to date")
            return PYTHON
        # Those that were there before stay, so that `make run` and `make test` do not undo each other.
        wanted |= set(installed["extras"])
        names = ",".join(sorted(wanted))
        _pip(f"Installing {names}", "-e", f".[{names}]", progress=progress)
        STAMP.write_text(json.dumps({"needs": needs, "extras": sorted(wanted), "at": str(VENV)}))
    return PYTHON


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    with (ROOT / ".venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _installed() -> dict | None:
    try:
        stamp = json.loads(STAMP.read_text())
        works = subprocess.run([PYTHON, "-c", ""], check=False, capture_output=True)
    except (OSError, ValueError):
        return None
    return stamp if works.returncode == 0 and stamp.get("at") == str(VENV) else None


def _fingerprint() -> str:
    files = [ROOT / "setup.cfg", ROOT / "pyproject.toml"]
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def _make(progress: Progress) -> None:
    try:
        progress.run("Making the virtual environment .venv", [sys.executable, "-m", "venv", str(VENV)])
    except StepFailed as error:
        raise StepFailed(
            f"{error}\nOn Debian and Ubuntu: apt install python3-venv (for {sys.executable})."
        ) from error


def _pip(title: str, *arguments: str, progress: Progress) -> None:
    environment = os.environ | {"PIP_ROOT_USER_ACTION": "ignore", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    progress.run(
        title,
        [str(PYTHON), "-m", "pip", "install", "--no-input", "--progress-bar=off", *arguments],
        cwd=ROOT,
        env=environment,
    )


def main() -> int:
    progress = Progress(log=ROOT / "sandbox" / "var" / "log" / "install.log")
    try:
        ensure(*(sys.argv[1:] or ["sandbox"]), progress=progress)
    except (PythonTooOld, StepFailed) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

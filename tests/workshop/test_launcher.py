"""`make run` and `make test` say what is wrong instead of leaving a traceback."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sandbox.tools import lanes, progress

ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = ROOT / "sandbox" / "run.py"


def launch(tmp_path: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(LAUNCHER), *arguments],
        env=os.environ | {"SANDBOX_VAR": str(tmp_path)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_taken_port_is_named_with_a_way_out(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        result = launch(tmp_path, f"--port={port}")
    assert result.returncode == 1
    assert f"Port {port} is taken" in result.stderr
    assert f"PORT={port + 1}" in result.stderr


def test_a_second_start_says_where_the_first_one_runs(tmp_path):
    import fcntl

    with (tmp_path / "run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("http://127.0.0.1:8000/")
        lock.flush()
        result = launch(tmp_path)
    assert result.returncode == 0
    assert "already running at http://127.0.0.1:8000/" in result.stdout


def test_the_full_shop_names_the_server_that_does_not_answer(tmp_path):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, but not listening: it refuses
        port = nobody.getsockname()[1]
        url = f"postgres://shop:secret@127.0.0.1:{port}/shop"
        result = launch(tmp_path, "--full", f"--port={_free_port()}", DATABASE_URL=url)
    assert result.returncode == 1
    assert f"127.0.0.1:{port} (DATABASE_URL)" in result.stderr
    assert "secret" not in result.stderr


def test_a_server_ends_with_the_process_that_started_it_even_if_that_is_killed(tmp_path):
    """What `make run` starts must not stay behind, whatever ends `make run`."""
    pid_file = tmp_path / "pid"
    (tmp_path / "server.py").write_text(
        f"import os, time\nopen({str(pid_file)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)\n"
    )
    starter = (
        "import subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-m', 'sandbox.tied', 'server'],"
        " stdin=subprocess.PIPE, start_new_session=True)\n"
        "time.sleep(60)\n"
    )
    paths = os.pathsep.join([str(ROOT), str(tmp_path)])
    process = subprocess.Popen([sys.executable, "-c", starter], env=os.environ | {"PYTHONPATH": paths})
    server = int(_wait_for(lambda: pid_file.exists() and pid_file.read_text()))
    process.kill()
    process.wait()
    assert _wait_for(lambda: not _alive(server))


def test_a_failed_step_shows_the_end_of_its_output(tmp_path, capsys):
    steps = progress.Progress(log=tmp_path / "log")
    with pytest.raises(progress.StepFailed, match="no such flavour"):
        steps.run("Brewing", [sys.executable, "-c", "raise SystemExit('no such flavour')"])
    assert "Brewing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("environment", "postgres", "mysql"),
    [
        ({}, False, False),
        ({"DATABASE_URL": "postgres://me@db:5432/shop"}, True, False),
        ({"DATABASE_URL": "postgresql://me@db/shop, mysql://me@db/shop"}, True, True),
        ({"DATABASE_URL": "sqlite:///shop.db", "MARIADB_URL": "mysql://me@db/shop"}, False, True),
    ],
)
def test_database_lanes_follow_the_addresses_in_the_environment(monkeypatch, environment, postgres, mysql):
    for name in ("DATABASE_URL", "POSTGRES_URL", "MARIADB_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert bool(lanes.database_url(("postgres", "postgresql"), "POSTGRES_URL")) is postgres
    assert bool(lanes.database_url(("mysql",), "MARIADB_URL")) is mysql


def test_a_lane_never_uses_the_database_that_the_address_names(monkeypatch):
    monkeypatch.delenv("POSTGRES_URL", raising=False)
    monkeypatch.setenv("DATABASE_URL", "postgres://me:word@db:5432/shop")
    first, second = (lanes.database_url(("postgres",), "POSTGRES_URL") for _ in range(2))
    assert first.startswith("postgres://me:word@db:5432/loyalty_")
    assert first != second


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # Where nobody collects the dead, an ended process stays listed as a zombie.
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] == "Z")


def _wait_for(condition, seconds: float = 20):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} seconds")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]

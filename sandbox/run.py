"""
Start the sandbox shop and everything it needs, on SQLite and without any other server: `make run`.

``--full`` starts it on PostgreSQL and Redis with a worker and a schedule of their own: `make run-full`.
Ctrl-C stops all of it. This file itself needs nothing but Python.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
# Python put this folder first, where celery.py would stand in for the celery package.
sys.path[0] = str(ROOT)

from sandbox.tools.environment import PythonTooOld, ensure  # noqa: E402
from sandbox.tools.equipment import answers  # noqa: E402
from sandbox.tools.progress import Progress, StepFailed  # noqa: E402

HOST = "127.0.0.1"
VAR = Path(os.environ.get("SANDBOX_VAR", ROOT / "sandbox" / "var"))
LOGS = VAR / "log"
READY_WITHIN = 60  # seconds from the start of the servers to the first page
STOP_WITHIN = 10  # seconds that a server gets to finish its work
SHOW_LOGINS = """
import django
django.setup()
from django.utils import translation
translation.activate("en")
from sandbox.demo.people import describe_logins
print(describe_logins())
"""
FULL = {
    "DATABASE_URL": "postgres://postgres@127.0.0.1:5432/loyalty_sandbox",
    "CELERY_BROKER_URL": "redis://127.0.0.1:6379/0",
}


class CannotRun(Exception):
    """The shop cannot start here; the message says what to do."""


class Servers:
    """The processes of the shop. None of them outlives this one."""

    def __init__(self, python: Path, environment: dict[str, str]) -> None:
        self.python = python
        self.environment = environment
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *module: str) -> None:
        """Start ``python -m module…``; what it prints goes to ``log/<name>.log``."""
        with (LOGS / f"{name}.log").open("wb") as log:
            self.running[name] = subprocess.Popen(
                [str(self.python), "-m", "sandbox.tied", *module],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C reaches this process alone, which then stops the others in order.
                start_new_session=True,
            )

    def check(self) -> None:
        """:raises CannotRun: one of the processes has ended"""
        for name, process in self.running.items():
            if process.poll() is not None:
                log = LOGS / f"{name}.log"
                end = "\n".join(log.read_text(errors="replace").splitlines()[-25:])
                raise CannotRun(
                    f"{name} has stopped (exit code {process.returncode}).\n{end}\nAll of it: {log}"
                )

    def stop(self) -> None:
        for process in reversed(self.running.values()):
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        deadline = time.monotonic() + STOP_WITHIN
        for process in self.running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=max(0.1, deadline - time.monotonic()))
            # Whatever it started itself goes with it.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=int(os.environ.get("PORT") or 8000))
    parser.add_argument("--full", action="store_true", help="PostgreSQL, Redis, a worker and a schedule")
    options = parser.parse_args()
    # Both end it, also where a shell started it in the background and told it to ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    LOGS.mkdir(parents=True, exist_ok=True)
    try:
        with only_one(f"http://{HOST}:{options.port}/") as running_at:
            if running_at:
                print(f"The shop is already running at {running_at}. Ctrl-C in its terminal stops it.")
                return 0
            run(options.port, full=options.full)
    except KeyboardInterrupt:
        print("\nStopped.")
        return 0
    except (CannotRun, PythonTooOld, StepFailed) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


@contextlib.contextmanager
def only_one(url: str):
    """Hold the lock of the running shop; give the other's address when it is held already."""
    with (VAR / "run.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            yield lock.read().strip() or "an address that it has not written down yet"
            return
        lock.truncate(0)
        lock.write(url)
        lock.flush()
        yield None


def run(port: int, *, full: bool) -> None:
    if not is_free(port):
        raise CannotRun(f"Port {port} is taken by another program. Choose another: make run PORT={port + 1}")
    progress = Progress(log=LOGS / "start.log")
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "sandbox.settings",
        "PYTHONUNBUFFERED": "1",
        "SANDBOX_URL": f"http://{HOST}:{port}",
    }
    if full:
        environment = FULL | environment
        for name in FULL:
            check_reachable(name, environment[name])
    else:
        # A variable left over from other work must not send the demo data into somebody's database.
        environment.pop("DATABASE_URL", None)
        environment.pop("CELERY_BROKER_URL", None)

    python = ensure("sandbox", *(["postgres"] if full else []), progress=progress)

    def manage(title: str, *command: str) -> None:
        progress.run(title, [str(python), "-m", "sandbox.manage", *command], cwd=ROOT, env=environment)

    if full:
        progress.run(
            "Making the database",
            [str(python), "-m", "sandbox.tools.databases", "create", environment["DATABASE_URL"]],
            cwd=ROOT,
            env=environment,
        )
    own_stripe = not environment.get("STRIPE_SECRET_KEY")
    stripe_port = free_port(after=port)
    if own_stripe:
        environment |= {
            "STRIPE_API_BASE": f"http://{HOST}:{stripe_port}",
            "STRIPE_WEBHOOK_SECRET": f"whsec_{secrets.token_hex(16)}",
        }
    manage("Updating the database", "migrate", "--noinput")
    manage("Filling the shop with products, customers, orders and points", "seed_shop")
    manage("Completing the loyalty programme", "loyalty_setup", "--currency=EUR")

    servers = Servers(python, environment)
    try:
        if own_stripe:
            servers.start(
                "stripe",
                "sandbox.stripe_server",
                f"--port={stripe_port}",
                f"--state={VAR / 'stripe.sqlite3'}",
                f"--webhook-url=http://{HOST}:{port}/api/loyalty/v1/stripe/webhook",
                f"--webhook-secret={environment['STRIPE_WEBHOOK_SECRET']}",
            )
        servers.start(
            "shop", "waitress", f"--listen={HOST}:{port}", "--threads=8", "sandbox.wsgi:application"
        )
        beat = f"--schedule={VAR / 'beat-schedule'}"
        worker = ["celery", "--app=sandbox.celery", "worker", "--loglevel=INFO"]
        if full:
            servers.start("worker", *worker, "--concurrency=2")
            servers.start("schedule", "celery", "--app=sandbox.celery", "beat", "--loglevel=INFO", beat)
        else:
            alone = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
            servers.start("worker", *worker, "--pool=solo", "--beat", beat, *alone)
        progress.say("Starting the shop")
        logins = subprocess.run(
            [str(python), "-c", SHOW_LOGINS],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        wait_until_ready(servers, f"http://{HOST}:{port}/")
        print(f"\n{logins.stdout}" if logins.returncode == 0 else logins.stderr)
        progress.say(f"The shop is open: http://{HOST}:{port}/   (Ctrl-C stops it; logs are in {LOGS})")
        while True:
            time.sleep(1)
            servers.check()
    finally:
        # A second Ctrl-C must not leave anything behind.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        servers.stop()


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port(*, after: int) -> int:
    return next(port for port in range(after + 1, after + 100) if is_free(port))


def check_reachable(name: str, url: str) -> None:
    """:raises CannotRun: no server answers at the address in ``url``"""
    if not answers(url):
        parts = urlsplit(url)  # without its password
        raise CannotRun(
            f"No server answers at {parts.scheme}://{parts.hostname}:{parts.port or ''} ({name}).\n"
            f"Start one, or set {name} to where it is. `make run` needs none."
        )


def wait_until_ready(servers: Servers, url: str) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline:
        servers.check()
        try:
            with urllib.request.urlopen(url, timeout=READY_WITHIN):  # noqa: S310
                return
        except urllib.error.HTTPError as error:
            raise CannotRun(f"{url} answers with an error: {error}. See {LOGS / 'shop.log'}") from error
        except OSError:
            time.sleep(0.2)
    raise CannotRun(f"{url} did not answer within {READY_WITHIN} seconds. See {LOGS / 'shop.log'}")


if __name__ == "__main__":
    sys.exit(main())

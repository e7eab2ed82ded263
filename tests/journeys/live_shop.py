"""The sandbox as `make run` starts it, for tests: real processes on free ports, with data of their own."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from sandbox.run import HOST, ROOT, STOP_WITHIN, is_free
from sandbox.stripe_server.testing import StripeServer

WAIT = 60  # seconds, on a machine that is doing other things too


def wait_for(what: Callable[[], Any], *, within: float = WAIT, step: float = 0.1) -> Any:
    """
    Return what ``what`` returns as soon as that is true.

    :raises TimeoutError: it never was
    """
    deadline = time.monotonic() + within
    while not (found := what()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} was still {found!r} after {within} seconds")
        time.sleep(step)
    return found


def free_port() -> int:
    return next(port for port in iter(lambda: 20000 + secrets.randbelow(20000), None) if is_free(port))


class Processes:
    """What a test started. None of it outlives the test, even if that is killed."""

    def __init__(self, logs: Path, environment: dict[str, str]) -> None:
        self.logs = logs
        self.environment = environment
        self.running: dict[str, subprocess.Popen[str]] = {}

    def start(self, name: str, *module: str) -> subprocess.Popen[str]:
        """Start ``python -m module…``; what it prints goes to ``<name>.log``."""
        with (self.logs / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "sandbox.tied", *module],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
            )
        self.running[name] = process
        return process

    def run(self, *module: str) -> str:
        """Run ``python -m module…`` to its end and return what it printed."""
        outcome = subprocess.run(
            [sys.executable, "-m", *module],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert outcome.returncode == 0, outcome.stdout + outcome.stderr
        return outcome.stdout

    def read_log(self, name: str) -> str:
        return (self.logs / f"{name}.log").read_text(errors="replace")

    def stop(self, *names: str) -> None:
        """End them at once; what they were doing is thrown away with the test."""
        for name in names or tuple(self.running):
            process = self.running.pop(name)
            process.kill()
            process.wait()
            process.stdin.close()


class Clerk:
    """Somebody in the shop's office: reads the books of the running shop, in a process of its own."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.journeys.clerk"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, question: str, **about: Any) -> Any:
        """Call the function ``question`` of ``clerk.py`` and return its answer."""
        self._process.stdin.write(json.dumps([question, about]) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline() or '{"error": "the clerk is gone"}')
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def stop(self) -> None:
        self._process.stdin.close()
        self._process.wait(timeout=STOP_WITHIN)
        self._process.stdout.close()


class LiveShop:
    """
    A small sandbox with its web server, its worker and the Stripe-shaped server.

    :param folder: for its database, messages and logs
    :param settings: more of the environment; ``CELERY_BROKER_URL`` among it replaces the broker of files
    """

    password = "kaffee-und-tee"

    def __init__(self, folder: Path, **settings: str) -> None:
        self.url = f"http://{HOST}:{free_port()}"
        logs = folder / "log"
        logs.mkdir(parents=True)
        self.stripe = StripeServer(webhook_url=f"{self.url}/api/loyalty/v1/stripe/webhook")
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("COV_", "PYTEST_", "STRIPE_"))
            and name not in ("DATABASE_URL", "CELERY_BROKER_URL", "DJANGO_ALLOW_ASYNC_UNSAFE")
        }
        self.environment = inherited | {
            "DJANGO_SETTINGS_MODULE": "sandbox.settings",
            "SANDBOX_VAR": str(folder),
            "STRIPE_WEBHOOK_SECRET": StripeServer.webhook_secret,
            "PYTHONUNBUFFERED": "1",
            **settings,
        }
        self.processes = Processes(logs, self.environment)

    def __enter__(self) -> Self:
        self.stripe.start()
        self.environment["STRIPE_API_BASE"] = self.stripe.url
        self.clerk = Clerk(self.environment)
        try:
            self.clerk.ask("open_shop", customers=20, orders=120)
            self.start_web_server()
            self.start_worker()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.clerk.stop()
        self.processes.stop()
        self.stripe.stop()

    def start_web_server(self) -> None:
        address = self.url.removeprefix("http://")
        self.processes.start(
            "shop", "waitress", f"--listen={address}", "--threads=8", "sandbox.wsgi:application"
        )
        wait_for(self.answers)

    def start_worker(self) -> None:
        alone = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        worker = ["celery", "--app=sandbox.celery", "worker", "--loglevel=INFO", "--pool=solo", *alone]
        self.processes.start("worker", *worker)

    def answers(self) -> bool:
        page = f"{self.url}/en/accounts/login/"
        with suppress(OSError), urllib.request.urlopen(page, timeout=WAIT):  # noqa: S310
            return True
        assert self.processes.running["shop"].poll() is None, self.processes.read_log("shop")
        return False

    # What the books say

    def read_account(self, person: str) -> dict[str, Any]:
        """The balance of ``person``, their open lots, and their entries, oldest first."""
        return self.clerk.ask("read_account", person=person)

    def wait_for_balance(self, person: str, **expected: int) -> dict[str, Any]:
        """Wait until the worker has brought the balance to what is expected."""

        def reached() -> dict[str, Any] | None:
            account = self.read_account(person)
            same = all(account["balance"][name] == points for name, points in expected.items())
            return account if same else None

        return wait_for(reached)

    def wait_for_tier(self, person: str, code: str) -> None:
        """Wait until the worker has counted what ``person`` did."""
        wait_for(lambda: self.clerk.ask("read_tier", person=person)["code"] == code)

    def read_orders(self, person: str) -> list[dict[str, Any]]:
        """The orders of ``person`` that were placed after the shop opened, newest first."""
        return self.clerk.ask("read_orders", person=person)

    def read_intent(self, intent_id: str) -> dict[str, Any]:
        """A payment as the Stripe-shaped server knows it."""
        intents = self.stripe.control("state")["payment_intent"]
        return next(intent for intent in intents if intent["id"] == intent_id)

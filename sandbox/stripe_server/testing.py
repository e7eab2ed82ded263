"""A server of one's own for tests: started as a separate process on a free port."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]


class ControlError(Exception):
    """The server did not know the control, or what it was given."""


class StripeServer:
    """
    Use as a context manager, or call ``start`` and ``stop``.

    >>> with StripeServer(webhook_url="http://127.0.0.1:8000/…/") as stripe_server:
    ...     client = stripe.StripeClient(stripe_server.secret_key, base_addresses={"api": stripe_server.url})
    ...     stripe_server.control("chaos", fault="drop_after_commit", path="/v1/refunds")
    """

    secret_key = "sk_test_sandbox"
    publishable_key = "pk_test_sandbox"
    webhook_secret = "whsec_sandbox"

    def __init__(
        self,
        *,
        webhook_url: str | None = None,
        state: Path | str | None = None,
        retry_after: tuple[float, ...] = (0.05, 0.1, 0.2),
        port: int = 0,
    ) -> None:
        self.url = ""
        self._webhook_url = webhook_url
        self._state = state
        self._retry_after = retry_after
        self._port = port
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> Self:
        command = [sys.executable, "-m", "sandbox.stripe_server", "--until-stdin-closes"]
        command += ["--port", str(self._port), "--retry-after", ",".join(map(str, self._retry_after))]
        command += ["--webhook-secret", self.webhook_secret]
        if self._state:
            command += ["--state", str(self._state)]
        if self._webhook_url:
            command += ["--webhook-url", self._webhook_url]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        line = self._process.stdout.readline()
        if " on " not in line:
            raise RuntimeError(f"The Stripe-shaped server did not start: {line or 'it said nothing'}")
        self.url = line.rsplit(" on ", 1)[1].strip()
        return self

    def stop(self) -> None:
        if self._process is not None:
            self._process.stdin.close()
            self._process.wait(timeout=30)
            self._process.stdout.close()
            self._process = None

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self.stop()

    __enter__ = start

    def __exit__(self, *_: object) -> None:
        self.stop()

    def control(self, path: str, /, **data: Any) -> dict[str, Any]:
        """
        Turn a switch and return the server's answer, e.g. ``control("clock", advance=86400)``.

        :raises ControlError: the server did not accept it
        """
        request = urllib.request.Request(  # noqa: S310 our own server
            f"{self.url}/_test/{path}",
            data=json.dumps(data).encode(),
            headers={"Authorization": f"Bearer {self.secret_key}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 our own server
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise ControlError(json.load(error)["error"]["message"]) from error

    def send_webhooks_to(self, url: str | None) -> None:
        """Send events to ``url`` from now on; with ``None``, nowhere."""
        self.control("webhook_endpoint", url=url, secret=self.webhook_secret)

    def wait_for_webhooks(self, *, within: float = 10.0) -> list[dict[str, Any]]:
        """
        Wait until no delivery is under way any more and return all deliveries.

        :raises TimeoutError: some were still under way after ``within`` seconds
        """
        deadline = time.monotonic() + within
        while (answer := self.control("webhooks"))["pending"]:
            if time.monotonic() > deadline:
                raise TimeoutError(f"Webhooks are still under way: {answer['deliveries']}")
            time.sleep(0.02)
        return answer["deliveries"]

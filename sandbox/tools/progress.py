"""Long commands as steps that say what is happening and for how long."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path


class StepFailed(Exception):
    """A command of a step failed; the message says which, with the end of its output."""


class Progress:
    """
    Prints one line a step. On a terminal the line shows the seconds and the newest line of output
    while the step runs; elsewhere a sign of life follows every 20 seconds.
    """

    def __init__(self, log: Path) -> None:
        self.started_at = time.monotonic()
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")
        self.live = sys.stdout.isatty()

    @property
    def elapsed(self) -> float:
        """Seconds since the first step."""
        return time.monotonic() - self.started_at

    def say(self, text: str) -> None:
        print(f"[{self.elapsed:6.1f} s] {text}", flush=True)

    def run(self, title: str, command: Sequence[str], **options: object) -> None:
        """
        Run ``command`` with its output in the log.

        :raises StepFailed: the command ended with an error
        """
        self.say(title if self.live else f"{title} …")
        begun = time.monotonic()
        start = self.log.stat().st_size
        with self.log.open("ab") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                **options,  # type: ignore[call-overload]
            )
        try:
            self._wait(process, title, begun, start)
        except BaseException:
            process.terminate()
            process.wait()
            raise
        if process.returncode:
            raise StepFailed(f"{title} failed.\n{self.tail(start)}\nAll of it: {self.log}")
        if self.live:
            print(f"\r\033[K\033[A\r\033[K[{self.elapsed:6.1f} s] {title}: done", flush=True)

    def tail(self, start: int = 0, lines: int = 30) -> str:
        """The last lines that the log holds after byte ``start``."""
        with self.log.open("rb") as log:
            log.seek(start)
            return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])

    def _wait(self, process: subprocess.Popen[bytes], title: str, begun: float, start: int) -> None:
        next_sign = begun + 20
        while True:
            try:
                process.wait(timeout=0.5)
                return
            except subprocess.TimeoutExpired:
                now = time.monotonic()
                newest = self.tail(start, lines=1).strip()
                if self.live:
                    print(f"\r\033[K    {now - begun:4.0f} s  {newest[:90]}", end="", flush=True)
                elif now >= next_sign:
                    print(f"           {title}: {now - begun:.0f} s. {newest[:90]}", flush=True)
                    next_sign = now + 20

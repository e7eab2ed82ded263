"""How far a long command has come: a line that rewrites itself on a terminal, now and then one elsewhere."""

import time

from django.core.management.base import OutputWrapper

_SECONDS_BETWEEN_LINES = 10


class ProgressLine:
    def __init__(self, out: OutputWrapper) -> None:
        self._out = out
        self._is_terminal = bool(out.isatty())
        self._started = self._shown = time.monotonic()

    def show(self, done: float, what: str) -> None:
        """``done`` from 0 to 1."""
        now = time.monotonic()
        if now - self._shown < (0.2 if self._is_terminal else _SECONDS_BETWEEN_LINES):
            return
        self._shown = now
        passed = now - self._started
        left = f", {_clock(passed / done - passed)} left" if 0 < done < 1 else ""
        line = f"{done:>6.1%}  {what}{left}"
        if self._is_terminal:
            self._out.write(f"\r\033[K{line}", ending="")
            self._out.flush()
        else:
            self._out.write(line)

    def show_count(self, settled: int, total: int) -> None:
        self.show(settled / total if total else 1.0, f"{settled} of {total} accounts")

    def finish(self) -> None:
        if self._is_terminal:
            self._out.write("\r\033[K", ending="")
            self._out.flush()


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"

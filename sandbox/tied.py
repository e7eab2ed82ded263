"""
Run a module as ``python -m`` would, and end it when the process that started it ends.

The starter holds the other end of standard input and never writes to it: the end of that pipe is the
end of the starter, even if it was killed and could not tidy up.
"""

import os
import runpy
import signal
import sys
import threading


def _end_with_starter() -> None:
    while sys.stdin.buffer.raw.read(1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_starter, daemon=True).start()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)

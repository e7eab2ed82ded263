"""Work shared by several processes of this machine."""

import gc
import multiprocessing
import time
from collections.abc import Callable

from django.db import connection, connections

#: Seconds between two looks at how far the work has come, at least, and how much longer than a look itself.
_TICK = 0.5
_REST = 20


def can_share_work() -> bool:
    """
    Whether other processes would see the same database and can be made at all. A database in memory is
    there for one process only; a worker of a pool may not have children.
    """
    in_memory = connection.vendor == "sqlite" and connection.is_in_memory_db()  # type: ignore[attr-defined]
    is_pooled = multiprocessing.current_process().daemon
    return not (in_memory or is_pooled) and "fork" in multiprocessing.get_all_start_methods()


def share_work(
    work: Callable[..., None], *args: object, processes: int, tick: Callable[[], None] = lambda: None
) -> int:
    """
    Have ``work(*args)`` done by so many processes at once, calling ``tick`` now and then; return how
    many of them failed. What interrupts the caller ends them too.

    For commands only. A child gets a copy of all that its parent holds: the connection of another thread,
    which the client of MariaDB ends from there, or one to Redis that waits for messages, on which Celery's
    library would wait for ever.
    """
    # A connection cannot be shared with a child.
    connections.close_all()
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_work_alone, args=(work, *args)) for _ in range(processes)]
    try:
        for worker in workers:
            worker.start()
        pause = _TICK
        while any(worker.is_alive() for worker in workers):
            until = time.monotonic() + pause
            for worker in workers:
                worker.join(timeout=max(until - time.monotonic(), 0.01))
            looked_at = time.monotonic()
            tick()
            # To count what is due among millions takes a second.
            pause = max(_TICK, _REST * (time.monotonic() - looked_at))
    finally:
        for worker in workers:
            if worker.is_alive():
                worker.terminate()
            worker.join()
    return sum(worker.exitcode != 0 for worker in workers)


def _work_alone(work: Callable[..., None], *args: object) -> None:
    """What the parent left behind is there for good: looking through it for garbage would cost a tenth of the
    time, and copies of its memory."""
    gc.freeze()
    work(*args)

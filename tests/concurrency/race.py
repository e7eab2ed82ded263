"""Many sessions at one start line."""

import threading
from collections.abc import Callable
from typing import Any

from django.db import connection


def run_at_once(jobs: list[Callable[[], Any]]) -> list[Any]:
    """
    Run every job in a thread with a database connection of its own, which is open before the start,
    and return what each one returned or raised, in order.
    """
    start = threading.Barrier(len(jobs))
    results: list[Any] = [None] * len(jobs)

    def run(number: int, job: Callable[[], Any]) -> None:
        try:
            connection.ensure_connection()
            start.wait(timeout=30)
            results[number] = job()
        except Exception as error:  # noqa: BLE001 - what was raised is the result
            results[number] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number, job)) for number, job in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    return results

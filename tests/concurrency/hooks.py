"""
Races at a chosen line: something happens right before or right after a function is called.

A barrier makes two sessions meet somewhere; a hook makes them meet exactly where it would hurt, every
time. The other session is a thread with a connection of its own, and has ended before the line goes on.
"""

import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pkgutil import resolve_name
from typing import Any
from unittest import mock

from django.db import connection


@contextmanager
def run_before(name: str, action: Callable[[], Any]) -> Iterator[list[Any]]:
    """Do ``action`` before the first call of ``name`` (``package.module:Class.method``)."""
    with _wrapped(name, action, before=True) as results:
        yield results


@contextmanager
def run_after(name: str, action: Callable[[], Any]) -> Iterator[list[Any]]:
    """Do ``action`` after the first call of ``name``, before its caller goes on."""
    with _wrapped(name, action, before=False) as results:
        yield results


@contextmanager
def _wrapped(name: str, action: Callable[[], Any], *, before: bool) -> Iterator[list[Any]]:
    path, _, attribute = name.replace(":", ".").rpartition(".")
    owner = resolve_name(path)
    raw = inspect.getattr_static(owner, attribute)
    function = raw.__func__ if isinstance(raw, classmethod | staticmethod) else raw
    results: list[Any] = []
    called = False

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        nonlocal called
        first, called = not called, True
        if first and before:
            results.append(action())
        result = function(*args, **kwargs)
        if first and not before:
            results.append(action())
        return result

    replacement = type(raw)(wrapper) if isinstance(raw, classmethod | staticmethod) else wrapper
    with mock.patch.object(owner, attribute, replacement):
        yield results
    assert called, f"{name} was never called: the race did not happen"


def in_another_session(job: Callable[[], Any]) -> Any:
    """Do ``job`` on a connection of its own and wait for it; what it raises is returned."""
    outcome: list[Any] = []

    def work() -> None:
        try:
            outcome.append(job())
        except Exception as error:  # noqa: BLE001 - what was raised is the result
            outcome.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(timeout=20)
    assert not thread.is_alive(), "the other session waits for a lock that this one holds"
    return outcome[0]

"""Switches that make the service misbehave in the ways that a network and a card service do."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import Any

from .errors import refuse
from .store import Store

# Faults of API calls are matched by "method" and "path", faults of webhooks by "event" (a pattern each).
OF_CALLS = ("drop_after_commit", "error_500", "rate_limit", "slow")
OF_WEBHOOKS = ("duplicate", "delay", "reorder", "lose", "stale_signature", "bad_signature")
DEFAULTS = {"path": "*", "method": "*", "event": "*", "times": 1, "seconds": 1.0, "remember": False}


def add(store: Store, asked: dict[str, Any]) -> dict[str, Any]:
    """
    Switch a fault on for the next ``times`` matches (a number or ``always``) and return it.

    ``seconds`` is for ``slow`` and ``delay``. ``remember`` makes ``error_500`` stick to its idempotency
    key, as a failure inside Stripe does; otherwise a retry with the same key runs afresh.
    """
    if asked.get("fault") not in OF_CALLS + OF_WEBHOOKS:
        raise refuse(f"fault must be one of {', '.join(OF_CALLS + OF_WEBHOOKS)}", param="fault")
    if unknown := asked.keys() - DEFAULTS.keys() - {"fault"}:
        raise refuse(f"Unknown settings of a fault: {', '.join(sorted(unknown))}")
    fault = {**DEFAULTS, **asked}
    if fault["times"] != "always" and not (isinstance(fault["times"], int) and fault["times"] > 0):
        raise refuse("times must be a number above zero, or always", param="times")
    store.sql("INSERT INTO faults (body) VALUES (?)", json.dumps(fault))
    return fault


def active(store: Store) -> list[dict[str, Any]]:
    return [json.loads(row["body"]) for row in store.sql("SELECT body FROM faults ORDER BY id")]


def clear(store: Store) -> None:
    store.sql("DELETE FROM faults")


def of_call(store: Store, method: str, path: str) -> dict[str, dict[str, Any]]:
    """Return the faults that strike this call, by name, and count them as used."""
    return _strike(
        store,
        OF_CALLS,
        lambda fault: fnmatchcase(path, fault["path"]) and fnmatchcase(method, fault["method"].upper()),
    )


def of_webhook(store: Store, event: str) -> dict[str, dict[str, Any]]:
    return _strike(store, OF_WEBHOOKS, lambda fault: fnmatchcase(event, fault["event"]))


def _strike(store: Store, kinds: tuple[str, ...], matches: Any) -> dict[str, dict[str, Any]]:
    struck: dict[str, dict[str, Any]] = {}
    for row in store.sql("SELECT id, body FROM faults ORDER BY id"):
        fault = json.loads(row["body"])
        if fault["fault"] not in kinds or fault["fault"] in struck or not matches(fault):
            continue
        struck[fault["fault"]] = fault
        if fault["times"] == 1:
            store.sql("DELETE FROM faults WHERE id = ?", row["id"])
        elif fault["times"] != "always":
            fault["times"] -= 1
            store.sql("UPDATE faults SET body = ? WHERE id = ?", json.dumps(fault), row["id"])
    return struck

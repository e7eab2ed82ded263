"""The tests' side door under ``/_test``: time, faults, refunds' fate, webhooks, and what is stored."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlsplit

from . import chaos, clock, refunds, webhooks
from .call import public
from .errors import refuse
from .service import Service

KINDS = ("customer", "payment_method", "payment_intent", "charge", "refund", "event")
MANNERS = ("succeeded", "pending", "fails")
STATUSES = ("succeeded", "pending", "requires_action", "failed", "canceled")


def control(service: Service, path: str, given: dict[str, Any]) -> dict[str, Any]:
    """Do what ``path`` names (without ``/_test/``) and return what a test wants to see."""
    if path not in DOORS:
        raise refuse(f"Unknown control: {path}. There are: {', '.join(DOORS)}.", status=404)
    return DOORS[path](service, **given)


def _clock(service: Service, *, advance: int = 0) -> dict[str, Any]:
    """Move the time forward by ``advance`` seconds; authorisations and refunds that fall due are settled."""
    with service.store.transaction():
        now = clock.advance(service.store, advance)
    service.run_timers()
    return {"now": now}


def _chaos(service: Service, *, clear: bool = False, **asked: Any) -> dict[str, Any]:
    with service.store.transaction():
        if clear:
            chaos.clear(service.store)
        if asked:
            chaos.add(service.store, asked)
    return {"faults": chaos.active(service.store)}


def _refunds(
    service: Service,
    *,
    next_one: str | None = None,
    refund: str | None = None,
    status: str | None = None,
) -> dict[str, Any]:
    """Decide how the ``next_one`` goes, or move the ``refund`` with this id to ``status``."""
    if refund is None:
        if next_one not in (None, *MANNERS):
            raise refuse(f"next_one must be one of {', '.join(MANNERS)}", param="next_one")
        service.store.set_setting("next_refund", next_one)
        return {"next_one": next_one}
    if status not in STATUSES:
        raise refuse(f"status must be one of {', '.join(STATUSES)}", param="status")
    return public(service.commit(lambda call: refunds.settle(call, refund, status)))


def _webhook_endpoint(service: Service, *, url: str | None = None, secret: str = "") -> dict[str, Any]:
    """Say where events go from now on; without ``url`` they go nowhere."""
    set_endpoint(service.store, url, secret)
    return {"url": url}


def set_endpoint(store: Any, url: str | None, secret: str) -> None:
    if url is not None and (urlsplit(url).scheme not in ("http", "https") or not secret.startswith("whsec_")):
        raise refuse("A webhook endpoint needs an http(s) address and a secret that begins with whsec_.")
    store.set_setting(webhooks.ENDPOINT, {"url": url, "secret": secret} if url else None)


def _webhooks(service: Service, *, redeliver: str | None = None) -> dict[str, Any]:
    """List the deliveries in the order in which they were queued; ``redeliver`` queues an event again."""
    if redeliver:
        service.commit(lambda call: webhooks.schedule(service.store, call.get("event", redeliver)))
    rows = service.store.sql("SELECT * FROM deliveries ORDER BY id")
    names = ("id", "event", "type", "state", "attempts", "answer")
    return {
        "deliveries": [{name: row[name] for name in names} for row in rows],
        "pending": sum(row["state"] == "pending" for row in rows),
    }


def _hurry(service: Service) -> dict[str, Any]:
    """Try all waiting deliveries again at once."""
    with service.store.transaction():
        service.store.sql("UPDATE deliveries SET due = ? WHERE state = 'pending'", time.time())
    service.nudge()
    return _webhooks(service)


def _state(service: Service) -> dict[str, Any]:
    return {kind: [public(item) for item in service.store.newest_first(kind)] for kind in KINDS}


def _reset(service: Service) -> dict[str, Any]:
    """Forget everything but where webhooks go; the clock shows the machine's time again."""
    with service.store.transaction():
        service.store.clear(keeping=(webhooks.ENDPOINT,))
    return {}


DOORS = {
    "clock": _clock,
    "chaos": _chaos,
    "refunds": _refunds,
    "webhook_endpoint": _webhook_endpoint,
    "webhooks": _webhooks,
    "webhooks/hurry": _hurry,
    "state": _state,
    "reset": _reset,
}

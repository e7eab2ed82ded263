"""Signed delivery of events to the shop, tried again until it answers with success."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from typing import Any

from . import chaos
from .store import Store

ENDPOINT = "webhook_endpoint"
# Seconds before each further try. Stripe waits hours; a developer does not want to.
BACK_OFF = (0.5, 1, 2, 5, 15, 60, 300, 900)
ANSWER_WITHIN = 20.0
# How long an event that is to arrive late waits for a later one to overtake it.
OVERTAKEN_WITHIN = 3.0
AN_HOUR = 3600


def sign(payload: bytes, secret: str, *, at: int) -> str:
    """Return the ``Stripe-Signature`` header for ``payload``, sent ``at`` seconds since 1970."""
    signature = hmac.new(secret.encode(), f"{at}.".encode() + payload, hashlib.sha256).hexdigest()
    return f"t={at},v1={signature}"


def schedule(store: Store, event: dict[str, Any]) -> None:
    """Queue an event inside the transaction that caused it, so that neither exists without the other."""
    if not store.setting(ENDPOINT):
        return
    struck = chaos.of_webhook(store, event["type"])
    if "lose" in struck:
        return
    due = time.time()
    waits = "reorder" in struck
    if "delay" in struck:
        due += struck["delay"]["seconds"]
    if waits:
        due += OVERTAKEN_WITHIN
    signature = next((name for name in ("stale_signature", "bad_signature") if name in struck), "good")
    copies = 2 if "duplicate" in struck else 1
    for _ in range(copies):
        store.sql(
            "INSERT INTO deliveries (event, type, due, signature, waits_for_next) VALUES (?, ?, ?, ?, ?)",
            event["id"],
            event["type"],
            due,
            signature,
            int(waits),
        )
    store.save({**event, "pending_webhooks": copies})


class Messenger(threading.Thread):
    """The one thread that delivers. Never holds the store while the shop is thinking."""

    def __init__(self, store: Store, back_off: tuple[float, ...] = BACK_OFF) -> None:
        super().__init__(name="webhooks", daemon=True)
        self._store = store
        self._back_off = back_off
        self._wake = threading.Event()
        self._stopping = False

    def nudge(self) -> None:
        self._wake.set()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()
        if self.is_alive():
            self.join(timeout=ANSWER_WITHIN + 1)

    def run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            waiting = self._store.sql(
                "SELECT * FROM deliveries WHERE state = 'pending' ORDER BY due, id LIMIT 1"
            )
            pause = waiting[0]["due"] - time.time() if waiting else None
            if pause is None or pause > 0:
                self._wake.wait(pause)
            else:
                self._deliver(waiting[0])

    def _deliver(self, delivery: Any) -> None:
        event = self._store.find("event", delivery["event"])
        endpoint = self._store.setting(ENDPOINT)
        if event is None or endpoint is None:  # everything was forgotten meanwhile
            self._store.sql("DELETE FROM deliveries WHERE id = ?", delivery["id"])
            return
        answer, arrived = _post(event, endpoint, delivery["signature"])
        attempts = delivery["attempts"] + 1
        given_up = not arrived and attempts > len(self._back_off)
        with self._store.transaction():
            self._store.sql(
                "UPDATE deliveries SET state = ?, attempts = ?, answer = ?, due = ?, signature = 'good'"
                " WHERE id = ?",
                "delivered" if arrived else "failed" if given_up else "pending",
                attempts,
                answer,
                time.time() if arrived or given_up else time.time() + self._back_off[attempts - 1],
                delivery["id"],
            )
            if not delivery["waits_for_next"]:
                self._store.sql(
                    "UPDATE deliveries SET waits_for_next = 0, due = ?"
                    " WHERE waits_for_next = 1 AND state = 'pending' AND id < ?",
                    time.time(),
                    delivery["id"],
                )
            if (arrived or given_up) and (known := self._store.find("event", event["id"])):
                known["pending_webhooks"] -= 1
                self._store.save(known)


def _post(event: dict[str, Any], endpoint: dict[str, str], signature: str) -> tuple[str, bool]:
    """Send once; return what came back in words, and whether it counts as received."""
    payload = json.dumps(event, indent=2, ensure_ascii=False).encode()
    # Signed with the machine's time: the receiver compares it with its own.
    sent_at = int(time.time()) - (AN_HOUR if signature == "stale_signature" else 0)
    secret = endpoint["secret"] + ("x" if signature == "bad_signature" else "")
    request = urllib.request.Request(  # noqa: S310 the scheme was checked when the endpoint was set
        endpoint["url"],
        data=payload,
        headers={
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": sign(payload, secret, at=sent_at),
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        },
    )
    try:
        with _OPENER.open(request, timeout=ANSWER_WITHIN) as answer:
            return str(answer.status), 200 <= answer.status < 300
    except urllib.error.HTTPError as error:
        with error:
            return str(error.code), False
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"no answer: {error}", False


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """An answer that points elsewhere is a failure, as at Stripe."""

    def redirect_request(self, *_: Any) -> None:
        return None


# No proxies: the shop is on this machine.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)

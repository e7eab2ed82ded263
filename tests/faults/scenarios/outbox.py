"""The relay dies between handing a message on and noting that it did."""

from __future__ import annotations

import os
import signal
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.db import connections, transaction
from django.db.models import QuerySet

from oscar_loyalty.outbox import services as outbox
from oscar_loyalty.outbox.models import OutboxMessage
from tests.faults.requests import NOW, award, make_accounts


def kill_relay(*, folder: str) -> dict[str, Any]:
    """
    Kill a relay after its handler is done; let another one finish. The twin is a relay that notes first
    and hands on afterwards.
    """
    heard = Path(folder) / "heard"
    outbox.subscribe("points_posted", lambda payload: _write(heard, str(payload["entry_id"])))
    (account,) = make_accounts(1)
    later = NOW + timedelta(minutes=1)
    outbox.relay_messages(now=later, limit=10_000)
    heard.unlink()
    # What other scenarios left on this server for a later moment.
    OutboxMessage.objects.filter(waiting=True).delete()

    entry = award(account.pk, 10, key=f"relay-{account.pk}", active_at=later)
    assert OutboxMessage.objects.filter(waiting=True).count() == 1
    died = _in_child(lambda: _relay_and_die_before_noting(later))
    waiting = OutboxMessage.objects.filter(waiting=True).count()
    sent_by_next = outbox.relay_messages(now=later)
    told = Counter(heard.read_text().split())
    outcome = {
        "died": died,
        "waiting after it died": waiting,
        "sent by the next": sent_by_next,
        "told": told[str(entry.pk)],
        # What a consumer makes of it that drops what it has seen.
        "taken in": len(set(heard.read_text().split())),
        "sent by another": outbox.relay_messages(now=later),
    }

    twin = award(account.pk, 10, key=f"twin-{account.pk}", active_at=later)
    outcome["twin died"] = _in_child(lambda: _note_and_die_before_handing_on(later))
    outcome["sent after the twin"] = outbox.relay_messages(now=later)
    outcome["told by the twin"] = heard.read_text().split().count(str(twin.pk))
    return outcome


def _relay_and_die_before_noting(now: Any) -> None:
    QuerySet.update = lambda *args, **kwargs: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore
    outbox.relay_messages(now=now)


def _note_and_die_before_handing_on(now: Any) -> None:
    with transaction.atomic():
        OutboxMessage.objects.filter(waiting=True).update(waiting=False, sent_at=now)
    os.kill(os.getpid(), signal.SIGKILL)


def _in_child(work: Any) -> bool:
    """Whether the process that did the work was killed."""
    connections.close_all()
    pid = os.fork()
    if not pid:
        try:
            work()
        finally:
            os._exit(1)
    return os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL


def _write(file: Path, word: str) -> None:
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, f"{word}\n".encode())
    os.close(handle)

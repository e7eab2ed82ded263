import logging
from collections.abc import Callable, Collection
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import F

from oscar_loyalty.outbox.models import OutboxMessage

logger = logging.getLogger(__name__)

Handler = Callable[[dict[str, object]], None]
_handlers: dict[str, list[Handler]] = {}

#: Seconds before the next try, by number of failures; the last one repeats.
RETRY_SECONDS = (10, 60, 300, 1800, 7200, 43200)


def subscribe(topic: str, handler: Handler) -> None:
    """Have ``handler(payload)`` called for every message of ``topic``, at least once and after commit."""
    handlers = _handlers.setdefault(topic, [])
    if handler not in handlers:
        handlers.append(handler)


def write_messages(messages: list[OutboxMessage]) -> None:
    """Store messages in the caller's transaction; the relay sends them after it has committed."""
    OutboxMessage.objects.bulk_create(messages)


def relay_messages(
    *,
    now: datetime,
    limit: int = 50,
    topics: Collection[str] | None = None,
    keys: Collection[str] | None = None,
) -> int:
    """
    Send up to ``limit`` waiting messages, oldest first, and return how many were sent. ``topics`` and
    ``keys`` name those that are wanted, where not all are.

    They are handled in one transaction under their row locks, each behind a savepoint. Relays may run in
    parallel: where the engine can skip locked rows they share the work, elsewhere one waits for the
    other. A handler that raises moves its message back to a later moment; the message is never lost.
    Whoever is killed in between has sent all of them in vain: they are sent again.
    """
    skip_locked = connection.features.has_select_for_update_skip_locked
    sent: list[int] = []
    with transaction.atomic():
        messages = (
            OutboxMessage.objects.select_for_update(skip_locked=skip_locked)
            .filter(waiting=True, available_at__lte=now, **_among(topics=topics, keys=keys))
            .order_by("available_at", "id")[:limit]
        )
        for message in messages:
            try:
                with transaction.atomic():
                    for handler in _handlers.get(message.topic, []):
                        handler(message.payload)
            except Exception as error:
                logger.exception("Outbox message %s failed, try %s", message.pk, message.attempts + 1)
                _try_later(message, error, now=now)
            else:
                sent.append(message.pk)
        OutboxMessage.objects.filter(pk__in=sent).update(
            waiting=False, sent_at=now, attempts=F("attempts") + 1, last_error=""
        )
    return len(sent)


def _among(*, topics: Collection[str] | None, keys: Collection[str] | None) -> dict[str, Collection[str]]:
    wanted = {"topic__in": topics, "key__in": keys}
    return {lookup: values for lookup, values in wanted.items() if values is not None}


def _try_later(message: OutboxMessage, error: Exception, *, now: datetime) -> None:
    message.attempts += 1
    wait = RETRY_SECONDS[min(message.attempts, len(RETRY_SECONDS)) - 1]
    message.available_at = now + timedelta(seconds=wait)
    message.last_error = f"{type(error).__name__}: {error}"[:500]
    message.save(update_fields=["attempts", "available_at", "last_error"])


def delete_sent_messages(*, before: datetime, limit: int = 5000) -> int:
    """Delete messages sent before ``before``, at most ``limit`` in one go; return how many."""
    # Nothing is sent before it is available, and that is what the index knows.
    old = OutboxMessage.objects.filter(waiting=False, available_at__lt=before, sent_at__lt=before)
    ids = list(old.order_by("available_at", "id").values_list("pk", flat=True)[:limit])
    return OutboxMessage.objects.filter(pk__in=ids).delete()[0]

"""The row of a label: asked for, ready, or not needed any more. Callers hold the lock of the return."""

from datetime import datetime, timedelta

from django.db.models import Q

from oscar_loyalty.returns.labels import Label
from oscar_loyalty.returns.models import Return, ReturnLabel
from oscar_loyalty.returns.states import State

#: Minutes before the next try, by number of failures; the last one repeats.
RETRY_MINUTES = (5, 15, 60, 180, 720)


def claim_try(*, of_return: Return, now: datetime) -> ReturnLabel | None:
    """
    Note that the provider is asked now, and until when nobody else asks it. ``None`` when there is nothing to
    ask for: a label is there, was made void, or somebody is asking.
    """
    label, _made = ReturnLabel.objects.get_or_create(of_return=of_return)
    if label.state != ReturnLabel.State.WAITING or (label.next_try_at and label.next_try_at > now):
        return None
    label.attempts += 1
    label.next_try_at = now + timedelta(minutes=RETRY_MINUTES[min(label.attempts, len(RETRY_MINUTES)) - 1])
    label.save(update_fields=["attempts", "next_try_at"])
    return label


def store_label(*, label: ReturnLabel, made: Label, provider: str, now: datetime) -> None:
    label.state = ReturnLabel.State.READY
    label.provider = provider[:64]
    label.pdf = made.pdf
    label.qr_text = made.qr_text
    label.tracking_code = made.tracking_code
    label.valid_until = made.valid_until
    label.made_at = now
    label.next_try_at = None
    label.last_error = ""
    label.save()


def note_failure(*, label: ReturnLabel, error: str) -> None:
    label.last_error = error[:255]
    label.save(update_fields=["last_error"])


def void_label(*, return_id: int) -> bool:
    """The label of a return is not needed any more; return whether that was news."""
    labels = ReturnLabel.objects.filter(of_return_id=return_id).exclude(state=ReturnLabel.State.VOID)
    return bool(labels.update(state=ReturnLabel.State.VOID, next_try_at=None))


def list_returns_without_label(*, now: datetime, limit: int) -> list[int]:
    """Returns whose goods come back and that wait for a label that may be asked for now, oldest first."""
    waiting = Return.objects.filter(state=State.REQUESTED, keeps_goods=False)
    due = Q(label=None) | Q(label__state=ReturnLabel.State.WAITING, label__next_try_at=None)
    due |= Q(label__state=ReturnLabel.State.WAITING, label__next_try_at__lte=now)
    return list(waiting.filter(due).order_by("id").values_list("pk", flat=True)[:limit])

"""How far a job is: pure functions."""

from datetime import datetime, timedelta

#: A worker that was silent for so long is taken for dead.
STALE_AFTER = timedelta(minutes=2)
#: So often a job is taken up: what kills its workers is the job itself.
MOST_ATTEMPTS = 3


def percentage(*, done: int, total: int) -> int:
    """Whole percent; 100 only when all is done."""
    if total <= 0:
        return 0
    return min(100 * done // total, 100)


def remaining(*, done: int, total: int, started_at: datetime | None, now: datetime) -> timedelta | None:
    """Time that is left if it goes on at the speed so far; ``None`` as long as nobody can say."""
    if started_at is None or done <= 0 or total <= 0 or now <= started_at:
        return None
    left = (now - started_at) * (max(total - done, 0) / done)
    return timedelta(seconds=round(left.total_seconds()))


def is_stale(*, heartbeat_at: datetime | None, now: datetime) -> bool:
    return heartbeat_at is None or now - heartbeat_at > STALE_AFTER

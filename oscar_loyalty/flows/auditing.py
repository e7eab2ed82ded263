"""The ledger is audited: all accounts, or what was booked on since a moment."""

from collections.abc import Callable
from datetime import datetime, timedelta

from oscar_loyalty.flows.sweeping import KEEP_SENT_DAYS
from oscar_loyalty.points.audit import runs
from oscar_loyalty.points.audit_models import AuditRun


def audit_ledger(
    *,
    clock: Callable[[], datetime],
    resume: bool = False,
    since_entry: int | None = None,
    processes: int = 1,
    on_progress: Callable[[runs.Progress], None] = lambda progress: None,
) -> AuditRun:
    """
    Audit all accounts, or those with an entry from ``since_entry`` on; with ``resume`` go on with the
    newest audit if it was interrupted. Returns the finished run, findings and all.

    :raises AuditFailed: it could not be finished; resume it
    """
    run = runs.find_unfinished_run() if resume else None
    if run is None:
        now = clock()
        run = runs.start_run(
            now=now,
            # Messages that were sent long ago are deleted.
            announced_since=now - timedelta(days=KEEP_SENT_DAYS),
            since_entry=since_entry,
            processes=processes,
        )
    return runs.carry_out(run, clock=clock, processes=processes, on_progress=on_progress)

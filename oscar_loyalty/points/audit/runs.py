"""
All accounts, by several processes at once, resumable: a run is cut into shards, a process takes one that
nobody works on, and how far it came is stored together with what it found.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from math import ceil

from django.db import transaction
from django.db.models import F, Max, Min, Sum

from oscar_loyalty.points.audit.accounts import Audited, audit_range
from oscar_loyalty.points.audit.findings import Finding
from oscar_loyalty.points.audit_models import AuditFinding, AuditRun, AuditShard
from oscar_loyalty.points.models import Account, Entry
from oscar_loyalty.processes import can_share_work, share_work

#: Shards of one run for each process, so that all of them have work until the end.
_SHARDS_PER_PROCESS = 16
#: Of one shard so many findings are stored; all are counted.
_FINDINGS_KEPT = 1000
_RUNS_KEPT = 50


class AuditFailed(Exception):
    """The audit could not look at everything. What it saw is stored; it can be resumed."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """``done`` from 0 to 1, by ids of accounts."""

    done: float
    accounts: int
    entries: int
    findings: int


def start_run(
    *, now: datetime, announced_since: datetime, since_entry: int | None = None, processes: int = 1
) -> AuditRun:
    """Note that all accounts of this moment are to be audited."""
    for old in AuditRun.objects.order_by("-pk").values_list("pk", flat=True)[_RUNS_KEPT - 1 :]:
        AuditRun.objects.filter(pk=old).delete()
    ids = Account.objects.aggregate(first=Min("pk"), last=Max("pk"))
    with transaction.atomic():
        run = AuditRun.objects.create(
            started_at=now, announced_since=announced_since, since_entry=since_entry
        )
        if ids["first"] is not None:
            AuditShard.objects.bulk_create(
                AuditShard(run=run, first_id=first, last_id=last, next_id=first)
                for first, last in _cut(ids["first"], ids["last"], parts=processes * _SHARDS_PER_PROCESS)
            )
    return run


def _cut(first: int, last: int, *, parts: int) -> Iterator[tuple[int, int]]:
    width = max(ceil((last - first + 1) / parts), 100)
    for start in range(first, last + 1, width):
        yield start, min(start + width - 1, last)


def find_unfinished_run() -> AuditRun | None:
    """The newest run, if it has not come to its end."""
    newest = AuditRun.objects.order_by("-pk").first()
    return newest if newest is not None and newest.finished_at is None else None


def find_last_run() -> AuditRun | None:
    """The newest run that came to its end."""
    return AuditRun.objects.filter(finished_at__isnull=False).order_by("-pk").first()


def has_entries_before(moment: datetime) -> bool:
    """Whether the first entry of all was booked before a moment."""
    first = Entry.objects.order_by("pk").values_list("created_at", flat=True).first()
    return first is not None and first < moment


def find_first_entry_since(moment: datetime) -> int | None:
    """The id of the first entry that was booked at a moment or later."""
    return Entry.objects.filter(created_at__gte=moment).order_by("pk").values_list("pk", flat=True).first()


def list_findings(run: AuditRun) -> Iterator[Finding]:
    """What a run found, account by account; at most a thousand of each shard."""
    names = ("code", "account", "entry_id", "lot_id", "hold_id", "expected", "found")
    for values in run.found.order_by("pk").values_list(*names).iterator():
        yield Finding(**dict(zip(names, values, strict=True)))


def measure_progress(run: AuditRun) -> Progress:
    sums = run.shards.aggregate(
        done=Sum(F("next_id") - F("first_id")),
        all=Sum(F("last_id") + 1 - F("first_id")),
        accounts=Sum("accounts"),
        entries=Sum("entries"),
        findings=Sum("findings"),
    )
    return Progress(
        done=(sums["done"] / sums["all"]) if sums["all"] else 1.0,
        accounts=sums["accounts"] or 0,
        entries=sums["entries"] or 0,
        findings=sums["findings"] or 0,
    )


def carry_out(
    run: AuditRun,
    *,
    clock: Callable[[], datetime],
    processes: int = 1,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> AuditRun:
    """
    Audit what is left of a run and return it finished. Whoever calls this takes the run over: a process
    that still works on it stops at its next step.

    :raises AuditFailed: something went wrong in one of the processes
    """
    # Only here a shard is taken from somebody; what that somebody did stays.
    run.shards.filter(state=AuditShard.State.RUNNING).update(state=AuditShard.State.WAITING)
    if processes == 1 or not can_share_work():
        last = 0.0
        for _ in _work(run):
            if time.monotonic() - last > 0.5:
                last = time.monotonic()
                on_progress(measure_progress(run))
    else:
        failed = share_work(
            _work_alone,
            run.pk,
            processes=processes,
            tick=lambda: on_progress(measure_progress(run)),
        )
        if failed:
            raise AuditFailed(f"{failed} of {processes} processes failed; what was seen is kept, resume it")
    left = run.shards.exclude(state=AuditShard.State.DONE).count()
    if left:
        raise AuditFailed(f"{left} parts of the audit were not finished; resume it")
    progress = measure_progress(run)
    on_progress(progress)
    run.accounts, run.entries, run.findings = progress.accounts, progress.entries, progress.findings
    run.finished_at = clock()
    run.save()
    return run


def _work_alone(run_id: int) -> None:
    for _ in _work(AuditRun.objects.get(pk=run_id)):
        pass


def _work(run: AuditRun) -> Iterator[None]:
    """Take shards that nobody works on until there are none; hand over after each step."""
    while shard := _take_shard(run):
        pieces = audit_range(
            shard.next_id,
            shard.last_id,
            since_entry=run.since_entry,
            announced_since=run.announced_since,
        )
        for piece in pieces:
            if not _store(shard, piece):
                break
            yield


def _take_shard(run: AuditRun) -> AuditShard | None:
    while True:
        shard = run.shards.filter(state=AuditShard.State.WAITING).order_by("pk").first()
        if shard is None:
            return None
        waiting = AuditShard.objects.filter(pk=shard.pk, state=AuditShard.State.WAITING)
        if waiting.update(state=AuditShard.State.RUNNING):
            return shard


def _store(shard: AuditShard, piece: Audited) -> bool:
    """Keep what was found and how far that is; not if somebody else went on from there meanwhile."""
    next_id = piece.last_id + 1
    done = next_id > shard.last_id
    with transaction.atomic():
        moved = AuditShard.objects.filter(pk=shard.pk, next_id=shard.next_id, run=shard.run_id).update(
            next_id=next_id,
            accounts=F("accounts") + piece.accounts,
            entries=F("entries") + piece.entries,
            findings=F("findings") + len(piece.findings),
            **({"state": AuditShard.State.DONE} if done else {}),
        )
        if not moved:
            return False
        room = max(_FINDINGS_KEPT - shard.findings, 0)
        AuditFinding.objects.bulk_create(
            AuditFinding(
                run_id=shard.run_id,
                code=finding.code,
                account=finding.account,
                entry_id=finding.entry_id,
                lot_id=finding.lot_id,
                hold_id=finding.hold_id,
                expected=finding.expected[:200],
                found=finding.found[:200],
            )
            for finding in piece.findings[:room]
        )
    shard.next_id = next_id
    shard.findings += len(piece.findings)
    return True

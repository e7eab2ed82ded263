"""
``python -m benchmarks.bulk --database postgres://… [--lots 1000000]``: activation, expiry and audit of
many lots on PostgreSQL.

Loads accounts with pending lots, entries, postings and messages consistently, then lets all of it become
spendable and expire, and audits before and after. Each job is the one that commands and tasks run, in
processes of its own, so that its peak memory is its own. The database is made for this and dropped, unless
``--keep``.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

LOADED = datetime(2025, 1, 1, 12, tzinfo=UTC)
ACTIVE = LOADED + timedelta(days=14)
EXPIRED = LOADED + timedelta(days=380)
ACCOUNTS_AT_ONCE = 25_000

_ACCOUNTS = """
WITH made AS (
    INSERT INTO oscar_loyalty_member (public_id, status, joined_at, terms_version, terms_accepted_at)
    SELECT gen_random_uuid(), 'ACTIVE', %(now)s, '1', %(now)s FROM generate_series(1, %(count)s)
    RETURNING id
)
INSERT INTO oscar_loyalty_account (
    public_id, programme_id, member_id, status, open_key, pending, available, held, debt, earned, moved_in,
    spent, expired, reversed, moved, seq, head_hash, due_at
)
SELECT gen_random_uuid(), %(programme)s, id, 'OPEN', %(programme)s || ':' || id, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, '', '9000-01-01 00:00:00+00'
FROM made
"""

_LOTS = """
INSERT INTO oscar_loyalty_lot (
    account_id, public_id, source_ref, amount, pending, remaining, spent, expired, reversed, moved, open,
    created_at, active_at, expires_at, expiry_months, unit_value, currency
)
SELECT a.id, gen_random_uuid(), 'order:' || a.id || '-' || j, 10 + (a.id * 37 + j * 101) %% 500,
    10 + (a.id * 37 + j * 101) %% 500, 0, 0, 0, 0, 0, true,
    %(now)s, %(now)s + j * interval '1 day', %(now)s + interval '365 days' + j * interval '1 day',
    12, 0.01, 'EUR'
FROM oscar_loyalty_account a CROSS JOIN generate_series(1, %(each)s) j
WHERE a.id > %(after)s
"""

_ENTRIES = """
WITH told AS (
    SELECT l.id AS lot_id, l.account_id, l.public_id AS lot, l.amount, a.public_id AS account, a.member_id,
        row_number() OVER (PARTITION BY l.account_id ORDER BY l.id) AS seq,
        'purchase:' || substr(l.source_ref, 7) AS key, substr(l.source_ref, 7) AS order_ref
    FROM oscar_loyalty_lot l JOIN oscar_loyalty_account a ON a.id = l.account_id
    WHERE l.account_id > %(after)s AND a.id > %(after)s
), chained AS (
    SELECT t.*, oscar_loyalty_digest_1('"' || t.key || '"') AS key_digest,
        oscar_loyalty_digest_1(t.key || t.amount) AS fingerprint,
        oscar_loyalty_chain_1(
            '', t.account, t.seq, 'EARN', oscar_loyalty_digest_1('"' || t.key || '"'),
            oscar_loyalty_digest_1(t.key || t.amount), t.amount, 0::bigint, %(now)s, %(now)s, t.order_ref,
            'EXP>PND:' || t.amount || ':' || t.lot
        ) OVER (PARTITION BY t.account_id ORDER BY t.seq ROWS UNBOUNDED PRECEDING) AS hash
    FROM told t
), entries AS MATERIALIZED (
    SELECT c.*, gen_random_uuid() AS entry,
        lag(hash, 1, '') OVER (PARTITION BY account_id ORDER BY seq) AS prev_hash
    FROM chained c
), written AS (
    INSERT INTO oscar_loyalty_entry (
        public_id, account_id, group_id, kind, idempotency_key, key_digest, fingerprint, points, seq,
        available_after, effective_at, created_at, actor_ref, order_ref, reason_code, explanation,
        prev_hash, hash
    )
    SELECT entry, account_id, gen_random_uuid(), 'EARN', key, key_digest, fingerprint, amount, seq,
        0, %(now)s, %(now)s, 'system', order_ref, '', '{}', prev_hash, hash
    FROM entries ORDER BY account_id, seq
    RETURNING id, public_id
), posted AS (
    INSERT INTO oscar_loyalty_posting (entry_id, lot_id, debit, credit, points)
    SELECT w.id, e.lot_id, 'EXP', 'PND', e.amount FROM written w JOIN entries e ON e.entry = w.public_id
), announced AS (
    INSERT INTO oscar_loyalty_outboxmessage (
        topic, key, payload, created_at, available_at, attempts, waiting, sent_at, last_error
    )
    SELECT 'points_posted', 'points_posted:' || e.entry,
        jsonb_build_object('entry_id', w.id, 'member_id', e.member_id, 'kind', 'EARN'),
        %(now)s, %(now)s, 1, false, %(now)s, ''
    FROM written w JOIN entries e ON e.entry = w.public_id
)
UPDATE oscar_loyalty_account a SET
    seq = s.seq, head_hash = s.hash, pending = s.points, earned = s.points,
    due_at = %(now)s + interval '1 day'
FROM (
    SELECT account_id, count(*) AS seq, sum(amount) AS points,
        (array_agg(hash ORDER BY seq DESC))[1] AS hash
    FROM entries GROUP BY account_id
) s WHERE a.id = s.account_id
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.bulk", description=__doc__)
    parser.add_argument("--database", default=os.environ.get("DATABASE_URL", ""))
    parser.add_argument("--lots", type=int, default=1_000_000)
    parser.add_argument("--lots-per-account", type=int, default=4)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument(
        "--audits", choices=["each", "last"], default="each", help="after each job, or once at the end"
    )
    parser.add_argument("--keep", action="store_true", help="keep the database, to look at it")
    parser.add_argument("--phase", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.database.startswith("postgres"):
        sys.exit("Name a PostgreSQL server: --database postgres://user@host:port/name")
    os.environ["DATABASE_URL"] = options.database
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.hosts.plain.settings"
    import django

    django.setup()
    from django.db import connection

    if options.phase:
        connection.settings_dict["NAME"] = f"test_{connection.settings_dict['NAME']}"
        run_phase(options)
        return
    started = time.monotonic()
    say(f"making test_{connection.settings_dict['NAME']}")
    connection.creation.create_test_db(verbosity=0, autoclobber=True, keepdb=False)
    try:
        load(lots=options.lots, each=options.lots_per_account)
        entries = options.lots
        between = ["audit"] if options.audits == "each" else []
        for phase in (*between, "activate", *between, "expire", "audit"):
            measured = measure(phase, options)
            if phase == "audit":
                assert measured["findings"] == 0, "the audit found something"
                done, what = measured["entries"], "entries"
                assert done == entries
            else:
                done, what = options.lots, "lots"
                entries += options.lots
            rate = done / measured["seconds"]
            print(
                f"{phase:>10}  {done:>10} {what:<8} {measured['seconds']:>8.1f} s {rate:>9.0f}/s "
                f"{done / measured['cpu']:>9.0f}/s per core of the client {measured['mb']:>5.0f} MB at most"
            )
        sizes(entries)
    finally:
        if not options.keep:
            connection.creation.destroy_test_db(options.database.rsplit("/", 1)[1], verbosity=0)
    say(f"all of it took {time.monotonic() - started:.0f} s")


def load(*, lots: int, each: int) -> None:
    from django.db import connection

    from oscar_loyalty.programmes.models import Programme

    programme, _ = Programme.objects.get_or_create(
        code="default", defaults={"name": "Points", "time_zone": "Europe/Berlin"}
    )
    left = lots // each
    values = {"programme": programme.pk, "each": each, "now": LOADED}
    with connection.cursor() as cursor:
        while left:
            values["count"] = min(left, ACCOUNTS_AT_ONCE)
            # Rows of this round alone: to look for them among all would take longer with each round.
            cursor.execute("SELECT coalesce(max(id), 0) FROM oscar_loyalty_account")
            values["after"] = cursor.fetchone()[0]
            cursor.execute(_ACCOUNTS, values)
            cursor.execute(_LOTS, values)
            cursor.execute(_ENTRIES, values)
            left -= values["count"]
            say(f"{lots - left * each} of {lots} lots loaded")
        cursor.execute("VACUUM ANALYZE")


def measure(phase: str, options: argparse.Namespace) -> dict[str, float]:
    """Run a phase in a process of its own, with the peak memory of it and its children."""
    command = [
        *(sys.executable, "-W", "ignore", "-m", "benchmarks.bulk", "--phase", phase),
        *("--database", options.database, "--processes", str(options.processes)),
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603
    if done.returncode:
        sys.exit(f"{phase} failed")
    return json.loads(done.stdout.splitlines()[-1])


def run_phase(options: argparse.Namespace) -> None:
    started = time.monotonic()
    result: dict[str, float] = {}
    if options.phase == "audit":
        from oscar_loyalty.flows.auditing import audit_ledger

        run = audit_ledger(clock=lambda: LOADED, processes=options.processes, on_progress=show_audit)
        result = {"entries": run.entries, "findings": run.findings}
        for finding in run.found.all()[:10]:
            say(f"{finding.code} {finding.account} {finding.expected} {finding.found}")
    else:
        from oscar_loyalty.flows.expiry import settle_due_accounts

        now = ACTIVE if options.phase == "activate" else EXPIRED
        settle_due_accounts(now=now, limit=None, processes=options.processes, on_progress=show_settled)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    result["cpu"] = sum(usage.ru_utime + usage.ru_stime for usage in used)
    peak = max(usage.ru_maxrss for usage in used)
    print(json.dumps({**result, "seconds": time.monotonic() - started, "mb": peak / 1024}))


def show_audit(progress) -> None:
    say(f"{progress.done:.0%}: {progress.entries} entries", end="\r")


def show_settled(settled: int, total: int) -> None:
    say(f"{settled} of {total} accounts", end="\r")


def sizes(entries: int) -> None:
    """Bytes of tables with their indexes, for each entry."""
    from django.db import connection

    with connection.cursor() as cursor:
        for name in ("entry", "posting", "lot", "account", "outboxmessage"):
            cursor.execute(f"SELECT pg_total_relation_size('oscar_loyalty_{name}')")
            size = cursor.fetchone()[0]
            print(f"{name:>14}  {size / 1e6:>9.0f} MB  {size / entries:>6.0f} bytes for each entry")


def say(text: str, end: str = "\n") -> None:
    print(f"\033[K{text}" if sys.stderr.isatty() else text, end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

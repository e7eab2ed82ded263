"""
``python -m benchmarks.growth [--database URL] [--most 1000000]``: a balance and a page of twenty entries
of one member, who has a thousand entries, ten thousand, and so on. Both should take no longer.

The entries are loaded in bulk: every tenth is an award of a lot that is spent by the nine that follow.
"""

import argparse
import os
import statistics
import sys
import time

from benchmarks.scratch import scratch_database

LIMIT = 2.0
READS = 200


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.growth", description=__doc__)
    parser.add_argument("--database", default=os.environ.get("DATABASE_URL", ""))
    parser.add_argument("--most", type=int, default=10**6, help="entries of the member in the end")
    options = parser.parse_args()
    if not options.database.startswith("postgres"):
        sys.exit("The bulk load is PostgreSQL's: --database postgres://…")

    times: dict[int, tuple[float, float]] = {}
    with scratch_database(options.database):
        account = make_account()
        entries = 1000
        while entries <= options.most:
            print(f"loading up to {entries} entries", file=sys.stderr)
            load(account, up_to=entries)
            times[entries] = (milliseconds(read_balance, account), milliseconds(read_page, account))
            entries *= 10
    report(times)


def make_account():
    from django.utils import timezone

    from oscar_loyalty.members.models import Member
    from oscar_loyalty.points.services import open_account
    from oscar_loyalty.programmes.models import Programme

    programme = Programme.objects.create(code="default", name="Points")
    member = Member.objects.create(
        joined_at=timezone.now(), terms_version="1", terms_accepted_at=timezone.now()
    )
    return open_account(member_id=member.pk, programme_id=programme.pk)


LOAD = """
WITH entry AS (
    INSERT INTO oscar_loyalty_entry (
        public_id, account_id, group_id, kind, idempotency_key, key_digest, fingerprint, points, seq,
        available_after, effective_at, created_at, actor_ref, order_ref, reason_code, explanation,
        prev_hash, hash
    ) SELECT
        gen_random_uuid(), %(account)s, gen_random_uuid(),
        CASE WHEN n %% 10 = 1 THEN 'EARN' ELSE 'SPEND' END, 'loaded:' || n, md5(n::text) || md5(n::text), '',
        CASE WHEN n %% 10 = 1 THEN 9 ELSE 1 END, n, 0,
        now() - (2000000 - n) * interval '1 minute', now(), 'system', n::text, '', '{}', '', ''
    FROM generate_series(%(from)s::bigint, %(to)s::bigint) AS n
    RETURNING id, seq, kind, points
), lot AS (
    INSERT INTO oscar_loyalty_lot (
        account_id, public_id, source_ref, amount, pending, remaining, spent, expired, reversed, moved,
        open, created_at, active_at, expires_at, unit_value, currency
    ) SELECT
        %(account)s, gen_random_uuid(), 'order:' || seq, 9, 0, 0, 9, 0, 0, 0, false,
        now(), now(), now() + seq * interval '1 minute', 0.01, 'EUR'
    FROM entry WHERE kind = 'EARN' RETURNING id
)
INSERT INTO oscar_loyalty_posting (entry_id, debit, credit, points)
    SELECT id, CASE kind WHEN 'EARN' THEN 'EXP' ELSE 'HLD' END,
        CASE kind WHEN 'EARN' THEN 'PND' ELSE 'RED' END, points
    FROM entry
"""


def load(account, *, up_to: int) -> None:
    from django.db import connection

    account.refresh_from_db()
    with connection.cursor() as cursor:
        cursor.execute(LOAD, {"account": account.pk, "from": account.seq + 1, "to": up_to})
        cursor.execute(
            "UPDATE oscar_loyalty_account SET seq = %s, earned = %s, spent = %s WHERE id = %s",
            (up_to, up_to // 10 * 9, up_to // 10 * 9, account.pk),
        )
        cursor.execute("VACUUM ANALYZE")


def milliseconds(read, account) -> float:
    """Median of many."""
    times = []
    for _ in range(READS):
        started = time.perf_counter()
        read(account)
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


def read_balance(account):
    from django.utils import timezone

    from oscar_loyalty.points.models import Account
    from oscar_loyalty.points.queries import get_balance

    return get_balance(account=Account.objects.get(pk=account.pk), now=timezone.now())


def read_page(account):
    from oscar_loyalty.points.queries import list_entries

    page = list(list_entries(account_id=account.pk)[:20])
    assert len(page) == 20
    return page


def report(times: dict[int, tuple[float, float]]) -> None:
    first = times[min(times)]
    print(f"{'entries':>10}{'balance ms':>12}{'page ms':>10}{'growth':>16}  verdict")
    for entries, (balance, page) in times.items():
        growth = (balance / first[0], page / first[1])
        verdict = "holds" if max(growth) <= LIMIT else f"more than {LIMIT:.0f} x"
        print(f"{entries:>10}{balance:>12.2f}{page:>10.2f}{growth[0]:>9.2f}{growth[1]:>7.2f}  {verdict}")


if __name__ == "__main__":
    main()

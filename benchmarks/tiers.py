"""
``python -m benchmarks.tiers --database postgres://… [--members 1000000]``: the tiers of many members.

Loads members with orders of two years, computes where all of them stand, compares that with a computation
from scratch, lets a new version of the programme come into force, lets a year pass, and sweeps when nothing
is due. Each phase runs in processes of its own, so that its peak memory is its own. The database is made
for this and dropped, unless ``--keep``.

On a busy machine compare the members per core of the client: those are of the processor and do not sink while
it waits.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

JOINED = datetime(2024, 1, 1, 12, tzinfo=UTC)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NEW_RULES = NOW + timedelta(days=1)
A_YEAR_LATER = NOW + timedelta(days=366)
MEMBERS_AT_ONCE = 25_000

_MEMBERS = """
INSERT INTO oscar_loyalty_member (public_id, status, joined_at, terms_version, terms_accepted_at)
SELECT gen_random_uuid(), 'ACTIVE', %(joined)s, '1', %(joined)s FROM generate_series(1, %(count)s)
RETURNING id
"""

# Orders between 5 and 400 euros, spread over two years; the fast ones buy ten times as often.
_ENTRIES = """
INSERT INTO oscar_loyalty_qualifyingentry (
    programme_id, member_id, key, order_ref, occurred_at, booked_at, points, spend, currency, orders, note
)
SELECT %(programme)s, m.id, 'purchase:' || m.id || '-' || j, m.id || '-' || j, placed.at, placed.at,
    5 + (m.id * 37 + j * 101) %% 395, 5 + (m.id * 37 + j * 101) %% 395, 'EUR', 1, ''
FROM oscar_loyalty_member m
CROSS JOIN LATERAL generate_series(1, CASE WHEN m.id %% 20 = 0 THEN %(each)s * 10 ELSE %(each)s END) j
CROSS JOIN LATERAL (
    SELECT %(now)s::timestamptz - ((m.id * 7919 + j * 104729) %% 63072000) * interval '1 second' AS at
) placed
WHERE m.id BETWEEN %(first)s AND %(last)s
"""

_STATUSES = """
INSERT INTO oscar_loyalty_tierstatus (
    programme_id, member_id, tier_code, since, lost_at, due_at, qualified, computed_at, version_number
)
SELECT %(programme)s, id, '', %(joined)s, '9000-01-01 00:00:00+00', %(now)s, 0, %(joined)s, 0
FROM oscar_loyalty_member WHERE id BETWEEN %(first)s AND %(last)s
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.tiers", description=__doc__)
    parser.add_argument("--database", default=os.environ.get("DATABASE_URL", ""))
    parser.add_argument("--members", type=int, default=1_000_000)
    parser.add_argument("--orders-per-member", type=int, default=4)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--keep", action="store_true", help="keep the database, to look at it")
    parser.add_argument("--phase", help=argparse.SUPPRESS)
    parser.add_argument("--part", type=int, default=0, help=argparse.SUPPRESS)
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
    # Tables of today, without the way there.
    connection.settings_dict["TEST"]["MIGRATE"] = False
    connection.creation.create_test_db(verbosity=0, autoclobber=True, keepdb=False)
    try:
        loading = time.monotonic()
        entries = load(members=options.members, each=options.orders_per_member)
        print(
            f"{'loaded':>10}  {options.members:>10} members  {time.monotonic() - loading:>8.1f} s "
            f"with {entries} orders",
            flush=True,
        )
        for phase in ("first", "check", "nothing", "rules", "check", "year", "check"):
            measured = measure(phase, options)
            assert not measured["differences"], "what is stored is not what the fold says"
            print(
                f"{phase:>10}  {measured['done']:>10.0f} members  {measured['seconds']:>8.1f} s "
                f"{measured['done'] / measured['seconds']:>9.0f}/s "
                f"{measured['done'] / max(measured['cpu'], 0.01):>9.0f}/s per core of the client "
                f"{measured['mb']:>5.0f} MB at most",
                flush=True,
            )
    finally:
        if not options.keep:
            connection.creation.destroy_test_db(options.database.rsplit("/", 1)[1], verbosity=0)
    say(f"all of it took {time.monotonic() - started:.0f} s")


def load(*, members: int, each: int) -> int:
    """Members, orders and statuses that nobody has computed; returns how many orders."""
    from django.db import connection

    from oscar_loyalty.programmes.models import Programme

    programme = Programme.objects.create(code="default", name="Points", time_zone="Europe/Berlin")
    publish(programme, at=JOINED, silver="300", gold="1000")
    publish(programme, at=NEW_RULES, silver="400", gold="900")
    left, orders = members, 0
    values = {"programme": programme.pk, "each": each, "now": NOW, "joined": JOINED}
    with connection.cursor() as cursor:
        while left:
            values["count"] = min(left, MEMBERS_AT_ONCE)
            cursor.execute(_MEMBERS, values)
            ids = [row[0] for row in cursor.fetchall()]
            values |= {"first": ids[0], "last": ids[-1]}
            cursor.execute(_ENTRIES, values)
            orders += cursor.rowcount
            cursor.execute(_STATUSES, values)
            left -= values["count"]
            say(f"{members - left} of {members} members loaded", end="\r")
        cursor.execute("VACUUM ANALYZE")
    return orders


def publish(programme, *, at: datetime, **tiers: str) -> None:
    from oscar_loyalty.programmes.models import CurrencyRate, ProgrammeVersion
    from oscar_loyalty.programmes.services import publish_version
    from oscar_loyalty.tiers.models import Tier, TierScheme

    version = publish_version(
        version=ProgrammeVersion(programme=programme, terms_version="1"),
        rates=[CurrencyRate(currency="EUR")],
        active_from=at,
        now=JOINED,
    )
    TierScheme.objects.create(version=version)
    for rank, (code, entry) in enumerate(tiers.items(), start=1):
        Tier.objects.create(
            version=version,
            code=code,
            name_de=code,
            name_en=code,
            rank=rank,
            entry_threshold=Decimal(entry),
            keep_threshold=Decimal(entry) * Decimal("0.8"),
        )


def measure(phase: str, options: argparse.Namespace) -> dict[str, float]:
    """
    Run a phase in a process of its own, with the peak memory of it and its children. What is swept is shared
    by processes as in the shop; what is only checked, by as many processes here.
    """
    command = [
        *(sys.executable, "-W", "ignore", "-m", "benchmarks.tiers", "--phase", phase),
        *("--database", options.database, "--processes", str(options.processes)),
    ]
    running = [
        subprocess.Popen([*command, "--part", str(part)], stdout=subprocess.PIPE, text=True)  # noqa: S603
        for part in range(options.processes if phase == "check" else 1)
    ]
    answers = [process.communicate()[0] for process in running]
    if any(process.returncode for process in running):
        sys.exit(f"{phase} failed")
    parts = [json.loads(answer.splitlines()[-1]) for answer in answers]
    together = {name: sum(one[name] for one in parts) for name in ("done", "differences", "cpu")}
    return {**together, **{name: max(one[name] for one in parts) for name in ("seconds", "mb")}}


def run_phase(options: argparse.Namespace) -> None:
    from oscar_loyalty.flows.tiering import check_tiers, recompute_due_tiers
    from oscar_loyalty.programmes.models import Programme
    from oscar_loyalty.tiers.models import TierStatus
    from oscar_loyalty.tiers.queries import list_statuses

    # Without what it takes to start Django.
    started, started_cpu = time.monotonic(), cpu_used()
    differences = 0
    if options.phase == "check":
        now = TierStatus.objects.order_by("-computed_at").values_list("computed_at", flat=True)[0]
        share = {"part": options.part, "parts": options.processes}
        for one in check_tiers(now=now, **share, on_progress=show):
            differences += 1
            say(f"member {one.member}: {one.column} is {one.stored}, should be {one.computed}")
        done = list_statuses(programme_id=Programme.objects.get().pk, **share).count()
    else:
        now = {"first": NOW, "nothing": NOW, "rules": NEW_RULES, "year": A_YEAR_LATER}[options.phase]
        done = recompute_due_tiers(now=now, limit=None, processes=options.processes, on_progress=show)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    result = {
        "done": done,
        "differences": differences,
        "cpu": cpu_used() - started_cpu,
        "seconds": time.monotonic() - started,
        "mb": max(usage.ru_maxrss for usage in used) / 1024,
    }
    print(json.dumps(result))


def cpu_used() -> float:
    """Seconds of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def show(done: int, total: int) -> None:
    say(f"{done} of {total} members", end="\r")


def say(text: str, end: str = "\n") -> None:
    print(f"\033[K{text}" if sys.stderr.isatty() else text, end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

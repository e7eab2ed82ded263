"""
``python -m benchmarks.ledger --database postgres://…``: points earned and redeemed per second, by 1, 8
and 16 client processes, each on members of its own or all on one hot member.

Beside them, in the same run and database: the floor (pgbench with prepared statements: BEGIN, a conditional
UPDATE, three INSERTs, COMMIT) and django-hordak, to which its user has added the lock that a balance needs
and a look at it before points are taken. hordak's earning without any lock, which changes no row and so
cannot know a balance, is told beside it. Runs are interleaved over several rounds and the median counts;
clients share the machine with the server.

A redemption is a reservation and, when the order is placed, its capture: two bookings, each with a commit
of its own. Against hordak, which does less in one, both together are judged. The floor is one booking, so
the limit is judged for each: for the capture alone, and for both together against two.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.scratch import scratch_database

#: ``(client processes, whether all of them book for one member)``
CELLS = ((1, False), (8, False), (8, True), (16, False), (16, True))
#: How many times slower than the floor a booking may be.
FLOOR_LIMITS = {1: 4, 8: 6, 16: 6}
MEMBERS_PER_CLIENT = 8
#: Bookings of a job, each of which may take as long as the limit says.
BOOKINGS = {"earn": 1, "redeem": 2, "capture": 1}
#: What a job is compared with.
PEERS = {"earn": "hordak earn", "redeem": "hordak redeem"}
HOT = 0

FLOOR_TABLES = """
CREATE TABLE floor_account (id bigint PRIMARY KEY, available bigint NOT NULL CHECK (available >= 0));
CREATE TABLE floor_entry (id bigserial PRIMARY KEY, account_id bigint NOT NULL, points bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE floor_posting (id bigserial PRIMARY KEY, account_id bigint NOT NULL, points bigint NOT NULL);
CREATE TABLE floor_outbox (id bigserial PRIMARY KEY, topic text NOT NULL, account_id bigint NOT NULL);
INSERT INTO floor_account SELECT id, 1000000000000 FROM generate_series(0, 10000) AS id;
"""
FLOOR_SCRIPT = """
\\set member {member}
BEGIN;
UPDATE floor_account SET available = available - 1 WHERE id = :member AND available >= 1;
INSERT INTO floor_entry (account_id, points) VALUES (:member, 1);
INSERT INTO floor_posting (account_id, points) VALUES (:member, 1);
INSERT INTO floor_outbox (topic, account_id) VALUES ('points_posted', :member);
COMMIT;
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.ledger", description=__doc__)
    parser.add_argument("--database", default=os.environ.get("DATABASE_URL", ""))
    parser.add_argument("--seconds", type=float, default=3, help="length of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pgbench", default="pgbench", help="path of pgbench")
    options = parser.parse_args()
    if not options.database.startswith("postgres"):
        sys.exit("The floor and the fast path are PostgreSQL's: --database postgres://…")

    with scratch_database(options.database):
        from django.db import transaction

        from oscar_loyalty.points import fast

        with transaction.atomic():
            make_world()
        print(f"fast path: {'on' if fast.is_available() else 'off'}", file=sys.stderr)
        rates = measure(options)
        storage = measure_storage()
    report(rates)
    report_storage(storage)


def measure(options: argparse.Namespace) -> "dict[tuple[str, int, bool], list[float]]":
    rates: dict[tuple[str, int, bool], list[float]] = defaultdict(list)

    def note(job: str, rate: float) -> None:
        rates[job, clients, hot].append(rate)
        print(f"  {job}: {rate:.0f}", file=sys.stderr)

    for number in range(options.rounds):
        for clients, hot in CELLS:
            print(f"round {number + 1} of {options.rounds}: {clients} clients, hot: {hot}", file=sys.stderr)
            note("floor", run_floor(options, clients=clients, hot=hot))
            for job in JOBS:
                note(job, run_clients(job, clients=clients, hot=hot, seconds=options.seconds, number=number))
    return rates


# The floor


def run_floor(options: argparse.Namespace, *, clients: int, hot: bool) -> float:
    from django.db import connection

    server = connection.settings_dict
    member = str(HOT) if hot else f":client_id * {MEMBERS_PER_CLIENT} + random(1, {MEMBERS_PER_CLIENT})"
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "floor.sql")
        script.write_text(FLOOR_SCRIPT.format(member=member))
        command = [options.pgbench, "--no-vacuum", "-M", "prepared", "-f", str(script)]
        command += ["-c", str(clients), "-j", str(min(clients, 2)), "-T", str(max(round(options.seconds), 1))]
        command += ["-h", server["HOST"] or "", "-p", str(server["PORT"] or 5432), "-U", server["USER"]]
        environment = {**os.environ, "PGPASSWORD": server["PASSWORD"] or ""}
        done = subprocess.run(  # noqa: S603
            [*command, server["NAME"]], env=environment, capture_output=True, text=True, check=False
        )
    if done.returncode:
        sys.exit(done.stderr)
    [line] = [line for line in done.stdout.splitlines() if line.startswith("tps") and "including" not in line]
    return float(line.split()[2])


# Clients in Python


@dataclass(frozen=True)
class Client:
    """One process: the members it books for, and a prefix for keys that nobody else uses."""

    accounts: list[int]
    hordak_accounts: list[int]
    key: str

    def pick(self, number: int) -> int:
        return self.accounts[number % len(self.accounts)]


def run_clients(job: str, *, clients: int, hot: bool, seconds: float, number: int) -> float:
    """Operations per second of all processes together."""
    from django.db import connections

    from oscar_loyalty.points.models import Account

    ours = list(Account.objects.order_by("pk").values_list("pk", flat=True))
    theirs = hordak_members()
    # A connection does not survive the fork.
    connections.close_all()
    processes = get_context("fork")
    start, results = processes.Barrier(clients), processes.Queue()

    def run(client: Client) -> None:
        operations = JOBS[job](client, seconds)
        next(operations)  # what has to be there before
        start.wait(timeout=300)
        started, count = time.perf_counter(), 0
        for _ in operations:
            count += 1
            if time.perf_counter() - started > seconds:
                break
        results.put((count, time.perf_counter() - started))
        connections.close_all()

    workers = []
    for place in range(clients):
        members = slice(HOT, HOT + 1)
        if not hot:
            members = slice(1 + place * MEMBERS_PER_CLIENT, 1 + (place + 1) * MEMBERS_PER_CLIENT)
        key = f"{job}-{clients}-{hot}-{number}-{place}"
        client = Client(accounts=ours[members], hordak_accounts=theirs[members], key=key)
        workers.append(processes.Process(target=run, args=(client,)))
    for worker in workers:
        worker.start()
    measured = [results.get(timeout=600) for _ in workers]
    for worker in workers:
        worker.join()
    return sum(count / elapsed for count, elapsed in measured)


def earn(client: Client, seconds: float) -> Iterator[None]:
    """An order earns points on two lines, which wait to become spendable."""
    from django.utils import timezone

    from oscar_loyalty.points.rules import LineEarning
    from oscar_loyalty.points.services import award_points

    number = 0
    yield
    while True:
        now = timezone.now()
        award_points(
            account_id=client.pick(number),
            points=30,
            idempotency_key=f"purchase:{client.key}-{number}",
            source_ref=f"order:{client.key}-{number}",
            order_ref=f"{client.key}-{number}",
            active_at=now + timedelta(days=14),
            expiry_months=36,
            unit_value=Decimal("0.01"),
            currency="EUR",
            lines=[
                LineEarning(ref="1", basis=Decimal("10.00"), points=10),
                LineEarning(ref="2", basis=Decimal("20.00"), points=20),
            ],
            explanation={"rule": "PURCHASE", "version": 1, "basis": "30.00"},
            now=now,
        )
        number += 1
        yield


def redeem(client: Client, seconds: float) -> Iterator[None]:
    """Points are reserved, and the reservation is captured."""
    yield
    number = 0
    while True:
        ref = f"{client.key}-{number}"
        hold(client.pick(number), ref)
        capture(ref)
        number += 1
        yield


def capture_only(client: Client, seconds: float) -> Iterator[None]:
    """The second half of :func:`redeem`, for reservations that are there already."""
    count = int(seconds * 200)
    for number in range(count):
        hold(client.pick(number), f"{client.key}-{number}")
    yield
    for number in range(count):
        capture(f"{client.key}-{number}")
        yield


def hold(account_id: int, ref: str) -> None:
    from django.utils import timezone

    from oscar_loyalty.points.services import hold_points

    now = timezone.now()
    until = now + timedelta(minutes=30)
    hold_points(account_id=account_id, ref=ref, requested=3, currency="EUR", expires_at=until, now=now)


def capture(ref: str) -> None:
    from django.utils import timezone

    from oscar_loyalty.points.services import capture_hold

    capture_hold(ref=ref, points=3, amount=Decimal("0.03"), order_ref=ref, now=timezone.now())


def with_locked_members(client: Client, book: Callable[[Any], None]) -> Iterator[None]:
    """hordak as a careful user calls it: the member's row is locked until the transfer is committed."""
    from django.db import transaction
    from hordak.models import Account

    number = 0
    yield
    while True:
        with transaction.atomic():
            pk = client.hordak_accounts[number % len(client.hordak_accounts)]
            book(Account.objects.select_for_update().get(pk=pk))
        number += 1
        yield


def hordak_earn(client: Client, seconds: float) -> Iterator[None]:
    from hordak.models import Account
    from moneyed import Money

    expense = Account.objects.get(name="expense")

    def book(member: Any) -> None:
        # From the right side of the books to the left: the member's account grows.
        member.transfer_to(expense, Money(30, "EUR"), description="order")

    return with_locked_members(client, book)


def hordak_earn_unlocked(client: Client, seconds: float) -> Iterator[None]:
    from hordak.models import Account
    from hordak.utilities.currency import Balance  # noqa: F401 - the package is complete
    from moneyed import Money

    expense = Account.objects.get(name="expense")
    accounts = list(Account.objects.filter(pk__in=client.hordak_accounts))
    number = 0
    yield
    while True:
        accounts[number % len(accounts)].transfer_to(expense, Money(30, "EUR"), description="order")
        number += 1
        yield


def hordak_redeem(client: Client, seconds: float) -> Iterator[None]:
    from hordak.models import Account
    from moneyed import Money

    income = Account.objects.get(name="redeemed")

    def book(member: Any) -> None:
        if member.get_simple_balance() < Money(3, "EUR"):
            raise AssertionError("there are points enough for the whole run")
        income.transfer_to(member, Money(3, "EUR"), description="order")

    return with_locked_members(client, book)


JOBS: "dict[str, Callable[[Client, float], Iterator[None]]]" = {
    "earn": earn,
    "hordak earn": hordak_earn,
    "hordak earn, no lock": hordak_earn_unlocked,
    "redeem": redeem,
    "hordak redeem": hordak_redeem,
    "capture": capture_only,
}


# The world


def make_world() -> None:
    from django.db import connection
    from django.utils import timezone
    from hordak.models import Account as HordakAccount
    from moneyed import Money

    from oscar_loyalty.members.models import Member
    from oscar_loyalty.points.services import award_points, open_account, settle_account
    from oscar_loyalty.programmes.models import Programme

    now = timezone.now()
    programme = Programme.objects.create(code="default", name="Points", time_zone="Europe/Berlin")
    expense = HordakAccount.objects.create(name="expense", type="EX", currencies=["EUR"])
    HordakAccount.objects.create(name="redeemed", type="IN", currencies=["EUR"])
    for number in range(1 + max(clients for clients, _ in CELLS) * MEMBERS_PER_CLIENT):
        member = Member.objects.create(joined_at=now, terms_version="1", terms_accepted_at=now)
        account = open_account(member_id=member.pk, programme_id=programme.pk)
        for order in range(3):
            award_points(
                account_id=account.pk,
                points=10**9,
                idempotency_key=f"purchase:{order}",
                source_ref=f"order:{order}",
                active_at=now,
                expiry_months=36,
                unit_value=Decimal("0.01"),
                currency="EUR",
                now=now,
            )
        settle_account(account_id=account.pk, now=now)
        theirs = HordakAccount.objects.create(name=f"member {number}", type="LI", currencies=["EUR"])
        theirs.transfer_to(expense, Money(10**7, "EUR"), description="order")
    with connection.cursor() as cursor:
        cursor.execute(FLOOR_TABLES)
        cursor.execute("ANALYZE")


def hordak_members() -> list[int]:
    from hordak.models import Account

    return list(Account.objects.filter(type="LI").order_by("pk").values_list("pk", flat=True))


# Storage


def measure_storage() -> "dict[str, dict[str, tuple[float, float]]]":
    """Rows and bytes with indexes, by table, that one more order takes."""
    from oscar_loyalty.points.models import Account

    accounts = list(Account.objects.order_by("pk").values_list("pk", flat=True)[1 : 1 + MEMBERS_PER_CLIENT])
    client = Client(accounts=accounts, hordak_accounts=[], key="storage")
    measured = {}
    for job in (earn, redeem):
        before = sizes()
        operations = job(client, 0)
        next(operations)
        orders = 500
        for _ in range(orders):
            next(operations)
        after = sizes()
        measured[job.__name__] = {
            table: ((after[table][0] - rows) / orders, (after[table][1] - size) / orders)
            for table, (rows, size) in before.items()
            # What is only changed takes space that vacuum gives back.
            if after[table][0] > rows
        }
    return measured


def sizes() -> dict[str, tuple[int, int]]:
    from django.apps import apps
    from django.db import connection

    found = {}
    with connection.cursor() as cursor:
        for model in apps.get_app_config("oscar_loyalty").get_models():
            table = model._meta.db_table
            # Space that earlier rows left free would hide what new ones take.
            cursor.execute(f"VACUUM FULL {table}")
            cursor.execute(f"SELECT count(*), pg_total_relation_size('{table}') FROM {table}")  # noqa: S608
            found[table] = cursor.fetchone()
    return found


# The report


def report(rates: "dict[tuple[str, int, bool], list[float]]") -> None:
    def rate(job: str, clients: int, hot: bool) -> float:
        return statistics.median(rates[job, clients, hot])

    print(
        f"{'per second':<12}{'clients':>8}{'members':>10}{'ours':>8}{'hordak':>8}{'floor':>8}"
        f"{'ours/hordak':>13}{'floor/ours':>12}{'limit':>7}  verdict"
    )
    for job, bookings in BOOKINGS.items():
        for clients, hot in CELLS:
            ours, floor = rate(job, clients, hot), rate("floor", clients, hot)
            limit = FLOOR_LIMITS[clients] * bookings
            missed = [f"more than {limit} x the floor"] if floor > limit * ours else []
            theirs = f"{'':>8}", f"{'':>13}"
            if job in PEERS:
                hordak = rate(PEERS[job], clients, hot)
                theirs = f"{hordak:>8.0f}", f"{ours / hordak:>13.2f}"
                missed += ["slower than hordak"] if ours <= hordak else []
            members = "one hot" if hot else "distinct"
            print(
                f"{job:<12}{clients:>8}{members:>10}{ours:>8.0f}{theirs[0]}{floor:>8.0f}"
                f"{theirs[1]}{floor / ours:>12.2f}{limit:>7}  {', '.join(missed) or 'holds'}"
            )
    for clients, hot in CELLS:
        ours, theirs_unlocked = rate("earn", clients, hot), rate("hordak earn, no lock", clients, hot)
        print(
            f"hordak's earning without a lock, {clients} clients, {'one hot member' if hot else 'distinct'}:"
            f" {theirs_unlocked:.0f}/s, ours {ours / theirs_unlocked:.2f} of that"
        )


def report_storage(storage: "dict[str, dict[str, tuple[float, float]]]") -> None:
    for job, tables in storage.items():
        rows, size = (sum(column) for column in zip(*tables.values(), strict=True))
        print(f"\nan order that is to {job}: {rows:.1f} rows, {size:.0f} bytes with indexes")
        for table, (count, of_it) in sorted(tables.items(), key=lambda item: -item[1][1]):
            print(f"  {table:<36}{count:>6.1f} rows{of_it:>8.0f} bytes")


if __name__ == "__main__":
    main()

"""
``python -m benchmarks.simulation [--database URL] [--orders N] [--rules] [--tiers]``: how fast a draft is
simulated.

Makes a shop with past orders of three lines on a scratch database and replays them under a draft and under
the version in force, as ``loyalty_simulate`` does: at the base rate, or with five rules in the draft
(``--rules``), or with three tiers in both (``--tiers``). The floor is reading the same orders as facts and
nothing else, member by member, in as many processes. Each case runs in a process of its own, so that the peak
memory is its own.

On a busy machine compare the seconds in Python: those are of the processor and do not grow while it waits.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from datetime import timedelta

from benchmarks.backfill import make_orders, make_users
from benchmarks.scratch import scratch_shop

MONTHS = 13


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.simulation", description=__doc__)
    parser.add_argument("--database", default=os.environ.get("DATABASE_URL", ""))
    parser.add_argument("--orders", type=int, default=50_000)
    parser.add_argument("--members", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rules", action="store_true", help="five rules in the draft")
    parser.add_argument("--tiers", action="store_true", help="three tiers in both versions")
    parser.add_argument("--profile", action="store_true", help="say where the time of one process goes")
    parser.add_argument("--phase", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.phase:
        run_phase(options)
        return
    if not options.database or options.database.startswith("sqlite"):
        sys.exit("Name a server: --database postgres://user@host:port/name")
    with scratch_shop(options.database):
        make_shop(options)
        if options.profile:
            profile(lambda: simulate(processes=1))
            return
        best: dict[str, float] = {}
        for _round in range(options.rounds):
            for phase in ("read", "simulate"):
                measured = measure(phase, options)
                assert measured["orders"] == options.orders, measured
                best[phase] = min(best.get(phase, measured["seconds"]), measured["seconds"])
                print(
                    f"{phase:<10}{options.orders:>10,} orders{measured['seconds']:>9.1f} s"
                    f"{options.orders / measured['seconds']:>10,.0f}/s{measured['cpu']:>9.1f} s in Python"
                    f"{options.orders / measured['cpu']:>10,.0f}/s"
                    f"{measured['mb']:>8.0f} MB at the most",
                    flush=True,
                )
        print(
            f"simulating takes {best['simulate'] / best['read']:.2f} times as long as reading (best of each)"
        )


def make_shop(options: argparse.Namespace) -> None:
    """Members, their orders of a year with many prices, and a draft that gives more points."""
    from django.utils import timezone

    from oscar_loyalty.members.models import Member
    from oscar_loyalty.programmes.models import ProgrammeVersion
    from oscar_loyalty.programmes.services import create_draft

    now = timezone.now()
    users = make_users(options.members, now=now)
    Member.objects.bulk_create(
        Member(user=user, joined_at=now - timedelta(days=400), terms_version="1", terms_accepted_at=now)
        for user in users
    )
    make_orders(users, orders=options.orders, now=now)
    vary_prices()
    version = ProgrammeVersion.objects.get()
    if options.tiers:
        add_tiers(version)
    draft = create_draft(based_on=version)
    draft.rates.update(earn_points=3, earn_amount=2)
    if options.rules:
        add_rules(draft)


def vary_prices() -> None:
    """From 5 to 100 euros: a shop where all prices are the same would flatter whatever remembers them."""
    from django.db.models import DecimalField, F
    from django.db.models.functions import Cast
    from oscar.core.loading import get_model

    price = Cast(F("pk") * 7919 % 9500 + 500, DecimalField(max_digits=12, decimal_places=2)) / 100
    get_model("order", "Line").objects.update(line_price_incl_tax=price, line_price_excl_tax=price)


def add_rules(draft) -> None:
    """A rate and a doubling for one kind of goods each, a weekend, a bonus with limits, and a cap."""
    from oscar.core.loading import get_model
    from oscar.test import factories

    products = list(get_model("catalogue", "Product").objects.order_by("pk"))
    category = factories.CategoryFactory()
    category.product_set.add(products[0])
    books = factories.ProductClassFactory(name="Books")
    type(products[1]).objects.filter(pk=products[1].pk).update(product_class=books)
    for position, (code, kind, parameters, conditions, limits) in enumerate(
        [
            (
                *("books", "RATE", {"points": 2, "amount": "1.00", "currency": "EUR"}),
                *({"product_class_ids": [books.pk]}, {}),
            ),
            ("brand", "MULTIPLIER", {"factor": "2"}, {"category_ids": [category.pk]}, {}),
            ("weekend", "MULTIPLIER", {"factor": "1.5"}, {"weekdays": [5, 6]}, {"cap_order_points": 60}),
            (
                *("basket", "BONUS", {"points": 50, "per": "ORDER"}, {"minimum_value": {"EUR": "120"}}),
                {"cap_member_points": 100, "cap_member_period": "MONTH", "budget_points": 1_000_000},
            ),
            ("most", "CAP", {"points": 500, "per": "ORDER"}, {}, {}),
        ],
        start=1,
    ):
        draft.earning_rules.create(
            code=code, kind=kind, position=position, parameters=parameters, conditions=conditions, **limits
        )


def add_tiers(version) -> None:
    from oscar_loyalty.tiers.models import TierPerk, TierScheme

    TierScheme.objects.create(version=version)
    for rank, (code, threshold, factor) in enumerate(
        [("silver", 200, "1.1"), ("gold", 500, "1.25"), ("platinum", 1000, "1.5")], start=1
    ):
        version.tiers.create(
            code=code, name_en=code, rank=rank, entry_threshold=threshold, keep_threshold=threshold
        )
        TierPerk.objects.create(
            version=version, tier_code=code, kind="EARNING_MULTIPLIER", parameters={"factor": factor}
        )


def profile(work) -> None:
    import cProfile
    import pstats

    profiler = cProfile.Profile()
    profiler.runcall(work)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(45)


def measure(phase: str, options: argparse.Namespace) -> dict[str, float]:
    from django.db import connection

    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
        "BENCHMARK_CASE": "installed",
        "DATABASE_URL": f"{options.database.rsplit('/', 1)[0]}/{connection.settings_dict['NAME']}",
    }
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.simulation", "--phase", phase]
    command += ["--processes", str(options.processes)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603
    if done.returncode:
        sys.exit(f"{phase} failed")
    return json.loads(done.stdout.splitlines()[-1])


def run_phase(options: argparse.Namespace) -> None:
    import django

    django.setup()
    usages = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    used = sum(one.ru_utime + one.ru_stime for one in map(resource.getrusage, usages))
    started = time.perf_counter()
    orders = read(options.processes) if options.phase == "read" else simulate(options.processes)
    result = {"orders": orders, "seconds": time.perf_counter() - started}
    after = [resource.getrusage(who) for who in usages]
    result["cpu"] = sum(one.ru_utime + one.ru_stime for one in after) - used
    result["mb"] = max(one.ru_maxrss for one in after) / 1024
    print(json.dumps(result))


def simulate(processes: int) -> int:
    from django.utils import timezone

    from oscar_loyalty.flows.simulation import request_simulation, run_simulation
    from oscar_loyalty.programmes.models import ProgrammeVersion

    draft = ProgrammeVersion.objects.get(active_from=None)
    job = request_simulation(version=draft, months=MONTHS, requested_by_ref="benchmark", now=timezone.now())
    job = run_simulation(job_id=job.pk, clock=timezone.now, processes=processes)
    assert job.result is not None, job.error
    return job.result["orders"] + job.result["cancelled"]


def read(processes: int) -> int:
    """The same orders, read by the same functions with the same borders, and dropped."""
    from oscar_loyalty.processes import share_work
    from oscar_loyalty.shop.past_orders import count_member_orders, find_member_range

    since, until = period()
    first, last = find_member_range()
    expected = count_member_orders(since=since, until=until)
    middle = (first + last) // 2
    halves = [(first, last)] if processes == 1 else [(first, middle), (middle + 1, last)]
    import multiprocessing

    counter = multiprocessing.get_context("fork").Value("i", 0)
    failed = share_work(read_part, halves, counter, processes=len(halves))
    assert not failed
    assert expected
    return expected


def read_part(halves, counter) -> None:
    from itertools import islice

    from oscar_loyalty.flows.simulation import BATCH
    from oscar_loyalty.shop.orders import find_purchase_facts
    from oscar_loyalty.shop.past_orders import list_histories

    with counter.get_lock():
        first, last = halves[counter.value]
        counter.value += 1
    since, until = period()
    histories = list_histories(first_id=first, last_id=last, since=since, until=until)
    ids = (order.order_id for history in histories for order in history.orders)
    while batch := list(islice(ids, BATCH)):
        find_purchase_facts(batch, lock=False)


def period():
    from django.utils import timezone

    now = timezone.now()
    return now - timedelta(days=395), now


if __name__ == "__main__":
    main()

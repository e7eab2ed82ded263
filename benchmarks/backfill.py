"""
``python -m benchmarks.backfill [--database URL] [--orders N]``: how fast past orders are booked.

Makes a shop with past orders of three lines on a scratch database and books them with
``loyalty_backfill``: once as a dry run, once for real, once again when nothing is left to do.
"""

import argparse
import os
import resource
import time
from datetime import timedelta
from decimal import Decimal
from io import StringIO

from benchmarks.scratch import scratch_shop

LINES = 3


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.backfill", description=__doc__)
    parser.add_argument("--database", default=os.environ.get("DATABASE_URL", "sqlite://:memory:"))
    parser.add_argument("--orders", type=int, default=20_000)
    parser.add_argument("--members", type=int, default=4_000)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--profile", action="store_true", help="say where the time of the real run goes")
    options = parser.parse_args()
    with scratch_shop(options.database):
        make_past(orders=options.orders, members=options.members)
        for name, arguments in (("dry run", ["--dry-run"]), ("booking", []), ("again", [])):
            started, used = time.perf_counter(), client_seconds()
            if options.profile and name == "booking":
                profile(lambda: run(options.processes))
            else:
                run(options.processes, *arguments)
            seconds = time.perf_counter() - started
            print(
                f"{name:<10}{options.orders:>10,} orders{seconds:>9.1f} s{options.orders / seconds:>10,.0f}/s"
                f"{client_seconds() - used:>9.1f} s of it in Python"
            )
        check(options.orders)
    print(f"memory    {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024:>10,} MB at the most")


def run(processes: int, *arguments: str) -> str:
    from django.core.management import call_command

    out = StringIO()
    call_command(
        "loyalty_backfill", "--since", "2020-01-01", "--processes", str(processes), *arguments, stdout=out
    )
    return out.getvalue()


def profile(work) -> None:
    import cProfile
    import pstats

    profiler = cProfile.Profile()
    profiler.runcall(work)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(35)


def client_seconds() -> float:
    own, children = (resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def make_past(*, orders: int, members: int) -> None:
    """A year of orders, every status reached, half of them spendable, one in twenty cancelled."""
    from django.utils import timezone

    from oscar_loyalty.flows.membership import join_programme

    now = timezone.now()
    users = make_users(members, now=now)
    for user in users:
        join_programme(user_id=user.pk, now=now)
    make_orders(users, orders=orders, now=now)


def make_users(count: int, *, now):
    """A programme that is old enough, and customers."""
    from django.contrib.auth import get_user_model
    from django.core.management import call_command

    from oscar_loyalty.programmes.models import ProgrammeVersion

    call_command("loyalty_setup", "--currency", "EUR", stdout=StringIO())
    ProgrammeVersion.objects.update(active_from=now - timedelta(days=800), expiry_months=6)
    user_model = get_user_model()
    return user_model.objects.bulk_create(
        user_model(username=f"m{number}", email=f"m{number}@example.com") for number in range(count)
    )


def make_orders(users, *, orders: int, now) -> None:
    from oscar.core.loading import get_model
    from oscar.test import factories

    order_model, line_model = get_model("order", "Order"), get_model("order", "Line")
    members = len(users)
    products = [factories.create_product(title=f"Product {number}") for number in range(LINES)]
    price = Decimal("19.95")
    site = get_model("sites", "Site").objects.get_current()
    step = timedelta(days=365) / orders
    for start in range(0, orders, 2_000):
        numbers = range(start, min(start + 2_000, orders))
        rows = order_model.objects.bulk_create(
            order_model(
                number=str(100_000 + number),
                site=site,
                user=users[number * 7919 % members],
                currency="EUR",
                status="Cancelled" if number % 20 == 0 else "Complete",
                total_incl_tax=price * LINES,
                total_excl_tax=price * LINES,
                date_placed=now - timedelta(days=366) + step * number,
            )
            for number in numbers
        )
        line_model.objects.bulk_create(
            line_model(
                order=order,
                product=product,
                title=product.title,
                quantity=1,
                num_allocated=0,
                line_price_incl_tax=price,
                line_price_excl_tax=price,
                line_price_before_discounts_incl_tax=price,
                line_price_before_discounts_excl_tax=price,
            )
            for order in rows
            for product in products
        )
        change = get_model("order", "OrderStatusChange")
        changes = change.objects.bulk_create(
            change(order=order, old_status="Pending", new_status="Complete") for order in rows
        )
        for one, order in zip(changes, rows, strict=True):
            one.date_created = order.date_placed + timedelta(days=2)
        change.objects.bulk_update(changes, ["date_created"], batch_size=500)


def check(orders: int) -> None:
    from django.db.models import Sum

    from oscar_loyalty.points.models import Account, Entry

    booked = Entry.objects.filter(kind="EARN").count()
    assert booked == orders - -(-orders // 20), booked
    earned = Account.objects.aggregate(points=Sum("earned"))["points"]
    assert earned == booked * int(Decimal("19.95") * LINES), earned


if __name__ == "__main__":
    main()

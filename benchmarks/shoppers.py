"""
``python -m benchmarks.shoppers --database postgres://… [--shoppers N]``: many place orders at once.

Every shopper is a process with a customer of its own; all of them buy the same article at the same time.
Orders that spend points are compared with orders that carry an equal discount of Oscar's own, in
interleaved rounds on the same database. Reported are the ratios of the placing request, and the orders
of all shoppers in a second.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import time
from collections import defaultdict

import django

CASES = ("core_discount", "redeeming")


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.shoppers", description=__doc__)
    parser.add_argument("--database", default=os.environ.get("DATABASE_URL"), required=False)
    parser.add_argument("--shoppers", type=int, default=8)
    parser.add_argument("--orders", type=int, default=10, help="of each shopper in each round")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(measure(options.case, shoppers=options.shoppers, orders=options.orders)))
        return
    if not options.database:
        parser.error("Name a server: --database postgres://postgres@127.0.0.1/benchmark")
    from benchmarks.__main__ import run

    seconds, rates = defaultdict(list), defaultdict(list)
    arguments = ["--shoppers", str(options.shoppers), "--orders", str(options.orders)]
    for number in range(options.rounds):
        for case in CASES:
            print(f"round {number + 1} of {options.rounds}: {case}", file=sys.stderr)
            found = run(case, options.database, "benchmarks.shoppers", [*arguments, "--case", case])
            seconds[case] += found["seconds"]
            rates[case].append(found["orders_per_second"])
    report(seconds, rates, shoppers=options.shoppers)


def measure(case: str, *, shoppers: int, orders: int) -> dict[str, object]:
    django.setup()
    from django.conf import settings
    from django.db import connections
    from django.test.utils import get_runner, setup_test_environment

    from benchmarks.shop import limit_core_discount, make_core_discount, make_customer, make_products

    setup_test_environment()
    runner = get_runner(settings)(verbosity=0, interactive=False)
    databases = runner.setup_databases()
    try:
        customers = [make_customer(case, f"shopper{number}").pk for number in range(shoppers)]
        (product,) = make_products(1)
        if case == "core_discount":
            make_core_discount()
            limit_core_discount(1)
        connections.close_all()
        context = multiprocessing.get_context("fork")
        start, answers = context.Barrier(shoppers), context.Queue()
        crowd = [
            context.Process(target=shop, args=(case, pk, product.pk, orders, start, answers))
            for pk in customers
        ]
        for shopper in crowd:
            shopper.start()
        placed = [answers.get() for _ in crowd]
        for shopper in crowd:
            shopper.join()
        check_everything()
    finally:
        runner.teardown_databases(databases)
    if any(isinstance(answer, str) for answer in placed):
        sys.exit(next(answer for answer in placed if isinstance(answer, str)))
    begun, ended = min(answer["begun"] for answer in placed), max(answer["ended"] for answer in placed)
    return {
        "seconds": [value for answer in placed for value in answer["seconds"]],
        "orders_per_second": shoppers * orders / (ended - begun),
    }


def shop(case, customer_pk, product_pk, orders, start, answers) -> None:
    try:
        answers.put(place_orders(case, customer_pk, product_pk, orders, start))
    except Exception as error:  # noqa: BLE001 - the parent says it
        answers.put(f"{type(error).__name__}: {error}")


def place_orders(case, customer_pk, product_pk, orders, start) -> dict[str, object]:
    from django.test import Client
    from oscar.core.compat import get_user_model
    from oscar.core.loading import get_model

    from benchmarks.shop import check_total, fill_basket, place, prepare_checkout, redeem

    customer = get_user_model().objects.get(pk=customer_pk)
    product = get_model("catalogue", "Product").objects.get(pk=product_pk)
    client = Client()
    client.force_login(customer)
    seconds: list[float] = []
    for number in range(orders + 1):
        fill_basket(client, customer, [product])
        if case == "redeeming":
            redeem(customer)
        prepare_checkout(client, customer)
        if number == 1:
            start.wait(timeout=300)
            begun = time.time()
        started = time.perf_counter()
        response = place(client)
        if number:  # the first one warms caches
            seconds.append(time.perf_counter() - started)
        assert "thank-you" in response["Location"], response["Location"]
        check_total(case, 1, customer)
    return {"seconds": seconds, "begun": begun, "ended": time.time()}


def check_everything() -> None:
    """No speed without points that are right."""
    from django.apps import apps

    if apps.is_installed("oscar_loyalty"):
        from oscar_loyalty.points.models import Account
        from oscar_loyalty.testing.ledger import assert_ledger_balanced

        for account in Account.objects.all():
            assert_ledger_balanced(account)


def report(seconds, rates, *, shoppers: int) -> None:
    def percentile(case, share):
        return sorted(seconds[case])[int(len(seconds[case]) * share)]

    median = {case: statistics.median(seconds[case]) for case in CASES}
    print(f"{shoppers} shoppers at once, {len(seconds['redeeming'])} orders in each case")
    print(
        f"placing, points to an equal discount, median: {median['redeeming'] / median['core_discount']:.2f}"
    )
    print(
        f"the same, 95th percentile: {percentile('redeeming', 0.95) / percentile('core_discount', 0.95):.2f}"
    )
    pace = {case: statistics.mean(rates[case]) for case in CASES}
    print(f"orders in a second, whole checkout: {pace['redeeming']:.1f} to {pace['core_discount']:.1f}")


if __name__ == "__main__":
    main()

"""
``python -m benchmarks [--database URL] [--rounds N]``: what the app adds to a shop.

Each case runs in a process of its own on the same database, one after the other and interleaved over
several rounds, so that a busy machine slows all of them. What is reported is statements, and the ratio of
the median times; absolute times say little about another machine.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections import defaultdict
from typing import Any

#: What is compared: the shop alone, the shop with an equal discount of its own, the shop with points.
CASES = ("without", "core_discount", "installed", "redeeming")


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--database", default=os.environ.get("DATABASE_URL", "sqlite://:memory:"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--orders", type=int, default=30, help="orders placed in each round")
    options = parser.parse_args()

    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    statements: dict[tuple[str, str], set[int]] = defaultdict(set)
    for number in range(options.rounds):
        for case in CASES:
            print(f"round {number + 1} of {options.rounds}: {case}", file=sys.stderr)
            for page, measured in run(
                case, options.database, "benchmarks.shop", ["--orders", str(options.orders)]
            ).items():
                times[page, case] += measured["seconds"]
                statements[page, case].update(measured["statements"])
    report(times, statements)


def run(case: str, database: str, module: str, arguments: list[str]) -> dict[str, Any]:
    """Run a module for one case in a process of its own, and return what it prints last."""
    environment = {
        **os.environ,
        "DATABASE_URL": database,
        "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
        "BENCHMARK_CASE": case,
    }
    command = [sys.executable, "-m", module, *arguments]
    environment["PYTHONWARNINGS"] = "ignore"
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def report(times, statements) -> None:
    def count(page, case):
        counts = sorted(statements[page, case])
        return counts[0] if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"

    def ratio(page, case, peer):
        return statistics.median(times[page, case]) / statistics.median(times[page, peer])

    pages = list(dict.fromkeys(page for page, _ in times))
    print(f"{'':<28}{'statements':>34}{'time, ratio to':>34}")
    print(
        f"{'':<28}{'shop':>8}{'discount':>10}{'app':>7}{'points':>9}{'app/shop':>17}{'points/discount':>17}"
    )
    for page in pages:
        counts = [count(page, case) for case in CASES]
        print(
            f"{page:<28}{counts[0]:>8}{counts[1]:>10}{counts[2]:>7}{counts[3]:>9}"
            f"{ratio(page, 'installed', 'without'):>17.2f}{ratio(page, 'redeeming', 'core_discount'):>17.2f}"
        )


if __name__ == "__main__":
    main()

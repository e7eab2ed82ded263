"""
What takes too long for every day: `make nightly`.

The property tests of ledger, refunds and returns with HYPOTHESIS_PROFILE=nightly (EXAMPLES histories of up
to 50 steps, 2,000 by default; of returns, which are long, a third of that) and the races between processes
(ROUNDS of each, 50 by default), on SQLite and on whatever DATABASE_URL, POSTGRES_URL and MARIADB_URL name.
Says of each engine what it ran.
"""

from __future__ import annotations

import os
import re
import sys

from sandbox.tools.environment import PythonTooOld, ensure
from sandbox.tools.lanes import REPORTS, Lane, lanes_here, run
from sandbox.tools.progress import Progress, StepFailed

ENGINES = {"SQLite": (), "PostgreSQL": ("postgres",), "MariaDB": ("mariadb",)}
TESTS = [
    "tests/points/test_ledger_machine.py",
    "tests/returns/test_return_machine.py",
    "tests/payments/test_refund_machine.py",
    "tests/concurrency",
]


def lanes() -> list[Lane]:
    examples, rounds = os.environ.get("EXAMPLES") or "2000", os.environ.get("ROUNDS") or "50"
    amount = {"HYPOTHESIS_PROFILE": "nightly", "EXAMPLES": examples, "LOYALTY_RACE_ROUNDS": rounds}
    chosen = re.split(r",\s*", os.environ.get("LANES", "").strip())
    nightly = []
    for lane in lanes_here():
        if lane.name in ENGINES and (chosen == [""] or lane.name in chosen):
            lane.arguments = [*TESTS, "-s", "--timeout=0", "--hypothesis-show-statistics"]
            lane.environment = {**lane.environment, **amount}
            nightly.append(lane)
    return nightly


def main() -> int:
    wanted = lanes()
    extras = [extra for lane in wanted if not lane.missing for extra in ENGINES[lane.name]]
    REPORTS.mkdir(parents=True, exist_ok=True)
    try:
        python = ensure("test", *extras, progress=Progress(log=REPORTS / "install.log"))
    except (PythonTooOld, StepFailed) as error:
        print(error, file=sys.stderr)
        return 1
    for lane in wanted:
        if not lane.missing:
            run(lane, python, seed=os.environ.get("SEED") or "0", migrations=False)
    print()
    for lane in wanted:
        amount = f"{lane.environment['EXAMPLES']} histories, {lane.environment['LOYALTY_RACE_ROUNDS']} rounds"
        print(lane if lane.missing else f"{lane} ({amount} of each race)")
    return 1 if any(lane.failed for lane in wanted) else 0


if __name__ == "__main__":
    sys.exit(main())

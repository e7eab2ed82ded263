"""
Run the whole suite, and the lanes of whatever database, broker and browser is here: `make test`.

SQLite, the forked host and the faults always run. PostgreSQL and MariaDB run when DATABASE_URL names
them (one address or several, with a comma or a space between; POSTGRES_URL and MARIADB_URL are read
too), in databases of a name of their own that are dropped again. A broker is CELERY_BROKER_URL or a Redis on
this machine; a browser is Chromium. SEED repeats an order of tests, LANES chooses among lanes by name.

With CI=true or LOYALTY_REQUIRE_LANES=1 a lane that cannot run is a failure.
"""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.tools.environment import ROOT, PythonTooOld, ensure
from sandbox.tools.equipment import all_lanes_demanded, answers, find_broker, find_chromium
from sandbox.tools.progress import Progress, StepFailed

REPORTS = ROOT / "build" / "lanes"
NO_TESTS = 5  # pytest's exit code when it found nothing to run


@dataclass
class Lane:
    """One run of pytest."""

    name: str
    arguments: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    missing: str = ""
    """Why it cannot run here; empty when it can."""
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0

    def __str__(self) -> str:
        if self.missing:
            return f"{self.name} did not run ({self.missing})"
        failed = f", {self.failed} FAILED" if self.failed else ""
        return f"{self.name} {self.passed} passed{failed} in {self.seconds:.0f} s"


def lanes_here() -> Iterator[Lane]:
    """Every lane, those that cannot run with the reason."""
    workers = ["-n", os.environ.get("WORKERS", "2")]
    yield Lane("SQLite", [*workers, "-m", "not browser and not broker and not stripe_live and not faults"])
    yield Lane("forked host", ["-m", "host", "--ds=tests.hosts.forked.settings"])
    for name, schemes, variable in (
        ("PostgreSQL", ("postgres", "postgresql"), "POSTGRES_URL"),
        ("MariaDB", ("mysql",), "MARIADB_URL"),
    ):
        url = database_url(schemes, variable)
        lane = Lane(name, [*workers, "-m", "database"], {"DATABASE_URL": url})
        if not url:
            lane.missing = f"no {variable}, and DATABASE_URL names none"
        elif not answers(url):
            lane.missing = "no server answers at its address"
        yield lane
    # On servers that its tests start and kill themselves; LOYALTY_FAULTS=full for the big numbers.
    yield Lane("faults", ["-m", "faults"])
    broker = find_broker()
    lane = Lane("broker", ["-m", "broker"], {"CELERY_BROKER_URL": broker or ""})
    lane.missing = "" if broker else "no broker answers at CELERY_BROKER_URL, nor a Redis on this machine"
    yield lane
    lane = Lane("browser", ["-m", "browser"])
    lane.missing = "" if find_chromium() else "no Chromium"
    yield lane


def database_url(schemes: tuple[str, ...], variable: str) -> str:
    """The address of such an engine in the environment, with a database name of this run's own."""
    addresses = [os.environ.get(variable, ""), *re.split(r"[,\s]+", os.environ.get("DATABASE_URL", ""))]
    for address in addresses:
        if address.partition("://")[0] in schemes:
            server = re.match(r"[^/]+//[^/?]+", address)
            return f"{server[0]}/loyalty_{secrets.token_hex(4)}" if server else address
    return ""


def run(lane: Lane, python: Path, *, seed: str, migrations: bool) -> None:
    """Run the lane and fill in its result. Its database is named by this run, so nobody else meets it."""
    report = REPORTS / f"{lane.name.replace(' ', '-')}.xml"
    report.unlink(missing_ok=True)
    clean = {k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "CELERY_BROKER_URL")}
    command = [str(python), "-m", "pytest", "-q", f"--randomly-seed={seed}", f"--junitxml={report}"]
    command += ["--migrations"] if migrations else []
    print(f"\n== {lane.name}", flush=True)
    begun = time.monotonic()
    code = subprocess.run(
        [*command, *lane.arguments],
        cwd=ROOT,
        env=clean | lane.environment,
        stdin=subprocess.DEVNULL,
        check=False,
    ).returncode
    lane.seconds = time.monotonic() - begun
    if code == NO_TESTS:
        lane.missing = "it has no tests"
        return
    if report.exists():
        for suite in ET.parse(report).getroot().iter("testsuite"):  # noqa: S314
            lane.failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            lane.skipped += int(suite.get("skipped", 0))
            lane.passed += int(suite.get("tests", 0))
        lane.passed -= lane.failed + lane.skipped
    if code and not lane.failed:
        lane.failed = 1


def main() -> int:
    demanded = all_lanes_demanded()
    migrations = demanded or os.environ.get("MIGRATIONS") == "1"
    chosen = re.split(r",\s*", os.environ.get("LANES", "").strip())
    lanes = [lane for lane in lanes_here() if chosen == [""] or lane.name in chosen]
    # Peers and readers of files, which only benchmarks need: their tests run where all is demanded.
    extras = ["test", "bench"] if demanded else ["test"]
    for name, extra in (("PostgreSQL", "postgres"), ("MariaDB", "mariadb")):
        extras += [extra for lane in lanes if lane.name == name and not lane.missing]
    REPORTS.mkdir(parents=True, exist_ok=True)
    try:
        python = ensure(*extras, progress=Progress(log=REPORTS / "install.log"))
    except (PythonTooOld, StepFailed) as error:
        print(error, file=sys.stderr)
        return 1

    seed = os.environ.get("SEED") or str(secrets.randbelow(2**32))
    print(f"The tests run in a random order; repeat it with SEED={seed}", flush=True)
    for lane in lanes:
        if not lane.missing:
            run(lane, python, seed=seed, migrations=migrations)

    print("\nLanes: " + "; ".join(map(str, lanes)))
    left_out = [lane for lane in lanes if lane.missing]
    if demanded and left_out:
        print("Every lane is demanded here, and " + " and ".join(map(str, left_out)) + ".")
    failed = sum(lane.failed for lane in lanes) + (len(left_out) if demanded else 0)
    passed, skipped = (sum(getattr(lane, name) for lane in lanes) for name in ("passed", "skipped"))
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())

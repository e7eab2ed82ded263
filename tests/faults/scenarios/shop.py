"""A web process and a Celery worker that are killed while the shop is in use."""

from __future__ import annotations

import base64
import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from typing import Any

from celery import current_app
from django.contrib.auth import get_user_model
from django.db import connections
from django.db.models import QuerySet
from django.utils import timezone
from oscar.test.factories import create_order

from oscar_loyalty import tasks
from oscar_loyalty.flows import sweeping
from oscar_loyalty.flows.membership import join_programme
from oscar_loyalty.outbox import services as outbox
from oscar_loyalty.points.models import Account, Entry
from oscar_loyalty.points.services import award_points
from oscar_loyalty.programmes.models import ProgrammeVersion
from oscar_loyalty.programmes.services import set_up_programme
from oscar_loyalty.testing.ledger import assert_ledger_balanced
from tests.faults.requests import START
from tests.journeys.live_shop import free_port

WITHIN = 600  # seconds for one scenario


def kill_web(*, acknowledged: int, kills: int, seed: int) -> dict[str, Any]:
    """
    Members give each other points through the API of a web process that is killed at random moments and
    started again. Whoever got no answer asks again with the same key. At the end every request is sent
    once more.
    """
    people, accounts = open_shop(4, name=f"web{seed}")
    chance = random.Random(seed)
    port = free_port()
    answers: dict[str, str] = {}
    wanted: dict[str, tuple[str, str, int]] = {}
    killed = asked_again = 0
    next_kill = chance.randrange(5, 15)
    web = start_web(port)
    deadline = time.monotonic() + WITHIN
    try:
        while len(answers) < acknowledged or killed < kills:
            assert time.monotonic() < deadline, f"{len(answers)} requests answered in time"
            key = f"{seed}-{len(wanted)}"
            giver, receiver = chance.sample(people, 2)
            wanted[key] = giver, receiver, chance.randint(1, 50)
            if killed < kills and len(wanted) == next_kill:
                # While the request is under way: the moment is anywhere within it.
                kill_after(web, chance.uniform(0, 0.03))
                killed += 1
                next_kill += max(1, acknowledged // kills)
            while (entry := give(port, key, *wanted[key])) is None:
                asked_again += 1
                if web.poll() is not None:
                    web = start_web(port)
            answers[key] = entry
        changed = [key for key, asked in wanted.items() if give(port, key, *asked) != answers[key]]
    finally:
        web.kill()
        web.wait()
    there = set(map(str, Entry.objects.values_list("public_id", flat=True)))
    expected = Counter(dict.fromkeys(people, START))
    for giver, receiver, points in wanted.values():
        expected[giver] -= points
        expected[receiver] += points
    for account in accounts:
        assert_ledger_balanced(account)
    stored = dict(zip(people, available_of(accounts), strict=True))
    empty_outbox()
    return {
        "acknowledged": len(answers),
        "kills": killed,
        "asked again": asked_again,
        "lost": [key for key, entry in answers.items() if entry not in there],
        "answered otherwise": changed,
        "points too many or too few": {
            person: stored[person] - points for person, points in expected.items() if stored[person] != points
        },
    }


def kill_worker(*, orders: int, kills: int, seed: int) -> dict[str, Any]:
    """
    A worker that rewards orders is killed at random moments and started again; a broker hands on what it
    had taken. What is still missing is found by the sweep. Each order is rewarded once.
    """
    queue = f"faults-{seed}-{os.getpid()}"
    current_app.conf.task_default_queue = queue
    people, accounts = open_shop(2, name=f"worker{seed}")
    chance = random.Random(seed)
    users = list(get_user_model().objects.filter(email__in=people))
    placed = [create_order(number=f"{seed}-{number}", user=chance.choice(users)) for number in range(orders)]
    connections.close_all()
    worker = start_worker(queue)
    killed = 0
    deadline = time.monotonic() + WITHIN
    try:
        for number, order in enumerate(placed, 1):
            tasks.reward_purchase.delay(order_id=order.pk)
            if killed < kills and number >= orders * (killed + 1) // (kills + 1):
                wait_until(lambda reach=number // 4: count_rewarded(accounts) > reach, deadline)
                time.sleep(chance.uniform(0, 0.05))
                os.killpg(worker.pid, signal.SIGKILL)
                worker.wait()
                worker = start_worker(queue)
                killed += 1
        wait_until(lambda: count_rewarded(accounts) >= orders - kills * 2, deadline)
    finally:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
    by_worker = count_rewarded(accounts)
    swept, failed = sweeping.reward_missed_purchases(now=timezone.now())
    for account in accounts:
        assert_ledger_balanced(account)
    rewarded = Counter(rewards_of(accounts).values_list("order_ref", flat=True))
    empty_outbox()
    return {
        "kills": killed,
        "by the worker": by_worker,
        "by the sweep": swept,
        "failed": failed,
        "not once": [order.number for order in placed if rewarded[order.number] != 1],
    }


def open_shop(members: int, *, name: str) -> tuple[list[str], list[Account]]:
    """E-mail addresses (the password is "secret") and accounts of members who may give points away."""
    now = timezone.now()
    set_up_programme(
        code="default",
        name="Points",
        time_zone="Europe/Berlin",
        currencies=["EUR"],
        terms_version="1",
        now=now - timedelta(days=2),
    )
    ProgrammeVersion.objects.update(transfers_allowed=True)
    people, accounts = [], []
    for number in range(members):
        user = get_user_model().objects.create_user(
            f"{name}-{number}", f"{name}-{number}@example.com", "secret"
        )
        account = join_programme(user_id=user.pk, now=now - timedelta(days=1))
        award_points(
            account_id=account.pk,
            points=START,
            idempotency_key="start",
            source_ref="start",
            active_at=now - timedelta(hours=1),
            expiry_months=None,
            unit_value=Decimal("0.01"),
            currency="EUR",
            now=now,
        )
        people.append(user.email)
        accounts.append(account)
    return people, accounts


def give(port: int, key: str, giver: str, receiver: str, points: int) -> str | None:
    """The id in the answer, or ``None`` when there was none. Another answer than "booked" is a failure."""
    login = base64.b64encode(f"{giver.partition('@')[0]}:secret".encode()).decode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/loyalty/v1/me/transfers",
        data=json.dumps({"points": points, "recipient": receiver}).encode(),
        headers={
            "Authorization": f"Basic {login}",
            "Content-Type": "application/json",
            "Idempotency-Key": key,
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            return str(json.load(answer)["id"])
    except urllib.error.HTTPError as error:
        raise AssertionError(error.read().decode()) from error
    except (OSError, ValueError):  # the process died before or within its answer
        time.sleep(0.05)
        return None


def kill_after(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Kill from a process of its own, so that the request goes on meanwhile."""
    if os.fork() == 0:
        time.sleep(seconds)
        os.kill(process.pid, signal.SIGKILL)
        os._exit(0)


def start_web(port: int) -> subprocess.Popen[bytes]:
    code = (
        "from django.core.wsgi import get_wsgi_application as shop; from waitress import serve; "
        f"serve(shop(), host='127.0.0.1', port={port}, threads=4)"
    )
    return subprocess.Popen([sys.executable, "-W", "ignore", "-c", code], stdout=subprocess.DEVNULL)


def start_worker(queue: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-W", "ignore", "-m", "celery", "--app", "tests.hosts.celery", "worker"]
    options = ["--queues", queue, "--pool", "prefork", "--concurrency", "2", "--loglevel", "ERROR"]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    return subprocess.Popen(
        [*command, *options, *quiet],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def available_of(accounts: list[Account]) -> list[int]:
    for account in accounts:
        account.refresh_from_db()
    return [account.available for account in accounts]


def rewards_of(accounts: list[Account]) -> QuerySet[Entry]:
    return Entry.objects.filter(account__in=accounts, kind=Entry.Kind.EARN, order_ref__gt="")


def count_rewarded(accounts: list[Account]) -> int:
    return rewards_of(accounts).count()


def empty_outbox() -> None:
    """Other tests on the same server count what waits."""
    while outbox.relay_messages(now=timezone.now() + timedelta(days=1), limit=1000):
        pass


def wait_until(condition: Any, deadline: float) -> None:
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("not in time")
        time.sleep(0.05)

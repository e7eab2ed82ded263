"""Clients that book as fast as they can while they are killed, or the server is."""

from __future__ import annotations

import os
import random
import signal
import time
import traceback
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any

from django.db import InterfaceError, OperationalError, connections
from django.db.models import Sum

from oscar_loyalty.points.hashing import digest
from oscar_loyalty.points.models import Account, Entry
from oscar_loyalty.testing.ledger import assert_ledger_balanced
from tests.faults.requests import START, Request, make_accounts

_KIND_OF_ENTRY = {"award": "EARN", "redeem": "SPEND", "claw back": "CLAWBACK", "transfer": "MOVE_OUT"}
WITHIN = 600  # seconds for one scenario


def run(*, folder: str, acknowledged: int, kills: int, seed: int, last: bool = False) -> dict[str, Any]:
    """
    Let three clients book until ``acknowledged`` requests were answered and ``kills`` clients killed at
    a random moment, each replaced by another; with ``last`` also until the file "enough" is there. Then
    make every request again that was ever begun, and compare.
    """
    chance = random.Random(seed)
    accounts = tuple(account.pk for account in make_accounts(6))
    journal = Journal(Path(folder), accounts, name=str(seed))
    connections.close_all()
    numbers = count()
    clients = [_fork(journal, next(numbers)) for _ in range(3)]
    killed = 0
    deadline = time.monotonic() + WITHIN
    try:
        while (
            len(journal.read()[1]) < acknowledged
            or killed < kills
            or (last and not journal.folder.joinpath("enough").exists())
        ):
            assert time.monotonic() < deadline, f"{len(journal.read()[1])} requests answered in time"
            # Spread over the run, so that the last request is answered soon after the last kill.
            time.sleep(chance.uniform(0.02, 0.4))
            if killed < kills and len(journal.read()[1]) >= acknowledged * killed // kills:
                victim = clients.pop(chance.randrange(len(clients)))
                os.kill(victim, signal.SIGKILL)
                os.waitpid(victim, 0)
                killed += 1
                clients.append(_fork(journal, next(numbers)))
            for client in clients:
                assert os.waitpid(client, os.WNOHANG) == (0, 0), journal.read_errors()
    finally:
        for client in clients:
            os.kill(client, signal.SIGKILL)
            os.waitpid(client, 0)
    return {"kills": killed + len(clients), **compare(journal)}


def compare(journal: Journal) -> dict[str, Any]:
    """Make every request again, and say what was lost or doubled."""
    begun, answers = journal.read()
    there = set(map(str, Entry.objects.values_list("public_id", flat=True)))
    lost = [key for key, entry in answers.items() if entry not in there]
    own = Entry.objects.filter(account__in=journal.accounts)
    digests = set(own.values_list("key_digest", flat=True))
    unanswered = [key for key in begun if key not in answers]
    booked = [key for key in unanswered if digest(key) in digests or digest(f"spend:{key}") in digests]
    changed = []
    expected: Counter[str] = Counter()
    for key in begun:
        request = Request(key, journal.accounts)
        entry = request.make()
        if answers.get(key, entry) != entry:
            changed.append(key)
        expected[_KIND_OF_ENTRY[request.kind]] += request.points
    expected["EARN"] += START * len(journal.accounts)
    sums = own.filter(kind__in=expected).values_list("kind").annotate(points=Sum("points"))
    stored = {str(kind): points for kind, points in sums}
    for account in Account.objects.filter(pk__in=journal.accounts):
        assert_ledger_balanced(account)
    return {
        "acknowledged": len(answers),
        "begun": len(begun),
        "booked though unanswered": len(booked),
        "lost": lost,
        "answered otherwise": changed,
        "points too many or too few": {
            kind: stored.get(kind, 0) - points
            for kind, points in expected.items()
            if stored.get(kind, 0) != points
        },
        "orphans": Account.objects.filter(pk__in=journal.accounts, held__gt=0).count(),
    }


class Journal:
    """What clients began and what they were answered. Written without a buffer, so that it outlives them."""

    def __init__(self, folder: Path, accounts: tuple[int, ...], *, name: str) -> None:
        self.folder = folder
        self.accounts = accounts
        self.name = name  # Other tests have left baskets in the same database.

    def write(self, number: int, *words: str) -> None:
        line = " ".join(words) + "\n"
        file = os.open(self.folder / f"client{number}", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, line.encode())
        os.close(file)

    def read(self) -> tuple[list[str], dict[str, str]]:
        """Keys of requests in order, and the entries that were answered by key."""
        begun, answers = [], {}
        for file in sorted(self.folder.glob("client*")):
            for line in file.read_text().splitlines():
                what, key, *entry = line.split(" ")
                if what == "asked":
                    begun.append(key)
                else:
                    answers[key] = entry[0]
        return begun, answers

    def read_errors(self) -> str:
        return "\n".join(file.read_text() for file in self.folder.glob("error*"))


def _fork(journal: Journal, number: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        for turn in count():
            key = f"{journal.name}-{number}-{turn}"
            journal.write(number, "asked", key)
            journal.write(number, "answered", key, _make(Request(key, journal.accounts)))
    except Exception:  # noqa: BLE001 (told to whoever started it)
        journal.folder.joinpath(f"error{number}").write_text(traceback.format_exc())
    finally:
        os._exit(1)


def _make(request: Request) -> str:
    """Ask until there is an answer, as a client does whose connection broke."""
    while True:
        try:
            return request.make()
        except (OperationalError, InterfaceError):
            connections.close_all()
            time.sleep(0.05)

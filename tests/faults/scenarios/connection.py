"""The connection breaks at COMMIT, so that nobody can say whether it was done."""

from __future__ import annotations

import re
import socket
import threading
from contextlib import suppress
from typing import Any

from django.db import InterfaceError, OperationalError, connections

from oscar_loyalty.points.models import Account, Entry
from oscar_loyalty.testing.ledger import assert_ledger_balanced
from sandbox.run import HOST
from tests.faults.requests import KINDS, Request, make_accounts

_COMMIT = re.compile(rb"\bCOMMIT\b", re.IGNORECASE)


class Proxy:
    """Hands bytes on, until it is told to cut the connection before or after the next COMMIT."""

    def __init__(self, port: int, listen_at: int) -> None:
        self.port = port
        self.cut = ""  # "before", "after" or nothing
        self.cuts = 0
        self._listener = socket.create_server((HOST, listen_at))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _address = self._listener.accept()
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.create_connection((HOST, self.port))
        is_cut = threading.Event()

        def answer() -> None:
            with suppress(OSError):
                while data := server.recv(65536):
                    if is_cut.is_set():
                        break  # The server did it; nobody hears of it.
                    client.sendall(data)
            _close(client, server)

        threading.Thread(target=answer, daemon=True).start()
        with suppress(OSError):
            while data := client.recv(65536):
                if self.cut and _COMMIT.search(data):
                    if self.cut == "after":
                        is_cut.set()
                        server.sendall(data)
                        self.cut, self.cuts = "", self.cuts + 1
                        continue
                    self.cut, self.cuts = "", self.cuts + 1
                    break
                server.sendall(data)
        if not is_cut.is_set():
            _close(client, server)


def _close(*sockets: socket.socket) -> None:
    for one in sockets:
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()


def cut_at_commit(*, server_port: int, proxy_port: int, rounds: int) -> dict[str, Any]:
    """
    Make requests of each kind over a connection that is cut before or after COMMIT, then again. Say how
    many entries each made, and how many would have been made by a client that forgets its key.
    """
    alias = connections["default"]
    alias.settings_dict["PORT"] = server_port
    accounts = tuple(account.pk for account in make_accounts(3))
    alias.close()
    proxy = Proxy(server_port, proxy_port)
    alias.settings_dict["PORT"] = proxy_port

    outcome: dict[str, Any] = {"asked": 0, "not once": [], "without a key": 0, "errors": 0}
    for when in ("before", "after"):
        for kind in KINDS:
            done = 0
            for number in range(10_000):
                request = Request(f"{when}-{number}", accounts)
                if request.kind != kind:
                    continue
                errors = ask_again_after_cut(proxy, when, request)
                outcome["asked"] += 1
                outcome["errors"] += errors
                entries = _count(request)
                if entries != 1:
                    outcome["not once"].append([when, request.kind, entries])
                done += 1
                if done == rounds:
                    break

    # The twin: an award whose second try does not know the key of the first.
    before = Entry.objects.filter(account__in=accounts, kind="EARN").count()
    first, second = (
        next(r for r in (Request(f"{name}{n}", accounts) for n in range(10_000)) if r.kind == "award")
        for name in ("forgotten", "new")
    )
    proxy.cut = "after"
    try:
        first.make()
    except (OperationalError, InterfaceError):
        alias.close()
    second.make()
    outcome["without a key"] = Entry.objects.filter(account__in=accounts, kind="EARN").count() - before
    for account in Account.objects.filter(pk__in=accounts):
        assert_ledger_balanced(account)
    return outcome | {"cuts": proxy.cuts}


def ask_again_after_cut(proxy: Proxy, when: str, request: Request) -> int:
    proxy.cut = when
    try:
        request.make()
    except (OperationalError, InterfaceError):
        connections["default"].close()
        proxy.cut = ""
        first = request.make()
        assert request.make() == first
        return 1
    return 0


def _count(request: Request) -> int:
    if request.kind in ("award", "redeem"):
        kind = {"award": "EARN", "redeem": "SPEND"}[request.kind]
        return Entry.objects.filter(order_ref=request.key, kind=kind).count()
    kind = {"claw back": "CLAWBACK", "transfer": "MOVE_OUT"}[request.kind]
    return Entry.objects.filter(idempotency_key=request.key, kind=kind).count()

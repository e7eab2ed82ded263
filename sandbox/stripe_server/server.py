"""HTTP on the loopback interface: reads a request, lets the right part answer, writes the answer."""

from __future__ import annotations

import ipaddress
import json
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from . import pages, webhooks
from .control import control
from .errors import ApiError, refuse
from .service import Request, Service
from .store import Store

LARGEST_BODY = 1_000_000
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, Stripe-Version",
    "Access-Control-Max-Age": "300",
}


class StripeShapedServer(ThreadingHTTPServer):
    """
    Serves until ``shutdown``; webhooks are delivered by a thread of its own.

    :raises ValueError: ``host`` is not a loopback address. This server checks no real key and must not
        be reached from outside.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        store: Store,
        back_off: tuple[float, ...] = webhooks.BACK_OFF,
        verbose: bool = False,
    ) -> None:
        check_loopback(host)
        if ":" in host:
            self.address_family = socket.AF_INET6
        self.verbose = verbose
        self.store = store
        self.messenger = webhooks.Messenger(store, back_off)
        super().__init__((host, port), _Handler)
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self.server_address[1]}"
        self.service = Service(store, self.messenger, self.url)
        self.messenger.start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A caller that hangs up is no error of ours.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def server_close(self) -> None:
        super().server_close()
        self.messenger.stop()
        self.store.close()


def check_loopback(host: str) -> None:
    try:
        inside = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        inside = False
    if not inside:
        raise ValueError(f"{host} is not a loopback address: this server is for this machine only")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 65536
    server: StripeShapedServer
    server_version = "StripeShaped"
    sys_version = ""

    def do_GET(self) -> None:
        self._dispatch()

    def do_POST(self) -> None:
        self._dispatch()

    def do_DELETE(self) -> None:
        self._dispatch()

    def do_OPTIONS(self) -> None:
        self._body()
        self._send(204, b"", headers=CORS if self.path.startswith("/v1/") else {})

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 the name is the base class's
        if self.server.verbose:
            super().log_message(format, *args)

    def _dispatch(self) -> None:
        body = self._body()
        if body is None:
            return
        parts = urlsplit(self.path)
        if not self._names_this_machine():
            # A page elsewhere may point its own name at 127.0.0.1; do not serve it.
            self._send_json(421, {"error": refuse("This server answers on loopback only.").error})
        elif parts.path.startswith("/3d_secure/"):
            self._challenge(parts.path, body)
        elif parts.path.startswith("/_test/"):
            self._control(parts.path.removeprefix("/_test/"), body)
        else:
            self._api(Request(self.command, parts.path, parts.query, body, self.headers))

    def _body(self) -> str | None:
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit() or int(length) > LARGEST_BODY:
            self.close_connection = True
            self._send_json(413, {"error": refuse("The request is too large.").error})
            return None
        return self.rfile.read(int(length)).decode("utf-8", errors="replace")

    def _names_this_machine(self) -> bool:
        name = urlsplit(f"//{self.headers.get('Host', 'localhost')}").hostname or ""
        try:
            check_loopback(name)
        except ValueError:
            return False
        return True

    def _api(self, request: Request) -> None:
        answer = self.server.service.answer(request)
        if answer.dropped:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self._send_json(answer.status, answer.body, {**CORS, **answer.headers})

    def _control(self, path: str, body: str) -> None:
        service = self.server.service
        try:
            # A secret key is asked for so that a page in a browser cannot turn the switches.
            if "sk_test_" not in self.headers.get("Authorization", ""):
                raise refuse("Controls need the secret key.", status=401)
            answer = control(service, path, json.loads(body or "{}"))
        except ApiError as error:
            self._send_json(error.status, {"error": error.error})
        except (TypeError, ValueError) as error:
            self._send_json(400, {"error": refuse(str(error)).error})
        else:
            self._send_json(200, answer)

    def _challenge(self, path: str, body: str) -> None:
        language = pages.language_of(self.headers.get("Accept-Language", ""))
        service = self.server.service
        if self.command == "POST":
            outcome = parse_qs(body).get("outcome", ["fail"])[0]
            status, page = pages.answer(service, path, outcome, language)
        else:
            status, page = pages.challenge(service, path, language)
        if status == 303:
            self._send(303, b"", headers={"Location": page})
        else:
            self._send(status, page.encode(), "text/html; charset=utf-8")

    def _send_json(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(body, indent=2).encode(), "application/json", headers or {})

    def _send(
        self, status: int, body: bytes, kind: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if kind:
            self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

from __future__ import annotations

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import stripe

from sandbox.stripe_server.testing import StripeServer

RETURN_URL = "https://shop.example/checkout/?step=pay"


@pytest.fixture(scope="session")
def running_server():
    with StripeServer() as server:
        yield server


@pytest.fixture
def server(running_server):
    """The server, with nothing stored, no fault switched on and nowhere to send webhooks."""
    running_server.send_webhooks_to(None)
    running_server.control("reset")
    return running_server


def make_client(server, *, key=None, retries=0):
    # The SDK retries by itself; most tests want to see the first answer.
    return stripe.StripeClient(
        key or server.secret_key, base_addresses={"api": server.url}, max_network_retries=retries
    )


@pytest.fixture
def client(server):
    return make_client(server)


@pytest.fixture
def authorise(client):
    def authorise(amount=10_000, card="pm_card_visa", **more):
        return client.v1.payment_intents.create(
            {
                "amount": amount,
                "currency": "eur",
                "capture_method": "manual",
                "allowed_payment_method_types": ["card"],
                "payment_method": card,
                "confirm": True,
                "return_url": RETURN_URL,
                **more,
            }
        )

    return authorise


@pytest.fixture
def pay(authorise):
    """Pay and return the captured intent."""

    def pay(amount=10_000, card="pm_card_visa", **more):
        return authorise(amount, card, capture_method="automatic", **more)

    return pay


class Shop:
    """Receives webhooks and answers with the statuses told, then with 200."""

    def __init__(self):
        self.received: list[tuple[bytes, str]] = []
        self.answers: list[int] = []
        self.on_event = lambda event: None
        shop = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                shop.received.append((body, self.headers["Stripe-Signature"]))
                shop.on_event(json.loads(body))
                self._answer(shop.answers.pop(0) if shop.answers else 200)

            def do_GET(self):
                self._answer(200)

            def _answer(self, status):
                self.send_response(status)
                if status in (301, 302, 307, 308):
                    self.send_header("Location", shop.url)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/webhooks/"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def events(self):
        return [json.loads(body) for body, _ in self.received]

    @property
    def kinds(self):
        return [event["type"] for event in self.events]

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def shop(server):
    shop = Shop()
    server.send_webhooks_to(shop.url)
    yield shop
    server.send_webhooks_to(None)
    shop.close()


@pytest.fixture
def live_client():
    key = os.environ.get("STRIPE_SECRET_KEY", "")
    if not key.startswith("sk_test_"):
        pytest.skip("needs STRIPE_SECRET_KEY with a key of Stripe's test mode (sk_test_…)")
    return stripe.StripeClient(key)

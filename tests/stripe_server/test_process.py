"""The process: loopback only, remembers what it is told to, ends with its starter."""

from __future__ import annotations

import subprocess
import sys

import pytest
import requests
import stripe

from sandbox.stripe_server.__main__ import main
from sandbox.stripe_server.server import StripeShapedServer
from sandbox.stripe_server.store import Store
from sandbox.stripe_server.testing import ROOT, ControlError, StripeServer

from .conftest import make_client


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com", ""])  # noqa: S104
def test_only_loopback_is_bound(host, capsys):
    with pytest.raises(ValueError, match="loopback"):
        StripeShapedServer(host, 0, store=Store())
    assert main(["--host", host, "--port", "0"]) == 2
    assert "not a loopback address" in capsys.readouterr().err


def test_a_webhook_address_needs_its_secret(capsys):
    assert main(["--port", "0", "--webhook-url", "http://127.0.0.1/", "--webhook-secret", ""]) == 2
    assert "whsec_" in capsys.readouterr().err


def test_a_port_in_use_is_told_plainly(server, capsys):
    assert main(["--port", server.url.rsplit(":", 1)[1]]) == 2
    assert "in use" in capsys.readouterr().err


def test_it_uses_the_standard_library_only():
    code = (
        "import sys; before = set(sys.modules); import sandbox.stripe_server.__main__;"
        "print([name for name in set(sys.modules) - before"
        " if name.split('.')[0] not in sys.stdlib_module_names | {'sandbox'}])"
    )
    told = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == "[]"


def test_what_was_stored_survives_a_crash(tmp_path):
    server = StripeServer(state=tmp_path / "stripe.sqlite3")
    ask = {
        "amount": 1000,
        "currency": "eur",
        "capture_method": "manual",
        "allowed_payment_method_types": ["card"],
        "payment_method": "pm_card_visa",
        "confirm": True,
    }
    with server:
        intent = make_client(server).v1.payment_intents.create(ask, {"idempotency_key": "k"})
        server.control("clock", advance=3600)
        # Nobody listens: the events wait.
        server.control("webhook_endpoint", url="http://127.0.0.1:9/", secret=server.webhook_secret)
        server.control("chaos", fault="delay", seconds=60)
        make_client(server).v1.customers.create({})
        server.kill()
        server.start()
        client = make_client(server)
        again = client.v1.payment_intents.create(ask, {"idempotency_key": "k"})
        assert (again.id, again.status) == (intent.id, "requires_capture")
        assert client.v1.customers.create({}).created >= intent.created + 3600
        assert server.control("webhooks")["deliveries"][0]["state"] == "pending"
        assert client.v1.payment_intents.capture(intent.id).status == "succeeded"


def test_without_a_file_everything_is_forgotten():
    server = StripeServer()
    with server:
        customer = make_client(server).v1.customers.create({})
    with server, pytest.raises(stripe.InvalidRequestError):
        make_client(server).v1.customers.retrieve(customer.id)


def test_stopping_ends_the_process():
    server = StripeServer().start()
    server.stop()
    with pytest.raises(requests.ConnectionError):
        requests.get(server.url, timeout=2)
    server.stop()


def test_reset_forgets_all_but_the_webhook_address(server, client, shop):
    client.v1.customers.create({})
    server.control("clock", advance=86_400)
    server.wait_for_webhooks()
    server.control("chaos", fault="lose", times="always")
    server.control("reset")
    assert not any(server.control("state").values())
    assert server.control("chaos") == {"faults": []}
    client.v1.customers.create({})
    server.wait_for_webhooks()
    before, after = shop.events
    assert after["created"] - before["created"] < 86_400


def test_controls_need_the_secret_key_and_a_known_name(server):
    assert requests.post(f"{server.url}/_test/reset", json={}, timeout=5).status_code == 401
    for path, data in (
        ("unicorns", {}),
        ("clock", {"backwards": 1}),
        ("refunds", {"next_one": "late"}),
        ("refunds", {"refund": "re_1", "status": "lost"}),
        ("refunds", {"refund": "re_1", "status": "failed"}),
    ):
        with pytest.raises(ControlError):
            server.control(path, **data)

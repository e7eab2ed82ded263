"""The journey of a return with an app and a scanner: the running sandbox, HTTP and Stripe's own calls."""

from decimal import Decimal
from uuid import uuid4

import pytest
import requests

from .app import LOYALTY, App
from .live_shop import wait_for

pytest.importorskip("oscarapi")
pytestmark = pytest.mark.timeout(400)


def buy(app, *, pieces):
    """Order some pieces of one product, pay by card, have them delivered; return the order's number."""
    shop = app.shop
    (product,) = shop.clerk.ask("find_products", count=1)
    for _piece in range(pieces):
        basket = app.add(product)
    payment, checkout = app.begin_payment(basket)
    assert app.confirm(payment) == "requires_capture"
    number = app.call("POST", "/api/checkout/", checkout)["number"]
    shop.clerk.ask("deliver", number=number)
    return number


def send(app, path, body=None, *, key, status=200):
    """Post with an Idempotency-Key."""
    app.session.headers["Idempotency-Key"] = key
    try:
        return app.call("POST", f"{LOYALTY}{path}", body or {}, status=status)
    finally:
        del app.session.headers["Idempotency-Key"]


def fetch_label(app, number):
    def has_pdf():
        app.shop.clerk.ask("hurry")
        label = app.call("GET", f"{LOYALTY}/returns/{number}")["label"]
        return label and label["pdf_url"]

    return app.session.get(wait_for(has_pdf, step=1), headers={"Accept": "application/pdf"}, timeout=60)


def test_a_return_from_the_first_question_to_the_money(live_shop):
    app = App(live_shop, "jonas")
    number = buy(app, pieces=3)
    wait_for(lambda: app.call("GET", f"{LOYALTY}/me/ledger?order={number}")["results"])
    before = app.call("GET", f"{LOYALTY}/me")["balance"]

    (line,) = app.call("GET", f"{LOYALTY}/orders/{number}/returnable-lines")["lines"]
    assert (line["ordered"], line["left"]) == (3, 3)
    wanted = {"lines": [{"line": line["line"], "quantity": 2, "reason": "DOES_NOT_FIT"}]}
    promised = app.call("POST", f"{LOYALTY}/orders/{number}/return-previews", wanted)
    assert promised["money"]["refund"] != "0.00"
    assert promised["points"]["taken"] > 0
    assert promised["before"]["pending"] == before["pending"]

    key = str(uuid4())
    made = send(app, f"/orders/{number}/returns", wanted, key=key, status=201)
    again = send(app, f"/orders/{number}/returns", wanted, key=key, status=201)
    assert again["number"] == made["number"]
    assert app.call("GET", f"{LOYALTY}/orders/{number}/returnable-lines")["lines"][0]["left"] == 1
    label = fetch_label(app, made["number"])
    assert (label.headers["Content-Type"], label.content[:5]) == ("application/pdf", b"%PDF-")

    scanner = App(live_shop, "service")
    warehouse = f"/warehouse/returns/{made['number']}"
    assert send(scanner, f"{warehouse}/transit", key="transit")["state"] == "in_transit"
    assert send(scanner, f"{warehouse}/receipt", key="receipt")["state"] == "received"
    # The bank takes its time, so that only the signed webhook says that the money is there.
    live_shop.stripe.control("refunds", next_one="pending")
    checked = {"lines": [{"line": line["line"], "accepted": 2, "condition": "as_new"}]}
    for _time in range(2):
        assert send(scanner, f"{warehouse}/inspection", checked, key="inspection")["state"] == "inspected"
    (refund,) = live_shop.clerk.ask("read_return", number=made["number"])["refunds"]
    money = Decimal(promised["money"]["refund"])
    assert (refund["state"], Decimal(refund["amount"])) == ("PENDING", money)
    live_shop.stripe.control("refunds", refund=refund["id"], status="succeeded")
    assert {call["state"] for call in live_shop.stripe.wait_for_webhooks(within=60)} == {"delivered"}

    def settled():
        live_shop.clerk.ask("hurry")
        told = app.call("GET", f"{LOYALTY}/returns/{made['number']}")
        return told if told["state"] == "settled" else None

    told = wait_for(settled, step=1)
    assert told["refund_status"]["state"] == "succeeded"
    assert (told["money"], told["points"]) == (promised["money"], promised["points"])
    balance = app.call("GET", f"{LOYALTY}/me")["balance"]
    after = promised["after"]
    assert (balance["available"], balance["pending"]) == (after["available"], after["pending"])
    assert live_shop.clerk.ask("read_tier", person="jonas")["code"] == (after["tier"] or "")
    (order,) = (order for order in live_shop.read_orders("jonas") if order["number"] == number)
    assert Decimal(order["refunded"]) == money
    live_shop.clerk.ask("check_ledger", person="jonas")


def test_a_guest_asks_with_the_token_of_the_mail_and_nobody_else_does(live_shop):
    app = App(live_shop, "oliver")
    number = buy(app, pieces=1)
    token = live_shop.clerk.ask("make_guests", number=number)
    url = f"{live_shop.url}{LOYALTY}/orders/{number}/returnable-lines"
    guest = requests.get(url, headers={"X-Loyalty-Return-Token": token}, timeout=60)
    assert guest.status_code == 200, guest.text
    assert guest.json()["lines"][0]["left"] == 1
    assert requests.get(url, timeout=60).status_code == 404

"""The journey of a shopper with an app of their own: the running sandbox, HTTP and nothing else."""

from decimal import Decimal

import pytest

from .app import LOYALTY, App

pytest.importorskip("oscarapi")
pytestmark = pytest.mark.timeout(240)


def test_points_are_seen_spent_earned_and_given_back_by_an_app(live_shop):
    live_shop.clerk.ask("give_points", person="jonas", points=900)
    app = App(live_shop, "jonas")
    before = live_shop.read_account("jonas")["balance"]
    lots = live_shop.read_account("jonas")["lots"]
    me = app.call("GET", f"{LOYALTY}/me")
    assert me["balance"]["available"] == before["available"]

    for product in live_shop.clerk.ask("find_products", count=3):
        basket = app.add(product)
    limits = app.call("GET", f"{LOYALTY}/basket/redemption")["limits"]
    assert limits["maximum"] == before["available"]
    spent = app.call("PUT", f"{LOYALTY}/basket/redemption", {"points": 800})
    assert (spent["applied"], spent["amount"]) == (800, "8.00")
    promised = app.call("POST", f"{LOYALTY}/earn-previews", {"basket": True})["basket"]["points"]

    payment, checkout = app.begin_payment(basket)
    app.call("POST", "/api/checkout/", checkout, status=402)
    assert live_shop.read_account("jonas")["balance"]["held"] == 800
    assert app.confirm(payment) == "requires_capture"
    number = app.call("POST", "/api/checkout/", checkout)["number"]
    assert app.call("POST", "/api/checkout/", checkout)["number"] == number, "the same order, not a second"

    (order,) = (order for order in live_shop.read_orders("jonas") if order["number"] == number)
    assert (order["total"], order["discount"], order["lines"]) == (payment["amount"], "8.00", 3)
    assert order["intents"] == [payment["payment_intent"]]
    intent = live_shop.read_intent(payment["payment_intent"])
    assert (intent["status"], intent["amount_received"]) == ("succeeded", Decimal(order["total"]) * 100)

    live_shop.wait_for_balance(
        "jonas", available=before["available"] - 800, pending=before["pending"] + promised, held=0
    )
    balance = app.call("GET", f"{LOYALTY}/me")["balance"]
    assert (balance["available"], balance["pending"]) == (
        before["available"] - 800,
        before["pending"] + promised,
    )
    rows = app.call("GET", f"{LOYALTY}/me/ledger?order={number}")["results"]
    assert {(row["kind"], row["points"]) for row in rows} == {("EARN", promised), ("SPEND", -800)}
    live_shop.clerk.ask("check_ledger", person="jonas")

    live_shop.clerk.ask("set_status", number=number, status="Cancelled")
    live_shop.wait_for_balance("jonas", available=before["available"], pending=before["pending"])
    assert live_shop.read_account("jonas")["lots"] == lots, "back in the lots that they came from"
    assert app.call("GET", f"{LOYALTY}/me")["balance"] == me["balance"]
    rows = app.call("GET", f"{LOYALTY}/me/ledger?order={number}")["results"]
    assert sorted(row["kind"] for row in rows) == ["CLAWBACK", "EARN", "SPEND", "SPEND_RETURN"]
    assert sum(row["points"] for row in rows) == 0
    live_shop.clerk.ask("check_ledger", person="jonas")

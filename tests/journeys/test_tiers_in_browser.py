"""A member rises by an order, is delivered better for it, and falls back when that order is cancelled."""

import re
from decimal import Decimal

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

MY_TIER = ".loyalty-tier"


def order_of(shop, person, *, before):
    (order,) = [order for order in shop.read_orders(person) if order not in before]
    return order


def cancel(manager, number):
    manager.open(f"/dashboard/orders/{number}/")
    manager.page.select_option("#order_status_form select", "Cancelled")
    manager.press("#order_status_form [type=submit]")


def test_silver_becomes_gold_by_an_order_and_silver_again_without_it(live_shop, enter, goods):
    dear, cheap = Decimal(goods[0]["price"]), Decimal(goods[2]["price"])
    assert dear > cheap
    # The dear one lifts to gold, and the cheap one alone would not.
    missing = ((dear + cheap) / 2).quantize(Decimal("0.01"))
    live_shop.clerk.ask("let_count", person="jonas", spend=str(600 - missing))
    jonas = enter("jonas")
    jonas.open("/loyalty/my-points/")
    tier = jonas.read(MY_TIER)
    assert "Silver" in tier
    assert f"€{missing} to Gold" in tier

    orders = live_shop.read_orders("jonas")
    jonas.add(goods[0])
    jonas.go_to_shipping()
    assert jonas.read_charge("express") == "€9.90"
    jonas.choose_delivery("standard")
    jonas.pay()
    assert jonas.is_thanked()
    first = order_of(live_shop, "jonas", before=orders)
    live_shop.wait_for_tier("jonas", "gold")
    jonas.open("/loyalty/my-points/")
    assert re.match(r"My tier Gold", jonas.read(MY_TIER))

    orders = live_shop.read_orders("jonas")
    jonas.add(goods[2])
    jonas.open("/basket/")
    jonas.go_to_shipping()
    assert jonas.read_charge("express") == "€0.00"
    jonas.choose_delivery("express")
    jonas.pay()
    assert jonas.is_thanked()
    second = order_of(live_shop, "jonas", before=orders)
    assert (second["shipping_code"], Decimal(second["shipping"])) == ("express", 0)
    assert second["total"] == goods[2]["price"]
    promised = live_shop.clerk.ask("read_promises", number=second["number"])
    assert promised["tier"] == "gold"
    assert {"FREE_RETURNS", "RETURN_WINDOW", "EXPRESS_AT_STANDARD"} <= set(promised["kinds"])
    assert promised["uses"] == [["EXPRESS_AT_STANDARD", "9.90"]]

    cancel(enter("leitung"), first["number"])
    live_shop.wait_for_tier("jonas", "silver")
    jonas.open("/loyalty/my-points/")
    tier = jonas.read(MY_TIER)
    assert "Silver" in tier
    assert "to Gold" in tier
    kept = next(order for order in live_shop.read_orders("jonas") if order["number"] == second["number"])
    assert (kept["total"], kept["shipping"]) == (second["total"], second["shipping"])
    assert live_shop.clerk.ask("read_promises", number=second["number"]) == promised
    live_shop.clerk.ask("check_ledger", person="jonas")


def test_my_tier_fits_on_a_phone_in_german(enter):
    hanna = enter("hanna", language="de", width=320)
    hanna.open("/loyalty/my-points/")
    assert "Stufe" in hanna.read(MY_TIER)
    assert hanna.count_overflow() == 0
    hanna.open("/loyalty/")
    assert hanna.count_overflow() == 0

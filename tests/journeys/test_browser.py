"""The sandbox in a real browser, from the login to the cancelled order."""

import re

import pytest

from .shopper import CARD_FORM, PLACE_ORDER

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

BOX = "#loyalty-redemption"


def find_new_order(shop, person, *, before):
    """The one order that ``person`` has placed since the list ``before`` was read."""
    (order,) = [order for order in shop.read_orders(person) if order not in before]
    return order


def read_points(text):
    """The first number of points in a text in English."""
    return int(re.search(r"([\d,]+) points", text)[1].replace(",", ""))


def coins(amount):
    return int(amount.replace(".", ""))


def assert_paid_exactly(shop, order):
    (intent_id,) = order["intents"]
    intent = shop.read_intent(intent_id)
    assert intent["status"] == "succeeded"
    assert intent["amount_received"] == coins(order["total"])


def test_points_are_seen_spent_earned_and_given_back(live_shop, enter, goods):
    hanna = enter("hanna")
    before, orders = live_shop.read_account("hanna"), live_shop.read_orders("hanna")
    had = before["balance"]["available"]

    hanna.open("/loyalty/my-points/")
    assert f"{had:,} points" in hanna.read(".loyalty-balance")

    hanna.add(*goods)
    hanna.open("/basket/")
    assert f"You have {had:,} points" in hanna.read(BOX)
    hanna.redeem(700)
    box = hanna.read(BOX)
    assert "700 points save you €7.00" in box
    assert f"{had - 700:,} points stay in your account" in box
    assert "-€7.00" in hanna.read("#basket_totals")
    promised = read_points(hanna.read("p:has-text('This order earns you')"))
    assert live_shop.read_account("hanna")["balance"]["held"] == 700

    hanna.go_to_payment()
    assert "700 points save you €7.00" in hanna.read(BOX)
    total = sum(coins(product["price"]) for product in goods) - 700
    assert f"€{total / 100:.2f}" in hanna.read(CARD_FORM)
    hanna.pay()
    assert hanna.is_thanked()

    order = find_new_order(live_shop, "hanna", before=orders)
    assert (coins(order["total"]), order["discount"], order["lines"]) == (total, "7.00", 3)
    thanks = hanna.read()
    assert order["number"] in thanks
    assert f"{promised} points" in thanks
    assert_paid_exactly(live_shop, order)

    pending = before["balance"]["pending"] + promised
    live_shop.wait_for_balance("hanna", available=had - 700, pending=pending, held=0)
    hanna.page.reload()
    assert f"You earned {promised} points" in hanna.read()
    hanna.open("/loyalty/my-points/")
    assert f"{had - 700:,} points" in hanna.read(".loyalty-balance")
    history = hanna.read(".loyalty-history")
    assert order["number"] in history
    assert f"+{promised}" in history
    assert "700" in history
    hanna.open(f"/accounts/orders/{order['number']}/")
    live_shop.clerk.ask("check_ledger", person="hanna")

    manager = enter("leitung")
    manager.open(f"/dashboard/orders/{order['number']}/")
    manager.page.select_option("#order_status_form select", "Cancelled")
    manager.press("#order_status_form [type=submit]")
    after = live_shop.wait_for_balance("hanna", available=had, pending=before["balance"]["pending"])
    assert after["lots"] == before["lots"], "the points are back in the lots that they came from"
    mine = [kind for kind, number in after["entries"] if number == order["number"]]
    assert sorted(kind for kind in mine if kind not in ("HOLD", "RELEASE")) == [
        "CLAWBACK",
        "EARN",
        "SPEND",
        "SPEND_RETURN",
    ]
    live_shop.clerk.ask("check_ledger", person="hanna")
    hanna.open("/loyalty/my-points/")
    assert f"{had:,} points" in hanna.read(".loyalty-balance")


def test_a_declined_card_costs_nothing_and_another_one_pays(live_shop, enter, goods):
    hanna = enter("hanna")
    before, orders = live_shop.read_account("hanna"), live_shop.read_orders("hanna")
    hanna.add(goods[0])
    hanna.open("/basket/")
    hanna.redeem(100)
    hanna.go_to_payment()
    hanna.pay("pm_card_visa_chargeDeclined")
    assert "Your card was declined. Please try another one." in hanna.read()
    assert live_shop.read_orders("hanna") == orders
    assert live_shop.read_account("hanna")["balance"]["held"] == 100
    hanna.open("/checkout/payment-details/")
    assert "100 points save you €1.00" in hanna.read(BOX)
    hanna.pay()
    assert hanna.is_thanked()
    order = find_new_order(live_shop, "hanna", before=orders)
    assert coins(order["total"]) == coins(goods[0]["price"]) - 100
    assert_paid_exactly(live_shop, order)
    live_shop.wait_for_balance("hanna", available=before["balance"]["available"] - 100, held=0)
    live_shop.clerk.ask("check_ledger", person="hanna")


def test_the_bank_asks_and_the_order_is_placed_when_the_shopper_comes_back(live_shop, enter, goods):
    hanna = enter("hanna")
    orders = live_shop.read_orders("hanna")
    hanna.add(goods[0])
    hanna.open("/basket/")
    hanna.redeem(100)
    hanna.go_to_payment()
    hanna.pay("pm_card_authenticationRequired")
    assert hanna.page.url.startswith(live_shop.stripe.url)
    assert live_shop.read_orders("hanna") == orders
    hanna.press("[value=fail]")
    assert "Your bank did not confirm the payment" in hanna.read()
    assert live_shop.read_orders("hanna") == orders
    assert live_shop.read_account("hanna")["balance"]["held"] == 100

    hanna.pay("pm_card_authenticationRequired")
    hanna.press("[value=complete]")
    assert hanna.is_thanked()
    order = find_new_order(live_shop, "hanna", before=orders)
    assert_paid_exactly(live_shop, order)
    assert live_shop.read_account("hanna")["balance"]["held"] == 0


def test_a_double_click_on_pay_is_one_order(live_shop, enter, goods):
    hanna = enter("hanna")
    before, orders = live_shop.read_account("hanna"), live_shop.read_orders("hanna")
    paid_before = len(live_shop.stripe.control("state")["payment_intent"])
    hanna.add(goods[0])
    hanna.open("/basket/")
    hanna.redeem(100)
    hanna.go_to_payment()
    hanna.choose_card()
    # Two requests, as of a browser that lets both clicks through.
    ends = hanna.page.evaluate(
        """() => {
            const form = document.getElementById("place_order_form");
            const send = () => fetch(form.getAttribute("action"), {
                method: "POST", body: new URLSearchParams(new FormData(form))
            });
            return Promise.all([send(), send()].map((sent) => sent.then((answer) => answer.status)));
        }"""
    )
    assert ends == [200, 200]
    order = find_new_order(live_shop, "hanna", before=orders)
    hanna.open("/checkout/thank-you/")
    assert order["number"] in hanna.read()
    assert len(live_shop.stripe.control("state")["payment_intent"]) == paid_before + 1
    assert_paid_exactly(live_shop, order)
    live_shop.wait_for_balance("hanna", available=before["balance"]["available"] - 100, held=0)

    hanna.add(goods[0])
    hanna.go_to_payment()
    hanna.choose_card()
    with hanna.page.expect_navigation(url="**/checkout/thank-you/"):
        hanna.page.dblclick(PLACE_ORDER)
    assert len(live_shop.read_orders("hanna")) == len(orders) + 2


def test_an_order_that_points_pay_in_full_asks_for_no_card(live_shop, enter, goods):
    live_shop.clerk.ask("give_points", person="jonas", points=coins(goods[0]["price"]))
    jonas = enter("jonas")
    orders = live_shop.read_orders("jonas")
    jonas.add(goods[0])
    jonas.open("/basket/")
    jonas.press(".loyalty-redeem [name=all]")
    jonas.go_to_payment()
    assert "/checkout/preview/" in jonas.page.url, "the payment page is skipped"
    assert "There is nothing left to pay." in jonas.read()
    jonas.press(PLACE_ORDER)
    assert jonas.is_thanked()
    assert "No payment was required for this order." in jonas.read()
    order = find_new_order(live_shop, "jonas", before=orders)
    assert (order["total"], order["intents"]) == ("0.00", [])
    live_shop.clerk.ask("check_ledger", person="jonas")


def test_points_are_redeemed_and_taken_back_without_javascript(live_shop, enter, goods):
    hanna = enter("hanna", javascript=False)
    hanna.add(goods[0])
    hanna.open("/basket/")
    assert not hanna.page.locator(".loyalty-enhanced").first.is_visible()
    hanna.redeem(250)
    assert "250 points save you €2.50" in hanna.read(BOX)
    assert live_shop.read_account("hanna")["balance"]["held"] == 250
    hanna.press(".loyalty-undo")
    assert "250 points save you" not in hanna.read(BOX)
    assert live_shop.read_account("hanna")["balance"]["held"] == 0
    hanna.press(".loyalty-redeem [name=all]")
    assert "Use no points" in hanna.read(BOX)


def test_the_journey_is_in_german(live_shop, enter, goods):
    hanna = enter("hanna", language="de")
    had = live_shop.read_account("hanna")["balance"]["available"]
    shown = f"{had:,}".replace(",", ".")
    hanna.open("/loyalty/my-points/")
    assert f"{shown} Punkte" in hanna.read(".loyalty-balance")
    hanna.add(goods[0])
    hanna.open("/basket/")
    assert f"Sie haben {shown} Punkte" in hanna.read(BOX)
    hanna.redeem(150)
    assert "150 Punkte sparen Ihnen 1,50 €" in hanna.read(BOX)
    hanna.go_to_payment()
    assert "150 Punkte sparen Ihnen 1,50 €" in hanna.read(BOX)
    hanna.pay()
    assert "Punkte für diese Bestellung" in hanna.read() or "Punkte gesammelt" in hanna.read()
    for text in ("points", "Pending", "Order total"):
        assert text not in hanna.read()


def test_no_page_of_the_journey_is_wider_than_a_phone(live_shop, enter, goods):
    hanna = enter("hanna", width=360)
    product = goods[0]
    wide = {}

    def look(name):
        if too_wide := hanna.count_overflow():
            wide[name] = too_wide

    for path in (
        "/",
        "/catalogue/",
        f"/catalogue/{product['slug']}_{product['id']}/",
        "/loyalty/",
        "/loyalty/my-points/",
        "/accounts/orders/",
    ):
        hanna.open(path)
        look(path)
    hanna.add(product)
    hanna.open("/basket/")
    look("basket")
    hanna.redeem(100)
    look("basket with points")
    hanna.go_to_payment()
    look("payment")
    hanna.choose_card()
    look("preview")
    hanna.press(PLACE_ORDER)
    assert hanna.is_thanked()
    look("thank-you")
    assert wide == {}

"""A customer sends two of three pieces back: from the order page to the money and the last mail."""

from decimal import Decimal

import pytest

from .live_shop import wait_for
from .returning import PAGE, buy, money, number_of

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]


def find_mails(shop, person, number):
    return [mail for mail in shop.clerk.ask("read_mails", person=person) if number in mail["subject"]]


def test_two_of_three_pieces_go_back_and_the_money_comes(live_shop, enter, goods):
    hanna = enter("hanna", width=360)
    before = live_shop.read_account("hanna")["balance"]
    order = buy(hanna, goods[0], pieces=3)

    def is_rewarded():
        balance = live_shop.read_account("hanna")["balance"]
        return balance if balance["pending"] > before["pending"] else None

    earned = wait_for(is_rewarded)["pending"] - before["pending"]

    hanna.open(f"/accounts/orders/{order['number']}/")
    hanna.press("a[href*='/returns/order/']")
    assert "3 pieces can be returned." in hanna.read(PAGE)
    assert hanna.count_overflow() == 0
    hanna.page.select_option("select[name^=quantity-]", "2")
    hanna.page.select_option("select[name^=reason-]", "DOES_NOT_FIT")
    hanna.press(".loyalty-return-form [type=submit], .loyalty-return-form button")
    preview = hanna.read(PAGE)
    promised = money(preview)
    assert promised == 2 * Decimal(goods[0]["price"])
    assert "points that these goods had earned are taken back." in preview
    assert "Returning is free" in preview
    assert hanna.count_overflow() == 0
    hanna.press("#send-return")
    number = number_of(hanna)
    assert "We have your return" in hanna.read()
    assert hanna.count_overflow() == 0
    hanna.page.go_back()
    hanna.page.go_back()
    assert "1 piece can be returned." in hanna.read(PAGE) or number in hanna.read()

    def has_label():
        live_shop.clerk.ask("hurry")
        return live_shop.clerk.ask("read_return", number=number)["has_label"]

    wait_for(has_label, step=1)
    hanna.open(f"/loyalty/returns/{number}/receipt/")
    assert hanna.page.locator(".loyalty-qr").count() == 1
    label = hanna.page.request.get(f"{live_shop.url}/{hanna.language}/loyalty/returns/{number}/label/")
    assert label.body()[:5] == b"%PDF-"

    # The bank takes its time, so that only the signed webhook says that the money is there.
    live_shop.stripe.control("refunds", next_one="pending")
    live_shop.clerk.ask("accept_return", number=number)
    (refund,) = live_shop.clerk.ask("read_return", number=number)["refunds"]
    assert (refund["state"], Decimal(refund["amount"])) == ("PENDING", promised)
    hanna.open(f"/loyalty/returns/{number}/")
    assert "are on their way to:" in hanna.read(PAGE)
    live_shop.stripe.control("refunds", refund=refund["id"], status="succeeded")

    def is_settled():
        live_shop.clerk.ask("hurry")
        return live_shop.clerk.ask("read_return", number=number)["state"] == "SETTLED"

    wait_for(is_settled, step=1)
    live_shop.clerk.ask("hurry")
    told = live_shop.clerk.ask("read_return", number=number)
    assert Decimal(told["refund"]) == promised
    live_shop.wait_for_balance("hanna", pending=before["pending"] + earned - told["points_taken"])
    live_shop.clerk.ask("check_ledger", person="hanna")
    intent = live_shop.read_intent(order["intents"][0])
    assert intent["status"] == "succeeded"

    hanna.page.reload()
    page = hanna.read(PAGE)
    assert "State: completed" in page
    assert "were sent to:" in page
    assert hanna.count_overflow() == 0
    # In the language in which she asked for it.
    mails = find_mails(live_shop, "hanna", number)
    (receipt,) = [mail for mail in mails if "We have your return" in mail["subject"]]
    assert order["number"] in receipt["text"]
    assert "2 × " in receipt["text"]
    assert "is complete" in mails[-1]["subject"]
    assert f"{told['points_taken']} points that these goods had earned were taken back." in mails[-1]["text"]


def test_a_return_in_german_without_javascript_on_the_narrowest_phone(live_shop, enter, goods):
    jonas = enter("jonas", language="de", width=320, javascript=False)
    order = buy(jonas, goods[1], pieces=1)
    jonas.open("/accounts/orders/")
    jonas.open(f"/loyalty/returns/order/{order['number']}/")
    assert jonas.count_overflow() == 0
    jonas.page.select_option("select[name^=quantity-]", "1")
    jonas.page.select_option("select[name^=reason-]", "FAULTY")
    jonas.press(".loyalty-return-form button")
    assert jonas.count_overflow() == 0
    jonas.press("#send-return")
    number = number_of(jonas)
    jonas.open(f"/loyalty/returns/{number}/")
    assert jonas.count_overflow() == 0
    jonas.press("#cancel-return")
    assert live_shop.clerk.ask("read_return", number=number)["state"] == "CANCELLED"
    jonas.open("/loyalty/returns/")
    assert number in jonas.read(PAGE)
    assert jonas.count_overflow() == 0


def test_a_guest_returns_with_the_link_of_the_mail(live_shop, enter, goods):
    jonas = enter("jonas", language="de", width=320)
    order = buy(jonas, goods[1], pieces=2)
    root = f"/loyalty/returns/guest/{live_shop.clerk.ask('make_guests', number=order['number'])}/"
    jonas.window.clear_cookies()
    jonas.open(root)
    assert jonas.count_overflow() == 0
    jonas.page.select_option("select[name^=quantity-]", "1")
    jonas.press(".loyalty-return-form button")
    assert jonas.count_overflow() == 0
    jonas.press("#send-return")
    number = number_of(jonas)
    assert root in jonas.page.url
    assert number in jonas.read(PAGE)
    assert jonas.count_overflow() == 0
    jonas.open(f"{root}{number}/")
    assert jonas.count_overflow() == 0
    assert live_shop.clerk.ask("read_return", number=number)["state"] in ("REQUESTED", "LABEL_SENT")

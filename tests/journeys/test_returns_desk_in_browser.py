"""A whole return in two browsers, the customer's and the desk's; the bank answers by signed webhook."""

import pytest

from .live_shop import wait_for
from .returning import DESK, PAGE, ask_for_return, buy, money, relay_until, scan

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


def state_of(shop, number):
    return shop.clerk.ask("read_return", number=number)["state"]


def wait_until(shop, number, state):
    relay_until(shop, lambda: state_of(shop, number) == state)
    shop.clerk.ask("hurry")


def test_one_of_two_pieces_is_accepted_and_money_points_and_stock_follow(live_shop, enter, goods):
    hanna, desk = enter("hanna", width=390), enter("service")
    before = live_shop.read_account("hanna")["balance"]
    order = buy(hanna, goods[0], pieces=3)
    earned = wait_for(lambda: live_shop.read_account("hanna")["balance"]["pending"] - before["pending"])
    number, promised = ask_for_return(hanna, order, pieces=2)

    # The label: made in the background, mailed, and printed from the page.
    relay_until(live_shop, lambda: live_shop.clerk.ask("read_return", number=number)["has_label"])
    hanna.page.reload()
    assert hanna.page.locator(".loyalty-qr").count() == 1
    with hanna.page.expect_download() as label:
        hanna.page.click(f"{PAGE} a[href$='/label/']")
    assert label.value.suggested_filename == f"{number}.pdf"
    hanna.press(f"{PAGE} .loyalty-actions a[href$='/{number}/']")
    assert hanna.count_overflow() == 0

    # The parcel: scanned, received, looked at, and decided with one click.
    live_shop.stripe.control("refunds", next_one="pending")
    scan(desk, number)
    desk.press("button[name=action][value=receive]")
    in_stock = live_shop.clerk.ask("count_stock", product=goods[0]["id"])
    desk.page.fill("[name^=accepted-]", "1")
    desk.page.select_option("[name^=condition-]", "AS_NEW")
    desk.page.fill("[name^=refusal-]", "One piece is not in the parcel")
    desk.press("button[name=preview]")
    preview = desk.read(".desk-preview")
    assert money(desk.read(".desk-effect tr:has(strong)")) == promised / 2
    assert "Earned points taken back" in preview
    assert live_shop.clerk.ask("count_stock", product=goods[0]["id"]) == in_stock
    desk.press("button[name=action][value=inspect]")
    decided = desk.read()
    assert "accepted in part" in decided
    assert "Accepted: 1 of 2" in decided
    assert "1 piece back in stock" in decided
    assert desk.count_overflow() == 0
    assert live_shop.clerk.ask("count_stock", product=goods[0]["id"]) == in_stock + 1

    # The money is on its way, and only the signed webhook says that it is there.
    (refund,) = live_shop.clerk.ask("read_return", number=number)["refunds"]
    assert refund["state"] == "PENDING"
    hanna.page.reload()
    assert "are on their way to:" in hanna.read(PAGE)
    live_shop.stripe.control("refunds", refund=refund["id"], status="succeeded")
    assert {call["state"] for call in live_shop.stripe.wait_for_webhooks(within=60)} == {"delivered"}
    wait_until(live_shop, number, "SETTLED")

    hanna.page.reload()
    page = hanna.read(PAGE)
    assert "State: completed" in page
    assert "1 of 2 accepted. Reason: One piece is not in the parcel" in page
    assert "were sent to:" in page
    assert money(hanna.read(f"{PAGE} tfoot")) == promised / 2
    told = [
        *("Return requested", "Label sent", "Goods received"),
        *("Goods checked, accepted in part", "Money refunded", "Return completed"),
    ]
    timeline = hanna.read(f"{PAGE} .loyalty-timeline")
    places = [timeline.index(moment) for moment in told]
    assert places == sorted(places)
    assert hanna.count_overflow() == 0

    taken = live_shop.clerk.ask("read_return", number=number)["points_taken"]
    assert 0 < taken < earned
    live_shop.wait_for_balance("hanna", pending=before["pending"] + earned - taken)
    live_shop.clerk.ask("check_ledger", person="hanna")
    desk.page.reload()
    assert money(desk.read(".desk-table td[data-label=Amount]")) == promised / 2


def test_a_refund_that_the_bank_sends_back_comes_on_top_of_the_desk_and_is_put_right(live_shop, enter, goods):
    jonas, desk = enter("jonas", language="de", width=390), enter("service", language="de")
    order = buy(jonas, goods[1], pieces=1)
    number, promised = ask_for_return(jonas, order, pieces=1)
    live_shop.stripe.control("refunds", next_one="pending")
    scan(desk, number)
    desk.press("button[name=action][value=accept]")
    (refund,) = live_shop.clerk.ask("read_return", number=number)["refunds"]
    live_shop.stripe.control("refunds", refund=refund["id"], status="failed")

    def has_failed():
        (refund,) = live_shop.clerk.ask("read_return", number=number)["refunds"]
        return refund["state"] == "FAILED"

    relay_until(live_shop, has_failed)
    jonas.open(f"/loyalty/returns/{number}/")
    assert "Sie müssen nichts tun" in jonas.read(PAGE)

    desk.open(DESK)
    rows = desk.page.locator(".desk-queue tbody tr").all_inner_texts()
    (place,) = [place for place, row in enumerate(rows) if number in row]
    assert "Erstattung fehlgeschlagen" in rows[place]
    # Above it is only what waits longer for somebody to pay it, below it at least what came in the meantime.
    assert all("von Hand zu zahlen" in row or "Erstattung fehlgeschlagen" in row for row in rows[:place])
    assert any("eingegangen" in row for row in rows[place:])
    desk.press(f".desk-queue tbody tr a[href$='/{number}/']")
    assert money(desk.read("#desk-refund-waits")) == promised
    assert desk.count_overflow() == 0
    desk.press("button[name=retry]")
    live_shop.stripe.wait_for_webhooks(within=60)
    wait_until(live_shop, number, "SETTLED")
    desk.open(DESK)
    assert number not in desk.read()
    jonas.page.reload()
    page = jonas.read(PAGE)
    assert money(jonas.read(f"{PAGE} tfoot")) == promised
    assert "Geld erstattet" in page
    assert jonas.count_overflow() == 0
    states = [one["state"] for one in live_shop.clerk.ask("read_return", number=number)["refunds"]]
    assert states == ["FAILED", "SUCCEEDED"]
    live_shop.clerk.ask("check_ledger", person="jonas")

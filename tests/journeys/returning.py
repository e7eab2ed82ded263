"""Steps of a return in a browser: the customer's, and the desk's with its scanner."""

import re
from decimal import Decimal

from .live_shop import wait_for

PAGE = ".loyalty-returns"
DESK = "/dashboard/loyalty/returns/"


def buy(shopper, goods, *, pieces):
    """Order some pieces of one product, have them rewarded and delivered, and return the order."""
    shop = shopper.shop
    before = shop.read_orders(shopper.name)
    shopper.add(*[goods] * pieces)
    shopper.go_to_payment()
    shopper.pay()
    assert shopper.is_thanked()
    (order,) = [order for order in shop.read_orders(shopper.name) if order not in before]
    # What a return brings is looked at again where the points of its order are booked only in the meantime.
    wait_for(lambda: order["number"] in [ref for _kind, ref in shop.read_account(shopper.name)["entries"]])
    shop.clerk.ask("deliver", number=order["number"])
    return order


def ask_for_return(shopper, order, *, pieces):
    """From the order to the receipt; return the number of the return and the money that was promised."""
    shopper.open(f"/accounts/orders/{order['number']}/")
    shopper.press("a[href*='/returns/order/']")
    shopper.page.select_option("select[name^=quantity-]", str(pieces))
    shopper.page.select_option("select[name^=reason-]", "DOES_NOT_FIT")
    shopper.press(".loyalty-return-form button")
    promised = money(shopper.read(f"{PAGE} tfoot"))
    shopper.press("#send-return")
    return number_of(shopper), promised


def scan(clerk, number):
    """The scanner types into the field that has the cursor, and presses Enter."""
    clerk.open(DESK)
    clerk.page.keyboard.type(number.lower())
    with clerk.page.expect_navigation():
        clerk.page.keyboard.press("Enter")
    assert clerk.page.url.endswith(f"/{number}/")


def number_of(shopper):
    found = re.search(r"/(R[0-9A-Z]{9})/", shopper.page.url)
    assert found, f"{shopper.page.url}: {shopper.read()}"
    return found[1]


def money(text):
    """The first amount in a text, English or German."""
    found = re.search(r"€\s?([\d,]+\.\d\d)|([\d.]+,\d\d)\s?€", text)
    return Decimal(found[1].replace(",", "") if found[1] else found[2].replace(".", "").replace(",", "."))


def relay_until(shop, is_so):
    """Send what waits in the outbox, as the shop does twice a minute, until something is so."""

    def look():
        shop.clerk.ask("hurry")
        return is_so()

    return wait_for(look, step=1)

"""Somebody in front of a browser."""

from __future__ import annotations

import re
from typing import Any

from .live_shop import LiveShop

PLACE_ORDER = "#place-order"
CARD_FORM = "#loyalty-card-form"


class Shopper:
    """A person of the sandbox with a window of their own. Each method is a step that people take."""

    def __init__(self, shop: LiveShop, window: Any, *, name: str, language: str) -> None:
        self.shop = shop
        self.window = window
        self.name = name
        self.language = language
        self.page = window.new_page()
        #: What went wrong in the scripts of the shop's pages; the dashboard's are Oscar's own.
        self.script_errors: list[str] = []
        self.page.on("pageerror", self._note)

    def _note(self, error: Any) -> None:
        if "/dashboard/" not in self.page.url:
            self.script_errors.append(f"{self.page.url}: {error}")

    def open(self, path: str) -> None:
        """Go to ``path`` in the shopper's language; it must be answered well."""
        answer = self.page.goto(f"{self.shop.url}/{self.language}{path}")
        assert answer.ok, f"{path}: {answer.status}"

    def read(self, part: str = "body") -> str:
        """What stands there, with single spaces between the words."""
        return re.sub(r"\s+", " ", self.page.locator(part).first.inner_text()).strip()

    def press(self, button: str) -> None:
        """Press a button that leads to a page, and wait for it."""
        with self.page.expect_navigation():
            self.page.click(button)

    def count_overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        return self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )

    def log_in(self) -> None:
        """Log in to an account whose basket is empty."""
        self.shop.clerk.ask("empty_basket", person=self.name)
        self.open("/accounts/login/")
        self.page.fill("[name=login-username]", f"{self.name}@morgenrot.example")
        self.page.fill("[name=login-password]", self.shop.password)
        self.press("[name=login_submit]")

    def add(self, *products: dict[str, Any]) -> None:
        for product in products:
            self.open(f"/catalogue/{product['slug']}_{product['id']}/")
            self.press("#add_to_basket_form button[type=submit]")

    def redeem(self, points: int) -> None:
        self.page.fill("#loyalty-points", str(points))
        self.press(".loyalty-redeem [name=apply]")

    def go_to_payment(self) -> None:
        """Have it delivered home, in the shop's usual way."""
        self.open("/checkout/shipping-address/")
        self.press("form[id^=select_shipping_address] button[type=submit]")
        if "/shipping-method/" in self.page.url:
            self.press("form:has([name=method_code]) button[type=submit]")

    def go_to_shipping(self) -> None:
        """As far as the ways of delivery."""
        self.open("/checkout/shipping-address/")
        self.press("form[id^=select_shipping_address] button[type=submit]")
        assert "/shipping-method/" in self.page.url

    def read_charge(self, code: str) -> str:
        """What a way of delivery costs, on the page where one is chosen."""
        return self.read(f".basket-items:has([name=method_code][value={code}]) .col-sm-1")

    def choose_delivery(self, code: str) -> None:
        self.press(f"form:has([name=method_code][value={code}]) button[type=submit]")

    def choose_card(self, card: str = "pm_card_visa") -> None:
        self.page.check(f"{CARD_FORM} [value={card}]")
        self.press(f"{CARD_FORM} button[type=submit]")

    def pay(self, card: str = "pm_card_visa") -> None:
        """From the payment page past the preview to wherever that leads."""
        self.choose_card(card)
        self.press(PLACE_ORDER)

    def is_thanked(self) -> bool:
        return self.page.url.endswith("/checkout/thank-you/")

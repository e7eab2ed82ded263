"""A shopper's app: HTTP and nothing else."""

from typing import Any

import requests

from .live_shop import LiveShop

LOYALTY = "/api/loyalty/v1"
ADDRESS = {
    "first_name": "Jonas",
    "last_name": "Brandt",
    "line1": "Uferstraße 95",
    "line4": "Hamburg",
    "postcode": "20357",
}


class App:
    """What the app keeps: where the shop is, and its cookies."""

    def __init__(self, shop: LiveShop, person: str) -> None:
        """Log in to an account whose basket is empty."""
        self.shop = shop
        self.session = requests.Session()
        self.session.headers["Accept-Language"] = "en"
        shop.clerk.ask("empty_basket", person=person)
        login = {"username": f"{person}@morgenrot.example", "password": shop.password}
        self.call("POST", "/api/login/", login)

    def call(self, method: str, path: str, body: object = None, *, status: int = 200) -> Any:
        answer = self.session.request(
            method,
            f"{self.shop.url}{path}",
            json=body,
            headers={"X-CSRFToken": self.session.cookies.get("csrftoken", "")},
            timeout=60,
        )
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def add(self, product: dict[str, Any]) -> dict[str, Any]:
        """Put one into the basket, and return the basket."""
        wanted = {"url": f"{self.shop.url}/api/products/{product['id']}/", "quantity": 1}
        return self.call("POST", "/api/basket/add-product/", wanted)

    def begin_payment(self, basket: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the payment, and what to send to the checkout once it is confirmed."""
        address = ADDRESS | {"country": f"{self.shop.url}/api/countries/DE/"}
        payment = self.call("POST", f"{LOYALTY}/payments", {"shipping_address": address}, status=201)
        return payment, {
            "basket": basket["url"],
            "shipping_address": address,
            "payment_intent": payment["payment_intent"],
        }

    def confirm(self, payment: dict[str, Any]) -> str:
        """What Stripe's SDK does in an app: the card goes to Stripe, not to the shop."""
        answer = requests.post(
            f"{self.shop.stripe.url}/v1/payment_intents/{payment['payment_intent']}/confirm",
            headers={"Authorization": f"Bearer {payment['publishable_key']}"},
            data={
                "client_secret": payment["client_secret"],
                "payment_method": "pm_card_visa",
                "return_url": f"{self.shop.url}/app",
            },
            timeout=60,
        )
        return answer.json()["status"]

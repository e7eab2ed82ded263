"""The running sandbox with a real broker, and with one that is down."""

import secrets
import time
from collections.abc import Iterator

import pytest

from .app import App
from .live_shop import HOST, LiveShop, free_port

pytest.importorskip("oscarapi")
pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]


class ShopWithoutWorker(LiveShop):
    def start_worker(self) -> None:
        """Each test starts one if it wants one."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Iterator[ShopWithoutWorker]:
    with ShopWithoutWorker(
        tmp_path_factory.mktemp("broker"),
        DJANGO_SETTINGS_MODULE="tests.journeys.broker_settings",
        JOURNEYS_QUEUE=f"journeys-{secrets.token_hex(4)}",
    ) as shop:
        yield shop


def buy(shop: LiveShop) -> tuple[dict[str, int], int]:
    """Order something as jonas; return the balance before and the points that the order earns."""
    app = App(shop, "jonas")
    (product,) = shop.clerk.ask("find_products", count=1)
    before = shop.read_account("jonas")["balance"]
    basket = app.add(product)
    promised = app.call("POST", "/api/loyalty/v1/earn-previews", {"basket": True})["basket"]["points"]
    payment, checkout = app.begin_payment(basket)
    assert app.confirm(payment) == "requires_capture"
    begun = time.monotonic()
    app.call("POST", "/api/checkout/", checkout)
    assert time.monotonic() - begun < 20, "the shopper waited for the broker"
    return before, promised


def restart_with_broker(shop: LiveShop, url: str) -> None:
    """The tests run in any order, and each says which broker its shop has."""
    shop.processes.stop("shop")
    shop.environment["CELERY_BROKER_URL"] = url
    shop.start_web_server()


def test_a_broker_that_is_down_costs_neither_the_order_nor_its_points(shop):
    restart_with_broker(shop, f"redis://{HOST}:{free_port()}/0")
    before, earned = buy(shop)
    assert "could not be sent; the sweep will do it" in shop.processes.read_log("shop")
    assert shop.read_account("jonas")["balance"] == before
    assert shop.clerk.ask("sweep")["purchases"] == 1
    assert shop.read_account("jonas")["balance"]["pending"] == before["pending"] + earned
    assert shop.clerk.ask("sweep")["purchases"] == 0
    shop.clerk.ask("check_ledger", person="jonas")


def test_through_a_real_broker_a_real_worker_books_the_points(shop, broker_url):
    restart_with_broker(shop, broker_url)
    LiveShop.start_worker(shop)
    before, earned = buy(shop)
    shop.wait_for_balance("jonas", pending=before["pending"] + earned)
    assert "oscar_loyalty.tasks.reward_purchase" in shop.processes.read_log("worker")
    assert shop.clerk.ask("sweep")["purchases"] == 0, "nothing was left to do"
    shop.clerk.ask("check_ledger", person="jonas")

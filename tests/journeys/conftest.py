from collections.abc import Callable, Iterator

import pytest

from .live_shop import LiveShop
from .shopper import Shopper


@pytest.fixture(scope="session")
def live_shop(tmp_path_factory) -> Iterator[LiveShop]:
    """The sandbox, opened once for all journeys; each brings its own points and looks at its own orders."""
    with LiveShop(tmp_path_factory.mktemp("shop")) as shop:
        yield shop


@pytest.fixture
def enter(live_shop, chromium) -> Iterator[Callable[..., Shopper]]:
    """``enter("hanna", language="de", width=360)`` opens a window of her own in which she is logged in."""
    shoppers = []

    def open_window(
        name: str, *, language: str = "en", width: int = 1280, javascript: bool = True
    ) -> Shopper:
        window = chromium.new_context(
            viewport={"width": width, "height": 800}, locale=language, java_script_enabled=javascript
        )
        window.set_default_timeout(30_000)
        shopper = Shopper(live_shop, window, name=name, language=language)
        shoppers.append(shopper)
        shopper.log_in()
        return shopper

    yield open_window
    for shopper in shoppers:
        shopper.window.close()
    assert [error for shopper in shoppers for error in shopper.script_errors] == []


@pytest.fixture
def goods(live_shop) -> list[dict[str, str]]:
    """Three products that are in stock, together dear enough for free delivery."""
    return live_shop.clerk.ask("find_products", count=3)

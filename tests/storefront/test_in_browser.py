"""The redemption box in Chromium: what the script adds, and that nothing needs it."""

import pytest
from django.conf import settings
from django.test import Client

from oscar_loyalty.shop.offers import ensure_offer

from .conftest import make_product, put_in_basket

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def box(live_server, chromium, member):
    """Open the basket of a member with 5,000 points and a kettle for 20.00: ``box(script=True)``."""
    ensure_offer()
    member.earn(5000)
    client = Client()
    client.force_login(member.user)
    put_in_basket(client, make_product("20.00"))
    contexts = []

    def open_basket(*, script, width=360):
        context = chromium.new_context(
            viewport={"width": width, "height": 800}, java_script_enabled=script, locale="en"
        )
        contexts.append(context)
        session = client.cookies[settings.SESSION_COOKIE_NAME].value
        context.add_cookies(
            [{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}]
        )
        # Oscar's page asks a content network for jQuery; a test does not.
        context.route(lambda url: not url.startswith(live_server.url), lambda route: route.abort())
        page = context.new_page()
        page.goto(f"{live_server.url}/basket/")
        return page

    yield open_basket
    for context in contexts:
        context.close()


def test_without_a_script_points_are_applied_and_given_back(box):
    page = box(script=False)
    assert not page.locator("input[type=range]").is_visible()
    assert not page.locator("[data-loyalty-change]").first.is_visible()
    page.fill("#loyalty-points", "500")
    page.click("[name=apply]")
    assert "500 points save you 5.00" in page.inner_text("#loyalty-redemption")
    page.click(".loyalty-undo")
    assert "save you" not in page.inner_text("#loyalty-redemption")


def test_buttons_slider_and_field_agree_and_are_read_out(box):
    page = box(script=True)
    field, slider, live = (
        page.locator("#loyalty-points"),
        page.locator("input[type=range]"),
        page.locator("#loyalty-live"),
    )
    assert field.input_value() == "2000"
    page.get_by_label("Fewer points").click()
    assert (field.input_value(), slider.input_value()) == ("1999", "1999")
    assert live.inner_text() == "1,999 points save €19.99"
    slider.focus()
    page.keyboard.press("ArrowLeft")
    assert field.input_value() == "1998"
    field.fill("29")
    assert slider.input_value() == "29"
    assert live.inner_text() == "29 points save €0.29"
    page.get_by_label("More points").click()
    assert field.input_value() == "30"
    page.click("[name=apply]")
    assert "30 points save you 0.30" in page.inner_text("#loyalty-redemption")


def test_the_keyboard_alone_is_enough(box):
    page = box(script=True)
    page.locator("#loyalty-points").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("700")
    page.keyboard.press("Enter")
    page.wait_for_selector(".loyalty-applied")
    assert "700 points save you 7.00" in page.inner_text("#loyalty-redemption")


def test_going_back_sends_nothing_again(box, member):
    page = box(script=True)
    page.fill("#loyalty-points", "700")
    page.click("[name=apply]")
    page.wait_for_selector(".loyalty-applied")
    page.click(".loyalty-undo")
    page.wait_for_selector(".loyalty-applied", state="detached")
    page.go_back()
    page.reload()
    member.account.refresh_from_db()
    assert (member.account.available, member.account.held) == (5000, 0)


@pytest.mark.parametrize("width", [320, 360, 1280])
def test_nothing_sticks_out_of_the_page(box, width):
    page = box(script=True, width=width)
    boxes = page.locator("#loyalty-redemption *").evaluate_all(
        "all => all.map(one => one.getBoundingClientRect().right)"
    )
    assert max(boxes) <= width


def test_targets_are_large_enough_to_hit(box):
    page = box(script=True)
    for button in page.locator("#loyalty-redemption button").all():
        size = button.bounding_box()
        assert min(size["width"], size["height"]) >= 24

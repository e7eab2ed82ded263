"""Withdrawing on a phone without scripts, and with a nervous finger."""

import pytest

from oscar_loyalty.returns.models import Withdrawal

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def open_form(live_server, chromium, programme):
    contexts = []

    def open_page(*, script):
        context = chromium.new_context(
            viewport={"width": 360, "height": 800}, java_script_enabled=script, locale="en"
        )
        contexts.append(context)
        # Oscar's page asks a content network for jQuery; a test does not.
        context.route(lambda url: not url.startswith(live_server.url), lambda route: route.abort())
        page = context.new_page()
        page.goto(f"{live_server.url}/loyalty/withdraw/?order=100042")
        page.get_by_label("Your name").fill("Zoë Müller")
        page.get_by_label("E-mail address").fill("guest@")
        page.get_by_role("button", name="Continue").click()
        return page

    yield open_page
    for context in contexts:
        context.close()


def test_two_steps_without_a_script_and_with_a_mistake(open_form):
    page = open_form(script=False)
    assert page.get_by_label("Your name").input_value() == "Zoë Müller"
    assert page.get_by_label("E-mail address").get_attribute("aria-invalid") == "true"
    page.get_by_label("E-mail address").fill("guest@example.com")
    page.get_by_role("button", name="Continue").click()
    assert "I, Zoë Müller, hereby withdraw from the contract for this order: 100042" in page.inner_text(
        "body"
    )
    page.get_by_role("button", name="Confirm withdrawal").click()
    assert "Your withdrawal has arrived" in page.inner_text("body")
    assert Withdrawal.objects.get().name == "Zoë Müller"


def test_a_double_click_withdraws_once_and_nothing_is_wider_than_the_phone(open_form):
    page = open_form(script=True)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.get_by_label("E-mail address").fill("guest@example.com")
    page.get_by_role("button", name="Continue").click()
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.get_by_role("button", name="Confirm withdrawal").dblclick()
    page.wait_for_url("**/withdraw/done/**")
    assert "Your withdrawal has arrived" in page.inner_text("body")
    assert Withdrawal.objects.count() == 1

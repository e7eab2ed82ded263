"""The returns desk in Chromium: a scanner and a keyboard are enough, and nothing needs the script."""

import pytest
from django.conf import settings
from django.utils import timezone

from oscar_loyalty.flows import return_steps
from tests.returns.bank import Bank
from tests.returns.world import ask, make_order, make_policy
from tests.shop import world as shop

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def waiting(settings):
    """Two returns at the desk, the one that is due first before the other."""
    settings.OSCAR_LOYALTY_PAYMENT_GATEWAY = "tests.returns.bank.Bank"
    Bank.forget()
    make_policy(shop.make_programme(waiting_days=0))
    member = shop.make_member(points=0)
    made = [ask(make_order(member.user)) for _number in range(2)]
    for one in made:
        return_steps.receive_return(return_id=one.pk, actor_ref="user:1", now=timezone.now())
    return made


@pytest.fixture
def open_desk(live_server, chromium, desk, waiting):
    contexts = []

    def open_desk(*, script=True):
        context = chromium.new_context(java_script_enabled=script, locale="en")
        contexts.append(context)
        session = desk.cookies[settings.SESSION_COOKIE_NAME].value
        context.add_cookies(
            [{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}]
        )
        context.route(lambda url: not url.startswith(live_server.url), lambda route: route.abort())
        page = context.new_page()
        page.goto(f"{live_server.url}/dashboard/loyalty/returns/")
        return page

    yield open_desk
    for context in contexts:
        context.close()


def state_of(one):
    one.refresh_from_db()
    return one.state


def test_scan_and_one_key_settle_a_return(open_desk, waiting):
    page = open_desk()
    # A scanner types and presses Enter; the cursor stands in its field.
    page.keyboard.type(waiting[1].number.lower())
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/{waiting[1].number}/")
    page.keyboard.press("a")
    page.wait_for_selector(".alert-success")
    page.wait_for_load_state()
    assert state_of(waiting[1]) in ("INSPECTED", "REFUNDED", "SETTLED")
    page.keyboard.press("b")
    page.wait_for_url("**/returns/")


def test_rows_are_walked_and_chosen_by_key(open_desk, waiting):
    page = open_desk()
    page.keyboard.press("Escape")
    for key in ("j", "x", "j", "x"):
        page.keyboard.press(key)
    assert page.locator("input[name=number]:checked").count() == 2
    page.keyboard.press("a")
    page.wait_for_selector("text=All of them are done.")
    assert {state_of(one) for one in waiting} <= {"INSPECTED", "REFUNDED", "SETTLED"}


def test_typing_a_reason_presses_nothing_and_keys_can_be_switched_off(open_desk, waiting, live_server):
    page = open_desk()
    page.goto(f"{live_server.url}/dashboard/loyalty/returns/{waiting[0].number}/")
    page.keyboard.press("n")
    page.keyboard.type("a and d and r")
    assert page.input_value("#desk-reject-reason") == "a and d and r"
    page.keyboard.press("Escape")
    page.click("[data-key-switch]")
    page.keyboard.press("Tab")
    page.keyboard.press("a")
    assert not page.locator("kbd").first.is_visible()
    assert state_of(waiting[0]) == "RECEIVED"


def test_without_a_script_everything_can_be_clicked(open_desk, waiting):
    page = open_desk(script=False)
    page.fill("#desk-scan", waiting[0].number)
    page.press("#desk-scan", "Enter")
    page.click("text=Accept everything >> nth=0")
    page.wait_for_selector(".alert-success")
    assert state_of(waiting[0]) in ("INSPECTED", "REFUNDED", "SETTLED")

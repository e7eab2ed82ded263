from datetime import timedelta
from decimal import Decimal

import pytest
from oscar.core.loading import get_model

from oscar_loyalty.programmes.models import CurrencyRate, Programme, ProgrammeVersion
from oscar_loyalty.programmes.services import publish_version

from .conftest import text_of

GERMAN = {"accept-language": "de"}


def publish(programme, *, now, rate=None, **values):
    return publish_version(
        version=ProgrammeVersion(programme=programme, **{"terms_version": "2026-2", **values}),
        rates=[CurrencyRate(currency="EUR", **(rate or {}))],
        active_from=now - timedelta(seconds=1),
        now=now - timedelta(seconds=1),
    )


def test_a_guest_reads_what_the_version_in_force_promises(client, programme):
    page = text_of(client.get("/loyalty/"))
    assert "Morning points" in page
    assert "1 point for every 1.00 €." in page
    assert "100 points save you 1.00 €." in page
    assert "Points can be spent 14 days after the order." in page
    assert "Points expire 36 months after they become spendable" in page
    assert "on an order of 50.00 € you would miss 50 points, worth 0.50 €" in page
    assert "Create an account" in page
    assert "Log in and join" in page


def test_every_figure_follows_a_new_version(client, programme, now):
    category = get_model("catalogue", "Category").add_root(name="Gift cards")
    publish(
        programme,
        now=now,
        rate={"earn_points": 3, "earn_amount": "2.00", "redeem_points": 200, "redeem_amount": "5.00"},
        waiting_days=7,
        spendable_status="Shipped",
        expiry_months=None,
        minimum_points=500,
        step_points=50,
        maximum_share_percent=Decimal(30),
        includes_shipping=True,
        includes_tax=False,
        excluded_category_ids=[category.pk],
    )
    page = text_of(client.get("/loyalty/"))
    for promise in (
        "3 points for every 2.00 €.",
        "200 points save you 5.00 €.",
        "7 days after the order has reached the status “Shipped”",
        "Points never expire.",
        "at least 500 points at a time",
        "in steps of 50.",
        "Points pay at most 30% of the goods.",
        "Shipping costs earn points too.",
        "The price without VAT counts",
        "Gift cards",
        "you would miss 75 points, worth 1.87 €",
    ):
        assert promise in page
    assert "36 months" not in page


def test_german_pages_are_german_down_to_the_numbers(client, programme, now):
    publish(programme, now=now, rate={"earn_points": 1, "redeem_points": 2000, "redeem_amount": "1000.00"})
    page = text_of(client.get("/loyalty/", headers=GERMAN))
    assert "So funktioniert es" in page
    assert "1 Punkt für je 1,00 €." in page
    assert "2.000 Punkte sparen Ihnen 1.000,00 €." in page
    assert "Kostenlos" in page or "kostet nichts" in page


def test_a_customer_can_join_and_a_member_sees_their_points(client, programme, customer, now):
    client.force_login(customer)
    response = client.get("/loyalty/")
    assert 'name="terms_version" value="2026-1"' in response.text
    assert 'type="checkbox" name="marketing"' in response.text
    assert "checked" not in response.text
    client.post("/loyalty/join/", {"terms_version": "2026-1"})
    page = text_of(client.get("/loyalty/"))
    assert "You take part." in page
    assert "0 points" in page
    assert "Join for free" not in page


def test_what_is_paused_is_said(client, programme):
    Programme.objects.update(earning_paused=True, redemption_paused=True)
    page = text_of(client.get("/loyalty/"))
    assert "New orders earn no points at the moment." in page
    assert "Points cannot be spent at the moment." in page
    assert "you would miss" not in page


def test_a_shop_without_a_programme_has_no_page_about_it(client, db):
    assert client.get("/loyalty/").status_code == 404


def test_the_page_can_be_found_by_search_engines(client, programme):
    response = client.get("/loyalty/")
    assert "noindex" not in response.text
    assert '<meta name="description" content="Morning points: collect points' in response.text


@pytest.mark.parametrize("signed_in", [False, True])
def test_inline_scripts_and_styles_are_not_ours(client, programme, customer, signed_in):
    if signed_in:
        client.force_login(customer)
    content = client.get("/loyalty/").text.partition('class="loyalty-page"')[2].partition("<footer")[0]
    assert content
    assert "<script" not in content
    assert "style=" not in content
    assert " on" + "click" not in content


def test_the_shops_own_terms_are_linked(client, programme, settings):
    settings.OSCAR_LOYALTY_TERMS_URL = "https://shop.example/terms"
    assert 'href="https://shop.example/terms"' in client.get("/loyalty/").text


def test_a_shop_in_another_currency_still_reads_the_rates_there_are(client, programme, settings):
    settings.OSCAR_DEFAULT_CURRENCY = "CHF"
    page = text_of(client.get("/loyalty/"))
    assert "100 points save you 1.00 €." in page

from django.test import override_settings
from oscar.core.loading import get_model

from oscar_loyalty.programmes.models import CurrencyRate
from tests.rest_api.conftest import ROOT

URL = ROOT + "programme"


def test_a_guest_reads_in_numbers_and_sentences_what_the_programme_promises(guest_client, version):
    vouchers = get_model("catalogue", "Category").add_root(name="Vouchers")
    cards = get_model("catalogue", "ProductClass").objects.create(name="Gift card")
    version.__class__.objects.filter(pk=version.pk).update(
        minimum_points=200,
        step_points=50,
        maximum_share_percent=50,
        excluded_category_ids=[vouchers.pk],
        excluded_product_class_ids=[cards.pk],
    )
    answer = guest_client.get(URL)
    body = answer.json()
    assert answer.status_code == 200
    assert body["name"] == "Bean Club"
    assert body["terms_version"] == "2026-01"
    assert body["earning"] == {
        "state": "active",
        "includes_tax": True,
        "includes_shipping": False,
        "excluded": ["Gift card", "Vouchers"],
        "spendable_after_status": None,
        "waiting_days": 14,
        "expiry_months": 36,
    }
    assert body["spending"] == {
        "state": "active",
        "minimum_points": 200,
        "step_points": 50,
        "maximum_share_percent": "50.00",
    }
    assert body["currencies"] == [
        {
            "currency": "EUR",
            "earn": {"points": 1, "amount": "1.00"},
            "redeem": {"points": 100, "amount": "1.00"},
            "card_minimum": "0.50",
        }
    ]
    assert body["sentences"] == {
        "earning": [
            "1 point for every 1.00\xa0€ you pay for goods.",
            "Points count on the price with VAT, after every discount.",
            "Shipping earns no points, and neither does what you pay with points.",
            "These earn no points: Gift card, Vouchers.",
        ],
        "spending": [
            "100 points save 1.00\xa0€.",
            "You can spend 200 points or more at a time.",
            "Points are spent in steps of 50.",
            "Points pay at most 50 % of the goods.",
        ],
        "waiting": "Points can be spent 14 days after your order.",
        "expiry": "Points expire 36 months after they become spendable, at the end of that day.",
    }


def test_the_sentences_follow_the_version_when_it_promises_other_things(guest_client, version):
    version.__class__.objects.filter(pk=version.pk).update(
        expiry_months=None,
        waiting_days=1,
        spendable_status="Shipped",
        includes_tax=False,
        includes_shipping=True,
    )
    sentences = guest_client.get(URL).json()["sentences"]
    assert sentences["expiry"] == "Points do not expire."
    assert sentences["waiting"] == "Points can be spent 1 day after your order is “Shipped”."
    assert sentences["earning"][1:] == [
        "Points count on the price without VAT, after every discount.",
        "Shipping earns points too.",
    ]


def test_money_has_as_many_places_as_its_currency(guest_client, version):
    CurrencyRate.objects.create(version=version, currency="JPY", earn_amount=100, redeem_amount=1)
    yen = guest_client.get(URL).json()["currencies"][1]
    assert yen["earn"] == {"points": 1, "amount": "100"}


def test_a_paused_programme_says_so(guest_client, programme):
    programme.__class__.objects.update(earning_paused=True, redemption_paused=True)
    body = guest_client.get(URL).json()
    assert (body["earning"]["state"], body["spending"]["state"]) == ("paused", "paused")


def test_caches_may_keep_it_for_everybody_and_ask_again_for_nothing(guest_client, programme):
    first = guest_client.get(URL)
    assert first["Cache-Control"] == "public, max-age=300"
    assert "Accept-Language" in first["Vary"]
    assert not first.cookies
    again = guest_client.get(URL, headers={"if-none-match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again["ETag"] == first["ETag"]
    assert not again.cookies
    assert again["Cache-Control"] == "public, max-age=300"
    programme.__class__.objects.update(name="Bean Society")
    changed = guest_client.get(URL, headers={"if-none-match": first["ETag"]})
    assert changed.status_code == 200
    assert changed["ETag"] != first["ETag"]


def test_the_header_alone_chooses_the_language_because_caches_cannot_see_the_cookie(guest_client, programme):
    guest_client.cookies["django_language"] = "en"
    german = guest_client.get(URL, headers={"accept-language": "fr, de-AT;q=0.9, en;q=0.1"})
    assert german["Content-Language"] == "de"
    assert "1,00\xa0€" in german.json()["sentences"]["earning"][0]
    english = guest_client.get(URL, headers={"accept-language": "*"})
    assert english["Content-Language"] == "en"
    assert german["ETag"] != english["ETag"]


def test_an_invalid_token_does_not_shut_anybody_out(guest_client, programme):
    assert guest_client.get(URL, headers={"authorization": "Basic nonsense"}).status_code == 200


def test_it_costs_two_statements_with_one_and_with_ten_currencies(guest_client, version, count_statements):
    assert count_statements(lambda: guest_client.get(URL)) == 2
    for number in range(9):
        CurrencyRate.objects.create(version=version, currency=f"X{number}X")
    assert count_statements(lambda: guest_client.get(URL)) == 2


def test_a_shop_without_a_programme_says_so(guest_client, db):
    answer = guest_client.get(URL)
    assert (answer.status_code, answer.json()["code"]) == (404, "no_programme")
    assert answer["Cache-Control"] == "private, no-store"


@override_settings(OSCAR_LOYALTY_PROGRAMME="another")
def test_the_setting_names_the_programme(guest_client, programme):
    assert guest_client.get(URL).status_code == 404

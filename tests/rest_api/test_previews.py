from decimal import Decimal

import pytest
from oscar.core.loading import get_model

from oscar_loyalty.programmes.models import CurrencyRate
from oscar_loyalty.shop.offers import ensure_offer
from tests.rest_api.conftest import ROOT, earn, make_product, put_in_basket

URL = ROOT + "earn-previews"


def preview(client, *items, basket: bool = False) -> dict:
    body = {"items": list(items), "basket": basket}
    answer = client.post(URL, body, format="json")
    assert answer.status_code == 200, answer.content
    assert answer["Cache-Control"] == "private, no-store"
    return answer.json()


def test_a_member_learns_what_products_earn_in_the_order_asked(client, member):
    cheap, dear = make_product("0.99"), make_product("119.00")
    body = preview(client, {"product": dear.pk}, {"product": cheap.pk, "quantity": 3}, {"product": cheap.pk})
    assert body["is_member"] is True
    assert body["programme_version"] == 1
    assert body["basket"] is None
    assert body["items"] == [
        {
            "product": dear.pk,
            "quantity": 1,
            "state": "earning",
            "points": 119,
            "value": "1.19",
            "basis": "119.00",
            "currency": "EUR",
            "text": "Earn 119 points (worth 1.19\xa0€)",
            "parts": [],
        },
        {
            "product": cheap.pk,
            "quantity": 3,
            "state": "earning",
            "points": 2,
            "value": "0.02",
            "basis": "2.97",
            "currency": "EUR",
            "text": "Earn 2 points (worth 0.02\xa0€)",
            "parts": [],
        },
        {
            "product": cheap.pk,
            "quantity": 1,
            "state": "below_one_point",
            "points": 0,
            "value": "0.00",
            "basis": "0.99",
            "currency": "EUR",
            "text": "Too little for a whole point.",
            "parts": [],
        },
    ]


def test_a_guest_learns_what_members_would_earn(guest_client, programme):
    body = preview(guest_client, {"product": make_product("119.00").pk})
    assert body["is_member"] is False
    assert body["items"][0]["points"] == 119
    assert body["items"][0]["text"] == "Members earn 119 points (worth 1.19\xa0€)"


def test_numbers_follow_the_language(client, member):
    product = make_product("1234.50")
    answer = client.post(
        URL, {"items": [{"product": product.pk}]}, format="json", headers={"accept-language": "de"}
    )
    assert "1.234 " in answer.json()["items"][0]["text"]
    assert "12,34\xa0€" in answer.json()["items"][0]["text"]


def test_a_product_with_variants_earns_from_the_cheapest(client, member):
    parent = make_product(None, structure="parent")
    make_product("20.00", parent=parent)
    make_product("15.00", parent=parent)
    make_product("1.00", parent=parent, is_public=False)
    make_product(None, parent=parent)
    item = preview(client, {"product": parent.pk})["items"][0]
    assert (item["state"], item["points"]) == ("choose_variant", 15)
    assert item["text"] == "Earn from 15 points (worth 0.15\xa0€), depending on the variant"


def test_a_variant_earns_like_a_product(client, member):
    parent = make_product(None, structure="parent")
    variant = make_product("20.00", parent=parent)
    assert preview(client, {"product": variant.pk})["items"][0]["points"] == 20


def test_what_earns_nothing_says_why(client, member, version):
    parent = make_product(None, structure="parent")
    hidden = make_product("10.00", is_public=False)
    orphan = make_product("10.00", parent=make_product(None, structure="parent", is_public=False))
    unpriced = make_product(None)
    excluded = make_product(
        "10.00", product_class=get_model("catalogue", "ProductClass").objects.create(name="Gift card")
    )
    version.__class__.objects.update(excluded_product_class_ids=[excluded.product_class_id])
    asked = [{"product": product.pk} for product in (parent, hidden, orphan, unpriced, excluded)]
    items = preview(client, *asked, {"product": 2**31 - 1})["items"]
    assert [(item["state"], item["points"]) for item in items] == [
        ("no_price", 0),
        ("unknown_product", 0),
        ("unknown_product", 0),
        ("no_price", 0),
        ("excluded", 0),
        ("unknown_product", 0),
    ]
    assert all(item["text"] for item in items)


def test_a_paused_programme_and_a_foreign_currency_earn_nothing(client, member, programme):
    product = make_product()
    programme.__class__.objects.update(earning_paused=True)
    assert preview(client, {"product": product.pk})["items"][0]["state"] == "paused"
    programme.__class__.objects.update(earning_paused=False)
    CurrencyRate.objects.all().delete()
    assert preview(client, {"product": product.pk})["items"][0]["state"] == "currency_not_supported"


def test_the_basket_earns_on_what_is_left_after_points_and_floors_once(client, customer, member):
    ensure_offer()
    earn(member, 1000, order="1")
    first, second = make_product("10.50"), make_product("10.50")
    put_in_basket(customer, first)
    put_in_basket(customer, second)
    basket = preview(client, basket=True)["basket"]
    assert (basket["points"], basket["basis"]) == (21, "21.00")
    assert sum(line["points"] for line in basket["lines"]) == 21
    assert [line["product"] for line in basket["lines"]] == [first.pk, second.pk]
    client.put(ROOT + "basket/redemption", {"points": 500}, format="json")
    basket = preview(client, basket=True)["basket"]
    assert (basket["points"], basket["basis"]) == (16, "16.00")
    assert sum(Decimal(line["basis"]) for line in basket["lines"]) == Decimal("16.00")


def test_an_empty_basket_earns_nothing_and_says_so(client, guest_client, member):
    for caller in (client, guest_client):
        basket = preview(caller, basket=True)["basket"]
        assert (basket["state"], basket["points"], basket["lines"]) == ("basket_empty", 0, [])


def test_a_guests_basket_earns_what_a_member_would_get(guest_client, programme):
    product = make_product("42.00")
    guest_client.post(f"/basket/add/{product.pk}/", {"quantity": 1})
    body = preview(guest_client, basket=True)
    assert (body["is_member"], body["basket"]["points"]) == (False, 42)


def test_a_guests_basket_of_django_oscar_api_is_found(guest_client, programme):
    pytest.importorskip("oscarapi")
    product = make_product("42.00")
    added = guest_client.post(
        "/api/basket/add-product/",
        {"url": f"http://testserver/api/products/{product.pk}/", "quantity": 2},
        format="json",
    )
    assert added.status_code == 200
    assert preview(guest_client, basket=True)["basket"]["points"] == 84


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, ""),
        ({"items": []}, ""),
        ({"items": "12"}, "/items"),
        ({"items": [12]}, "/items/0"),
        ({"items": [{}]}, "/items/0/product"),
        ({"items": [{"product": "12"}]}, "/items/0/product"),
        ({"items": [{"product": 1}, {"product": 1, "quantity": 0}]}, "/items/1/quantity"),
        ({"items": [{"product": 1, "quantity": 1.0}]}, "/items/0/quantity"),
        ({"items": [{"product": 1, "quantity": 10_001}]}, "/items/0/quantity"),
        ({"items": [{"product": 2**63}]}, "/items/0/product"),
        ({"items": [{"product": True}]}, "/items/0/product"),
        ({"items": [{"product": 1}] * 101}, "/items"),
        ({"basket": "yes"}, "/basket"),
    ],
)
def test_a_wrong_question_is_answered_with_a_pointer(client, programme, body, pointer):
    answer = client.post(URL, body, format="json")
    assert answer.status_code == 400
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


def test_a_batch_costs_the_same_with_one_and_with_ten_products(client, member, version, count_statements):
    category = get_model("catalogue", "Category").add_root(name="Coffee")
    version.__class__.objects.update(excluded_category_ids=[category.pk])
    parents = [make_product(None, structure="parent") for _ in range(5)]
    for parent in parents:
        make_product("20.00", parent=parent)
        make_product("30.00", parent=parent)
    items = [{"product": parent.pk} for parent in parents] + [{"product": make_product().pk} for _ in "12345"]

    def ask(some) -> int:
        return count_statements(lambda: client.post(URL, {"items": some}, format="json"))

    # session, user; products, stock records, variants, theirs; policy, exclusions; membership
    assert ask(items[:1]) == ask(items) == 9


def test_another_currency_costs_one_statement_more_and_is_judged_by_its_own_rate(client, member, version):
    CurrencyRate.objects.create(version=version, currency="USD", earn_points=2)
    euro, dollar = make_product("10.00"), make_product("10.00")
    dollar.stockrecords.update(price_currency="USD")
    items = preview(client, {"product": euro.pk}, {"product": dollar.pk})["items"]
    assert [(item["currency"], item["points"]) for item in items] == [("EUR", 10), ("USD", 20)]

"""What earning rules bring is shown before it is booked, afterwards, and is the same."""

from itertools import count

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oscar.apps.partner.strategy import Default
from oscar.core.loading import get_class
from oscar.test import factories

from oscar_loyalty.earning.models import EarningRule, RuleBudget
from oscar_loyalty.flows.earning import preview_earning
from oscar_loyalty.flows.purchases import reward_purchase
from oscar_loyalty.flows.wording import explain_entry
from oscar_loyalty.points.models import Entry
from oscar_loyalty.programmes.models import ProgrammeVersion
from oscar_loyalty.shop.baskets import get_basket_lines

from .conftest import make_product, put_in_basket, text_of

_numbers = count(1)


def add_rule(kind="MULTIPLIER", code="weekend", **values):
    return EarningRule.objects.create(
        version=ProgrammeVersion.objects.get(),
        code=code,
        name=code,
        kind=kind,
        **{
            "parameters": {"factor": "1.5"} if kind == "MULTIPLIER" else {"points": 50, "per": "ORDER"},
            "text_de": "Doppelte Punkte am Wochenende",
            "text_en": "Double points weekend",
            **values,
        },
    )


def test_a_product_says_what_its_points_are_made_of(client, programme, product):
    add_rule()
    page = client.get(product.get_absolute_url())
    assert "Earns 179 points" in text_of(page)
    assert "What these points are made of base points: 119 Double points weekend: 60" in text_of(page)
    assert "<details" in page.text
    german = text_of(client.get(product.get_absolute_url(), headers={"accept-language": "de"}))
    assert "Doppelte Punkte am Wochenende: 60" in german


def test_a_basket_says_it_too_and_without_rules_nothing_of_it(member_client, product):
    put_in_basket(member_client, product)
    assert "loyalty-parts" not in member_client.get("/basket/").text
    add_rule("BONUS")
    assert "base points: 119 Double points weekend: 50" in text_of(member_client.get("/basket/"))


def test_a_page_of_products_takes_as_many_statements_with_rules_as_one_product(client, programme):
    add_rule(conditions={"category_ids": [1], "attributes": {"brand": ["Acme"]}})

    def count_statements():
        with CaptureQueriesContext(connection) as statements:
            client.get("/search/?q=Cup")
        return len([one for one in statements if "oscar_loyalty" in one["sql"]])

    make_product("10.00", title="Cup")
    one = count_statements()
    for _ in range(5):
        make_product("10.00", title="Cup")
    assert count_statements() == one


def test_the_statement_and_the_order_add_up(member_client, member, product):
    add_rule("BONUS")
    basket = factories.create_basket(empty=True)
    basket.strategy = Default()
    basket.owner = member.user
    basket.save()
    basket.add_product(product, 1)
    order = factories.create_order(number="100042", basket=basket, user=member.user, shipping_method=None)
    page = text_of(member_client.get(f"/accounts/orders/{order.number}/"))
    assert "Double points weekend: 50" in page
    reward_purchase(order_id=order.pk, now=timezone.now())
    for address in ("/loyalty/my-points/", f"/accounts/orders/{order.number}/"):
        assert "base points 119 + Double points weekend 50" in text_of(member_client.get(address)), address
    entry = Entry.objects.get()
    assert explain_entry(entry)[0] == "base points 119 + Double points weekend 50"
    with translation.override("de"):
        assert "Doppelte Punkte am Wochenende 50" in explain_entry(entry)[0]
    row = member_client.get("/api/loyalty/v1/me/ledger").json()["results"][0]
    assert row["explanation"]["text"] == "base points 119 + Double points weekend 50"
    assert row["explanation"]["parts"] == [
        {"rule": "PURCHASE", "points": 119, "text": "base points"},
        {"rule": "weekend", "points": 50, "text": "Double points weekend"},
    ]


def test_the_api_previews_the_parts(member_client, product):
    add_rule("BONUS")
    body = member_client.post(
        "/api/loyalty/v1/earn-previews", {"items": [{"product": product.pk}]}, content_type="application/json"
    ).json()
    (item,) = body["items"]
    assert item["points"] == sum(part["points"] for part in item["parts"]) == 169
    assert item["parts"][1] == {"rule": "weekend", "points": 50, "text": "Double points weekend"}


rules = st.lists(
    st.fixed_dictionaries(
        {
            "kind": st.sampled_from(["MULTIPLIER", "BONUS"]),
            "conditions": st.sampled_from(
                [
                    {},
                    {"minimum_value": {"EUR": "50.00"}},
                    {"nth_order": 1},
                    {"every_nth_order": 2},
                    {"segments": ["NEW"]},
                    {"tiers": ["gold"]},
                ]
            ),
            "cap_order_points": st.sampled_from([None, 20]),
            "exclusion_group": st.sampled_from(["", "one"]),
            "budget_points": st.sampled_from([None, 70]),
        }
    ),
    max_size=4,
)
baskets = st.lists(
    st.tuples(
        st.decimals(min_value="0.01", max_value="120", places=2).map(str),
        st.integers(min_value=1, max_value=3),
    ),
    min_size=1,
    max_size=3,
)


@pytest.mark.database
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(purchase=baskets, written=rules)
def test_with_rules_too_the_preview_of_a_basket_is_the_booking_of_its_order(member, purchase, written):
    EarningRule.objects.all().delete()
    RuleBudget.objects.all().delete()
    for number, values in enumerate(written):
        add_rule(code=f"rule-{number}", position=number, **values)
    basket = factories.create_basket(empty=True)
    basket.strategy = Default()
    basket.owner = member.user
    basket.save()
    for price, quantity in purchase:
        basket.add_product(make_product(price), quantity)
    get_class("offer.applicator", "Applicator")().apply(basket, member.user)
    lines = get_basket_lines(basket)
    previewed = preview_earning(lines=lines, currency="EUR", now=timezone.now(), user_id=member.user.pk)
    placed = factories.create_order(
        number=f"rules-{next(_numbers)}", basket=basket, user=member.user, shipping_method=None
    )
    reward_purchase(order_id=placed.pk, now=placed.date_placed)
    booked = Entry.objects.filter(kind="EARN", order_ref=placed.number).first()
    assert previewed.points == (booked.points if booked else 0)
    if booked:
        stored = booked.lines.order_by("pk").values_list("rule_code", "basis", "points")
        assert list(stored) == [
            (line.rule_code, line.basis, line.points) for line in previewed.earning.lines if line.basis
        ]
        parts = {one["code"]: one["points"] for one in booked.explanation.get("rules", ())}
        assert parts == {part.rule_code: part.points for part in previewed.earning.parts}

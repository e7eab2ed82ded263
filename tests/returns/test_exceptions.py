"""Goods that a policy takes back only when they are faulty: by category, and by type of product."""

from typing import Any

import pytest
from django.utils import timezone
from django.utils.translation import override
from oscar.core.loading import get_model
from oscar.test import factories

from oscar_loyalty.flows import return_terms
from oscar_loyalty.flows.return_terms import Pick, ReturnRefused
from oscar_loyalty.returns.models import ReturnPolicy

from .doors import api_of, browser_of, wanted
from .world import ask, make_order

pytestmark = pytest.mark.django_db


@pytest.fixture
def order(account: Any) -> Any:
    """The first line is underwear, in a category below the excluded one; the second one is not."""
    order = make_order(account.user, (("30.00", 2, 19), ("20.00", 1, 19)))
    clothes = get_model("catalogue", "Category").add_root(name="Clothes", slug="clothes")
    underwear = clothes.add_child(name="Underwear", slug="underwear").add_child(name="Socks", slug="socks")
    get_model("catalogue", "ProductCategory").objects.create(
        product=underwear_of(order).product, category=underwear
    )
    ReturnPolicy.objects.update(excluded_category_ids=[clothes.pk])
    return order


def underwear_of(order: Any) -> Any:
    return order.lines.order_by("pk")[0]


def only_faults(order: Any) -> list[bool]:
    found = return_terms.find_returnable(order_id=order.pk, now=timezone.now())
    return [line.only_faults for line in found.lines]


def refusal(order: Any, **values: Any) -> tuple[str, int | None]:
    with pytest.raises(ReturnRefused) as refused:
        ask(order, **values)
    return refused.value.code, refused.value.line_id


def test_a_category_is_excluded_with_all_below_it(order: Any) -> None:
    assert only_faults(order) == [True, False]
    socks = underwear_of(order)
    assert refusal(order) == ("excluded", socks.pk)
    assert refusal(order, kind="WITHDRAWAL") == ("excluded", socks.pk)
    other = order.lines.order_by("pk")[1]
    assert ask(order, [Pick(line_id=other.pk, quantity=1)]).lines.get().line_id == other.pk


@pytest.mark.parametrize("reason", ["FAULTY", "DAMAGED_IN_TRANSIT", "WRONG_ITEM"])
def test_what_is_faulty_comes_back_all_the_same(order: Any, reason: str) -> None:
    picks = [Pick(line_id=underwear_of(order).pk, quantity=2, reason=reason)]
    assert ask(order, picks).free_because == "FAULT"


def test_a_variant_is_in_the_categories_of_its_parent(order: Any) -> None:
    socks = underwear_of(order).product
    parent = factories.create_product(structure="parent")
    type(socks).objects.filter(pk=socks.pk).update(parent=parent, structure="child", product_class=None)
    get_model("catalogue", "ProductCategory").objects.filter(product=socks).update(product=parent)
    assert only_faults(order) == [True, False]


def test_a_type_of_product_is_excluded_with_its_variants(account: Any) -> None:
    order = make_order(account.user, (("30.00", 2, 19), ("20.00", 1, 19)))
    foods = factories.ProductClassFactory(name="Fresh food", slug="fresh-food")
    parent = factories.create_product(structure="parent")
    type(parent).objects.filter(pk=parent.pk).update(product_class=foods)
    product = underwear_of(order).product
    type(product).objects.filter(pk=product.pk).update(parent=parent, structure="child", product_class=None)
    ReturnPolicy.objects.update(excluded_product_class_ids=[foods.pk])
    assert only_faults(order) == [True, False]
    assert refusal(order) == ("excluded", underwear_of(order).pk)


def test_customers_are_told_and_choose_among_faults(order: Any) -> None:
    with override("en"):
        page = browser_of(order.user).get(f"/loyalty/returns/order/{order.number}/").text
    assert "This can only be returned when it is faulty, damaged or wrong." in page
    reasons = page.split(f'name="reason-{underwear_of(order).pk}"')[1].split("</select>")[0]
    assert 'value="FAULTY"' in reasons
    assert 'value="WITHDRAWAL"' not in reasons


def test_apps_are_told_which_line_it_is_about(order: Any) -> None:
    api = api_of(order.user)
    lines = api.get(f"/api/loyalty/v1/orders/{order.number}/returnable-lines").json()["lines"]
    assert [line["only_faults"] for line in lines] == [True, False]
    answer = api.post(f"/api/loyalty/v1/orders/{order.number}/return-previews", wanted(order), format="json")
    assert (answer.status_code, answer.json()["code"]) == (409, "excluded")

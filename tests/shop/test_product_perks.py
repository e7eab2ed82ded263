"""What a product's page says about perks."""

from datetime import timedelta

import pytest
from django.utils import timezone
from oscar.test import factories

from oscar_loyalty.tiers.models import ProductAccess
from tests.tiers.perk_world import make_tiers, put_into_tier

from . import world


def page_of(client, product, language="en"):
    page = client.get(product.get_absolute_url(), headers={"accept-language": language})
    assert page.status_code == 200
    return " ".join(page.content.decode().replace("\xa0", " ").split())


@pytest.fixture
def product(programme, member):
    everything = factories.RangeFactory(includes_all_products=True)
    make_tiers(
        programme,
        silver=[("MEMBER_PRICE", {"percent": "5", "range": everything.pk}), ("EARLY_ACCESS", {"hours": 12})],
        gold=[("MEMBER_PRICE", {"percent": "11", "range": everything.pk}), ("EARLY_ACCESS", {"hours": 24})],
    )
    return world.make_product("10.00", rate=0)


def test_guests_and_members_read_what_they_pay_and_what_better_tiers_pay(product, programme, member, client):
    assert "Silver members pay <strong>9.50 €</strong>." in page_of(client, product)
    client.force_login(member.user)
    put_into_tier(member.member, "silver", programme=programme)
    page = page_of(client, product)
    assert "You pay <strong>9.50 €</strong> as Silver member." in page
    assert "Gold members pay <strong>8.90 €</strong>." in page
    put_into_tier(member.member, "gold", programme=programme)
    page = page_of(client, product)
    assert "You pay <strong>8.90 €</strong> as Gold member." in page
    assert "members pay" not in page


def test_the_page_says_who_may_buy_it_before_others(product, client):
    rule = ProductAccess.objects.create(product_id=product.pk, opens_at=timezone.now() + timedelta(days=2))
    page = page_of(client, product)
    assert "For everybody from" in page
    assert "Gold members can buy it from" in page
    rule.opens_at = None
    rule.save()
    assert "Only for members of certain tiers." in page_of(client, product)


def test_without_perks_a_page_says_nothing(programme, client):
    assert "loyalty-product-perks" not in page_of(client, world.make_product("10.00", rate=0))

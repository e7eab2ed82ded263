"""Switched off, the app leaves no trace in pages."""

import pytest

from oscar_loyalty.members.models import Member
from oscar_loyalty.points.models import Hold

from .conftest import put_in_basket

pytestmark = pytest.mark.usefixtures("programme", "offer")


@pytest.fixture
def switched_off(settings):
    settings.OSCAR_LOYALTY_ENABLED = False


@pytest.mark.parametrize("url", ["/loyalty/", "/loyalty/my-points/"])
def test_its_pages_are_gone(client, customer, switched_off, url):
    client.force_login(customer)
    assert client.get(url).status_code == 404


@pytest.mark.parametrize(
    "url",
    ["/loyalty/join/", "/loyalty/my-points/news/", "/loyalty/basket/redeem/", "/loyalty/basket/undo/"],
)
def test_its_forms_are_gone(client, customer, switched_off, url):
    client.force_login(customer)
    assert client.post(url, {"points": "5", "terms_version": "2026-1"}).status_code == 404
    assert not Member.objects.exists()


def test_the_shops_pages_show_no_trace(member_client, member, product, settings):
    member.earn(5000)
    put_in_basket(member_client, product)
    member_client.post("/loyalty/basket/redeem/", {"points": 500})
    assert Hold.objects.exists()
    settings.OSCAR_LOYALTY_ENABLED = False
    for url in (product.get_absolute_url(), "/search/?q=Kettle", "/basket/", "/accounts/profile/"):
        response = member_client.get(url)
        assert response.status_code == 200
        assert "loyalty" not in response.text.lower(), url


@pytest.mark.parametrize("url", ["/accounts/register/", "/accounts/login/"])
def test_registering_shows_no_trace_and_joins_nobody(client, switched_off, url):
    assert "loyalty" not in client.get(url).text
    values = {"email": "new@example.com", "password1": "a-long-password", "password2": "a-long-password"}
    client.post("/accounts/register/", {**values, "loyalty_join": "on"})
    assert not Member.objects.exists()

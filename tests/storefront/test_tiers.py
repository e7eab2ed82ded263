from datetime import timedelta

import pytest

from oscar_loyalty.flows.membership import join_programme
from tests.tiers.world import buy, publish, publish_tiers

from .conftest import text_of


@pytest.fixture
def tiers(programme, now):
    return publish_tiers(programme, at=now - timedelta(hours=20))


@pytest.fixture
def member(customer, tiers, now):
    return join_programme(user_id=customer.pk, now=now - timedelta(hours=10)).member


def my_points(client, language="en"):
    response = client.get("/loyalty/my-points/", headers={"accept-language": language})
    assert response.status_code == 200
    return response


def test_guests_read_what_each_tier_takes(client, tiers):
    page = text_of(client.get("/loyalty/"))
    assert "Silver" in page
    assert "€500.00" in page
    assert "Spending points never costs you a tier." in page
    assert "your tier" not in page


def test_without_tiers_the_pages_say_nothing_of_them(client, programme, customer, now):
    assert "Tiers" not in text_of(client.get("/loyalty/"))
    join_programme(user_id=customer.pk, now=now)
    client.force_login(customer)
    assert "My tier" not in text_of(my_points(client))


def test_tiers_that_have_ended_are_not_shown(client, programme, member, customer, now):
    buy(programme, member, "600", at=now - timedelta(hours=5))
    publish(programme, at=now - timedelta(hours=1))
    client.force_login(customer)
    assert "My tier" not in text_of(my_points(client))
    assert client.get("/loyalty/").status_code == 200


def test_a_member_without_a_tier_reads_what_the_first_one_takes(client, member, customer):
    client.force_login(customer)
    page = text_of(my_points(client))
    assert "You have not reached a tier yet." in page
    assert "€500.00 to Silver" in page
    assert "€0.00 of €500.00 for Silver (0%)" in page
    assert "History of your tiers" not in page


def test_a_member_reads_tier_progress_and_what_would_be_lost(client, programme, member, customer, now):
    buy(programme, member, "916.80", at=now - timedelta(hours=5), order="100042")
    client.force_login(customer)
    response = my_points(client)
    page = text_of(response)
    assert "€83.20 to Gold by " in page
    assert "€916.80 of €1,000.00 for Gold (91%)" in page
    assert "To keep Silver you need €400.00 more by " in page
    assert "Without further orders you have Silver until " in page
    assert "order 100042" in page
    # The bar is for eyes only; what it says stands beside it. Nothing is inline.
    assert 'aria-hidden="true"' in response.content.decode()
    assert "style=" not in response.content.decode().split('id="my-tier"')[1].split("</section>")[0]
    assert "(your tier)" in text_of(client.get("/loyalty/"))


def test_the_highest_tier_has_no_bar(client, programme, member, customer, now):
    buy(programme, member, "1000", at=now - timedelta(hours=5))
    client.force_login(customer)
    response = my_points(client)
    assert "This is the highest tier." in text_of(response)
    assert "loyalty-bar" not in response.content.decode()


def test_the_summary_in_one_line_names_the_tier(client, programme, member, customer, now):
    buy(programme, member, "600", at=now - timedelta(hours=5))
    client.force_login(customer)
    assert "· Silver" in text_of(client.get("/loyalty/"))

from datetime import timedelta

import pytest
from rest_framework.test import APIClient

from oscar_loyalty.tiers.models import TierScheme
from tests.rest_api.conftest import LONG_AGO, NOW, ROOT, make_product, put_in_basket
from tests.tiers.world import buy, publish_tiers

TIERS = ROOT + "tiers"
MINE = ROOT + "me/tier"


@pytest.fixture
def guest():
    return APIClient()


@pytest.fixture
def tiers(programme):
    return publish_tiers(programme, at=LONG_AGO + timedelta(days=1))


def test_everybody_may_read_the_tiers_in_their_language(guest, tiers):
    answer = guest.get(TIERS, headers={"accept-language": "de"})
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "public, max-age=300"
    assert not answer.cookies
    body = answer.json()
    assert body["metric"] == "SPEND"
    assert body["tiers"][0] == {
        "code": "silver",
        "name": "Silber",
        "rank": 1,
        "reach": "500.00",
        "keep": "400.00",
        "reach_text": "500,00\xa0€",
        "keep_text": "400,00\xa0€",
    }
    again = guest.get(TIERS, headers={"accept-language": "de", "if-none-match": answer["ETag"]})
    assert again.status_code == 304
    other = guest.get(TIERS, headers={"accept-language": "en"})
    assert other.json()["tiers"][0]["name"] == "Silver"
    assert other["ETag"] != answer["ETag"]


def test_a_programme_without_tiers_says_so(guest, programme):
    body = guest.get(TIERS).json()
    assert (body["metric"], body["tiers"], body["sentences"]) == (None, [], [])


def test_without_a_programme_there_is_nothing(guest, db):
    answer = guest.get(TIERS)
    assert (answer.status_code, answer.json()["code"]) == (404, "no_programme")


def test_a_member_reads_where_they_stand(client, member, tiers, programme):
    buy(programme, member.member, "916.80", at=NOW - timedelta(days=2), order="100042")
    body = client.get(MINE).json()
    assert (body["state"], body["tier"]["code"], body["qualified"]) == ("held", "silver", "916.80")
    assert body["next"]["tier"]["code"] == "gold"
    assert (body["next"]["missing"], body["next"]["percent"]) == ("83.20", 91)
    assert body["next"]["text"].startswith("€83.20 to Gold by ")
    # Everything that counts today will have stopped counting when the tier is lost.
    assert body["keep"]["missing"] == "400.00"
    assert len(body["sentences"]) == 3
    [change] = body["history"]
    assert (change["from_name"], change["to_name"], change["reason"]) == ("", "Silver", "REACHED")
    assert change["order"] == "100042"


def test_a_member_reads_it_in_german(client, member, tiers, programme):
    buy(programme, member.member, "500", at=NOW - timedelta(days=2))
    body = client.get(MINE, headers={"accept-language": "de"}).json()
    assert body["tier"]["name"] == "Silber"


def test_who_has_no_tier_yet_reads_what_the_first_one_takes(client, member, tiers):
    body = client.get(MINE).json()
    assert (body["state"], body["tier"], body["lost_at"], body["keep"]) == ("none", None, None, None)
    assert body["next"]["missing"] == "500.00"
    assert body["sentences"] == ["€500.00 to Silver"]


def test_a_member_of_a_programme_without_tiers_reads_that(client, member):
    body = client.get(MINE).json()
    assert (body["state"], body["tier"], body["next"]) == ("no_tiers", None, None)


@pytest.mark.parametrize(("metric", "missing"), [("POINTS", "120 points"), ("ORDERS", "2 orders")])
def test_each_metric_has_its_own_words(client, member, programme, metric, missing):
    amount = missing.split()[0]
    publish_tiers(
        programme,
        at=LONG_AGO + timedelta(days=1),
        tiers={"silver": (amount, amount)},
        metric=TierScheme.Metric[metric],
    )
    body = client.get(MINE).json()
    assert body["sentences"] == [f"{missing} to Silver"]
    assert (body["currency"], body["next"]["missing"]) == (None, amount)


def test_guests_are_asked_to_log_in_and_others_to_join(guest, client, programme):
    assert guest.get(MINE).status_code in (401, 403)
    answer = client.get(MINE)
    assert (answer.status_code, answer.json()["code"]) == (403, "not_member")


def preview(client):
    answer = client.post(ROOT + "earn-previews", {"basket": True}, format="json")
    assert answer.status_code == 200, answer.content
    return answer.json()["basket"]


def test_the_basket_says_which_tier_it_would_reach(client, member, tiers, customer, programme):
    buy(programme, member.member, "450", at=NOW - timedelta(days=2))
    put_in_basket(customer, make_product("60.00"))
    found = preview(client)["projected_tier"]
    assert found == {
        "code": "silver",
        "name": "Silver",
        "rises": True,
        "next_code": "gold",
        "next_name": "Gold",
        "missing": "490.00",
        "metric": "SPEND",
        "currency": "EUR",
    }


def test_without_tiers_the_preview_costs_no_statement_more_and_with_them_three(
    client, customer, member, programme, count_statements
):
    put_in_basket(customer, make_product("60.00"))
    preview(client)
    without = count_statements(lambda: preview(client))
    assert preview(client)["projected_tier"] is None
    publish_tiers(programme, at=LONG_AGO + timedelta(days=1))
    assert count_statements(lambda: preview(client)) == without + 3

import uuid

import pytest

from oscar_loyalty.members.models import Member
from oscar_loyalty.points.models import Account, Entry
from oscar_loyalty.testing.ledger import assert_ledger_balanced, assert_moves_balanced
from tests.rest_api.conftest import ROOT, earn, make_customer
from tests.rest_api.test_contract import assert_as_documented


@pytest.fixture
def allowed(version):
    """Versions in force are never changed by staff; a test may."""
    type(version).objects.update(transfers_allowed=True)


def give(client, points=40, recipient="ben@example.com", key=None):
    return client.post(
        ROOT + "me/transfers",
        {"points": points, "recipient": recipient},
        format="json",
        headers={"idempotency-key": key or str(uuid.uuid4())},
    )


def available(*accounts):
    assert_moves_balanced(accounts)
    for account in accounts:
        assert_ledger_balanced(account)
    return [account.available for account in accounts]


def test_a_member_gives_points_to_another_one(client, member, other_member, allowed):
    earn(member, 100, order="1")
    answer = give(client, key="one")
    assert answer.status_code == 201
    assert_as_documented(answer, "post", "me/transfers")
    assert answer.json() | {"id": 0, "booked_at": 0} == {
        "id": 0,
        "points": 40,
        "available_after": 60,
        "booked_at": 0,
    }
    assert available(member, other_member) == [60, 40]
    again = give(client, key="one")
    assert (again.status_code, again.json()) == (201, answer.json())
    assert available(member, other_member) == [60, 40]


def test_addresses_are_compared_without_case(client, member, other_member, allowed):
    earn(member, 100, order="1")
    assert give(client, recipient="BEN@Example.COM").status_code == 201


def test_it_is_off_unless_the_programme_allows_it(client, member, other_member):
    earn(member, 100, order="1")
    answer = give(client)
    assert (answer.status_code, answer.json()["code"]) == (404, "transfers_off")
    assert_as_documented(answer, "post", "me/transfers")
    assert available(member, other_member) == [100, 0]


def test_while_spending_is_paused_nothing_is_given_away(client, member, other_member, allowed, programme):
    earn(member, 100, order="1")
    type(programme).objects.update(redemption_paused=True)
    assert give(client).json()["code"] == "transfers_off"


def test_whoever_gets_nothing_is_the_same_to_the_giver(client, member, other_member, programme, allowed):
    """Strangers, customers who are no members, former and frozen members, and the giver: one answer."""
    earn(member, 100, order="1")
    make_customer("carl")
    answers = [give(client, recipient=f"{name}@example.com") for name in ("nobody", "carl", "anna")]
    Account.objects.filter(pk=other_member.pk).update(status="FROZEN")
    answers.append(give(client))
    Member.objects.filter(pk=other_member.member_id).update(status="LEFT", left_at=member.member.joined_at)
    answers.append(give(client))
    assert {(answer.status_code, answer.content) for answer in answers} == {(409, answers[0].content)}
    assert answers[0].json()["code"] == "recipient_unavailable"
    assert available(member, other_member) == [100, 0]


def test_asking_for_too_much_tells_nothing_about_the_recipient(client, member, other_member, allowed):
    earn(member, 100, order="1")
    answers = {give(client, 101, f"{name}@example.com").content for name in ("nobody", "ben")}
    assert len(answers) == 1
    assert b"insufficient_points" in answers.pop()


def test_an_old_key_tells_nothing_about_other_recipients(client, member, other_member, programme, allowed):
    earn(member, 100, order="1")
    third = make_customer("carl")
    Member.objects.create(
        user=third,
        joined_at=member.member.joined_at,
        terms_version="1",
        terms_accepted_at=member.member.joined_at,
    )
    give(client, key="one")
    answers = {give(client, 40, f"{name}@example.com", "one").content for name in ("nobody", "carl")}
    assert len(answers) == 1
    assert b"idempotency_key_reused" in answers.pop()
    assert give(client, 41, key="one").json()["code"] == "idempotency_key_reused"
    assert Entry.objects.filter(kind="MOVE_OUT").count() == 1


def test_a_look_alike_is_another_address(client, member, other_member, allowed):
    earn(member, 100, order="1")
    make_customer("b\N{CYRILLIC SMALL LETTER IE}n")
    assert give(client, recipient="ben@example.com").status_code == 201
    assert available(member, other_member) == [60, 40]


def test_an_address_that_two_share_gets_nothing(client, member, other_member, programme, allowed):
    from oscar_loyalty.flows.membership import join_programme

    earn(member, 100, order="1")
    twin = make_customer("twin")
    type(twin).objects.filter(pk=twin.pk).update(email="Ben@example.com")
    if type(twin).objects.filter(email__iexact="ben@example.com").count() < 2:
        pytest.skip("addresses are unique in this shop")
    join_programme(user_id=twin.pk, now=member.member.joined_at)
    assert give(client).json()["code"] == "recipient_unavailable"


def test_a_frozen_member_gives_nothing(client, member, other_member, allowed):
    earn(member, 100, order="1")
    Account.objects.filter(pk=member.pk).update(status="FROZEN")
    answer = give(client)
    assert (answer.status_code, answer.json()["code"]) == (409, "account_frozen")


@pytest.mark.parametrize("points", [0, -1, 1.5, True, "5", None, 10**13])
def test_only_whole_points_are_given(client, member, other_member, allowed, points):
    earn(member, 100, order="1")
    assert give(client, points).json()["code"] == "invalid_input"
    assert available(member, other_member) == [100, 0]


@pytest.mark.parametrize("recipient", ["", "ben", "ben@example.com\n", None, ["ben@example.com"], "b" * 300])
def test_a_recipient_is_an_address(client, member, other_member, allowed, recipient):
    earn(member, 100, order="1")
    assert give(client, recipient=recipient).status_code in (400, 201)
    assert sum(available(member, other_member)) == 100


@pytest.mark.parametrize("key", [" ", "é", "x" * 65, ""])
def test_a_key_is_needed(client, member, other_member, allowed, key):
    earn(member, 100, order="1")
    body = {"points": 5, "recipient": "ben@example.com"}
    headers = {"idempotency-key": key} if key else {}
    answer = client.post(ROOT + "me/transfers", body, format="json", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_missing")
    assert available(member, other_member) == [100, 0]


def test_few_tries_an_hour(client, member, other_member, allowed):
    codes = [give(client, 1, "nobody@example.com").status_code for _ in range(11)]
    assert codes == [409] * 10 + [429]


def test_the_statement_says_what_happened(client, member, other_member, allowed):
    earn(member, 100, order="1")
    give(client)
    row = client.get(ROOT + "me/ledger?kind=MOVE_OUT").json()["results"][0]
    assert (row["text"], row["points"], row["direction"]) == ("Given to another member", -40, "out")
    client.force_login(other_member.member.user, backend="django.contrib.auth.backends.ModelBackend")
    row = client.get(ROOT + "me/ledger").json()["results"][0]
    assert (row["text"], row["points"], row["order"]) == ("Received from another member", 40, None)
    lot = client.get(ROOT + "me/lots").json()["results"][0]
    assert (lot["points"], lot["order"]) == (40, None)

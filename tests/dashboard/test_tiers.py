from datetime import timedelta

import pytest
from django.utils import timezone

from oscar_loyalty.tiers.models import TierOverride, TierStatus
from tests.tiers.world import buy, publish_tiers

from .conftest import url


@pytest.fixture
def account(make_member):
    account = make_member("anna", points=100)
    publish_tiers(account.programme, at=timezone.now())
    return account


def read(answer):
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def test_the_page_of_a_member_tells_their_tier(desk, account):
    buy(account.programme, account.member, "600", at=timezone.now(), order="100042")
    page = read(desk.get(url("member", account.member.public_id)))
    assert "Silver" in page
    assert "400.00 to Gold by" in page
    assert "100042" in page


def test_without_tiers_the_page_says_nothing_of_them(desk, make_member):
    page = read(desk.get(url("member", make_member("anna").member.public_id)))
    assert 'id="tier"' not in page


def test_a_tier_is_given_after_it_was_confirmed(desk, account):
    address = url("tier-give", account.member.public_id)
    until = (timezone.now() + timedelta(days=30)).date().isoformat()
    assert "Give a tier" in read(desk.get(address))
    given = {"tier_code": "gold", "until": until, "reason": "Waited <long>"}
    key = desk.get(address).context["form"]["key"].value()
    page = read(desk.post(address, {**given, "key": key}))
    assert "Today they have no tier." in page
    assert "Waited &lt;long&gt;" in page
    assert not TierOverride.objects.exists()
    for _ in range(2):
        answer = desk.post(address, {**given, "key": key, "confirmed": "1"})
        assert answer.status_code == 302
    override = TierOverride.objects.get()
    assert override.given_by_ref == f"user:{desk.user.pk}"
    assert TierStatus.objects.get().tier_code == "gold"
    page = read(desk.get(url("member", account.member.public_id)))
    assert "given by staff" in page
    assert "Waited &lt;long&gt;" in page


@pytest.mark.parametrize(
    "mistake", [{"tier_code": "diamond"}, {"until": "2020-01-01"}, {"until": "soon"}, {"reason": ""}]
)
def test_what_makes_no_sense_is_not_given(desk, account, mistake):
    address = url("tier-give", account.member.public_id)
    key = desk.get(address).context["form"]["key"].value()
    until = (timezone.now() + timedelta(days=30)).date().isoformat()
    given = {"tier_code": "gold", "until": until, "reason": "Waited", "key": key, "confirmed": "1", **mistake}
    assert 'role="alert"' in read(desk.post(address, given))
    assert not TierOverride.objects.exists()


def test_what_was_given_is_ended_before_its_day(desk, account):
    test_a_tier_is_given_after_it_was_confirmed(desk, account)
    address = url("tier-end", account.member.public_id, TierOverride.objects.get().pk)
    assert "End it now" in read(desk.get(address))
    assert TierOverride.objects.get().ended_at is None
    for _ in range(2):
        assert desk.post(address).status_code == 302
    assert TierStatus.objects.get().tier_code == ""
    assert "It has ended already." in read(desk.get(address))
    assert "ended early" in read(desk.get(url("member", account.member.public_id)))


def test_what_was_given_to_somebody_else_is_not_there(desk, account, make_member):
    test_a_tier_is_given_after_it_was_confirmed(desk, account)
    other = make_member("otto")
    assert desk.get(url("tier-end", other.member.public_id, TierOverride.objects.get().pk)).status_code == 404

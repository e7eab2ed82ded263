"""Members tell their birthday on "My points": once, where it brings something."""

from datetime import timedelta

import pytest
from django.utils import timezone

from oscar_loyalty.earning.models import EarningRule
from oscar_loyalty.members.models import Birthday
from oscar_loyalty.members.services import set_birthday
from oscar_loyalty.programmes.queries import get_version
from oscar_loyalty.tiers.models import TierPerk
from tests.tiers.perk_world import give

from .conftest import text_of

ADDRESS = "/loyalty/my-points/birthday/"


@pytest.fixture
def presents(programme):
    return EarningRule.objects.create(
        version=get_version(at=timezone.now()),
        code="birthday",
        name="Birthday",
        kind="BONUS",
        occasion="BIRTHDAY",
        parameters={"points": 200},
    )


def tell(client, day, month, **more):
    return client.post(ADDRESS, {"day": day, "month": month}, follow=True, **more)


def test_a_member_tells_it_and_reads_from_when_it_counts(member_client, member, presents):
    page = text_of(member_client.get("/loyalty/my-points/"))
    assert "It counts from 30 days later on" in page
    assert "Born on 29 February?" in page
    page = text_of(tell(member_client, "4", "3"))
    assert "Thank you, we have noted your birthday." in page
    assert "You told us: March 4." in page
    assert "It counts from" in page
    assert "Tell my birthday" not in page
    told = Birthday.objects.get(member=member.account.member)
    assert (told.month, told.day, told.set_by_ref) == (3, 4, f"user:{member.user.pk}")


def test_what_counts_already_is_only_shown(member_client, member, presents, now):
    set_birthday(
        member_id=member.account.member_id,
        month=2,
        day=29,
        actor_ref="user:1",
        now=now - timedelta(days=31),
    )
    page = text_of(member_client.get("/loyalty/my-points/"))
    assert "You told us: February 29." in page
    assert "It counts from" not in page
    assert "In years without 29 February we celebrate on the 28th." in page


def test_it_is_told_once(member_client, member, presents):
    tell(member_client, "4", "3")
    assert "Our customer service can correct your birthday." in text_of(tell(member_client, "5", "3"))
    assert str(Birthday.objects.get()) == "03-04"


@pytest.mark.parametrize(
    ("day", "month"),
    [("31", "2"), ("30", "2"), ("", ""), ("0", "1"), ("1", "13"), ("-1", "1"), ("x", "1"), ("\uff11", "1")],
)
def test_a_day_that_there_is_not_is_refused(member_client, member, presents, day, month):
    assert "Please choose a day that there is." in text_of(tell(member_client, day, month))
    assert not Birthday.objects.exists()


def test_the_month_is_written_in_german(member_client, member, presents):
    page = tell(member_client, "4", "3", headers={"accept-language": "de"})
    assert "4. März" in page.text


def test_nobody_is_asked_where_birthdays_bring_nothing(member_client, member):
    assert 'id="birthday"' not in member_client.get("/loyalty/my-points/").text


@pytest.mark.database
@pytest.mark.parametrize("whose", ["tier", "member"])
def test_a_gift_of_a_tier_or_of_the_member_is_reason_to_ask(member_client, member, programme, whose):
    if whose == "tier":
        TierPerk.objects.create(
            version=get_version(at=timezone.now()),
            tier_code="gold",
            kind="BIRTHDAY_GIFT",
            parameters={"product": 1},
        )
    else:
        give(member.account.member, "BIRTHDAY_GIFT", {"product": 1}, programme=programme)
    assert 'id="birthday"' in member_client.get("/loyalty/my-points/").text


def test_strangers_and_customers_who_take_no_part_tell_nothing(client, customer, programme, presents):
    assert client.post(ADDRESS, {"day": "4", "month": "3"}).status_code == 302
    client.force_login(customer)
    assert client.post(ADDRESS, {"day": "4", "month": "3"}).status_code == 404
    assert client.get(ADDRESS).status_code == 405
    assert not Birthday.objects.exists()

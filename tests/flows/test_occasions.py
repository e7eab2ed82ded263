"""Points without an order."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core import mail
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from oscar.core.loading import get_model
from oscar.test import factories

from oscar_loyalty.earning.models import Occurrence, RuleBudget
from oscar_loyalty.flows import occasions
from oscar_loyalty.flows.membership import join_programme, leave_programme
from oscar_loyalty.flows.occasions import (
    KeyReused,
    Rewarded,
    confirm_newsletter,
    report_event,
    reward_birthdays,
    reward_profiles,
)
from oscar_loyalty.flows.sweeping import relay_outbox
from oscar_loyalty.flows.wording import explain_entry
from oscar_loyalty.members.models import Birthday, Consent
from oscar_loyalty.members.services import BirthdayFixed, record_consent, set_birthday
from oscar_loyalty.points.models import Entry
from oscar_loyalty.programmes.models import Programme
from oscar_loyalty.testing.ledger import assert_ledger_balanced

from .conftest import LONG_AGO, NOW
from .test_earning_rules import add_rule, add_tier, lift

DAY = timedelta(days=1)


def add_bonus(occasion, points=100, code="", **values):
    return add_rule("BONUS", code or occasion.lower(), points=points, occasion=occasion, **values)


def booked():
    return list(Entry.objects.filter(kind="EARN").order_by("id").values_list("points", flat=True))


def tell_birthday(account, month, day, *, at=LONG_AGO, **by):
    return set_birthday(member_id=account.member_id, month=month, day=day, actor_ref="user:1", now=at, **by)


# Joining


def test_joining_is_rewarded_at_once_and_once_ever(programme):
    add_bonus("SIGN_UP", 200)
    user = factories.UserFactory()
    account = join_programme(user_id=user.pk, now=NOW)
    join_programme(user_id=user.pk, now=NOW)
    account.refresh_from_db()
    assert (account.available, booked()) == (200, [200])
    entry = Entry.objects.get(kind="EARN")
    assert (entry.explanation["rule"], entry.order_ref) == ("SIGN_UP", "")
    assert_ledger_balanced(account)
    leave_programme(user_id=user.pk, now=NOW + DAY)
    again = join_programme(user_id=user.pk, now=NOW + 2 * DAY)
    assert (again.pk != account.pk, booked()) == (True, [200])


def test_whoever_joins_is_a_member_whatever_goes_wrong(programme, monkeypatch):
    add_bonus("SIGN_UP", 200)

    def fail(**_anything):
        raise RuntimeError

    monkeypatch.setattr(occasions, "reward_occasion", fail)
    assert join_programme(user_id=factories.UserFactory().pk, now=NOW).status == "OPEN"


def test_without_a_rule_or_while_earning_is_paused_nothing_is_booked(programme):
    join_programme(user_id=factories.UserFactory().pk, now=NOW)
    add_bonus("SIGN_UP", 200)
    Programme.objects.update(earning_paused=True)
    join_programme(user_id=factories.UserFactory().pk, now=NOW)
    assert (booked(), Occurrence.objects.count()) == ([], 0)


# Birthdays


@pytest.mark.parametrize(
    ("born", "now", "rewarded"),
    [
        ((3, 10), "2026-03-09T22:59:00+00:00", 0),  # 9 March, 23:59 in Berlin
        ((3, 10), "2026-03-09T23:00:00+00:00", 1),
        ((3, 10), "2026-03-16T12:00:00+00:00", 1),  # nobody looked for some days
        ((3, 10), "2026-03-18T12:00:00+00:00", 0),
        ((2, 29), "2026-02-28T12:00:00+00:00", 1),
        ((2, 29), "2026-02-27T12:00:00+00:00", 0),
        ((2, 29), "2028-02-28T12:00:00+00:00", 0),  # a leap year
        ((2, 29), "2028-02-29T12:00:00+00:00", 1),
        ((12, 31), "2027-01-02T12:00:00+00:00", 1),
    ],
)
def test_a_birthday_is_that_day_where_the_programme_is_at_home(account, born, now, rewarded):
    add_bonus("BIRTHDAY")
    tell_birthday(account, *born)
    assert reward_birthdays(now=datetime.fromisoformat(now)) == rewarded


def test_a_birthday_comes_once_a_year(account):
    add_bonus("BIRTHDAY")
    tell_birthday(account, 3, 10)
    assert [reward_birthdays(now=NOW + number * DAY) for number in range(3)] == [1, 0, 0]
    assert reward_birthdays(now=NOW.replace(year=2027)) == 1
    assert booked() == [100, 100]


def test_a_birthday_counts_when_it_is_known_for_thirty_days(account):
    add_bonus("BIRTHDAY")
    begins = datetime(2026, 3, 9, 23, tzinfo=UTC)
    tell_birthday(account, 3, 10, at=begins - 30 * DAY + timedelta(seconds=1))
    assert reward_birthdays(now=NOW) == 0
    Birthday.objects.update(set_at=begins - 30 * DAY)
    assert reward_birthdays(now=NOW) == 1


def test_a_member_tells_it_once_and_staff_correct_it(account):
    first = tell_birthday(account, 3, 10)
    assert tell_birthday(account, 3, 10, at=NOW).set_at == first.set_at
    with pytest.raises(BirthdayFixed):
        tell_birthday(account, 3, 11)
    corrected = tell_birthday(account, 2, 29, at=NOW, by_staff=True)
    assert (corrected.month, corrected.day, corrected.set_at) == (2, 29, NOW)
    with pytest.raises(ValueError, match="day"):
        tell_birthday(account, 2, 30, by_staff=True)


@pytest.mark.database
def test_the_database_knows_the_days_of_a_year(account):
    with pytest.raises(IntegrityError), transaction.atomic():
        Birthday.objects.create(member_id=account.member_id, month=4, day=31, set_at=NOW, set_by_ref="user:1")


def test_a_birthday_is_forgotten_with_the_person(account, customer):
    add_bonus("BIRTHDAY")
    tell_birthday(account, 3, 10)
    customer.delete()
    assert (reward_birthdays(now=NOW), Birthday.objects.count()) == (0, 0)


def test_one_members_error_stops_no_other_birthday(account, monkeypatch):
    add_bonus("BIRTHDAY")
    other = join_programme(user_id=factories.UserFactory().pk, now=LONG_AGO)
    tell_birthday(account, 3, 10)
    tell_birthday(other, 3, 10)
    award = occasions.services.award_points

    def fail_for_one(**arguments):
        if arguments["account_id"] == account.pk:
            raise RuntimeError
        return award(**arguments)

    monkeypatch.setattr(occasions.services, "award_points", fail_for_one)
    assert reward_birthdays(now=NOW) == 1
    monkeypatch.undo()
    assert reward_birthdays(now=NOW) == 1


# Profile and newsletter


def complete(user):
    user.first_name, user.last_name = "Anna", "Berg"
    user.save()
    country = factories.CountryFactory(iso_3166_1_a2="DE", is_shipping_country=True)
    get_model("address", "UserAddress").objects.create(
        user=user,
        first_name="Anna",
        last_name="Berg",
        line1="Weg 1",
        line4="Berlin",
        postcode="10115",
        country=country,
        is_default_for_shipping=True,
    )


def test_a_complete_profile_is_rewarded_once_and_found_by_the_sweep(account, customer):
    add_bonus("PROFILE_COMPLETED", 50)
    assert occasions.reward_profile(member_id=account.member_id, now=NOW) is None
    complete(customer)
    assert (reward_profiles(now=NOW), reward_profiles(now=NOW)) == (1, 0)
    assert occasions.reward_profile(member_id=account.member_id, now=NOW) == Rewarded(points=50, is_new=False)
    assert booked() == [50]


def test_the_shop_may_have_its_own_idea_of_a_complete_profile(account, customer, settings):
    settings.OSCAR_LOYALTY_PROFILE_IS_COMPLETE = "tests.flows.test_occasions.has_first_name"
    add_bonus("PROFILE_COMPLETED", 50)
    customer.first_name, customer.last_login = "Anna", NOW
    customer.save()
    assert reward_profiles(now=NOW) == 1


def has_first_name(user):
    return bool(user.first_name)


def test_a_confirmed_newsletter_is_rewarded_once_and_not_taken_back(account):
    add_bonus("NEWSLETTER", 30)
    member_id = account.member_id
    record_consent(member_id=member_id, purpose="MARKETING", granted=True, source="SHOP", now=NOW)
    assert booked() == []
    assert confirm_newsletter(member_id=member_id, source="MAIL", now=NOW).points == 30
    record_consent(member_id=member_id, purpose="MARKETING", granted=False, source="SHOP", now=NOW)
    assert confirm_newsletter(member_id=member_id, source="MAIL", now=NOW) == Rewarded(
        points=30, is_new=False
    )
    assert booked() == [30]
    assert list(Consent.objects.order_by("id").values_list("granted", "confirmed")) == [
        (True, False),
        (True, True),
        (False, False),
        (True, True),
    ]


# Events


def report(account, key="1", event="survey"):
    return report_event(member_id=account.member_id, event_code=event, key=key, now=NOW)


def test_an_event_is_rewarded_once_for_each_key(account):
    add_bonus("EVENT", 25, event_code="survey", code="survey")
    assert [report(account), report(account), report(account, "2")] == [
        Rewarded(points=25, is_new=True),
        Rewarded(points=25, is_new=False),
        Rewarded(points=25, is_new=True),
    ]
    assert report(account, "3", event="unknown") is None
    with pytest.raises(KeyReused):
        report(account, "1", event="other")
    other = join_programme(user_id=factories.UserFactory().pk, now=LONG_AGO)
    with pytest.raises(KeyReused):
        report(other, "1")
    assert explain_entry(Entry.objects.first())[-1] == "version 1 of the programme"


def test_rules_of_an_event_have_conditions_groups_and_limits(account):
    add_tier()
    for code, points, more in (
        ("gold", 40, {"conditions": {"tiers": ["gold"]}}),
        ("everybody", 25, {"cap_member_points": 60, "cap_member_period": "MONTH"}),
        ("best-a", 3, {"exclusion_group": "one"}),
        ("best-b", 4, {"exclusion_group": "one"}),
    ):
        add_bonus("EVENT", points, event_code="survey", code=code, **more)
    assert [report(account, str(number)).points for number in range(4)] == [29, 29, 14, 4]
    lift(account)
    assert report(account, "4").points == 44


def test_a_budget_that_an_event_uses_up_is_told_to_staff_by_mail(account, settings):
    settings.OSCAR_LOYALTY_STAFF_MAIL = ["loyalty@example.com"]
    add_bonus("EVENT", 25, event_code="survey", code="survey", budget_points=40)
    assert [report(account, str(number)) for number in range(3)] == [
        Rewarded(points=25, is_new=True),
        Rewarded(points=15, is_new=True),
        None,
    ]
    assert RuleBudget.objects.get().granted == 40
    relay_outbox(now=NOW)
    (message,) = mail.outbox
    assert (message.to, message.subject) == (["loyalty@example.com"], "Earning rule survey is paused")
    assert "40 points" in message.body


# Rules that cannot be meant


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "MULTIPLIER", "factor": "2", "occasion": "BIRTHDAY"},
        {"kind": "BONUS", "points": 5, "occasion": "EVENT"},
        {"kind": "BONUS", "points": 5, "event_code": "survey"},
        {"kind": "BONUS", "points": 5, "occasion": "BIRTHDAY", "conditions": {"product_ids": [1]}},
        {"kind": "CAP", "points": 5, "conditions": {"product_ids": [1]}},
        {"kind": "CAP", "points": 5, "budget_points": 9},
        {"kind": "CAP", "points": 5, "exclusion_group": "one"},
        {"kind": "BONUS", "points": 5, "cap_member_points": 9},
        {"kind": "BONUS", "points": 5, "code": "PURCHASE"},
        {"kind": "BONUS", "points": 5, "code": "tier"},
        {"kind": "GONE", "points": 5},
        {"kind": "BONUS", "points": "five"},
    ],
)
def test_contradictions_are_refused(programme, values):
    with pytest.raises(ValidationError):
        add_rule(**values)

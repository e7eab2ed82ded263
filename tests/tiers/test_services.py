from datetime import timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from oscar_loyalty.flows.tiering import check_tiers, recompute_all_tiers, recompute_due_tiers
from oscar_loyalty.members import services as members
from oscar_loyalty.outbox.models import OutboxMessage
from oscar_loyalty.programmes.copying import copy_parts
from oscar_loyalty.programmes.models import CurrencyRate, Programme
from oscar_loyalty.programmes.rules import FAR_FUTURE
from oscar_loyalty.tiers import queries, services
from oscar_loyalty.tiers.models import QualifyingEntry, TierChange, TierPerk, TierStatus
from oscar_loyalty.tiers.progress import read_progress

from .world import (
    LONG_AGO,
    NOW,
    buy,
    from_scratch,
    give_back,
    make_member,
    publish,
    publish_tiers,
    status_of,
)

pytestmark = pytest.mark.database
DAY = timedelta(days=1)


def history(member):
    changes = TierChange.objects.filter(member=member).order_by("id")
    return list(changes.values_list("from_code", "to_code", "reason", "order_ref"))


def held(member, at, **values):
    return queries.find_tier_code(member_id=member.pk, at=at, **values)


# Orders


def test_an_order_that_crosses_a_threshold_lifts_and_is_told_once(programme, member):
    order = buy(programme, member, "500")
    for _ in range(2):
        buy(programme, member, "500", order=order)
    status = status_of(programme, member)
    assert (status.tier_code, status.qualified, status.since) == ("silver", 500, NOW)
    assert history(member) == [("", "silver", "REACHED", order)]
    change = TierChange.objects.get()
    message = OutboxMessage.objects.get(topic="tier_changed")
    assert message.payload == {"change_id": change.pk, "member_id": member.pk}


def test_the_order_that_crosses_is_judged_by_the_tier_held_before_it(programme, member):
    order = buy(programme, member, "500")
    later = NOW + DAY
    assert held(member, NOW - DAY) == ""
    assert held(member, NOW, before_order=order) == ""
    assert held(member, NOW) == "silver"
    assert held(member, later, before_order="another") == "silver"


def test_looking_up_a_tier_is_one_statement(programme, member, django_assert_num_queries):
    buy(programme, member, "500")
    with django_assert_num_queries(1):
        held(member, NOW, before_order="7")


def test_a_returned_order_takes_back_the_tier_it_lifted_to_at_once(programme, member):
    first = buy(programme, member, "600")
    second = buy(programme, member, "400", at=NOW + DAY)
    assert status_of(programme, member).tier_code == "gold"
    returned_at = NOW + 2 * DAY
    give_back(programme, second, now=returned_at)
    assert status_of(programme, member).tier_code == "silver"
    assert history(member)[1:] == [
        ("silver", "gold", "REACHED", second),
        ("gold", "silver", "RETURNED", second),
    ]
    # What was true while it was known to be true stays.
    assert held(member, NOW + DAY) == "gold"
    assert held(member, returned_at) == "silver"
    give_back(programme, first, now=returned_at)
    assert status_of(programme, member).tier_code == ""


def test_a_return_in_part_counts_what_is_left_and_in_any_number_of_steps(programme, member):
    order = buy(programme, member, "600")
    give_back(programme, order, left="550", now=NOW)
    assert status_of(programme, member).tier_code == "silver"
    for _ in range(2):
        give_back(programme, order, left="499.99", now=NOW)
    # An older event that arrives late says nothing new.
    assert give_back(programme, order, left="550.01", now=NOW) is None
    status = status_of(programme, member)
    assert (status.tier_code, status.qualified) == ("", Decimal("499.99"))
    assert sum(QualifyingEntry.objects.values_list("orders", flat=True)) == 1
    give_back(programme, order, now=NOW)
    assert sum(QualifyingEntry.objects.values_list("orders", flat=True)) == 0


def test_returning_what_never_counted_changes_nothing(programme, member):
    assert give_back(programme, "7", now=NOW) is None
    assert not TierStatus.objects.exists()


def test_an_order_that_is_booked_late_counts_from_when_it_was_placed(programme, member):
    buy(programme, member, "400", at=NOW)
    services.recompute_member(programme_id=programme.pk, member_id=member.pk, now=NOW + 3 * DAY)
    late = buy(programme, member, "200", at=NOW + DAY, now=NOW + 4 * DAY)
    assert held(member, NOW) == ""
    assert held(member, NOW + 2 * DAY) == "silver"
    assert history(member) == [("", "silver", "REACHED", late)]


# Time


def test_time_takes_a_tier_after_its_grace_when_the_sweep_comes_by(programme, member):
    buy(programme, member, "1000")
    status = status_of(programme, member)
    assert recompute_due_tiers(now=status.due_at - timedelta(microseconds=1)) == 0
    assert recompute_due_tiers(now=status.due_at) == 1
    assert recompute_due_tiers(now=status.due_at) == 0
    assert status_of(programme, member).tier_code == "gold"
    # Late: both steps down at once, each with the moment at which it took effect.
    assert recompute_due_tiers(now=status.lost_at + 60 * DAY) == 1
    assert [row[:3] for row in history(member)] == [
        ("", "gold", "REACHED"),
        ("gold", "silver", "LOST"),
        ("silver", "", "LOST"),
    ]
    assert TierChange.objects.get(to_code="silver", from_code="gold").changed_at == status.lost_at
    assert status_of(programme, member).due_at == FAR_FUTURE


def test_the_sweep_takes_as_many_statements_for_many_members_as_for_one(programme):
    buy(programme, make_member(), "600")
    with CaptureQueriesContext(connection) as alone:
        assert recompute_due_tiers(now=TierStatus.objects.get().due_at) == 1
    for _ in range(6):
        buy(programme, make_member(), "600")
    due_at = TierStatus.objects.latest("pk").due_at
    with CaptureQueriesContext(connection) as together:
        assert recompute_due_tiers(now=due_at) == 6
    # One statement that updates many is written down once for each row on some engines.
    assert len({query["sql"][:60] for query in together}) == len({query["sql"][:60] for query in alone})


def test_one_members_error_stops_nobody_elses(programme, monkeypatch):
    statuses = []
    for _ in range(3):
        member = make_member()
        buy(programme, member, "600")
        statuses.append(status_of(programme, member))
    batch = services.recompute_batch

    def fail(status_ids, **values):
        if statuses[1].pk in status_ids:
            raise ArithmeticError
        return batch(status_ids, **values)

    monkeypatch.setattr(services, "recompute_batch", fail)
    assert recompute_due_tiers(now=statuses[0].due_at) == 2


def test_new_rules_reach_every_member_in_batches_and_a_run_can_be_stopped(programme):
    everybody = [make_member() for _ in range(5)]
    for member in everybody:
        buy(programme, member, "600")
    begins = NOW + DAY
    publish_tiers(programme, at=begins, tiers={"silver": ("300", "300"), "gold": ("600", "600")})
    assert recompute_due_tiers(now=begins - timedelta(seconds=1)) == 0
    told = []
    assert recompute_due_tiers(now=begins, limit=2, batch=2) == 2
    assert recompute_due_tiers(now=begins, batch=2, on_progress=lambda *some: told.append(some)) == 3
    assert told == [(2, 3), (3, 3)]
    assert set(TierStatus.objects.values_list("tier_code", "version_number")) == {("gold", 2)}
    assert history(everybody[0])[-1] == ("silver", "gold", "RULES", "")


def test_a_version_without_tiers_ends_them(programme, member):
    buy(programme, member, "600")
    publish(programme, at=NOW + DAY)
    recompute_due_tiers(now=NOW + DAY)
    assert status_of(programme, member).tier_code == ""
    assert history(member)[-1] == ("silver", "", "RULES", "")


def test_a_new_version_takes_the_tiers_of_the_old_one_along(programme, member):
    buy(programme, member, "600")
    old = programme.versions.get()
    TierPerk.objects.create(version=old, tier_code="silver", kind="FREE_SHIPPING")
    new = publish(programme, at=NOW + DAY)
    copy_parts(source=old, target=new, leave_out=(CurrencyRate,))
    assert list(new.tiers.order_by("rank").values_list("code", "rank")) == [("silver", 1), ("gold", 2)]
    assert new.tier_perks.get().kind == "FREE_SHIPPING"
    assert old.tiers.count() == 2
    recompute_due_tiers(now=NOW + DAY)
    status = status_of(programme, member)
    # The same rules are no news.
    assert (status.tier_code, status.since, status.version_number) == ("silver", NOW, 2)
    assert len(history(member)) == 1


def test_tiers_of_many_are_read_as_those_of_one(programme, member):
    other = make_member()
    first = buy(programme, member, "600")
    second = buy(programme, member, "600", at=NOW + DAY, now=NOW + DAY)
    give_back(programme, first, now=NOW + 2 * DAY)
    asked = {
        (pk, NOW + days * DAY, order)
        for pk in (member.pk, other.pk)
        for days in (-1, 0, 1, 2, 3)
        for order in ("", first, second)
    }
    single = {
        (pk, at, order): queries.find_tier_code(member_id=pk, at=at, before_order=order)
        for pk, at, order in asked
    }
    assert queries.find_tier_codes(asked) == single
    assert set(single.values()) > {""}


# Staff


def give(programme, member, code="gold", days=30, now=NOW):
    return services.give_tier(
        programme_id=programme.pk,
        member_id=member.pk,
        tier_code=code,
        active_to=now + days * DAY,
        reason="Waited long",
        given_by_ref="user:7",
        now=now,
    )


def test_staff_lift_a_member_until_a_day(programme, member):
    override = give(programme, member)
    assert give(programme, member) == override
    status = status_of(programme, member)
    assert (status.tier_code, status.lost_at) == ("gold", override.active_to)
    recompute_due_tiers(now=override.active_to)
    assert [row[:3] for row in history(member)] == [
        ("", "gold", "OVERRIDE"),
        ("gold", "", "OVERRIDE_ENDED"),
    ]


def test_staff_end_what_they_gave(programme, member):
    override = give(programme, member)
    for _ in range(2):
        services.end_override(override_id=override.pk, now=NOW + DAY)
    assert status_of(programme, member).tier_code == ""
    override.refresh_from_db()
    assert override.ended_at == NOW + DAY


def test_after_a_gift_a_member_has_what_they_earned_beside_it(programme, member):
    give(programme, member)
    assert read_progress(member_id=member.pk, now=NOW).falls_to is None
    buy(programme, member, "600")
    assert read_progress(member_id=member.pk, now=NOW).falls_to.code == "silver"


def test_only_a_tier_there_is_can_be_given_and_only_for_a_time_to_come(programme, member):
    with pytest.raises(services.UnknownTier):
        give(programme, member, code="diamond")
    with pytest.raises(services.OverrideTooShort):
        give(programme, member, days=0)
    assert not TierStatus.objects.exists()


# Members come, go and become one


def test_who_leaves_has_no_tier_and_begins_anew(programme, member):
    buy(programme, member, "600")
    give(programme, member)
    members.leave_programme(member_id=member.pk, now=NOW + DAY)
    services.recompute_known(member_id=member.pk, now=NOW + DAY)
    assert status_of(programme, member).tier_code == ""
    assert history(member)[-1] == ("gold", "", "LEFT", "")
    member.refresh_from_db()
    member.status, member.left_at, member.joined_at = "ACTIVE", None, NOW + 2 * DAY
    member.save()
    services.recompute_known(member_id=member.pk, now=NOW + 2 * DAY)
    assert status_of(programme, member).tier_code == ""
    buy(programme, member, "500", at=NOW + 3 * DAY)
    assert status_of(programme, member).tier_code == "silver"
    assert not list(check_tiers(now=NOW + 4 * DAY))


def test_a_merged_members_orders_count_for_who_remained(programme, member):
    source = make_member(joined_at=LONG_AGO + DAY)
    buy(programme, member, "300")
    order = buy(programme, source, "300")
    members.merge_members(source_id=source.pk, target_id=member.pk, now=NOW + DAY)
    services.merge_tiers(source_id=source.pk, target_id=member.pk, now=NOW + DAY)
    assert status_of(programme, member).tier_code == "silver"
    assert status_of(programme, source).tier_code == ""
    # Whatever comes later for the one is the other's.
    buy(programme, source, "400", at=NOW + 2 * DAY)
    assert status_of(programme, member).tier_code == "gold"
    give_back(programme, order, now=NOW + 3 * DAY)
    assert status_of(programme, member).tier_code == "silver"
    assert [row[2] for row in history(member)] == ["REACHED", "REACHED", "RETURNED"]
    assert not list(check_tiers(now=NOW + 4 * DAY))


# What is stored is the fold


def test_a_check_finds_what_somebody_changed_by_hand(programme, member):
    buy(programme, member, "600")
    assert not list(check_tiers(now=NOW))
    TierStatus.objects.update(tier_code="gold")
    found = list(check_tiers(now=NOW))
    assert [(one.column, one.stored, one.computed) for one in found] == [("tier_code", "gold", "silver")]
    assert recompute_all_tiers(now=NOW) == 1
    assert not list(check_tiers(now=NOW))


def test_parts_of_a_check_find_together_what_the_whole_finds(programme):
    members = [make_member(joined_at=LONG_AGO) for _number in range(5)]
    for one in members:
        buy(programme, one, "600")
    TierStatus.objects.update(tier_code="gold")
    parts = [[one.member for one in check_tiers(now=NOW, part=part, parts=2)] for part in range(2)]
    assert all(parts)
    assert sorted([*parts[0], *parts[1]]) == sorted(str(one.pk) for one in members)


events = st.one_of(
    st.tuples(st.just("buy"), st.integers(1, 1100), st.integers(0, 40)),
    st.tuples(st.just("return"), st.integers(0, 9), st.sampled_from(["0", "50", "250"])),
    st.tuples(st.just("give"), st.sampled_from(["silver", "gold"]), st.integers(1, 200)),
    st.tuples(st.just("end"), st.integers(0, 3), st.none()),
    st.tuples(st.just("rules"), st.integers(1, 3), st.sampled_from(["ROLLING", "CALENDAR", "ANNIVERSARY"])),
    st.tuples(st.just("sweep"), st.none(), st.none()),
    st.tuples(st.just("recompute"), st.none(), st.none()),
)


class Interleavings(TestCase):
    @settings(deadline=None)
    @given(st.lists(st.tuples(events, st.integers(0, 150)), max_size=12))
    def test_any_order_of_events_and_recomputing_ends_where_one_fold_ends(self, story):
        programme = Programme.objects.create(code="default", name="Points", time_zone="Europe/Berlin")
        publish_tiers(programme)
        member = make_member()
        now, orders, gifts = NOW, [], []
        for (event, one, two), days in story:
            now += timedelta(days=days, hours=1)
            if event == "buy":
                orders.append(buy(programme, member, str(one), at=now - timedelta(days=two), now=now))
            elif event == "return" and orders:
                give_back(programme, orders[one % len(orders)], left=two, now=now)
            elif event == "give" and queries.find_tier_table(at=now):
                gifts.append(give(programme, member, code=one, days=two, now=now))
            elif event == "end" and gifts:
                services.end_override(override_id=gifts[one % len(gifts)].pk, now=now)
            elif event == "rules":
                tiers = {"silver": (f"{one}00", f"{one}00"), "gold": (f"{one}50", f"{one}20")}
                publish_tiers(programme, at=now, tiers=tiers, period=two, grace_days=one * 10)
            elif event == "sweep":
                recompute_due_tiers(now=now)
            elif event == "recompute":
                services.recompute_member(programme_id=programme.pk, member_id=member.pk, now=now)
        recompute_due_tiers(now=now)
        standing = from_scratch(programme, member, now=now)
        status = TierStatus.objects.filter(member=member).first()
        if status is not None:
            for column in ("tier_code", "since", "lost_at", "due_at", "qualified"):
                assert getattr(status, column) == getattr(standing, column), column
            assert not list(check_tiers(now=now))
        # The history leads from no tier to this one, each step from where the one before it led.
        steps = [("", "")] + [row[:2] for row in history(member)]
        assert all(before[1] == after[0] for before, after in pairwise(steps))
        assert steps[-1][1] == standing.tier_code

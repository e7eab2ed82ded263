"""What many processes do to one member's tier at the same instant, each race with a twin without the lock."""

import time
from datetime import timedelta
from functools import partial
from unittest import mock

import pytest
from django.db import transaction

from oscar_loyalty.flows.tiering import check_tiers, recompute_due_tiers
from oscar_loyalty.members import services as members
from oscar_loyalty.programmes.models import Programme
from oscar_loyalty.tiers import services
from oscar_loyalty.tiers.models import QualifyingEntry, TierChange, TierStatus
from tests.tiers.world import LONG_AGO, buy, give_back, make_member, publish_tiers

from .ledger import NOW, is_lost_without_row_locks
from .processes import ROUNDS, kinds, run_in_processes

pytestmark = [
    pytest.mark.database,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("processes", "no_deadlock"),
]


@pytest.fixture
def programme():
    programme, _is_new = Programme.objects.get_or_create(code="default", defaults={"name": "Points"})
    if not programme.versions.exists():
        publish_tiers(programme, at=LONG_AGO)
    return programme


def orders(programme, member, count, spend="100"):
    """So many customers' clicks at once, each with an order of its own."""
    return [
        partial(buy, programme, member, spend, at=NOW, order=f"{member.pk}-{number}")
        for number in range(count)
    ]


def is_right(member):
    """The stored tier is the fold's, and the history leads to it without a gap."""
    status = TierStatus.objects.get(member=member)
    steps = list(TierChange.objects.filter(member=member).order_by("id").values_list("from_code", "to_code"))
    ends = ["", *(to for _from, to in steps)]
    chained = all(end == begin for end, (begin, _to) in zip(ends, steps, strict=False))
    # Members of races that were to be lost are in the same database.
    different = [one for one in check_tiers(now=NOW) if one.member == str(member.pk)]
    return chained and ends[-1] == status.tier_code and not different


def test_orders_booked_at_once_all_count_from_the_first_one_on(programme):
    for _ in range(ROUNDS):
        member = make_member()
        results = run_in_processes(orders(programme, member, 6))
        assert kinds(results) == {"str": 6}, results
        status = TierStatus.objects.get(member=member)
        assert (status.tier_code, status.qualified) == ("silver", 600)
        assert is_right(member)
        assert TierChange.objects.filter(member=member).count() == 1


def test_without_the_lock_orders_booked_at_once_are_not_all_seen(programme):
    read = services.read_histories

    def read_and_think(*args, **values):
        histories = read(*args, **values)
        time.sleep(0.2)
        return histories

    def race():
        member = make_member()
        buy(programme, member, "1", at=NOW, order=f"{member.pk}-first")
        with mock.patch.object(services, "read_histories", read_and_think):
            results = run_in_processes(orders(programme, member, 8))
        return set(kinds(results)) != {"str"} or not is_right(member)

    assert is_lost_without_row_locks(race)


def test_an_order_booked_twice_at_once_counts_once(programme):
    for _ in range(ROUNDS):
        member = make_member()
        results = run_in_processes(
            [partial(buy, programme, member, "500", at=NOW, order=f"{member.pk}-1") for _ in range(5)]
        )
        assert kinds(results) == {"str": 5}, results
        assert QualifyingEntry.objects.filter(member=member).count() == 1
        assert is_right(member)


def test_an_order_returned_and_another_booked_at_once_end_where_one_after_the_other_ends(programme):
    for _ in range(ROUNDS):
        member = make_member()
        first = buy(programme, member, "500", at=NOW, order=f"{member.pk}-first")
        results = run_in_processes(
            [partial(give_back, programme, first, now=NOW), *orders(programme, member, 3)]
        )
        assert not [one for one in results if isinstance(one, Exception)], results
        assert TierStatus.objects.get(member=member).qualified == 300
        assert is_right(member)


def test_sweeps_in_parallel_share_the_work_and_tell_each_change_once(programme):
    for _ in range(ROUNDS):
        everybody = [make_member() for _ in range(12)]
        for member in everybody:
            buy(programme, member, "600", at=NOW, order=f"{member.pk}-1")
        later = NOW + timedelta(days=800)
        results = run_in_processes([partial(recompute_due_tiers, now=later, batch=3) for _ in range(4)])
        assert not [one for one in results if isinstance(one, Exception)], results
        for member in everybody:
            assert TierStatus.objects.get(member=member).tier_code == ""
            assert TierChange.objects.filter(member=member).count() == 2


@pytest.mark.usefixtures("row_locks")
def test_one_sweep_has_its_work_done_by_as_many_processes_as_it_is_told(programme, monkeypatch):
    everybody = [make_member() for _ in range(12)]
    for member in everybody:
        buy(programme, member, "600", at=NOW, order=f"{member.pk}-1")
    done_here, recompute = [], services.recompute_batch

    def watch(*ids, **values):
        done_here.append(recompute(*ids, **values))
        return done_here[-1]

    monkeypatch.setattr(services, "recompute_batch", watch)
    later = NOW + timedelta(days=800)
    due = TierStatus.objects.filter(due_at__lte=later).count()
    done = recompute_due_tiers(now=later, limit=None, batch=3, processes=2)
    assert done == due
    # The last ones at the most, which two processes left to each other.
    assert sum(done_here) < due
    assert set(TierStatus.objects.values_list("tier_code", flat=True)) == {""}


def test_an_order_booked_while_members_are_merged_is_not_lost(programme):
    def merge(source, target):
        with transaction.atomic():
            services.lock_statuses(member_ids=[source.pk, target.pk])
            members.merge_members(source_id=source.pk, target_id=target.pk, now=NOW)
            services.merge_tiers(source_id=source.pk, target_id=target.pk, now=NOW)

    for _ in range(2 * ROUNDS):
        source, target = make_member(), make_member()
        buy(programme, source, "300", at=NOW, order=f"{source.pk}-first")
        buy(programme, target, "100", at=NOW, order=f"{target.pk}-first")
        results = run_in_processes([partial(merge, source, target), *orders(programme, source, 2)])
        assert not [one for one in results if isinstance(one, Exception)], results
        assert TierStatus.objects.get(member=target).qualified == 600
        assert is_right(target)

"""What a draft would have brought: the same arithmetic as the bookings, and nothing is written."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.apps import apps
from hypothesis import given
from hypothesis import strategies as st

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.flows import simulation, simulation_tiers
from oscar_loyalty.flows.earning import earnings_under_policy
from oscar_loyalty.flows.long_jobs import run_waiting_jobs
from oscar_loyalty.flows.membership import join_programme
from oscar_loyalty.flows.simulation import months_before, request_simulation, run_simulation, simulate
from oscar_loyalty.flows.simulation_tally import MemberOutcome, Sample, Tally
from oscar_loyalty.jobs import services as jobs
from oscar_loyalty.jobs.models import JobPart, JobRun
from oscar_loyalty.members.models import ClaimedOrder, Member
from oscar_loyalty.programmes import queries as programmes
from oscar_loyalty.programmes.models import Programme, ProgrammeVersion
from oscar_loyalty.programmes.services import create_draft
from oscar_loyalty.shop.orders import get_purchase_facts
from oscar_loyalty.tiers.models import TierScheme

from .conftest import LONG_AGO, NOW, place_order, publish

DAY = timedelta(days=1)
State = JobRun.State


@pytest.fixture
def live(programme):
    return programme.versions.get()


@pytest.fixture
def draft(live):
    """Two points for a euro, worth half a cent each; without VAT, with shipping."""
    draft = create_draft(based_on=live)
    ProgrammeVersion.objects.filter(pk=draft.pk).update(includes_tax=False, includes_shipping=True)
    draft.rates.update(earn_points=2, redeem_points=200)
    draft.refresh_from_db()
    return draft


def order(customer, number, *, at=NOW - DAY, prices=("39.80", "79.60"), **values):
    return place_order(user=customer, number=str(number), at=at, prices=prices, **values)


def rows_of_everything():
    """How many rows each of our tables has, and what is in the ledger's."""
    config = apps.get_app_config("oscar_loyalty")
    counted = {
        model.__name__: model._default_manager.count()
        for model in config.get_models()
        if model not in (JobRun, JobPart) and not model._meta.proxy
    }
    accounts = apps.get_model("oscar_loyalty", "Account").objects.order_by("pk").values()
    return counted, list(accounts)


def test_points_and_cost_before_and_after_are_those_of_the_booking(draft, account, customer):
    placed = [order(customer, number) for number in (1, 2)]
    result = simulate(version=draft, months=1, now=NOW)
    purchase = get_purchase_facts(placed[0])
    before, after = (
        earnings_under_policy(
            [purchase], policy=programmes.find_policy_of_version(currency="EUR", number=number)
        )
        .of(purchase)
        .points
        for number in (1, 2)
    )
    assert (before, after) == (119, 208)
    assert result["currencies"] == [
        {
            "currency": "EUR",
            "orders": 2,
            "points_before": 238,
            "points_after": 416,
            "cost_before": "2.38",
            "cost_after": "2.08",
        }
    ]
    assert (result["orders"], result["members"], result["gaining"], result["losing"]) == (2, 1, 1, 0)
    assert (result["number"], result["compared_number"], result["tiers"]) == (2, 1, None)
    [gained] = result["most_gained"]
    assert (gained["member_id"], gained["before"], gained["after"]) == (account.member_id, 238, 416)
    sample = result["samples"][0]
    assert (sample["before"], sample["after"]) == (119, 208)
    assert sample["facts_before"]["basis"] == "119.40"
    assert sample["facts_after"]["includes_shipping"] is True
    assert result["is_outdated"] is False


def test_nothing_is_written_but_the_job(draft, account, customer):
    order(customer, 1)
    before = rows_of_everything()
    simulate(version=draft, months=12, now=NOW)
    assert rows_of_everything() == before
    assert JobPart.objects.count() == 0


def test_only_orders_of_members_in_the_time_asked_for_count(draft, account, customer):
    order(customer, 1, at=NOW - 27 * DAY)
    order(customer, 2, at=NOW - 32 * DAY)
    order(customer, 3, at=NOW + DAY)
    order(None, 4)
    cancelled = order(customer, 5)
    type(cancelled).objects.filter(pk=cancelled.pk).update(status=loyalty_settings.cancelled_statuses[0])
    result = simulate(version=draft, months=1, now=NOW)
    assert [sample["number"] for sample in result["samples"]] == ["1"]
    assert (result["orders"], result["cancelled"]) == (1, 1)
    assert JobRun.objects.get().total == 2


def test_orders_that_were_claimed_or_that_merged_members_placed_count_for_who_has_their_points(
    draft, account, customer, django_user_model
):
    other = django_user_model.objects.create_user("other", "other@example.com", "secret")
    gone = join_programme(user_id=other.pk, now=LONG_AGO)
    Member.objects.filter(pk=gone.member_id).update(
        status="MERGED", merged_into=account.member_id, left_at=NOW
    )
    order(customer, 1)
    order(other, 2)
    order(None, 3, guest_email="guest@example.com")
    ClaimedOrder.objects.create(order_number="3", member_id=account.member_id, proof="MAIL", claimed_at=NOW)
    result = simulate(version=draft, months=1, now=NOW)
    assert (result["orders"], result["members"]) == (3, 1)
    assert result["most_gained"][0]["orders"] == 3
    assert JobRun.objects.get().total == 3


def test_who_loses_and_what_earns_nothing_is_told(live, account, customer):
    draft = create_draft(based_on=live)
    draft.rates.update(currency="CHF")
    order(customer, 1)
    result = simulate(version=draft, months=1, now=NOW)
    assert (result["losing"], result["most_lost"][0]["after"]) == (1, 0)
    assert result["currencies"][0]["cost_after"] == "0"
    assert result["samples"][0]["facts_after"] == {}


def test_the_brakes_are_no_part_of_the_rules(draft, account, customer):
    order(customer, 1)
    Programme.objects.update(earning_paused=True)
    assert simulate(version=draft, months=1, now=NOW)["currencies"][0]["points_after"] == 208


def test_the_first_version_is_compared_with_nothing(draft, live, account, customer):
    live.delete()
    order(customer, 1)
    result = simulate(version=draft, months=1, now=NOW)
    assert result["compared_number"] is None
    assert result["currencies"][0]["points_before"] == 0


def test_a_shop_without_members_or_orders_has_a_result_of_nothing(draft):
    result = simulate(version=draft, months=1, now=NOW)
    assert (result["orders"], result["members"], result["samples"], result["currencies"]) == (0, 0, [], [])


def test_members_keep_their_sums_over_the_borders_of_batches(draft, account, customer, monkeypatch):
    for number in range(1, 8):
        order(customer, number)
    whole = simulate(version=draft, months=1, now=NOW)
    monkeypatch.setattr(simulation, "BATCH", 2)
    assert simulate(version=draft, months=1, now=NOW) == whole
    assert whole["members"] == 1


def test_tiers_before_and_after_make_a_matrix(draft, account, customer, monkeypatch):
    class Judge:
        codes = ("silver", "gold")

        def __init__(self, threshold):
            self.threshold = threshold

        def find_code(self, orders, *, joined_at):
            assert joined_at == LONG_AGO
            assert {one.spend for one in orders} <= {Decimal("119.40"), Decimal("104.46")}
            return "gold" if sum(one.points for one in orders) >= self.threshold else "silver"

    order(customer, 1)
    order(customer, 2)
    monkeypatch.setattr(
        simulation_tiers, "find_judge", lambda version, *, now: Judge(200 if version == draft else 300)
    )
    result = simulate(version=draft, months=1, now=NOW)
    assert result["tiers"] == {"codes": ["", "silver", "gold"], "moves": [["silver", "gold", 1]]}
    assert result["most_gained"][0]["tier_after"] == "gold"


def test_tiers_are_those_of_the_fold(draft, live, account, customer):
    pytest.importorskip("oscar_loyalty.tiers.rules")
    for version, threshold in ((live, 500), (draft, 200)):
        TierScheme.objects.create(version=version)
        version.tiers.create(
            code="gold",
            name_de="Gold",
            name_en="Gold",
            rank=1,
            entry_threshold=threshold,
            keep_threshold=threshold,
        )
    for number in (1, 2):
        order(customer, number)
    result = simulate(version=draft, months=1, now=NOW)
    assert result["tiers"] == {"codes": ["", "gold"], "moves": [["", "gold", 1]]}


def test_a_draft_that_changed_meanwhile_says_so(draft, account, customer):
    job = request_simulation(version=draft, months=1, requested_by_ref="user:1", now=NOW)
    draft.rates.update(earn_points=5)
    job = run_simulation(job_id=job.pk, clock=lambda: NOW)
    assert job.result["is_outdated"] is True


def test_a_version_that_was_deleted_meanwhile_fails_in_words(draft, account):
    job = request_simulation(version=draft, months=1, requested_by_ref="user:1", now=NOW)
    draft.delete()
    job = run_simulation(job_id=job.pk, clock=lambda: NOW)
    assert (job.state, "deleted meanwhile" in job.error) == (State.FAILED, True)


def test_the_same_version_is_not_simulated_twice_at_once(draft, live, account):
    job = request_simulation(version=draft, months=1, requested_by_ref="user:1", now=NOW)
    with pytest.raises(jobs.AlreadyRunning) as refused:
        request_simulation(version=draft, months=12, requested_by_ref="user:2", now=NOW)
    assert refused.value.job == job
    request_simulation(version=live, months=1, requested_by_ref="user:2", now=NOW)


def test_a_version_of_another_programme_is_not_simulated(live):
    other = Programme.objects.create(code="other", name="Other")
    version = publish(other)
    with pytest.raises(simulation.NotOfThisShop):
        request_simulation(version=version, months=1, requested_by_ref="", now=NOW)


def test_cancelling_ends_it_with_the_batch_at_hand(draft, account, customer, monkeypatch):
    monkeypatch.setattr(simulation, "BATCH", 1)
    for number in (1, 2, 3):
        order(customer, number)
    job = request_simulation(version=draft, months=1, requested_by_ref="user:1", now=NOW)
    seen = []

    def cancel(done, total):
        seen.append((done, total))
        jobs.cancel_job(job_id=job.pk, now=NOW)

    job = run_simulation(job_id=job.pk, clock=lambda: NOW, on_progress=cancel)
    assert (job.state, job.result, job.finished_at, seen) == (State.CANCELLED, None, NOW, [(1, 3)])


def test_a_killed_worker_costs_its_part_and_the_next_one_goes_on(
    draft, account, customer, monkeypatch, django_user_model
):
    monkeypatch.setattr(simulation, "_PARTS", 1_000_000)
    other = django_user_model.objects.create_user("other", "other@example.com", "secret")
    join_programme(user_id=other.pk, now=LONG_AGO)
    monkeypatch.setattr(simulation.past_orders, "_MEMBERS", 1)
    order(customer, 1)
    order(other, 2)
    whole = simulate(version=draft, months=1, now=NOW)
    job = request_simulation(version=draft, months=1, requested_by_ref="user:1", now=NOW)
    taken = jobs.take_up_job(job_id=job.pk, now=NOW)
    simulation._plan(taken)
    part = jobs.take_part(job=taken)
    jobs.report_progress(job=taken, part=part, more=1, now=NOW)
    assert run_simulation(job_id=job.pk, clock=lambda: NOW).state == State.RUNNING
    later = NOW + timedelta(minutes=3)
    assert run_waiting_jobs(clock=lambda: later) == 1
    job.refresh_from_db()
    assert (job.state, job.attempt, job.done) == (State.DONE, 2, 2)
    assert {name: job.result[name] for name in ("orders", "gaining", "currencies", "samples")} == {
        name: whole[name] for name in ("orders", "gaining", "currencies", "samples")
    }
    with pytest.raises(jobs.JobNotYours):
        jobs.report_progress(job=taken, part=part, more=1, now=later)


@pytest.mark.parametrize(
    ("now", "months", "then"),
    [
        (datetime(2026, 3, 31, 8, tzinfo=UTC), 1, datetime(2026, 2, 28, 8, tzinfo=UTC)),
        (datetime(2024, 3, 31, tzinfo=UTC), 1, datetime(2024, 2, 29, tzinfo=UTC)),
        (datetime(2026, 1, 15, tzinfo=UTC), 13, datetime(2024, 12, 15, tzinfo=UTC)),
        (datetime(2026, 12, 31, tzinfo=UTC), 1, datetime(2026, 11, 30, tzinfo=UTC)),
    ],
)
def test_months_are_those_of_the_calendar(now, months, then):
    assert months_before(now, months) == then


outcomes = st.lists(
    st.tuples(st.integers(0, 300), st.integers(0, 300), st.sampled_from(["", "silver"])), max_size=60
)


@given(outcomes=outcomes, cuts=st.integers(1, 5), seed=st.integers())
def test_tallies_of_parts_are_the_tally_of_the_whole(outcomes, cuts, seed):
    def tally_of(numbered):
        tally = Tally()
        for number, (before, after, tier) in numbered:
            tally.add_order(currency="EUR", before=before, after=after)
            tally.add_member(
                MemberOutcome(member_id=number, orders=1, before=before, after=after, tier_after=tier)
            )
            if tally.wants(str(number), is_same=before == after):
                tally.add_sample(
                    Sample(number=str(number), placed_at="", currency="EUR", before=before, after=after)
                )
        return tally

    numbered = list(enumerate(outcomes))
    whole = tally_of(numbered)
    parts = [tally_of(numbered[start::cuts]) for start in range(cuts)]
    random.Random(seed).shuffle(parts)
    merged = Tally()
    for part in parts:
        merged.merge(Tally.from_json(part.to_json()))
    assert merged.to_json() == whole.to_json()
    assert merged.moves == whole.moves == Counter(whole.moves)
    samples = whole.chosen_samples()
    assert len(samples) == min(10, len(outcomes))
    differing = sum(before != after for before, after, _tier in outcomes)
    assert sum(one.before != one.after for one in samples) >= min(differing, 5)

"""Drafts, what is scheduled, what is in force and what was, and who may change which of them."""

from datetime import timedelta
from functools import partial

import pytest
from django.db import IntegrityError, transaction

from oscar_loyalty.programmes import queries
from oscar_loyalty.programmes.models import CurrencyRate, ProgrammeVersion
from oscar_loyalty.programmes.services import (
    MomentTaken,
    NotADraft,
    VersionInForce,
    add_draft,
    archive_draft,
    create_draft,
    lock_editable_version,
    publish_now,
    restore_draft,
    revise_version,
    schedule_version,
    set_up_programme,
    unschedule_version,
)
from tests.concurrency.race import run_at_once

from .conftest import NOW, START, publish

pytestmark = pytest.mark.database
State = ProgrammeVersion.State
DAY = timedelta(days=1)


def states(now=NOW):
    return [
        (version.number, queries.state_of(version, is_followed=version.is_followed, now=now))
        for version in queries.list_versions(now=now)
    ]


def test_versions_are_listed_from_drafts_to_what_is_over_on_every_engine(programme, live):
    publish(programme, at=NOW - DAY)
    publish(programme, at=NOW + DAY)
    create_draft(based_on=live)
    put_away = create_draft(based_on=live)
    archive_draft(version_id=put_away.pk, now=NOW)
    assert states() == [
        (5, State.ARCHIVED),
        (4, State.DRAFT),
        (3, State.SCHEDULED),
        (2, State.LIVE),
        (1, State.ARCHIVED),
    ]
    assert [number for number, state in states(NOW + DAY) if state == State.LIVE] == [3]


def test_a_draft_judges_nothing(programme, live):
    create_draft(based_on=live, note="Idea")
    assert queries.get_policy(currency="EUR", at=NOW).version == 1
    assert queries.get_version(at=NOW) == live
    assert [policy.version for _moment, policy in queries.list_policies(currency="EUR")] == [1]
    assert list(queries.list_published(programme_id=programme.pk)) == [live]
    assert queries.find_version_in_force(programme_id=programme.pk, at=NOW) == live
    assert queries.find_policy_of_version(currency="EUR", number=2).version == 2


def test_a_programme_with_nothing_but_a_draft_promises_nothing_and_is_set_up(programme, live):
    create_draft(based_on=live)
    ProgrammeVersion.objects.filter(pk=live.pk).delete()
    with pytest.raises(queries.ProgrammeMissing):
        queries.get_version(at=NOW)
    set_up_programme(code="default", name="", time_zone="", currencies=["EUR"], terms_version="1", now=START)
    assert queries.get_version(at=NOW).number == 3


def test_a_draft_is_the_same_as_what_it_is_based_on_but_for_its_note(live):
    ProgrammeVersion.objects.filter(pk=live.pk).update(waiting_days=21, note="old", excluded_category_ids=[5])
    live.rates.filter(currency="CHF").update(earn_points=3)
    live.refresh_from_db()
    draft = create_draft(based_on=live, note="new")
    draft.refresh_from_db()
    assert (draft.number, draft.active_from, draft.archived_at, draft.note) == (2, None, None, "new")
    assert (draft.waiting_days, draft.excluded_category_ids) == (21, [5])
    assert sorted(draft.rates.values_list("currency", "earn_points")) == [("CHF", 3), ("EUR", 1)]
    assert live.rates.count() == 2


def test_a_draft_comes_into_force_at_its_moment(live):
    draft = create_draft(based_on=live)
    schedule_version(version_id=draft.pk, active_from=NOW + DAY, now=NOW)
    assert queries.get_version(at=NOW + DAY - timedelta(seconds=1)) == live
    assert queries.get_version(at=NOW + DAY) == draft


def test_a_moment_in_the_past_is_now(live):
    draft = create_draft(based_on=live)
    assert schedule_version(version_id=draft.pk, active_from=START, now=NOW).active_from == NOW


def test_what_is_scheduled_becomes_a_draft_again_and_then_something_else(live):
    draft = create_draft(based_on=live)
    schedule_version(version_id=draft.pk, active_from=NOW + DAY, now=NOW)
    assert unschedule_version(version_id=draft.pk, now=NOW).active_from is None
    assert unschedule_version(version_id=draft.pk, now=NOW).active_from is None
    assert publish_now(version_id=draft.pk, now=NOW).active_from == NOW
    with pytest.raises(VersionInForce):
        unschedule_version(version_id=draft.pk, now=NOW)


def test_two_versions_do_not_begin_at_the_same_moment(live):
    first, second = create_draft(based_on=live), create_draft(based_on=live)
    schedule_version(version_id=first.pk, active_from=NOW + DAY, now=NOW)
    with pytest.raises(MomentTaken):
        schedule_version(version_id=second.pk, active_from=NOW + DAY, now=NOW)
    second.refresh_from_db()
    assert second.active_from is None


def test_what_is_published_or_archived_is_not_published_again(live):
    draft = create_draft(based_on=live)
    archive_draft(version_id=draft.pk, now=NOW)
    assert archive_draft(version_id=draft.pk, now=NOW + DAY).archived_at == NOW
    with pytest.raises(NotADraft):
        publish_now(version_id=draft.pk, now=NOW)
    with pytest.raises(VersionInForce):
        lock_editable_version(version_id=draft.pk, now=NOW)
    restore_draft(version_id=draft.pk)
    publish_now(version_id=draft.pk, now=NOW)
    for refused in (
        partial(publish_now, version_id=draft.pk, now=NOW + DAY),
        partial(archive_draft, version_id=draft.pk, now=NOW + DAY),
    ):
        with pytest.raises(NotADraft):
            refused()
    draft.refresh_from_db()
    assert draft.active_from == NOW


def test_revising_changes_what_a_draft_says_and_not_that_it_is_one(live):
    draft = create_draft(based_on=live)
    draft.waiting_days, draft.active_from = 3, NOW + DAY
    revise_version(version=draft, now=NOW)
    draft.refresh_from_db()
    assert (draft.waiting_days, draft.active_from) == (3, None)


def test_the_database_knows_that_only_drafts_are_archived(live):
    with pytest.raises(IntegrityError), transaction.atomic():
        ProgrammeVersion.objects.filter(pk=live.pk).update(archived_at=NOW)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("row_locks")
class TestAtOnce:
    def test_a_draft_that_is_published_by_many_is_published_once(self, live):
        draft = create_draft(based_on=live)
        clicks = [
            partial(publish_now, version_id=draft.pk, now=NOW + timedelta(seconds=number))
            for number in range(6)
        ]
        results = run_at_once(clicks)
        refused = [result for result in results if isinstance(result, NotADraft)]
        assert len(refused) == 5, results

    def test_drafts_that_are_made_at_once_have_numbers_of_their_own(self, live):
        results = run_at_once([partial(create_draft, based_on=live)] * 6)
        assert sorted(draft.number for draft in results) == [2, 3, 4, 5, 6, 7]

    def test_nobody_archives_what_is_being_published(self, live):
        draft = create_draft(based_on=live)
        run_at_once(
            [
                partial(publish_now, version_id=draft.pk, now=NOW),
                partial(archive_draft, version_id=draft.pk, now=NOW),
            ]
        )
        draft.refresh_from_db()
        assert (draft.active_from is None) != (draft.archived_at is None)


def test_a_new_version_that_names_its_base_has_what_belongs_to_it(programme, live):
    live.tiers.create(
        code="gold", name_de="Gold", name_en="Gold", rank=1, entry_threshold=500, keep_threshold=400
    )
    version = add_draft(
        version=ProgrammeVersion(programme=programme, terms_version="2"),
        rates=[CurrencyRate(currency="EUR")],
        based_on=live,
    )
    assert version.tiers.get().code == "gold"
    assert version.rates.get().currency == "EUR"

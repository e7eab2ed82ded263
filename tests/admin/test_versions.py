"""Drafts in the admin: made, compared, checked, simulated, put into force and put away."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format

from oscar_loyalty.flows import simulation
from oscar_loyalty.jobs.models import JobRun
from oscar_loyalty.jobs.services import cancel_job, take_up_job
from oscar_loyalty.programmes import queries
from oscar_loyalty.programmes.models import Programme, ProgrammeVersion
from oscar_loyalty.programmes.services import archive_draft, create_draft, publish_now, schedule_version
from oscar_loyalty.tiers.models import TierScheme
from tests.flows.conftest import place_order

from .test_programmes import ADD, CHANGE, problems, rate, typed

LIST = "admin:oscar_loyalty_programmeversion_changelist"
DAY = timedelta(days=1)
EVERYTHING = (
    "view_programme",
    "view_programmeversion",
    "add_programmeversion",
    "change_programmeversion",
    "publish_programmeversion",
    "simulate_programmeversion",
)


@pytest.fixture(autouse=True)
def euros(settings):
    settings.OSCAR_DEFAULT_CURRENCY = "EUR"


@pytest.fixture
def live(programme):
    return programme.versions.get()


@pytest.fixture
def draft(live):
    draft = create_draft(based_on=live)
    draft.rates.update(earn_points=2)
    return draft


def step(name, version):
    return reverse(f"admin:oscar_loyalty_programmeversion_{name}", args=[version.pk])


def text_of(response):
    assert response.status_code == 200
    return response.content.decode()


def told(response):
    return [str(message) for message in response.context["messages"]]


def publish(client, version, **values):
    seen = client.get(step("publish", version)).context["form"].initial["seen"]
    return client.post(
        step("publish", version),
        {"active_from_0": "", "active_from_1": "", "seen": seen, **values},
        follow=True,
    )


class TestMaking:
    def test_a_new_version_is_saved_as_a_draft_and_nothing_is_judged_by_it(self, admin_client, programme):
        data = {**typed(programme, rate(earn_points="3"), waiting_days="7"), "_draft": "1"}
        response = admin_client.post(reverse(ADD), data, follow=True)
        assert told(response) == ["Version 2 is saved as a draft."]
        draft = programme.versions.get(number=2)
        assert (draft.active_from, draft.waiting_days, draft.rates.get().earn_points) == (None, 7, 3)
        assert queries.get_version(at=timezone.now()).number == 1
        assert "This is a draft" in text_of(response)

    def test_a_new_version_has_the_tiers_of_the_one_it_is_based_on(self, admin_client, programme, live):
        TierScheme.objects.create(version=live)
        live.tiers.create(
            code="gold", name_de="Gold", name_en="Gold", rank=1, entry_threshold=500, keep_threshold=400
        )
        response = admin_client.post(reverse(ADD), typed(programme), follow=True)
        assert told(response) == ["Version 2 is in force."]
        version = programme.versions.get(number=2)
        assert (version.tiers.get().code, version.tier_scheme.metric) == ("gold", "SPEND")
        assert version.rates.count() == 1

    def test_what_has_an_error_stays_a_draft(self, admin_client, programme, live):
        live.tier_perks.create(tier_code="gone", kind="FREE_SHIPPING")
        response = admin_client.post(reverse(ADD), typed(programme), follow=True)
        assert told(response)[0] == "Version 2 is saved as a draft: it has errors."
        assert "There is no tier gone in this version." in told(response)[1]
        assert programme.versions.get(number=2).active_from is None

    def test_a_draft_that_was_made_by_a_double_click_is_made_once(self, admin_client, programme):
        data = {**typed(programme), "_draft": "1"}
        assert admin_client.post(reverse(ADD), data).status_code == 302
        assert "Draft 2 was made meanwhile" in problems(admin_client.post(reverse(ADD), data))
        assert programme.versions.count() == 2

    def test_who_may_not_publish_makes_drafts(self, clerk, programme):
        client = clerk("view_programmeversion", "add_programmeversion", "view_programme")
        page = text_of(client.get(reverse(ADD)))
        assert 'name="_draft"' in page
        assert 'name="_save"' not in page
        response = client.post(reverse(ADD), typed(programme), follow=True)
        assert "Somebody with the permission" in told(response)[0]
        assert programme.versions.get(number=2).active_from is None

    def test_a_draft_is_edited_and_stays_one(self, admin_client, programme, draft):
        kept = draft.rates.get()
        data = typed(
            programme,
            {**rate(earn_points="4"), "rates-0-id": kept.pk, "rates-0-version": draft.pk},
            waiting_days="3",
            **{"rates-INITIAL_FORMS": "1"},
        )
        response = admin_client.post(reverse(CHANGE, args=[draft.pk]), data)
        assert response.status_code == 302, problems(response)
        draft.refresh_from_db()
        assert (draft.active_from, draft.waiting_days, draft.rates.get().earn_points) == (None, 3, 4)

    def test_who_may_not_publish_edits_drafts_and_not_what_is_scheduled(self, clerk, draft, live):
        scheduled = create_draft(based_on=live)
        now = timezone.now()
        schedule_version(version_id=scheduled.pk, active_from=now + DAY, now=now)
        client = clerk("view_programmeversion", "change_programmeversion", "delete_programmeversion")
        assert 'name="waiting_days"' in text_of(client.get(reverse(CHANGE, args=[draft.pk])))
        assert 'name="waiting_days"' not in text_of(client.get(reverse(CHANGE, args=[scheduled.pk])))
        delete = "admin:oscar_loyalty_programmeversion_delete"
        assert client.post(reverse(delete, args=[scheduled.pk]), {"post": "yes"}).status_code == 403

    def test_the_page_counts_what_belongs_to_a_version(self, admin_client, draft):
        draft.tier_perks.create(tier_code="gold", kind="FREE_SHIPPING")
        page = admin_client.get(reverse(CHANGE, args=[draft.pk]))
        counts = {part["name"]: part["count"] for part in page.context["parts"]}
        assert counts["Perks of tiers"] == 1
        assert counts["Tiers"] == 0
        assert "Rates" not in counts


class TestPuttingIntoForce:
    def test_the_page_says_what_changes_and_what_is_wrong(self, admin_client, draft):
        draft.tier_perks.create(tier_code="gone", kind="FREE_SHIPPING")
        text = text_of(admin_client.get(step("publish", draft)))
        assert "What changes against version 1" in text
        assert "Rate “EUR”" in text
        assert "There is no tier gone in this version." in text
        assert 'value="Put into force"' not in text

    def test_a_draft_comes_into_force_at_once_and_once(self, admin_client, draft):
        seen = admin_client.get(step("publish", draft)).context["form"].initial["seen"]
        assert told(publish(admin_client, draft)) == ["Version 2 is in force."]
        assert queries.get_policy(currency="EUR", at=timezone.now()).rate.earn_points == 2
        moment = programme_moment(draft)
        again = admin_client.post(step("publish", draft), {"seen": seen}, follow=True)
        assert "no draft any more" in told(again)[0]
        assert programme_moment(draft) == moment

    def test_a_draft_is_scheduled_and_taken_back(self, admin_client, draft):
        moment = timezone.localtime(timezone.now() + 3 * DAY)
        when = {"active_from_0": f"{moment:%Y-%m-%d}", "active_from_1": f"{moment:%H:%M:%S}"}
        response = publish(admin_client, draft, **when)
        assert told(response) == [
            f"Version 2 comes into force on {date_format(moment, 'SHORT_DATETIME_FORMAT')}."
        ]
        assert "It becomes a draft again." in text_of(admin_client.get(step("unschedule", draft)))
        assert told(admin_client.post(step("unschedule", draft), follow=True)) == [
            "Version 2 is a draft again."
        ]
        assert programme_moment(draft) is None
        assert "not in that state" in told(admin_client.post(step("unschedule", draft), follow=True))[0]

    def test_a_moment_that_is_over_is_refused(self, admin_client, draft):
        response = publish(admin_client, draft, active_from_0="2020-01-01", active_from_1="00:00")
        assert "This moment is over" in text_of(response)
        assert programme_moment(draft) is None

    def test_a_moment_that_another_version_has_is_refused(self, admin_client, draft, live):
        moment = timezone.localtime(timezone.now() + 3 * DAY).replace(microsecond=0)
        other = create_draft(based_on=live)
        schedule_version(version_id=other.pk, active_from=moment, now=timezone.now())
        when = {"active_from_0": f"{moment:%Y-%m-%d}", "active_from_1": f"{moment:%H:%M:%S}"}
        assert (
            "Another version comes into force at that moment" in told(publish(admin_client, draft, **when))[0]
        )

    def test_what_changed_since_the_page_was_shown_is_looked_at_once_more(self, admin_client, draft):
        page = admin_client.get(step("publish", draft))
        draft.rates.update(earn_points=9)
        data = {"seen": page.context["form"].initial["seen"], "active_from_0": "", "active_from_1": ""}
        again = admin_client.post(step("publish", draft), data)
        assert told(again) == ["The draft was changed meanwhile. Look at it once more."]
        assert programme_moment(draft) is None
        data["seen"] = again.context["form"]["seen"].value()
        assert told(admin_client.post(step("publish", draft), data, follow=True)) == [
            "Version 2 is in force."
        ]

    def test_a_draft_is_put_away_and_brought_back(self, admin_client, draft):
        assert "brought back" in text_of(admin_client.get(step("archive", draft)))
        admin_client.post(step("archive", draft))
        page = text_of(admin_client.get(reverse(CHANGE, args=[draft.pk])))
        assert "This draft is archived" in page
        assert 'name="waiting_days"' not in page
        assert "Bring it back first" in told(admin_client.get(step("publish", draft), follow=True))[0]
        assert 'field-state">archived' in text_of(admin_client.get(reverse(LIST)))
        admin_client.post(step("restore", draft))
        draft.refresh_from_db()
        assert draft.archived_at is None
        assert "not in that state" in told(admin_client.post(step("restore", draft), follow=True))[-1]


def programme_moment(version):
    version.refresh_from_db()
    return version.active_from


class TestLooking:
    def test_two_versions_are_compared(self, admin_client, draft, live):
        text = text_of(admin_client.get(step("compare", draft)))
        assert "From version 1 to version 2" in text
        assert "Earn (points)" in text
        other = create_draft(based_on=draft)
        same = text_of(admin_client.get(step("compare", draft), {"with": other.pk}))
        assert "From version 3 to version 2" in same
        assert "Nothing is different." in same
        assert "everything is new" in text_of(admin_client.get(step("compare", live)))

    def test_a_version_is_checked(self, admin_client, draft):
        assert "Nothing is wrong" in text_of(admin_client.get(step("check", draft)))
        draft.rates.all().delete()
        assert "There is no rate" in text_of(admin_client.get(step("check", draft)))

    def test_a_german_reader_reads_the_numbers_as_at_home(self, admin_client, draft):
        draft.rates.update(earn_amount="1234.50")
        page = admin_client.get(step("compare", draft), headers={"accept-language": "de"})
        assert "1.234,5" in text_of(page)

    def test_drafts_come_first_in_the_list(self, admin_client, draft):
        text = text_of(admin_client.get(reverse(LIST)))
        assert text.index('field-state">draft') < text.index('field-state">in force')
        assert step("compare", draft) in text

    @pytest.mark.parametrize("name", ["compare", "check", "publish", "simulate"])
    def test_a_version_that_is_not_there(self, admin_client, programme, name):
        for pk in ("999999", "x"):
            url = reverse(f"admin:oscar_loyalty_programmeversion_{name}", args=[pk])
            assert admin_client.get(url).status_code == 404


@pytest.mark.parametrize(
    ("permission", "names"),
    [
        ("publish_programmeversion", ("publish", "unschedule")),
        ("change_programmeversion", ("archive", "restore")),
        ("simulate_programmeversion", ("simulate",)),
        ("view_programmeversion", ("compare", "check")),
    ],
)
def test_each_step_takes_its_permission(clerk, draft, permission, names):
    held = {"view_programmeversion", *EVERYTHING} - {permission}
    if permission == "view_programmeversion":
        held -= {"change_programmeversion"}
    client = clerk(*held)
    for name in names:
        for response in (client.get(step(name, draft)), client.post(step(name, draft))):
            assert response.status_code == 403, name
    offered = client.get(reverse(CHANGE, args=[draft.pk]))
    if offered.status_code == 200:
        hidden = {step(name, draft) for name in names}
        assert not hidden & {url for url, _label in offered.context["steps"]}


class TestSimulating:
    @pytest.fixture
    def orders(self, make_member):
        account = make_member()
        now = timezone.now()
        for number in (1, 2):
            place_order(user=account.member.user, number=str(number), at=now - number * DAY)
        return account

    def ask(self, client, draft, months=12):
        client.post(step("simulate", draft), {"months": months})
        return JobRun.objects.latest("pk")

    def page(self, client, job, **extra):
        url = reverse("admin:oscar_loyalty_programmeversion_simulation", args=[job.pk])
        return client.get(url, **extra)

    def test_it_is_asked_for_watched_and_read(self, admin_client, admin_user, draft, orders):
        job = self.ask(admin_client, draft)
        assert (job.requested_by_ref, job.parameters["months"]) == (f"user:{admin_user.pk}", 12)
        waiting = text_of(self.page(admin_client, job))
        assert '<meta http-equiv="refresh" content="3">' in waiting
        assert 'name="_cancel"' in waiting
        simulation.run_simulation(job_id=job.pk, clock=timezone.now)
        text = text_of(self.page(admin_client, job))
        assert "http-equiv" not in text
        assert "Orders: 2. Members with orders: 1." in text
        assert "<td>238</td><td>476</td><td>+238</td><td>€2.38</td><td>€4.76</td><td>+€2.38</td>" in text
        assert "2 points for every €1.00, on €119.40 with VAT, without shipping" in text
        assert "Anna Berg" in text
        assert "Neither version has tiers." in text
        assert reverse("admin:oscar_loyalty_programmeversion_simulation", args=[job.pk]) in text_of(
            admin_client.get(step("simulate", draft))
        )

    def test_names_are_for_who_may_see_members(self, clerk, draft, orders):
        client = clerk("view_programmeversion", "simulate_programmeversion")
        job = self.ask(client, draft)
        simulation.run_simulation(job_id=job.pk, clock=timezone.now)
        assert "Anna Berg" not in text_of(self.page(client, job))

    def test_asking_twice_leads_to_the_one_under_way(self, admin_client, draft, orders):
        job = self.ask(admin_client, draft)
        again = admin_client.post(step("simulate", draft), {"months": 1}, follow=True)
        assert told(again) == ["This version is being simulated already."]
        assert JobRun.objects.get() == job
        assert "under way" in text_of(admin_client.get(step("simulate", draft)))

    def test_it_is_cancelled(self, admin_client, draft, orders):
        job = self.ask(admin_client, draft)
        take_up_job(job_id=job.pk, now=timezone.now())
        url = reverse("admin:oscar_loyalty_programmeversion_simulation", args=[job.pk])
        assert "being cancelled" in text_of(admin_client.post(url, {"_cancel": "1"}, follow=True))
        JobRun.objects.update(heartbeat_at=timezone.now() - timedelta(hours=1))
        cancel_job(job_id=job.pk, now=timezone.now())
        text = text_of(self.page(admin_client, job))
        assert "cancelled" in text
        assert "Simulate again" in text

    def test_how_far_it_is(self, admin_client, draft, orders):
        job = self.ask(admin_client, draft)
        now = timezone.now()
        JobRun.objects.update(
            state="RUNNING", total=8000, done=2000, started_at=now - timedelta(minutes=1), heartbeat_at=now
        )
        text = text_of(self.page(admin_client, job))
        assert 'max="100" value="25"' in text
        assert "2,000 of 8,000 orders" in text
        assert "0:03:0" in text
        JobRun.objects.update(heartbeat_at=now - timedelta(minutes=10))
        assert "no sign of life" in text_of(self.page(admin_client, job))

    @pytest.mark.parametrize("months", ["0", "61", "", "x"])
    def test_months_that_make_no_sense(self, admin_client, draft, months):
        assert "errorlist" in text_of(admin_client.post(step("simulate", draft), {"months": months}))
        assert not JobRun.objects.exists()

    def test_what_failed_says_why(self, admin_client, draft):
        job = self.ask(admin_client, draft)
        JobRun.objects.update(
            state="FAILED", error="OSError: full", open_key=None, finished_at=timezone.now()
        )
        assert "OSError: full" in text_of(self.page(admin_client, job))

    def test_the_version_of_another_programme_is_not_simulated(self, admin_client, draft):
        other = Programme.objects.create(code="other", name="Other")
        ProgrammeVersion.objects.filter(pk=draft.pk).update(programme=other)
        assert admin_client.get(step("simulate", draft)).status_code == 403

    def test_a_simulation_that_is_not_there(self, admin_client, programme):
        url = reverse("admin:oscar_loyalty_programmeversion_simulation", args=[4711])
        assert admin_client.get(url).status_code == 404

    def test_tiers_make_a_table(self, admin_client, draft, orders):
        job = self.ask(admin_client, draft)
        simulation.run_simulation(job_id=job.pk, clock=timezone.now)
        job.refresh_from_db()
        job.result["tiers"] = {"codes": ["", "gold"], "moves": [["", "gold", 7]]}
        job.result["is_outdated"] = True
        job.save()
        draft.tiers.create(
            code="gold", name_de="Gold", name_en="Golden", rank=1, entry_threshold=9, keep_threshold=9
        )
        text = text_of(self.page(admin_client, job))
        assert '<th scope="col">Golden</th>' in text
        assert "<strong>7</strong>" in text
        assert "no tier" in text
        assert "was changed while it was simulated" in text


def test_a_version_in_force_is_simulated_too(admin_client, draft, make_member):
    publish_now(version_id=draft.pk, now=timezone.now())
    assert step("simulate", draft) in text_of(admin_client.get(reverse(CHANGE, args=[draft.pk])))


def test_an_archived_draft_can_be_deleted(admin_client, draft):
    archive_draft(version_id=draft.pk, now=timezone.now())
    delete = reverse("admin:oscar_loyalty_programmeversion_delete", args=[draft.pk])
    assert admin_client.post(delete, {"post": "yes"}).status_code == 302
    assert not ProgrammeVersion.objects.filter(pk=draft.pk).exists()

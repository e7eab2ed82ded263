import json
from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.utils import timezone
from oscar.core.loading import get_model

from oscar_loyalty.flows.membership import join_programme
from oscar_loyalty.points.models import Account, Entry, Hold
from oscar_loyalty.programmes import queries
from oscar_loyalty.programmes.models import Programme, ProgrammeVersion
from oscar_loyalty.returns.models import ReturnPolicy
from oscar_loyalty.shop import offers
from oscar_loyalty.shop.mail import MAIL_TYPES


def run(name, *args, **options):
    out, err = StringIO(), StringIO()
    call_command(name, *args, stdout=out, stderr=err, **options)
    return out.getvalue() + err.getvalue()


def policy():
    return queries.get_policy(currency="EUR", at=timezone.now())


@pytest.mark.django_db
class TestSetup:
    @pytest.fixture(autouse=True)
    def offer_of_migrate_is_gone(self, db):
        offers.remove_offers()

    def test_it_makes_everything_and_the_second_time_changes_nothing(self):
        assert run("loyalty_setup").count("made ") == 4
        again = run("loyalty_setup", "--name", "Other", "--waiting-days", "3")
        assert again.count("unchanged") == 4
        assert "made " not in again
        assert Programme.objects.get().name == "Points"
        assert ProgrammeVersion.objects.count() == 1
        assert offers.find_offer() is not None
        assert get_model("offer", "ConditionalOffer").objects.count() == 1
        mails = get_model("communication", "CommunicationEventType").objects.filter(
            code__startswith="LOYALTY"
        )
        assert mails.count() == len(MAIL_TYPES)

    def test_a_shop_that_takes_goods_back_gets_what_the_law_asks_for_as_its_first_policy(self):
        run("loyalty_setup")
        assert not ReturnPolicy.objects.exists()
        assert run("loyalty_setup", "--returns").count("made ") == 1
        policy = ReturnPolicy.objects.get()
        assert (policy.currency, policy.window_days, policy.fee) == ("EUR", 14, 0)
        assert "made " not in run("loyalty_setup", "--returns")

    def test_the_classic_preset_waits_for_the_shops_last_status(self):
        run("loyalty_setup")
        assert (policy().spendable_status, policy().waiting_days) == ("Complete", 14)
        assert policy().expiry_months == 36
        assert policy().time_zone == "Europe/Berlin"

    def test_the_simple_preset_waits_for_nothing(self):
        run("loyalty_setup", "--preset", "simple")
        assert (policy().spendable_status, policy().waiting_days) == ("", 0)
        assert policy().expiry_months is None

    def test_everything_can_be_said(self):
        run(
            "loyalty_setup",
            *("--name", "Bohnen", "--currency", "eur", "--currency", "CHF", "--time-zone", "Europe/Vienna"),
            *("--spendable-status", "Shipped", "--waiting-days", "30", "--terms-version", "2026-01"),
        )
        assert (policy().programme_name, policy().time_zone) == ("Bohnen", "Europe/Vienna")
        assert (policy().spendable_status, policy().waiting_days) == ("Shipped", 30)
        assert policy().terms_version == "2026-01"
        assert queries.list_currencies(at=timezone.now()) == ["CHF", "EUR"]

    @pytest.mark.parametrize(
        ("option", "value", "words"),
        [
            ("--spendable-status", "Dreamt of", "no order ever gets “Dreamt of”"),
            ("--waiting-days", "-1", "between 0 and 365"),
            ("--waiting-days", "400", "between 0 and 365"),
            ("--time-zone", "Mars/Olympus", "is not a time zone"),
            ("--currency", "TALER", "is not a currency code"),
            ("--name", " ", "between 1 and 100"),
            ("--terms-version", "", "between 1 and 32"),
            ("--preset", "grand", "invalid choice"),
        ],
    )
    def test_nonsense_is_refused_in_one_line_and_nothing_is_made(self, option, value, words):
        with pytest.raises(CommandError, match=words):
            run("loyalty_setup", f"{option}={value}")
        assert not Programme.objects.exists()
        assert offers.find_offer() is None

    def test_a_shop_without_a_pipeline_counts_from_the_order(self, settings):
        settings.OSCAR_ORDER_STATUS_PIPELINE = {}
        run("loyalty_setup")
        assert policy().spendable_status == ""

    def test_every_currency_with_prices_gets_a_rate_and_a_later_one_is_named(self):
        from oscar.test.factories import create_stockrecord

        create_stockrecord().__class__.objects.update(price_currency="CHF")
        run("loyalty_setup")
        assert queries.list_currencies(at=timezone.now()) == ["CHF", "EUR"]
        create_stockrecord().__class__.objects.update(price_currency="SEK")
        assert "No rate for SEK" in run("loyalty_setup")

    def test_an_offer_that_staff_deleted_comes_back(self):
        run("loyalty_setup")
        offers.find_offer().delete()
        assert "made       offer" in run("loyalty_setup")


@pytest.fixture
def member(db):
    run("loyalty_setup", "--waiting-days", "0", "--spendable-status", "")
    ProgrammeVersion.objects.update(active_from=timezone.now() - timedelta(days=365))
    user = get_user_model().objects.create_user("anna", "anna@example.com", "secret")
    return join_programme(user_id=user.pk, now=timezone.now() - timedelta(days=60))


def place_order(account, *, number="100", days_ago=1):
    order = get_model("order", "Order").objects.create(
        number=number,
        user=account.member.user,
        currency="EUR",
        total_incl_tax=50,
        total_excl_tax=50,
        date_placed=timezone.now() - timedelta(days=days_ago),
    )
    get_model("order", "Line").objects.create(
        order=order,
        title="Beans",
        quantity=1,
        num_allocated=0,
        line_price_incl_tax=50,
        line_price_excl_tax=50,
        line_price_before_discounts_incl_tax=50,
        line_price_before_discounts_excl_tax=50,
        unit_price_incl_tax=50,
        unit_price_excl_tax=50,
    )
    return order


class TestSweep:
    def test_it_rewards_what_nobody_rewarded_and_relays_the_news(self, member):
        place_order(member)
        text = run("loyalty_sweep")
        assert "purchases  1" in text
        assert Entry.objects.get(kind=Entry.Kind.EARN).order_ref == "100"
        assert "purchases  0" in run("loyalty_sweep")
        assert "messages  0" in run("loyalty_sweep")

    def test_it_leaves_old_orders_alone_unless_asked(self, member):
        place_order(member, days_ago=40)
        run("loyalty_sweep")
        assert not Entry.objects.exists()
        run("loyalty_sweep", "--days", "50")
        assert Entry.objects.filter(kind=Entry.Kind.EARN).exists()

    def test_it_undoes_a_cancelled_order_however_old(self, member):
        order = place_order(member)
        run("loyalty_sweep")
        type(order).objects.update(status="Cancelled", date_placed=timezone.now() - timedelta(days=300))
        run("loyalty_sweep")
        member.refresh_from_db()
        assert (member.available, member.debt) == (0, 0)

    def test_one_broken_order_is_named_and_stops_no_other(self, member, monkeypatch):
        from oscar_loyalty.flows import sweeping

        place_order(member, number="100")
        place_order(member, number="101")
        broken = get_model("order", "Order").objects.get(number="100").pk
        real = sweeping.reward_purchase

        def reward(*, order_id, now):
            if order_id == broken:
                raise ValueError("broken")
            real(order_id=order_id, now=now)

        monkeypatch.setattr(sweeping, "reward_purchase", reward)
        with pytest.raises(CommandError, match="1 orders could not"):
            run("loyalty_sweep")
        assert [entry.order_ref for entry in Entry.objects.filter(kind=Entry.Kind.EARN)] == ["101"]

    def test_it_does_nothing_while_the_programme_is_off(self, member, settings):
        settings.OSCAR_LOYALTY_ENABLED = False
        place_order(member)
        assert "switched off" in run("loyalty_sweep")
        assert "switched off" in run("loyalty_expire")
        assert not Entry.objects.exists()

    def test_days_are_not_negative(self, member):
        with pytest.raises(CommandError, match="negative"):
            run("loyalty_sweep", "--days", "-1")

    def test_expire_ends_reservations_and_settles(self, member):
        place_order(member)
        run("loyalty_sweep")
        from oscar_loyalty.points.services import hold_points

        past = timezone.now() - timedelta(minutes=5)
        hold_points(
            account_id=member.pk,
            ref="basket:1",
            requested=20,
            currency="EUR",
            expires_at=past,
            now=past,
        )
        assert "holds  1" in run("loyalty_expire")
        assert Hold.objects.get().state == Hold.State.EXPIRED
        assert Account.objects.get(pk=member.pk).available == 50


def test_removing_gives_reserved_points_back_and_deletes_the_offer(member):
    from oscar_loyalty.points.services import hold_points

    place_order(member)
    run("loyalty_sweep")
    hold_points(
        account_id=member.pk,
        ref="basket:1",
        requested=20,
        currency="EUR",
        expires_at=timezone.now() + timedelta(minutes=5),
        now=timezone.now(),
    )
    text = run("loyalty_remove")
    assert "1 deleted" in text
    assert "1 given back" in text
    assert not get_model("offer", "ConditionalOffer").objects.exists()
    for name in ("Benefit", "Condition"):
        assert not get_model("offer", name).objects.exclude(proxy_class=None).exists()
    assert Account.objects.get(pk=member.pk).available == 50
    assert "0 deleted" in run("loyalty_remove")
    run("loyalty_setup")
    assert offers.find_offer() is not None


@pytest.mark.django_db
class TestDoctor:
    def diagnose(self):
        out = StringIO()
        code = 0
        try:
            call_command("loyalty_doctor", "--json", stdout=out)
        except SystemExit as end:
            code = end.code
        document = json.loads(out.getvalue())
        found = {finding["code"] for one in document["examinations"] for finding in one["findings"]}
        return code, found

    @pytest.fixture(autouse=True)
    def worker_answers(self, monkeypatch):
        from celery import current_app

        monkeypatch.setattr(current_app.control, "ping", lambda timeout: [{"worker": {"ok": "pong"}}])

    def test_a_shop_that_is_set_up_is_healthy(self):
        run("loyalty_setup")
        code, found = self.diagnose()
        assert (code, found) == (0, {"W114"})
        text = run("loyalty_doctor")
        assert "ok       Programme" in text
        assert "Fix: Set the domain of the site" in text

    def test_a_shop_that_is_not_set_up_is_told_so(self):
        offers.remove_offers()
        code, found = self.diagnose()
        assert code == 1
        assert {"E102", "E108"} <= found

    def test_missing_tables_are_named_and_nothing_else_is_asked(self, monkeypatch):
        from django.db.migrations.executor import MigrationExecutor

        monkeypatch.setattr(MigrationExecutor, "migration_plan", lambda self, targets: [("a", False)])
        code, found = self.diagnose()
        assert code == 1
        assert "E101" in found
        assert "E102" not in found

    def found_after(self, change):
        run("loyalty_setup")
        change()
        return self.diagnose()[1] - {"W114"}

    def test_a_version_that_is_not_in_force_yet(self):
        later = timezone.now() + timedelta(days=1)
        assert "E103" in self.found_after(lambda: ProgrammeVersion.objects.update(active_from=later))

    def test_a_time_zone_that_does_not_exist(self):
        assert self.found_after(lambda: Programme.objects.update(time_zone="Mars/Olympus")) == {"E104"}

    def test_a_brake_that_was_forgotten(self):
        assert self.found_after(lambda: Programme.objects.update(earning_paused=True)) == {"W105"}

    def test_a_status_that_no_order_gets(self):
        change = lambda: ProgrammeVersion.objects.update(spendable_status="Dreamt of")  # noqa: E731
        assert self.found_after(change) == {"E106"}

    def test_a_currency_without_a_rate(self):
        from oscar.test.factories import create_stockrecord

        def price_in_francs():
            type(create_stockrecord()).objects.update(price_currency="CHF")

        assert self.found_after(price_in_francs) == {"W107"}

    def offers(self):
        return get_model("offer", "ConditionalOffer").objects

    def test_an_offer_that_was_deleted(self):
        assert self.found_after(lambda: self.offers().all().delete()) == {"E108"}

    def test_an_offer_that_was_suspended(self):
        assert self.found_after(lambda: self.offers().update(status="Suspended")) == {"E109"}

    def test_an_offer_that_is_over(self):
        yesterday = timezone.now() - timedelta(days=1)
        assert self.found_after(lambda: self.offers().update(end_datetime=yesterday)) == {"E109"}

    def test_an_offer_that_is_not_the_last(self):
        from oscar.test.factories import ConditionalOfferFactory

        assert self.found_after(
            lambda: ConditionalOfferFactory(name="Even later", offer_type="Site", priority=offers.LAST)
        ) == {"E110"}

    def test_an_offer_that_excludes_others(self):
        assert self.found_after(lambda: self.offers().update(exclusive=True)) == {"E110"}

    def test_addresses_that_are_not_mounted(self, settings):
        settings.ROOT_URLCONF = "tests.commands.urls_without"
        assert self.found_after(lambda: None) == {"E112"}

    def test_a_shop_that_takes_goods_back_without_an_address(self):
        from tests.returns.world import make_policy

        change = lambda: make_policy(Programme.objects.get())  # noqa: E731
        assert self.found_after(change) == {"W015"}

    def test_a_mail_whose_text_staff_emptied(self):
        kinds = get_model("communication", "CommunicationEventType").objects
        assert self.found_after(lambda: kinds.update(email_subject_template="")) == {"E113"}

    def test_a_shop_with_its_own_address_for_mails(self, settings):
        settings.OSCAR_LOYALTY_BASE_URL = "https://coffee.example"
        run("loyalty_setup")
        assert self.diagnose() == (0, set())

    def test_work_that_nobody_does(self):
        from oscar_loyalty.outbox.models import OutboxMessage

        long_ago = timezone.now() - timedelta(hours=2)
        assert self.found_after(
            lambda: OutboxMessage.objects.create(
                topic="points_posted", key="a", created_at=long_ago, available_at=long_ago
            )
        ) == {"E115"}

    def test_a_shop_without_a_broker_is_told_about_cron(self, monkeypatch):
        from celery import current_app

        monkeypatch.setattr(type(current_app.conf), "broker_write_url", "")
        assert self.found_after(lambda: None) == {"W116"}

    def test_a_broker_that_is_down(self, monkeypatch):
        from celery import current_app

        def refuse(timeout):
            raise ConnectionRefusedError("refused")

        monkeypatch.setattr(current_app.control, "ping", refuse)
        assert self.found_after(lambda: None) == {"E117"}

    def test_a_worker_that_sleeps(self, monkeypatch):
        from celery import current_app

        monkeypatch.setattr(current_app.control, "ping", lambda timeout: [])
        assert self.found_after(lambda: None) == {"E118"}

    def test_a_look_that_fails_is_a_finding_of_its_own(self, monkeypatch):
        from oscar_loyalty.shop import mail

        def fail(code):
            raise RuntimeError("disk full")

        monkeypatch.setattr(mail, "has_text", fail)
        assert self.found_after(lambda: None) == {"E099"}

    def test_a_programme_that_is_switched_off_misses_no_offer(self, settings):
        settings.OSCAR_LOYALTY_ENABLED = False
        run("loyalty_setup")
        assert self.diagnose() == (0, {"W114"})
        assert "switched off" in run("loyalty_doctor")

import csv
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone
from oscar.core.loading import get_model
from oscar.test import factories

from oscar_loyalty.flows import backfill as flow
from oscar_loyalty.flows import purchases
from oscar_loyalty.flows.membership import join_programme
from oscar_loyalty.members.models import ClaimedOrder
from oscar_loyalty.points.models import Account, Entry, Lot
from oscar_loyalty.points.services import award_many
from oscar_loyalty.programmes.models import CurrencyRate, Programme, ProgrammeVersion
from oscar_loyalty.shop.bonus_models import OrderBonus
from oscar_loyalty.testing.ledger import assert_ledger_balanced
from tests.flows.conftest import place_order

NOW = datetime.now(UTC)
START = NOW - timedelta(days=900)
SINCE = f"{START:%Y-%m-%d}"


def run(*args):
    out, err = StringIO(), StringIO()
    call_command("loyalty_backfill", "--since", SINCE, *args, stdout=out, stderr=err)
    return out.getvalue() + err.getvalue()


def sums(text):
    """Numbers of the summary by what they count."""
    rows = [line.split(None, 1) for line in text.splitlines() if line[:1] == " "]
    return {name: int(number.replace(",", "")) for number, name in rows}


@pytest.fixture
def programme(db):
    """One point for every euro; spendable 14 days after completion; gone after 12 months. Since 700 days;
    since 100 days twice as many points."""
    programme = Programme.objects.create(code="default", name="Points", time_zone="Europe/Berlin")
    for number, (age, points) in enumerate(((700, 1), (100, 2)), start=1):
        version = ProgrammeVersion.objects.create(
            programme=programme,
            number=number,
            terms_version="1",
            spendable_status="Complete",
            expiry_months=12,
            active_from=NOW - timedelta(days=age),
        )
        CurrencyRate.objects.create(version=version, currency="EUR", earn_points=points)
    return programme


@pytest.fixture
def shop(programme):
    """Two members who joined yesterday, and their past: expired, spendable, pending, cancelled, too old."""
    members = [factories.UserFactory() for _ in range(2)]
    for member in members:
        join_programme(user_id=member.pk, now=NOW - timedelta(days=1))
    ages = [800, 600, 500, 300, 99, 50, 40]
    for number, age in enumerate(ages * 2):
        order = place_order(
            user=members[number % 2],
            number=str(1000 + number),
            prices=("50.00", "7.50"),
            at=NOW - timedelta(days=age),
        )
        reach(order, "Complete", after=timedelta(days=2))
    place_order(user=members[0], number="2000", at=NOW - timedelta(days=10))
    cancelled = place_order(user=members[1], number="2001", at=NOW - timedelta(days=300))
    reach(cancelled, "Cancelled", after=timedelta(days=1))
    place_order(user=None, number="2002", at=NOW - timedelta(days=300))
    place_order(user=factories.UserFactory(), number="2003", at=NOW - timedelta(days=300))
    place_order(user=members[0], number="2004", prices=("0.40",), at=NOW - timedelta(days=300))
    return members


def reach(order, status, *, after):
    get_model("order", "Order").objects.filter(pk=order.pk).update(status=status)
    change = get_model("order", "OrderStatusChange").objects.create(order=order, new_status=status)
    type(change).objects.filter(pk=change.pk).update(date_created=order.date_placed + after)


def test_every_order_earns_what_its_time_promised(shop):
    said = sums(run())
    assert said == {
        "orders": 19,
        "booked": 13,
        "points": 6 * 57 + 6 * 115 + 238,
        "pending": 238,
        "spendable": 2 * 57 + 6 * 115,
        # 600 and 500 days ago: gone a year after they became spendable.
        "expired": 4 * 57,
        "no programme version in force": 2,
        "no member": 2,
        "cancelled": 1,
        "nothing earned": 1,
    }
    accounts = Account.objects.order_by("pk")
    for account in accounts:
        assert_ledger_balanced(account)
    assert sum(account.earned for account in accounts) == said["points"]
    assert sum(account.expired for account in accounts) == said["expired"]
    assert sum(account.pending for account in accounts) == said["pending"]
    assert sum(account.available for account in accounts) == said["spendable"]


def test_a_dry_run_says_the_same_and_books_nothing(shop):
    promised = sums(run("--dry-run").replace("would be booked", "booked"))
    assert not Entry.objects.exists()
    assert sums(run()) == promised


def test_what_offers_promised_is_booked_too(shop):
    """Also where an order earns nothing itself."""
    for number, points in (("1004", 50), ("2004", 20), ("2001", 999)):
        OrderBonus.objects.create(
            order_ref=number, offer_ref=1, offer_name="Tea weeks", points=points, made_at=START
        )
    promised = sums(run("--dry-run").replace("would be booked", "booked"))
    said = sums(run())
    assert said == promised
    assert (said["booked"], said["points"]) == (14, 6 * 57 + 6 * 115 + 238 + 70)
    assert "nothing earned" not in said
    assert sum(Account.objects.values_list("earned", flat=True)) == said["points"]
    assert sums(run())["already booked"] == 14
    for account in Account.objects.all():
        assert_ledger_balanced(account)


def test_running_again_changes_nothing(shop):
    run()
    before = list(Account.objects.values_list("seq", "head_hash").order_by("pk"))
    again = sums(run())
    assert (again["booked"], again["points"], again["already booked"]) == (0, 0, 13)
    assert list(Account.objects.values_list("seq", "head_hash").order_by("pk")) == before


def test_what_was_booked_is_what_the_nudge_would_have_booked(shop, monkeypatch):
    """The flow behind every order and the one in bulk: the same entries, but for the day of joining."""
    run()
    in_bulk = list(
        Entry.objects.filter(kind="EARN")
        .order_by("order_ref")
        .values("order_ref", "fingerprint", "explanation", "effective_at", "points")
    )
    for order_id in get_model("order", "Order").objects.values_list("pk", flat=True):
        purchases.reward_purchase(order_id=order_id, now=timezone.now())
    assert Entry.objects.filter(kind="EARN").count() == len(in_bulk)
    # A shop of its own, where everybody was a member from the start.
    for account in list(Account.objects.all()):
        Account.objects.filter(pk=account.pk).update(open_key=None)
        Account.objects.create(programme=account.programme, member=account.member, open_key=account.open_key)
        type(account.member).objects.filter(pk=account.member_id).update(joined_at=START)
    monkeypatch.setattr("oscar_loyalty.points.queries.find_entry_of_order", lambda **_: None)
    monkeypatch.setattr("oscar_loyalty.points.queries.list_earnings_of_order", lambda **_: [])
    for order_id in get_model("order", "Order").objects.order_by("date_placed").values_list("pk", flat=True):
        purchases.reward_purchase(order_id=order_id, now=timezone.now())
    one_by_one = Entry.objects.filter(kind="EARN", account__open_key__isnull=False).order_by("order_ref")
    assert (
        list(one_by_one.values("order_ref", "fingerprint", "explanation", "effective_at", "points"))
        == in_bulk
    )


def test_todays_version_can_be_asked_for_and_stays_the_one_that_counts(shop):
    said = sums(run("--version-now"))
    assert said["points"] == 14 * 115 + 238
    assert "no programme version in force" not in said
    # Cancelling later still finds it, although no version was in force at the order.
    order = get_model("order", "Order").objects.get(number="1000")
    get_model("order", "Order").objects.filter(pk=order.pk).update(status="Cancelled")
    purchases.reward_purchase(order_id=order.pk, now=timezone.now())
    assert Entry.objects.filter(kind="CLAWBACK", order_ref="1000").count() == 1


def test_expiry_may_be_counted_from_today(shop):
    said = sums(run("--expiry-from", "now"))
    assert (said["expired"], said["spendable"]) == (0, 6 * 57 + 6 * 115)
    assert all(lot.expires_at > NOW + timedelta(days=300) for lot in Lot.objects.filter(remaining__gt=0))
    for account in Account.objects.all():
        assert_ledger_balanced(account)


def test_a_limit_ends_early_and_the_next_run_goes_on(shop):
    assert sums(run("--limit", "5"))["orders"] == 5
    first = Entry.objects.filter(kind="EARN").count()
    assert first == 3
    assert sums(run())["already booked"] == 3


def test_days_are_those_of_the_shop_and_the_last_one_counts(shop):
    day = f"{timezone.localtime(NOW - timedelta(days=300)):%Y-%m-%d}"
    out = StringIO()
    call_command("loyalty_backfill", "--since", day, "--until", day, stdout=out, stderr=StringIO())
    assert sums(out.getvalue())["orders"] == 6


def test_the_report_has_a_row_for_each_order_and_its_sum_is_the_sum(shop, tmp_path):
    path = tmp_path / "report.csv"
    said = sums(run("--report", str(path)))
    rows = list(csv.DictReader(path.open()))
    assert len(rows) == said["orders"]
    assert sum(int(row["points"]) for row in rows) == said["points"]
    by_number = {row["order"]: row for row in rows}
    assert by_number["2001"]["reason"] == "cancelled"
    assert by_number["2002"]["reason"] == "no member"
    assert by_number["1000"]["reason"] == "no programme version in force"
    assert by_number["2000"]["state"] == "PENDING"
    assert {row["member"] for row in rows if row["state"]} == {
        str(account.member.public_id) for account in Account.objects.all()
    }


def test_a_guests_order_counts_for_the_member_who_claimed_it(shop):
    member = Account.objects.first().member
    ClaimedOrder.objects.create(order_number="2002", member=member, proof="MAIL", claimed_at=NOW)
    run()
    assert Entry.objects.get(order_ref="2002").account.member == member


def test_one_orders_error_stops_nobody_and_is_told(shop, monkeypatch):
    award_for = flow.award_for

    def fail_for_one(purchase, **rest):
        if purchase.number == "1003":
            raise RuntimeError("broken order")
        return award_for(purchase, **rest)

    monkeypatch.setattr(flow, "award_for", fail_for_one)
    with pytest.raises(CommandError, match=r"^1 orders could not be booked: see the log\.$"):
        run()
    assert Entry.objects.filter(kind="EARN").count() == 12
    monkeypatch.undo()
    assert sums(run())["booked"] == 1


def test_a_frozen_account_goes_on_earning(shop):
    promised = sums(run("--dry-run").replace("would be booked", "booked"))
    Account.objects.filter(pk=Account.objects.first().pk).update(status="FROZEN")
    assert sums(run()) == promised
    assert Account.objects.first().seq > 0


def test_an_account_closed_meanwhile_gets_nothing_and_the_others_get_theirs(shop, monkeypatch):
    closed = Account.objects.first()

    def close_first(awards, *, now):
        Account.objects.filter(pk=closed.pk).update(status="CLOSED")
        return award_many(awards, now=now)

    monkeypatch.setattr(flow, "award_many", close_first)
    said = sums(run())
    assert said["account closed meanwhile"] >= 5
    assert said["booked"] + said["account closed meanwhile"] == 13
    closed.refresh_from_db()
    assert closed.seq == 0


def test_batches_of_any_size_book_the_same(shop, monkeypatch):
    monkeypatch.setitem(flow.backfill.__kwdefaults__, "batch_size", 2)
    assert sums(run())["booked"] == 13
    assert sums(run())["already booked"] == 13


def test_statements_do_not_grow_with_the_orders(shop, django_assert_max_num_queries):
    with django_assert_max_num_queries(32):
        run()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--until", "2020-01-01"], "--since must be before --until"),
        (["--until", "tomorrow"], "--until: “tomorrow” is not a day. Example: 2025-01-31."),
        (["--limit", "0"], "--limit must be 1 or more."),
        (["--processes", "0"], "--processes must be between 1 and 64."),
        (["--processes", "2", "--limit", "9"], "--limit goes with one process only."),
        (["--report", "/nowhere/at/all.csv"], "--report: /nowhere/at/all.csv cannot be written"),
    ],
)
def test_mistakes_are_named_in_one_line(programme, arguments, message):
    with pytest.raises(CommandError) as caught:
        run(*arguments)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_without_a_programme_it_says_what_to_do(db):
    with pytest.raises(CommandError, match="loyalty_setup"):
        run()


def test_switched_off_it_does_nothing(shop, settings):
    settings.OSCAR_LOYALTY_ENABLED = False
    assert "switched off" in run()
    assert not Entry.objects.exists()


def test_an_interrupted_run_ends_with_130_and_the_next_one_goes_on(shop, monkeypatch):
    book, calls = flow._backfill_batch, []

    def interrupted(*args, **kwargs):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return book(*args, **kwargs)

    monkeypatch.setitem(flow.backfill.__kwdefaults__, "batch_size", 3)
    monkeypatch.setattr(flow, "_backfill_batch", interrupted)
    with pytest.raises(SystemExit) as ended:
        run()
    assert ended.value.code == 130
    monkeypatch.setattr(flow, "_backfill_batch", book)
    said = sums(run())
    assert said["already booked"] + said["booked"] == 13
    assert said["already booked"] > 0


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
class TestProcesses:
    @pytest.fixture(autouse=True)
    def server(self, row_locks):
        """Processes of their own need a database that they can reach."""

    def test_several_book_what_one_books(self, shop, tmp_path):
        promised = sums(run("--dry-run").replace("would be booked", "booked"))
        path = tmp_path / "report.csv"
        assert sums(run("--processes", "3", "--report", str(path))) == promised
        assert len(list(csv.DictReader(path.open()))) == promised["orders"]
        for account in Account.objects.all():
            assert_ledger_balanced(account)

    def test_killed_anywhere_it_is_finished_by_the_next_run(self, shop):
        """SIGKILL at growing moments, until a run gets through; then all is as if nothing had happened."""
        promised = sums(run("--dry-run"))["points"]
        code = (
            "import django; django.setup();"
            "from oscar_loyalty.flows import backfill;"
            "backfill.backfill.__kwdefaults__['batch_size'] = 1;"
            "from django.core.management import call_command;"
            f"call_command('loyalty_backfill', '--since', '{SINCE}')"
        )
        url = (
            f"{'postgres' if connection.vendor == 'postgresql' else 'mysql'}://"
            f"{connection.settings_dict['USER']}@{connection.settings_dict['HOST']}:"
            f"{connection.settings_dict['PORT']}/{connection.settings_dict['NAME']}"
        )
        environment = {
            **os.environ,
            "DATABASE_URL": url,
            "DJANGO_SETTINGS_MODULE": "tests.hosts.plain.settings",
        }
        killed = 0
        for _ in range(8):
            before = Entry.objects.filter(kind="EARN").count()
            process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", code],
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
            deadline = time.monotonic() + 60
            while process.poll() is None and time.monotonic() < deadline:
                if Entry.objects.filter(kind="EARN").count() >= before + 2:
                    process.send_signal(signal.SIGKILL)
                    process.wait()
                    killed += 1
                    break
                time.sleep(0.005)
            assert process.returncode in (0, -signal.SIGKILL), process.stderr.read()
            if process.returncode == 0:
                break
        assert killed
        run()
        accounts = Account.objects.all()
        for account in accounts:
            assert_ledger_balanced(account)
        assert sum(account.earned for account in accounts) == promised

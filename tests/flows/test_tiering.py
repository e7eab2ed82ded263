from datetime import timedelta

import pytest
from django.core import mail
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from oscar.core.loading import get_model
from oscar.test import factories

from oscar_loyalty.flows.backfill import Terms, backfill
from oscar_loyalty.flows.membership import join_programme, leave_programme
from oscar_loyalty.flows.merging import book_merge, request_merge
from oscar_loyalty.flows.purchases import reward_purchase
from oscar_loyalty.flows.sweeping import sweep
from oscar_loyalty.flows.tier_notices import tell_of_reached_tier, warn_of_tier_losses
from oscar_loyalty.flows.tiering import check_tiers, recompute_due_tiers
from oscar_loyalty.points.models import Entry
from oscar_loyalty.programmes.models import Programme
from oscar_loyalty.shop.mail import ensure_mail_types
from oscar_loyalty.shop.orders import Period
from oscar_loyalty.tiers.models import QualifyingEntry, TierChange, TierStatus
from oscar_loyalty.tiers.progress import read_past_changes, read_progress
from oscar_loyalty.tiers.queries import find_tier_code
from tests.tiers.world import publish_tiers

from .conftest import LONG_AGO, NOW, place_order, publish

DAY = timedelta(days=1)


@pytest.fixture
def tiers(programme):
    return publish_tiers(programme, at=LONG_AGO + DAY)


def tier_of(account):
    status = TierStatus.objects.filter(member_id=account.member_id).first()
    return status and status.tier_code


def order_for(customer, amount, *, number, at=NOW):
    order = place_order(user=customer, prices=(amount,), number=number, at=at)
    reward_purchase(order_id=order.pk, now=at)
    return order


@pytest.mark.database
def test_an_order_counts_with_what_points_are_computed_on(tiers, account, customer):
    order = order_for(customer, "600.50", number="1")
    reward_purchase(order_id=order.pk, now=NOW)
    entry = QualifyingEntry.objects.get()
    # Shipping earns nothing, and counts for nothing.
    assert (entry.points, str(entry.spend), entry.currency) == (600, "600.50", "EUR")
    assert (entry.order_ref, entry.occurred_at) == ("1", NOW)
    assert tier_of(account) == "silver"


@pytest.mark.database
def test_a_cancelled_order_takes_back_the_tier_and_nothing_else(tiers, account, customer):
    order_for(customer, "600", number="1")
    second = order_for(customer, "400", number="2", at=NOW + DAY)
    third = order_for(customer, "10", number="3", at=NOW + 2 * DAY)
    assert tier_of(account) == "gold"
    second.set_status("Cancelled")
    for _ in range(2):
        reward_purchase(order_id=second.pk, now=NOW + 3 * DAY)
    assert tier_of(account) == "silver"
    assert TierChange.objects.latest("id").reason == "RETURNED"
    # What was placed meanwhile was placed by a Gold member.
    placed_by = find_tier_code(member_id=account.member_id, at=third.date_placed, before_order="3")
    assert placed_by == "gold"


@pytest.mark.database
def test_orders_that_earn_no_points_count_all_the_same(programme, customer):
    publish_tiers(programme, at=LONG_AGO + DAY, rate={"earn_points": 0})
    account = join_programme(user_id=customer.pk, now=LONG_AGO + DAY)
    order = order_for(customer, "500", number="1")
    assert not Entry.objects.exists()
    assert tier_of(account) == "silver"
    order.set_status("Cancelled")
    # Nobody was nudged: the sweep finds it.
    swept = sweep(now=NOW + DAY)
    assert (swept.failed, tier_of(account)) == (0, "")
    sweep(now=NOW + DAY)
    assert QualifyingEntry.objects.count() == 2


def test_without_tiers_an_order_costs_no_statement_more(account, customer):
    with CaptureQueriesContext(connection) as captured:
        order_for(customer, "500", number="1")
    assert not [query for query in captured if "oscar_loyalty_tierstatus" in query["sql"]]
    assert not [query for query in captured if "oscar_loyalty_qualifyingentry" in query["sql"]]
    assert not QualifyingEntry.objects.exists()
    assert not TierStatus.objects.exists()


@pytest.mark.database
def test_past_orders_count_too_and_those_that_were_booked_before_there_were_tiers(
    programme, account, customer
):
    order_for(customer, "400", number="1", at=NOW - 20 * DAY)
    place_order(user=customer, prices=("300",), number="2", at=NOW - 10 * DAY)
    gone = place_order(user=customer, prices=("900",), number="3", at=NOW - 9 * DAY)
    gone.set_status("Cancelled")
    publish_tiers(programme, at=NOW)
    period = Period(since=LONG_AGO, until=NOW + DAY)
    assert list(backfill(period=period, terms=Terms(), now=NOW, dry_run=True))
    assert not QualifyingEntry.objects.exists()
    for _ in range(2):
        list(backfill(period=period, terms=Terms(), now=NOW, batch_size=1))
    assert sorted(QualifyingEntry.objects.values_list("order_ref", "points")) == [("1", 400), ("2", 300)]
    assert recompute_due_tiers(now=NOW) == 1
    assert tier_of(account) == "silver"
    assert not list(check_tiers(now=NOW))


@pytest.mark.database
def test_who_leaves_loses_the_tier_and_who_comes_back_begins_anew(tiers, account, customer):
    order = order_for(customer, "600", number="1")
    leave_programme(user_id=customer.pk, now=NOW + DAY)
    assert tier_of(account) == ""
    again = join_programme(user_id=customer.pk, now=NOW + 2 * DAY)
    assert tier_of(again) == ""
    order_for(customer, "450", number="2", at=NOW + 3 * DAY)
    assert tier_of(again) == ""
    # An order of the time before does not take from the new beginning.
    order.set_status("Cancelled")
    reward_purchase(order_id=order.pk, now=NOW + 4 * DAY)
    order_for(customer, "50", number="3", at=NOW + 5 * DAY)
    assert tier_of(again) == "silver"
    assert not list(check_tiers(now=NOW + 6 * DAY))


@pytest.mark.database
def test_merged_members_bring_their_orders(tiers, account, customer):
    other = factories.UserFactory()
    source = join_programme(user_id=other.pk, now=LONG_AGO)
    order_for(other, "300", number="1")
    order_for(customer, "300", number="2")
    staff = factories.UserFactory()
    merge = request_merge(
        source_member_id=source.member_id, target_member_id=account.member_id, actor_id=staff.pk, now=NOW
    )
    book_merge(merge=merge, actor_id=staff.pk, now=NOW + DAY)
    assert tier_of(account) == "silver"
    order_for(other, "400", number="3", at=NOW + 2 * DAY)
    assert tier_of(account) == "gold"
    first = get_model("order", "Order").objects.get(number="1")
    first.set_status("Cancelled")
    reward_purchase(order_id=first.pk, now=NOW + 3 * DAY)
    assert tier_of(account) == "silver"


# What members read


def test_a_member_reads_what_is_missing_and_until_when(tiers, account, customer):
    order_for(customer, "916.80", number="1")
    progress = read_progress(member_id=account.member_id, now=NOW)
    assert (progress.tier.code, progress.next_tier.code) == ("silver", "gold")
    assert (str(progress.missing), progress.percent) == ("83.20", 91)
    assert progress.missing_until == progress.standing.due_at
    [line] = read_past_changes(member_id=account.member_id, table=progress.table)
    assert (line.from_name, line.to_name, line.order_ref) == ("", "Silver", "1")


def test_without_tiers_there_is_nothing_to_read(programme, account):
    assert read_progress(member_id=account.member_id, now=NOW) is None


# Mails


def test_a_member_is_warned_60_and_14_days_ahead_once_each(tiers, account, customer):
    ensure_mail_types()
    order_for(customer, "600", number="1")
    lost_at = TierStatus.objects.get().lost_at
    assert warn_of_tier_losses(now=lost_at - 61 * DAY) == 0
    for days in (60, 59, 15, 14, 1):
        now = lost_at - days * DAY
        recompute_due_tiers(now=now)
        warn_of_tier_losses(now=now)
        warn_of_tier_losses(now=now)
    assert len(mail.outbox) == 2
    text = mail.outbox[0].body
    assert "Silver" in text
    assert "400" in text
    assert mail.outbox[0].alternatives


def test_who_buys_enough_is_not_warned(tiers, account, customer):
    order_for(customer, "500", number="1")
    lost_at = TierStatus.objects.get().lost_at
    order_for(customer, "450", number="2", at=lost_at - 70 * DAY)
    assert warn_of_tier_losses(now=lost_at - 60 * DAY) == 0


def test_a_warning_that_could_not_be_sent_is_tried_again(tiers, account, customer, monkeypatch):
    order_for(customer, "600", number="1")
    now = TierStatus.objects.get().lost_at - 60 * DAY

    def fail(**values):
        raise ConnectionError

    monkeypatch.setattr("oscar_loyalty.flows.tier_notices.send_to_customer", fail)
    assert warn_of_tier_losses(now=now) == 0
    monkeypatch.undo()
    assert warn_of_tier_losses(now=now) == 1


def test_a_member_is_told_of_a_tier_they_have_reached_unless_it_is_gone_or_long_ago(
    tiers, account, customer, settings
):
    silver = order_for(customer, "600", number="1")
    change = TierChange.objects.get()
    settings.OSCAR_LOYALTY_TIER_MAIL = False
    tell_of_reached_tier(change_id=change.pk, now=NOW)
    settings.OSCAR_LOYALTY_TIER_MAIL = True
    tell_of_reached_tier(change_id=change.pk, now=NOW + 4 * DAY)
    assert not mail.outbox
    tell_of_reached_tier(change_id=change.pk, now=NOW + DAY)
    [message] = mail.outbox
    assert message.subject == "You have reached Silver"
    assert "400.00 to Gold by" in message.body.replace("\N{NO-BREAK SPACE}", " ")
    silver.set_status("Cancelled")
    reward_purchase(order_id=silver.pk, now=NOW + DAY)
    tell_of_reached_tier(change_id=change.pk, now=NOW + DAY)
    assert len(mail.outbox) == 1


def test_the_command_recomputes_and_checks(tiers, account, customer, capsys):
    order_for(customer, "600", number="1")
    call_command("loyalty_tiers", "--recompute", "--check")
    assert "Every tier is what" in capsys.readouterr().out
    TierStatus.objects.update(qualified=7)
    with pytest.raises(CommandError, match="1 differences"):
        call_command("loyalty_tiers", "--check")
    assert "qualified is 7" in capsys.readouterr().out
    call_command("loyalty_tiers", "--recompute")
    call_command("loyalty_tiers", "--check")
    call_command("loyalty_tiers")


def test_without_a_programme_the_command_says_what_to_do(db):
    with pytest.raises(CommandError, match="loyalty_setup"):
        call_command("loyalty_tiers", "--check")
    Programme.objects.create(code="default", name="Points")
    call_command("loyalty_tiers", "--check")
    assert publish is not None

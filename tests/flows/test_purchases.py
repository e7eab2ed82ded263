from datetime import timedelta
from decimal import Decimal
from functools import partial

import pytest
from oscar.core.loading import get_model
from oscar.test import factories

from oscar_loyalty.flows.expiry import settle_due_accounts
from oscar_loyalty.flows.membership import join_programme
from oscar_loyalty.flows.purchases import reward_purchase
from oscar_loyalty.points import services
from oscar_loyalty.points.models import EarnedLine, Entry, Lot
from oscar_loyalty.programmes.rules import FAR_FUTURE
from oscar_loyalty.shop.orders import list_missed_order_ids
from oscar_loyalty.testing.ledger import assert_ledger_balanced
from oscar_loyalty.tiers.models import PerkUse, QualifyingEntry, Tier, TierScheme

from .conftest import LONG_AGO, NOW, place_order, publish


def balance(account):
    assert_ledger_balanced(account)
    return account.pending, account.available, account.held, account.debt


def test_points_are_booked_pending_on_what_goods_cost_floored_once(account, customer):
    order = place_order(user=customer, prices=("39.80", "79.60"))
    reward_purchase(order_id=order.pk, now=NOW)
    assert balance(account) == (119, 0, 0, 0)
    # 39.80 and 79.60: the remainder goes to the line with the larger fraction.
    assert list(EarnedLine.objects.order_by("id").values_list("basis", "points")) == [
        (Decimal("39.80"), 40),
        (Decimal("79.60"), 79),
    ]
    entry = Entry.objects.get()
    assert entry.explanation["basis"] == "119.40"
    assert (entry.order_ref, entry.explanation["version"]) == ("100042", 1)


def test_rewarding_again_changes_nothing(account, customer):
    order = place_order(user=customer)
    for _ in range(3):
        reward_purchase(order_id=order.pk, now=NOW)
    assert balance(account) == (119, 0, 0, 0)


def test_points_become_spendable_after_status_and_waiting_period(account, customer):
    order = place_order(user=customer)
    reward_purchase(order_id=order.pk, now=NOW)
    assert Lot.objects.get().active_at == FAR_FUTURE
    for status in ("Being processed", "Shipped", "Complete"):
        order.set_status(status)
    reached = get_model("order", "OrderStatusChange").objects.latest("pk").date_created
    reward_purchase(order_id=order.pk, now=reached)
    assert balance(account) == (119, 0, 0, 0)
    settle_due_accounts(now=reached + timedelta(days=14) - timedelta(seconds=1))
    assert balance(account) == (119, 0, 0, 0)
    settle_due_accounts(now=reached + timedelta(days=14))
    assert balance(account) == (0, 119, 0, 0)


def test_without_a_status_the_waiting_period_starts_with_the_order(programme, account, customer):
    publish(programme, at=NOW - timedelta(days=1), now=NOW - timedelta(days=1), spendable_status="")
    order = place_order(user=customer)
    reward_purchase(order_id=order.pk, now=NOW)
    assert Lot.objects.get().active_at == NOW + timedelta(days=14)


def test_a_status_set_without_history_counts_from_when_it_is_seen(account, customer):
    order = place_order(user=customer)
    reward_purchase(order_id=order.pk, now=NOW)
    get_model("order", "Order").objects.update(status="Complete")
    assert list(list_missed_order_ids(placed_after=LONG_AGO)) == [order.pk]
    reward_purchase(order_id=order.pk, now=NOW + timedelta(days=5))
    assert Lot.objects.get().active_at == NOW + timedelta(days=19)


def test_an_order_is_judged_by_the_version_in_force_when_it_was_placed(programme, account, customer):
    order = place_order(user=customer)
    later = NOW + timedelta(days=1)
    publish(programme, at=later, now=later, rate={"earn_points": 5})
    reward_purchase(order_id=order.pk, now=later + timedelta(days=1))
    assert balance(account)[0] == 119


def test_guests_strangers_and_orders_from_before_joining_earn_nothing(programme):
    guest = place_order(user=None, number="1")
    stranger = factories.UserFactory()
    theirs = place_order(user=stranger, number="2")
    for order in (guest, theirs):
        reward_purchase(order_id=order.pk, now=NOW)
    joined = NOW + timedelta(days=30, seconds=1)
    join_programme(user_id=stranger.pk, now=joined)
    reward_purchase(order_id=theirs.pk, now=joined)
    assert not Entry.objects.exists()


def test_shipping_counts_only_when_the_programme_says_so(programme, account, customer):
    publish(programme, at=NOW - timedelta(days=1), now=NOW - timedelta(days=1), includes_shipping=True)
    order = place_order(user=customer, prices=("10.10",), shipping="4.90")
    reward_purchase(order_id=order.pk, now=NOW)
    assert balance(account)[0] == 15


def test_the_basis_may_be_the_price_without_vat(programme, account, customer):
    publish(programme, at=NOW - timedelta(days=1), now=NOW - timedelta(days=1), includes_tax=False)
    order = place_order(user=customer, prices=("119.00",))
    reward_purchase(order_id=order.pk, now=NOW)
    assert balance(account)[0] == 100


def test_products_below_an_excluded_category_earn_nothing(programme, account, customer):
    order = place_order(user=customer, prices=("50.00", "10.00"))
    # After the factories, which number the tree's roots themselves.
    gifts = get_model("catalogue", "Category").add_root(name="Gifts")
    cards = gifts.add_child(name="Gift cards")
    card = order.lines.order_by("pk").first().product
    card.productcategory_set.all().delete()
    get_model("catalogue", "ProductCategory").objects.create(product=card, category=cards)
    publish(
        programme,
        at=NOW - timedelta(days=1),
        now=NOW - timedelta(days=1),
        excluded_category_ids=[gifts.pk],
    )
    reward_purchase(order_id=order.pk, now=NOW)
    assert balance(account)[0] == 10


def test_an_excluded_product_type_earns_nothing_in_its_variants_too(programme, account, customer):
    order = place_order(user=customer, prices=("50.00", "10.00"))
    line = order.lines.order_by("pk").first()
    parent = factories.ProductFactory(structure="parent", stockrecords=[])
    line.product = factories.ProductFactory(structure="child", parent=parent, product_class=None)
    line.save()
    other = factories.ProductClassFactory(name="Other things")
    rest = order.lines.order_by("pk").last().product
    rest.product_class = other
    rest.save()
    publish(
        programme,
        at=NOW - timedelta(days=1),
        now=NOW - timedelta(days=1),
        excluded_product_class_ids=[parent.product_class_id],
    )
    reward_purchase(order_id=order.pk, now=NOW)
    assert balance(account)[0] == 10


def test_a_paused_programme_earns_nothing_and_still_undoes(programme, account, customer):
    order = place_order(user=customer)
    reward_purchase(order_id=order.pk, now=NOW)
    programme.earning_paused = True
    programme.save()
    other = place_order(user=customer, number="100043")
    reward_purchase(order_id=other.pk, now=NOW)
    assert balance(account)[0] == 119
    order.set_status("Cancelled")
    reward_purchase(order_id=order.pk, now=NOW)
    assert balance(account) == (0, 0, 0, 0)


def test_a_currency_without_a_rate_earns_nothing(account, customer):
    order = place_order(user=customer)
    order.currency = "SEK"
    order.save()
    reward_purchase(order_id=order.pk, now=NOW)
    assert not Entry.objects.exists()


@pytest.fixture
def order_paid_with_points(account, customer):
    first = place_order(user=customer, number="1", prices=("500.00",), at=NOW - timedelta(days=60))
    get_model("order", "Order").objects.filter(pk=first.pk).update(status="Complete")
    reward_purchase(order_id=first.pk, now=NOW - timedelta(days=50))
    services.hold_points(
        account_id=account.pk,
        ref="basket:9",
        requested=300,
        currency="EUR",
        expires_at=NOW + timedelta(hours=1),
        now=NOW,
    )
    order = place_order(user=customer, number="2", prices=("100.00",))
    services.capture_hold(ref="basket:9", points=300, amount=Decimal("3.00"), order_ref="2", now=NOW)
    return order


def test_cancelling_gives_spent_points_back_and_voids_pending_ones_once(account, order_paid_with_points):
    order = order_paid_with_points
    reward_purchase(order_id=order.pk, now=NOW)
    assert balance(account) == (100, 200, 0, 0)
    order.set_status("Cancelled")
    for _ in range(3):
        reward_purchase(order_id=order.pk, now=NOW)
    assert balance(account) == (0, 500, 0, 0)


def test_an_order_that_is_opened_again_is_as_before_and_can_be_cancelled_again(
    account, order_paid_with_points, programme
):
    version = programme.versions.get()
    TierScheme.objects.create(version=version)
    Tier.objects.create(
        version=version, code="silver", name_de="S", name_en="S", rank=1, entry_threshold=1, keep_threshold=1
    )
    order = order_paid_with_points
    reward_purchase(order_id=order.pk, now=NOW)
    perk = PerkUse.objects.create(
        programme=programme,
        member_id=account.member_id,
        kind="FREE_SHIPPING",
        order_ref=order.number,
        used_at=NOW,
    )
    orders = get_model("order", "Order").objects.filter(pk=order.pk)
    changes = get_model("order", "OrderStatusChange").objects
    times = {"now": NOW}
    for _time in range(3):
        for old, new, points, counts in (
            ("Pending", "Cancelled", (0, 500, 0, 0), 0),
            ("Cancelled", "Pending", (100, 200, 0, 0), 1),
        ):
            # Oscar's pipeline is the shop's: it may lead out of a cancellation.
            orders.update(status=new)
            changes.create(order=order, old_status=old, new_status=new)
            assert order.pk in list(list_missed_order_ids(placed_after=NOW - timedelta(days=400)))
            times["now"] += timedelta(hours=1)
            for _again in range(2):
                reward_purchase(order_id=order.pk, now=times["now"])
            assert order.pk not in list(list_missed_order_ids(placed_after=NOW - timedelta(days=400)))
            account.refresh_from_db()
            assert balance(account) == points
            counted = QualifyingEntry.objects.filter(order_ref=order.number)
            assert sum(entry.orders for entry in counted) == counts
            assert sum(entry.spend for entry in counted) == counts * 100
            perk.refresh_from_db()
            assert (perk.undone_at is None) == bool(counts)


def test_an_order_that_counts_and_earns_nothing_counts_again_when_it_is_opened_again(
    account, customer, programme
):
    version = programme.versions.get()
    TierScheme.objects.create(version=version)
    order = place_order(user=customer, prices=("0.50",))
    changes = get_model("order", "OrderStatusChange").objects
    counted = QualifyingEntry.objects.filter(order_ref=order.number)
    for old, new in [("Cancelled", "Pending"), ("Pending", "Cancelled")] * 3:
        get_model("order", "Order").objects.filter(pk=order.pk).update(status=new)
        changes.create(order=order, old_status=old, new_status=new)
        if counted.exists():
            assert order.pk in list(list_missed_order_ids(placed_after=NOW - timedelta(days=400)))
        for _again in range(2):
            reward_purchase(order_id=order.pk, now=NOW)
        counts = int(new == "Pending")
        assert sum(entry.orders for entry in counted.all()) == counts
        assert sum(entry.spend for entry in counted.all()) == counts * Decimal("0.50")
    assert not Entry.objects.exists()


def test_points_that_a_cancellation_gave_back_and_are_spent_are_owed_when_it_is_opened_again(
    account, order_paid_with_points
):
    order = order_paid_with_points
    reward_purchase(order_id=order.pk, now=NOW)
    order.set_status("Cancelled")
    reward_purchase(order_id=order.pk, now=NOW)
    services.adjust_points(
        account_id=account.pk,
        points=-400,
        reason_code="CORRECTION",
        idempotency_key="elsewhere",
        expiry_months=12,
        unit_value=Decimal("0.01"),
        currency="EUR",
        actor_ref="test",
        now=NOW,
    )
    get_model("order", "Order").objects.filter(pk=order.pk).update(status="Pending")
    reward_purchase(order_id=order.pk, now=NOW)
    account.refresh_from_db()
    assert balance(account) == (100, 0, 0, 200)


def test_an_order_cancelled_before_it_was_rewarded_earns_nothing(account, order_paid_with_points):
    order = order_paid_with_points
    order.set_status("Cancelled")
    for _ in range(2):
        reward_purchase(order_id=order.pk, now=NOW)
    assert balance(account) == (0, 500, 0, 0)
    assert account.earned == 500


def test_the_sweep_finds_orders_whose_nudge_was_lost(account, customer, order_paid_with_points):
    lost = place_order(user=customer, number="3")
    assert set(list_missed_order_ids(placed_after=LONG_AGO)) == {order_paid_with_points.pk, lost.pk}
    for order_id in list(list_missed_order_ids(placed_after=LONG_AGO)):
        reward_purchase(order_id=order_id, now=NOW)
    assert list(list_missed_order_ids(placed_after=LONG_AGO)) == []
    get_model("order", "Order").objects.filter(pk=lost.pk).update(status="Cancelled")
    assert list(list_missed_order_ids(placed_after=LONG_AGO)) == [lost.pk]
    reward_purchase(order_id=lost.pk, now=NOW)
    assert list(list_missed_order_ids(placed_after=LONG_AGO)) == []


def test_a_cancelled_order_of_which_a_part_was_returned_before_is_not_undone_yet(
    account, order_paid_with_points
):
    order = order_paid_with_points
    reward_purchase(order_id=order.pk, now=NOW)
    earned = Entry.objects.get(kind=Entry.Kind.EARN, order_ref=order.number)
    spent = Entry.objects.get(kind=Entry.Kind.SPEND, order_ref=order.number)
    taken = services.clawback_points(
        account_id=account.pk, earned=earned, idempotency_key="r1", points=earned.points // 2, now=NOW
    )
    back = partial(services.return_spend, account_id=account.pk, spent=spent, grace_days=30, now=NOW)
    back(idempotency_key="r1-spend", points=1)
    assert list(list_missed_order_ids(placed_after=LONG_AGO)) == []
    get_model("order", "Order").objects.filter(pk=order.pk).update(status="Cancelled")
    assert list(list_missed_order_ids(placed_after=LONG_AGO)) == [order.pk]
    reward_purchase(order_id=order.pk, now=NOW)
    assert list(list_missed_order_ids(placed_after=LONG_AGO)) == []
    # What was undone of that again does not count.
    services.undo_clawback(
        account_id=account.pk, clawback=taken, idempotency_key="w1", grace_days=30, now=NOW
    )
    assert list(list_missed_order_ids(placed_after=LONG_AGO)) == [order.pk]
    services.clawback_points(account_id=account.pk, earned=earned, idempotency_key="r2", now=NOW)
    assert list(list_missed_order_ids(placed_after=LONG_AGO)) == []
    returned = Entry.objects.filter(kind=Entry.Kind.SPEND_RETURN).latest("pk")
    services.undo_spend_return(account_id=account.pk, returned=returned, idempotency_key="w2", now=NOW)
    assert list(list_missed_order_ids(placed_after=LONG_AGO)) == [order.pk]

"""
Another session comes in between, at the line where it would hurt most.

Not on SQLite: there a transaction has the whole database, so that nobody can come in between.
"""

from datetime import timedelta
from functools import partial

import pytest
from django.db import IntegrityError
from django.utils import timezone
from oscar.core.loading import get_model

from oscar_loyalty.flows.redemption import RedemptionRefused, redeem
from oscar_loyalty.points import services
from oscar_loyalty.points.models import Account, Hold
from oscar_loyalty.shop.offers import ensure_offer
from oscar_loyalty.testing.ledger import assert_ledger_balanced
from tests.shop import world

from .hooks import in_another_session, run_after, run_before
from .ledger import NOW, award, capture, hold, in_order, make_account, release
from .ledger import redeem as spend

pytestmark = [
    pytest.mark.database,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("row_locks"),
]
LOCK = "oscar_loyalty.points.book:Book._lock"


@pytest.fixture(autouse=True)
def portable_path(settings):
    """The lines of the fast path are inside one statement."""
    settings.OSCAR_LOYALTY_FAST_PATH = False


def elsewhere(job, *args, **kwargs):
    return partial(in_another_session, partial(job, *args, **kwargs))


def test_what_another_session_spends_before_the_lock_is_seen_after_it():
    account = make_account(100)
    with run_before(LOCK, elsewhere(spend, account, 70, basket="other")):
        assert hold(account, 100).points == 30
    assert (in_order(account).held, account.spent) == (30, 70)


def test_a_hold_that_is_released_between_reading_it_and_the_lock_is_not_captured():
    account = make_account(100)
    hold(account, 80)
    with run_before(LOCK, elsewhere(release, account)) as others, pytest.raises(services.HoldNotOpen):
        capture(account, 80)
    assert others == [80]
    assert (in_order(account).available, account.spent) == (100, 0)


def test_a_hold_that_is_captured_between_reading_it_and_the_lock_is_not_released():
    account = make_account(100)
    hold(account, 80)
    with run_before(LOCK, elsewhere(capture, account, 80)):
        assert release(account) == 0
    assert (in_order(account).available, account.spent) == (20, 80)


def test_the_same_award_booked_just_before_the_lock_is_found():
    account = make_account()
    with run_before(LOCK, elsewhere(award, account, 50)) as others:
        assert [award(account, 50)] == others
    assert in_order(account).available == 50


def test_an_account_frozen_just_before_the_lock_gives_no_points():
    account = make_account(100)

    def freeze():
        Account.objects.filter(pk=account.pk).update(status="FROZEN")

    with run_before(LOCK, elsewhere(freeze)), pytest.raises(services.AccountNotOpen):
        hold(account, 50)
    assert in_order(account).held == 0


def test_a_clawback_follows_a_merge_that_comes_before_its_lock():
    source, target = make_account(), make_account(10)
    earned = award(source, 100)
    merge = partial(
        services.merge_accounts,
        source_id=source.pk,
        target_id=target.pk,
        idempotency_key="merge",
        actor_ref="user:1",
        now=NOW,
    )
    with run_before("oscar_loyalty.points.book:Book.open_all", elsewhere(merge)):
        services.clawback_points(account_id=source.pk, earned=earned, idempotency_key="cancel", now=NOW)
    assert (in_order(source).available, in_order(target).available) == (0, 10)


def test_points_spent_after_the_transfer_has_read_its_accounts_are_not_given_away():
    giver, receiver = make_account(100), make_account()
    give = partial(
        services.transfer_points,
        from_account_id=giver.pk,
        to_account_id=receiver.pk,
        points=60,
        idempotency_key="transfer",
        actor_ref="user:1",
        now=NOW,
    )
    with (
        run_before(LOCK, elsewhere(spend, giver, 50, basket="other")),
        pytest.raises(services.InsufficientPoints),
    ):
        give()
    assert (in_order(giver).available, in_order(receiver).available) == (50, 0)


def test_a_lot_that_expires_between_quote_and_hold_is_not_reserved():
    account = make_account(100, months=1)
    later = NOW + timedelta(days=60)
    account.refresh_from_db()
    assert account.available == 100
    settle = elsewhere(services.settle_account, account_id=account.pk, now=later)
    with run_before(LOCK, settle), pytest.raises(services.InsufficientPoints):
        hold(account, 100, now=later)
    assert in_order(account).expired == 100


# A basket that changes between what was shown and what is reserved


@pytest.fixture
def shopping():
    ensure_offer()
    world.make_programme()
    member = world.make_member(points=3000)
    basket = get_model("basket", "Basket").objects.create(owner=member.user)
    basket.strategy = world.PricesWithTax()
    basket.add_product(world.make_product("30.00", stock=100))
    return member, world.load(basket)


def test_a_basket_emptied_just_before_its_points_are_reserved_reserves_what_it_can_use(shopping):
    member, basket = shopping
    empty = partial(get_model("basket", "Line").objects.filter(basket_id=basket.pk).update, quantity=0)
    redeem(basket=basket, points=3000, now=timezone.now())
    with run_before("oscar_loyalty.flows.redemption:lock_basket", elsewhere(empty)):
        try:
            result = redeem(basket=basket, points=2000, now=timezone.now())
        except RedemptionRefused as refused:
            result = refused
    member.refresh_from_db()
    assert_ledger_balanced(member)
    assert isinstance(result, RedemptionRefused) or result.applied <= 2000
    assert member.available + member.held == 3000


def test_a_basket_ordered_just_before_it_is_locked_reserves_nothing_more(shopping):
    member, basket = shopping
    submit = partial(get_model("basket", "Basket").objects.filter(pk=basket.pk).update, status="Submitted")
    with (
        run_before("oscar_loyalty.flows.redemption:lock_basket", elsewhere(submit)),
        pytest.raises(RedemptionRefused),
    ):
        redeem(basket=basket, points=1000, now=timezone.now())
    member.refresh_from_db()
    assert (member.available, member.held) == (3000, 0)
    assert not Hold.objects.exists()


# Without its protection


def test_without_the_lock_what_was_spent_in_between_is_spent_again(monkeypatch):
    """The account is read, another session spends, and what was read is believed."""
    account = make_account(100)
    monkeypatch.setattr("django.db.models.QuerySet.select_for_update", lambda self, **_: self.all())
    between = elsewhere(spend, account, 70, basket="other")
    with run_after(LOCK, between), pytest.raises(IntegrityError, match="loyalty_entry_seq_once"):
        hold(account, 100)
    # What stopped it is that an account has each entry number once.
    assert in_order(account).spent == 70

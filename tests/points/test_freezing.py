"""Staff stop an account and let it go on."""

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model

from oscar_loyalty.points import services
from oscar_loyalty.points.models import Account, Freeze

from .conftest import NOW
from .test_closing import close
from .test_moving import make_account
from .test_services import award, balance

LATER = NOW + timedelta(days=1)


@pytest.fixture
def clerk(db):
    return get_user_model().objects.create(username="clerk", email="clerk@example.com")


@pytest.fixture
def boss(db):
    return get_user_model().objects.create(username="boss", email="boss@example.com")


def freeze(account, *, by, note="Two people log in", now=NOW):
    return services.freeze_account(account_id=account.pk, actor_id=by.pk, note=note, now=now)


def unfreeze(account, *, by, now=LATER):
    services.unfreeze_account(account_id=account.pk, actor_id=by.pk, now=now)
    account.refresh_from_db()


def test_who_stopped_an_account_and_who_let_it_go_on_is_kept(account, clerk, boss):
    frozen = freeze(account, by=clerk)
    account.refresh_from_db()
    assert account.status == Account.Status.FROZEN
    assert (frozen.account, frozen.note, frozen.frozen_by) == (account, "Two people log in", clerk)
    assert (frozen.frozen_at, frozen.lifted_by, frozen.lifted_at) == (NOW, None, None)
    unfreeze(account, by=boss)
    frozen.refresh_from_db()
    assert account.status == Account.Status.OPEN
    assert (frozen.frozen_by, frozen.lifted_by, frozen.lifted_at) == (clerk, boss, LATER)


def test_an_account_frozen_twice_stays_as_the_first_one_froze_it(programme, account, clerk, boss):
    first = freeze(account, by=clerk)
    freeze(make_account(programme), by=boss)
    assert freeze(account, by=boss, note="Another reason", now=LATER) == first
    assert Freeze.objects.get(account=account).frozen_by == clerk


def test_an_account_frozen_again_keeps_how_it_was_before(account, clerk, boss):
    freeze(account, by=clerk)
    unfreeze(account, by=clerk)
    freeze(account, by=boss, now=LATER)
    unfreeze(account, by=boss, now=LATER + timedelta(days=1))
    assert list(Freeze.objects.order_by("id").values_list("frozen_by", "lifted_by", "lifted_at")) == [
        (clerk.pk, clerk.pk, LATER),
        (boss.pk, boss.pk, LATER + timedelta(days=1)),
    ]


def test_an_account_frozen_without_a_word_gets_one(account, clerk, boss):
    freeze(account, by=boss)
    unfreeze(account, by=boss)
    Account.objects.update(status=Account.Status.FROZEN)
    frozen = freeze(account, by=clerk, now=LATER)
    assert (frozen.frozen_by, frozen.frozen_at, frozen.lifted_at) == (clerk, LATER, None)
    assert Freeze.objects.count() == 2


def test_only_the_account_that_was_named_is_stopped_and_goes_on(programme, account, clerk):
    other = make_account(programme)
    freeze(account, by=clerk)
    other.refresh_from_db()
    assert other.status == Account.Status.OPEN
    assert freeze(other, by=clerk).account == other
    unfreeze(account, by=clerk)
    other.refresh_from_db()
    assert other.status == Account.Status.FROZEN
    assert Freeze.objects.get(lifted_at=None).account == other


def test_what_is_not_frozen_is_not_unfrozen(account, clerk):
    unfreeze(account, by=clerk)
    assert account.status == Account.Status.OPEN
    assert not Freeze.objects.exists()


def test_what_has_ended_is_neither_frozen_nor_opened(account, clerk):
    close(account)
    with pytest.raises(services.AccountNotOpen):
        freeze(account, by=clerk)
    with pytest.raises(services.AccountNotOpen):
        unfreeze(account, by=clerk)
    account.refresh_from_db()
    assert account.status == Account.Status.CLOSED
    assert not Freeze.objects.exists()


def test_what_expires_on_a_frozen_account_expires(account, clerk):
    award(account, 100, months=1)
    freeze(account, by=clerk)
    unfreeze(account, by=clerk, now=NOW + timedelta(days=60))
    assert balance(account) == (0, 0, 0, 0)
    assert account.expired == 100

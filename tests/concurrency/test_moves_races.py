"""Moves between accounts while something else happens to them; test_two_account_races has both directions."""

from datetime import timedelta
from decimal import Decimal
from functools import partial

import pytest
from django.db import connection

from oscar_loyalty.members.models import Member
from oscar_loyalty.points import services
from oscar_loyalty.points.models import Entry
from oscar_loyalty.programmes.models import Programme
from oscar_loyalty.testing.ledger import assert_ledger_balanced, assert_moves_balanced

from .race import run_at_once
from .test_points_races import NOW

pytestmark = [
    pytest.mark.database,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("row_locks"),
]

ROUNDS = 5


def make_account(points=0, *, order="1"):
    programme, _ = Programme.objects.get_or_create(code="default", defaults={"name": "Points"})
    member = Member.objects.create(joined_at=NOW, terms_version="1", terms_accepted_at=NOW)
    account = services.open_account(member_id=member.pk, programme_id=programme.pk)
    if points:
        services.award_points(
            account_id=account.pk,
            points=points,
            idempotency_key=f"purchase:{order}",
            source_ref=f"order:{order}",
            order_ref=order,
            active_at=NOW,
            expiry_months=36,
            unit_value=Decimal("0.01"),
            currency="EUR",
            now=NOW,
        )
    return account


def balance(*accounts):
    assert_moves_balanced(accounts)
    for account in accounts:
        assert_ledger_balanced(account)
    return [(account.available, account.debt) for account in accounts]


@pytest.fixture(autouse=True)
def first_try_counts(monkeypatch):
    """A deadlock is a failure here, however well the next try may go."""
    monkeypatch.setattr("oscar_loyalty.transactions.RETRIES", 0)


def give(giver, receiver, points, *, key):
    return services.transfer_points(
        from_account_id=giver.pk,
        to_account_id=receiver.pk,
        points=points,
        idempotency_key=key,
        actor_ref="user:1",
        now=NOW,
    )


def test_the_same_points_are_given_to_one_of_many():
    for _ in range(ROUNDS):
        giver = make_account(100)
        receivers = [make_account() for _ in range(8)]
        results = run_at_once(
            [partial(give, giver, receiver, 100, key=f"t:{receiver.pk}") for receiver in receivers]
        )
        kinds = sorted(type(result).__name__ for result in results)
        assert kinds == ["InsufficientPoints"] * 7 + ["tuple"]
        assert sum(available for available, _ in balance(giver, *receivers)) == 100


def merge(source, target, *, key="merge:1"):
    return services.merge_accounts(
        source_id=source.pk, target_id=target.pk, idempotency_key=key, actor_ref="user:1", now=NOW
    )


@pytest.fixture
def second_tries_where_savepoints_keep_locks(monkeypatch, first_try_counts):
    """
    Whoever finds that an account was merged meanwhile lets go of it and locks both in order. MariaDB keeps
    a row lock that was taken after a savepoint, so that two may wait in a circle there; the one that the
    database ends is tried again.
    """
    if connection.vendor == "mysql":
        monkeypatch.setattr("oscar_loyalty.transactions.RETRIES", 5)


@pytest.mark.usefixtures("second_tries_where_savepoints_keep_locks")
@pytest.mark.parametrize("source_is_older", [True, False])
def test_orders_undone_while_their_accounts_merge_are_undone_once(source_is_older):
    """Clawback and return, each twice, against the merge and its repetition, from both sides."""
    for number in range(ROUNDS):
        first, second = make_account(), make_account()
        source, target = (first, second) if source_is_older else (second, first)
        earned = services.award_points(
            account_id=source.pk,
            points=100,
            idempotency_key="purchase:1",
            source_ref="order:1",
            active_at=NOW,
            expiry_months=36,
            unit_value=Decimal("0.01"),
            currency="EUR",
            now=NOW,
        )
        ref = f"basket:{source.pk}-{number}"
        services.hold_points(
            account_id=source.pk,
            ref=ref,
            requested=60,
            currency="EUR",
            expires_at=NOW + timedelta(minutes=30),
            now=NOW,
        )
        spent = services.capture_hold(
            ref=ref, points=60, amount=Decimal("0.60"), order_ref=f"{source.pk}-{number}", now=NOW
        )
        back = partial(
            services.return_spend,
            account_id=source.pk,
            spent=spent,
            idempotency_key="undo",
            grace_days=30,
            now=NOW,
        )
        away = partial(
            services.clawback_points, account_id=source.pk, earned=earned, idempotency_key="claw", now=NOW
        )
        join = partial(merge, source, target)
        results = run_at_once([back, join, away, back, away, join, back, away])
        assert not [result for result in results if isinstance(result, Exception)], results
        assert balance(source, target) == [(0, 0), (0, 0)]
        assert Entry.objects.filter(reverses=earned).count() == 1
        assert Entry.objects.filter(reverses=spent).count() == 1

"""Two browsers of the staff at once: a correction is booked, undone and asked for once."""

from decimal import Decimal
from functools import partial

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone

from oscar_loyalty.flows import adjustments as flow
from oscar_loyalty.flows.membership import join_programme
from oscar_loyalty.points import services
from oscar_loyalty.points.models import Adjustment
from oscar_loyalty.programmes.services import set_up_programme
from oscar_loyalty.testing.ledger import assert_ledger_balanced

from .race import run_at_once

pytestmark = [
    pytest.mark.database,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("row_locks"),
]
SESSIONS = 8


@pytest.fixture
def clerk():
    return get_user_model().objects.create_user("clerk", "clerk@example.com", "secret")


@pytest.fixture
def account(clerk):
    set_up_programme(
        code="default",
        name="Points",
        time_zone="Europe/Berlin",
        currencies=["EUR"],
        terms_version="1",
        now=timezone.now(),
    )
    account = join_programme(user_id=clerk.pk, now=timezone.now())
    services.adjust_points(
        account_id=account.pk,
        points=100,
        reason_code="GOODWILL",
        idempotency_key="first",
        expiry_months=36,
        unit_value=Decimal("0.01"),
        currency="EUR",
        actor_ref="system",
        now=timezone.now(),
    )
    return account


def request(account, clerk, points=50):
    return services.request_adjustment(
        account_id=account.pk, points=points, reason_code="GOODWILL", actor_id=clerk.pk, now=timezone.now()
    )


def available(account):
    account.refresh_from_db()
    assert_ledger_balanced(account)
    return account.available


def test_the_same_wish_at_once_is_noted_once(account, clerk):
    results = run_at_once([partial(request, account, clerk)] * SESSIONS)
    assert {result.pk for result in results} == {Adjustment.objects.get().pk}


def test_a_correction_that_is_booked_at_once_by_many_is_booked_once(account, clerk):
    adjustment = request(account, clerk)
    book = partial(flow.book_adjustment, adjustment=adjustment, actor_id=clerk.pk, now=timezone.now())
    results = run_at_once([book] * SESSIONS)
    assert {result.entry_id for result in results} == {Adjustment.objects.get().entry_id}
    assert available(account) == 150


def test_a_correction_that_is_undone_at_once_by_many_is_undone_once(account, clerk):
    adjustment = request(account, clerk)
    flow.book_adjustment(adjustment=adjustment, actor_id=clerk.pk, now=timezone.now())
    undo = partial(flow.undo_adjustment, adjustment=adjustment, actor_id=clerk.pk, now=timezone.now())
    results = run_at_once([undo] * SESSIONS)
    assert len({result.pk for result in results}) == 1
    assert Adjustment.objects.count() == 2
    assert available(account) == 100


def test_a_correction_is_either_booked_or_discarded(account, clerk):
    adjustment = request(account, clerk)
    book = partial(flow.book_adjustment, adjustment=adjustment, actor_id=clerk.pk, now=timezone.now())
    discard = partial(
        services.reject_adjustment, adjustment=adjustment, actor_id=clerk.pk, now=timezone.now()
    )
    run_at_once([book, discard] * (SESSIONS // 2))
    adjustment.refresh_from_db()
    assert (adjustment.state, available(account)) in {("BOOKED", 150), ("REJECTED", 100)}

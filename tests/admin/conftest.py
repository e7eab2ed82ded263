from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.utils import timezone

from oscar_loyalty.flows.membership import join_programme
from oscar_loyalty.points import services
from oscar_loyalty.programmes.services import set_up_programme

START = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)


@pytest.fixture
def programme(db):
    return set_up_programme(
        code="default",
        name="Punkte",
        time_zone="Europe/Berlin",
        currencies=["EUR"],
        terms_version="1",
        now=START,
    )


@pytest.fixture
def make_member(programme):
    """A member with ``points`` spendable points, earned by one order each of 100."""

    def make(username="anna", *, points=0, first_name="Anna", last_name="Berg"):
        user = make_user(username, first_name=first_name, last_name=last_name)
        account = join_programme(user_id=user.pk, now=START, marketing=True)
        if points:
            award(account, points, order=f"{username}-1")
        return account

    return make


def make_user(name, *, is_staff=False, **values):
    """A customer of whatever kind the host has; some sign in by e-mail and have no user name."""
    model = get_user_model()
    if model.USERNAME_FIELD == "username":
        values["username"] = name
    user = model.objects.create_user(email=f"{name}@example.com", password="secret", **values)
    if is_staff:
        model.objects.filter(pk=user.pk).update(is_staff=True)
    return user


def award(account, points, *, order, active_at=START, now=None, lines=()):
    return services.award_points(
        account_id=account.pk,
        points=points,
        idempotency_key=f"purchase:{order}",
        source_ref=f"order:{order}",
        order_ref=order,
        active_at=active_at,
        expiry_months=36,
        unit_value=Decimal("0.01"),
        currency="EUR",
        explanation={
            "rule": "PURCHASE",
            "version": 1,
            "earn_points": 1,
            "earn_amount": "1.00",
            "currency": "EUR",
            "basis": f"{points}.40",
            "includes_tax": True,
            "includes_shipping": False,
            "rounding": "FLOOR_ONCE",
        },
        now=now or START + timedelta(days=1),
        lines=lines,
    )


def hold(account, points, *, ref="basket:1"):
    return services.hold_points(
        account_id=account.pk,
        ref=ref,
        requested=points,
        currency="EUR",
        expires_at=timezone.now() + timedelta(minutes=30),
        now=timezone.now(),
    )


@pytest.fixture
def clerk(client, db):
    """A client of somebody on the staff who may do what is asked for."""

    def log_in(*codenames):
        user = make_user("clerk", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        client.force_login(user)
        return client

    return log_in

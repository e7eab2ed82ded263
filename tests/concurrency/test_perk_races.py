"""Two orders of one member at once, and one use left of a perk."""

from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from oscar.test import factories

from oscar_loyalty.flows.membership import join_programme
from oscar_loyalty.tiers import perk_services
from oscar_loyalty.tiers.entitlements import find_entitlements
from oscar_loyalty.tiers.models import PerkUse
from tests.shop import world
from tests.tiers.perk_world import give, make_tiers, put_into_tier

from .race import run_at_once

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

ORDERS = 4
ROUNDS = 5


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time")
@pytest.mark.parametrize("granted", [True, False], ids=["a grant", "a tier's perk"])
@pytest.mark.parametrize("guarded", [True, False], ids=["locked", "without the lock"])
def test_the_last_use_is_taken_by_one_order(granted: bool, guarded: bool, monkeypatch: Any) -> None:
    """Without the lock several orders would have it; this shows that the race is one."""
    programme = world.make_programme()
    if not guarded:
        monkeypatch.setattr(perk_services, "_lock", lambda *args: None)
        look = perk_services._check_left

        def look_and_wait(*args: Any, **values: Any) -> None:
            look(*args, **values)
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_sleep(0.2)" if connection.vendor == "postgresql" else "SELECT SLEEP(0.2)"
                )

        monkeypatch.setattr(perk_services, "_check_left", look_and_wait)
    if not granted:
        make_tiers(programme, silver=[("FREE_SHIPPING", {}, 1)])
    most = 0
    for number in range(ROUNDS):
        if most > 1:
            break  # The race has been lost.
        member = join_programme(user_id=factories.UserFactory().pk, now=timezone.now()).member
        if granted:
            give(member, "FREE_SHIPPING", programme=programme, uses_allowed=1)
        else:
            put_into_tier(member, "silver", programme=programme)
        entitled = find_entitlements(user_id=member.user_id, now=timezone.now())

        def use(order: int, number: int = number, entitled: Any = entitled) -> Any:
            return perk_services.record_use(
                entitlement=entitled.find("FREE_SHIPPING"),
                entitled=entitled,
                order_ref=f"{number}-{order}",
                saved=Decimal("4.90"),
                currency="EUR",
                now=timezone.now(),
            )

        results = run_at_once([lambda order=order, use=use: use(order) for order in range(ORDERS)])
        others = [one for one in results if not isinstance(one, PerkUse)]
        assert all(isinstance(one, perk_services.PerkUsedUp) for one in others), others
        most = max(most, ORDERS - len(others))
        assert PerkUse.objects.filter(member=member, undone_at=None).count() == ORDERS - len(others)
    assert (most == 1) == guarded

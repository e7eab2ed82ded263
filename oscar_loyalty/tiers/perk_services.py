"""Writes about perks: grants given and taken back, uses recorded and undone, promises frozen."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from oscar_loyalty.programmes.rules import FAR_FUTURE
from oscar_loyalty.tiers.entitlements import PERIOD, Entitlement, Entitlements
from oscar_loyalty.tiers.models import OrderPerks, PerkGrant, PerkUse, TierPerk, TierStatus
from oscar_loyalty.tiers.perks import check_limit, perks


class PerkUsedUp(Exception):
    """The last use of a limited perk has been taken, or the perk has been taken back, meanwhile."""


class GrantOver(Exception):
    """A grant that was taken back, or has ended, cannot be taken back again."""


def grant_perk(
    *,
    programme_id: int,
    member_id: int,
    kind: str,
    parameters: Mapping[str, Any],
    source_ref: str,
    reason: str,
    now: datetime,
    active_from: datetime | None = None,
    active_to: datetime = FAR_FUTURE,
    uses_allowed: int | None = None,
) -> PerkGrant:
    """
    Give one member a perk, from now on unless ``active_from`` says later, until ``active_to`` (exclusive).
    ``uses_allowed``: how many orders it may act on; ``None``: any number.

    :raises NotRegistered: there is no such kind
    :raises InvalidParameters: the kind does not take these details
    :raises LimitNotCounted: nobody would count the uses
    """
    check_limit(perks.get(kind), uses=uses_allowed)
    return PerkGrant.objects.create(
        programme_id=programme_id,
        member_id=member_id,
        kind=kind,
        parameters=perks.get(kind).validate(parameters),
        active_from=active_from or now,
        active_to=active_to,
        uses_allowed=uses_allowed,
        source_ref=source_ref,
        reason=reason,
    )


def revoke_grant(*, grant_id: int, reason: str, now: datetime) -> PerkGrant:
    """
    Take a grant back; what it already did on orders stays. ``reason`` is kept after the one it was given
    for. :raises GrantOver: it was taken back before, or has ended
    """
    with transaction.atomic():
        grant = PerkGrant.objects.select_for_update().get(pk=grant_id)
        if grant.revoked_at is not None or grant.active_to <= now:
            raise GrantOver
        grant.revoked_at = now
        grant.reason = " · ".join(filter(None, (grant.reason, reason)))[:200]
        grant.save(update_fields=["revoked_at", "reason"])
        return grant


def record_use(
    *,
    entitlement: Entitlement,
    entitled: Entitlements,
    order_ref: str,
    saved: Decimal,
    currency: str,
    now: datetime,
    once_within: timedelta | None = None,
) -> PerkUse:
    """
    Note that a perk acted on an order and what it saved (money, with VAT where that is known). Once for an
    order and kind: again, the first use is returned. A limited use is taken under a lock, so that two
    orders at once cannot both have the last one; so is one of a kind that acts once in a time.

    :raises PerkUsedUp: no use is left; nothing was written
    """
    with transaction.atomic():
        if once_within or entitlement.grant_id is not None or entitlement.uses_left is not None:
            _lock(entitlement, entitled)
        earlier = PerkUse.objects.filter(order_ref=order_ref, kind=entitlement.kind).first()
        if earlier is not None and earlier.undone_at is None:
            return earlier
        _check_left(entitlement, entitled, now=now)
        if once_within and _list_uses(entitlement, entitled).filter(used_at__gt=now - once_within).exists():
            raise PerkUsedUp
        values = {
            "programme_id": entitled.programme_id,
            "member_id": entitled.member_id,
            "grant_id": entitlement.grant_id,
            "tier_code": entitlement.tier_code,
            "saved": saved,
            "currency": currency,
            "used_at": now,
            "undone_at": None,
        }
        return PerkUse.objects.update_or_create(order_ref=order_ref, kind=entitlement.kind, defaults=values)[
            0
        ]


def set_saved(*, order_ref: str, kind: str, saved: Decimal, currency: str) -> None:
    """What a use saved in the end, once the order is written; one that saved nothing was none."""
    uses = PerkUse.objects.filter(order_ref=order_ref, kind=kind)
    if saved > 0:
        uses.update(saved=saved, currency=currency)
    else:
        uses.delete()


def undo_uses(*, order_ref: str, now: datetime) -> int:
    """An order was cancelled: whatever it used may be used again. Safe to repeat; returns how many."""
    return PerkUse.objects.filter(order_ref=order_ref, undone_at=None).update(undone_at=now)


def restore_uses(*, order_ref: str) -> int:
    """
    Undo :func:`undo_uses`: the order stands after all, and with it what it used. Where the use has been taken
    for another order meanwhile both stand, and the next use comes so much later. Returns how many.
    """
    return PerkUse.objects.filter(order_ref=order_ref, undone_at__isnull=False).update(undone_at=None)


def freeze_perks(*, order_ref: str, entitled: Entitlements, now: datetime) -> OrderPerks | None:
    """
    Keep what a member was entitled to when they placed an order. Once: again, the first record stays.
    ``None`` where there is nothing to keep.
    """
    if entitled.member_id is None or not entitled.all:
        return None
    return OrderPerks.objects.get_or_create(
        order_ref=order_ref,
        defaults={
            "programme_id": entitled.programme_id,
            "member_id": entitled.member_id,
            "tier_code": entitled.tier_code,
            "version_number": entitled.version_number,
            "perks": [
                {
                    "kind": entitlement.kind,
                    "parameters": dict(entitlement.parameters),
                    "source": f"grant:{entitlement.grant_id}"
                    if entitlement.grant_id
                    else f"tier:{entitlement.tier_code}",
                }
                for entitlement in entitled.all
            ],
            "frozen_at": now,
        },
    )[0]


def _member_of(entitled: Entitlements) -> int:
    """Whoever has a perk is a member."""
    assert entitled.member_id is not None
    return entitled.member_id


def _list_uses(entitlement: Entitlement, entitled: Entitlements) -> QuerySet[PerkUse]:
    """Of the kind, by the tier or by any grant."""
    return PerkUse.objects.filter(
        programme_id=entitled.programme_id,
        member_id=_member_of(entitled),
        kind=entitlement.kind,
        undone_at=None,
    )


def _lock(entitlement: Entitlement, entitled: Entitlements) -> None:
    """The row that two orders of one member meet at: the grant, or where the member stands."""
    if entitlement.grant_id is not None:
        rows: Any = PerkGrant.objects.filter(pk=entitlement.grant_id)
    else:
        rows = TierStatus.objects.filter(programme_id=entitled.programme_id, member_id=_member_of(entitled))
    list(rows.select_for_update().values_list("pk"))


def _check_left(entitlement: Entitlement, entitled: Entitlements, *, now: datetime) -> None:
    if entitlement.grant_id is not None:
        grant = PerkGrant.objects.get(pk=entitlement.grant_id)
        if grant.revoked_at is not None or grant.active_to <= now:
            raise PerkUsedUp
        used = PerkUse.objects.filter(grant=grant, undone_at=None).count()
        if grant.uses_allowed is not None and used >= grant.uses_allowed:
            raise PerkUsedUp
    elif entitlement.uses_left is not None:
        perk = TierPerk.objects.filter(
            version__programme_id=entitled.programme_id,
            version__number=entitled.version_number,
            tier_code=entitlement.tier_code,
            kind=entitlement.kind,
        ).first()
        used = _list_uses(entitlement, entitled).filter(grant=None, used_at__gt=now - PERIOD).count()
        if perk is not None and perk.uses_per_period is not None and used >= perk.uses_per_period:
            raise PerkUsedUp

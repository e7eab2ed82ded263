"""Points that offers of the shop promised for an order: booked with it, in its transaction."""

from collections.abc import Collection
from datetime import datetime

from django.db.models import Sum

from oscar_loyalty.points import services
from oscar_loyalty.programmes.rules import Policy
from oscar_loyalty.shop.bonus_models import OrderBonus
from oscar_loyalty.shop.orders import PurchaseFacts


def book_bonuses(
    purchase: PurchaseFacts, *, account_id: int, policy: Policy, active_at: datetime, now: datetime
) -> int:
    """
    Book what offers promised for an order, each once, as pending until the points of the order itself are
    spendable; return how many points. Undone with the order, because they are its earnings too.
    """
    assert policy.rate is not None
    booked = 0
    for bonus in OrderBonus.objects.filter(order_ref=purchase.number).order_by("offer_ref"):
        entry = services.award_points(
            account_id=account_id,
            points=bonus.points,
            idempotency_key=f"offer:{purchase.number}:{bonus.offer_ref}",
            source_ref=f"order:{purchase.number}",
            order_ref=purchase.number,
            active_at=active_at,
            expiry_months=policy.expiry_months,
            unit_value=policy.rate.unit_value,
            currency=purchase.currency,
            explanation={
                "rule": "OFFER",
                "version": policy.version,
                "offer": bonus.offer_ref,
                "offer_name": bonus.offer_name,
                "times": bonus.times,
                "text_de": bonus.text_de,
                "text_en": bonus.text_en,
            },
            effective_at=purchase.placed_at,
            now=now,
        )
        booked += entry.points
    return booked


def sum_bonuses(order_refs: Collection[str]) -> dict[str, int]:
    """Points that offers promised for each of the orders; no statement where there is none to ask for."""
    if not order_refs:
        return {}
    sums = OrderBonus.objects.filter(order_ref__in=order_refs).values_list("order_ref")
    return dict(sums.annotate(points=Sum("points")).order_by())

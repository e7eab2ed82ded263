"""The front door for events of the shop: hear, hand over, never raise. One screen."""

import functools
import logging
import uuid
from collections.abc import Callable
from typing import Any

from django.apps import apps as installed_apps
from django.db import connections, router
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver
from django.utils import timezone
from django.utils.translation import get_language
from oscar.core.loading import get_class, get_model

from oscar_loyalty import tasks
from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.flows import (
    claims,
    deliveries,
    goodwill,
    redemption,
    return_access,
    return_labels,
    return_mails,
    return_steps,
    return_sweep,
    rule_news,
    tier_notices,
    withdrawals,
)
from oscar_loyalty.points import append_only
from oscar_loyalty.returns.models import Return
from oscar_loyalty.returns.states import State
from oscar_loyalty.shop import carriers, offers, perk_orders
from oscar_loyalty.shop.baskets import basket_ref
from oscar_loyalty.tiers.models import PerkGrant, ProductAccess, TierPerk
from oscar_loyalty.transactions import spare_transaction

logger = logging.getLogger(__name__)
Basket = get_model("basket", "Basket")
voucher_addition = get_class("basket.signals", "voucher_addition")
order_placed = get_class("order.signals", "order_placed")
order_status_changed = get_class("order.signals", "order_status_changed")


def quietly(hear: Callable[..., None]) -> Callable[..., None]:
    """Our mistakes are logged; the shop's own work goes on."""

    @functools.wraps(hear)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        if loyalty_settings.enabled:
            try:
                hear(*args, **kwargs)
            except Exception:
                logger.exception("%s failed", hear.__name__)

    return wrapper


@receiver(order_placed)
@quietly
def on_order_placed(*, order: Any, **_later: Any) -> None:
    tasks.nudge(tasks.reward_purchase, order_id=order.pk)
    promise_delivery(order)
    keep_promises(order)
    if loyalty_settings.claim_mail and order.user_id is None and order.guest_email:
        claims.announce_claim(order_id=order.pk, language=get_language() or "", now=timezone.now())


@quietly
def promise_delivery(order: Any) -> None:
    deliveries.promise_delivery(order=order, now=timezone.now())


def on_late_delivery(payload: dict[str, Any]) -> None:
    """The outbox relays it. A mail server that refuses is tried again later."""
    deliveries.send_apology(order_ref=payload["order_ref"])


def keep_promises(order: Any) -> None:
    perk_orders.keep_promises(order, now=timezone.now())


@receiver([post_save, post_delete], sender=TierPerk)
@receiver([post_save, post_delete], sender=PerkGrant)
@receiver([post_save, post_delete], sender=ProductAccess)
@quietly
def on_perks_changed(**_later: Any) -> None:
    with spare_transaction():
        carriers.align_offers(now=timezone.now())


def on_claim_announced(payload: dict[str, Any]) -> None:
    """The outbox relays it. A mail server that refuses is tried again later."""
    claims.send_claim_link(
        order_id=payload["order_id"], language=payload["language"], now=timezone.now(), raises=True
    )


def on_refund_changed(payload: dict[str, Any]) -> None:
    """The outbox relays it: a return goes where its refund went."""
    return_steps.follow_refund(cause_ref=payload["cause"], now=timezone.now())


def on_tier_changed(payload: dict[str, Any]) -> None:
    """The outbox relays it. A mail server that refuses is tried again later."""
    tier_notices.tell_of_reached_tier(change_id=payload["change_id"], now=timezone.now())


def on_rule_paused(payload: dict[str, Any]) -> None:
    """The outbox relays it."""
    rule_news.tell_of_pause(budget_id=payload["budget_id"])


def on_goodwill_given(payload: dict[str, Any]) -> None:
    """The outbox relays it."""
    goodwill.mail_goodwill(public_id=uuid.UUID(payload["goodwill"]))


def on_returns_overdue(payload: dict[str, Any]) -> None:
    """The outbox relays it."""
    return_sweep.tell_overdue(now=timezone.now())


# Returns. The outbox relays all of these; a mail server that refuses is tried again later.


def on_return_changed(payload: dict[str, Any]) -> None:
    """A return that was requested gets a label; one that came to nothing needs none."""
    found = Return.objects.filter(public_id=payload["return"]).values_list("pk", flat=True).first()
    if found is None:
        return
    if payload["code"] == State.REQUESTED:
        # Not in here: the provider is asked outside of every transaction.
        tasks.nudge(tasks.make_return_label, return_id=found)
    else:
        return_labels.void_unneeded_label(found)


def on_return_news(payload: dict[str, Any]) -> None:
    return_mails.announce_mail(event_id=payload["event"], code=payload["code"], now=timezone.now())


def on_return_mail(payload: dict[str, Any]) -> None:
    return_mails.send_mail_about(event_id=payload["event"])


def on_return_label(payload: dict[str, Any]) -> None:
    return_labels.mail_label(public_id=payload["return"])


def on_return_no_label(payload: dict[str, Any]) -> None:
    return_labels.mail_address(public_id=payload["return"])


def on_return_link(payload: dict[str, Any]) -> None:
    return_access.mail_access_link(
        order_id=payload["order_id"], language=payload["language"], now=timezone.now()
    )


def on_withdrawal_receipt(payload: dict[str, Any]) -> None:
    withdrawals.send_receipt(withdrawal_id=payload["withdrawal"], now=timezone.now())


def on_withdrawal_match(payload: dict[str, Any]) -> None:
    withdrawals.find_order_of_withdrawal(withdrawal_id=payload["withdrawal"], now=timezone.now())


@receiver(order_status_changed)
@quietly
def on_order_status_changed(*, order: Any, **_later: Any) -> None:
    tasks.nudge(tasks.reward_purchase, order_id=order.pk)


@receiver(voucher_addition)
@quietly
def on_voucher_added(*, basket: Any, **_later: Any) -> None:
    offers.make_room_for_voucher(basket)


@receiver(post_save, sender=Basket)
@quietly
def on_basket_saved(*, instance: Any, raw: bool, **_later: Any) -> None:
    if instance.status == Basket.MERGED and instance.owner_id and not raw:
        redemption.move_redemption(ref=basket_ref(instance), owner_id=instance.owner_id, now=timezone.now())


@receiver(post_delete, sender=Basket)
@quietly
def on_basket_deleted(*, instance: Any, **_later: Any) -> None:
    if instance.owner_id:
        redemption.end_redemption(ref=basket_ref(instance), now=timezone.now())


def on_migrated(*, using: str, **_later: Any) -> None:
    """The offer that carries points is data of the shop's own tables, once these are there."""
    offer = get_model("offer", "ConditionalOffer")
    if router.allow_migrate_model(using, offer):
        with connections[using].cursor() as cursor:
            tables = connections[using].introspection.table_names(cursor)
        if offer._meta.db_table in tables:
            offers.ensure_offer()
            if TierPerk._meta.db_table in tables:
                carriers.align_offers(now=timezone.now())


def on_migrated_guard_ledger(*, using: str, apps: Any = installed_apps, **_later: Any) -> None:
    """Altering a table on SQLite drops its triggers without a word. They come back here."""
    append_only.restore(connections[using], apps=apps)

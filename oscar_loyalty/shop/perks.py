"""What the owner of a basket is entitled to: read once for each basket object, whoever asks."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from oscar.core.loading import get_class

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.shop.baskets import is_tax_known, priced_lines
from oscar_loyalty.tiers.entitlements import NOTHING, Entitlement, Entitlements, find_entitlements
from oscar_loyalty.tiers.perk_services import PerkUsedUp, record_use
from oscar_loyalty.transactions import spare_transaction

logger = logging.getLogger(__name__)
UnableToPlaceOrder = get_class("order.exceptions", "UnableToPlaceOrder")

#: Where a basket object keeps its owner's entitlements, with whose they are.
_KEPT_AS = "_loyalty_perks"
#: Where it keeps the shelf price of the gift in it.
GIFT_VALUE_AS = "_loyalty_gift_value"


class PerkUnavailable(UnableToPlaceOrder, ValueError):  # type: ignore[misc, valid-type]
    """A perk that the basket counted on is gone; the order was not placed. Oscar's checkout catches the
    first base and shows the message, django-oscar-api the second."""


def perks_of(basket: Any, *, now: datetime) -> Entitlements:
    """Of the basket's owner; one statement in the life of the basket object, none for guests."""
    kept = find_kept(basket)
    if kept is None:
        entitled = NOTHING
        if loyalty_settings.enabled and basket.owner_id is not None:
            try:
                with spare_transaction():
                    entitled = find_entitlements(user_id=basket.owner_id, now=now)
            except Exception:
                # The shop goes on without perks rather than not at all.
                logger.exception("The perks of basket %s could not be read", basket.pk)
        keep_perks(basket, entitled)
        return entitled
    return kept


def keep_perks(basket: Any, entitled: Entitlements) -> None:
    """Have the basket object know what its owner is entitled to, so that nobody reads it."""
    setattr(basket, _KEPT_AS, (basket.owner_id, entitled))


def find_kept(basket: Any) -> Entitlements | None:
    """What was read for the basket object before, if it was."""
    kept: tuple[int | None, Entitlements] | None = getattr(basket, _KEPT_AS, None)
    return kept[1] if kept is not None and kept[0] == basket.owner_id else None


def forget_perks(basket: Any) -> None:
    """Something has changed that the entitlements do not know."""
    setattr(basket, _KEPT_AS, None)


def get_shelf_value(basket: Any) -> Decimal:
    """The goods before any discount, with VAT where it is known: what "from €29.00" is measured by, so
    that spending points or a voucher never makes delivery dearer. Gifts of ours count nothing."""
    with_tax = is_tax_known(basket)
    value = Decimal(0)
    for line in priced_lines(basket):
        value += Decimal(line.line_price_incl_tax if with_tax else line.line_price_excl_tax)
    return value - getattr(basket, GIFT_VALUE_AS, Decimal(0))


def take_use(
    entitlement: Entitlement,
    *,
    basket: Any,
    order: Any,
    saved: Decimal,
    now: datetime,
    then: Callable[[], None],
    message: str,
    once_within: timedelta | None = None,
) -> None:
    """
    Record a use inside the transaction that places the order. ``then`` shows the basket as it is without
    the perk; with ``once_within`` there is one use in so much time.

    :raises PerkUnavailable: with ``message``, when the last use was taken meanwhile
    """
    try:
        record_use(
            entitlement=entitlement,
            entitled=perks_of(basket, now=now),
            order_ref=str(order.number),
            saved=saved,
            currency=order.currency,
            now=now,
            once_within=once_within,
        )
    except PerkUsedUp as error:
        forget_perks(basket)
        try:
            then()
        except Exception:
            logger.exception("Offers could not be applied anew to basket %s", basket.pk)
        raise PerkUnavailable(message) from error

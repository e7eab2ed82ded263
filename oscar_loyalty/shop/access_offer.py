"""
The guard of products that not everybody may buy yet, as an offer: it sees every basket before a price is
told and every order before it is placed. What may not be bought is taken out of a basket; an order that
had it is refused.
"""

import logging
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from oscar.core.loading import get_class, get_model

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.shop.perk_products import Closed, find_closed_in_basket
from oscar_loyalty.shop.perks import PerkUnavailable, perks_of
from oscar_loyalty.transactions import spare_transaction

Benefit = get_model("offer", "Benefit")
Condition = get_model("offer", "Condition")
ApplicationResult = get_class("offer.results", "ApplicationResult")

logger = logging.getLogger(__name__)
#: Where a basket object keeps names of what was taken out, or must not be ordered.
_REFUSED_AS = "_loyalty_refused"


class AccessRefused(ApplicationResult):  # type: ignore[misc, valid-type]
    """Takes nothing off; is there so that no order is placed."""

    is_successful = is_final = True

    def __init__(self, sentences: list[str]) -> None:
        self.sentences = sentences


class AccessCondition(Condition):  # type: ignore[misc, valid-type]
    """The basket has, or just had, something that its owner may not buy."""

    class Meta:
        app_label = "oscar_loyalty"
        proxy = True
        verbose_name = _("condition: not everybody may buy it yet")
        verbose_name_plural = _("conditions: not everybody may buy it yet")

    @property
    def name(self) -> str:
        return gettext("The basket has products that are not open to the customer")

    @property
    def description(self) -> str:
        return self.name

    def is_satisfied(self, offer: Any, basket: Any) -> bool:
        if not loyalty_settings.enabled or basket.pk is None:
            return False
        try:
            with spare_transaction():
                refuse_closed(basket, now=timezone.now())
        except Exception:
            logger.exception("Access to the products of basket %s could not be judged", basket.pk)
        return bool(getattr(basket, _REFUSED_AS, None))

    def consume_items(self, offer: Any, basket: Any, affected_lines: Any) -> None:
        """Takes nothing."""


class AccessBenefit(Benefit):  # type: ignore[misc, valid-type]
    class Meta:
        app_label = "oscar_loyalty"
        proxy = True
        verbose_name = _("benefit: products are sold to members first")
        verbose_name_plural = _("benefits: products are sold to members first")

    @property
    def name(self) -> str:
        return gettext("Products for members first")

    @property
    def description(self) -> str:
        return self.name

    def apply(self, basket: Any, condition: Any, offer: Any, **kwargs: Any) -> Any:
        return AccessRefused(getattr(basket, _REFUSED_AS))

    def apply_deferred(self, basket: Any, order: Any, application: Any) -> None:
        """:raises PerkUnavailable: always; what the customer agreed to cannot be ordered"""
        raise PerkUnavailable(
            " ".join(application["result"].sentences)
            + " "
            + gettext("No order was placed: please check your basket.")
        )


def refuse_closed(basket: Any, *, now: datetime) -> None:
    """
    Take out of an open basket what its owner may not buy, and remember it: an order placed with this
    basket object was agreed to with the goods in it. One statement beside that for the owner's perks: it
    reads what their member prices need as well.
    """
    lines = [line for line in basket.all_lines() if line.product_id is not None]
    if not lines:
        return
    entitled = perks_of(basket, now=now)
    closed = find_closed_in_basket(
        basket,
        {line.product_id for line in lines},
        range_ids={perk.parameters["range"] for perk in entitled.of("MEMBER_PRICE")},
        now=now,
    )
    refused = [
        line
        for line in lines
        if line.product_id in closed and not closed[line.product_id].is_open_to(entitled, now=now)
    ]
    if not refused:
        return
    sentences = [explain_closed(line.product, closed[line.product_id], now=now) for line in refused]
    if not _is_adding(basket):
        setattr(basket, _REFUSED_AS, [*getattr(basket, _REFUSED_AS, ()), *sentences])
    if basket.can_be_edited:
        for line in refused:
            line.delete()
        basket._lines = None
        _tell(basket, sentences)


def _is_adding(basket: Any) -> bool:
    """Oscar's page that puts something into the basket: it orders nothing, and tells every new offer."""
    match = getattr(getattr(basket.strategy, "request", None), "resolver_match", None)
    return match is not None and match.view_name == "basket:add"


def explain_closed(product: Any, closed: Closed, *, now: datetime) -> str:
    """Why somebody may not buy it (yet), as a sentence."""
    title = product.get_title()
    if closed.is_exclusive or closed.opens_at is None:
        return gettext("“%(title)s” is for members of certain tiers only.") % {"title": title}
    moment = date_format(timezone.localtime(closed.opens_at), "SHORT_DATETIME_FORMAT")
    return gettext("“%(title)s” can be bought from %(moment)s on.") % {"title": title, "moment": moment}


def _tell(basket: Any, sentences: Iterable[str]) -> None:
    request = getattr(basket.strategy, "request", None)
    if request is None:
        return
    for sentence in sentences:
        messages.warning(getattr(request, "_request", request), sentence, fail_silently=True)

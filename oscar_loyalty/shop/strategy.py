"""
For shops that want to say before the click that not everybody may buy a product yet::

    class Strategy(LoyaltyStrategyMixin, strategy.UseFirstStockRecord, …):
        ...

The baskets and orders of other shops are guarded all the same; see ``docs/how-to/perks.md``.
"""

import logging
from typing import Any

from django.utils import timezone

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.transactions import spare_transaction

logger = logging.getLogger(__name__)


class LoyaltyStrategyMixin:
    """Put it before the strategy it is mixed into. One statement in the life of a strategy, so of a
    request; another one for customers when there is something that not everybody may buy."""

    _loyalty_closed: dict[int, Any] | None = None

    def fetch_for_product(self, product: Any, stockrecord: Any = None) -> Any:
        info = super().fetch_for_product(product, stockrecord)  # type: ignore[misc]
        try:
            return self._judge(product, info)
        except Exception:
            logger.exception("Access to product %s could not be judged", product.pk)
            return info

    def _judge(self, product: Any, info: Any) -> Any:
        if not loyalty_settings.enabled:
            return info
        if self._loyalty_closed is None:
            self._loyalty_closed = self._find_closed()
        reason = self._loyalty_closed.get(product.pk)
        if reason is None or not info.availability.is_available_to_buy:
            return info
        from oscar_loyalty.shop.availability import MembersFirst

        closed, now = reason
        return info._replace(availability=MembersFirst(product, closed, now=now))

    def _find_closed(self) -> dict[int, Any]:
        """Products that this customer may not buy, with why."""
        from oscar_loyalty.shop.perk_products import find_closed
        from oscar_loyalty.tiers.entitlements import find_entitlements

        now = timezone.now()
        with spare_transaction():
            closed = find_closed(now=now)
            if not closed:
                return {}
            user = getattr(self, "user", None)
            entitled = find_entitlements(user_id=user.pk if user is not None else None, now=now)
        return {
            pk: (reason, now) for pk, reason in closed.items() if not reason.is_open_to(entitled, now=now)
        }

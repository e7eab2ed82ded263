"""
For shops that want products for members first to be missing from Oscar's own lists for everybody else::

    from oscar.apps.search.views import catalogue
    from oscar_loyalty.shop.listings import MembersFirstMixin


    class CatalogueView(MembersFirstMixin, catalogue.CatalogueView): ...

Baskets and orders are guarded all the same; see ``docs/how-to/perks.md``.
"""

import logging
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.shop.perk_products import find_closed, only_visible
from oscar_loyalty.tiers.entitlements import find_entitlements
from oscar_loyalty.transactions import spare_transaction

logger = logging.getLogger(__name__)


class MembersFirstMixin:
    """
    Put it before a view that lists products: Oscar's catalogue, category, search and range pages, or any
    list of Django's. One statement for customers, and one more where a search engine is asked.
    """

    request: Any
    object_list: Any

    def get_context_data(self, *, object_list: Any = None, **kwargs: Any) -> dict[str, Any]:
        listed = self.object_list if object_list is None else object_list
        if loyalty_settings.enabled:
            try:
                with spare_transaction():
                    listed = hide_closed(listed, user_id=self.request.user.pk)
            except Exception:
                # The guard of baskets still holds.
                logger.exception("Products for members first could not be left out of a list")
        context: dict[str, Any] = super().get_context_data(object_list=listed, **kwargs)  # type: ignore[misc]
        return context


def hide_closed(listed: Any, *, user_id: int | None) -> Any:
    """A queryset of products, or what a search engine found, without what a customer may not buy now."""
    now = timezone.now()
    entitled = find_entitlements(user_id=user_id, now=now)
    if isinstance(listed, QuerySet):
        return only_visible(listed, entitled=entitled, now=now)
    shut = [pk for pk, closed in find_closed(now=now).items() if not closed.is_open_to(entitled, now=now)]
    if not shut:
        return listed
    if _can_exclude(listed):
        return listed.exclude(django_id__in=shut)
    hidden = {str(pk) for pk in shut}
    return [result for result in listed if str(result.pk) not in hidden]


def _can_exclude(listed: Any) -> bool:
    """Haystack's simple engine, for development, takes whatever is excluded for a word to look for."""
    return hasattr(listed, "exclude") and type(listed.query).__name__ != "SimpleSearchQuery"

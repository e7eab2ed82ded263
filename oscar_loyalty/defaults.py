"""
What a shop adds to its settings. Importing this changes nothing.

``OSCAR_DASHBOARD_NAVIGATION = [*OSCAR_DASHBOARD_NAVIGATION, LOYALTY_DASHBOARD_NAVIGATION]``
"""

from typing import Any

from django.utils.translation import gettext_lazy as _


def may_see(user: Any, url_name: str, url_args: Any = None, url_kwargs: Any = None) -> bool:
    """Whether an entry of the menu is for ``user``. Where the pages are not mounted, it is for nobody."""
    from django.urls import NoReverseMatch
    from oscar.core.loading import get_class

    try:
        return bool(get_class("dashboard.nav", "default_access_fn")(user, url_name, url_args, url_kwargs))
    except NoReverseMatch:
        return False


def _entry(label: Any, url_name: str) -> dict[str, Any]:
    return {"label": label, "url_name": f"loyalty-dashboard:{url_name}", "access_fn": may_see}


LOYALTY_DASHBOARD_NAVIGATION: dict[str, Any] = {
    "label": _("Loyalty"),
    "icon": "fas fa-star",
    "children": [
        _entry(_("Overview"), "loyalty-overview"),
        _entry(_("Members"), "loyalty-members"),
        _entry(_("Tiers and perks"), "loyalty-tiers"),
        _entry(_("Ledger"), "loyalty-ledger"),
        _entry(_("Reservations"), "loyalty-holds"),
        _entry(_("Adjustments"), "loyalty-adjustments"),
        _entry(_("Goodwill"), "loyalty-goodwill-list"),
        _entry(_("Merges"), "loyalty-merges"),
        _entry(_("Deliveries"), "loyalty-deliveries"),
        _entry(_("Returns"), "loyalty-returns"),
    ],
}

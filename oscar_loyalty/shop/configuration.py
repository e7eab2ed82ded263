"""What the shop's own settings say that the programme has to fit."""

from babel.numbers import list_currencies
from django.conf import settings
from django.utils.translation import gettext_noop
from oscar.core.loading import get_model

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.shop.currencies import get_default_currency

#: Pages show a status in words where somebody has translated it; of a shop's own statuses the shop does.
FINAL_STATUS = gettext_noop("Complete")


def list_order_statuses() -> list[str]:
    """The statuses of ``OSCAR_ORDER_STATUS_PIPELINE``, in its order; empty in a shop without one."""
    return list(getattr(settings, "OSCAR_ORDER_STATUS_PIPELINE", None) or {})


def find_final_status() -> str:
    """The status after which an order is through: "Complete" if there is such a one, else the only one
    that leads nowhere and is no cancellation; empty where that is not clear."""
    pipeline = getattr(settings, "OSCAR_ORDER_STATUS_PIPELINE", None) or {}
    if FINAL_STATUS in pipeline:
        return FINAL_STATUS
    last = [
        status
        for status, following in pipeline.items()
        if not following and status not in loyalty_settings.cancelled_statuses
    ]
    return last[0] if len(last) == 1 else ""


def list_shop_currencies() -> list[str]:
    """The default currency, then every other one in which something is priced."""
    priced = get_model("partner", "StockRecord").objects.order_by().values_list("price_currency", flat=True)
    others = sorted(set(priced.distinct()) - {get_default_currency(), ""})
    return [get_default_currency(), *others]


def is_currency(code: str) -> bool:
    """Whether ISO 4217 knows the currency."""
    return code in list_currencies()

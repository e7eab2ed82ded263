"""Mistakes that can be seen in the settings alone."""

import re
from collections.abc import Iterator
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_type_hints

from django.apps import apps
from django.conf import settings
from django.db import connections, router
from django.utils.module_loading import import_string
from oscar.core.loading import get_class

from oscar_loyalty.conf import OWN_PROVIDER, LoyaltySettings, loyalty_settings
from oscar_loyalty.points import append_only
from oscar_loyalty.points.models import Entry
from oscar_loyalty.shop.configuration import is_currency, list_order_statuses
from oscar_loyalty.shop.currencies import get_default_currency
from oscar_loyalty.shop.diagnosis.findings import Examination, Finding

_MISSING = object()


def find_app_order(now: datetime) -> Iterator[Finding]:
    labels = [config.label for config in apps.get_app_configs()]
    if "oscar" not in labels:
        yield Finding(
            code="E001",
            problem="django-oscar is not installed in this project.",
            fix='Add "oscar.config.Shop" and Oscar\'s apps to INSTALLED_APPS.',
        )
    elif labels.index("oscar_loyalty") > labels.index("oscar"):
        yield Finding(
            code="E002",
            problem="oscar_loyalty comes after Oscar in INSTALLED_APPS, so Oscar's templates hide ours and "
            "no page shows points.",
            fix='Move "oscar_loyalty" to the top of INSTALLED_APPS, before "oscar.config.Shop".',
        )


def find_setting_values(now: datetime) -> Iterator[Finding]:
    known = dict(_settings_and_types())
    for name, kind in known.items():
        value = getattr(settings, name, _MISSING)
        if value is not _MISSING and (expected := _mismatch(value, kind)):
            yield Finding(
                code="E003",
                problem=f"{name} is {value!r}, but must be {expected}.",
                fix=f"Set {name} to {expected}, or remove it for the default.",
            )
    for name in dir(settings):
        if name.startswith("OSCAR_LOYALTY_") and name not in known:
            yield Finding(
                code="W003",
                problem=f"Nobody reads the setting {name}.",
                fix=f"Correct its name or remove it. Known are: {', '.join(sorted(known))}.",
            )


def find_dotted_paths(now: datetime) -> Iterator[Finding]:
    paths = {
        "OSCAR_LOYALTY_CUSTOMER_LANGUAGE": loyalty_settings.customer_language,
        "OSCAR_LOYALTY_CHANNEL": loyalty_settings.channel,
        "OSCAR_LOYALTY_PROFILE_IS_COMPLETE": loyalty_settings.profile_is_complete,
        "OSCAR_LOYALTY_DELIVERY_METHODS": loyalty_settings.delivery_methods,
        "OSCAR_LOYALTY_DELIVERY_SUBDIVISION": loyalty_settings.delivery_subdivision,
    }
    if hasattr(settings, "OSCAR_LOYALTY_LABEL_PROVIDER"):
        # The app's own one is looked at below.
        paths["OSCAR_LOYALTY_LABEL_PROVIDER"] = loyalty_settings.label_provider
    if loyalty_settings.stripe_secret_key or hasattr(settings, "OSCAR_LOYALTY_PAYMENT_GATEWAY"):
        # Without card payment its package need not be installed.
        paths["OSCAR_LOYALTY_PAYMENT_GATEWAY"] = loyalty_settings.payment_gateway
    for name, path in paths.items():
        if not path:
            continue
        try:
            import_string(path)
        except ImportError as error:
            yield Finding(
                code="E004",
                problem=f"{name} names {path!r}, which cannot be imported: {error}",
                fix=f"Correct {name}, or install what it needs.",
            )


def find_tax_mode(now: datetime) -> Iterator[Finding]:
    if not settings.OSCAR_OFFERS_INCL_TAX and _prices_include_tax():
        yield Finding(
            code="W005",
            problem="Prices include tax, but OSCAR_OFFERS_INCL_TAX is False: Oscar takes discounts that were "
            "computed with tax off prices without it (django-oscar #3685), so totals can be a cent off.",
            fix="Set OSCAR_OFFERS_INCL_TAX = True.",
        )


def find_sqlite_transactions(now: datetime) -> Iterator[Finding]:
    for alias, database in settings.DATABASES.items():
        if not database["ENGINE"].endswith("sqlite3"):
            continue
        mode = str((database.get("OPTIONS") or {}).get("transaction_mode", "")).upper()
        if mode not in ("IMMEDIATE", "EXCLUSIVE"):
            yield Finding(
                code="E006",
                problem=f"SQLite begins transactions of the database {alias!r} without its write lock, so "
                "bookings at the same time fail with “database is locked”.",
                fix=f"Set DATABASES[{alias!r}]['OPTIONS'] = "
                '{"transaction_mode": "IMMEDIATE", "timeout": 20}.',
            )


def find_unguarded_ledger(now: datetime) -> Iterator[Finding]:
    for alias in connections:
        vendor = connections[alias].vendor
        if vendor not in append_only.ENGINES and router.allow_migrate_model(alias, Entry):
            yield Finding(
                code="W012",
                problem=f"The database {alias!r} ({vendor}) will not refuse to change or delete rows of the "
                "ledger: there are no triggers for it.",
                fix="Use PostgreSQL, MariaDB, MySQL or SQLite, or keep the ledger out of this database with "
                "DATABASE_ROUTERS.",
            )


def find_cancelled_statuses(now: datetime) -> Iterator[Finding]:
    pipeline = list_order_statuses()
    if not pipeline or _mismatch(getattr(settings, "OSCAR_LOYALTY_CANCELLED_STATUSES", ()), tuple[str, ...]):
        return
    for status in loyalty_settings.cancelled_statuses:
        if status not in pipeline:
            yield Finding(
                code="W007",
                problem=f"OSCAR_LOYALTY_CANCELLED_STATUSES names “{status}”, which no order ever gets: "
                "cancelling an order would not undo its points.",
                fix="Name statuses of OSCAR_ORDER_STATUS_PIPELINE: "
                + ", ".join(f"“{known}”" for known in pipeline)
                + ".",
            )


def find_time(now: datetime) -> Iterator[Finding]:
    if not settings.USE_TZ:
        yield Finding(
            code="E008",
            problem="USE_TZ is False: points cannot expire at the end of a local day.",
            fix="Set USE_TZ = True.",
        )


def find_currency(now: datetime) -> Iterator[Finding]:
    if not is_currency(get_default_currency()):
        yield Finding(
            code="E009",
            problem=f"OSCAR_DEFAULT_CURRENCY is {get_default_currency()!r}, which is no currency.",
            fix="Set it to a code of ISO 4217, for example EUR.",
        )


def find_site(now: datetime) -> Iterator[Finding]:
    if getattr(settings, "SITE_ID", None) is None and not loyalty_settings.base_url:
        yield Finding(
            code="W010",
            problem="There is neither SITE_ID nor OSCAR_LOYALTY_BASE_URL, so mails cannot link to the shop.",
            fix='Set SITE_ID = 1, or OSCAR_LOYALTY_BASE_URL = "https://shop.example".',
        )


def find_card_payment(now: datetime) -> Iterator[Finding]:
    if loyalty_settings.stripe_secret_key and not loyalty_settings.stripe_webhook_secret:
        yield Finding(
            code="W011",
            problem="Cards are charged through Stripe, but its webhooks are all refused: without "
            "OSCAR_LOYALTY_STRIPE_WEBHOOK_SECRET nobody can tell a real one from a forged one.",
            fix="Register the webhook's address with Stripe and set the secret that it shows.",
        )


def find_delivery(now: datetime) -> Iterator[Finding]:
    if not loyalty_settings.delivery_methods:
        return
    if find_spec("holidays") is None:
        yield Finding(
            code="E013",
            problem="Delivery methods promise days, but nobody knows the holidays: none of them is offered.",
            fix='Install oscar-loyalty[delivery], which brings the library "holidays".',
        )
    pipeline = list_order_statuses()
    if _mismatch(getattr(settings, "OSCAR_LOYALTY_DELIVERED_STATUSES", ()), tuple[str, ...]):
        return
    if pipeline and not set(pipeline) & set(loyalty_settings.delivered_statuses):
        yield Finding(
            code="W014",
            problem="Delivery methods promise days, but no order ever gets a status of "
            "OSCAR_LOYALTY_DELIVERED_STATUSES: whatever shipping events, the API or the staff do not report "
            "becomes late.",
            fix="Name the status that says that an order has arrived: "
            + ", ".join(f"“{known}”" for known in pipeline)
            + ".",
        )


def find_return_labels(now: datetime) -> Iterator[Finding]:
    address = getattr(settings, "OSCAR_LOYALTY_RETURN_ADDRESS", ())
    if _mismatch(address, tuple[str, ...]):
        return
    is_chosen = hasattr(settings, "OSCAR_LOYALTY_LABEL_PROVIDER")
    is_ours = loyalty_settings.label_provider == OWN_PROVIDER
    missing = [library for library in ("reportlab", "segno") if find_spec(library) is None]
    if is_ours and missing and (address or is_chosen):
        yield Finding(
            code="E015",
            problem=f"Return labels cannot be made: {' and '.join(missing)} is not installed.",
            fix="Install oscar-loyalty[returns], or name a provider of your own in "
            "OSCAR_LOYALTY_LABEL_PROVIDER.",
        )
    if is_chosen and not address:
        yield no_return_address()
    if loyalty_settings.label_font and not Path(loyalty_settings.label_font).is_file():
        yield Finding(
            code="W016",
            problem=f"OSCAR_LOYALTY_LABEL_FONT names {loyalty_settings.label_font!r}, which is no file: no "
            "return label can be made.",
            fix="Name a TrueType font (.ttf) that the shop's server can read, or remove the setting.",
        )


def no_return_address() -> Finding:
    return Finding(
        code="W015",
        problem="OSCAR_LOYALTY_RETURN_ADDRESS is not set: no return label can be made, and nobody is told "
        "where goods go.",
        fix='Set it to the lines of your address: ["Shop Ltd", "Returns", "Street 1", "12345 Town"].',
    )


SETTINGS_EXAMINATIONS = (
    Examination("Order of apps", find_app_order),
    Examination("Settings", find_setting_values),
    Examination("Classes that settings name", find_dotted_paths),
    Examination("Tax mode", find_tax_mode),
    Examination("SQLite transactions", find_sqlite_transactions),
    Examination("Engine that guards the ledger", find_unguarded_ledger),
    Examination("Statuses of cancelled orders", find_cancelled_statuses),
    Examination("Time zones", find_time),
    Examination("Default currency", find_currency),
    Examination("Address of the shop", find_site),
    Examination("Webhooks of card payment", find_card_payment),
    Examination("Promised days of delivery", find_delivery),
    Examination("Labels of returns", find_return_labels),
)


def _settings_and_types() -> Iterator[tuple[str, Any]]:
    """Every setting that ``conf.py`` knows: its docstring names it, its annotation types it."""
    for attribute in vars(LoyaltySettings).values():
        if isinstance(attribute, property) and attribute.fget is not None:
            named = re.search(r"``(OSCAR_LOYALTY_\w+)``", attribute.__doc__ or "")
            if named:
                yield named[1], get_type_hints(attribute.fget)["return"]


def _mismatch(value: object, kind: Any) -> str:
    """What a setting of this type must be, when the value is not; else nothing."""
    if kind is bool:
        return "" if isinstance(value, bool) else "True or False"
    if kind is int:
        return "" if type(value) is int and value > 0 else "a whole number above zero"
    if kind is float:
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            return ""
        return "a number above zero"
    if kind is str:
        return "" if isinstance(value, str) else "a text"
    if kind == tuple[str, ...]:
        if isinstance(value, list | tuple | set | frozenset) and all(isinstance(item, str) for item in value):
            return ""
        return "a list of texts"
    return ""


def _prices_include_tax() -> bool:
    """Whether the shop's strategy is one of Oscar's that add tax to prices and know it."""
    try:
        strategy = get_class("partner.strategy", "Selector")().strategy()
        return isinstance(strategy, get_class("partner.strategy", "FixedRateTax"))
    except Exception:  # noqa: BLE001 (code of the shop)
        # A strategy that cannot be had without a request is looked at with a product, by loyalty_doctor.
        return False

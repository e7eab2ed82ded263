import pytest
from django.apps import apps
from django.core.checks import ERROR, run_checks

from oscar_loyalty.checks import check_settings
from oscar_loyalty.conf import OWN_PROVIDER


def ids():
    return {message.id.removeprefix("oscar_loyalty.") for message in check_settings()}


def test_the_plain_host_is_right():
    assert ids() == set()


def test_the_checks_are_registered_and_each_mistake_names_its_fix(settings):
    settings.OSCAR_LOYALTY_HOLD_MINUTES = "30"
    (message,) = run_checks(tags=["oscar_loyalty"])
    assert message.level == ERROR
    assert message.id == "oscar_loyalty.E003"
    assert message.msg == "OSCAR_LOYALTY_HOLD_MINUTES is '30', but must be a whole number above zero."
    assert message.hint


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("ENABLED", "no", {"E003"}),
        ("ENABLED", False, set()),
        ("PROGRAMME", 7, {"E003"}),
        ("HOLD_MINUTES", 0, {"E003"}),
        ("HOLD_MINUTES", True, {"E003"}),
        ("HOLD_MINUTES", 45, set()),
        ("PAYMENT_HOLD_HOURS", -1, {"E003"}),
        ("EXPIRY_WARNING_DAYS", 1.5, {"E003"}),
        ("CANCELLED_STATUSES", "Cancelled", {"E003"}),
        ("CANCELLED_STATUSES", ["Cancelled", 1], {"E003"}),
        ("CANCELLED_STATUSES", ["Cancelled"], set()),
        ("CANCELLED_STATUSES", ["Called off"], {"W007"}),
        ("HOLD_MINUTE", 30, {"W003"}),
        ("CUSTOMER_LANGUAGE", "nowhere.to_be_found", {"E004"}),
        ("STRIPE_SECRET_KEY", "sk_test_1", {"W011"}),
        ("PAYMENT_GATEWAY", "nowhere.to_be_found", {"E004"}),
    ],
)
def test_settings_of_a_wrong_kind_or_name_are_found(settings, name, value, expected):
    setattr(settings, f"OSCAR_LOYALTY_{name}", value)
    assert ids() == expected


def test_an_app_that_comes_after_oscar_is_found(monkeypatch):
    backwards = list(reversed(list(apps.get_app_configs())))
    monkeypatch.setattr(apps, "get_app_configs", lambda: backwards)
    assert ids() == {"E002"}


def test_a_project_without_oscar_is_found(monkeypatch):
    ours = [apps.get_app_config("oscar_loyalty")]
    monkeypatch.setattr(apps, "get_app_configs", lambda: ours)
    assert ids() == {"E001"}


def test_the_trap_of_prices_with_tax_is_found(settings, monkeypatch):
    from oscar.apps.partner.strategy import UK, Selector

    settings.OSCAR_OFFERS_INCL_TAX = False
    assert ids() == set()
    monkeypatch.setattr(Selector, "strategy", lambda self, request=None, user=None, **kwargs: UK(request))
    assert ids() == {"W005"}


def test_a_strategy_that_needs_a_request_breaks_no_check(settings, monkeypatch):
    from oscar.apps.partner.strategy import Selector

    settings.OSCAR_OFFERS_INCL_TAX = False

    def strategy(self, request=None, user=None, **kwargs):
        return request.user

    monkeypatch.setattr(Selector, "strategy", strategy)
    assert ids() == set()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"E006"}),
        ({"OPTIONS": {"transaction_mode": "DEFERRED"}}, {"E006"}),
        ({"OPTIONS": {"transaction_mode": "IMMEDIATE"}}, set()),
        ({"OPTIONS": {"transaction_mode": "exclusive"}}, set()),
    ],
)
def test_sqlite_without_its_write_lock_is_found(settings, options, expected):
    settings.DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:", **options}}
    assert ids() == expected


def test_naive_times_an_unknown_currency_and_a_shop_without_an_address_are_found(settings):
    settings.USE_TZ = False
    settings.OSCAR_DEFAULT_CURRENCY = "TALER"
    del settings.SITE_ID
    assert ids() == {"E008", "E009", "W010"}
    settings.OSCAR_LOYALTY_BASE_URL = "https://coffee.example"
    assert ids() == {"E008", "E009"}


def test_a_shop_whose_orders_never_arrive_is_told(settings):
    settings.OSCAR_LOYALTY_DELIVERED_STATUSES = ["Handed over"]
    assert ids() == set(), "nobody promises a day"
    settings.OSCAR_LOYALTY_DELIVERY_METHODS = "tests.shop.parcels.methods"
    assert ids() == {"W014"}
    settings.OSCAR_LOYALTY_DELIVERED_STATUSES = ["Complete"]
    assert ids() == set()
    settings.OSCAR_LOYALTY_DELIVERY_METHODS = "tests.shop.parcels.nobody"
    assert ids() == {"E004"}


def test_promised_days_without_the_library_of_holidays_are_found(settings, monkeypatch):
    settings.OSCAR_LOYALTY_DELIVERY_METHODS = "tests.shop.parcels.methods"
    monkeypatch.setattr("oscar_loyalty.shop.diagnosis.settings.find_spec", lambda name: None)
    assert ids() == {"E013"}


@pytest.mark.parametrize(
    ("values", "missing", "expected"),
    [
        ({}, True, set()),
        ({"RETURN_ADDRESS": ["Shop", "12345 Town"]}, False, set()),
        ({"RETURN_ADDRESS": ["Shop", "12345 Town"]}, True, {"E015"}),
        ({"LABEL_PROVIDER": OWN_PROVIDER}, False, {"W015"}),
        ({"LABEL_PROVIDER": "nowhere.to_be_found", "RETURN_ADDRESS": ["Shop"]}, True, {"E004"}),
        ({"RETURN_ADDRESS": "Shop"}, False, {"E003"}),
        ({"RETURN_ADDRESS": ["Shop"], "LABEL_FONT": "/nowhere/font.ttf"}, False, {"W016"}),
    ],
)
def test_labels_that_cannot_be_made_are_found(settings, monkeypatch, values, missing, expected):
    from oscar_loyalty.shop.diagnosis import settings as examined

    for name, value in values.items():
        setattr(settings, f"OSCAR_LOYALTY_{name}", value)
    if missing:
        monkeypatch.setattr(examined, "find_spec", lambda name: None)
    assert ids() == expected

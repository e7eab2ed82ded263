"""
Settings of the sandbox: a German-English shop with prices including VAT.

Everything that differs between machines comes from the environment; without any variable the shop
runs on SQLite in ``sandbox/var``.
"""

from importlib.util import find_spec
from pathlib import Path

import environ
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _
from oscar import INSTALLED_APPS as OSCAR_APPS
from oscar.defaults import *  # noqa: F403

env = environ.Env()

SANDBOX_DIR = Path(__file__).resolve().parent
VAR_DIR = Path(env.str("SANDBOX_VAR", default=str(SANDBOX_DIR / "var")))
(VAR_DIR / "static").mkdir(parents=True, exist_ok=True)

DEBUG = env.bool("DEBUG", default=True)
SECRET_KEY = env.str("SECRET_KEY", default="sandbox-only-never-use-this-key-in-a-real-shop-0123456789")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]", "testserver"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
INTERNAL_IPS = ["127.0.0.1"]
SITE_ID = 1

# The shop also runs without the loyalty app, so that both can be compared.
LOYALTY = env.bool("SANDBOX_LOYALTY", default=find_spec("oscar_loyalty.apps") is not None)

# Oscar apps that this shop has forked; each folder in sandbox/apps replaces Oscar's app of that name.
FORKS = {
    "oscar.apps.catalogue.apps.CatalogueConfig": "sandbox.apps.catalogue.apps.CatalogueConfig",
    "oscar.apps.partner.apps.PartnerConfig": "sandbox.apps.partner.apps.PartnerConfig",
    "oscar.apps.search.apps.SearchConfig": "sandbox.apps.search.apps.SearchConfig",
    "oscar.apps.shipping.apps.ShippingConfig": "sandbox.apps.shipping.apps.ShippingConfig",
}
if LOYALTY:
    FORKS["oscar.apps.checkout.apps.CheckoutConfig"] = "sandbox.apps.checkout.apps.CheckoutConfig"

if LOYALTY:
    from oscar_loyalty.defaults import LOYALTY_DASHBOARD_NAVIGATION

    OSCAR_DASHBOARD_NAVIGATION = [*OSCAR_DASHBOARD_NAVIGATION, LOYALTY_DASHBOARD_NAVIGATION]  # noqa: F405

INSTALLED_APPS = [
    "modeltranslation",  # before the admin, as it says in its manual
    "sandbox.demo",
    *(["oscar_loyalty", "oscar_loyalty.dashboard"] if LOYALTY else []),
    *(FORKS.get(app, app) for app in OSCAR_APPS),
    "django.contrib.sitemaps",
    "sorl.thumbnail",
    "rest_framework",
    "oscarapi",
    *(["django_filters", "drf_spectacular", "drf_spectacular_sidecar"] if LOYALTY else []),
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django.contrib.flatpages.middleware.FlatpageFallbackMiddleware",
    "oscar.apps.basket.middleware.BasketMiddleware",
    *(["oscar_loyalty.payments.middleware.AbandonedPaymentMiddleware"] if LOYALTY else []),
]

ROOT_URLCONF = "sandbox.urls"
WSGI_APPLICATION = "sandbox.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [
            SANDBOX_DIR / "templates",
            *(SANDBOX_DIR / "apps" / app / "templates" for app in ("checkout", "returns") if LOYALTY),
        ],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.debug",
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "oscar.apps.search.context_processors.search_form",
                "oscar.apps.checkout.context_processors.checkout",
                "oscar.core.context_processors.metadata",
            ],
        },
    }
]

# Data

DATABASES = {"default": env.db("DATABASE_URL", default=f"sqlite:///{VAR_DIR / 'shop.sqlite3'}")}
_database = DATABASES["default"]
if _database["ENGINE"].endswith("sqlite3"):
    # Readers do not wait for the writer (WAL), and a transaction that will write queues at its start
    # instead of failing half-way with "database is locked".
    _database.setdefault("OPTIONS", {}).update(
        {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
    )
elif _database["ENGINE"].endswith("mysql"):
    _database.setdefault("OPTIONS", {}).update(
        {"charset": "utf8mb4", "isolation_level": "read committed", "sql_mode": "STRICT_TRANS_TABLES"}
    )
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"

CACHES = {"default": env.cache("CACHE_URL", default="locmemcache://")}

HAYSTACK_CONNECTIONS = {"default": {"ENGINE": "haystack.backends.simple_backend.SimpleEngine"}}
HAYSTACK_SIGNAL_PROCESSOR = "haystack.signals.BaseSignalProcessor"

# People

AUTHENTICATION_BACKENDS = [
    "oscar.apps.customer.auth_backends.EmailBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = reverse_lazy("customer:login")
LOGIN_REDIRECT_URL = reverse_lazy("shop-home")
APPEND_SLASH = True

# The demo logins are shown on the login page of this sandbox; a real shop leaves this off.
SANDBOX_SHOW_LOGINS = env.bool("SANDBOX_SHOW_LOGINS", default=DEBUG)

# Language, time and money

LANGUAGE_CODE = "de"
LANGUAGES = [("de", _("German")), ("en", _("English"))]
LOCALE_PATHS = [SANDBOX_DIR / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "Europe/Berlin"
MODELTRANSLATION_DEFAULT_LANGUAGE = "de"
MODELTRANSLATION_FALLBACK_LANGUAGES = ("de", "en")
OSCAR_DEFAULT_CURRENCY = "EUR"
PHONENUMBER_DEFAULT_REGION = "DE"

# Files

STATIC_URL = "/static/"
STATIC_ROOT = VAR_DIR / "static"
STATICFILES_DIRS = [SANDBOX_DIR / "static"]
WHITENOISE_USE_FINDERS = True  # no collectstatic needed
MEDIA_URL = "/media/"
MEDIA_ROOT = VAR_DIR / "media"
THUMBNAIL_QUALITY = 88
THUMBNAIL_PADDING_COLOR = "#ffffff"

EMAIL_BACKEND = env.str("EMAIL_BACKEND", default="django.core.mail.backends.filebased.EmailBackend")
EMAIL_FILE_PATH = VAR_DIR / "mail"
DEFAULT_FROM_EMAIL = OSCAR_FROM_EMAIL = "Morgenrot <shop@morgenrot.example>"

# Oscar

OSCAR_SHOP_NAME = "Morgenrot"
OSCAR_SHOP_TAGLINE = _("Coffee, tea and good tools for both")
OSCAR_HOMEPAGE = reverse_lazy("shop-home")
OSCAR_THUMBNAILER = "oscar.core.thumbnails.SorlThumbnail"
OSCAR_ALLOW_ANON_CHECKOUT = True
OSCAR_ALLOW_ANON_REVIEWS = False
OSCAR_MODERATE_REVIEWS = True
OSCAR_RECENTLY_VIEWED_PRODUCTS = 8
OSCAR_PRODUCTS_PER_PAGE = 20
OSCAR_SLUG_MAP = {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"}
# Prices include VAT, so offers take off what the customer sees, not the net price.
OSCAR_OFFERS_INCL_TAX = True

OSCAR_INITIAL_ORDER_STATUS = OSCARAPI_INITIAL_ORDER_STATUS = "Pending"
OSCAR_INITIAL_LINE_STATUS = "Pending"
OSCAR_ORDER_STATUS_PIPELINE = {
    "Pending": ("Being processed", "Cancelled"),
    "Being processed": ("Shipped", "Cancelled"),
    "Shipped": ("Complete",),
    "Complete": (),
    "Cancelled": (),
}
OSCAR_LINE_STATUS_PIPELINE = OSCAR_ORDER_STATUS_PIPELINE
OSCAR_ORDER_STATUS_CASCADE = {status: status for status in OSCAR_ORDER_STATUS_PIPELINE}

# REST API: django-oscar-api and, when it is installed, the loyalty API.

REST_FRAMEWORK = {"DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema"} if LOYALTY else {}
OSCARAPI_BLOCK_ADMIN_API_ACCESS = True

# Loyalty, payment and background work are wired below this line.

# Links in mails lead back to this shop.
OSCAR_LOYALTY_BASE_URL = env.str("SANDBOX_URL", default="http://127.0.0.1:8000")

# Ways of delivery that promise a day.
OSCAR_LOYALTY_DELIVERY_METHODS = "sandbox.apps.shipping.delivery.delivery_methods"

# Where goods come back to, as it stands on the labels.
OSCAR_LOYALTY_RETURN_ADDRESS = ["Morgenrot Versand", "Retouren", "Kaiweg 12", "20457 Hamburg", "Deutschland"]

# Card payment: with STRIPE_SECRET_KEY, Stripe's test mode and its Payment Element; without, the project's
# own Stripe-shaped server and a list of test cards.
OSCAR_LOYALTY_STRIPE_SECRET_KEY = env.str("STRIPE_SECRET_KEY", default="") or "sk_test_sandbox"
OSCAR_LOYALTY_STRIPE_PUBLISHABLE_KEY = env.str("STRIPE_PUBLISHABLE_KEY", default="") or "pk_test_sandbox"
OSCAR_LOYALTY_STRIPE_WEBHOOK_SECRET = env.str("STRIPE_WEBHOOK_SECRET", default="")
OSCAR_LOYALTY_CARD_TEST_FORM = not env.str("STRIPE_SECRET_KEY", default="")
OSCAR_LOYALTY_STRIPE_API_BASE = env.str(
    "STRIPE_API_BASE", default="http://127.0.0.1:12111" if OSCAR_LOYALTY_CARD_TEST_FORM else ""
)
OSCARAPI_OVERRIDE_MODULES = ["oscar_loyalty.rest_api.oscarapi"] if LOYALTY else []

# Background work: with CELERY_BROKER_URL a real broker; without, messages are files that the shop writes
# and the worker of `make run` reads, which needs no server.

CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", default="filesystem://localhost")
if CELERY_BROKER_URL.startswith("filesystem:"):
    _messages = VAR_DIR / "messages"
    _messages.mkdir(exist_ok=True)
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(_messages),
        "data_folder_out": str(_messages),
        "control_folder": str(VAR_DIR / "message-control"),
    }
    CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_TASK_IGNORE_RESULT = True
CELERY_TIMEZONE = TIME_ZONE

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"short": {"format": "%(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "short"}},
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", default="WARNING")},
}

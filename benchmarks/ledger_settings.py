"""The plain host, and django-hordak beside it."""

from tests.hosts.plain.settings import *  # noqa: F403
from tests.hosts.plain.settings import INSTALLED_APPS as PLAIN

INSTALLED_APPS = [*PLAIN, "mptt", "hordak"]
DEFAULT_CURRENCY = "EUR"
CURRENCIES = ["EUR"]

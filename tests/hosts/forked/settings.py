"""The plain host's settings, with what a shop of this kind has changed."""

from tests.hosts.plain.settings import *  # noqa: F403
from tests.hosts.plain.settings import DATABASES, INSTALLED_APPS

ROOT_URLCONF = "tests.hosts.plain.urls"
AUTH_USER_MODEL = "people.Person"
DATABASES["default"]["ATOMIC_REQUESTS"] = True

FORKS = {
    "oscar.apps.order.apps.OrderConfig": "tests.hosts.forked.order.apps.OrderConfig",
    "oscar.apps.offer.apps.OfferConfig": "tests.hosts.forked.offer.apps.OfferConfig",
}
INSTALLED_APPS = ["tests.hosts.forked.people", *(FORKS.get(app, app) for app in INSTALLED_APPS)]

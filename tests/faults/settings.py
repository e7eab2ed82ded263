"""The plain host in a process of its own, on the server of a fault test, its tables without migrations."""

import os

from tests.hosts.plain.settings import *  # noqa: F403
from tests.hosts.plain.settings import DATABASES


class NoMigrations(dict):
    def __contains__(self, label):
        return True

    def __getitem__(self, label):
        return None


MIGRATION_MODULES = NoMigrations()
# As a shop keeps them; a broken connection is met, not hidden by a new one for each statement.
DATABASES["default"]["CONN_MAX_AGE"] = None
CELERY_BROKER_URL = os.environ.get("CELERY_BROKER_URL", "memory://")
# As many requests as a test likes, by one customer.
OSCAR_LOYALTY_THROTTLE_RATES = {"personal": "9999/s", "write": "9999/s", "transfer": "9999/s"}

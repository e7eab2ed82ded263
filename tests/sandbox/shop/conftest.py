from datetime import date

import pytest

from sandbox.demo.seed import Sizes, seed_shop

SEED = 7
UNTIL = date(2026, 3, 10)
SIZES = Sizes(customers=14, orders=80)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    """One small shop for all tests; each test undoes its own changes."""
    with django_db_blocker.unblock():
        seed_shop(seed=SEED, until=UNTIL, sizes=SIZES)


@pytest.fixture(autouse=True)
def _clean_cache():
    from django.core.cache import cache

    cache.clear()

from typing import Any

import pytest
from oscar.test import factories

from tests.shop import world as shop

from .bank import Bank
from .world import make_policy

BANK = "tests.returns.bank.Bank"


@pytest.fixture(autouse=True)
def bank(settings: Any) -> type[Bank]:
    settings.OSCAR_LOYALTY_PAYMENT_GATEWAY = BANK
    Bank.forget()
    return Bank


@pytest.fixture
def programme(db: None) -> Any:
    """A point for every euro, spendable at once; a point saves a cent."""
    return shop.make_programme(waiting_days=0)


@pytest.fixture
def policy(programme: Any) -> Any:
    return make_policy(programme)


@pytest.fixture
def account(policy: Any) -> Any:
    """Of a customer with 1,000 points."""
    return shop.make_member(points=1000)


@pytest.fixture
def guest(policy: Any) -> Any:
    return factories.UserFactory()

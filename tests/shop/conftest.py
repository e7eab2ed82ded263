import pytest

from oscar_loyalty.shop.offers import ensure_offer

from . import world


@pytest.fixture
def offer(db):
    """The saved offer that carries points."""
    return ensure_offer()


@pytest.fixture
def programme(offer):
    """100 points save one euro; any number of them; all goods may be paid with them."""
    return world.make_programme()


@pytest.fixture
def member(programme):
    """The account of a customer with 10,000 points; ``member.user`` is the customer."""
    return world.make_member()

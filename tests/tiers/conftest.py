import pytest

from oscar_loyalty.programmes.models import Programme

from .world import make_member, publish_tiers


@pytest.fixture
def programme(db) -> Programme:
    programme = Programme.objects.create(code="default", name="Points", time_zone="Europe/Berlin")
    publish_tiers(programme)
    return programme


@pytest.fixture
def member(programme):
    return make_member()

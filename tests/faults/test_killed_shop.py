"""A web process and a worker die at any moment; whoever asks again finds the booking, once."""

import pytest

from tests.faults.conftest import FULL
from tests.faults.play import play
from tests.faults.servers import Redis

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql", "mariadb"], indirect=True)
def test_a_web_process_that_is_killed_within_requests(database_url):
    outcome = play(
        "tests.faults.scenarios.shop:kill_web",
        {"DATABASE_URL": database_url},
        acknowledged=3000 if FULL else 40,
        kills=20 if FULL else 2,
        seed=21,
    )
    print(outcome)
    assert outcome["asked again"] >= outcome["kills"] > 0
    assert outcome["lost"] == []
    assert outcome["answered otherwise"] == []
    assert outcome["points too many or too few"] == {}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_worker_that_is_killed_while_it_rewards_orders(database_url):
    with Redis() as broker:
        outcome = play(
            "tests.faults.scenarios.shop:kill_worker",
            {"DATABASE_URL": database_url, "CELERY_BROKER_URL": broker.url},
            orders=600 if FULL else 40,
            kills=10 if FULL else 2,
            seed=22,
        )
    print(outcome)
    assert outcome["kills"] > 0
    assert outcome["failed"] == 0
    assert outcome["not once"] == []

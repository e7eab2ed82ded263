"""Whoever books is killed at any moment; whoever was answered finds the booking, once."""

import signal
import time

import pytest

from tests.faults.conftest import FULL
from tests.faults.play import begin, end, play
from tests.journeys.live_shop import wait_for

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

CLIENTS = "tests.faults.scenarios.clients:run"
ACKNOWLEDGED, KILLS = (3000, 20) if FULL else (100, 5)


def assert_nothing_lost_nothing_twice(outcome):
    assert outcome["acknowledged"] >= ACKNOWLEDGED
    assert outcome["begun"] >= outcome["acknowledged"]
    assert outcome["lost"] == []
    assert outcome["answered otherwise"] == []
    assert outcome["points too many or too few"] == {}
    assert outcome["orphans"] == 0


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql", "mariadb"], indirect=True)
def test_clients_that_are_killed_while_they_book(database_url, tmp_path, record_property):
    outcome = play(
        CLIENTS,
        {"DATABASE_URL": database_url},
        folder=str(tmp_path),
        acknowledged=ACKNOWLEDGED,
        kills=KILLS,
        seed=11,
    )
    print(outcome)
    record_property("outcome", str(outcome))
    assert outcome["kills"] >= KILLS
    assert_nothing_lost_nothing_twice(outcome)


def test_a_server_that_is_stopped_at_once_while_clients_book(postgresql, tmp_path):
    clients = begin(
        CLIENTS,
        {"DATABASE_URL": postgresql.url},
        folder=str(tmp_path),
        acknowledged=ACKNOWLEDGED,
        kills=0,
        seed=12,
        last=True,
    )

    def answers() -> int:
        return sum(file.read_text().count("answered") for file in tmp_path.glob("client*"))

    try:
        for restart in range(5 if FULL else 2):
            wait_for(lambda reach=10 + restart * 40: answers() > reach or clients.poll() is not None)
            before = answers()
            postgresql.stop(signal.SIGQUIT)  # pg_ctl stop -m immediate
            time.sleep(0.3)
            postgresql.start()
            wait_for(lambda reach=before + 20: answers() > reach or clients.poll() is not None)
    finally:
        (tmp_path / "enough").touch()
        outcome = end(clients)
    print(outcome)
    assert_nothing_lost_nothing_twice(outcome)
    assert "automatic recovery" in (postgresql.folder / "log").read_text()

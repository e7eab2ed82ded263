"""No order, no booking and no news is lost with the broker, or with the relay."""

import json

import pytest

from tests.faults.play import begin, play
from tests.faults.servers import RabbitMQ, Redis

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]


@pytest.mark.parametrize("broker", [Redis, RabbitMQ])
def test_a_broker_that_is_down_at_commit_costs_nothing(broker, tmp_path):
    environment = {"DATABASE_URL": f"sqlite:///{tmp_path}/shop.sqlite3"}
    with broker() as server:
        shop = begin(
            "tests.faults.scenarios.broker:place_orders",
            environment | {"CELERY_BROKER_URL": server.url},
            talks=True,
            queue=f"faults-{server.port}",
        )
        try:
            for what, do in (("stop", server.kill), ("start", server.start)):
                assert shop.stdout.readline().strip() == what, shop.communicate()[1][-3000:]
                do()
                shop.stdin.write("done\n")
                shop.stdin.flush()
            out, errors = shop.communicate(timeout=120)
        finally:
            shop.kill()
    assert shop.returncode == 0, errors[-5000:]
    outcome = json.loads(out.splitlines()[-1])
    assert (outcome["sent while up"], outcome["booked while up"]) == (1, 1)
    assert outcome["seconds while down"] < 20, "the shopper waited for the broker"
    assert outcome["errors while down"] == 1, "it was logged, once"
    assert outcome["booked while down"] == 0
    assert outcome["swept while down"] == [1, 0]
    assert outcome["booked by the sweep"] == 1
    assert outcome["waiting in the outbox"]
    assert outcome["left in the outbox"] == 0
    assert outcome["told once each"]
    assert (outcome["sent when back"], outcome["booked when back"]) == (1, 1)
    assert outcome["left for the sweep"] == [0, 0]


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql", "mariadb"], indirect=True)
def test_a_relay_that_dies_after_handing_on_tells_twice_but_never_not_at_all(database_url, tmp_path):
    outcome = play(
        "tests.faults.scenarios.outbox:kill_relay", {"DATABASE_URL": database_url}, folder=str(tmp_path)
    )
    assert outcome["died"]
    assert outcome["waiting after it died"] == 1
    assert outcome["sent by the next"] == 1
    assert (outcome["told"], outcome["taken in"]) == (2, 1)
    assert outcome["sent by another"] == 0
    # A relay that noted first would have lost the news.
    assert outcome["twin died"]
    assert (outcome["sent after the twin"], outcome["told by the twin"]) == (0, 0)

"""A connection that breaks at COMMIT leaves the client in doubt; asking again with the same key is safe."""

import pytest

from tests.faults.conftest import FULL
from tests.faults.play import play
from tests.journeys.live_shop import free_port

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]


@pytest.mark.parametrize("engine", ["postgresql", "mariadb"])
def test_a_request_made_again_after_a_cut_is_booked_once(engine, request):
    server = request.getfixturevalue(engine)
    rounds = 25 if FULL else 2
    outcome = play(
        "tests.faults.scenarios.connection:cut_at_commit",
        {"DATABASE_URL": server.url},
        server_port=server.port,
        proxy_port=free_port(),
        rounds=rounds,
    )
    asked = 2 * 4 * rounds
    assert outcome["asked"] == outcome["errors"] == asked, "each request met a broken connection"
    assert outcome["cuts"] == asked + 1
    assert outcome["not once"] == []
    assert outcome["without a key"] == 2, "the fault would have been felt"

"""A process that is killed between the call that pays back and its answer: never twice, never lost."""

import pytest

from sandbox.stripe_server.testing import StripeServer
from tests.faults.conftest import FULL
from tests.faults.play import play

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql", "mariadb"], indirect=True)
def test_a_process_that_is_killed_while_it_pays_back(database_url):
    with StripeServer() as stripe_server:
        outcome = play(
            "tests.faults.scenarios.refunds:kill_sender",
            {"DATABASE_URL": database_url},
            stripe_url=stripe_server.url,
            random_kills=40 if FULL else 6,
            seed=31,
        )
    print(outcome)
    assert outcome["killed"] >= 2
    assert outcome["left unfinished"] >= 2
    assert outcome["not paid back"] == 0
    assert outcome["not once"] == []
    assert outcome["in the books"] == outcome["asked for"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_return_is_settled_once_after_the_process_that_paid_it_back_was_killed(database_url):
    with StripeServer() as stripe_server:
        outcome = play(
            "tests.faults.scenarios.refunds:kill_sender_of_a_return",
            {"DATABASE_URL": database_url},
            stripe_url=stripe_server.url,
        )
    assert outcome == {
        "killed": 2,
        "before": ["INSPECTED", "INSPECTED"],
        "after": ["SETTLED", "SETTLED"],
        "at the provider": [3000, 3000],
        "in the books": "60.00",
        "points": [0, 1030, 0],
    }

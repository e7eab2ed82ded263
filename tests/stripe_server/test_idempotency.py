"""One key, one effect: also when answers are lost, two arrive at once, or the server fails."""

from __future__ import annotations

import threading

import pytest
import stripe

from .conftest import make_client

ASK = {"amount": 1000, "currency": "eur"}
KEY = {"idempotency_key": "checkout:7"}


def made(server):
    return server.control("state")["payment_intent"]


def test_an_answer_lost_after_the_work_was_done_is_told_again(server, client):
    server.control("chaos", fault="drop_after_commit", method="POST", path="/v1/payment_intents")
    with pytest.raises(stripe.APIConnectionError):
        client.v1.payment_intents.create(ASK, KEY)
    again = client.v1.payment_intents.create(ASK, KEY)
    assert [intent["id"] for intent in made(server)] == [again.id]
    assert again.last_response.headers["Idempotent-Replayed"] == "true"


def test_without_a_key_a_lost_answer_means_two_intents(server):
    server.control("chaos", fault="drop_after_commit", path="/v1/payment_intents")
    for _ in range(2):
        try:
            make_client(server).v1.payment_intents.create(ASK)
        except stripe.APIConnectionError:
            continue
    assert len(made(server)) == 2


def test_the_sdks_own_retry_survives_a_lost_answer(server, pay):
    intent = pay()
    server.control("chaos", fault="drop_after_commit", path="/v1/refunds")
    refund = make_client(server, retries=2).v1.refunds.create({"payment_intent": intent.id, "amount": 300})
    assert [found["id"] for found in server.control("state")["refund"]] == [refund.id]


def test_a_decline_is_stored_with_its_effect(server, client):
    ask = {**ASK, "payment_method": "pm_card_chargeDeclined", "confirm": True, "off_session": True}
    errors = []
    for _ in range(2):
        with pytest.raises(stripe.CardError) as decline:
            client.v1.payment_intents.create(ask, KEY)
        errors.append(decline.value)
    assert errors[0].error.payment_intent.id == errors[1].error.payment_intent.id == made(server)[0]["id"]
    assert len(made(server)) == 1
    assert len(server.control("state")["charge"]) == 1


def test_a_refusal_before_the_work_began_is_not_stored(server, client):
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.payment_intents.create({**ASK, "colour": "red"}, KEY)
    assert client.v1.payment_intents.create(ASK, KEY).status == "requires_payment_method"


def test_a_key_belongs_to_one_address(server, client):
    client.v1.payment_intents.create(ASK, KEY)
    with pytest.raises(stripe.IdempotencyError):
        client.v1.customers.create({}, KEY)


def test_a_key_is_forgotten_after_a_day(server, client):
    first = client.v1.payment_intents.create(ASK, KEY)
    server.control("clock", advance=86_399 - 60)
    assert client.v1.payment_intents.create(ASK, KEY).id == first.id
    server.control("clock", advance=120)
    assert client.v1.payment_intents.create(ASK, KEY).id != first.id


def test_a_key_has_at_most_255_characters(client):
    assert client.v1.payment_intents.create(ASK, {"idempotency_key": "k" * 255}).id
    with pytest.raises(stripe.IdempotencyError):
        client.v1.payment_intents.create(ASK, {"idempotency_key": "k" * 256})


def test_the_second_of_two_calls_at_once_is_told_to_wait(server):
    server.control("chaos", fault="slow", path="/v1/payment_intents", seconds=0.5)
    outcomes = []

    def call():
        try:
            outcomes.append(make_client(server).v1.payment_intents.create(ASK, KEY).id)
        except stripe.StripeError as error:
            outcomes.append((error.http_status, error.error.code))

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (409, "idempotency_key_in_use") in outcomes
    assert len(made(server)) == 1
    # The SDK waits and asks again by itself.
    assert make_client(server, retries=2).v1.payment_intents.create(ASK, KEY).id == made(server)[0]["id"]


def test_many_calls_with_one_key_make_one_intent(server):
    ids = []
    client = make_client(server, retries=10)
    threads = [
        threading.Thread(target=lambda: ids.append(client.v1.payment_intents.create(ASK, KEY).id))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 8
    assert len(set(ids)) == 1


def test_captures_at_once_take_the_money_once(server, client, authorise):
    intent = authorise()
    outcomes = []

    def capture():
        try:
            outcomes.append(make_client(server).v1.payment_intents.capture(intent.id).status)
        except stripe.InvalidRequestError as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=capture) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["payment_intent_unexpected_state"] * 5 + ["succeeded"]


def test_refunds_at_once_never_exceed_the_payment(server, client, pay):
    intent = pay(1000)

    def refund():
        try:
            make_client(server).v1.refunds.create({"payment_intent": intent.id, "amount": 300})
        except stripe.InvalidRequestError:
            return

    threads = [threading.Thread(target=refund) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.v1.charges.retrieve(intent.latest_charge).amount_refunded == 900


def test_a_failure_before_the_work_leaves_nothing_and_may_be_tried_again(server, client):
    server.control("chaos", fault="error_500", path="/v1/payment_intents")
    with pytest.raises(stripe.APIError) as failure:
        client.v1.payment_intents.create(ASK, KEY)
    assert (failure.value.http_status, failure.value.error.type) == (500, "api_error")
    assert made(server) == []
    assert client.v1.payment_intents.create(ASK, KEY).id == made(server)[0]["id"]


def test_a_failure_inside_stripe_sticks_to_its_key(server, client):
    server.control("chaos", fault="error_500", path="/v1/payment_intents", remember=True)
    for _ in range(2):
        with pytest.raises(stripe.APIError):
            client.v1.payment_intents.create(ASK, KEY)
    assert made(server) == []
    assert client.v1.payment_intents.create(ASK, {"idempotency_key": "checkout:7:again"}).id


def test_too_many_requests_are_refused_and_not_stored(server, client):
    server.control("chaos", fault="rate_limit", path="/v1/payment_intents*", times=2)
    for _ in range(2):
        with pytest.raises(stripe.RateLimitError) as refusal:
            client.v1.payment_intents.create(ASK, KEY)
        assert refusal.value.http_status == 429
    assert client.v1.payment_intents.create(ASK, KEY).id


def test_faults_strike_where_told_until_cleared(server, client):
    server.control("chaos", fault="error_500", method="post", path="/v1/refunds", times="always")
    assert client.v1.payment_intents.create(ASK).id
    for _ in range(3):
        with pytest.raises(stripe.APIError):
            client.v1.refunds.create({"payment_intent": "pi_1"})
    assert server.control("chaos", clear=True) == {"faults": []}
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.refunds.create({"payment_intent": "pi_1"})


@pytest.mark.parametrize(
    "wrong", [{"fault": "fire"}, {"fault": "slow", "times": 0}, {"fault": "slow", "x": 1}, {"x": 1}]
)
def test_a_fault_that_does_not_exist_is_refused(server, wrong):
    with pytest.raises(Exception, match=r"fault|times"):
        server.control("chaos", **wrong)

"""Several requests for one basket at the same moment, over HTTP clients that share one session."""

import itertools
from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone
from oscar.core.loading import get_class, get_model

from oscar_loyalty.payments import services
from oscar_loyalty.payments.models import CardPayment
from tests.concurrency import processes
from tests.concurrency.race import run_at_once

from .conftest import answer_3d_secure

pytestmark = [
    pytest.mark.database,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("row_locks", "fresh_order_numbers"),
    pytest.mark.timeout(300),
]

CLICKS = 4
#: Each of these is a whole checkout.
ROUNDS = 2 * processes.ROUNDS
#: How often a race without its protection may go well before that is a failure.
TRIES = 40
THANK_YOU = "/checkout/thank-you/"


@pytest.fixture
def fresh_order_numbers(monkeypatch):
    """Every attempt gets a number of its own, so that Oscar's unique number does not hide a second order."""
    numbers = itertools.count(500000)
    generator = get_class("order.utils", "OrderNumberGenerator")
    monkeypatch.setattr(generator, "order_number", lambda self, basket: next(numbers))


def app_of(shop, stripe_server):
    """The shopper's app, in shops that have the API it talks to."""
    pytest.importorskip("oscarapi")
    from .test_api import Api

    return Api(shop, stripe_server)


def clicks_of(client, count=CLICKS):
    """Return clients that are the same browser."""
    copies = [Client() for _ in range(count)]
    for copy in copies:
        copy.cookies.update(client.cookies)
    return copies


def follow(client, answer):
    """Return where an answer ends up; waiting pages are looked at again."""
    for _ in range(40):
        if answer.status_code == 302:
            if answer.headers["Location"] == THANK_YOU:
                return THANK_YOU
            answer = client.get(answer.headers["Location"])
        elif answer.context and "next_url" in answer.context:
            answer = client.get(answer.context["next_url"])
        else:
            return answer.request["PATH_INFO"]
    return "never"


def press_pay_at_once(shop, fields):
    def click(client):
        return lambda: follow(client, client.post("/checkout/preview/", fields))

    return run_at_once([click(client) for client in clicks_of(shop.client)])


def charges(stripe_server):
    return [charge["amount_captured"] for charge in stripe_server.control("state")["charge"]]


def start_over(shop, stripe_server):
    stripe_server.control("reset")
    get_model("order", "Order").objects.all().delete()
    CardPayment.objects.all().delete()
    shop.record.num_in_stock = 100
    shop.record.num_allocated = 0
    shop.record.save()
    shop.client = shop.new_client()
    shop.fill_basket()
    shop.go_to_payment()


def test_several_clicks_on_pay_are_one_order_and_one_thank_you_page(shop, stripe_server):
    for _ in range(ROUNDS):
        start_over(shop, stripe_server)
        assert press_pay_at_once(shop, shop.choose_card()) == [THANK_YOU] * CLICKS
        assert len(shop.orders()) == 1
        assert charges(stripe_server) == [1234]


def test_several_clicks_on_a_free_order_are_one_order(shop, stripe_server):
    shop.record.price = 0
    for _ in range(ROUNDS):
        start_over(shop, stripe_server)
        page = shop.client.get("/checkout/preview/")
        fields = {"action": "place_order", "submission": page.context["card_submission"]}
        assert press_pay_at_once(shop, fields) == [THANK_YOU] * CLICKS
        assert len(shop.orders()) == 1


def test_coming_back_from_the_bank_several_times_at_once_is_one_order(shop, stripe_server):
    for _ in range(ROUNDS):
        start_over(shop, stripe_server)
        to_bank = shop.pay("pm_card_authenticationRequired")
        back = answer_3d_secure(to_bank.headers["Location"], "complete")

        def come_back(client, back=back):
            return lambda: follow(client, client.get(back))

        ends = run_at_once([come_back(client) for client in clicks_of(shop.client)])
        assert ends == [THANK_YOU] * CLICKS
        assert len(shop.orders()) == 1
        assert charges(stripe_server) == [1234]


def test_the_same_checkout_several_times_at_once_through_the_api_is_one_order(shop, stripe_server):
    for _ in range(ROUNDS):
        start_over(shop, stripe_server)
        api = app_of(shop, stripe_server)
        basket = shop.client.get("/api/basket/").json()
        payment = api.begin().json()
        api.confirm(payment)

        def place(client):
            here = app_of(shop, stripe_server)
            here.post = lambda path, data: client.post(path, data, content_type="application/json")
            return lambda: here.place(basket, payment).json()["number"]  # noqa: B023 used in this round

        numbers = run_at_once([place(client) for client in clicks_of(shop.client)])
        assert numbers == [shop.orders()[0].number] * CLICKS
        assert len(shop.orders()) == 1
        assert charges(stripe_server) == [1234]


def test_the_sweep_and_the_shopper_at_once_leave_an_order_that_is_paid_or_none(shop, stripe_server):
    for _ in range(ROUNDS):
        start_over(shop, stripe_server)
        to_bank = shop.pay("pm_card_authenticationRequired")
        back = answer_3d_secure(to_bank.headers["Location"], "complete")
        client = clicks_of(shop.client, 1)[0]
        run_at_once(
            [
                lambda client=client, back=back: client.get(back),
                lambda: services.finish_payments(now=timezone.now() + timedelta(hours=2)),
            ]
        )
        services.finish_payments(now=timezone.now() + timedelta(hours=2))
        payment = CardPayment.objects.get()
        if shop.orders():
            assert payment.state == CardPayment.State.CAPTURED
            assert charges(stripe_server) == [1234]
        else:
            assert payment.state == CardPayment.State.CANCELLED
            assert charges(stripe_server) == [0]


def test_preparing_at_once_begins_one_payment(shop, stripe_server):
    for number in range(ROUNDS):
        ids = run_at_once(
            [
                lambda number=number: (
                    services.prepare_payment(
                        basket_id=number, amount=Decimal("12.00"), currency="EUR", now=timezone.now()
                    ).intent.intent_id
                )
            ]
            * CLICKS
        )
        assert len(set(ids)) == 1, ids
    assert len(stripe_server.control("state")["payment_intent"]) == ROUNDS


def test_webhooks_during_the_checkout_do_no_harm(shop, stripe_server, live_server):
    """Stripe's calls arrive twice and out of order while the shopper pays."""
    stripe_server.send_webhooks_to(f"{live_server.url}/api/loyalty/v1/stripe/webhook")
    try:
        for _ in range(ROUNDS):
            start_over(shop, stripe_server)
            stripe_server.control("chaos", fault="duplicate", times="always")
            stripe_server.control("chaos", fault="reorder", times=2)
            assert press_pay_at_once(shop, shop.choose_card()) == [THANK_YOU] * CLICKS
            assert {delivery["state"] for delivery in stripe_server.wait_for_webhooks()} == {"delivered"}
            assert len(shop.orders()) == 1
            assert CardPayment.objects.get().state == CardPayment.State.CAPTURED
            assert shop.orders()[0].sources.get().amount_debited == Decimal("12.34")
    finally:
        stripe_server.send_webhooks_to(None)


def test_without_the_claim_clicks_get_into_each_others_way(shop, stripe_server, monkeypatch):
    """The tests above can fail: this is what they would see if two clicks could freeze one basket."""
    monkeypatch.setattr(services, "claim_basket", lambda basket_id: True)
    for _ in range(TRIES):
        start_over(shop, stripe_server)
        ends = press_pay_at_once(shop, shop.choose_card())
        if ends != [THANK_YOU] * CLICKS or charges(stripe_server) != [1234]:
            return
    pytest.fail(f"{TRIES} rounds without the claim went well by chance")


def place_free_order_at_once(shop, stripe_server):
    start_over(shop, stripe_server)
    basket = shop.client.get("/api/basket/").json()

    def place(client):
        here = app_of(shop, stripe_server)
        here.post = lambda path, data: client.post(path, data, content_type="application/json")
        return lambda: here.place(basket).status_code

    return run_at_once([place(client) for client in clicks_of(shop.client)])


def test_a_free_checkout_several_times_at_once_through_the_api_is_one_order(shop, stripe_server):
    shop.record.price = 0
    for _ in range(ROUNDS):
        assert 200 in place_free_order_at_once(shop, stripe_server)
        assert len(shop.orders()) == 1


def test_without_the_lock_there_is_a_second_order(shop, stripe_server, monkeypatch):
    """The tests above can fail: this is what they would see if placing did not lock the basket."""
    baskets = get_model("basket", "Basket").objects
    monkeypatch.setattr(services, "lock_basket", lambda basket_id: baskets.get(pk=basket_id))
    shop.record.price = 0
    for _ in range(TRIES):
        place_free_order_at_once(shop, stripe_server)
        if len(shop.orders()) > 1:
            return
    pytest.fail(f"{TRIES} rounds without the lock went well by chance")

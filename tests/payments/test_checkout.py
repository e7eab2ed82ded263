"""The checkout pages of a shop with card payment, by HTTP, against the Stripe-shaped server."""

from decimal import Decimal

import pytest
from django.db import connection
from django.test import Client
from oscar.core.loading import get_class, get_model

from oscar_loyalty.payments import checkout, services
from oscar_loyalty.payments.gateway import GatewayUnavailable
from oscar_loyalty.payments.models import CardPayment

from .conftest import answer_3d_secure

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("atomic_requests")]

State = CardPayment.State


def basket_of(shop, basket):
    return get_model("basket", "Basket").objects.get(pk=basket.pk)


def test_an_order_is_paid_by_card(shop, intents_at_stripe):
    basket = shop.fill_basket(2)
    shop.go_to_payment()
    answer = shop.pay()
    assert answer.headers["Location"] == "/checkout/thank-you/"
    (order,) = shop.orders()
    (intent,) = intents_at_stripe()
    assert intent["status"] == "succeeded"
    assert intent["amount_received"] == order.total_incl_tax * 100
    source = order.sources.get()
    assert (source.reference, source.amount_allocated, source.amount_debited) == (
        intent["id"],
        order.total_incl_tax,
        order.total_incl_tax,
    )
    assert sorted(source.transactions.values_list("txn_type", flat=True)) == ["Authorise", "Debit"]
    assert order.payment_events.get().amount == order.total_incl_tax
    payment = CardPayment.objects.get()
    assert (payment.state, payment.order_number) == (State.CAPTURED, order.number)
    assert basket_of(shop, basket).status == "Submitted"
    assert order.number in shop.client.get("/checkout/thank-you/").content.decode()


def test_the_payment_page_lists_the_test_cards(shop):
    shop.fill_basket()
    shop.go_to_payment()
    page = shop.client.get("/checkout/payment-details/").content.decode()
    for card in ("pm_card_visa", "pm_card_authenticationRequired", "pm_card_visa_chargeDeclined"):
        assert f'value="{card}"' in page
    assert "<script>" not in page.split('id="loyalty-card-form"')[1].split("</form>")[0]


def test_the_payment_page_has_stripes_element_when_the_test_form_is_off(shop, settings):
    settings.OSCAR_LOYALTY_CARD_TEST_FORM = False
    shop.fill_basket()
    shop.go_to_payment()
    page = shop.client.get("/checkout/payment-details/").content.decode()
    assert 'data-publishable-key="pk_test_sandbox"' in page
    assert 'data-amount="1234"' in page
    assert 'data-currency="eur"' in page


@pytest.mark.parametrize("card", ["", "pm_unknown"])
def test_without_a_card_the_form_is_shown_again(shop, card):
    shop.fill_basket()
    shop.go_to_payment()
    answer = shop.client.post("/checkout/preview/", {"payment_method": card})
    assert answer.context["card_form"].errors
    assert not CardPayment.objects.exists()


def test_placing_without_a_card_leads_back_to_the_card(shop):
    shop.fill_basket()
    shop.go_to_payment()
    answer = shop.client.post("/checkout/preview/", {"action": "place_order"})
    assert answer.headers["Location"] == "/checkout/payment-details/"
    assert shop.orders() == []


def test_a_declined_card_leaves_the_basket_open_for_another_one(shop, intents_at_stripe):
    basket = shop.fill_basket()
    shop.go_to_payment()
    answer = shop.pay("pm_card_visa_chargeDeclinedInsufficientFunds")
    assert "There is not enough money on this card" in answer.content.decode()
    assert basket_of(shop, basket).status == "Open"
    assert shop.orders() == []
    assert shop.pay().headers["Location"] == "/checkout/thank-you/"
    assert len(intents_at_stripe()) == 1
    assert len(shop.orders()) == 1


def test_a_changed_basket_gets_a_new_intent_and_the_old_one_is_cancelled(shop, intents_at_stripe):
    shop.fill_basket()
    shop.go_to_payment()
    shop.pay("pm_card_visa_chargeDeclined")
    shop.fill_basket()
    assert shop.pay().headers["Location"] == "/checkout/thank-you/"
    assert [intent["status"] for intent in intents_at_stripe()] == ["succeeded", "canceled"]


# 3-D Secure


def test_3d_secure_completed_places_the_order(shop, intents_at_stripe):
    shop.fill_basket()
    shop.go_to_payment()
    to_bank = shop.pay("pm_card_authenticationRequired")
    assert shop.orders() == []
    back = answer_3d_secure(to_bank.headers["Location"], "complete")
    answer = shop.client.get(back)
    assert answer.headers["Location"] == "/checkout/thank-you/"
    assert len(shop.orders()) == 1
    assert intents_at_stripe()[0]["status"] == "succeeded"
    # Coming back a second time, by reload or the back button, shows the same order.
    assert shop.client.get(back).headers["Location"] == "/checkout/thank-you/"
    assert len(shop.orders()) == 1


def test_3d_secure_failed_leaves_the_basket_open(shop, intents_at_stripe):
    basket = shop.fill_basket()
    shop.go_to_payment()
    to_bank = shop.pay("pm_card_authenticationRequired")
    answer = shop.client.get(answer_3d_secure(to_bank.headers["Location"], "fail"), follow=True)
    assert answer.redirect_chain == [("/checkout/payment-details/", 302)]
    assert "Your bank did not confirm the payment" in answer.content.decode()
    assert basket_of(shop, basket).status == "Open"
    assert shop.pay().headers["Location"] == "/checkout/thank-you/"
    assert [intent["status"] for intent in intents_at_stripe()] == ["succeeded", "canceled"]


def test_3d_secure_abandoned_the_payment_page_gives_the_basket_back(shop, intents_at_stripe):
    basket = shop.fill_basket()
    shop.go_to_payment()
    shop.pay("pm_card_authenticationRequired")
    assert basket_of(shop, basket).status == "Frozen"
    answer = shop.client.get("/checkout/payment-details/")
    assert answer.status_code == 200
    assert basket_of(shop, basket).status == "Open"
    assert intents_at_stripe()[0]["status"] == "canceled"
    assert shop.pay().headers["Location"] == "/checkout/thank-you/"


def test_3d_secure_abandoned_by_a_guest_gives_the_basket_back(shop, client):
    shop.client = client
    client.post("/checkout/", {"username": "guest@example.com", "options": "anonymous"})
    basket = shop.fill_basket()
    client.post("/checkout/", {"username": "guest@example.com", "options": "anonymous"})
    shop.go_to_payment()
    shop.pay("pm_card_authenticationRequired")
    client.get("/")
    assert client.get("/checkout/payment-details/").status_code == 200
    assert shop.pay().headers["Location"] == "/checkout/thank-you/"
    assert shop.orders()[0].basket_id == basket.pk


def test_a_guest_completes_3d_secure(shop, client):
    shop.client = client
    shop.fill_basket()
    client.post("/checkout/", {"username": "guest@example.com", "options": "anonymous"})
    shop.go_to_payment()
    to_bank = shop.pay("pm_card_authenticationRequired")
    answer = client.get(answer_3d_secure(to_bank.headers["Location"], "complete"))
    assert answer.headers["Location"] == "/checkout/thank-you/"
    assert shop.orders()[0].guest_email == "guest@example.com"


def test_a_price_that_rose_during_3d_secure_is_not_charged(shop, intents_at_stripe):
    basket = shop.fill_basket()
    shop.go_to_payment()
    to_bank = shop.pay("pm_card_authenticationRequired")
    shop.record.price = Decimal("99.00")
    shop.record.save()
    answer = shop.client.get(answer_3d_secure(to_bank.headers["Location"], "complete"), follow=True)
    assert "The total of your order has changed" in answer.content.decode()
    assert shop.orders() == []
    assert basket_of(shop, basket).status == "Open"
    assert intents_at_stripe()[0]["status"] == "canceled"


def test_the_return_address_of_somebody_else_shows_nothing(shop, client, django_user_model):
    shop.fill_basket()
    shop.go_to_payment()
    to_bank = shop.pay("pm_card_authenticationRequired")
    back = answer_3d_secure(to_bank.headers["Location"], "complete")
    assert client.get(back).status_code == 404
    client.force_login(
        django_user_model.objects.create_user("eve"), backend="django.contrib.auth.backends.ModelBackend"
    )
    assert client.get(back).status_code == 404
    assert shop.client.get("/checkout/payment/1:forged/").status_code == 404
    assert shop.orders() == []


@pytest.mark.parametrize("guest", [False, True])
def test_3d_secure_abandoned_the_basket_page_gives_the_basket_back(shop, client, guest):
    if guest:
        shop.client = client
    basket = shop.fill_basket()
    if guest:
        client.post("/checkout/", {"username": "guest@example.com", "options": "anonymous"})
    shop.go_to_payment()
    to_bank = shop.pay("pm_card_authenticationRequired").headers["Location"]
    shop.client.get("/")
    assert shop.client.get("/basket/").context["basket"].pk == basket.pk
    assert basket_of(shop, basket).status == "Open"
    # The bank's page is still open in another tab; it has nothing to confirm any more.
    answer = shop.client.get(f"{checkout.return_path(basket.pk)}?payment_intent=pi_1", follow=True)
    assert "Your payment was not finished" in answer.content.decode()
    assert to_bank
    assert shop.pay().headers["Location"] == "/checkout/thank-you/"


def test_a_guests_return_address_alone_changes_nothing(shop, client, intents_at_stripe):
    guest = shop.client = client
    basket = shop.fill_basket()
    guest.post("/checkout/", {"username": "guest@example.com", "options": "anonymous"})
    shop.go_to_payment()
    back = answer_3d_secure(shop.pay("pm_card_authenticationRequired").headers["Location"], "complete")
    stranger = type(client)()
    assert stranger.get(f"{back}&waited=99").headers["Location"] == "/basket/"
    assert basket_of(shop, basket).status == "Frozen"
    assert intents_at_stripe()[0]["status"] == "requires_capture"
    assert guest.get(back).headers["Location"] == "/checkout/thank-you/"
    assert stranger.get(f"{back}&waited=99").headers["Location"] == "/basket/"
    assert "checkout_order_id" not in stranger.session


def test_a_click_that_fails_after_the_other_one_succeeded_shows_the_order(shop, monkeypatch):
    basket = shop.fill_basket()
    shop.go_to_payment()
    fields = shop.choose_card()
    second = Client()
    second.cookies.update(shop.client.cookies)
    authorise = services.authorise_payment

    def lose_the_answer(**kwargs):
        authorise(**kwargs)
        assert second.get(checkout.return_path(basket.pk)).headers["Location"] == "/checkout/thank-you/"
        raise GatewayUnavailable("confirm")

    monkeypatch.setattr(services, "authorise_payment", lose_the_answer)
    answer = shop.client.post("/checkout/preview/", fields)
    assert answer.headers["Location"] == "/checkout/thank-you/"
    assert basket_of(shop, basket).status == "Submitted"
    assert len(shop.orders()) == 1


def test_waiting_ends(shop):
    """The first click died before it could tell anybody."""
    basket = shop.fill_basket()
    shop.go_to_payment()
    fields = shop.choose_card()
    assert services.claim_basket(basket_id=basket.pk)
    waiting = shop.client.post("/checkout/preview/", fields, follow=True)
    for _ in range(checkout.WAITS):
        assert "Your payment is being processed" in waiting.content.decode()
        waiting = shop.client.get(waiting.context["next_url"], follow=True)
    assert "Your payment was not finished" in waiting.content.decode()
    assert basket_of(shop, basket).status == "Open"
    assert shop.pay().headers["Location"] == "/checkout/thank-you/"


def test_a_guests_return_address_alone_shows_nothing(shop, client, intents_at_stripe):
    guest = shop.client = client
    shop.fill_basket()
    guest.post("/checkout/", {"username": "guest@example.com", "options": "anonymous"})
    shop.go_to_payment()
    back = answer_3d_secure(shop.pay("pm_card_authenticationRequired").headers["Location"], "complete")
    stranger = type(client)()
    assert stranger.get(back).status_code == 200
    assert "checkout_order_id" not in stranger.session
    assert shop.orders() == []
    assert intents_at_stripe()[0]["status"] == "requires_capture"


# Twice


def test_the_second_click_lands_on_the_same_thank_you_page(shop, intents_at_stripe):
    shop.fill_basket()
    shop.go_to_payment()
    fields = shop.choose_card()
    first = shop.client.post("/checkout/preview/", fields)
    second = shop.client.post("/checkout/preview/", fields, follow=True)
    assert first.headers["Location"] == "/checkout/thank-you/"
    assert second.redirect_chain[-1] == ("/checkout/thank-you/", 302)
    assert len(shop.orders()) == 1
    assert len(intents_at_stripe()) == 1


def test_the_second_click_during_3d_secure_leads_to_the_bank_too(shop):
    shop.fill_basket()
    shop.go_to_payment()
    fields = shop.choose_card("pm_card_authenticationRequired")
    first = shop.client.post("/checkout/preview/", fields)
    second = shop.client.post("/checkout/preview/", fields)
    third = shop.client.get(second.headers["Location"])
    assert third.headers["Location"] == first.headers["Location"]


# Failing placement and failing provider


@pytest.fixture
def placement_fails(monkeypatch):
    unable_to_place = get_class("order.exceptions", "UnableToPlaceOrder")
    creator = get_class("order.utils", "OrderCreator")

    def fail(error=None):
        def record_discount(*args, **kwargs):
            raise error or unable_to_place("Your points are gone.")

        monkeypatch.setattr(creator, "create_line_models", record_discount)

    fail.undo = monkeypatch.undo
    return fail


@pytest.mark.parametrize("error", [None, RuntimeError("boom")])
def test_a_failing_placement_cancels_the_authorisation(shop, intents_at_stripe, placement_fails, error):
    basket = shop.fill_basket()
    shop.go_to_payment()
    placement_fails(error)
    answer = shop.pay()
    assert answer.status_code == 200
    if error is None:
        assert "Your points are gone." in answer.content.decode()
    assert shop.orders() == []
    assert intents_at_stripe()[0]["status"] == "canceled"
    assert CardPayment.objects.get().state == State.CANCELLED
    assert basket_of(shop, basket).status == "Open"


def test_a_failing_placement_after_3d_secure_cancels_the_authorisation(
    shop, intents_at_stripe, placement_fails
):
    basket = shop.fill_basket()
    shop.go_to_payment()
    back = answer_3d_secure(shop.pay("pm_card_authenticationRequired").headers["Location"], "complete")
    placement_fails()
    answer = shop.client.get(back, follow=True)
    assert "Your points are gone." in answer.content.decode()
    assert shop.orders() == []
    assert intents_at_stripe()[0]["status"] == "canceled"
    assert basket_of(shop, basket).status == "Open"


def test_a_provider_that_does_not_answer_leaves_the_basket_open(shop, stripe_server):
    basket = shop.fill_basket()
    shop.go_to_payment()
    stripe_server.control("chaos", fault="error_500", times="always")
    answer = shop.pay()
    assert "no payment has been taken" in answer.content.decode()
    assert basket_of(shop, basket).status == "Open"
    stripe_server.control("chaos", clear=True)
    assert shop.pay().headers["Location"] == "/checkout/thank-you/"


def test_an_authorisation_whose_answer_was_lost_is_found_again(shop, stripe_server, intents_at_stripe):
    shop.fill_basket()
    shop.go_to_payment()
    stripe_server.control("chaos", fault="drop_after_commit", path="*/confirm", times=3)
    assert shop.pay().headers["Location"] == "/checkout/thank-you/"
    assert len(intents_at_stripe()) == 1
    assert len(shop.orders()) == 1


def test_a_capture_that_fails_does_not_touch_the_order_and_is_swept(shop, stripe_server, intents_at_stripe):
    shop.fill_basket()
    shop.go_to_payment()
    stripe_server.control("chaos", fault="error_500", path="*/capture", times="always")
    assert shop.pay().headers["Location"] == "/checkout/thank-you/"
    payment = CardPayment.objects.get()
    assert (payment.state, payment.last_error) == (State.AUTHORISED, "unavailable")
    stripe_server.control("chaos", clear=True)
    swept = services.finish_payments(now=payment.authorised_at + services.CAPTURE_GRACE * 2)
    assert (swept.captured, swept.waiting) == (1, 0)
    assert intents_at_stripe()[0]["status"] == "succeeded"
    assert shop.orders()[0].sources.get().amount_debited == Decimal("12.34")


def test_a_mail_server_that_is_down_does_not_reopen_the_basket(shop, monkeypatch):
    basket = shop.fill_basket()
    shop.go_to_payment()

    def fail(*args, **kwargs):
        raise OSError("no mail server")

    monkeypatch.setattr(get_class("order.utils", "OrderDispatcher"), "send_order_placed_email_for_user", fail)
    assert shop.pay().headers["Location"] == "/checkout/thank-you/"
    assert basket_of(shop, basket).status == "Submitted"
    assert shop.client.get("/checkout/thank-you/").status_code == 200


# Nothing to pay


@pytest.fixture
def free_shop(shop):
    shop.record.price = Decimal("0.00")
    shop.record.save()
    return shop


def test_a_total_of_zero_needs_no_payment(free_shop, intents_at_stripe):
    basket = free_shop.fill_basket()
    free_shop.go_to_payment()
    assert free_shop.client.get("/checkout/payment-details/").headers["Location"] == "/checkout/preview/"
    page = free_shop.client.get("/checkout/preview/")
    fields = {"action": "place_order", "submission": page.context["card_submission"]}
    assert free_shop.client.post("/checkout/preview/", fields).headers["Location"] == "/checkout/thank-you/"
    assert free_shop.client.post("/checkout/preview/", fields, follow=True).redirect_chain[-1] == (
        "/checkout/thank-you/",
        302,
    )
    assert len(free_shop.orders()) == 1
    assert intents_at_stripe() == []
    assert not CardPayment.objects.exists()
    assert basket_of(free_shop, basket).status == "Submitted"


def test_a_free_order_that_fails_leaves_the_basket_open(free_shop, placement_fails):
    basket = free_shop.fill_basket()
    free_shop.go_to_payment()
    placement_fails()
    answer = free_shop.client.post("/checkout/preview/", {"action": "place_order"})
    assert "Your points are gone." in answer.content.decode()
    assert basket_of(free_shop, basket).status == "Open"


@pytest.mark.database
def test_what_fails_after_a_free_order_does_not_take_it_back(free_shop, monkeypatch):
    """The order's mail is written into the database, which refuses."""
    basket = free_shop.fill_basket()
    free_shop.go_to_payment()

    def fail(*args, **kwargs):
        with connection.cursor() as cursor:
            cursor.execute("SELECT nothing FROM nowhere")

    monkeypatch.setattr(get_class("order.utils", "OrderDispatcher"), "send_order_placed_email_for_user", fail)
    answer = free_shop.client.post("/checkout/preview/", {"action": "place_order"})
    assert answer.headers["Location"] == "/checkout/thank-you/"
    assert free_shop.client.get("/checkout/thank-you/").status_code == 200
    assert basket_of(free_shop, basket).status == "Submitted"


# Where another request is faster


def test_a_basket_that_was_released_meanwhile_is_not_ordered(shop, monkeypatch, intents_at_stripe):
    """The sweep, or the shopper in another tab, gives the basket back between authorisation and order."""
    shop.fill_basket()
    shop.go_to_payment()
    authorise = services.authorise_payment

    def authorise_then_lose(**kwargs):
        intent = authorise(**kwargs)
        payment = CardPayment.objects.get()
        assert services.release_basket(
            basket_id=payment.basket_id, reason="abandoned", now=payment.created_at
        )
        return intent

    monkeypatch.setattr(checkout.services, "authorise_payment", authorise_then_lose)
    answer = shop.pay()
    assert "Your basket has changed meanwhile" in answer.content.decode()
    assert shop.orders() == []
    assert intents_at_stripe()[0]["status"] == "canceled"

"""The headless way: begin a payment, confirm it with Stripe, place the order with django-oscar-api."""

import json
from decimal import Decimal

import pytest
import requests
from oscar.core.loading import get_class, get_model

from oscar_loyalty.payments import services
from oscar_loyalty.payments.models import CardPayment

from .conftest import Shop, answer_3d_secure

pytest.importorskip("oscarapi")
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("atomic_requests")]

PAYMENTS = "/api/loyalty/v1/payments"
ADDRESS = {
    "country": "http://testserver/api/countries/DE/",
    "first_name": "Ada",
    "last_name": "Lovelace",
    "line1": "Gasse 1",
    "line4": "Berlin",
    "postcode": "10115",
}


class Api:
    """A shopper's app: JSON in, JSON out, and Stripe.js replaced by its one call."""

    def __init__(self, shop: Shop, stripe_server) -> None:
        self.shop, self.stripe_server = shop, stripe_server

    def post(self, path, data):
        return self.shop.client.post(path, json.dumps(data), content_type="application/json")

    def fill_basket(self, quantity=1):
        answer = self.post(
            "/api/basket/add-product/",
            {"url": f"http://testserver/api/products/{self.shop.product.pk}/", "quantity": quantity},
        )
        assert answer.status_code == 200
        return answer.json()

    def begin(self, **more):
        return self.post(PAYMENTS, {"shipping_address": ADDRESS, **more})

    def confirm(self, payment, card="pm_card_visa"):
        """What Stripe.js does: the publishable key, the client secret, a card."""
        return requests.post(
            f"{self.stripe_server.url}/v1/payment_intents/{payment['payment_intent']}/confirm",
            headers={"Authorization": f"Bearer {payment['publishable_key']}"},
            data={
                "client_secret": payment["client_secret"],
                "payment_method": card,
                "return_url": "http://testserver/back",
            },
            timeout=10,
        ).json()

    def place(self, basket, payment=None, **more):
        body = {"basket": basket["url"], "shipping_address": ADDRESS, **more}
        if payment:
            body["payment_intent"] = payment["payment_intent"]
        return self.post("/api/checkout/", body)


@pytest.fixture
def api(shop, stripe_server):
    return Api(shop, stripe_server)


@pytest.fixture
def paid(api):
    """A basket and its confirmed payment."""
    basket = api.fill_basket(2)
    payment = api.begin().json()
    assert api.confirm(payment)["status"] == "requires_capture"
    return basket, payment


def problem(answer, status, code):
    assert answer.status_code == status, answer.content
    assert answer.headers["Content-Type"] == "application/problem+json"
    body = answer.json()
    assert (body["status"], body["code"]) == (status, code)
    assert body["detail"]
    return body


def test_an_order_is_paid_without_a_browser(api, paid, intents_at_stripe):
    basket, payment = paid
    assert (payment["amount"], payment["currency"], payment["state"]) == ("24.68", "EUR", "PENDING")
    answer = api.place(basket, payment)
    assert answer.status_code == 200, answer.content
    (order,) = api.shop.orders()
    assert answer.json()["number"] == order.number
    source = order.sources.get()
    assert (source.reference, source.amount_debited) == (payment["payment_intent"], Decimal("24.68"))
    assert intents_at_stripe()[0]["status"] == "succeeded"
    assert order.basket.status == "Submitted"


def test_the_same_checkout_again_answers_with_the_same_order(api, paid):
    basket, payment = paid
    first, second = api.place(basket, payment), api.place(basket, payment)
    assert second.status_code == 200
    assert first.json()["number"] == second.json()["number"]
    assert len(api.shop.orders()) == 1


def test_beginning_twice_gives_the_same_intent(api, intents_at_stripe):
    api.fill_basket()
    first, second = api.begin(), api.begin()
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert len(intents_at_stripe()) == 1


def test_3d_secure_without_pages_of_ours(api):
    basket = api.fill_basket()
    payment = api.begin().json()
    asked = api.confirm(payment, "pm_card_authenticationRequired")
    problem(api.place(basket, payment), 402, "payment_not_authorised")
    answer_3d_secure(asked["next_action"]["redirect_to_url"]["url"], "complete")
    assert api.place(basket, payment).status_code == 200


def test_a_declined_card_takes_another_one(api):
    basket = api.fill_basket()
    payment = api.begin().json()
    assert api.confirm(payment, "pm_card_visa_chargeDeclined")["error"]["code"] == "card_declined"
    problem(api.place(basket, payment), 402, "payment_not_authorised")
    api.confirm(payment)
    assert api.place(basket, payment).status_code == 200


def test_without_a_payment_there_is_no_order(api):
    basket = api.fill_basket()
    problem(api.place(basket), 402, "payment_required")
    assert api.shop.orders() == []


def test_an_unknown_intent_places_no_order(api):
    basket = api.fill_basket()
    problem(api.place(basket, {"payment_intent": "pi_unknown"}), 409, "payment_unknown")
    assert api.shop.orders() == []


def test_the_intent_of_somebody_else_looks_like_an_unknown_one(api, paid, django_user_model):
    _, foreign = paid
    api.shop.user = django_user_model.objects.create_user("eve")
    api.shop.client = api.shop.new_client()
    basket = api.fill_basket(2)
    problem(api.place(basket, foreign), 409, "payment_unknown")
    assert api.shop.orders() == []
    assert CardPayment.objects.get(intent_id=foreign["payment_intent"]).open_key


@pytest.mark.parametrize("quantity", [1, 3])
def test_an_intent_over_another_amount_places_no_order(api, paid, quantity, intents_at_stripe):
    basket, payment = paid
    line = get_model("basket", "Line").objects.get()
    line.quantity = quantity
    line.save()
    problem(api.place(basket, payment), 409, "payment_mismatch")
    assert api.shop.orders() == []
    new = api.begin().json()
    api.confirm(new)
    assert api.place(basket, new).status_code == 200
    assert sorted(intent["status"] for intent in intents_at_stripe()) == ["canceled", "succeeded"]


def test_an_intent_pays_once(api, paid):
    basket, payment = paid
    assert api.place(basket, payment).status_code == 200
    again = api.fill_basket(2)
    assert again["url"] != basket["url"]
    problem(api.place(again, payment), 409, "payment_unknown")
    assert len(api.shop.orders()) == 1


def test_a_wrong_total_is_refused_before_money_is_asked_for(api, paid):
    basket, payment = paid
    body = problem(api.place(basket, payment, total="1.00"), 400, "invalid_input")
    assert body["errors"]
    assert api.shop.orders() == []


@pytest.mark.parametrize("error", [ValueError("Out of stock"), None])
def test_a_failing_placement_cancels_the_authorisation(api, paid, monkeypatch, error, intents_at_stripe):
    unable_to_place = get_class("order.exceptions", "UnableToPlaceOrder")
    basket, payment = paid

    def fail(*args, **kwargs):
        raise error or unable_to_place("Your points are gone.")

    monkeypatch.setattr(get_class("order.utils", "OrderCreator"), "create_line_models", fail)
    body = problem(api.place(basket, payment), 409, "order_not_placed")
    assert body["detail"] == str(error or "Your points are gone.")
    assert api.shop.orders() == []
    assert intents_at_stripe()[0]["status"] == "canceled"
    monkeypatch.undo()
    new = api.begin().json()
    api.confirm(new)
    assert api.place(basket, new).status_code == 200


def test_a_basket_of_somebody_else_is_not_there(api, paid, client):
    basket, payment = paid
    api.shop.client = client
    problem(api.place(basket, payment), 404, "basket_not_yours")
    assert api.shop.orders() == []


def test_a_total_of_zero_needs_no_payment(api, intents_at_stripe):
    api.shop.record.price = Decimal(0)
    api.shop.record.save()
    basket = api.fill_basket()
    problem(api.begin(), 409, "payment_not_needed")
    first, second = api.place(basket), api.place(basket)
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json()["number"] == second.json()["number"]
    assert len(api.shop.orders()) == 1
    assert intents_at_stripe() == []


def test_a_guest_pays(api, client):
    api.shop.client = client
    basket = api.fill_basket()
    payment = api.begin().json()
    api.confirm(payment)
    answer = api.place(basket, payment, guest_email="guest@example.com")
    assert answer.status_code == 200, answer.content
    stranger = type(client)()
    api.shop.client = stranger
    problem(api.place(basket, payment, guest_email="guest@example.com"), 404, "basket_not_yours")


def test_beginning_without_a_basket_is_refused(api, intents_at_stripe):
    problem(api.begin(), 409, "basket_empty")
    assert intents_at_stripe() == []


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"shipping_method_code": "pigeon"}, "unknown_shipping_method"),
        ({"shipping_address": {"country": "XX"}}, "invalid_input"),
        ({"shipping_address": {}}, "invalid_input"),
        ({"shipping_address": "Berlin"}, "invalid_input"),
    ],
)
def test_shipping_that_is_not_offered_is_refused(api, more, code):
    api.fill_basket()
    problem(api.begin(**more), 400, code)


def test_a_country_may_be_its_code(api):
    api.fill_basket()
    assert api.begin(shipping_address={"country": "de"}).status_code == 201


def test_a_provider_that_does_not_answer_is_named(api, paid, stripe_server):
    basket, payment = paid
    stripe_server.control("chaos", fault="error_500", times="always")
    problem(api.begin(), 503, "payment_unavailable")
    problem(api.place(basket, payment), 503, "payment_unavailable")
    stripe_server.control("chaos", clear=True)
    assert api.place(basket, payment).status_code == 200


def test_a_crash_between_order_and_capture_is_swept(api, paid, stripe_server):
    basket, payment = paid
    stripe_server.control("chaos", fault="drop_after_commit", path="*/capture", times=3)
    assert api.place(basket, payment).status_code == 200
    stripe_server.control("chaos", clear=True)
    row = CardPayment.objects.get()
    swept = services.finish_payments(now=row.authorised_at + services.CAPTURE_GRACE * 2)
    assert swept.captured == 1
    assert api.shop.orders()[0].sources.get().amount_debited == Decimal("24.68")


def test_the_override_setting_puts_our_checkout_in_place(settings):
    settings.OSCARAPI_OVERRIDE_MODULES = ["oscar_loyalty.rest_api.oscarapi"]
    from oscarapi.utils.loading import get_api_class

    from oscar_loyalty.rest_api.oscarapi.views.checkout import CheckoutView

    assert get_api_class("views.checkout", "CheckoutView") is CheckoutView
    assert "payment_intent" in get_api_class("serializers.checkout", "CheckoutSerializer")().fields

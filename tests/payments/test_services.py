"""The services of the payment room: what happens to one payment, and the sweep that finishes it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction
from oscar.core.loading import get_model
from oscar.test.factories import create_order

from oscar_loyalty.payments import queries, services
from oscar_loyalty.payments.gateway import CardDeclined, GatewayUnavailable, IntentStatus
from oscar_loyalty.payments.models import CardPayment

from .conftest import answer_3d_secure

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("stripe_server")]

State = CardPayment.State
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=2)
CARD = {"payment_method": "pm_card_visa", "return_url": "http://testserver/back", "now": NOW}


def prepare(basket_id="7", amount="12.34", currency="EUR"):
    return services.prepare_payment(
        basket_id=basket_id, amount=Decimal(amount), currency=currency, now=NOW
    ).payment


def authorised(**kwargs):
    payment = prepare(**kwargs)
    services.authorise_payment(payment_id=payment.pk, **CARD)
    payment.refresh_from_db()
    assert payment.state == State.AUTHORISED
    return payment


def verify(payment, **changes):
    expected = {
        "intent_id": payment.intent_id,
        "basket_id": "7",
        "amount": Decimal("12.34"),
        "currency": "EUR",
        "now": NOW,
    }
    return services.verify_authorisation(**{**expected, **changes})


@pytest.fixture
def ordered():
    """An authorised payment whose order is placed and not captured, as after a crash."""
    payment = authorised()
    order = create_order(number="100007")
    source_type = get_model("payment", "SourceType").objects.create(name="Card", code="card")
    order.sources.create(
        source_type=source_type,
        currency="EUR",
        amount_allocated=payment.amount,
        reference=payment.intent_id,
    )
    services.record_order(payment_id=payment.pk, order_number=order.number)
    return payment


def at_stripe(intents, payment):
    return next(intent for intent in intents() if intent["id"] == payment.intent_id)


# Prepare


def test_the_same_basket_and_total_keep_their_intent(intents_at_stripe):
    assert prepare() == prepare()
    assert len(intents_at_stripe()) == 1


@pytest.mark.parametrize("change", [{"amount": "12.35"}, {"currency": "USD"}])
def test_another_total_gives_the_old_payment_up(intents_at_stripe, change):
    old = authorised()
    new = prepare(**change)
    assert new.intent_id != old.intent_id
    assert at_stripe(intents_at_stripe, old)["status"] == "canceled"
    old.refresh_from_db()
    assert (old.state, old.last_error, old.open_key) == (State.CANCELLED, "total_changed", None)


def test_two_baskets_have_two_intents():
    assert prepare("7").intent_id != prepare("8").intent_id


def test_an_intent_whose_creation_was_not_answered_is_found_again(stripe_server, intents_at_stripe):
    stripe_server.control("chaos", fault="drop_after_commit", method="POST", times=3)
    with pytest.raises(GatewayUnavailable):
        prepare()
    assert CardPayment.objects.get().state == State.REQUESTED
    assert prepare().state == State.PENDING
    assert len(intents_at_stripe()) == 1


def test_an_intent_that_was_cancelled_elsewhere_is_replaced(gateway):
    old = prepare()
    gateway.cancel_intent(intent_id=old.intent_id, idempotency_key="by hand")
    assert prepare().intent_id != old.intent_id


def test_a_basket_that_was_ordered_is_not_paid_again(ordered):
    with pytest.raises(services.PaymentAlreadyUsed):
        prepare()
    with pytest.raises(services.PaymentAlreadyUsed):
        prepare(amount="1.00")


# Authorise


def test_a_declined_card_leaves_its_reason(intents_at_stripe):
    payment = prepare()
    with pytest.raises(CardDeclined):
        services.authorise_payment(
            payment_id=payment.pk, **{**CARD, "payment_method": "pm_card_visa_chargeDeclined"}
        )
    payment.refresh_from_db()
    assert (payment.state, payment.last_error, payment.attempts) == (State.PENDING, "generic_decline", 1)
    assert services.authorise_payment(payment_id=payment.pk, **CARD).status == IntentStatus.AUTHORISED


def test_an_authorised_payment_is_not_authorised_twice(stripe_server):
    payment = authorised()
    services.authorise_payment(payment_id=payment.pk, **CARD)
    assert len(stripe_server.control("state")["charge"]) == 1


# Verify


def test_an_authorised_payment_is_verified():
    payment = authorised()
    assert verify(payment) == payment


@pytest.mark.parametrize(
    ("change", "error", "what"),
    [
        ({"basket_id": "8"}, services.PaymentMismatch, "basket"),
        ({"amount": Decimal("12.33")}, services.PaymentMismatch, "amount"),
        ({"amount": Decimal("12.35")}, services.PaymentMismatch, "amount"),
        ({"currency": "USD"}, services.PaymentMismatch, "currency"),
        ({"intent_id": "pi_unknown"}, services.UnknownPayment, None),
    ],
)
def test_a_payment_for_something_else_is_refused(change, error, what):
    with pytest.raises(error, match=what):
        verify(authorised(), **change)


def test_an_intent_in_other_letters_is_unknown():
    payment = authorised()
    with pytest.raises(services.UnknownPayment):
        verify(payment, intent_id=payment.intent_id.swapcase())


def test_an_intent_that_is_not_authorised_is_refused():
    with pytest.raises(services.PaymentNotAuthorised):
        verify(prepare())


def test_an_intent_that_was_cancelled_at_the_provider_is_refused(gateway):
    payment = authorised()
    gateway.cancel_intent(intent_id=payment.intent_id, idempotency_key="by hand")
    with pytest.raises(services.PaymentNotAuthorised):
        verify(payment)


def test_an_intent_that_has_an_order_is_refused(ordered):
    with pytest.raises(services.PaymentAlreadyUsed):
        verify(ordered)


def test_a_foreign_intent_with_a_row_of_ours_is_refused(gateway):
    """Somebody made our row point to an intent of another shop on the same account."""
    payment = authorised()
    foreign = gateway.create_intent(
        amount=Decimal("12.34"), currency="EUR", reference="x", basket_id="7", idempotency_key="x"
    )
    gateway.confirm_intent(
        intent_id=foreign.intent_id,
        payment_method="pm_card_visa",
        return_url="http://testserver/",
        idempotency_key="y",
    )
    CardPayment.objects.filter(pk=payment.pk).update(intent_id=foreign.intent_id)
    with pytest.raises(services.PaymentMismatch, match="reference"):
        verify(payment, intent_id=foreign.intent_id)


# Order and capture


def test_one_payment_pays_one_order(ordered):
    services.record_order(payment_id=ordered.pk, order_number="100007")
    with pytest.raises(services.PaymentAlreadyUsed):
        services.record_order(payment_id=ordered.pk, order_number="100008")


def test_a_payment_that_was_given_up_takes_no_order():
    payment = authorised()
    services.cancel_payment(payment_id=payment.pk, reason="abandoned", now=NOW)
    with pytest.raises(services.PaymentNotAuthorised):
        services.record_order(payment_id=payment.pk, order_number="100007")


def test_capturing_twice_takes_the_money_once(ordered, stripe_server):
    services.capture_payment(payment_id=ordered.pk, now=NOW)
    services.capture_payment(payment_id=ordered.pk, now=NOW)
    (charge,) = stripe_server.control("state")["charge"]
    assert charge["amount_captured"] == 1234
    source = get_model("payment", "Source").objects.get()
    assert source.amount_debited == Decimal("12.34")


def test_nothing_is_captured_without_an_order(intents_at_stripe):
    payment = authorised()
    with pytest.raises(services.PaymentNotAuthorised):
        services.capture_payment(payment_id=payment.pk, now=NOW)
    assert at_stripe(intents_at_stripe, payment)["status"] == "requires_capture"


def test_money_that_was_taken_by_hand_without_an_order_is_known(ordered, gateway):
    stray = authorised(basket_id=8)
    gateway.capture_intent(
        intent_id=stray.intent_id, amount=stray.amount, currency=stray.currency, idempotency_key="by hand"
    )
    services.look_again(payment_id=stray.pk, now=NOW)
    services.capture_payment(payment_id=ordered.pk, now=NOW)
    assert list(queries.list_strays()) == [stray]


@pytest.mark.parametrize("paid_again", [False, True])
def test_money_that_was_taken_while_the_payment_was_being_cancelled_is_known(
    gateway, stripe_server, paid_again
):
    """Somebody captures by hand what we have given up, before the provider hears of that."""
    payment = authorised()
    gateway.capture_intent(
        intent_id=payment.intent_id,
        amount=payment.amount,
        currency=payment.currency,
        idempotency_key="by hand",
    )
    stripe_server.control("chaos", fault="error_500", times="always")
    services.cancel_payment(payment_id=payment.pk, reason="x", now=NOW)
    stripe_server.control("chaos", clear=True)
    if paid_again:
        assert authorised().pk != payment.pk
    services.finish_payments(now=NOW)
    assert list(queries.list_strays()) == [payment]


def test_a_capture_whose_answer_was_lost_is_not_repeated(ordered, stripe_server, intents_at_stripe):
    stripe_server.control("chaos", fault="drop_after_commit", method="POST", times=3)
    with pytest.raises(GatewayUnavailable):
        services.capture_payment(payment_id=ordered.pk, now=NOW)
    assert services.capture_payment(payment_id=ordered.pk, now=NOW).state == State.CAPTURED
    assert get_model("payment", "Source").objects.get().amount_debited == Decimal("12.34")


def test_an_authorisation_that_ran_out_is_a_known_unpaid_order(ordered, stripe_server, caplog):
    stripe_server.control("clock", advance=8 * 86400)
    with pytest.raises(services.PaymentNotAuthorised):
        services.capture_payment(payment_id=ordered.pk, now=NOW)
    assert list(queries.list_unpaid_orders()) == [ordered]
    assert "Order 100007 is not paid" in caplog.text


def test_a_payment_with_an_order_cannot_be_cancelled(ordered, intents_at_stripe):
    with pytest.raises(services.PaymentAlreadyUsed):
        services.cancel_payment(payment_id=ordered.pk, reason="x", now=NOW)
    assert at_stripe(intents_at_stripe, ordered)["status"] == "requires_capture"


def test_a_provider_that_is_down_does_not_keep_a_basket_from_being_paid_again(stripe_server):
    payment = authorised()
    stripe_server.control("chaos", fault="error_500", times="always")
    assert services.cancel_payment(payment_id=payment.pk, reason="x", now=NOW).state == State.CANCELLING
    stripe_server.control("chaos", clear=True)
    assert prepare().pk != payment.pk
    services.finish_payments(now=NOW)
    payment.refresh_from_db()
    assert payment.state == State.CANCELLED


def test_old_news_changes_nothing(ordered, gateway):
    before = gateway.retrieve_intent(intent_id=ordered.intent_id)
    services.capture_payment(payment_id=ordered.pk, now=NOW)
    services._observe(ordered.pk, before, now=LATER)
    ordered.refresh_from_db()
    assert (ordered.state, ordered.captured_at) == (State.CAPTURED, NOW)


# The sweep


def test_the_sweep_cancels_what_was_authorised_without_an_order(intents_at_stripe):
    payment = authorised()
    assert services.finish_payments(now=NOW + timedelta(minutes=59)).cancelled == 0
    assert services.finish_payments(now=LATER).cancelled == 1
    assert at_stripe(intents_at_stripe, payment)["status"] == "canceled"
    assert services.finish_payments(now=LATER) == services.Swept()


def test_the_sweep_captures_what_has_an_order(ordered, intents_at_stripe):
    assert services.finish_payments(now=NOW + timedelta(minutes=3)).captured == 1
    assert at_stripe(intents_at_stripe, ordered)["status"] == "succeeded"
    assert get_model("payment", "Source").objects.get().amount_debited == Decimal("12.34")
    assert services.finish_payments(now=LATER) == services.Swept()


def test_an_order_that_was_cancelled_before_its_money_was_taken_is_not_charged(
    ordered, stripe_server, intents_at_stripe, caplog
):
    get_model("order", "Order").objects.update(status="Cancelled")
    stripe_server.control("chaos", fault="error_500", times="always")
    assert services.finish_payments(now=LATER).waiting == 1
    stripe_server.control("chaos", clear=True)
    assert services.finish_payments(now=LATER).cancelled == 1
    assert at_stripe(intents_at_stripe, ordered)["status"] == "canceled"
    assert not queries.list_unpaid_orders().exists()
    assert "is not paid" not in caplog.text
    assert services.finish_payments(now=LATER) == services.Swept()


def test_money_that_was_taken_for_a_cancelled_order_is_in_the_books(ordered, gateway):
    get_model("order", "Order").objects.update(status="Cancelled")
    gateway.capture_intent(
        intent_id=ordered.intent_id,
        amount=ordered.amount,
        currency=ordered.currency,
        idempotency_key="by hand",
    )
    services.finish_payments(now=LATER)
    ordered.refresh_from_db()
    assert ordered.state == State.CAPTURED
    assert get_model("payment", "Source").objects.get().amount_debited == Decimal("12.34")


def test_the_sweep_believes_the_payment_source_of_an_order(ordered, intents_at_stripe):
    """Another checkout wrote the source and died before it told us."""
    CardPayment.objects.filter(pk=ordered.pk).update(order_number=None)
    assert services.finish_payments(now=LATER) == services.Swept(captured=1)
    ordered.refresh_from_db()
    assert (ordered.state, ordered.order_number) == (State.CAPTURED, "100007")


def test_an_order_of_another_checkout_does_not_keep_the_sweep_from_going_on(ordered, intents_at_stripe):
    """Its shopper confirmed with Stripe.js and we have not looked since."""
    CardPayment.objects.filter(pk=ordered.pk).update(order_number=None, state=State.PENDING)
    waiting = authorised(basket_id=8)
    services.finish_payments(now=LATER)
    assert at_stripe(intents_at_stripe, waiting)["status"] == "canceled"
    services.finish_payments(now=LATER)
    ordered.refresh_from_db()
    assert (ordered.state, ordered.order_number) == (State.CAPTURED, "100007")


def test_the_sweep_ends_an_abandoned_3d_secure_and_frees_the_basket(intents_at_stripe):
    basket = get_model("basket", "Basket").objects.create(status="Frozen")
    payment = prepare(str(basket.pk))
    asked = services.authorise_payment(
        payment_id=payment.pk, **{**CARD, "payment_method": "pm_card_authenticationRequired"}
    )
    services.finish_payments(now=LATER)
    basket.refresh_from_db()
    assert basket.status == "Open"
    assert at_stripe(intents_at_stripe, payment)["status"] == "canceled"
    assert asked.redirect_url


def test_a_frozen_basket_that_was_ordered_is_not_released():
    """Some checkouts leave the basket frozen when they have placed its order."""
    order = create_order(number="100007")
    order.basket.freeze()
    assert not services.release_basket(basket_id=order.basket_id, reason="abandoned", now=NOW)
    order.basket.refresh_from_db()
    assert order.basket.status == "Frozen"


def test_a_3d_secure_that_was_completed_without_coming_back_is_given_up(intents_at_stripe):
    payment = prepare()
    asked = services.authorise_payment(
        payment_id=payment.pk, **{**CARD, "payment_method": "pm_card_authenticationRequired"}
    )
    answer_3d_secure(asked.redirect_url, "complete")
    services.finish_payments(now=LATER)
    assert at_stripe(intents_at_stripe, payment)["status"] == "canceled"


def test_one_payment_that_cannot_be_finished_does_not_keep_the_others_waiting(
    ordered, gateway, stripe_server, intents_at_stripe, caplog
):
    lost = prepare("8")
    CardPayment.objects.filter(pk=lost.pk).update(intent_id="pi_lost")
    swept = services.finish_payments(now=LATER)
    assert (swept.captured, swept.waiting) == (1, 1)


def test_a_sweep_while_the_provider_is_down_loses_nothing(ordered, stripe_server):
    stripe_server.control("chaos", fault="error_500", times="always")
    assert services.finish_payments(now=LATER).waiting == 1
    stripe_server.control("chaos", clear=True)
    assert services.finish_payments(now=LATER).captured == 1


# What the database promises


@pytest.mark.parametrize(
    "broken",
    [
        {"amount": Decimal(0)},
        {"amount": Decimal(-1)},
        {"state": "PAID"},
        {"open_key": None},
        {"open_key": "8"},
        {"state": State.CANCELLED},
        {"intent_id": None},
    ],
)
def test_a_broken_payment_cannot_be_stored(broken):
    payment = prepare()
    with pytest.raises(IntegrityError), transaction.atomic():
        CardPayment.objects.filter(pk=payment.pk).update(**broken)


@pytest.mark.parametrize("shared", ["open_key", "order_number", "intent_id", "public_id"])
def test_two_payments_never_share(shared):
    first, second = prepare("7"), prepare("8")
    CardPayment.objects.filter(pk=first.pk).update(order_number="1")
    first.refresh_from_db()
    values = {shared: getattr(first, shared)}
    if shared == "open_key":
        values["basket_id"] = first.basket_id
    with pytest.raises(IntegrityError), transaction.atomic():
        CardPayment.objects.filter(pk=second.pk).update(**values)

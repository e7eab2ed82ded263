"""The services of refunds: asked for, sent, followed to their end."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
import stripe
from django.db import IntegrityError, transaction
from oscar.core.loading import get_model

from oscar_loyalty.outbox.models import OutboxMessage
from oscar_loyalty.payments import queries, refunds, services
from oscar_loyalty.payments.gateway import GatewayUnavailable, InexactAmount, RefundStatus
from oscar_loyalty.payments.models import CardPayment
from oscar_loyalty.payments.refund_models import Refund

from .refund_world import (
    LATER,
    NOW,
    ORDER,
    PAID,
    add_source,
    at_stripe,
    authorised_order,
    make_order,
    paid_order,
    refunded,
    request,
    send,
    settle,
    source_of,
)

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("stripe_server")]

State = Refund.State


@pytest.fixture
def paid():
    return paid_order()


def left(number=ORDER):
    return queries.find_refundable(order_number=number).left


def look(refund, now=NOW):
    return refunds.look_at_refund(refund_id=refund.pk, now=now)


def retry(refund):
    return refunds.retry_refund(refund_id=refund.pk, by="user:1", now=LATER)


def pay(refund, reference="transfer 1"):
    return refunds.pay_by_hand(refund_id=refund.pk, reference=reference, by="user:1", now=LATER)


def announced():
    """The states that went into the outbox, in their order."""
    news = OutboxMessage.objects.filter(topic="refund_changed").order_by("pk")
    return [(message.payload["cause"], message.payload["state"]) for message in news]


# What may go back


def test_what_was_paid_by_card_may_go_back_to_the_card(paid):
    assert queries.find_refundable(order_number=ORDER) == queries.Refundable(
        paid=PAID, refunded=Decimal(0), left=PAID, currency="EUR", method="CARD", label="Visa •••• 4242"
    )


def test_each_refund_makes_less_of_it(paid):
    request("5.00")
    assert left() == Decimal("7.34")
    refunded("7.34", "return:2")
    assert left() == 0


def test_nothing_may_go_back_for_an_order_that_nobody_knows():
    assert queries.find_refundable(order_number="404").left == 0
    with pytest.raises(refunds.RefundExceedsPaid):
        request(order_number="404")


@pytest.mark.parametrize("amount", ["12.35", "99999.00"])
def test_more_than_was_paid_is_refused(paid, amount):
    with pytest.raises(refunds.RefundExceedsPaid):
        request(amount)
    assert not Refund.objects.exists()


def test_two_refunds_together_are_not_more_than_was_paid(paid):
    refunded("8.00")
    with pytest.raises(refunds.RefundExceedsPaid):
        request("4.35", "return:2")
    assert request("4.34", "return:3")


@pytest.mark.parametrize("amount", ["0.00", "-1.00", "0.001", "NaN", "Infinity"])
def test_an_amount_that_cannot_be_paid_is_refused(paid, amount):
    with pytest.raises(InexactAmount):
        request(amount)


def test_another_currency_is_refused(paid):
    with pytest.raises(refunds.RefundInOtherCurrency):
        request(currency="USD")


def test_what_the_shops_own_code_wrote_into_oscars_books_counts(paid):
    source_of().refund(Decimal("10.00"))
    assert left() == Decimal("2.34")
    with pytest.raises(refunds.RefundExceedsPaid):
        request("2.35")


def test_the_same_cause_is_one_refund(paid):
    assert request() == request()
    assert Refund.objects.count() == 1
    with pytest.raises(refunds.RefundKeyReused):
        request("5.01")


def test_a_failed_or_cancelled_refund_does_not_count(paid, stripe_server):
    failed = refunded("12.00")
    settle(stripe_server, failed, "failed")
    look(failed)
    assert left() == PAID
    cancelled = request("12.00", "return:2")
    refunds.cancel_refund(refund_id=cancelled.pk, now=NOW)
    assert left() == PAID


# Which way


def test_a_card_that_another_checkout_charged_is_refunded_too(paid, stripe_server):
    """As django-oscar-stripe-sca keeps it: the intent's id is the reference of Oscar's source."""
    intent_id = paid.intent_id
    CardPayment.objects.all().delete()
    refund = refunded()
    assert (refund.state, refund.payment, refund.intent_id) == (State.SUCCEEDED, None, intent_id)
    assert source_of().amount_refunded == Decimal("5.00")
    assert [one["amount"] for one in at_stripe(stripe_server)] == [500]


def test_what_no_provider_can_pay_back_is_paid_by_hand():
    order = make_order()
    add_source(order, name="Invoice", amount=Decimal("20.00"), amount_debited=Decimal("20.00"))
    assert queries.find_refundable(order_number=ORDER).method == "MANUAL"
    assert queries.find_refundable(order_number=ORDER).label == "Invoice"
    refund = send(request())
    assert (refund.method, refund.state) == (Refund.Method.MANUAL, State.REQUESTED)
    assert list(queries.list_refunds_that_need_staff()) == [refund]
    assert pay(refund).state == State.SUCCEEDED
    assert source_of().amount_refunded == Decimal("5.00")
    assert not queries.list_refunds_that_need_staff().exists()


def test_an_order_without_payment_sources_was_paid_in_a_way_that_oscar_does_not_know():
    order = make_order()
    assert left() == order.total_incl_tax
    refund = request(str(order.total_incl_tax))
    assert refund.method == Refund.Method.MANUAL
    with pytest.raises(refunds.RefundExceedsPaid):
        request("0.01", "return:2")


def test_what_was_paid_in_another_currency_does_not_count():
    source = add_source(make_order(), name="Invoice", amount=Decimal("20.00"))
    type(source).objects.update(currency="USD")
    assert left() == 0


def test_the_card_comes_first_when_an_order_was_paid_in_two_ways(paid):
    order = get_model("order", "Order").objects.get(number=ORDER)
    voucher = add_source(order, name="Gift card", amount=Decimal("10.00"), amount_debited=Decimal("10.00"))
    assert left() == Decimal("22.34")
    to_card = refunded("12.00")
    assert to_card.method == Refund.Method.CARD
    to_voucher = request("5.00", "return:2")
    assert (to_voucher.method, to_voucher.source_id) == (Refund.Method.MANUAL, voucher.pk)
    assert left() == Decimal("5.34")


def test_an_amount_that_takes_several_sources_is_paid_by_hand_and_spread_in_the_books(paid):
    order = get_model("order", "Order").objects.get(number=ORDER)
    add_source(order, name="Gift card", amount=Decimal("10.00"), amount_debited=Decimal("10.00"))
    refund = request("20.00")
    assert (refund.method, refund.source_id) == (Refund.Method.MANUAL, None)
    pay(refund)
    assert [source.amount_refunded for source in order.sources.order_by("pk")] == [PAID, Decimal("7.66")]
    assert left() == Decimal("2.34")
    with pytest.raises(refunds.RefundExceedsPaid):
        request("2.35", "return:2")


# Send


def test_a_refund_is_paid_back_and_stands_in_oscars_books(paid, stripe_server):
    refund = refunded()
    assert (refund.state, refund.attempts, refund.succeeded_at) == (State.SUCCEEDED, 1, NOW)
    source = source_of()
    assert (source.amount_refunded, source.balance) == (Decimal("5.00"), Decimal("5.00"))
    event = source.order.payment_events.get(event_type__name="Refunded")
    assert (event.amount, event.reference) == (Decimal("5.00"), refund.gateway_id)
    (one,) = at_stripe(stripe_server)
    assert (one["amount"], one["metadata"]) == (500, {"oscar_loyalty_refund": str(refund.public_id)})
    assert announced() == [("return:1", "REQUESTED"), ("return:1", "SUCCEEDED")]


def test_sending_again_pays_once(paid, stripe_server):
    refund = refunded()
    assert send(refund) == refund
    assert len(at_stripe(stripe_server)) == 1


def test_a_refund_is_sent_when_the_callers_transaction_has_committed(
    paid, stripe_server, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        refund = request()
        refunds.send_after_commit(refund_id=refund.pk, clock=lambda: NOW)
        assert at_stripe(stripe_server) == []
    refund.refresh_from_db()
    assert refund.state == State.SUCCEEDED


def test_what_goes_wrong_after_the_commit_is_logged_and_swept(
    paid, stripe_server, caplog, django_capture_on_commit_callbacks
):
    stripe_server.control("chaos", fault="error_500", times="always")
    with django_capture_on_commit_callbacks(execute=True):
        refund = request()
        refunds.send_after_commit(refund_id=refund.pk, clock=lambda: NOW)
    assert "is not sent yet" in caplog.text
    stripe_server.control("chaos", clear=True)
    assert refunds.finish_refunds(now=LATER).refunds == 1
    refund.refresh_from_db()
    assert refund.state == State.SUCCEEDED


def test_a_refund_waits_for_the_capture(stripe_server):
    payment = authorised_order()
    refund = send(request())
    assert (refund.state, refund.sent_at) == (State.REQUESTED, None)
    swept = services.finish_payments(now=LATER)
    assert (swept.captured, swept.refunds) == (1, 1)
    refund.refresh_from_db()
    payment.refresh_from_db()
    assert (payment.state, refund.state) == (CardPayment.State.CAPTURED, State.SUCCEEDED)


def test_a_refund_of_money_that_was_never_taken_is_cancelled(gateway):
    payment = authorised_order()
    refund = request()
    gateway.cancel_intent(intent_id=payment.intent_id, idempotency_key="by hand")
    services.look_again(payment_id=payment.pk, now=NOW)
    refund = send(refund)
    assert (refund.state, refund.failure_code) == (State.CANCELLED, "nothing_taken")
    assert left() == 0


def test_an_answer_that_was_lost_is_found_again(paid, stripe_server):
    stripe_server.control("chaos", fault="drop_after_commit", method="POST", path="/v1/refunds", times=3)
    refund = request()
    with pytest.raises(GatewayUnavailable):
        send(refund)
    refund.refresh_from_db()
    assert (refund.state, refund.attempts) == (State.REQUESTED, 1)
    assert refunds.finish_refunds(now=LATER) == refunds.SweptRefunds(refunds=1)
    refund.refresh_from_db()
    assert refund.state == State.SUCCEEDED
    assert [one["amount"] for one in at_stripe(stripe_server)] == [500]


def test_an_answer_that_was_lost_is_found_when_the_key_is_forgotten(paid, stripe_server):
    """Stripe forgets keys after a day: then only looking tells."""
    stripe_server.control("chaos", fault="drop_after_commit", method="POST", path="/v1/refunds", times=3)
    refund = request()
    with pytest.raises(GatewayUnavailable):
        send(refund)
    stripe_server.control("clock", advance=2 * 86400)
    assert send(refund, NOW + timedelta(days=2)).state == State.SUCCEEDED
    assert len(at_stripe(stripe_server)) == 1


def test_an_error_that_stripe_repeats_for_its_key_is_overcome(paid, stripe_server):
    stripe_server.control(
        "chaos", fault="error_500", method="POST", path="/v1/refunds", times=1, remember=True
    )
    refund = request()
    with pytest.raises(GatewayUnavailable):
        send(refund)
    with pytest.raises(GatewayUnavailable):
        send(refund)
    stripe_server.control("clock", advance=2 * 86400)
    assert send(refund, NOW + timedelta(days=2)).state == State.SUCCEEDED
    assert len(at_stripe(stripe_server)) == 1


def test_a_refund_that_the_provider_refuses_has_failed(paid, stripe_server, gateway):
    refund = request("10.00")
    gateway.create_refund(
        intent_id=paid.intent_id, amount=PAID, currency="EUR", reference="", idempotency_key="by hand"
    )
    refund = send(refund)
    assert (refund.state, refund.failure_code) == (State.FAILED, "charge_already_refunded")
    assert source_of().amount_refunded == 0
    assert list(queries.list_refunds_that_need_staff()) == [refund]


def test_a_wrong_key_decides_nothing(paid, stripe_server, settings):
    """The provider would not even let us look: whether an earlier call arrived is not known."""
    stripe_server.control("chaos", fault="drop_after_commit", method="POST", path="/v1/refunds", times=3)
    refund = request()
    with pytest.raises(GatewayUnavailable):
        send(refund)
    right, settings.OSCAR_LOYALTY_STRIPE_SECRET_KEY = settings.OSCAR_LOYALTY_STRIPE_SECRET_KEY, ""
    refund = send(refund)
    assert (refund.state, refund.failure_code) == (State.REQUESTED, "no_secret_key")
    settings.OSCAR_LOYALTY_STRIPE_SECRET_KEY = right
    assert send(refund).state == State.SUCCEEDED
    assert len(at_stripe(stripe_server)) == 1


# How it goes on


def test_a_refund_on_its_way_is_looked_at_every_hour(paid, stripe_server):
    stripe_server.control("refunds", next_one="pending")
    refund = refunded()
    assert (refund.state, refund.due_at) == (State.PENDING, NOW + timedelta(hours=1))
    assert source_of().amount_refunded == 0
    settle(stripe_server, refund, "succeeded")
    assert refunds.finish_refunds(now=NOW + timedelta(minutes=59)) == refunds.SweptRefunds()
    assert refunds.finish_refunds(now=LATER) == refunds.SweptRefunds(refunds=1)
    refund.refresh_from_db()
    assert (refund.state, refund.succeeded_at) == (State.SUCCEEDED, LATER)
    assert source_of().amount_refunded == Decimal("5.00")


def test_money_that_comes_back_days_later_is_taken_out_of_the_books_once(paid, stripe_server):
    refund = refunded()
    settle(stripe_server, refund, "failed")
    days_later = NOW + timedelta(days=3)
    assert refunds.finish_refunds(now=days_later).refunds == 1
    refund.refresh_from_db()
    assert (refund.state, refund.failure_code) == (State.FAILED, "expired_or_canceled_card")
    assert (refund.succeeded_at, refund.failed_at) == (NOW, days_later)
    look(refund)
    source = source_of()
    assert source.amount_refunded == 0
    assert [txn.amount for txn in source.transactions.filter(txn_type="Refund").order_by("pk")] == [
        Decimal("5.00"),
        Decimal("-5.00"),
    ]
    assert announced()[1:] == [("return:1", "SUCCEEDED"), ("return:1", "FAILED")]
    assert left() == PAID


def test_what_was_paid_back_is_looked_at_for_thirty_days(paid):
    refund = refunded()
    last = NOW + timedelta(days=31)
    refunds.finish_refunds(now=last)
    refund.refresh_from_db()
    assert refund.due_at is None
    assert refunds.finish_refunds(now=last + timedelta(days=9)) == refunds.SweptRefunds()


def test_old_news_changes_nothing(paid, stripe_server, gateway):
    stripe_server.control("refunds", next_one="pending")
    refund = refunded()
    pending = gateway.retrieve_refund(refund_id=refund.gateway_id)
    settle(stripe_server, refund, "succeeded")
    succeeded = gateway.retrieve_refund(refund_id=refund.gateway_id)
    assert look(refund).state == State.SUCCEEDED
    assert refunds._observe(refund.pk, pending, now=LATER).state == State.SUCCEEDED
    settle(stripe_server, refund, "failed")
    assert look(refund).state == State.FAILED
    assert refunds._observe(refund.pk, succeeded, now=LATER).state == State.FAILED
    assert source_of().amount_refunded == 0


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"amount": Decimal("5.01")}, "amount"),
        ({"currency": "USD"}, "currency"),
        ({"intent_id": "pi_other"}, "intent"),
        ({"reference": "another"}, "reference"),
        ({"refund_id": "re_other"}, "refund"),
        ({"customer_ref": "cus_other"}, "customer"),
        ({"customer_ref": ""}, "customer"),
        ({"is_live": True}, "livemode"),
    ],
)
def test_a_refund_that_is_not_what_we_asked_for_is_left_to_staff(
    paid, stripe_server, gateway, caplog, change, what
):
    stripe_server.control("refunds", next_one="pending")
    refund = refunded()
    settle(stripe_server, refund, "succeeded")
    CardPayment.objects.update(customer_ref="cus_1")
    seen = gateway.retrieve_refund(refund_id=refund.gateway_id)
    seen = replace(seen, **{"customer_ref": "cus_1", **change})
    refund = refunds._observe(refund.pk, seen, now=LATER)
    assert (refund.state, refund.failure_code) == (State.PENDING, f"mismatch_{what}")
    assert list(queries.list_refunds_that_need_staff()) == [refund]
    assert what in caplog.text


@pytest.mark.parametrize("is_live", [True, False])
def test_a_payment_of_unknown_mode_is_refunded_in_the_mode_of_the_key(paid, gateway, is_live):
    CardPayment.objects.update(is_live=None)
    refund = refunded()
    seen = replace(gateway.retrieve_refund(refund_id=refund.gateway_id), is_live=is_live, key_is_live=False)
    assert refunds._observe(refund.pk, seen, now=LATER).is_mismatch == is_live


def test_what_the_provider_does_not_say_is_no_mismatch(paid, gateway):
    CardPayment.objects.update(customer_ref="cus_1", is_live=True)
    refund = request()
    made = refund_by_hand(gateway, paid)
    silent = replace(made, reference=str(refund.public_id), customer_ref=None, is_live=None)
    assert refunds._observe(refund.pk, silent, now=LATER).state == State.SUCCEEDED


def test_a_refund_belongs_to_whom_its_payment_belongs_to(paid, gateway, stripe_server):
    assert (paid.customer_ref, paid.is_live) == ("", False)
    seen = gateway.retrieve_refund(refund_id=refunded().gateway_id)
    assert (seen.customer_ref, seen.is_live, seen.key_is_live) == ("", False, False)
    payment = services.prepare_payment(basket_id="8", amount=Decimal(9), currency="EUR", now=NOW).payment
    api = stripe.StripeClient(stripe_server.secret_key, base_addresses={"api": stripe_server.url}).v1
    customer = api.customers.create({})
    api.payment_intents.update(payment.intent_id, {"customer": customer.id})
    services.authorise_payment(
        payment_id=payment.pk, payment_method="pm_card_visa", return_url="http://testserver/", now=NOW
    )
    payment.refresh_from_db()
    assert payment.customer_ref == customer.id
    services.record_order(payment_id=payment.pk, order_number="100008")
    services.capture_payment(payment_id=payment.pk, now=NOW)
    made = refund_by_hand(gateway, payment, "9.00")
    assert made.customer_ref == customer.id
    assert gateway.list_refunds(intent_id=payment.intent_id) == [made]


def test_a_request_whose_answer_did_not_match_is_not_sent_again(paid, gateway, monkeypatch):
    create = refunds._create_at_gateway
    monkeypatch.setattr(refunds, "_create_at_gateway", lambda refund: replace(create(refund), reference=""))
    refund = refunded()
    assert (refund.state, refund.due_at) == (State.REQUESTED, None)
    monkeypatch.undo()
    assert send(refund).attempts == 1


# What staff do


@pytest.fixture
def failed(paid, stripe_server):
    refund = refunded("12.00")
    settle(stripe_server, refund, "failed")
    return look(refund)


def test_a_failed_refund_is_tried_again_as_a_refund_of_its_own(failed, stripe_server):
    second = retry(failed)
    assert (second.cause_ref, second.replaces, second.amount) == ("return:1#2", failed, Decimal("12.00"))
    assert second.handled_by_ref == "user:1"
    assert retry(failed) == second
    second = send(second)
    assert second.state == State.SUCCEEDED
    assert source_of().amount_refunded == Decimal("12.00")
    settle(stripe_server, second, "failed")
    assert retry(look(second)).cause_ref == "return:1#3"


def test_a_second_try_is_held_to_what_was_paid(failed):
    request("1.00", "return:2")
    with pytest.raises(refunds.RefundExceedsPaid):
        retry(failed)
    with pytest.raises(refunds.RefundExceedsPaid):
        pay(failed)


def test_only_what_has_failed_is_tried_again(paid):
    with pytest.raises(refunds.RefundNotFailed):
        retry(request())


def test_a_failed_refund_is_paid_by_hand(failed):
    refund = pay(failed)
    assert (refund.state, refund.method, refund.reference) == (
        State.SUCCEEDED,
        Refund.Method.MANUAL,
        "transfer 1",
    )
    assert (refund.handled_by_ref, refund.succeeded_at) == ("user:1", LATER)
    assert source_of().amount_refunded == Decimal("12.00")
    with pytest.raises(refunds.RefundNotFailed):
        pay(failed)
    with pytest.raises(refunds.RefundNotFailed):
        retry(failed)
    assert look(refund).state == State.SUCCEEDED


def test_news_about_a_refund_that_was_paid_by_hand_since_changes_nothing(failed):
    pay(failed)
    assert refunds.look_at_refunds_of(intent_id=failed.intent_id, now=LATER)
    failed.refresh_from_db()
    assert (failed.state, failed.method) == (State.SUCCEEDED, Refund.Method.MANUAL)
    assert Refund.objects.count() == 1


def test_what_was_tried_again_is_not_paid_by_hand(failed):
    retry(failed)
    with pytest.raises(refunds.RefundReplaced):
        pay(failed)


def test_what_is_on_its_way_to_the_card_is_not_paid_by_hand(paid):
    with pytest.raises(refunds.RefundNotFailed):
        pay(request())


def test_a_request_is_cancelled_until_it_is_sent(paid, stripe_server):
    refund = request()
    assert refunds.cancel_refund(refund_id=refund.pk, now=NOW).state == State.CANCELLED
    assert refunds.cancel_refund(refund_id=refund.pk, now=NOW).state == State.CANCELLED
    assert send(refund).state == State.CANCELLED
    assert at_stripe(stripe_server) == []
    stripe_server.control("chaos", fault="error_500", times="always")
    other = request(cause="return:2")
    with pytest.raises(GatewayUnavailable):
        send(other)
    with pytest.raises(refunds.RefundAlreadySent):
        refunds.cancel_refund(refund_id=other.pk, now=NOW)


def test_a_failed_refund_is_given_up_for_good(failed):
    assert refunds.cancel_refund(refund_id=failed.pk, now=LATER).state == State.CANCELLED
    for act in (retry, pay):
        with pytest.raises(refunds.RefundNotFailed):
            act(failed)
    assert list(queries.list_refunds_that_need_staff()) == []
    assert announced()[-1] == ("return:1", "CANCELLED")
    assert source_of().amount_refunded == 0
    assert left() == PAID


def test_a_failed_refund_that_was_tried_again_or_may_be_out_is_not_given_up(failed):
    Refund.objects.update(failure_code="mismatch_state")
    with pytest.raises(refunds.RefundAlreadySent):
        refunds.cancel_refund(refund_id=failed.pk, now=LATER)
    Refund.objects.update(failure_code="lost_or_stolen_card")
    retry(failed)
    with pytest.raises(refunds.RefundAlreadySent):
        refunds.cancel_refund(refund_id=failed.pk, now=LATER)


def test_what_the_provider_cancels_is_owed_all_the_same(paid, gateway):
    refund = refunded()
    seen = replace(gateway.retrieve_refund(refund_id=refund.gateway_id), status=RefundStatus.CANCELLED)
    refund = refunds._observe(refund.pk, seen, now=LATER)
    assert refund.state == State.FAILED
    assert source_of().amount_refunded == 0
    assert list(queries.list_refunds_that_need_staff()) == [refund]
    assert retry(refund).cause_ref == "return:1#2"


# What is not as we asked for


@pytest.fixture
def unclear(paid, gateway, monkeypatch):
    """The provider's answer was about something else; what it made is known to the gateway alone."""
    create = refunds._create_at_gateway
    monkeypatch.setattr(
        refunds, "_create_at_gateway", lambda refund: replace(create(refund), amount=Decimal("12.01"))
    )
    refund = refunded("12.00")
    monkeypatch.undo()
    assert (refund.state, refund.failure_code) == (State.REQUESTED, "mismatch_amount")
    return refund


def test_what_the_provider_has_is_not_tried_again(unclear, stripe_server):
    with pytest.raises(refunds.RefundUnclear):
        retry(unclear)
    stripe_server.control("chaos", fault="error_500", times="always")
    with pytest.raises(refunds.RefundUnclear):
        retry(unclear)
    unclear.refresh_from_db()
    assert (unclear.state, unclear.failure_code) == (State.REQUESTED, "mismatch_amount")
    assert Refund.objects.count() == 1


def test_what_the_provider_has_not_is_tried_again_in_its_place(unclear, monkeypatch):
    monkeypatch.setattr(refunds, "_find_at_gateway", lambda refund: None)
    second = retry(unclear)
    unclear.refresh_from_db()
    assert (unclear.state, unclear.failure_code) == (State.FAILED, "never_made")
    assert (second.amount, second.state) == (unclear.amount, State.REQUESTED)
    assert retry(unclear) == second
    assert left() == PAID - second.amount
    assert list(queries.list_refunds_that_need_staff()) == []


def test_what_is_not_as_we_asked_for_is_paid_by_hand(unclear):
    refund = pay(unclear)
    assert (refund.state, refund.method, refund.failure_code) == (State.SUCCEEDED, Refund.Method.MANUAL, "")
    assert source_of().amount_refunded == Decimal("12.00")
    assert list(queries.list_refunds_that_need_staff()) == []
    with pytest.raises(refunds.RefundNotFailed):
        pay(unclear)


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.CANCELLED])
def test_what_is_over_is_not_paid_once_more_because_the_provider_differs(paid, state):
    refund = refunded()
    Refund.objects.update(state=state, failure_code="mismatch_amount")
    for act in (retry, pay):
        with pytest.raises(refunds.RefundNotFailed):
            act(refund)


# What was done at the provider's own pages


def refund_by_hand(gateway, paid, amount="5.00"):
    return gateway.create_refund(
        intent_id=paid.intent_id,
        amount=Decimal(amount),
        currency="EUR",
        reference="",
        idempotency_key=f"by hand {amount}",
    )


def look_at_all(paid):
    return refunds.look_at_refunds_of(intent_id=paid.intent_id, now=NOW)


def test_a_refund_that_was_made_at_the_provider_counts(paid, gateway):
    made = refund_by_hand(gateway, paid)
    for _ in range(2):
        assert look_at_all(paid)
    refund = Refund.objects.get()
    assert (refund.cause_ref, refund.state) == (f"gateway:{made.refund_id}", State.SUCCEEDED)
    assert (refund.order_number, refund.amount) == (ORDER, Decimal("5.00"))
    assert source_of().amount_refunded == Decimal("5.00")
    assert left() == Decimal("7.34")
    with pytest.raises(refunds.RefundExceedsPaid):
        request("7.35")


def test_a_refund_that_was_made_at_the_provider_may_fail(paid, gateway, stripe_server):
    refund_by_hand(gateway, paid)
    look_at_all(paid)
    settle(stripe_server, Refund.objects.get(), "failed")
    look_at_all(paid)
    assert Refund.objects.get().state == State.FAILED
    assert (source_of().amount_refunded, left()) == (0, PAID)


def test_a_request_that_was_overtaken_at_the_provider_is_not_sent(paid, gateway, stripe_server):
    ours = request("8.00")
    refund_by_hand(gateway, paid)
    look_at_all(paid)
    ours = send(ours)
    assert (ours.state, ours.failure_code) == (State.FAILED, "exceeds_paid")
    assert len(at_stripe(stripe_server)) == 1
    assert left() == Decimal("7.34")


def test_money_without_an_order_that_was_given_back_by_hand_is_noted(gateway):
    payment = paid_order()
    CardPayment.objects.filter(pk=payment.pk).update(order_number=None)
    source_of().delete()
    refund_by_hand(gateway, payment, "12.34")
    look_at_all(payment)
    refund = Refund.objects.get()
    assert (refund.order_number, refund.payment, refund.state) == ("", payment, State.SUCCEEDED)


def test_an_intent_of_somebody_else_is_not_ours(paid):
    assert not refunds.look_at_refunds_of(intent_id="pi_other", now=NOW)
    assert not refunds.look_at_refunds_of(intent_id=paid.intent_id.swapcase(), now=NOW)


# The sweep


def test_one_refund_that_cannot_be_finished_does_not_keep_the_others_waiting(paid, caplog):
    lost = request("1.00")
    Refund.objects.filter(pk=lost.pk).update(gateway_id="re_lost")
    request("2.00", "return:2")
    assert refunds.finish_refunds(now=LATER) == refunds.SweptRefunds(refunds=1, waiting=1)
    assert refunds.finish_refunds(now=LATER) == refunds.SweptRefunds()


def test_a_sweep_leaves_alone_what_is_being_sent_now(paid, stripe_server):
    request()
    assert refunds.finish_refunds(now=NOW) == refunds.SweptRefunds()
    assert at_stripe(stripe_server) == []


# What the database promises


@pytest.mark.parametrize(
    "broken",
    [
        {"amount": Decimal(0)},
        {"amount": Decimal(-1)},
        {"state": "PAID"},
        {"method": "CASH"},
        {"intent_id": ""},
        {"succeeded_at": None, "state": State.SUCCEEDED},
    ],
)
def test_a_broken_refund_cannot_be_stored(paid, broken):
    refund = request()
    with pytest.raises(IntegrityError), transaction.atomic():
        Refund.objects.filter(pk=refund.pk).update(**broken)


@pytest.mark.parametrize("shared", ["cause_ref", "gateway_id", "public_id"])
def test_two_refunds_never_share(paid, shared):
    first, second = refunded("1.00"), refunded("2.00", "return:2")
    with pytest.raises(IntegrityError), transaction.atomic():
        Refund.objects.filter(pk=second.pk).update(**{shared: getattr(first, shared)})

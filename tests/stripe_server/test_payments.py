"""Behaviour that only the sandbox's server can show: 3-D Secure pages, browsers, failing refunds, time."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import stripe

from .conftest import RETURN_URL, make_client

DAY = 86_400


def answer_3d_secure(intent, outcome):
    answer = requests.post(
        intent.next_action.redirect_to_url.url, data={"outcome": outcome}, allow_redirects=False, timeout=5
    )
    assert answer.status_code == 303
    where = urlsplit(answer.headers["Location"])
    assert f"{where.scheme}://{where.netloc}{where.path}" == "https://shop.example/checkout/"
    return {name: values[0] for name, values in parse_qs(where.query).items()}


@pytest.mark.parametrize(
    ("accepted", "button"), [("de-DE,de;q=0.9,en;q=0.8", "Bestätigen"), ("en", "Complete")]
)
def test_the_3d_secure_page_speaks_the_customers_language(authorise, accepted, button):
    intent = authorise(123_456, card="pm_card_authenticationRequired")
    page = requests.get(
        intent.next_action.redirect_to_url.url, headers={"Accept-Language": accepted}, timeout=5
    )
    assert f">{button}</button>" in page.text
    assert ("1.234,56 €" if accepted.startswith("de") else "€1,234.56") in page.text
    assert f'<html lang="{accepted[:2]}">' in page.text


def test_passing_3d_secure_holds_the_money_and_returns_to_the_shop(client, authorise):
    intent = authorise(card="pm_card_authenticationRequired")
    assert answer_3d_secure(intent, "complete") == {
        "step": "pay",
        "payment_intent": intent.id,
        "payment_intent_client_secret": intent.client_secret,
        "redirect_status": "succeeded",
    }
    intent = client.v1.payment_intents.retrieve(intent.id)
    assert (intent.status, intent.next_action) == ("requires_capture", None)


def test_failing_3d_secure_leaves_an_intent_that_another_card_can_pay(client, authorise):
    intent = authorise(card="pm_card_authenticationRequired")
    assert answer_3d_secure(intent, "fail")["redirect_status"] == "failed"
    intent = client.v1.payment_intents.retrieve(intent.id)
    assert (intent.status, intent.payment_method) == ("requires_payment_method", None)
    assert intent.last_payment_error.code == "payment_intent_authentication_failure"
    intent = client.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    assert intent.status == "requires_capture"


def test_the_bank_may_decline_after_3d_secure(client, authorise):
    intent = authorise(card="pm_card_threeDSecureRequiredChargeDeclined")
    assert answer_3d_secure(intent, "complete")["redirect_status"] == "failed"
    intent = client.v1.payment_intents.retrieve(intent.id)
    assert (intent.status, intent.last_payment_error.code) == ("requires_payment_method", "card_declined")


def test_a_double_click_on_complete_charges_once(client, authorise):
    intent = authorise(card="pm_card_authenticationRequired")
    first = answer_3d_secure(intent, "complete")
    assert answer_3d_secure(intent, "complete") == first
    assert answer_3d_secure(intent, "fail") == first
    assert len(client.v1.charges.list({"payment_intent": intent.id}).data) == 1


def test_a_shop_that_lets_stripe_js_ask_gets_no_redirect(authorise):
    intent = authorise(card="pm_card_authenticationRequired", return_url=RETURN_URL, use_stripe_sdk=True)
    assert intent.next_action.type == "use_stripe_sdk"


def test_a_wrong_secret_opens_no_3d_secure_page(authorise):
    intent = authorise(card="pm_card_authenticationRequired")
    url = intent.next_action.redirect_to_url.url
    for wrong in (url + "x", url.replace(intent.id + "/", "pi_other/")):
        assert requests.get(wrong, timeout=5).status_code == 404
        assert requests.post(wrong, data={"outcome": "complete"}, timeout=5).status_code == 404


def test_changing_the_amount_takes_back_the_question(client, authorise):
    intent = authorise(card="pm_card_authenticationRequired")
    intent = client.v1.payment_intents.update(intent.id, {"amount": 5_000})
    assert (intent.status, intent.next_action) == ("requires_confirmation", None)


def test_a_browser_sees_and_confirms_only_with_the_client_secret(server, client):
    intent = client.v1.payment_intents.create(
        {
            "amount": 1000,
            "currency": "eur",
            "capture_method": "manual",
            "automatic_payment_methods": {"enabled": True},
            "metadata": {"basket": "7"},
        }
    )
    browser = make_client(server, key=server.publishable_key).v1
    secret = {"client_secret": intent.client_secret}
    seen = browser.payment_intents.retrieve(intent.id, secret)
    assert (seen.amount, seen.status) == (1000, "requires_payment_method")
    assert "metadata" not in seen
    card = browser.payment_methods.create(
        {
            "type": "card",
            "card": {"number": "4242424242424242", "exp_month": 12, "exp_year": 2034, "cvc": "123"},
        }
    )
    confirm = {"payment_method": card.id, "return_url": RETURN_URL}
    for wrong in ({}, {"client_secret": f"{intent.id}_secret_wrong"}):
        with pytest.raises(stripe.InvalidRequestError):
            browser.payment_intents.retrieve(intent.id, wrong)
        with pytest.raises(stripe.InvalidRequestError):
            browser.payment_intents.confirm(intent.id, {**confirm, **wrong})
    done = browser.payment_intents.confirm(intent.id, {**confirm, **secret})
    assert done.status == "requires_capture"
    assert "latest_charge" not in done
    for call in (
        lambda: browser.payment_intents.capture(intent.id),
        lambda: browser.payment_intents.list(),
        lambda: browser.refunds.create({"payment_intent": intent.id}),
        lambda: browser.customers.create({}),
    ):
        with pytest.raises(stripe.PermissionError) as refusal:
            call()
        assert refusal.value.error.code == "secret_key_required"


def test_a_page_of_another_origin_may_call_as_stripe_js_does(server):
    asked = requests.options(f"{server.url}/v1/payment_methods", timeout=5)
    assert (asked.status_code, asked.headers["Access-Control-Allow-Origin"]) == (204, "*")
    made = requests.post(
        f"{server.url}/v1/payment_methods",
        data={"type": "card", "card[number]": "4242 4242 4242 4242", "key": server.publishable_key},
        timeout=5,
    )
    assert (made.status_code, made.headers["Access-Control-Allow-Origin"]) == (200, "*")
    assert (
        "Access-Control-Allow-Origin" not in requests.options(f"{server.url}/_test/reset", timeout=5).headers
    )


@pytest.mark.parametrize(
    ("card", "code"),
    [
        ({"number": "4242424242424241"}, "incorrect_number"),
        ({"number": "4111111111111111"}, "card_declined"),
        ({"number": "4242424242424242", "exp_month": 13, "exp_year": 2034}, "invalid_expiry_month"),
        ({"number": "4242424242424242", "exp_month": 1, "exp_year": 2020}, "invalid_expiry_year"),
    ],
)
def test_a_card_that_cannot_be_is_refused(client, card, code):
    with pytest.raises(stripe.CardError) as refusal:
        client.v1.payment_methods.create({"type": "card", "card": card})
    assert refusal.value.code == code


def test_a_declining_card_cannot_be_attached_unless_it_only_declines_charges(client, authorise):
    customer = client.v1.customers.create({})
    with pytest.raises(stripe.CardError):
        client.v1.payment_methods.attach("pm_card_chargeDeclined", {"customer": customer.id})
    card = client.v1.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": customer.id})
    with pytest.raises(stripe.CardError):
        authorise(card=card.id, customer=customer.id)


def test_a_card_without_a_customer_is_used_once(client, authorise):
    card = client.v1.payment_methods.create({"type": "card", "card": {"token": "tok_visa"}})
    authorise(card=card.id)
    with pytest.raises(stripe.InvalidRequestError, match="may not be used again"):
        authorise(card=card.id)


def test_another_customers_card_is_refused(client, authorise):
    anna, bert = (client.v1.customers.create({"name": name}) for name in ("Anna", "Bert"))
    card = client.v1.payment_methods.attach("pm_card_visa", {"customer": anna.id})
    for more in ({}, {"customer": bert.id}):
        with pytest.raises(stripe.InvalidRequestError, match="belongs to the Customer"):
            authorise(card=card.id, **more)


def test_setup_future_usage_keeps_the_card(client, authorise):
    customer = client.v1.customers.create({})
    intent = authorise(customer=customer.id, setup_future_usage="off_session")
    assert client.v1.payment_methods.retrieve(intent.payment_method).customer == customer.id
    again = authorise(card=intent.payment_method, customer=customer.id, off_session=True)
    assert again.status == "requires_capture"


def test_an_authorisation_ends_after_seven_days(server, client, shop, authorise):
    intent = authorise()
    server.control("clock", advance=7 * DAY - 60)
    assert client.v1.payment_intents.retrieve(intent.id).status == "requires_capture"
    server.control("clock", advance=60)
    intent = client.v1.payment_intents.retrieve(intent.id)
    assert (intent.status, intent.cancellation_reason) == ("canceled", "expired")
    assert intent.amount_capturable == 0
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        client.v1.payment_intents.capture(intent.id)
    assert refusal.value.code == "payment_intent_unexpected_state"
    server.wait_for_webhooks()
    assert shop.kinds[-2:] == ["payment_intent.canceled", "charge.expired"]


def test_a_captured_payment_does_not_end(server, client, authorise):
    intent = authorise()
    client.v1.payment_intents.capture(intent.id)
    server.control("clock", advance=30 * DAY)
    assert client.v1.payment_intents.retrieve(intent.id).status == "succeeded"


def test_the_clock_dates_what_is_made_and_never_goes_back(server, client):
    before = client.v1.customers.create({})
    server.control("clock", advance=DAY)
    after = client.v1.customers.create({})
    assert DAY <= after.created - before.created <= DAY + 60
    with pytest.raises(Exception, match="forward"):
        server.control("clock", advance=-1)


def test_a_pending_refund_counts_at_once_and_succeeds_later(server, client, pay):
    intent = pay(card="pm_card_pendingRefund")
    refund = client.v1.refunds.create({"payment_intent": intent.id, "amount": 4_000})
    assert (refund.status, refund.pending_reason) == ("pending", "processing")
    assert client.v1.charges.retrieve(intent.latest_charge).amount_refunded == 4_000
    server.control("clock", advance=3600)
    refund = client.v1.refunds.retrieve(refund.id)
    assert (refund.status, refund.pending_reason) == ("succeeded", None)
    assert client.v1.charges.retrieve(intent.latest_charge).amount_refunded == 4_000


def test_a_refund_that_fails_later_is_put_back(server, client, shop, pay):
    intent = pay(card="pm_card_refundFail")
    refund = client.v1.refunds.create({"payment_intent": intent.id})
    assert refund.status == "succeeded"
    assert client.v1.charges.retrieve(intent.latest_charge).refunded is True
    server.control("clock", advance=3600)
    refund = client.v1.refunds.retrieve(refund.id)
    assert (refund.status, refund.failure_reason) == ("failed", "expired_or_canceled_card")
    assert refund.failure_balance_transaction.startswith("txn_")
    charge = client.v1.charges.retrieve(intent.latest_charge)
    assert (charge.amount_refunded, charge.refunded) == (0, False)
    server.wait_for_webhooks()
    assert shop.kinds[-2:] == ["refund.updated", "refund.failed"]
    assert client.v1.refunds.create({"payment_intent": intent.id}).amount == 10_000


def test_the_next_refund_goes_as_told_and_any_refund_can_be_moved(server, client, pay):
    intent = pay()
    server.control("refunds", next_one="pending")
    first = client.v1.refunds.create({"payment_intent": intent.id, "amount": 100})
    second = client.v1.refunds.create({"payment_intent": intent.id, "amount": 100})
    assert (first.status, second.status) == ("pending", "succeeded")
    assert server.control("refunds", refund=first.id, status="failed")["status"] == "failed"
    server.control("clock", advance=3600)
    assert client.v1.refunds.retrieve(first.id).status == "failed"
    assert client.v1.charges.retrieve(intent.latest_charge).amount_refunded == 100


def test_a_refund_that_waits_for_the_customer_can_be_canceled(server, client, pay):
    intent = pay()
    refund = client.v1.refunds.create({"payment_intent": intent.id})
    server.control("refunds", refund=refund.id, status="requires_action")
    assert client.v1.refunds.cancel(refund.id).status == "canceled"
    assert client.v1.charges.retrieve(intent.latest_charge).amount_refunded == 0


def test_a_refund_can_be_told_more_about(client, pay):
    refund = client.v1.refunds.create({"payment_intent": pay().id, "metadata": {"return": "1", "by": "Max"}})
    refund = client.v1.refunds.update(refund.id, {"metadata": {"by": "", "note": "ok"}})
    assert refund.metadata.to_dict() == {"return": "1", "note": "ok"}


def test_expanding_follows_ids_and_refuses_what_cannot_be_followed(client, pay):
    intent = pay()
    refund = client.v1.refunds.create(
        {"payment_intent": intent.id, "amount": 1, "expand": ["charge.payment_intent", "charge.refunds"]}
    )
    assert refund.charge.payment_intent.id == intent.id
    assert refund.charge.refunds.data[0].id == refund.id
    page = client.v1.payment_intents.list({"expand": ["data.latest_charge"]})
    assert page.data[0].latest_charge.amount_refunded == 1
    assert isinstance(client.v1.payment_intents.retrieve(intent.id).latest_charge, str)
    with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
        client.v1.payment_intents.retrieve(intent.id, {"expand": ["amount"]})


def test_lists_are_walked_forwards_and_backwards(client, pay):
    made = [pay(amount).id for amount in (101, 102, 103, 104, 105)]
    walked = list(client.v1.payment_intents.list({"limit": 2}).auto_paging_iter())
    assert [intent.id for intent in walked] == made[::-1]
    page = client.v1.payment_intents.list({"limit": 2, "ending_before": made[0]})
    assert ([intent.id for intent in page.data], page.has_more) == ([made[2], made[1]], True)
    later = client.v1.payment_intents.list({"created": {"gt": walked[0].created}})
    assert (later.data, later.has_more) == ([], False)
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.payment_intents.list({"limit": 101})

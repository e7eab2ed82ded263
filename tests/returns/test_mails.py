"""Mails about a return: where a customer expects one, and once for each step."""

import re

import pytest
from django.core import mail
from django.utils import timezone
from oscar.test import factories

from oscar_loyalty.flows import return_steps, returns
from oscar_loyalty.outbox.models import OutboxMessage
from oscar_loyalty.payments.gateway import RefundStatus
from oscar_loyalty.payments.refunds import finish_refunds
from oscar_loyalty.returns.models import Return
from oscar_loyalty.shop.mail import MAIL_TYPES, has_text
from oscar_loyalty.signals import return_changed

from .bank import Bank
from .doors import make_guests
from .world import DAY, accept, ask, make_order, pick_all, relay

pytestmark = pytest.mark.django_db


#: 28. November 2026, and not Nov. 28, 2026.
GERMAN_DAY = re.compile(r"\d+\. \w+ \d{4}")


@pytest.fixture
def order(account):
    account.user.first_name, account.user.last_name, account.user.email = "Ada", "", "ada@example.com"
    account.user.save()
    return make_order(account.user, (("30.00", 2, 19),), points=500)


@pytest.fixture
def happens(django_capture_on_commit_callbacks):
    """``happens(step)``: what it wrote into the outbox is sent; returns what was mailed by subject."""

    def do(step):
        mail.outbox.clear()
        with django_capture_on_commit_callbacks(execute=True):
            done = step()
        relay(timezone.now() + 2 * DAY)
        if isinstance(done, Return):
            done.refresh_from_db()
        return {message.subject: message for message in mail.outbox if "label" not in message.subject}

    return do


def only(sent):
    (message,) = sent.values()
    return message


def test_the_receipt_has_the_moment_and_the_content(order, happens):
    sent = only(happens(lambda: ask(order, pick_all(order, reason="FAULTY", comment="It <leaks>"))))
    of_return = Return.objects.get()
    assert sent.subject == f"We have your return {of_return.number}"
    assert sent.to == ["ada@example.com"]
    assert "Hello Ada," in sent.body
    assert f"order {order.number} on " in sent.body
    assert "- 2 × " in sent.body
    assert "faulty – It <leaks>" in sent.body
    assert f"https://example.com/loyalty/returns/{of_return.number}/" in sent.body
    html = sent.alternatives[0][0]
    assert "It &lt;leaks&gt;" in html
    assert "2 × " in html


def test_a_return_that_goes_well_is_told_in_three_mails(order, happens):
    of_return = ask(order)
    assert "We have your return" in only(happens(lambda: None)).subject
    arrived = only(
        happens(
            lambda: return_steps.receive_return(
                return_id=of_return.pk, actor_ref="user:7", now=timezone.now()
            )
        )
    )
    assert "have arrived" in arrived.subject
    assert "You get your refund by" in arrived.body
    done = only(happens(lambda: accept(of_return)))
    assert "is complete" in done.subject
    assert "were sent to: Card" in done.body
    assert "500 points that you had spent are yours again." in done.body
    assert "were taken back." in done.body


def test_what_is_not_accepted_is_told_with_the_reason(order, happens):
    of_return = ask(order)
    happens(lambda: None)
    sent = happens(lambda: accept(of_return, accepted=1, refusal="Scratched all over"))
    partly = next(message for subject, message in sent.items() if "in part" in subject)
    assert "1 of 2 accepted. Reason: Scratched all over" in partly.body
    assert "Please answer this mail" in partly.body
    assert any("is complete" in subject for subject in sent)
    other = make_order(order.user, (("30.00", 1, 19),))
    refused = ask(other)
    happens(lambda: None)
    sent = only(
        happens(
            lambda: return_steps.reject_return(
                return_id=refused.pk, reason="Not ours", actor_ref="user:7", now=timezone.now()
            )
        )
    )
    assert "was not accepted" in sent.subject
    assert "Reason: Not ours" in sent.body


def test_a_refund_that_fails_is_told_with_the_way_forward(order, happens):
    Bank.next_status = RefundStatus.PENDING
    of_return = ask(order)
    happens(lambda: None)
    assert happens(lambda: accept(of_return)) == {}
    Bank.settle("re_1", RefundStatus.FAILED)
    failed = only(happens(lambda: finish_refunds(now=timezone.now() + DAY)))
    assert "did not work" in failed.subject
    assert "You need not do anything" in failed.body
    assert "Does the card or the account not exist any more?" in failed.body


def test_keeping_it_after_all_is_confirmed(order, happens):
    of_return = ask(order)
    happens(lambda: None)
    sent = only(
        happens(
            lambda: returns.cancel_return(return_id=of_return.pk, actor_ref="customer", now=timezone.now())
        )
    )
    assert "was cancelled" in sent.subject
    assert "you keep the goods" in sent.body


def test_guests_are_written_to_at_the_address_of_the_order_in_their_language(policy, happens):
    order = make_order(factories.UserFactory())
    make_guests(order)
    sent = only(happens(lambda: ask(order, language="de")))
    assert sent.to == ["guest@example.com"]
    assert "/loyalty/returns/find/" in sent.body
    assert GERMAN_DAY.search(sent.body)


def test_customers_without_a_language_of_their_own_are_written_to_in_that_of_the_request(order, happens):
    assert GERMAN_DAY.search(only(happens(lambda: ask(order, language="de"))).body)
    assert not GERMAN_DAY.search(only(happens(lambda: ask(make_order(order.user)))).body)


def test_hearing_the_news_again_writes_no_second_mail(order, happens):
    happens(lambda: ask(order))
    relayed = OutboxMessage.objects.filter(topic="return_mail")
    assert relayed.count() == 1
    mail.outbox.clear()
    relay()
    assert mail.outbox == []


def test_a_listener_that_fails_does_not_send_the_mail_again(order, happens):
    def fail(**_news):
        raise RuntimeError

    return_changed.connect(fail)
    try:
        assert len(happens(lambda: ask(order))) == 1
    finally:
        return_changed.disconnect(fail)
    assert happens(lambda: None) == {}


def test_shops_hear_of_every_step_by_ids(order, happens):
    heard = []

    def listen(*, return_id, event_id, code, **_later):
        heard.append((return_id, event_id, code))

    return_changed.connect(listen)
    try:
        happens(lambda: ask(order))
    finally:
        return_changed.disconnect(listen)
    of_return = Return.objects.get()
    assert (str(of_return.public_id), of_return.events.first().pk, "REQUESTED") in heard


@pytest.mark.parametrize("code", [code for code in MAIL_TYPES if code.startswith("LOYALTY_RETURN_")])
def test_every_kind_of_mail_has_a_text(code):
    assert has_text(code)

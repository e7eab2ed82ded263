"""Requested → label made and mailed, or tried again while the provider gives none."""

from datetime import timedelta

import pytest
from django.core import mail
from django.db import connection
from django.utils import timezone, translation
from oscar.core.loading import get_model

from oscar_loyalty import tasks
from oscar_loyalty.flows import return_labels, return_steps, returns, sweeping
from oscar_loyalty.flows.return_labels import make_label, retry_labels
from oscar_loyalty.outbox.models import OutboxMessage
from oscar_loyalty.returns.labels import Label, LabelUnavailable
from oscar_loyalty.returns.models import Return, ReturnLabel
from oscar_loyalty.returns.states import State

from .world import ask, make_order, make_policy, relay

pytestmark = pytest.mark.django_db
ADDRESS = ["Morgenrot Versand", "Kaiweg 12", "20457 Hamburg"]
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def address(settings):
    settings.OSCAR_LOYALTY_RETURN_ADDRESS = ADDRESS


@pytest.fixture(autouse=True)
def only_labels_are_mailed(monkeypatch):
    """Mails about the return itself have tests of their own."""
    monkeypatch.setattr("oscar_loyalty.flows.return_mails.MAILS", {})


class Carrier:
    """A provider of a carrier that fails as often as it is told, and counts."""

    failures: list[Exception] = []
    asked: list = []
    on_call = None

    def make_label(self, wanted):
        Carrier.asked.append(wanted)
        if Carrier.on_call:
            Carrier.on_call()
        if Carrier.failures:
            raise Carrier.failures.pop(0)
        return Label(pdf=b"%PDF-1.4 label", qr_text="QR-1", tracking_code="00340434161094")


@pytest.fixture
def carrier(settings):
    settings.OSCAR_LOYALTY_LABEL_PROVIDER = f"{__name__}.Carrier"
    Carrier.failures, Carrier.asked, Carrier.on_call = [], [], None
    return Carrier


@pytest.fixture
def of_return(account):
    return ask(make_order(account.user), language="de")


def state_of(of_return):
    of_return.refresh_from_db()
    return of_return.state


def events_of(of_return):
    return list(of_return.events.values_list("code", flat=True))


def test_the_label_is_made_kept_and_mailed_with_its_code(of_return, account):
    now = timezone.now()
    label = make_label(of_return.pk, now)
    assert (label.state, label.provider, label.qr_text) == ("READY", "PdfLabels", of_return.number)
    assert bytes(label.pdf).startswith(b"%PDF")
    assert label.valid_until == of_return.send_until
    assert state_of(of_return) == State.LABEL_SENT
    assert events_of(of_return) == ["REQUESTED", "LABEL_SENT"]
    relay()
    (message,) = mail.outbox
    assert message.to == [account.user.email]
    assert message.subject == f"Etikett für Ihre Rücksendung {of_return.number}"
    assert [(name, kind) for name, _content, kind in message.attachments] == [
        (f"{of_return.number}.pdf", "application/pdf"),
        (f"{of_return.number}.png", "image/png"),
    ]
    assert bytes(label.pdf) == message.attachments[0][1]
    html = message.alternatives[0][0]
    assert "Morgenrot Versand" in message.body
    assert "Kaiweg 12" in html


def test_asking_twice_makes_one_label(of_return, carrier):
    assert make_label(of_return.pk, timezone.now())
    assert make_label(of_return.pk, timezone.now()) is None
    relay()
    assert (len(carrier.asked), len(mail.outbox)) == (1, 1)


def test_a_guest_gets_it_in_the_language_of_the_request(policy):
    order = make_order(None)
    get_model("order", "Order").objects.filter(pk=order.pk).update(guest_email="gast@example.com")
    made = ask(order, language="de")
    make_label(made.pk, timezone.now())
    with translation.override("en"):
        relay()
    (message,) = mail.outbox
    assert message.to == ["gast@example.com"]


def test_the_provider_is_told_the_same_reference_each_time_and_asked_outside_of_transactions(
    of_return, carrier, transactional_blocks
):
    carrier.failures = [LabelUnavailable("no")]
    carrier.on_call = transactional_blocks.note
    now = timezone.now()
    make_label(of_return.pk, now)
    make_label(of_return.pk, now + 6 * MINUTE)
    assert {wanted.reference for wanted in carrier.asked} == {str(of_return.public_id)}
    assert transactional_blocks.seen == [0, 0]
    (first, _second) = carrier.asked
    assert first.recipient == tuple(ADDRESS)
    assert first.order_number == of_return.order_ref


@pytest.fixture
def transactional_blocks():
    """How many blocks are open within the test's own one."""

    class Blocks:
        outside = len(connection.savepoint_ids)
        seen: list[int] = []

        def note(self):
            self.seen.append(len(connection.savepoint_ids) - self.outside)

    return Blocks()


@pytest.mark.parametrize(
    "error", [LabelUnavailable("carrier is down"), ValueError("a mistake of the carrier's")]
)
def test_a_failure_keeps_the_return_open_says_so_once_and_tells_the_address(of_return, carrier, error):
    carrier.failures = [error, LabelUnavailable("still down")]
    now = timezone.now()
    assert make_label(of_return.pk, now) is None
    assert make_label(of_return.pk, now + 6 * MINUTE) is None
    assert state_of(of_return) == State.REQUESTED
    assert events_of(of_return) == ["REQUESTED", "LABEL_FAILED"]
    label = ReturnLabel.objects.get()
    assert (label.attempts, label.last_error) == (2, "still down")
    relay()
    (message,) = mail.outbox
    assert message.subject == f"Ihre Rücksendung {of_return.number}: Das Etikett folgt"
    assert "Kaiweg 12" in message.body
    assert message.attachments == []


def test_pauses_grow_until_it_works(of_return, carrier):
    carrier.failures = [LabelUnavailable("down") for _ in range(6)]
    now = of_return.requested_at
    after, asked = 0, 1
    retry_labels(now)
    for pause in (5, 15, 60, 180, 720, 720):
        retry_labels(now + (after + pause - 1) * MINUTE)
        assert len(carrier.asked) == asked
        after, asked = after + pause, asked + 1
        retry_labels(now + after * MINUTE)
        assert len(carrier.asked) == asked
    assert state_of(of_return) == State.LABEL_SENT


def test_the_sweep_asks_for_labels_that_nobody_asked_for(of_return):
    assert sweeping.sweep(now=timezone.now()).labels == 1
    assert state_of(of_return) == State.LABEL_SENT
    assert sweeping.sweep(now=timezone.now()).labels == 0


def test_one_failure_stops_no_other(account, carrier):
    made = [ask(make_order(account.user)) for _ in range(3)]
    carrier.failures = [RuntimeError("first")]
    assert retry_labels(timezone.now(), limit=2) == 1
    assert retry_labels(timezone.now()) == 1
    assert [state_of(one) for one in made] == [State.REQUESTED, State.LABEL_SENT, State.LABEL_SENT]


def test_who_keeps_the_goods_needs_none(account, programme, carrier):
    make_policy(programme, keep_item_below="50.00", active_from=timezone.now() - timedelta(days=300))
    made = ask(make_order(account.user))
    assert made.keeps_goods
    assert make_label(made.pk, timezone.now()) is None
    assert retry_labels(timezone.now()) == 0
    assert not ReturnLabel.objects.exists()


def test_news_of_a_request_asks_for_the_label_after_the_commit(
    of_return, django_capture_on_commit_callbacks, monkeypatch
):
    asked = []
    monkeypatch.setattr(
        tasks.make_return_label, "apply_async", lambda **kwargs: asked.append(kwargs["kwargs"])
    )
    with django_capture_on_commit_callbacks(execute=True):
        relay()
    assert asked == [{"return_id": of_return.pk}]
    tasks.make_return_label(return_id=of_return.pk)
    assert state_of(of_return) == State.LABEL_SENT


def test_a_cancelled_return_makes_its_label_void(of_return):
    make_label(of_return.pk, timezone.now())
    returns.cancel_return(return_id=of_return.pk, actor_ref="customer", now=timezone.now())
    relay()
    assert ReturnLabel.objects.get().state == "VOID"
    # The mail that was still to go out says nothing of a label that is no more.
    assert mail.outbox == []
    assert make_label(of_return.pk, timezone.now()) is None


def test_what_arrives_without_a_label_needs_none_any_more(of_return, carrier):
    carrier.failures = [LabelUnavailable("down")]
    make_label(of_return.pk, timezone.now())
    return_steps.receive_return(return_id=of_return.pk, actor_ref="user:1", now=timezone.now())
    relay()
    assert ReturnLabel.objects.get().state == "VOID"
    assert retry_labels(timezone.now() + 60 * MINUTE) == 0
    assert mail.outbox == []


def test_a_cancellation_while_the_provider_works_wins(of_return, carrier):
    carrier.on_call = lambda: returns.cancel_return(
        return_id=of_return.pk, actor_ref="customer", now=timezone.now()
    )
    label = make_label(of_return.pk, timezone.now())
    assert label.state == "VOID"
    assert state_of(of_return) == State.CANCELLED
    relay()
    assert mail.outbox == []


def test_without_an_address_of_the_shop_nobody_is_told_an_empty_one(of_return, settings):
    settings.OSCAR_LOYALTY_RETURN_ADDRESS = []
    assert make_label(of_return.pk, timezone.now()) is None
    relay()
    assert mail.outbox == []
    assert ReturnLabel.objects.get().last_error == "OSCAR_LOYALTY_RETURN_ADDRESS is not set."


def test_a_mail_server_that_refuses_is_tried_again(of_return, monkeypatch):
    make_label(of_return.pk, timezone.now())
    relay_fails = pytest.MonkeyPatch()
    relay_fails.setattr(return_labels, "send_to_customer", lambda **_mail: 1 / 0)
    relay()
    relay_fails.undo()
    assert OutboxMessage.objects.get(topic="return_label").waiting
    relay(timezone.now() + MINUTE)
    assert len(mail.outbox) == 1


def test_a_customer_without_an_address_is_no_error(of_return, account):
    type(account.user).objects.update(email="")
    make_label(of_return.pk, timezone.now())
    relay()
    assert mail.outbox == []
    assert not OutboxMessage.objects.filter(topic="return_label", waiting=True).exists()


def test_a_return_that_is_gone_troubles_nobody(of_return):
    public_id = str(of_return.public_id)
    Return.objects.all().delete()
    from oscar_loyalty.receivers import on_return_changed

    on_return_changed({"return": public_id, "event": 1, "code": "REQUESTED"})
    assert return_labels.void_unneeded_label(of_return.pk or 1) is False

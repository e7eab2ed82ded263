"""Declared → receipt at once → a return, where number and person fit; else staff."""

from datetime import timedelta

import pytest
from django.core import mail
from django.core.cache import cache
from oscar.core.loading import get_model
from oscar.test import factories

from oscar_loyalty.flows import withdrawals
from oscar_loyalty.flows.return_terms import Pick, ReturnRefused
from oscar_loyalty.flows.sweeping import relay_returns
from oscar_loyalty.flows.withdrawals import AssignmentRefused
from oscar_loyalty.outbox.models import OutboxMessage
from oscar_loyalty.outbox.services import relay_messages
from oscar_loyalty.returns.models import Return, Withdrawal
from oscar_loyalty.returns.withdrawal_queries import list_waiting_withdrawals

from .conftest import NOW, place_order

pytestmark = pytest.mark.usefixtures("programme")
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def fresh_counts():
    cache.clear()


@pytest.fixture
def order(programme):
    return place_order(user=None, guest_email="Gast@example.com")


@pytest.fixture
def declare(django_capture_on_commit_callbacks):
    def call(*, now=NOW, **values):
        wanted = {
            "key": "page:1",
            "name": "Ada Petersen",
            "email": "gast@EXAMPLE.com",
            "order_text": "100042",
            "user_id": None,
            "language": "en",
        }
        with django_capture_on_commit_callbacks(execute=True):
            made = withdrawals.declare_withdrawal(**{**wanted, **values}, now=now)
        made.refresh_from_db()
        return made

    return call


def pieces_of(of_return):
    return dict(of_return.lines.values_list("line_id", "quantity"))


def deliver(order, *, at):
    for status in ("Being processed", "Shipped", "Complete"):
        order.set_status(status)
    get_model("order", "OrderStatusChange").objects.filter(order=order).update(date_created=at)


def test_what_fits_becomes_a_return_of_everything_even_before_it_has_arrived(order, declare):
    made = declare()
    assert (made.state, made.handled_by) == ("MATCHED", "system")
    of_return = made.of_return
    assert (of_return.kind, of_return.order_ref) == ("WITHDRAWAL", "100042")
    assert (of_return.requested_at, of_return.email) == (NOW, "Gast@example.com")
    assert pieces_of(of_return) == dict(order.lines.values_list("pk", "quantity"))
    assert of_return.events.get().actor_ref == "guest"


def test_the_receipt_goes_out_at_once_with_the_words_the_day_and_the_time(order, declare):
    made = declare(name="Ada <b>Petersen</b>", language="en")
    (message,) = mail.outbox
    assert message.to == ["gast@EXAMPLE.com"]
    assert message.subject == f"Receipt of your withdrawal {made.number}"
    words = "I, Ada <b>Petersen</b>, hereby withdraw from the contract for this order: 100042"
    assert made.content == words
    assert words in message.body
    # 12:00 in London is 13:00 in the shop's zone.
    assert "March 10, 2026, 13:00:00 (CET)" in message.body
    html = message.alternatives[0][0]
    assert "Ada &lt;b&gt;Petersen&lt;/b&gt;" in html
    assert "March 10, 2026, 13:00:00 (CET)" in html
    assert made.receipt_sent_at is not None


def test_the_receipt_does_not_tell_whether_an_order_fits(order, declare):
    declare()
    declare(key="page:2", order_text="100043")
    fits, fits_not = (message.body for message in mail.outbox)
    first, second = Withdrawal.objects.order_by("pk")
    assert fits.replace(first.number, "").replace("100042", "") == fits_not.replace(
        second.number, ""
    ).replace("100043", "")


@pytest.mark.parametrize(
    ("values", "finding"),
    [
        ({"order_text": "100043"}, "NO_ORDER"),
        ({"email": "somebody@example.com"}, "NO_ORDER"),
        ({"order_text": "the blue lamp I bought on Monday"}, "NO_ORDER"),
        ({"goods": "only the lamp"}, "PART"),
    ],
)
def test_what_is_not_clear_is_a_valid_declaration_that_waits_for_staff(order, declare, values, finding):
    made = declare(**values)
    assert (made.state, made.finding) == ("RECEIVED", finding)
    assert made.receipt_sent_at is not None
    assert not Return.objects.exists()
    assert list(list_waiting_withdrawals()) == [made]


@pytest.mark.parametrize(
    "text", ["#100042", " 100042 ", "Bestellung Nr. 100042 vom 3. März", "order: 100042."]
)
def test_the_number_is_found_in_what_people_write(order, declare, text):
    assert declare(order_text=text).state == "MATCHED"


def test_words_that_fit_two_orders_wait_for_staff(order, declare):
    place_order(user=None, guest_email="gast@example.com", number="100077")
    made = declare(order_text="100042 and 100077")
    assert (made.state, made.finding) == ("RECEIVED", "SEVERAL")


def test_the_owner_who_is_logged_in_may_use_another_address(programme, declare):
    owner = factories.UserFactory(email="ada@example.com")
    place_order(user=owner)
    stranger = declare(user_id=factories.UserFactory().pk, email="other@example.com")
    assert stranger.finding == "NO_ORDER"
    made = declare(key="page:2", user_id=owner.pk, email="other@example.com")
    assert made.state == "MATCHED"
    assert [message.to for message in mail.outbox] == [["other@example.com"], ["other@example.com"]]
    assert made.of_return.events.get().actor_ref == "customer"


def test_an_order_that_nobody_can_be_reached_about_fits_no_empty_address(programme, declare):
    place_order(user=None, guest_email="")
    assert declare(email="x@example.com").finding == "NO_ORDER"


def test_lines_that_are_named_are_the_ones(order, declare):
    first = order.lines.order_by("pk").first()
    made = declare(lines={first.pk: 1})
    assert pieces_of(made.of_return) == {first.pk: 1}
    assert f"1 \N{MULTIPLICATION SIGN} #{first.pk}" in made.content


def test_lines_of_another_order_wait_for_staff(order, declare):
    made = declare(lines={999_999: 1})
    assert (made.state, made.finding) == ("RECEIVED", "REFUSED")
    assert not Return.objects.exists()


def test_a_second_declaration_finds_nothing_left_and_waits(order, declare):
    declare()
    again = declare(key="page:2")
    assert (again.state, again.finding) == ("RECEIVED", "REFUSED")
    assert Return.objects.count() == 1


@pytest.mark.parametrize(("days", "state", "finding"), [(13, "MATCHED", ""), (15, "RECEIVED", "LATE")])
def test_late_is_judged_by_the_moment_it_came_in_and_flagged(order, declare, days, state, finding):
    deliver(order, at=NOW)
    made = declare(now=NOW + days * DAY)
    assert (made.state, made.finding) == (state, finding)
    assert len(mail.outbox) == 1


def test_one_that_is_looked_at_late_was_still_in_time(order, programme):
    deliver(order, at=NOW)
    made = withdrawals.declare_withdrawal(
        key="page:1",
        name="Ada",
        email="gast@example.com",
        order_text="100042",
        user_id=None,
        language="de",
        now=NOW + 2 * DAY,
    )
    # Everything was down for three weeks.
    relay_messages(now=NOW + 21 * DAY)
    made.refresh_from_db()
    assert made.state == "MATCHED"
    assert made.of_return.requested_at == NOW + 2 * DAY


def test_twice_the_same_is_one_declaration_with_one_receipt(order, declare):
    first = declare()
    again = declare(now=NOW + DAY)
    assert again == first
    assert again.received_at == NOW
    assert len(mail.outbox) == 1
    assert Return.objects.count() == 1


def test_other_words_with_the_same_key_are_another_declaration(order, declare):
    declare()
    other = declare(name="Ben Petersen")
    assert other.finding == "REFUSED"
    assert Withdrawal.objects.count() == 2


def test_a_mail_server_that_is_down_delays_the_receipt_and_nothing_else(order, declare, monkeypatch, caplog):
    def refuse(**_mail):
        raise ConnectionRefusedError("mail server")

    with monkeypatch.context() as broken:
        broken.setattr(withdrawals, "send_to_address", refuse)
        made = declare()
    assert made.state == "MATCHED"
    assert made.receipt_sent_at is None
    # The receipt, and the news of the return.
    assert relay_returns(now=NOW + timedelta(minutes=1)) == 2
    made.refresh_from_db()
    assert made.receipt_sent_at is not None
    assert len(mail.outbox) == 1


def test_an_order_that_cannot_be_looked_at_keeps_no_receipt_back(order, declare, monkeypatch):
    monkeypatch.setattr(withdrawals, "find_returnable", lambda **_: 1 / 0)
    made = declare()
    assert (made.state, made.finding) == ("RECEIVED", "")
    assert len(mail.outbox) == 1
    assert OutboxMessage.objects.get(topic="withdrawal_match").waiting


def test_nobodys_inbox_is_filled_and_no_declaration_is_lost(order, declare):
    for number in range(12):
        declare(key=f"page:{number}", order_text=f"X{number}", email="victim@example.com")
    assert len(mail.outbox) == withdrawals.MOST_RECEIPTS_A_DAY == 10
    assert Withdrawal.objects.count() == 12
    assert relay_returns(now=NOW + timedelta(hours=23)) == 0
    assert relay_returns(now=NOW + DAY) == 2
    assert len(mail.outbox) == 12


def test_german_is_german(order, declare):
    made = declare(language="de")
    assert made.language == "de"
    assert made.content.endswith("100042")


# Staff


def test_staff_assign_a_declaration_to_an_order(order, declare):
    made = declare(order_text="the lamp")
    of_return = withdrawals.assign_withdrawal(
        withdrawal_id=made.pk, order_number=" #100042", actor_ref="user:7", now=NOW + DAY
    )
    made.refresh_from_db()
    assert (made.state, made.of_return, made.handled_by) == ("MATCHED", of_return, "user:7")
    assert (of_return.kind, of_return.requested_at) == ("WITHDRAWAL", NOW)


def test_staff_choose_goods_and_take_a_late_one_as_an_ordinary_return(order, declare):
    deliver(order, at=NOW)
    made = declare(now=NOW + 13 * DAY, goods="the first one")
    line = order.lines.order_by("pk").first()
    of_return = withdrawals.assign_withdrawal(
        withdrawal_id=made.pk,
        order_number="100042",
        picks=[Pick(line_id=line.pk, quantity=1)],
        kind="RETURN",
        actor_ref="user:7",
        now=NOW + 13 * DAY,
    )
    assert of_return.kind == "RETURN"
    assert pieces_of(of_return) == {line.pk: 1}


def refusal(call, **values):
    with pytest.raises(AssignmentRefused) as caught:
        call(actor_ref="user:7", now=NOW, **values)
    return caught.value.code


def test_what_staff_cannot_do_changes_nothing(order, declare):
    assign, close = withdrawals.assign_withdrawal, withdrawals.close_withdrawal
    made = declare(order_text="the lamp")
    assert refusal(assign, withdrawal_id=made.pk, order_number="nothing") == "order_missing"
    wrong = [Pick(line_id=999_999, quantity=1)]
    code = refusal(assign, withdrawal_id=made.pk, order_number="100042", picks=wrong)
    assert code == "unknown_line"
    assert refusal(close, withdrawal_id=made.pk, note="  ") == "note_missing"
    made.refresh_from_db()
    assert made.state == "RECEIVED"
    withdrawals.close_withdrawal(withdrawal_id=made.pk, note="By phone", actor_ref="user:7", now=NOW)
    made.refresh_from_db()
    assert (made.state, made.closing_note, made.handled_by) == ("CLOSED", "By phone", "user:7")
    assert refusal(close, withdrawal_id=made.pk, note="Again") == "already_done"
    assert refusal(assign, withdrawal_id=made.pk, order_number="100042") == "already_done"


def test_a_race_with_staff_is_won_by_one(order, declare, monkeypatch):
    made = declare(order_text="the lamp")

    def refuse(**_request):
        raise ReturnRefused("too_late")

    monkeypatch.setattr(withdrawals, "request_return", refuse)
    assert refusal(withdrawals.assign_withdrawal, withdrawal_id=made.pk, order_number="100042") == "too_late"
    withdrawals.find_order_of_withdrawal(withdrawal_id=made.pk, now=NOW)
    made.refresh_from_db()
    assert made.finding == "NO_ORDER"

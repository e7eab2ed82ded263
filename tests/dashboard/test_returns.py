"""The returns desk: scan, look, decide; harmless twice; nothing beyond what somebody may."""

from datetime import timedelta
from decimal import Decimal
from io import BytesIO

import pytest
from django.utils import timezone
from PIL import Image

from oscar_loyalty.flows import return_desk, return_steps, return_terms, returns
from oscar_loyalty.flows.return_terms import Pick
from oscar_loyalty.payments.refund_models import Refund
from oscar_loyalty.returns.models import (
    Goodwill,
    Return,
    ReturnLabel,
    ReturnLine,
    ReturnPhoto,
    ReturnPolicy,
    Withdrawal,
)
from oscar_loyalty.returns.services import note_event
from tests.dashboard.conftest import url
from tests.returns.bank import Bank
from tests.returns.world import accept, ask, make_order, make_policy, state_of
from tests.shop import world as shop

pytestmark = pytest.mark.django_db
D = Decimal


@pytest.fixture(autouse=True)
def bank(settings):
    settings.OSCAR_LOYALTY_PAYMENT_GATEWAY = "tests.returns.bank.Bank"
    Bank.forget()


@pytest.fixture
def programme(db):
    return shop.make_programme(waiting_days=0)


@pytest.fixture
def account(programme):
    make_policy(programme, goodwill_points=100, goodwill_amount="5.00")
    return shop.make_member(points=0)


@pytest.fixture
def order(account):
    return make_order(account.user, (("30.00", 2, 19),))


def received(order, *, ago=timedelta(0), **values):
    made = ask(order, **values)
    now = timezone.now() - ago
    return_steps.receive_return(return_id=made.pk, actor_ref="user:1", now=now)
    made.refresh_from_db()
    return made


def act(client, one, action, **values):
    values.setdefault("seen", return_desk.stamp_of(one))
    page = client.post(url("return-act", one.number), {"action": action, **values}, follow=True)
    one.refresh_from_db()
    return page


def fields(one, **changes):
    line = one.lines.get()
    values = {"accepted": line.quantity, "condition": "AS_NEW", "deduction": "", "refusal": "", **changes}
    return {f"{name}-{line.pk}": value for name, value in values.items()}


# Finding


@pytest.mark.parametrize("how", ["number", "lower", "spaced", "tracking", "order"])
def test_a_scan_opens_the_return_at_once(desk, order, how):
    one = ask(order)
    ReturnLabel.objects.update_or_create(of_return=one, defaults={"tracking_code": "00340434"})
    scan = {
        "number": one.number,
        "lower": one.number.lower(),
        "spaced": f" {one.number[:4]} {one.number[4:]}\n",
        "tracking": "00340434",
        "order": f"#{order.number}",
    }[how]
    answer = desk.get(url("returns"), {"scan": scan})
    assert answer["Location"] == url("return", one.number)


def test_a_code_that_nobody_knows_says_so(desk, order):
    assert "There is no return for" in desk.get(url("returns"), {"scan": "R12<b>"}).content.decode()


def test_of_an_order_with_several_returns_the_open_one_opens(desk, account):
    order = make_order(account.user, (("30.00", 1, 19), ("5.00", 1, 19)))
    first, second = order.lines.order_by("pk")
    accept(ask(order, [return_terms.Pick(line_id=first.pk, quantity=1)]))
    one = ask(order, [return_terms.Pick(line_id=second.pk, quantity=1)])
    assert desk.get(url("returns"), {"scan": order.number})["Location"] == url("return", one.number)
    accept(one)
    both = desk.get(url("returns"), {"scan": order.number})
    assert len(both.context["rows"]) == 2


def test_failed_refunds_come_first_then_what_is_overdue_then_what_is_due(desk, account):
    def another(ago):
        return received(make_order(account.user), ago=ago)

    due, overdue = another(timedelta(0)), another(timedelta(days=20))
    failed = accept(another(timedelta(0)))
    Refund.objects.update(state="FAILED", failure_code="lost_or_stolen_card")
    page = desk.get(url("returns"))
    assert [row["return"] for row in page.context["rows"]] == [failed, overdue, due]
    text = page.content.decode()
    assert text.index("refund failed") < text.index("overdue")


def test_many_returns_cost_the_queue_no_more(desk, account, django_assert_max_num_queries):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    order = make_order(account.user, (("5.00", 9, 19),))
    line = order.lines.get()

    def cost():
        with CaptureQueriesContext(connection) as statements:
            desk.get(url("returns"))
        return len(statements)

    received(order, picks=[return_terms.Pick(line_id=line.pk, quantity=1)])
    few = cost()
    for _number in range(4):
        received(order, picks=[return_terms.Pick(line_id=line.pk, quantity=1)])
    assert cost() == few


# Deciding


def test_the_preview_on_the_page_is_what_one_click_books(desk, account, order):
    one = received(order)
    before = state_of(account)
    preview = desk.get(url("return", one.number)).context["preview"]
    assert state_of(account) == before
    assert not Refund.objects.exists()
    assert "Decided" in act(desk, one, "accept").content.decode()
    assert one.state == "INSPECTED"
    assert one.refund_amount == preview.refund == order.total_incl_tax
    assert one.points_taken == preview.points_taken
    assert one.lines.get().restocked == 2
    assert one.events.get(code="INSPECTED").actor_ref == f"user:{desk.user.pk}"


def test_nobody_who_watches_the_stock_hears_of_a_preview(desk, order):
    from django.db.models.signals import post_save
    from oscar.core.loading import get_model

    heard = []
    record = get_model("partner", "StockRecord")
    post_save.connect(heard.append, sender=record, weak=False, dispatch_uid="desk-test")
    heard_of = lambda **values: heard.append(values)  # noqa: E731
    post_save.connect(heard_of, sender=record)
    post_save.disconnect(dispatch_uid="desk-test", sender=record)
    one = received(order)
    heard.clear()
    desk.get(url("return", one.number))
    post_save.disconnect(heard_of, sender=record)
    assert heard == []


def test_every_step_of_a_return(desk, order):
    one = ask(order)
    act(desk, one, "transit")
    assert one.state == "IN_TRANSIT"
    act(desk, one, "receive")
    assert one.state == "RECEIVED"
    act(desk, one, "inspect", **fields(one, accepted=1, condition="USED", refusal="One is missing"))
    assert one.state == "PARTLY_ACCEPTED"
    line = one.lines.get()
    assert (line.accepted, line.restocked, line.refusal) == (1, 0, "One is missing")
    assert one.refund_amount == D("30.00")


def test_a_preview_of_a_part_shows_what_that_part_brings_and_keeps_what_was_typed(desk, order):
    one = received(order)
    typed = fields(one, accepted=1, deduction="2,50", refusal="Scratched")
    page = desk.post(
        url("return-act", one.number), {"preview": "1", "seen": return_desk.stamp_of(one), **typed}
    )
    assert page.context["preview"].refund == D("27.50")
    assert "Scratched" in page.content.decode()
    one.refresh_from_db()
    assert one.state == "RECEIVED"


@pytest.mark.parametrize(
    "changes",
    [
        {"accepted": 3},
        {"accepted": "-1"},
        {"accepted": "x"},
        {"deduction": "1e9"},
        {"condition": "BROKEN"},
        {"accepted": 1, "refusal": " "},
    ],
)
def test_what_cannot_be_is_refused_on_the_page_and_changes_nothing(desk, order, changes):
    one = received(order)
    page = act(desk, one, "inspect", **fields(one, **changes))
    assert page.status_code == 400
    assert 'role="alert"' in page.content.decode()
    assert one.state == "RECEIVED"


def test_rejecting_takes_a_reason(desk, order):
    one = received(order)
    assert "say why" in act(desk, one, "reject", reason=" ").content.decode()
    assert one.state == "RECEIVED"
    act(desk, one, "reject", reason="Not ours")
    assert (one.state, one.lines.get().refusal) == ("REJECTED", "Not ours")


def test_cancelling(desk, order):
    one = ask(order)
    act(desk, one, "cancel")
    assert one.state == "CANCELLED"


def test_a_closed_return_is_found_by_a_scan_and_received_anyway(desk, order):
    one = ask(order)
    returns.cancel_return(return_id=one.pk, actor_ref="system", reason="NOT_SENT", now=timezone.now())
    page = desk.get(url("returns"), {"scan": one.number}, follow=True).content.decode()
    assert "Receive it anyway" in page
    assert "say why" in act(desk, one, "late", reason=" ").content.decode()
    assert one.state == "CANCELLED"
    page = act(desk, one, "late", reason="Lost in the post").content.decode()
    assert one.state == "RECEIVED"
    assert "Lost in the post" in page
    assert "Receive it anyway" not in page
    act(desk, one, "accept")
    assert one.state == "INSPECTED"


def test_a_double_click_books_once_and_a_second_clerk_is_told(desk, log_in, order):
    one = received(order)
    seen = return_desk.stamp_of(one)
    act(desk, one, "accept", seen=seen)
    assert "done already" in act(desk, one, "accept", seen=seen).content.decode()
    other = log_in("view_return", "handle_returns", name="other")
    assert "Somebody was faster" in act(other, one, "reject", seen=seen, reason="No").content.decode()
    assert one.state == "INSPECTED"
    assert Refund.objects.count() == 1


def test_undoing_is_shown_first_and_takes_a_reason(desk, account, order):
    before = state_of(account)
    one = received(order)
    act(desk, one, "accept")
    Refund.objects.update(state="FAILED")
    page = act(desk, one, "undo")
    assert "What it will do" in page.content.decode()
    assert "taken off the stock again" in page.content.decode()
    assert desk.post(url("return-undo", one.number)).status_code == 400
    desk.post(url("return-undo", one.number), {"reason": "Wrong parcel"})
    one.refresh_from_db()
    assert one.state == "CANCELLED"
    account.refresh_from_db()
    assert state_of(account) == before
    # Nothing is owed for it any more.
    assert desk.get(url("returns")).context["rows"] == []


def test_money_that_is_out_cannot_be_undone(desk, order):
    one = received(order)
    act(desk, one, "accept")
    Refund.objects.update(state="PENDING", sent_at=timezone.now())
    assert "nothing to undo" in desk.get(url("return-undo", one.number)).content.decode()
    desk.post(url("return-undo", one.number), {"reason": "x"})
    one.refresh_from_db()
    assert one.state == "INSPECTED"


# Refunds


def test_a_failed_refund_is_tried_again_once(desk, order):
    one = accept(received(order))
    Refund.objects.update(state="FAILED")
    failed = Refund.objects.get()
    for _click in range(2):
        desk.post(url("return-refund", one.number, failed.pk), {"retry": "1"})
    assert Refund.objects.get(replaces=failed).state == "REQUESTED"


def test_a_refund_paid_by_hand_ends_the_return(desk, order):
    one = accept(received(order))
    Refund.objects.update(state="FAILED")
    address = url("return-refund", one.number, Refund.objects.get().pk)
    assert "name the payment" in desk.post(address, {"by_hand": "1"}, follow=True).content.decode()
    desk.post(address, {"by_hand": "1", "reference": "SEPA 4711"})
    one.refresh_from_db()
    assert one.state == "SETTLED"
    assert Refund.objects.get().reference == "SEPA 4711"


def test_nothing_is_paid_for_a_decision_that_was_undone(desk, order):
    one = accept(received(order))
    Refund.objects.update(state="FAILED")
    failed = Refund.objects.get()
    desk.post(url("return-undo", one.number), {"reason": "Wrong parcel"})
    # As it was left by somebody who knew no better.
    Refund.objects.update(state="FAILED")
    assert not desk.get(url("return", one.number)).context["refund_waits"]
    for click in ({"retry": "1"}, {"by_hand": "1", "reference": "SEPA 4711"}):
        page = desk.post(url("return-refund", one.number, failed.pk), click, follow=True)
        assert "only a refund that failed" in page.content.decode()
    assert [refund.state for refund in Refund.objects.all()] == ["FAILED"]


def test_a_refund_that_the_provider_has_otherwise_is_tried_again_when_it_has_none(desk, order):
    one = accept(received(order))
    Refund.objects.update(failure_code="mismatch_amount", sent_at=timezone.now())
    refund = Refund.objects.get()
    address = url("return-refund", one.number, refund.pk)
    page = desk.get(url("return", one.number)).content.decode()
    assert "something else than the refund of" in page
    assert 'name="retry"' in page
    Bank().create_refund(
        intent_id=refund.intent_id,
        amount=D("1.00"),
        currency="EUR",
        reference=str(refund.public_id),
        idempotency_key="x",
    )
    assert "or does not say" in desk.post(address, {"retry": "1"}, follow=True).content.decode()
    Bank.refunds.clear()
    desk.post(address, {"retry": "1"})
    assert Refund.objects.get(replaces=refund).state == "REQUESTED"


def test_a_refund_of_another_return_is_not_touched(desk, account, order):
    one, other = accept(received(order)), accept(received(make_order(account.user)))
    Refund.objects.update(state="FAILED")
    theirs = Refund.objects.get(order_number=other.order_ref)
    assert desk.post(url("return-refund", one.number, theirs.pk), {"retry": "1"}).status_code == 404


# Several


def test_the_preview_of_a_decision_that_accepts_nothing_says_what_that_means(desk, order):
    one = received(order)
    values = fields(one, accepted="0", refusal="not ours")
    seen = return_desk.stamp_of(one)
    shown = desk.post(url("return-act", one.number), {"preview": "1", "seen": seen, **values})
    assert "Nothing is accepted: the return is rejected" in shown.content.decode()


def test_several_are_accepted_each_with_its_own_result(desk, account):
    good = received(make_order(account.user))
    cancelled = ask(make_order(account.user))
    returns.cancel_return(return_id=cancelled.pk, actor_ref="customer", now=timezone.now())
    page = desk.post(
        url("returns-batch"),
        {"action": "accept", "number": [good.number, cancelled.number, "RUNKNOWN", good.number]},
    )
    outcomes = page.context["outcomes"]
    assert [bool(one["problem"]) for one in outcomes] == [False, True, True]
    good.refresh_from_db()
    assert good.state == "INSPECTED"


@pytest.mark.parametrize("action", ["accept", "receive"])
def test_a_batch_tells_which_returns_somebody_rejected_meanwhile(desk, account, order, action):
    fine, rejected = received(order), received(make_order(account.user))
    return_steps.reject_return(
        return_id=rejected.pk, reason="not ours", actor_ref="user:1", now=timezone.now()
    )
    page = desk.post(url("returns-batch"), {"action": action, "number": [fine.number, rejected.number]})
    problems = {one["number"]: bool(one["problem"]) for one in page.context["outcomes"]}
    assert problems == {fine.number: False, rejected.number: True}
    assert "1 of them could not be changed" in page.content.decode()


def test_a_bug_in_one_of_several_stops_no_other(desk, account, monkeypatch):
    bad, good = received(make_order(account.user)), received(make_order(account.user))
    real = return_desk.accept_everything

    def accept_all(*, return_id, **values):
        if return_id == bad.pk:
            raise RuntimeError("a bug")
        return real(return_id=return_id, **values)

    monkeypatch.setattr(return_desk, "accept_everything", accept_all)
    outcomes = desk.post(
        url("returns-batch"), {"action": "accept", "number": [bad.number, good.number]}
    ).context["outcomes"]
    assert [bool(one["problem"]) for one in outcomes] == [True, False]


# Pictures, withdrawals, goodwill, figures


def test_pictures_are_for_staff_alone(desk, client, order):
    one = received(order)
    picture = BytesIO()
    Image.new("RGB", (9, 9), "red").save(picture, "PNG")
    picture.seek(0)
    picture.name = "broken.png"
    line = one.lines.get()
    desk.post(url("return-photos", one.number), {"photo": picture, "line": line.line_id})
    photo = ReturnPhoto.objects.get()
    assert photo.by_staff
    shown = desk.get(url("return-photo", photo.public_id))
    assert (shown["Content-Type"], shown["X-Content-Type-Options"]) == ("image/jpeg", "nosniff")
    assert client.get(url("return-photo", photo.public_id)).status_code == 302
    assert str(photo.public_id) in desk.get(url("return", one.number)).content.decode()


def declared(**values):
    return Withdrawal.objects.create(
        number="W123456789",
        name="Anna Berg",
        email="anna@example.com",
        order_text="the blue cup",
        content="I withdraw.",
        received_at=timezone.now(),
        finding="NO_ORDER",
        **values,
    )


def test_a_declaration_is_assigned_to_an_order(desk, order):
    one = declared()
    assert "the blue cup" in desk.get(url("withdrawals")).content.decode()
    address = url("withdrawal-handle", one.public_id)
    assert "no order" in desk.post(address, {"order": "999"}, follow=True).content.decode()
    desk.post(address, {"order": order.number})
    one.refresh_from_db()
    assert one.of_return.order_ref == order.number
    assert "faster" in desk.post(address, {"order": order.number}, follow=True).content.decode()
    assert Return.objects.count() == 1


def test_a_declaration_is_closed_with_a_note(desk, db):
    one = declared()
    address = url("withdrawal-handle", one.public_id)
    desk.post(address, {"close": "1", "note": ""})
    one.refresh_from_db()
    assert one.state == "RECEIVED"
    desk.post(address, {"close": "1", "note": "Called: another shop"})
    one.refresh_from_db()
    assert (one.state, one.closing_note) == ("CLOSED", "Called: another shop")


def test_goodwill_is_given_and_above_the_budget_approved_by_somebody_else(desk, log_in, account, order):
    address = url("goodwill-give", order.number)
    form = desk.get(address).context["form"]
    values = {"key": str(form["key"].value()), "points": "60", "reason": "Cup broken"}
    for _click in range(2):
        page = desk.post(address, values, follow=True)
    assert "The goodwill was given." in page.content.decode()
    more = {**values, "key": str(desk.get(address).context["form"]["key"].value()), "points": "50"}
    assert "waits for a second person" in desk.post(address, more, follow=True).content.decode()
    waits = Goodwill.objects.get(state="REQUESTED")
    decide = url("goodwill-decide", waits.public_id)
    assert "somebody else decides" in desk.get(url("goodwill", waits.public_id)).content.decode()
    desk.post(decide, {"give": "1"})
    waits.refresh_from_db()
    assert waits.state == "REQUESTED"
    boss = log_in("view_goodwill", "approve_goodwill", name="boss")
    assert str(waits.public_id) in boss.get(url("goodwill-list")).content.decode()
    boss.post(decide, {"give": "1"})
    assert "faster" in boss.post(decide, {"reject": "1"}, follow=True).content.decode()
    waits.refresh_from_db()
    assert (waits.state, waits.decided_by_id) == ("GIVEN", boss.user.pk)


def test_what_came_back_as_points_is_not_shown_as_money_that_could_still_be_given(desk, order):
    ReturnPolicy.objects.update(offers_store_credit=True)
    piece = Pick(line_id=order.lines.get().pk, quantity=1)
    assert desk.get(url("goodwill-give", order.number)).context["left"] == D("64.90")
    accept(ask(order, [piece], refund_to="STORE_CREDIT"))
    page = desk.get(url("goodwill-give", order.number))
    assert page.context["left"] == D("34.90")
    assert "34.90" in page.content.decode()


@pytest.mark.parametrize("wish", [{}, {"points": "1", "amount": "1"}, {"points": "0"}, {"amount": "999"}])
def test_goodwill_that_cannot_be_is_refused_on_the_page(desk, order, wish):
    values = {"key": "6f0f3f0e-9a52-4f0b-8a2e-9f7d5f6e1c55", "reason": "x", **wish}
    assert desk.post(url("goodwill-give", order.number), values).status_code == 400
    assert not Goodwill.objects.exists()


def test_lead_times_and_return_rates_are_told_and_come_as_a_file(desk, account, order):
    one = received(order, ago=timedelta(days=3))
    done = accept(one)
    Return.objects.filter(pk=done.pk).update(state="SETTLED", refunded_at=timezone.now())
    ReturnLine.objects.update(title="=cmd|' /C calc'!A0", reason="FAULTY")
    page = desk.get(url("return-figures"))
    figures = page.context["figures"]
    assert figures.now.count == 1
    assert figures.now.median >= timedelta(days=2, hours=23)
    assert figures.before.median is None
    assert page.context["rates"][0]["rate"].percent == 100
    file = b"".join(desk.get(url("return-figures"), {"format": "csv"}).streaming_content).decode()
    assert file.startswith("\ufeff")
    assert "'=cmd" in file
    assert "faulty;2;2;100" in file


def test_what_was_sold_before_the_period_belongs_to_an_earlier_rate(desk, order):
    accept(received(order))
    type(order).objects.filter(pk=order.pk).update(date_placed=timezone.now() - timedelta(days=31))
    assert desk.get(url("return-figures")).context["rates"] == []
    assert desk.get(url("return-figures"), {"days": "90"}).context["rates"][0]["rate"].percent == 100


def test_the_overview_tells_what_waits(desk, order):
    received(order, ago=timedelta(days=20))
    text = desk.get(url("overview")).content.decode()
    assert "1 waits at the desk" in text
    assert "1 should be refunded by now" in text


def test_the_page_of_a_member_lists_their_returns_for_whoever_may_see_them(desk, log_in, account, order):
    one = ask(order)
    page = url("member", account.member.public_id)
    assert url("return", one.number) in desk.get(page).content.decode()
    assert one.number not in log_in("view_member", name="other").get(page).content.decode()


def test_history_shows_who_did_what(desk, order):
    one = ask(order)
    act(desk, one, "receive")
    note_event(of_return=one, code="REFUND_FAILED", actor_ref="system", now=timezone.now())
    text = desk.get(url("return", one.number)).content.decode()
    assert "the customer" in text
    assert desk.user.get_full_name() in text
    assert "the refund failed" in text

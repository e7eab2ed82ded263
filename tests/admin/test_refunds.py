import re
from decimal import Decimal

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import timezone

from oscar_loyalty.payments import refunds
from oscar_loyalty.payments.gateway import RefundStatus
from oscar_loyalty.payments.refund_models import Refund
from tests.returns.bank import Bank
from tests.returns.world import accept, ask, make_order, make_policy, refunds_of
from tests.shop import world as shop

from .conftest import START

REFUNDS = "admin:oscar_loyalty_refund_changelist"


@pytest.fixture
def rows(db):
    """One that was paid back, one that failed, one that waits for staff."""

    def make(name, state, method="CARD", **more):
        return Refund.objects.create(
            cause_ref=f"return:{name}",
            order_number=name,
            intent_id="pi_1" if method == "CARD" else "",
            method=method,
            amount=Decimal("5.00"),
            currency="EUR",
            state=state,
            requested_at=START,
            succeeded_at=START,
            **more,
        )

    return {
        "done": make("done", "SUCCEEDED", gateway_id="re_1"),
        "failed": make("failed", "FAILED", failure_code="expired_or_canceled_card"),
        "manual": make("manual", "REQUESTED", method="MANUAL"),
    }


@pytest.fixture
def failed_refund(db, settings):
    """Of a return whose customer's card has expired."""
    settings.OSCAR_LOYALTY_PAYMENT_GATEWAY = "tests.returns.bank.Bank"
    Bank.forget()
    make_policy(shop.make_programme(waiting_days=0))
    order = make_order(shop.make_member(points=0).user)
    accept(ask(order))
    Bank.next_status = RefundStatus.PENDING
    (refund,) = refunds_of(order)
    refunds.send_refund(refund_id=refund.pk, now=timezone.now())
    refund.refresh_from_db()
    Bank.settle(refund.gateway_id, RefundStatus.FAILED)
    Bank.next_status = RefundStatus.SUCCEEDED
    return refunds.look_at_refund(refund_id=refund.pk, now=timezone.now())


def choose(client, action, *chosen, **more):
    return client.post(
        reverse(REFUNDS), {"action": action, "_selected_action": [row.pk for row in chosen], **more}
    )


def test_staff_find_the_refunds_that_need_them(admin_client, rows):
    page = admin_client.get(reverse(REFUNDS), {"needs": "staff"})
    assert set(page.context["cl"].result_list) == {rows["failed"], rows["manual"]}


def test_a_refund_is_found_by_what_staff_know_of_it_and_shown_but_never_changed(admin_client, rows):
    for known in ("done", "re_1", "return:done"):
        page = admin_client.get(reverse(REFUNDS), {"q": known})
        assert list(page.context["cl"].result_list) == [rows["done"]]
    url = reverse("admin:oscar_loyalty_refund_change", args=[rows["done"].pk])
    assert "/stripeevent/?q=pi_1" in admin_client.get(url).text
    assert admin_client.post(url, {"amount": "1.00"}).status_code == 403


def test_paying_by_hand_is_looked_at_before_it_is_noted(admin_client, rows, admin_user, monkeypatch):
    noted = []
    monkeypatch.setattr(refunds, "pay_by_hand", lambda **values: noted.append(values))
    page = choose(admin_client, "note_payment_by_hand", *rows.values())
    assert (page.status_code, noted) == (200, [])
    assert set(page.context["refunds"]) == {rows["failed"], rows["manual"]}
    assert "5.00\xa0€" in page.text
    fields = {f"reference-{rows['manual'].pk}": " transfer 7 ", "_confirmed": "1"}
    assert choose(admin_client, "note_payment_by_hand", rows["manual"], **fields).status_code == 302
    (one,) = noted
    assert (one["refund_id"], one["reference"].strip()) == (rows["manual"].pk, "transfer 7")
    assert one["by"] == f"user:{admin_user.pk}"


def test_a_payment_by_hand_without_a_reference_is_not_noted(admin_client, rows):
    page = choose(admin_client, "note_payment_by_hand", rows["manual"], _confirmed="1")
    assert "Without a reference nobody finds the payment again" in admin_client.get(page.url).text
    rows["manual"].refresh_from_db()
    assert rows["manual"].state == Refund.State.REQUESTED


def test_trying_again_is_looked_at_before_it_is_sent(
    admin_client, rows, monkeypatch, django_capture_on_commit_callbacks
):
    sent = []
    monkeypatch.setattr(refunds, "retry_refund", lambda **values: rows["failed"])
    monkeypatch.setattr(refunds, "send_refund", lambda *, refund_id, now: sent.append(refund_id))
    assert choose(admin_client, "try_again", *rows.values()).context["refunds"] == [rows["failed"]]
    with django_capture_on_commit_callbacks(execute=True):
        choose(admin_client, "try_again", rows["failed"], _confirmed="1")
    assert sent == [rows["failed"].pk]


def form_of(page):
    """What the page to confirm sends when its button is pressed, and the fields that staff fill in."""
    form = page.text.split('<div id="content-main">')[1].split("</form>")[0]
    inputs = [dict(re.findall(r'([\w-]+)="([^"]*)"', tag)) for tag in re.findall(r"<input [^>]+>", form)]
    sent = {one["name"]: one["value"] for one in inputs if one["type"] in ("hidden", "submit")}
    return sent, [one["name"] for one in inputs if one["type"] == "text"]


@pytest.mark.parametrize(
    ("language", "title", "warning"),
    [
        ("en", "Paid by hand", "Nothing is transferred by this page: say so only when you have paid."),
        ("de", "Von Hand gezahlt", "Diese Seite überweist nichts"),
    ],
)
def test_the_page_to_confirm_says_what_it_does_and_its_button_does_it(
    admin_client, failed_refund, language, title, warning
):
    admin_client.cookies["django_language"] = language
    page = choose(admin_client, "note_payment_by_hand", failed_refund)
    assert warning in page.text
    assert f'value="{title}"' in page.text
    assert failed_refund.order_number in page.text
    sent, typed = form_of(page)
    assert typed == [f"reference-{failed_refund.pk}"]
    # Each has a label of its own, and cannot be left empty.
    assert f'<label for="{typed[0]}">' in page.text
    assert re.search(rf'<input [^>]*required [^>]*name="{typed[0]}"', page.text)
    done = admin_client.post(reverse(REFUNDS), {**sent, typed[0]: "SEPA 7"}, follow=True)
    assert done.status_code == 200
    failed_refund.refresh_from_db()
    assert (failed_refund.state, failed_refund.method) == ("SUCCEEDED", "MANUAL")
    assert failed_refund.reference == "SEPA 7"


def test_the_page_to_try_again_asks_for_no_reference(admin_client, failed_refund):
    page = choose(admin_client, "try_again", failed_refund)
    assert "Each is sent to the provider once more." in page.text
    assert "expired_or_canceled_card" in page.text
    sent, typed = form_of(page)
    assert typed == []
    admin_client.post(reverse(REFUNDS), sent)
    second = Refund.objects.get(replaces=failed_refund)
    assert second.amount == failed_refund.amount


def test_what_is_not_as_requested_is_handled_like_what_failed(admin_client, rows):
    Refund.objects.filter(pk=rows["manual"].pk).update(
        method="CARD", intent_id="pi_1", failure_code="mismatch_amount"
    )
    for action in ("try_again", "note_payment_by_hand"):
        page = choose(admin_client, action, *rows.values())
        assert set(page.context["refunds"]) == {rows["failed"], rows["manual"]}


def test_a_refusal_is_told(admin_client, rows):
    """Nobody paid for this order, as far as the shop knows."""
    page = admin_client.post(
        reverse(REFUNDS),
        {"action": "try_again", "_selected_action": [rows["failed"].pk], "_confirmed": "1"},
        follow=True,
    )
    assert "More would go back than was paid: return:failed" in page.text
    assert Refund.objects.count() == 3


def test_who_may_only_look_may_not_handle(client, rows):
    user = get_user_model().objects.create_user("clerk", "clerk@example.com", "secret", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_refund"))
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    assert client.get(reverse(REFUNDS)).status_code == 200
    choose(client, "try_again", rows["failed"], _confirmed="1")
    assert Refund.objects.count() == 3

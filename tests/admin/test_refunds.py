from decimal import Decimal

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.urls import reverse

from oscar_loyalty.payments import refunds
from oscar_loyalty.payments.refund_models import Refund

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
    assert (one["refund_id"], one["reference"]) == (rows["manual"].pk, "transfer 7")
    assert one["by"] == f"user:{admin_user.pk}"


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

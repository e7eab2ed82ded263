from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import timezone

from oscar_loyalty.points import services
from oscar_loyalty.points.models import Adjustment, Entry
from oscar_loyalty.testing.ledger import assert_ledger_balanced

from .conftest import award, hold, make_user

WISH = {
    "points": "50",
    "reason_code": "GOODWILL",
    "internal_note": "Parcel was late",
    "customer_text_de": "Verspätete Lieferung",
    "customer_text_en": "Late delivery",
}


def request_url(account):
    return reverse("admin:oscar_loyalty_adjustment_request", args=[account.member_id])


def ask_for(client, account, **changes):
    response = client.post(request_url(account), {**WISH, **changes})
    assert response.status_code == 302, response.context["errors"]
    return response["Location"]


def errors_of(client, account, **changes):
    response = client.post(request_url(account), {**WISH, **changes})
    assert response.status_code == 200
    assert not Adjustment.objects.exists()
    return str(response.context["errors"])


def available(account):
    account.refresh_from_db()
    assert_ledger_balanced(account)
    return account.available


def test_points_are_credited_after_a_look_at_the_balance_before_and_after(admin_client, make_member):
    account = make_member("anna", points=100)
    confirm = ask_for(admin_client, account)
    text = admin_client.get(confirm).content.decode()
    assert "+50" in text
    assert "150" in text
    assert "Late delivery" in text
    assert available(account) == 100

    response = admin_client.post(confirm, {"_book": "1"}, follow=True)
    assert "The points were booked." in response.content.decode()
    assert available(account) == 150
    adjustment = Adjustment.objects.get()
    assert adjustment.state == Adjustment.State.BOOKED
    assert adjustment.entry.kind == Entry.Kind.ADJUST_UP
    assert adjustment.entry.actor_ref == f"user:{response.context['user'].pk}"
    assert adjustment.customer_text_de == "Verspätete Lieferung"


def test_points_are_deducted(admin_client, make_member):
    account = make_member("anna", points=100)
    confirm = ask_for(admin_client, account, points="-30", reason_code="CORRECTION")
    assert "−30" in admin_client.get(confirm).content.decode()
    admin_client.post(confirm, {"_book": "1"})
    assert available(account) == 70


def test_a_form_that_is_sent_twice_books_once(admin_client, make_member):
    account = make_member("anna", points=100)
    first, second = ask_for(admin_client, account), ask_for(admin_client, account)
    assert first == second
    admin_client.post(first, {"_book": "1"})
    admin_client.post(first, {"_book": "1"})
    assert available(account) == 150
    assert Adjustment.objects.count() == 1


def test_the_same_wish_after_a_booking_is_a_new_one(admin_client, make_member):
    account = make_member("anna", points=100)
    for _time in range(2):
        admin_client.post(ask_for(admin_client, account), {"_book": "1"})
    assert available(account) == 200


def test_what_makes_no_sense_is_refused_in_words(admin_client, make_member):
    account = make_member("anna", points=100)
    assert "Zero points change nothing." in errors_of(admin_client, account, points="0")
    assert "Only 100 points are available" in errors_of(admin_client, account, points="-101")
    assert "whole number" in errors_of(admin_client, account, points="1.5")
    assert "less than or equal" in errors_of(admin_client, account, points="9" * 20)
    assert "not one of the available choices" in errors_of(admin_client, account, reason_code="UNDO")
    assert "required" in errors_of(admin_client, account, reason_code="")


def test_points_that_are_spent_meanwhile_are_not_deducted(admin_client, make_member):
    account = make_member("anna", points=100)
    confirm = ask_for(admin_client, account, points="-100")
    hold(account, 40)
    assert "does not have so many points any more" in admin_client.get(confirm).content.decode()
    text = admin_client.post(confirm, {"_book": "1"}).content.decode()
    assert "Nothing was booked" in text
    assert available(account) == 60


def test_an_adjustment_can_be_discarded_and_is_then_never_booked(admin_client, make_member):
    account = make_member("anna", points=100)
    confirm = ask_for(admin_client, account)
    admin_client.post(confirm, {"_discard": "1"})
    assert Adjustment.objects.get().state == Adjustment.State.REJECTED
    text = admin_client.post(confirm, {"_book": "1"}).content.decode()
    assert "somebody has discarded this adjustment" in text
    assert admin_client.get(confirm).status_code == 302
    assert available(account) == 100


def book(client, account, **changes):
    client.post(ask_for(client, account, **changes), {"_book": "1"})
    return Adjustment.objects.order_by("-pk").first()


@pytest.mark.parametrize("points", ["50", "-50"])
def test_undoing_books_the_opposite_once(admin_client, make_member, points):
    account = make_member("anna", points=100)
    adjustment = book(admin_client, account, points=points)
    undo = reverse("admin:oscar_loyalty_adjustment_undo", args=[adjustment.pk])
    assert "Undo the adjustment" in admin_client.get(undo).content.decode()
    admin_client.post(undo)
    admin_client.post(undo)
    assert available(account) == 100
    assert adjustment.undone_by.points == -adjustment.points
    assert Adjustment.objects.count() == 2
    assert admin_client.get(undo).status_code == 302


def test_undoing_a_credit_that_was_spent_changes_nothing(admin_client, make_member):
    account = make_member("anna")
    adjustment = book(admin_client, account)
    hold(account, 50)
    undo = reverse("admin:oscar_loyalty_adjustment_undo", args=[adjustment.pk])
    assert "does not have so many points any more" in admin_client.post(undo).content.decode()
    assert Adjustment.objects.count() == 1
    assert available(account) == 0


def test_what_was_not_booked_cannot_be_undone(admin_client, make_member):
    account = make_member("anna", points=100)
    ask_for(admin_client, account)
    undo = reverse("admin:oscar_loyalty_adjustment_undo", args=[Adjustment.objects.get().pk])
    assert admin_client.get(undo).status_code == 302
    assert "nothing to undo" in admin_client.post(undo).content.decode()
    assert available(account) == 100


def test_a_credit_pays_a_deficit_first_and_the_page_says_so(admin_client, make_member):
    account = make_member("anna")
    earned = award(account, 80, order="anna-1")
    hold(account, 80)
    services.clawback_points(
        account_id=account.pk, earned=earned, idempotency_key="cancel-earn:anna-1", now=timezone.now()
    )
    services.release_hold(ref="basket:1", now=timezone.now())
    earned = award(account, 30, order="anna-2", now=timezone.now())
    hold(account, 30, ref="basket:2")
    services.clawback_points(
        account_id=account.pk, earned=earned, idempotency_key="cancel-earn:anna-2", now=timezone.now()
    )
    account.refresh_from_db()
    assert account.debt == 30
    confirm = ask_for(admin_client, account, points="50")
    text = admin_client.get(confirm).content.decode()
    assert "Deficit before:</strong> 30" in text
    admin_client.post(confirm, {"_book": "1"})
    assert available(account) == 20
    assert account.debt == 0


def test_a_closed_account_takes_no_points(admin_client, make_member):
    account = make_member("anna", points=100)
    confirm = ask_for(admin_client, account)
    type(account).objects.filter(pk=account.pk).update(status="FROZEN")
    assert "account is not open" in admin_client.post(confirm, {"_book": "1"}).content.decode()


def test_without_a_version_in_force_nothing_is_booked(admin_client, make_member):
    account = make_member("anna", points=100)
    confirm = ask_for(admin_client, account)
    account.programme.versions.update(active_from=timezone.now() + timedelta(days=1))
    text = admin_client.post(confirm, {"_book": "1"}).content.decode()
    assert "no version of the programme is in force" in text


@pytest.mark.parametrize("step", ["request", "confirm", "undo"])
def test_looking_is_not_adjusting(client, make_member, step):
    account = make_member("anna", points=100)
    clerk = make_user("clerk", is_staff=True)
    clerk.user_permissions.set(
        Permission.objects.filter(codename__in=["view_member", "view_adjustment", "change_adjustment"])
    )
    adjustment = services.request_adjustment(
        account_id=account.pk, points=5, reason_code="GOODWILL", actor_id=clerk.pk, now=timezone.now()
    )
    pk = account.member_id if step == "request" else adjustment.pk
    url = reverse(f"admin:oscar_loyalty_adjustment_{step}", args=[pk])
    assert client.get(url).status_code == 302  # to the log-in page
    client.force_login(clerk)
    assert client.get(url).status_code == 403
    assert client.post(url, WISH).status_code == 403
    page = client.get(reverse("admin:oscar_loyalty_adjustment_change", args=[adjustment.pk]))
    assert "Book or discard" not in page.content.decode()
    assert available(account) == 100


@pytest.mark.parametrize("step", ["confirm", "undo"])
@pytest.mark.parametrize("key", ["0", "nonsense"])
def test_an_adjustment_that_is_not_there_is_not_found(admin_client, step, key):
    url = reverse(f"admin:oscar_loyalty_adjustment_{step}", args=[key])
    assert admin_client.get(url).status_code == 404


def test_a_member_without_an_account_cannot_be_adjusted(admin_client):
    assert admin_client.get(reverse("admin:oscar_loyalty_adjustment_request", args=[0])).status_code == 404

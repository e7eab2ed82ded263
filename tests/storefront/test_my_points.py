from datetime import timedelta
from decimal import Decimal

import pytest

from oscar_loyalty.points import queries, services
from oscar_loyalty.points.models import Adjustment, Entry

from .conftest import text_of

PURCHASE = {
    "rule": "PURCHASE",
    "version": 3,
    "earn_points": 1,
    "earn_amount": "1.00",
    "currency": "EUR",
    "basis": "119.40",
    "includes_tax": True,
    "includes_shipping": False,
    "rounding": "FLOOR_ONCE",
}


def spend(member, points, *, order="100050"):
    ref = f"basket:{order}"
    services.hold_points(
        account_id=member.account.pk,
        ref=ref,
        requested=points,
        currency="EUR",
        expires_at=member.now + timedelta(minutes=30),
        now=member.now,
    )
    return services.capture_hold(
        ref=ref, points=points, amount=Decimal(points) / 100, order_ref=order, now=member.now
    )


def test_guests_log_in_first(client, programme):
    response = client.get("/loyalty/my-points/")
    assert response.status_code == 302
    assert response.url.endswith("?next=/loyalty/my-points/")


def test_a_customer_outside_is_offered_to_join(client, programme, customer):
    client.force_login(customer)
    page = text_of(client.get("/loyalty/my-points/"))
    assert "You do not collect points yet." in page
    assert "Join for free" in page


def test_a_new_member_is_told_how_to_start(member_client):
    response = member_client.get("/loyalty/my-points/")
    page = text_of(response)
    assert "0 points" in page
    assert "Three ways to start" in page
    assert 'id="history"' not in response.text
    assert "<table" not in response.text


def test_every_line_says_why(member_client, member):
    member.earn(119, explanation=PURCHASE)
    page = text_of(member_client.get("/loyalty/my-points/"))
    assert "119 points" in page
    assert "worth 1.19 €" in page
    assert "Earned with order 100042" in page
    assert "1 point per 1.00 € on 119.40 €, rounded down once; version 3" in page
    assert "+119" in page
    assert "Order 100042" in page


def test_the_same_in_german(member_client, member):
    member.earn(1190, explanation={**PURCHASE, "earn_points": 10, "basis": "1119.40"})
    page = text_of(member_client.get("/loyalty/my-points/", headers={"accept-language": "de"}))
    assert "1.190 Punkte" in page
    assert "11,90 € wert" in page
    assert "10 Punkte je 1,00 € auf 1.119,40 €, einmal abgerundet; Fassung 3" in page
    assert "+1.190" in page
    assert "Earned" not in page


def test_pending_reserved_and_expiring_points_are_told_apart(member_client, member):
    member.earn(500)
    member.earn(80, key="purchase:100043", wait=timedelta(days=14))
    services.hold_points(
        account_id=member.account.pk,
        ref="basket:1",
        requested=200,
        currency="EUR",
        expires_at=member.now + timedelta(days=1),
        now=member.now,
    )
    page = text_of(member_client.get("/loyalty/my-points/"))
    assert "300 points" in page
    assert "Pending 80" in page
    assert "Reserved 200" in page
    assert "Next to expire 500 points, to be spent until" in page
    assert "counted from then on" in page


def test_a_deficit_is_not_hidden(member_client, member):
    earned = member.earn(100)
    spend(member, 100)
    services.clawback_points(
        account_id=member.account.pk, earned=earned, idempotency_key="cancel-earn:100042", now=member.now
    )
    page = text_of(member_client.get("/loyalty/my-points/"))
    assert "Deficit 100" in page
    assert "Taken back for order 100042" in page
    assert "Spent on order 100050" in page
    assert "saved 1.00 €" in page
    assert "\N{MINUS SIGN}100" in page


@pytest.mark.parametrize(
    ("language", "text"), [("en", "Sorry for the broken cup"), ("de", "Entschuldigung für die Tasse")]
)
def test_what_staff_wrote_is_shown_in_the_language_of_the_page(
    member_client, member, language, text, customer
):
    adjustment = Adjustment.objects.create(
        account=member.account,
        points=50,
        reason_code="GOODWILL",
        customer_text_de="Entschuldigung für die Tasse",
        customer_text_en="Sorry for the broken cup",
        requested_at=member.now,
    )
    services.book_adjustment(
        adjustment=adjustment,
        expiry_months=36,
        unit_value=Decimal("0.01"),
        currency="EUR",
        actor_id=customer.pk,
        now=member.now,
    )
    page = text_of(member_client.get("/loyalty/my-points/", headers={"accept-language": language}))
    assert text in page


def test_every_kind_of_entry_has_words(member_client, member):
    for kind in Entry.Kind:
        Entry.objects.bulk_create(
            [
                Entry(
                    account=member.account,
                    kind=kind,
                    idempotency_key=kind,
                    key_digest=kind,
                    fingerprint="f",
                    points=7,
                    seq=1000 + list(Entry.Kind).index(kind),
                    available_after=0,
                    effective_at=member.now,
                    created_at=member.now,
                    actor_ref="system",
                    order_ref="100099",
                    hash="h",
                )
            ]
        )
    response = member_client.get("/loyalty/my-points/")
    lines = response.context["lines"]
    assert len(lines) == len(Entry.Kind) - 2
    assert response.text.count('class="loyalty-change') == len(lines)


def test_the_history_links_orders_and_says_which_points_were_taken(member_client, member, customer):
    from oscar.test import factories

    factories.create_order(number="100042", user=customer)
    entry = member.earn(100)
    services.clawback_points(
        account_id=member.account.pk, earned=entry, idempotency_key="cancel", now=member.now
    )
    text = text_of(member_client.get("/loyalty/my-points/"))
    assert "taken from: Order 100042 (−100)" in text
    assert "belongs to what was earned on" in text
    assert "See order 100042" in text


def test_the_history_is_paged(member_client, member):
    for number in range(23):
        member.earn(1, key=f"purchase:{number}", wait=timedelta(days=14))
    first = text_of(member_client.get("/loyalty/my-points/"))
    assert "Page 1 of 2" in first
    assert "Earned with order 22" in first
    assert "Earned with order 2 " not in first
    second = text_of(member_client.get("/loyalty/my-points/?page=2"))
    assert "Earned with order 2 " in second
    assert text_of(member_client.get("/loyalty/my-points/?page=nonsense"))
    assert "All 23 entries" in first


def test_statements_do_not_grow_with_the_history(member_client, member, django_assert_max_num_queries):
    for number in range(12):
        member.earn(1, key=f"purchase:{number}")
    member_client.get("/loyalty/my-points/")
    with django_assert_max_num_queries(24):
        member_client.get("/loyalty/my-points/")


def test_the_account_menu_leads_to_it(member_client):
    response = member_client.get("/accounts/profile/")
    assert 'href="/loyalty/my-points/"' in response.text


def test_nobody_sees_the_points_of_others(client, member, django_user_model):
    member.earn(4711)
    client.force_login(django_user_model.objects.create_user(username="eve", email="eve@example.com"))
    assert "4,711" not in text_of(client.get("/loyalty/my-points/"))


def test_points_that_are_due_count_although_the_job_is_late(member_client, member):
    member.earn(90, wait=timedelta(minutes=4))
    assert queries.get_balance(account=member.account, now=member.now).available == 0
    assert "90 points" in text_of(member_client.get("/loyalty/my-points/"))


def test_a_locked_account_says_so_and_promises_nothing(member_client, member):
    member.earn(150)
    assert "with your next order" in text_of(member_client.get("/loyalty/my-points/"))
    services.freeze_account(account_id=member.account.pk, actor_id=member.user.pk, note="odd", now=member.now)
    page = text_of(member_client.get("/loyalty/my-points/"))
    assert "Your points account is locked. Please write to our customer service." in page
    assert "150 points" in page
    assert "with your next order" not in page
    assert "odd" not in page

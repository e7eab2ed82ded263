from decimal import Decimal

import pytest
from django.urls import reverse

from oscar_loyalty.payments.models import CardPayment, StripeEvent

from .conftest import START

PAYMENTS = "admin:oscar_loyalty_cardpayment_changelist"


@pytest.fixture
def payments(db):
    """One that went well, an order whose authorisation ran out, and money that no order was placed for."""
    rows = {
        "paid": ("100001", CardPayment.State.CAPTURED),
        "unpaid": ("100002", CardPayment.State.CANCELLED),
        "stray": (None, CardPayment.State.CAPTURED),
    }
    return {
        name: CardPayment.objects.create(
            basket_id=name,
            open_key=None if state in CardPayment.GIVEN_UP else name,
            order_number=order_number,
            intent_id=f"pi_{name}",
            amount=Decimal("22.40"),
            currency="EUR",
            state=state,
            created_at=START,
        )
        for name, (order_number, state) in rows.items()
    }


@pytest.mark.parametrize("needs", ["unpaid", "stray"])
def test_staff_find_the_payments_that_need_them(admin_client, payments, needs):
    page = admin_client.get(reverse(PAYMENTS), {"needs": needs})
    assert list(page.context["cl"].result_list) == [payments[needs]]


def test_a_payment_is_found_by_its_order_and_shown_but_never_changed(admin_client, payments):
    page = admin_client.get(reverse(PAYMENTS), {"q": "100001"})
    assert list(page.context["cl"].result_list) == [payments["paid"]]
    url = reverse("admin:oscar_loyalty_cardpayment_change", args=[payments["paid"].pk])
    assert admin_client.get(url).status_code == 200
    assert admin_client.post(url, {"amount": "1.00"}).status_code == 403


def test_what_stripe_said_can_be_read(admin_client):
    StripeEvent.objects.create(
        event_id="evt_1", kind="charge.captured", object_id="ch_1", payload="{}", received_at=START
    )
    page = admin_client.get(reverse("admin:oscar_loyalty_stripeevent_changelist"))
    assert "charge.captured" in page.text
    assert admin_client.get(reverse("admin:oscar_loyalty_stripeevent_add")).status_code == 403

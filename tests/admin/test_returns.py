"""Return policies in Django's admin: planned ones are edited, those in force are read and copied."""

from datetime import timedelta

import pytest
from django.forms.models import model_to_dict
from django.utils import timezone
from oscar.test.factories import OrderFactory

from oscar_loyalty.returns.models import Goodwill, Return, ReturnPolicy, Withdrawal
from tests.returns.world import make_policy

pytestmark = pytest.mark.django_db
ROOT = "/admin/oscar_loyalty/"


@pytest.fixture
def policy(programme):
    return make_policy(programme)


def typed(policy, **changes):
    values = {
        name: value
        for name, value in model_to_dict(policy).items()
        if value is not None and value is not False
    }
    day = timezone.localtime(timezone.now() + timedelta(days=3))
    values |= {"active_from_0": f"{day:%Y-%m-%d}", "active_from_1": "00:00:00", "note": "Longer"}
    return {**values, **changes}


def test_a_policy_in_force_is_only_read_and_copied(admin_client, policy):
    address = f"{ROOT}returnpolicy/{policy.pk}/change/"
    page = admin_client.get(address).content.decode()
    assert "30 days after delivery" in page
    assert "Copy it into a new one" in page
    assert 'name="window_days"' not in page
    assert admin_client.post(address, typed(policy, window_days=99)).status_code == 403
    policy.refresh_from_db()
    assert policy.window_days == 30
    copied = admin_client.get(f"{ROOT}returnpolicy/add/", {"copy": policy.pk}).content.decode()
    assert 'name="window_days" value="30"' in copied


def test_a_planned_policy_is_previewed_saved_and_changed(admin_client, policy):
    add = f"{ROOT}returnpolicy/add/"
    page = admin_client.post(add, typed(policy, window_days=45, _preview="1")).content.decode()
    assert "45 days after delivery" in page
    assert ReturnPolicy.objects.count() == 1
    answer = admin_client.post(add, typed(policy, window_days=45))
    assert answer.status_code == 302, answer.context["errors"]
    planned = ReturnPolicy.objects.get(window_days=45)
    admin_client.post(f"{ROOT}returnpolicy/{planned.pk}/change/", typed(policy, window_days=60))
    planned.refresh_from_db()
    assert planned.window_days == 60
    assert "planned" in admin_client.get(f"{ROOT}returnpolicy/").content.decode()


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("window_days", {"window_days": 13}),
        ("active_from", {"active_from_0": "2020-01-01"}),
        ("currency", {"currency": "EURO"}),
        ("fee", {"fee": "-1"}),
        ("fault_days", {"fault_days": 20}),
        ("store_credit_bonus_percent", {"store_credit_bonus_percent": "10"}),
    ],
)
def test_what_would_be_wrong_for_customers_is_not_saved(admin_client, policy, name, changes):
    page = admin_client.post(f"{ROOT}returnpolicy/add/", typed(policy, **changes))
    assert page.status_code == 200
    assert name in page.context["adminform"].form.errors
    assert ReturnPolicy.objects.count() == 1


def test_returns_withdrawals_and_goodwill_are_only_read(admin_client, programme):
    order = OrderFactory()
    now = timezone.now()
    one = Return.objects.create(
        number="R123456789", order_ref=order.number, order_id=order.pk, currency="EUR", requested_at=now
    )
    declared = Withdrawal.objects.create(
        number="W123456789", name="Anna", email="a@example.com", order_text="1", received_at=now
    )
    gift = Goodwill.objects.create(
        programme=programme,
        order_ref=order.number,
        points=5,
        currency="EUR",
        reason="Cup",
        clerk_id=1,
        month=now.date().replace(day=1),
        requested_at=now,
    )
    for name, row, term in (
        ("return", one, one.number),
        ("withdrawal", declared, declared.number),
        ("goodwill", gift, order.number),
        ("refund", None, order.number),
    ):
        listed = admin_client.get(f"{ROOT}{name}/", {"q": term})
        assert listed.status_code == 200
        assert admin_client.get(f"{ROOT}{name}/add/").status_code == 403
        if row is not None:
            assert listed.context["cl"].result_count == 1
            assert admin_client.get(f"{ROOT}{name}/{row.pk}/change/").status_code == 200
            assert admin_client.post(f"{ROOT}{name}/{row.pk}/change/", {"state": "X"}).status_code == 403
            assert admin_client.post(f"{ROOT}{name}/{row.pk}/delete/").status_code == 403

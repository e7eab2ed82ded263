"""Staff write earning rules in a form of their kind, and read them back in words."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import timezone
from oscar.test import factories

from oscar_loyalty.earning.models import EarningRule, RuleBudget
from oscar_loyalty.earning.queries import read_rules
from oscar_loyalty.programmes.queries import get_version
from oscar_loyalty.programmes.services import create_draft

from .conftest import make_user

ADD = "admin:oscar_loyalty_earningrule_add"
CHANGE = "admin:oscar_loyalty_earningrule_change"
LIST = "admin:oscar_loyalty_earningrule_changelist"


@pytest.fixture
def draft(programme):
    return create_draft(based_on=get_version(at=timezone.now()))


@pytest.fixture
def manager(client, db):
    user = make_user("manager", is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(
            codename__in=[
                *(f"{act}_earningrule" for act in ("view", "add", "change", "delete")),
                *("view_rulebudget", "pause_rule"),
            ]
        )
    )
    client.force_login(user)
    return client


def typed(draft, kind="MULTIPLIER", **changes):
    parameters = {
        "MULTIPLIER": {"factor": "2"},
        "BONUS": {"points": "50", "per": "ORDER"},
        "RATE": {"points": "3", "amount": "1.00", "currency": "EUR"},
        "CAP": {"points": "500", "per": "MONTH"},
    }[kind]
    return {
        "version": draft.pk,
        "kind": kind,
        "name": "Double points",
        "code": "double-points",
        "text_de": "Doppelte Punkte",
        "text_en": "Double points",
        "occasion": "PURCHASE",
        "position": "1",
        **{f"parameter_{name}": value for name, value in parameters.items()},
        **changes,
    }


def errors_of(answer):
    form = answer.context["adminform"].form
    return {name: list(found) for name, found in form.errors.items()}


@pytest.mark.parametrize(
    ("kind", "stored"),
    [
        ("MULTIPLIER", {"factor": "2"}),
        ("BONUS", {"points": 50, "per": "ORDER"}),
        ("RATE", {"points": 3, "amount": "1.00", "currency": "EUR"}),
        ("CAP", {"points": 500, "per": "MONTH"}),
    ],
)
def test_each_kind_has_a_form_of_its_own(manager, draft, kind, stored):
    page = manager.get(reverse(ADD), {"kind": kind, "version": draft.pk})
    assert page.status_code == 200
    answer = manager.post(reverse(ADD), typed(draft, kind))
    assert answer.status_code == 302, errors_of(answer)
    assert EarningRule.objects.get().parameters == stored


def test_without_kind_and_version_staff_choose_them_first(manager, draft):
    page = manager.get(reverse(ADD)).content.decode()
    for kind in ("MULTIPLIER", "BONUS", "RATE", "CAP"):
        assert f'value="{kind}"' in page
    assert f'<option value="{draft.pk}"' in page


def test_without_an_editable_version_the_page_says_what_to_do(manager, programme):
    assert (
        "begin a draft first" in manager.get(reverse(ADD), headers={"accept-language": "en"}).content.decode()
    )


def test_every_condition_is_typed_in_a_field_and_comes_back_in_it(manager, draft):
    product = factories.create_product()
    category = factories.CategoryFactory()
    everything = factories.RangeFactory()
    conditions = {
        "product_ids": str(product.pk),
        "category_ids": [category.pk],
        "product_class_ids": [product.product_class_id],
        "range_ids": [everything.pk],
        "attributes": "brand: Hario, Bialetti\r\ncolour: red",
        "segments": ["NEW"],
        "nth_order": "1",
        "minimum_value": "eur: 50.00",
        "active_from_0": "2026-12-01",
        "active_from_1": "00:00",
        "active_to_0": "2026-12-24",
        "active_to_1": "00:00",
        "weekdays": ["5", "6"],
        "hours_from": "18:00",
        "hours_to": "00:00",
        "channels": "web, app",
        "shipping_methods": "standard",
        "payment_methods": "stripe",
    }
    form = typed(draft, **{f"condition_{name}": value for name, value in conditions.items()})
    answer = manager.post(reverse(ADD), form)
    assert answer.status_code == 302, errors_of(answer)
    rule = EarningRule.objects.get()
    assert rule.conditions == {
        "product_ids": [product.pk],
        "category_ids": [category.pk],
        "product_class_ids": [product.product_class_id],
        "range_ids": [everything.pk],
        "attributes": {"brand": ["Bialetti", "Hario"], "colour": ["red"]},
        "segments": ["NEW"],
        "nth_order": 1,
        "minimum_value": {"EUR": "50.00"},
        "active_from": rule.conditions["active_from"],
        "active_to": rule.conditions["active_to"],
        "weekdays": [5, 6],
        "hours": ["18:00", "24:00"],
        "channels": ["app", "web"],
        "shipping_methods": ["standard"],
        "payment_methods": ["stripe"],
    }
    (read,) = read_rules([rule])
    assert read.conditions.minimum_value == {"EUR": Decimal("50.00")}

    page = manager.get(reverse(CHANGE, args=[rule.pk]))
    shown = page.context["adminform"].form
    again = {name: shown[name].value() for name in shown.fields}
    assert again["condition_hours_from"].hour == 18
    assert "brand: Bialetti, Hario" in page.content.decode()
    sent = {**form, "name": "Renamed"}
    assert manager.post(reverse(CHANGE, args=[rule.pk]), sent).status_code == 302
    before = rule.conditions
    rule.refresh_from_db()
    assert (rule.name, rule.conditions) == ("Renamed", before)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("condition_product_ids", "12; 14"),
        ("condition_product_ids", "-1"),
        ("condition_attributes", "brand"),
        ("condition_minimum_value", "EUR: a lot"),
        ("condition_minimum_value", "EUR: -1"),
        ("condition_nth_order", "0"),
        ("parameter_factor", "0.5"),
        ("parameter_factor", "NaN"),
        ("parameter_factor", ""),
    ],
)
def test_what_cannot_be_read_is_said_at_its_field_and_nothing_is_stored(manager, draft, field, value):
    answer = manager.post(reverse(ADD), typed(draft, **{field: value}))
    assert answer.status_code == 200
    assert field in errors_of(answer)
    assert not EarningRule.objects.exists()


def test_a_period_that_ends_before_it_begins_is_refused(manager, draft):
    answer = manager.post(
        reverse(ADD),
        typed(
            draft,
            condition_active_from_0="2026-12-24",
            condition_active_from_1="00:00",
            condition_active_to_0="2026-12-01",
            condition_active_to_1="00:00",
        ),
    )
    assert "condition_active_to" in errors_of(answer)


def test_a_rule_without_an_order_cannot_ask_for_goods(manager, draft):
    product = factories.create_product()
    answer = manager.post(
        reverse(ADD), typed(draft, "BONUS", occasion="SIGN_UP", condition_product_ids=str(product.pk))
    )
    assert "__all__" in errors_of(answer)
    assert not EarningRule.objects.exists()


def test_the_same_code_twice_is_refused(manager, draft):
    assert manager.post(reverse(ADD), typed(draft)).status_code == 302
    answer = manager.post(reverse(ADD), typed(draft))
    assert answer.status_code == 200
    assert EarningRule.objects.count() == 1


def test_a_preview_says_what_is_typed_and_stores_nothing(manager, draft):
    category = factories.CategoryFactory(name="Mugs")
    page = manager.post(
        reverse(ADD),
        typed(draft, condition_category_ids=[category.pk], condition_weekdays=["5"], _preview="1"),
        headers={"accept-language": "en"},
    ).content.decode()
    assert "2 times the usual points" in page
    assert "Mugs" in page
    assert not EarningRule.objects.exists()


def test_a_rule_of_a_version_in_force_is_only_read(manager, programme, draft):
    rule = EarningRule.objects.create(
        version=get_version(at=timezone.now()),
        code="old",
        name="Old",
        kind="MULTIPLIER",
        parameters={"factor": "2"},
    )
    page = manager.get(reverse(CHANGE, args=[rule.pk]))
    assert page.status_code == 200
    assert "_save" not in page.content.decode()
    assert manager.post(reverse(CHANGE, args=[rule.pk]), {"name": "New"}).status_code == 403
    delete = reverse("admin:oscar_loyalty_earningrule_delete", args=[rule.pk])
    assert manager.post(delete, {"post": "yes"}).status_code == 403
    assert manager.post(reverse(ADD), typed(rule.version)).status_code == 403
    assert EarningRule.objects.count() == 1


def test_a_kind_that_nobody_registered_is_named_and_its_page_opens(manager, draft):
    rule = EarningRule.objects.create(version=draft, code="gone", name="Gone", kind="GONE_SINCE")
    assert "GONE_SINCE" in manager.get(reverse(LIST)).content.decode()
    assert manager.get(reverse(CHANGE, args=[rule.pk])).status_code == 200


def test_whoever_may_only_look_cannot_write(client, draft):
    user = make_user("clerk", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_earningrule"))
    client.force_login(user)
    assert client.get(reverse(LIST)).status_code == 200
    assert client.get(reverse(ADD)).status_code == 403
    assert client.post(reverse(ADD), typed(draft)).status_code == 403


def test_rules_are_paused_and_go_on(manager, programme):
    budget = RuleBudget.objects.create(programme=programme, rule_code="double", granted=10)
    url = reverse("admin:oscar_loyalty_rulebudget_changelist")
    manager.post(url, {"action": "pause", "_selected_action": [budget.pk]})
    budget.refresh_from_db()
    assert budget.paused_at is not None
    assert budget.paused_at <= timezone.now() + timedelta(seconds=1)
    manager.post(url, {"action": "go_on", "_selected_action": [budget.pk]})
    budget.refresh_from_db()
    assert budget.paused_at is None


def test_pausing_takes_a_permission_of_its_own(client, programme):
    budget = RuleBudget.objects.create(programme=programme, rule_code="double")
    user = make_user("clerk", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_rulebudget"))
    client.force_login(user)
    url = reverse("admin:oscar_loyalty_rulebudget_changelist")
    client.post(url, {"action": "pause", "_selected_action": [budget.pk]})
    budget.refresh_from_db()
    assert budget.paused_at is None

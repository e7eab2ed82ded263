"""What waits for staff, beside the ledger."""

from django.urls import reverse
from django.utils import timezone

from oscar_loyalty.earning.models import EarningRule, RuleBudget
from oscar_loyalty.programmes.queries import get_version

from .conftest import url


def test_the_overview_shows_rules_that_are_paused(desk, log_in, programme):
    version = get_version(at=timezone.now())
    rule = EarningRule.objects.create(
        version=version, code="weekend", name="Weekend", kind="MULTIPLIER", budget_points=500
    )
    EarningRule.objects.create(version=version, code="running", name="Runs on", kind="MULTIPLIER")
    for code in ("weekend", "of-an-old-version"):
        RuleBudget.objects.create(
            programme=programme,
            rule_code=code,
            granted=500,
            paused_at=timezone.now(),
            paused_reason="BUDGET",
        )
    page = desk.get(url("overview"), headers={"accept-language": "en"})
    assert [one["rule"].name for one in page.context["paused_rules"]] == ["Weekend"]
    assert "The budget is used up" in page.content.decode()
    address = reverse("admin:oscar_loyalty_earningrule_change", args=[rule.pk])
    assert address not in page.content.decode(), "they may not see rules"
    other = log_in("view_member", "view_earningrule", name="otto")
    assert address in other.get(url("overview")).content.decode()

"""What waits for somebody: decisions, deliveries that fail, reservations that hang."""

from typing import Any

from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.urls import NoReverseMatch, reverse

from oscar_loyalty.dashboard.base import DeskView
from oscar_loyalty.earning.models import EarningRule
from oscar_loyalty.earning.queries import list_paused_rules_of
from oscar_loyalty.flows import return_desk
from oscar_loyalty.outbox import queries as outbox
from oscar_loyalty.points import queries
from oscar_loyalty.points.audit import runs
from oscar_loyalty.points.models import Hold
from oscar_loyalty.programmes.queries import ProgrammeMissing, find_programme, get_version
from oscar_loyalty.returns import desk_queries
from oscar_loyalty.returns.models import Goodwill


class OverviewView(DeskView):
    tab = "overview"
    template_name = "overview.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        holds = Hold.objects.filter(state=Hold.State.OPEN).aggregate(
            open=Count("pk"), overdue=Count("pk", filter=Q(expires_at__lte=self.now))
        )
        return self.show(
            returns=self._returns() if self.may("view_return") else None,
            goodwill=Goodwill.objects.filter(state=Goodwill.State.REQUESTED).count(),
            programme=find_programme(),
            merges=queries.list_waiting_merges().count(),
            audit=runs.find_last_run(),
            adjustments=queries.list_waiting_adjustments().count(),
            holds=holds,
            overdue_accounts=queries.list_due_accounts(now=self.now).count(),
            outbox=outbox.count_waiting(now=self.now),
            failures=outbox.list_failing()[:5],
            paused_rules=self._list_paused_rules(),
        )

    def _returns(self) -> dict[str, Any]:
        failed = return_desk.find_failed()
        return {
            **desk_queries.count_at_desk(failed=failed, now=self.now),
            "failed": len(failed),
            "figures": return_desk.measure_refunds(days=30, now=self.now),
        }

    def _list_paused_rules(self) -> list[dict[str, Any]]:
        """Of the version in force: nothing is given by them, and nobody would notice."""
        try:
            version = get_version(at=self.now)
        except ProgrammeMissing:
            return []
        return [
            {"rule": rule, "budget": budget, "page": self._page_of(rule)}
            for rule, budget in list_paused_rules_of(version)
        ]

    def _page_of(self, rule: EarningRule) -> str:
        """Where its budget is raised and it is let go on; empty for whoever may not see it."""
        if not self.may("view_earningrule"):
            return ""
        try:
            return reverse("admin:oscar_loyalty_earningrule_change", args=[rule.pk])
        except NoReverseMatch:
            return ""

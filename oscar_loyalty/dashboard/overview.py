"""What waits for somebody: decisions, deliveries that fail, reservations that hang."""

from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse

from oscar_loyalty.dashboard.base import DeskView
from oscar_loyalty.outbox import queries as outbox
from oscar_loyalty.points import queries
from oscar_loyalty.points.audit import runs
from oscar_loyalty.points.models import Hold
from oscar_loyalty.programmes.queries import find_programme


class OverviewView(DeskView):
    tab = "overview"
    template_name = "overview.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        holds = Hold.objects.filter(state=Hold.State.OPEN).aggregate(
            open=Count("pk"), overdue=Count("pk", filter=Q(expires_at__lte=self.now))
        )
        return self.show(
            programme=find_programme(),
            merges=queries.list_waiting_merges().count(),
            audit=runs.find_last_run(),
            adjustments=queries.list_waiting_adjustments().count(),
            holds=holds,
            overdue_accounts=queries.list_due_accounts(now=self.now).count(),
            outbox=outbox.count_waiting(now=self.now),
            failures=outbox.list_failing()[:5],
        )

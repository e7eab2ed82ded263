"""Deliveries: what is late comes first, how often promises were kept, and saying that something arrived."""

from datetime import date, datetime, time, timedelta

from django.contrib import messages
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext as _

from oscar_loyalty.dashboard.base import ROWS_PER_PAGE, DeskView, Slice, slice_of
from oscar_loyalty.delivery import queries
from oscar_loyalty.delivery.models import DeliveryPromise
from oscar_loyalty.flows import deliveries
from oscar_loyalty.shop.orders import find_order_ids

#: So many months of on-time rates are shown, this one included.
MONTHS = 6
#: The late ones are shown together: whoever has more of them has other worries than paging.
MOST_LATE = 4 * ROWS_PER_PAGE


class DeliveriesView(DeskView):
    tab = "deliveries"
    template_name = "deliveries.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        promises = DeliveryPromise.objects.all()
        views = {
            "late": (_("Late"), queries.list_late()),
            "waiting": (_("On their way"), promises.filter(delivered_at=None, void_at=None, late_since=None)),
            "arrived_late": (_("Arrived late"), promises.filter(delivered_at__gte=F("due_at"), void_at=None)),
            "all": (_("All"), promises),
        }
        chosen = request.GET.get("show", "late")
        if chosen not in views:
            chosen = "late"
        rows = views[chosen][1]
        if method := request.GET.get("method", "")[:64]:
            rows = rows.filter(method=method)
        if number := request.GET.get("order", "").strip()[:128]:
            rows = rows.filter(order_ref=number)
        if chosen == "late":
            # Longest due first, which is the order in which somebody has to look after them.
            page = Slice(rows=list(rows[:MOST_LATE]), older=None, is_first=True)
        else:
            page = slice_of(rows, request)
        today = timezone.localdate(self.now)
        rates = queries.list_on_time_rates(since=_months_before(today), until=today + timedelta(days=1))
        orders = find_order_ids(promise.order_ref for promise in page.rows)
        return self.show(
            promises=page,
            orders=orders,
            rates=rates,
            methods=sorted({rate.method for rate in rates} | {promise.method for promise in page.rows}),
            method=method,
            number=number,
            chosen=chosen,
            views=[{"key": key, "label": label} for key, (label, _rows) in views.items()],
        )


class ArrivedView(DeskView):
    """Look at a promise once more, then say that the order has arrived."""

    tab = "deliveries"
    template_name = "delivery_arrived.html"

    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        return self.show(promise=get_object_or_404(DeliveryPromise, pk=pk))

    def post(self, request: HttpRequest, pk: int) -> HttpResponse:
        promise = get_object_or_404(DeliveryPromise, pk=pk)
        # A parcel of today; for another day there is a date.
        delivered_at = self.now
        if typed := request.POST.get("day", ""):
            try:
                day = date.fromisoformat(typed)
            except ValueError:
                return self.show(promise=promise, error=_("Enter a day, for example 2026-12-03."), status=400)
            if day > timezone.localdate(self.now):
                problem = _("An order cannot have arrived in the future.")
                return self.show(promise=promise, error=problem, status=400)
            noon = timezone.make_aware(datetime.combine(day, time(12)))
            delivered_at = min(noon, self.now)
        if deliveries.record_delivery(order_ref=promise.order_ref, delivered_at=delivered_at, now=self.now):
            text, level = _("Order %(order)s has arrived."), messages.SUCCESS
        else:
            text, level = (
                _("Nothing was changed: order %(order)s has arrived already, or was cancelled."),
                (messages.WARNING),
            )
        return self.go(text % {"order": promise.order_ref}, level, "loyalty-deliveries")


def _months_before(today: date) -> date:
    month = today.year * 12 + today.month - MONTHS
    return date(month // 12, month % 12 + 1, 1)

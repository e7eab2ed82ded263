"""What was promised for which order, and what became of that: read only."""

from typing import Any

from django.contrib import admin
from django.db.models import F, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from oscar_loyalty.admin.read_only import ReadOnlyAdmin
from oscar_loyalty.delivery.models import DeliveryPromise


class StateFilter(admin.SimpleListFilter):
    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(DeliveryPromise.State.choices)

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[DeliveryPromise]
    ) -> QuerySet[DeliveryPromise]:
        under_way = queryset.filter(delivered_at=None, void_at=None)
        match self.value():
            case "WAITING":
                return under_way.filter(late_since=None)
            case "LATE":
                return under_way.filter(late_since__isnull=False)
            case "ON_TIME":
                return queryset.filter(void_at=None, delivered_at__lt=F("due_at"))
            case "DELIVERED_LATE":
                return queryset.filter(void_at=None, delivered_at__gte=F("due_at"))
            case "VOID":
                return queryset.filter(void_at__isnull=False)
        return queryset


@admin.register(DeliveryPromise)
class DeliveryPromiseAdmin(ReadOnlyAdmin):
    list_display = [
        "order_ref",
        "method_code",
        "promised_date",
        "state_label",
        "delivered_at",
        "apologised_at",
        "apology_points",
    ]
    list_filter = [StateFilter, "method"]
    search_fields = ["order_ref__exact"]
    search_help_text = _("Order number")
    date_hierarchy = "promised_date"
    ordering = ["-promised_date", "-id"]
    show_full_result_count = False

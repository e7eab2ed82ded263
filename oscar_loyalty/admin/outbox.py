"""News that went out or waits to: read only."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from oscar_loyalty.admin.read_only import ReadOnlyAdmin
from oscar_loyalty.outbox.models import OutboxMessage


class DeliveryFilter(admin.SimpleListFilter):
    title = _("delivery")
    parameter_name = "delivery"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("waiting", _("waiting")), ("failed", _("failed, tried again later")), ("sent", _("sent"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[OutboxMessage]) -> QuerySet[OutboxMessage]:
        match self.value():
            case "waiting":
                return queryset.filter(waiting=True)
            case "failed":
                return queryset.filter(waiting=True, attempts__gt=0)
            case "sent":
                return queryset.filter(waiting=False)
        return queryset


@admin.register(OutboxMessage)
class OutboxMessageAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "topic", "waiting", "attempts", "available_at", "sent_at", "last_error"]
    list_filter = [DeliveryFilter, "topic"]
    search_fields = ["key"]
    ordering = ["-id"]
    show_full_result_count = False

"""Card payments and what Stripe said of them: read only, with what staff must act on in a filter."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from oscar_loyalty.admin.read_only import ReadOnlyAdmin
from oscar_loyalty.payments import queries
from oscar_loyalty.payments.models import CardPayment, StripeEvent


class AttentionFilter(admin.SimpleListFilter):
    title = _("needs you")
    parameter_name = "needs"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("unpaid", _("order without money: call the customer")),
            ("stray", _("money without an order: give it back")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[CardPayment]) -> QuerySet[CardPayment]:
        match self.value():
            case "unpaid":
                return queryset.filter(pk__in=queries.list_unpaid_orders().values("pk"))
            case "stray":
                return queryset.filter(pk__in=queries.list_strays().values("pk"))
        return queryset


@admin.register(CardPayment)
class CardPaymentAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "order_number", "amount", "currency", "state", "attempts", "last_error"]
    list_filter = [AttentionFilter, "state", "created_at"]
    search_fields = ["order_number__exact", "intent_id__exact", "basket_id__exact"]
    search_help_text = _("Order number, basket or Stripe's id of the payment")
    ordering = ["-id"]
    show_full_result_count = False


@admin.register(StripeEvent)
class StripeEventAdmin(ReadOnlyAdmin):
    list_display = ["received_at", "kind", "object_id", "state", "processed_at"]
    list_filter = ["state", "kind"]
    search_fields = ["event_id__exact", "object_id__exact", "refunds_of__exact"]
    ordering = ["-received_at"]
    show_full_result_count = False

"""Refunds: read only; what failed is tried again or paid by hand, after a second look."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from oscar_loyalty.admin.read_only import ReadOnlyAdmin
from oscar_loyalty.flows.wording import money
from oscar_loyalty.payments import queries, refunds
from oscar_loyalty.payments.refund_models import Refund

_MOST_AT_ONCE = 50
_FAILED = Q(state=Refund.State.FAILED, replaced_by=None)
_UNCLEAR = Q(state__in=Refund.OPEN, failure_code__startswith=Refund.MISMATCH)
_REFUSALS: dict[type[Exception], Any] = {
    refunds.RefundExceedsPaid: _("More would go back than was paid: %(refund)s"),
    refunds.RefundReferenceMissing: _("Without a reference nobody finds the payment again: %(refund)s"),
    refunds.RefundNotFailed: _("Has not failed: %(refund)s"),
    refunds.RefundUnclear: _("The provider has it, or does not say whether it has: %(refund)s"),
    refunds.RefundReplaced: _("Was tried again already: %(refund)s"),
}


class StaffFilter(admin.SimpleListFilter):
    title = _("needs you")
    parameter_name = "needs"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("staff", _("failed, to be paid by hand, or not as requested"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Refund]) -> QuerySet[Refund]:
        if self.value() == "staff":
            return queryset.filter(pk__in=queries.list_refunds_that_need_staff().values("pk"))
        return queryset


@admin.register(Refund)
class RefundAdmin(ReadOnlyAdmin):
    list_display = ["requested_at", "order_number", "money", "method", "state", "failure_code"]
    list_filter = [StaffFilter, "state", "method", "requested_at"]
    search_fields = [
        "order_number__exact",
        "cause_ref__exact",
        "gateway_id__exact",
        "intent_id__exact",
        "reference__exact",
    ]
    search_help_text = _("Order number, cause, reference, or the provider's id of the refund or the payment")
    ordering = ["-id"]
    show_full_result_count = False
    actions = ["try_again", "note_payment_by_hand"]
    readonly_fields = ["money", "second_try", "events"]
    fields = [
        "public_id",
        "cause_ref",
        "order_number",
        "money",
        "method",
        "state",
        "failure_code",
        "reference",
        "handled_by_ref",
        "payment",
        "intent_id",
        "gateway_id",
        "attempts",
        "requested_at",
        "sent_at",
        "succeeded_at",
        "failed_at",
        "due_at",
        "replaces",
        "second_try",
        "events",
    ]

    def has_handle_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("oscar_loyalty.handle_refund")

    @admin.display(description=_("amount"), ordering="amount")
    def money(self, refund: Refund) -> str:
        return money(refund.amount, refund.currency)

    @admin.display(description=_("second try"))
    def second_try(self, refund: Refund) -> SafeString | str:
        second = Refund.objects.filter(replaces=refund).first()
        if second is None:
            return "—"
        url = reverse("admin:oscar_loyalty_refund_change", args=[second.pk])
        return format_html('<a href="{}">{}</a>', url, second)

    @admin.display(description=_("what the provider told"))
    def events(self, refund: Refund) -> SafeString | str:
        if not refund.intent_id:
            return "—"
        url = reverse("admin:oscar_loyalty_stripeevent_changelist")
        return format_html(
            '<a href="{}?{}">{}</a>', url, urlencode({"q": refund.intent_id}), refund.intent_id
        )

    @admin.action(description=_("Try failed refunds again"), permissions=["handle"])
    def try_again(self, request: HttpRequest, queryset: QuerySet[Refund]) -> HttpResponse | None:
        def act(refund: Refund) -> None:
            second = refunds.retry_refund(refund_id=refund.pk, by=_actor(request), now=timezone.now())
            refunds.send_after_commit(refund_id=second.pk, clock=timezone.now)

        chosen = queryset.filter(_FAILED | _UNCLEAR)
        return self._ask_and_act(request, chosen, act, action="try_again", title=gettext("Try again"))

    @admin.action(description=_("Note that refunds were paid by hand"), permissions=["handle"])
    def note_payment_by_hand(self, request: HttpRequest, queryset: QuerySet[Refund]) -> HttpResponse | None:
        def act(refund: Refund) -> None:
            refunds.pay_by_hand(
                refund_id=refund.pk,
                reference=request.POST.get(f"reference-{refund.pk}", ""),
                by=_actor(request),
                now=timezone.now(),
            )

        chosen = queryset.filter(
            _FAILED | _UNCLEAR | Q(state=Refund.State.REQUESTED, method=Refund.Method.MANUAL)
        )
        return self._ask_and_act(
            request, chosen, act, action="note_payment_by_hand", title=gettext("Paid by hand")
        )

    def _ask_and_act(
        self,
        request: HttpRequest,
        chosen: QuerySet[Refund],
        act: Callable[[Refund], None],
        *,
        action: str,
        title: str,
    ) -> HttpResponse | None:
        """Show what would be done, then do it."""
        rows = list(chosen.order_by("id")[:_MOST_AT_ONCE])
        if "_confirmed" not in request.POST and rows:
            context = {
                **self.admin_site.each_context(request),
                "title": title,
                "opts": self.opts,
                "media": self.media,
                "refunds": rows,
                "action": action,
                "action_checkbox_name": ACTION_CHECKBOX_NAME,
            }
            return TemplateResponse(request, "admin/oscar_loyalty/refund/confirm.html", context)
        done = sum(self._acted(request, refund, act) for refund in rows)
        text = ngettext("%(count)s refund was handled.", "%(count)s refunds were handled.", done)
        self.message_user(request, text % {"count": done}, messages.SUCCESS if done else messages.WARNING)
        return None

    def _acted(self, request: HttpRequest, refund: Refund, act: Callable[[Refund], None]) -> bool:
        try:
            act(refund)
        except tuple(_REFUSALS) as error:
            text = _REFUSALS[type(error)] % {"refund": refund.cause_ref}
            self.message_user(request, text, messages.ERROR)
            return False
        return True


def _actor(request: HttpRequest) -> str:
    return f"user:{request.user.pk}"

"""Return policies: written for the future, read-only once in force. The rest of returns is only read."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.forms.models import model_to_dict
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from oscar_loyalty.admin.programmes import pick_categories, pick_product_classes
from oscar_loyalty.admin.read_only import ReadOnlyAdmin
from oscar_loyalty.flows.return_policies import describe_for_tiers, describe_policy, is_editable
from oscar_loyalty.payments.refund_models import Refund
from oscar_loyalty.returns.models import (
    Condition,
    Goodwill,
    Return,
    ReturnEvent,
    ReturnLine,
    ReturnPolicy,
    Withdrawal,
)
from oscar_loyalty.shop.configuration import is_currency


class PolicyForm(forms.ModelForm):  # type: ignore[type-arg]
    active_from = forms.SplitDateTimeField(
        label=_("in force from"),
        required=False,
        widget=admin.widgets.AdminSplitDateTime,
        help_text=_("Empty: at once. Orders placed before that moment keep the policy of their time."),
    )
    excluded_category_ids = pick_categories(_("Their products are taken back only when they are faulty."))
    excluded_product_class_ids = pick_product_classes()
    restock_conditions = forms.MultipleChoiceField(
        label=_("goes back on sale"),
        required=False,
        choices=Condition.choices,
        widget=forms.CheckboxSelectMultiple,
    )

    def clean_currency(self) -> str:
        code = str(self.cleaned_data["currency"]).strip().upper()
        if not is_currency(code):
            raise forms.ValidationError(
                _("“%(code)s” is not a currency code. Example: EUR."), params={"code": code}
            )
        return code

    def clean_country(self) -> str:
        return str(self.cleaned_data["country"]).strip().upper()

    def clean_active_from(self) -> Any:
        """Nobody's order is judged by what was written after it was placed."""
        now = timezone.now()
        typed = self.cleaned_data["active_from"] or now
        if typed < now:
            raise forms.ValidationError(_("This moment is over. Choose a later one, or none: at once."))
        return typed

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        fault, window = cleaned.get("fault_days"), cleaned.get("window_days")
        if fault is not None and window is not None and fault < window:
            self.add_error("fault_days", _("What is faulty can be returned at least as long as the rest."))
        if cleaned.get("store_credit_bonus_percent") and not cleaned.get("offers_store_credit"):
            self.add_error("store_credit_bonus_percent", _("Points instead of money are not offered."))
        limit = cleaned.get("delivery_refund_limit")
        if limit is not None and not cleaned.get("refunds_delivery"):
            self.add_error("delivery_refund_limit", _("The delivery charge is not refunded at all."))
        return cleaned


@admin.register(ReturnPolicy)
class ReturnPolicyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    form = PolicyForm
    change_form_template = "admin/oscar_loyalty/returnpolicy/change_form.html"
    list_display = ["currency", "active_from", "window_days", "fee", "refund_days", "note", "state"]
    list_filter = ["currency"]
    ordering = ["currency", "-active_from"]
    fieldsets = [
        (None, {"fields": ["programme", "currency", "active_from", "note"]}),
        (
            _("What may come back"),
            {
                "fields": [
                    "window_days",
                    "fault_days",
                    "assumed_delivery_days",
                    "excluded_category_ids",
                    "excluded_product_class_ids",
                    "country",
                    "subdivision",
                ]
            },
        ),
        (
            _("Money"),
            {
                "fields": [
                    "fee",
                    "refunds_delivery",
                    "delivery_refund_limit",
                    "refund_days",
                    "instant_refund_limit",
                    "keep_item_below",
                ]
            },
        ),
        (
            _("Points"),
            {"fields": ["spent_points", "offers_store_credit", "store_credit_bonus_percent"]},
        ),
        (_("Stock and labels"), {"fields": ["restock_conditions", "label_days"]}),
        (_("Goodwill"), {"fields": ["goodwill_points", "goodwill_amount"]}),
    ]

    def has_change_permission(self, request: HttpRequest, obj: ReturnPolicy | None = None) -> bool:
        return super().has_change_permission(request, obj) and _may_change(obj)

    def has_delete_permission(self, request: HttpRequest, obj: ReturnPolicy | None = None) -> bool:
        return super().has_delete_permission(request, obj) and _may_change(obj)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """``?copy=7``: as policy 7, from a moment that is still to be chosen."""
        initial: dict[str, Any] = super().get_changeform_initial_data(request)
        copied = initial.pop("copy", "")
        base = ReturnPolicy.objects.filter(pk=int(copied)).first() if str(copied).isdecimal() else None
        if base is not None:
            initial |= model_to_dict(base, exclude=["id", "active_from", "note"])
        return initial

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        with transaction.atomic():
            if request.method == "POST" and object_id and object_id.isdecimal():
                # A return that is opened meanwhile is judged by what is saved, or it is not saved.
                locked = ReturnPolicy.objects.select_for_update().filter(pk=int(object_id)).first()
                if locked is not None and not is_editable(locked, now=timezone.now()):
                    raise PermissionDenied
            answer: HttpResponse = super().changeform_view(request, object_id, *args, **kwargs)
            return answer

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        return _previewed(form) if "_preview" in request.POST else form

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        form = context["adminform"].form
        policy = form.instance
        is_typed = "_preview" in request.POST
        valid = not is_typed or getattr(form, "is_fine", False)
        context["is_previewed"] = is_typed and valid
        context["is_editable"] = _may_change(policy) if policy.pk else True
        if valid and policy.currency and (policy.pk or is_typed):
            policy.active_from = policy.active_from or timezone.now()
            context["policy_sentences"] = describe_policy(policy)
            context["tier_sentences"] = (
                describe_for_tiers(policy, now=timezone.now()) if policy.programme_id else []
            )
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description=_("state"))
    def state(self, policy: ReturnPolicy) -> str:
        now = timezone.now()
        if policy.active_from > now:
            return gettext("planned")
        later = ReturnPolicy.objects.filter(
            programme=policy.programme_id,
            currency=policy.currency,
            active_from__gt=policy.active_from,
            active_from__lte=now,
        )
        return gettext("replaced") if later.exists() else gettext("in force")


def _previewed(form_class: Any) -> Any:
    """The same form that is never saved, so that its page comes back with what it would mean."""

    class Previewed(form_class):  # type: ignore[misc]
        is_fine = False

        def is_valid(self) -> bool:
            self.is_fine = super().is_valid()
            return False

    return Previewed


def _may_change(policy: ReturnPolicy | None) -> bool:
    return policy is None or is_editable(policy, now=timezone.now())


class _ReadInline(admin.TabularInline):  # type: ignore[type-arg]
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class LineInline(_ReadInline):
    model = ReturnLine
    fields = ["title", "sku", "quantity", "reason", "accepted", "condition", "deduction", "refusal", "amount"]


class EventInline(_ReadInline):
    model = ReturnEvent
    fields = ["at", "code", "state", "actor_ref", "reason"]


@admin.register(Return)
class ReturnAdmin(ReadOnlyAdmin):
    """With its history. What is done with it is done on the returns desk of the dashboard."""

    list_display = ["number", "order_ref", "state", "kind", "requested_at", "received_at", "refund_amount"]
    list_filter = ["state", "kind", "refund_to", "is_instant"]
    search_fields = ["number__exact", "order_ref__exact", "label__tracking_code__exact", "email__exact"]
    search_help_text = _("Number of the return, order number, tracking code or a guest's address")
    ordering = ["-id"]
    show_full_result_count = False
    inlines = [LineInline, EventInline]
    exclude = ["idempotency_key"]
    readonly_fields = ["refunds"]

    @admin.display(description=_("refunds"))
    def refunds(self, of_return: Return) -> SafeString | str:
        rows = Refund.objects.filter(cause_ref__startswith=f"return:{of_return.number}:").order_by("pk")
        return (
            format_html_join(
                "",
                '<p><a href="{}">{}</a></p>',
                ((reverse("admin:oscar_loyalty_refund_change", args=[row.pk]), str(row)) for row in rows),
            )
            or "—"
        )


@admin.register(Withdrawal)
class WithdrawalAdmin(ReadOnlyAdmin):
    list_display = ["number", "received_at", "name", "order_text", "state", "finding", "receipt_sent_at"]
    list_filter = ["state", "finding"]
    search_fields = ["number__exact", "email__exact", "order_text__exact"]
    search_help_text = _("Number, e-mail address or order number as it was declared")
    ordering = ["-id"]
    show_full_result_count = False


@admin.register(Goodwill)
class GoodwillAdmin(ReadOnlyAdmin):
    list_display = ["requested_at", "order_ref", "points", "amount", "currency", "state", "clerk_id", "month"]
    list_filter = ["state", "month"]
    search_fields = ["order_ref__exact"]
    search_help_text = _("Order number")
    ordering = ["-id"]
    show_full_result_count = False

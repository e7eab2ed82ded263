"""Corrections by staff: asked for on the member's page, looked at once more, then booked."""

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import AdminForm
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from oscar_loyalty.admin.ledger import member_link
from oscar_loyalty.admin.read_only import ReadOnlyAdmin
from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.flows import adjustments as flow
from oscar_loyalty.flows.refusals import REFUSALS, explain_refusal
from oscar_loyalty.points import queries, services
from oscar_loyalty.points.models import MOST_POINTS_PER_ENTRY, Account, Adjustment

_REASONS = [choice for choice in Adjustment.Reason.choices if choice[0] != Adjustment.Reason.UNDO]


class AdjustmentForm(forms.ModelForm):  # type: ignore[type-arg]
    points = forms.IntegerField(
        label=_("points"),
        min_value=-MOST_POINTS_PER_ENTRY,
        max_value=MOST_POINTS_PER_ENTRY,
        help_text=_("Above zero credits, below zero deducts."),
    )
    reason_code = forms.ChoiceField(label=_("reason"), choices=[("", "---------"), *_REASONS])

    class Meta:
        model = Adjustment
        fields = ["points", "reason_code", "internal_note", "customer_text_de", "customer_text_en"]
        widgets = {
            "internal_note": forms.Textarea(attrs={"rows": 3, "cols": 60}),
            "customer_text_de": forms.TextInput(attrs={"class": "vTextField"}),
            "customer_text_en": forms.TextInput(attrs={"class": "vTextField"}),
        }
        help_texts = {
            "internal_note": _("Only staff see it."),
            "customer_text_de": _("Shown to the customer beside the booking. May be empty."),
            "customer_text_en": _("Shown to the customer beside the booking. May be empty."),
        }

    def __init__(self, *args: Any, account: Account, now: datetime, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._account, self._now = account, now
        for field in self.fields.values():
            field.label = capfirst(field.label)

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if "points" in cleaned and "reason_code" in cleaned:
            mistake = flow.find_mistake(
                points=cleaned["points"],
                reason_code=cleaned["reason_code"],
                account=self._account,
                now=self._now,
            )
            if mistake:
                self.add_error("points", mistake)
        return cleaned


@admin.register(Adjustment)
class AdjustmentAdmin(ReadOnlyAdmin):
    change_form_template = "admin/oscar_loyalty/adjustment/change_form.html"
    list_display = ["requested_at", "member", "signed", "reason_code", "state", "requested_by", "decided_by"]
    list_filter = ["state", "reason_code", "requested_at"]
    list_select_related = ["account__member__user", "requested_by", "decided_by"]
    ordering = ["-id"]
    show_full_result_count = False
    readonly_fields = ["member", "signed", "booking", "undo"]
    fields = [
        "member",
        "signed",
        "reason_code",
        "state",
        "internal_note",
        "customer_text_de",
        "customer_text_en",
        "requested_by",
        "requested_at",
        "decided_by",
        "decided_at",
        "booking",
        "undo",
    ]

    member = staticmethod(member_link)

    @admin.display(description=_("points"), ordering="points")
    def signed(self, adjustment: Adjustment) -> str:
        return f"{adjustment.points:+d}".replace("-", "−")

    @admin.display(description=_("ledger entry"))
    def booking(self, adjustment: Adjustment) -> SafeString | str:
        if adjustment.entry_id is None:
            return "—"
        return format_html(
            '<a href="{}">{}</a>',
            reverse("admin:oscar_loyalty_entry_change", args=[adjustment.entry_id]),
            adjustment.entry_id,
        )

    @admin.display(description=_("undo"))
    def undo(self, adjustment: Adjustment) -> SafeString | str:
        if adjustment.undoes_id:
            return _link(adjustment.undoes_id, gettext("undoes this adjustment"))
        opposite = Adjustment.objects.filter(undoes=adjustment).values_list("pk", flat=True).first()
        return _link(opposite, gettext("was undone by this adjustment")) if opposite else "—"

    # The three steps that change something

    def get_urls(self) -> list[URLPattern]:
        def step(name: str, view: Any) -> Any:
            return path(
                f"<path:object_id>/{name}/",
                self.admin_site.admin_view(view),
                name=f"oscar_loyalty_adjustment_{name}",
            )

        return [
            path(
                "request/<int:member_id>/",
                self.admin_site.admin_view(self.request_view),
                name="oscar_loyalty_adjustment_request",
            ),
            step("confirm", self.confirm_view),
            step("undo", self.undo_view),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        extra_context = {
            "can_adjust": can_adjust(request),
            "may_decide": _may_decide(request),
            **(extra_context or {}),
        }
        adjustment = self.get_object(request, unquote(object_id))
        if adjustment is not None:
            extra_context["can_decide"] = adjustment.state == Adjustment.State.REQUESTED
            extra_context["can_undo"] = flow.can_undo(adjustment)
        return super().change_view(request, object_id, form_url, extra_context)

    def request_view(self, request: HttpRequest, member_id: int) -> HttpResponse:
        """Step one: say how many points, and why."""
        _require_permission(request)
        account = queries.find_account(member_id=member_id, programme_code=loyalty_settings.programme_code)
        if account is None:
            raise Http404
        now = timezone.now()
        balance = queries.get_balance(account=account, now=now)
        form = AdjustmentForm(request.POST or None, account=account, now=now)
        if request.method == "POST" and form.is_valid():
            adjustment = services.request_adjustment(
                account_id=account.pk, actor_id=_actor_id(request), now=now, **form.cleaned_data
            )
            return HttpResponseRedirect(
                reverse("admin:oscar_loyalty_adjustment_confirm", args=[adjustment.pk])
            )
        context = {
            "title": gettext("Adjust points"),
            "adminform": AdminForm(form, [(None, {"fields": list(form.fields)})], {}, model_admin=self),
            "errors": form.errors,
            "account": account,
            "balance": balance,
        }
        return self._render(request, "request.html", context)

    def confirm_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Step two: see the balance before and after, then book or discard."""
        adjustment = self._get_or_404(request, object_id, allowed=_may_decide(request))
        now = timezone.now()
        is_own = adjustment.requested_by_id == request.user.pk
        obstacle = ""
        if adjustment.state == Adjustment.State.REQUESTED:
            obstacle = _find_obstacle(request, adjustment, now=now)
        if request.method == "POST":
            if "_discard" in request.POST:
                if not (is_own or _can_approve(request)):
                    raise PermissionDenied
                services.reject_adjustment(adjustment=adjustment, actor_id=_actor_id(request), now=now)
                self.message_user(request, gettext("The adjustment was discarded; nothing was booked."))
                return _to_member(adjustment)
            if obstacle:
                self.message_user(request, obstacle, messages.ERROR)
            elif self._booked(
                request,
                lambda: flow.book_adjustment(adjustment=adjustment, actor_id=_actor_id(request), now=now),
            ):
                return _to_member(adjustment)
        elif adjustment.state != Adjustment.State.REQUESTED:
            return HttpResponseRedirect(
                reverse("admin:oscar_loyalty_adjustment_change", args=[adjustment.pk])
            )
        return self._render_confirmation(
            request,
            adjustment,
            points=adjustment.points,
            now=now,
            undo=False,
            obstacle=obstacle,
            can_reject=is_own or _can_approve(request),
        )

    def undo_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The opposite booking, looked at before it is made."""
        adjustment = self._get_or_404(request, object_id, allowed=can_adjust(request))
        now = timezone.now()
        if request.method == "POST":
            if self._booked(
                request,
                lambda: flow.undo_adjustment(adjustment=adjustment, actor_id=_actor_id(request), now=now),
            ):
                return _to_member(adjustment)
        elif not flow.can_undo(adjustment):
            return HttpResponseRedirect(
                reverse("admin:oscar_loyalty_adjustment_change", args=[adjustment.pk])
            )
        return self._render_confirmation(request, adjustment, points=-adjustment.points, now=now, undo=True)

    def _booked(self, request: HttpRequest, book: Any) -> bool:
        try:
            booked = book()
        except REFUSALS as error:
            self.message_user(request, explain_refusal(error), messages.ERROR)
            return False
        if booked.state == Adjustment.State.REQUESTED:
            text = gettext("So many points wait for a second person, who books or discards the adjustment.")
            self.message_user(request, text, messages.WARNING)
            return True
        self.log_change(request, booked, f"{booked.points:+d} {booked.reason_code}")
        self.message_user(request, gettext("The points were booked."), messages.SUCCESS)
        return True

    def _render_confirmation(
        self,
        request: HttpRequest,
        adjustment: Adjustment,
        *,
        points: int,
        now: datetime,
        undo: bool,
        **extra: Any,
    ) -> HttpResponse:
        effect = flow.preview_adjustment(
            account=adjustment.account, points=points, reason_code=adjustment.reason_code, now=now
        )
        context = {
            "title": gettext("Undo the adjustment") if undo else gettext("Book the adjustment"),
            "adjustment": adjustment,
            "account": adjustment.account,
            "effect": effect,
            "points": f"{points:+d}".replace("-", "−"),
            "is_undo": undo,
            **extra,
        }
        return self._render(request, "confirm.html", context)

    def _render(self, request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
        context = {**self.admin_site.each_context(request), "opts": self.opts, **context}
        context["member"] = context["account"].member
        context["media"] = self.media
        return TemplateResponse(request, f"admin/oscar_loyalty/adjustment/{template}", context)

    def _get_or_404(self, request: HttpRequest, object_id: str, *, allowed: bool) -> Adjustment:
        if not allowed:
            raise PermissionDenied
        pk = unquote(object_id)
        if not pk.isdecimal():
            raise Http404
        rows = Adjustment.objects.select_related("account__member__user", "account__programme")
        return get_object_or_404(rows, pk=pk)


def can_adjust(request: HttpRequest) -> bool:
    return request.user.has_perm("oscar_loyalty.add_adjustment")


def _can_approve(request: HttpRequest) -> bool:
    return request.user.has_perm("oscar_loyalty.approve_adjustment")


def _may_decide(request: HttpRequest) -> bool:
    return can_adjust(request) or _can_approve(request)


def _find_obstacle(request: HttpRequest, adjustment: Adjustment, *, now: datetime) -> str:
    return flow.find_obstacle(
        adjustment=adjustment,
        actor_id=_actor_id(request),
        may_adjust=can_adjust(request),
        may_approve=_can_approve(request),
        now=now,
    )


def _actor_id(request: HttpRequest) -> int:
    assert request.user.pk is not None, "only staff who are logged in come here"
    return request.user.pk


def _require_permission(request: HttpRequest) -> None:
    if not can_adjust(request):
        raise PermissionDenied


def _to_member(adjustment: Adjustment) -> HttpResponse:
    return HttpResponseRedirect(
        reverse("admin:oscar_loyalty_member_change", args=[adjustment.account.member_id])
    )


def _link(pk: int, text: str) -> SafeString:
    return format_html(
        '<a href="{}">{}</a>', reverse("admin:oscar_loyalty_adjustment_change", args=[pk]), text
    )

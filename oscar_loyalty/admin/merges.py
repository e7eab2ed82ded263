"""Two members who are one person: asked for on the member's page, looked at once more, then merged."""

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

from oscar_loyalty.admin.read_only import ReadOnlyAdmin
from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.flows import merging as flow
from oscar_loyalty.flows.refusals import REFUSALS, explain_refusal
from oscar_loyalty.members.models import Member
from oscar_loyalty.points import queries, services
from oscar_loyalty.points.models import Account, MemberMerge
from oscar_loyalty.shop.customers import find_member_named

_State = MemberMerge.State


class MergeForm(forms.Form):
    target = forms.CharField(
        label=_("other member"),
        max_length=200,
        help_text=_("Their public id, or their complete e-mail address."),
        widget=forms.TextInput(attrs={"class": "vTextField"}),
    )
    internal_note = forms.CharField(
        label=_("internal note"),
        help_text=_("Why? Only staff see it."),
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3, "cols": 60}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.label = capfirst(field.label)

    def clean_target(self) -> Member:
        member = find_member_named(self.cleaned_data["target"])
        if member is None:
            raise forms.ValidationError(_("There is no such member."))
        return member


@admin.register(MemberMerge)
class MemberMergeAdmin(ReadOnlyAdmin):
    change_form_template = "admin/oscar_loyalty/membermerge/change_form.html"
    list_display = ["requested_at", "source_member", "target_member", "state", "requested_by", "decided_by"]
    list_filter = ["state", "requested_at"]
    list_select_related = [
        "source__member__user",
        "target__member__user",
        "requested_by",
        "decided_by",
    ]
    ordering = ["-id"]
    show_full_result_count = False
    readonly_fields = ["source_member", "target_member"]
    fields = [
        "source_member",
        "target_member",
        "internal_note",
        "state",
        "requested_by",
        "requested_at",
        "decided_by",
        "decided_at",
    ]

    @admin.display(description=_("account to give up"))
    def source_member(self, merge: MemberMerge) -> SafeString:
        return _link(merge.source)

    @admin.display(description=_("account to keep"))
    def target_member(self, merge: MemberMerge) -> SafeString:
        return _link(merge.target)

    def get_urls(self) -> list[URLPattern]:
        return [
            path(
                "request/<int:member_id>/",
                self.admin_site.admin_view(self.request_view),
                name="oscar_loyalty_membermerge_request",
            ),
            path(
                "<path:object_id>/confirm/",
                self.admin_site.admin_view(self.confirm_view),
                name="oscar_loyalty_membermerge_confirm",
            ),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        merge = self.get_object(request, unquote(object_id))
        waits = merge is not None and merge.state == _State.REQUESTED
        extra_context = {"can_decide": waits and _may_any(request), **(extra_context or {})}
        return super().change_view(request, object_id, form_url, extra_context)

    def request_view(self, request: HttpRequest, member_id: int) -> HttpResponse:
        """Step one: say who remains, and why."""
        if not can_merge(request):
            raise PermissionDenied
        account = queries.find_account(member_id=member_id, programme_code=loyalty_settings.programme_code)
        if account is None:
            raise Http404
        form: Any = MergeForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                merge = flow.request_merge(
                    source_member_id=member_id,
                    target_member_id=form.cleaned_data["target"].pk,
                    actor_id=_actor_id(request),
                    internal_note=form.cleaned_data["internal_note"],
                    now=timezone.now(),
                )
            except REFUSALS as error:
                self.message_user(request, explain_refusal(error), messages.ERROR)
            else:
                return HttpResponseRedirect(
                    reverse("admin:oscar_loyalty_membermerge_confirm", args=[merge.pk])
                )
        context = {
            "title": gettext("Merge members"),
            "adminform": AdminForm(form, [(None, {"fields": list(form.fields)})], {}, model_admin=self),
            "errors": form.errors,
            "member": account.member,
        }
        return self._render(request, "request.html", context)

    def confirm_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Step two: see what moves, then merge or discard."""
        if not _may_any(request):
            raise PermissionDenied
        pk = unquote(object_id)
        if not pk.isdecimal():
            raise Http404
        rows = MemberMerge.objects.select_related("source__member__user", "target__member__user")
        merge = get_object_or_404(rows, pk=pk)
        now = timezone.now()
        change = reverse("admin:oscar_loyalty_membermerge_change", args=[merge.pk])
        if merge.state != _State.REQUESTED:
            if request.method == "POST":
                text = gettext("Somebody was faster: this merge is %(state)s.")
                self.message_user(request, text % {"state": merge.get_state_display()}, messages.WARNING)
            return HttpResponseRedirect(change)
        if request.method == "POST" and self._decided(request, merge, now=now):
            return HttpResponseRedirect(change)
        context = {
            "title": gettext("Merge members"),
            "merge": merge,
            "member": merge.source.member,
            "effect": flow.preview_merge(source=merge.source, target=merge.target, now=now),
            "obstacle": _find_obstacle(request, merge, now=now),
            "can_reject": _can_reject(request, merge),
        }
        return self._render(request, "confirm.html", context)

    def _decided(self, request: HttpRequest, merge: MemberMerge, *, now: datetime) -> bool:
        if "_discard" in request.POST:
            if not _can_reject(request, merge):
                raise PermissionDenied
            services.reject_merge(merge=merge, actor_id=_actor_id(request), now=now)
            self.message_user(request, gettext("The merge was discarded; nothing was booked."))
            return True
        if obstacle := _find_obstacle(request, merge, now=now):
            self.message_user(request, obstacle, messages.ERROR)
            return False
        try:
            flow.book_merge(merge=merge, actor_id=_actor_id(request), now=now)
        except REFUSALS as error:
            self.message_user(request, explain_refusal(error), messages.ERROR)
            return False
        self.log_change(request, merge, "merged")
        self.message_user(request, gettext("The members were merged."), messages.SUCCESS)
        return True

    def _render(self, request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
        context = {**self.admin_site.each_context(request), "opts": self.opts, **context}
        context["media"] = self.media
        return TemplateResponse(request, f"admin/oscar_loyalty/membermerge/{template}", context)


def can_merge(request: HttpRequest) -> bool:
    return request.user.has_perm("oscar_loyalty.add_membermerge")


def _can_approve(request: HttpRequest) -> bool:
    return request.user.has_perm("oscar_loyalty.approve_membermerge")


def _may_any(request: HttpRequest) -> bool:
    return can_merge(request) or _can_approve(request)


def _can_reject(request: HttpRequest, merge: MemberMerge) -> bool:
    return _can_approve(request) or (can_merge(request) and merge.requested_by_id == request.user.pk)


def _find_obstacle(request: HttpRequest, merge: MemberMerge, *, now: datetime) -> str:
    return flow.find_obstacle(
        merge=merge,
        actor_id=_actor_id(request),
        may_request=can_merge(request),
        may_approve=_can_approve(request),
        now=now,
    )


def _actor_id(request: HttpRequest) -> int:
    assert request.user.pk is not None, "only staff who are logged in come here"
    return request.user.pk


def _link(account: Account) -> SafeString:
    url = reverse("admin:oscar_loyalty_member_change", args=[account.member_id])
    return format_html('<a href="{}">{}</a>', url, account.member)

"""Two members who are one person: picked, looked at, decided on by somebody else where it is much."""

import uuid
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.dashboard.base import (
    DeskView,
    choose_state,
    describe_changes,
    get_account_or_404,
    slice_of,
    stamp_of,
    warn_of_changes,
)
from oscar_loyalty.dashboard.forms import TargetForm
from oscar_loyalty.flows import merging as flow
from oscar_loyalty.flows.refusals import REFUSALS, explain_refusal
from oscar_loyalty.points import queries, services
from oscar_loyalty.points.models import Account, MemberMerge

_State = MemberMerge.State


class MergesView(DeskView):
    tab = "merges"
    template_name = "merges.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        chosen, state, views = choose_state(request)
        return self.show(
            merges=slice_of(_merges().filter(state=state), request, by="id"),
            chosen=chosen,
            views=views,
        )


class RequestMergeView(DeskView):
    """Pick the member who remains, look at what would move, ask for it."""

    tab = "members"
    template_name = "merge_request.html"

    def get(self, request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
        account = get_account_or_404(public_id)
        seen = stamp_of(account, now=self.now)
        return self._show_form(account, TargetForm(account=account, initial={"seen": seen}))

    def post(self, request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
        account = get_account_or_404(public_id)
        form = TargetForm(request.POST, account=account)
        if not form.is_valid():
            return self._show_form(account, form)
        target = queries.find_account(
            member_id=form.cleaned_data["target"].pk, programme_code=loyalty_settings.programme_code
        )
        if target is None:
            form.add_error("target", _("This member has no open account."))
            return self._show_form(account, form)
        target.member = form.cleaned_data["target"]
        changes = describe_changes(account, seen=form.cleaned_data["seen"], now=self.now)
        if changes and "preview" not in request.POST:
            warn_of_changes(request, changes)
        if changes or "preview" in request.POST:
            form.data = {**form.data.dict(), "seen": stamp_of(account, now=self.now)}  # type: ignore[attr-defined]
            effect = flow.preview_merge(source=account, target=target, now=self.now)
            return self._show_form(account, form, target=target, effect=effect)
        try:
            merge = flow.request_merge(
                source_member_id=account.member_id,
                target_member_id=target.member_id,
                actor_id=self.actor_id,
                internal_note=form.cleaned_data["note"],
                now=self.now,
            )
        except REFUSALS as error:
            messages.error(request, explain_refusal(error))
            return self._show_form(account, form, target=target)
        return redirect("loyalty-dashboard:loyalty-merge", pk=merge.pk)

    def _show_form(self, account: Account, form: TargetForm, **context: Any) -> HttpResponse:
        return self.show(account=account, member=account.member, form=form, **context)


class MergeView(DeskView):
    """One merge: what it moves or moved, who asked and who decided."""

    tab = "merges"
    template_name = "merge.html"

    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        merge = get_object_or_404(_merges(), pk=pk)
        context: dict[str, Any] = {"merge": merge, "waits": merge.state == _State.REQUESTED}
        if context["waits"]:
            context["effect"] = flow.preview_merge(source=merge.source, target=merge.target, now=self.now)
            context["seen"] = self.stamp(merge)
            context["obstacle"] = self.find_obstacle(merge)
            context["can_reject"] = self.can_reject(merge)
        return self.show(**context)

    def stamp(self, merge: MemberMerge) -> str:
        return f"{stamp_of(merge.source, now=self.now)}/{stamp_of(merge.target, now=self.now)}"

    def find_obstacle(self, merge: MemberMerge) -> str:
        return flow.find_obstacle(
            merge=merge,
            actor_id=self.actor_id,
            may_request=self.may("add_membermerge"),
            may_approve=self.may("approve_membermerge"),
            now=self.now,
        )

    def can_reject(self, merge: MemberMerge) -> bool:
        is_own = merge.requested_by_id == self.actor_id
        return self.may("approve_membermerge") or (is_own and self.may("add_membermerge"))


class DecideMergeView(MergeView):
    http_method_names = ["post"]

    def post(self, request: HttpRequest, pk: int) -> HttpResponse:
        merge = get_object_or_404(_merges(), pk=pk)
        if merge.state != _State.REQUESTED:
            text = _("Somebody was faster: this merge is %(state)s.")
            messages.warning(request, text % {"state": merge.get_state_display()})
        elif "reject" in request.POST:
            if self.can_reject(merge):
                services.reject_merge(merge=merge, actor_id=self.actor_id, now=self.now)
                messages.success(request, _("The merge was discarded; nothing was booked."))
            else:
                messages.error(request, _("You may not decide on what others ask for."))
        elif obstacle := self.find_obstacle(merge):
            messages.error(request, obstacle)
        elif changes := self._find_changes(merge):
            warn_of_changes(request, changes)
        else:
            try:
                flow.book_merge(merge=merge, actor_id=self.actor_id, now=self.now)
            except REFUSALS as error:
                messages.error(request, explain_refusal(error))
            else:
                messages.success(request, _("The members were merged."))
        return redirect("loyalty-dashboard:loyalty-merge", pk=pk)

    def _find_changes(self, merge: MemberMerge) -> list[str]:
        seen = [*self.request.POST.get("seen", "").split("/"), ""]
        return [
            f"{account.member}: {change}"
            for account, stamp in ((merge.source, seen[0]), (merge.target, seen[1]))
            for change in describe_changes(account, seen=stamp, now=self.now)
        ]


def _merges() -> QuerySet[MemberMerge]:
    return MemberMerge.objects.select_related(
        "source__member__user", "target__member__user", "requested_by", "decided_by"
    )

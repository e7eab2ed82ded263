"""Corrections: asked for with a look at their effect, decided by whoever may, undone by their opposite."""

import uuid
from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _

from oscar_loyalty.dashboard.base import (
    DeskView,
    choose_state,
    describe_changes,
    get_account_or_404,
    slice_of,
    stamp_of,
    warn_of_changes,
)
from oscar_loyalty.dashboard.forms import AdjustForm
from oscar_loyalty.flows import adjustments as flow
from oscar_loyalty.flows.refusals import REFUSALS, explain_refusal
from oscar_loyalty.points import queries, services
from oscar_loyalty.points.models import Account, Adjustment

_State = Adjustment.State


class AdjustmentsView(DeskView):
    """What waits for a decision, and what was decided."""

    tab = "adjustments"
    template_name = "adjustments.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        chosen, state, views = choose_state(request)
        page = slice_of(_adjustments().filter(state=state), request, by="id")
        return self.show(
            adjustments=page,
            chosen=chosen,
            views=views,
        )


class AdjustView(DeskView):
    """Say how many points and why; look at what it does; book it, or hand it to a second person."""

    tab = "members"
    template_name = "adjust.html"

    def get(self, request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
        account = get_account_or_404(public_id)
        seen = stamp_of(account, now=self.now)
        return self._show_form(account, AdjustForm(account=account, now=self.now, initial={"seen": seen}))

    def post(self, request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
        account = get_account_or_404(public_id)
        form = AdjustForm(request.POST, account=account, now=self.now)
        if known := self._find_sent(form):
            # The same form once more, by a double click or the back button.
            return redirect("loyalty-dashboard:loyalty-adjustment", public_id=known.public_id)
        if not form.is_valid():
            return self._show_form(account, form)
        wish = dict(form.cleaned_data)
        key, seen = wish.pop("key"), wish.pop("seen")
        changes = describe_changes(account, seen=seen, now=self.now)
        if changes and "preview" not in request.POST:
            warn_of_changes(request, changes)
        if changes or "preview" in request.POST:
            # The page shown next is what its form is compared with.
            form.data = {**form.data.dict(), "seen": stamp_of(account, now=self.now)}  # type: ignore[attr-defined]
            effect = flow.preview_adjustment(
                account=account, points=wish["points"], reason_code=wish["reason_code"], now=self.now
            )
            return self._show_form(account, form, effect=effect)
        try:
            adjustment = services.request_adjustment(
                account_id=account.pk, actor_id=self.actor_id, now=self.now, public_id=key, **wish
            )
            if not self.needs_second_person(wish["points"]):
                flow.book_adjustment(adjustment=adjustment, actor_id=self.actor_id, now=self.now)
        except REFUSALS as error:
            messages.error(request, explain_refusal(error))
            return self._show_form(account, form)
        if self.needs_second_person(wish["points"]):
            text = _("The adjustment waits for a second person.")
        else:
            text = _("The points were booked.")
        return self.go(text, messages.SUCCESS, "loyalty-member", public_id=public_id)

    def needs_second_person(self, points: int) -> bool:
        return flow.needs_second_person(points=points, now=self.now)

    def _find_sent(self, form: AdjustForm) -> Adjustment | None:
        try:
            key = uuid.UUID(form.data.get("key", ""))
        except ValueError:
            return None
        return Adjustment.objects.filter(public_id=key, requested_by_id=self.actor_id).first()

    def _show_form(
        self, account: Account, form: AdjustForm, effect: flow.Effect | None = None
    ) -> HttpResponse:
        return self.show(
            account=account,
            member=account.member,
            balance=queries.get_balance(account=account, now=self.now),
            form=form,
            effect=effect,
            needs_second_person=effect is not None and self.needs_second_person(effect.points),
            limit=flow.find_four_eyes_limit(now=self.now),
        )


class _OneAdjustment(DeskView):
    tab = "adjustments"

    def find(self, public_id: uuid.UUID) -> Adjustment:
        return get_object_or_404(
            _adjustments().select_related("account__programme", "entry", "undoes"), public_id=public_id
        )

    def find_obstacle(self, adjustment: Adjustment) -> str:
        return flow.find_obstacle(
            adjustment=adjustment,
            actor_id=self.actor_id,
            may_adjust=self.may("add_adjustment"),
            may_approve=self.may("approve_adjustment"),
            now=self.now,
        )

    def book(self, adjustment: Adjustment, do: Callable[..., Adjustment], done: str) -> HttpResponse:
        """Book unless the page was old; say what came of it."""
        changes = describe_changes(adjustment.account, seen=self.request.POST.get("seen", ""), now=self.now)
        if changes:
            warn_of_changes(self.request, changes)
        else:
            try:
                booked = do(adjustment=adjustment, actor_id=self.actor_id, now=self.now)
            except REFUSALS as error:
                messages.error(self.request, explain_refusal(error))
            else:
                if booked.state == _State.REQUESTED:
                    messages.info(self.request, _("The adjustment waits for a second person."))
                    adjustment = booked
                else:
                    messages.success(self.request, done)
        return redirect("loyalty-dashboard:loyalty-adjustment", public_id=adjustment.public_id)


class AdjustmentView(_OneAdjustment):
    """One correction: what it does or did, who asked and who decided."""

    template_name = "adjustment.html"

    def get(self, request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
        adjustment = self.find(public_id)
        waits = adjustment.state == _State.REQUESTED
        context: dict[str, Any] = {
            "adjustment": adjustment,
            "member": adjustment.account.member,
            "waits": waits,
            "seen": stamp_of(adjustment.account, now=self.now),
            "can_undo": flow.can_undo(adjustment),
            "undone_by": Adjustment.objects.filter(undoes=adjustment).first(),
        }
        if waits:
            context["effect"] = flow.preview_adjustment(
                account=adjustment.account,
                points=adjustment.points,
                reason_code=_reason_of(adjustment),
                now=self.now,
            )
            context["obstacle"] = self.find_obstacle(adjustment)
            context["can_reject"] = self.can_reject(adjustment)
        elif context["can_undo"]:
            context["effect"] = flow.preview_adjustment(
                account=adjustment.account,
                points=-adjustment.points,
                reason_code=adjustment.reason_code,
                now=self.now,
            )
        return self.show(**context)

    def can_reject(self, adjustment: Adjustment) -> bool:
        is_own = adjustment.requested_by_id == self.actor_id
        return self.may("approve_adjustment") or (is_own and self.may("add_adjustment"))


class DecideView(AdjustmentView):
    """Book or reject what somebody asked for."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
        adjustment = self.find(public_id)
        if adjustment.state != _State.REQUESTED:
            text = _("Somebody was faster: this adjustment is %(state)s.")
            messages.warning(request, text % {"state": adjustment.get_state_display()})
        elif "reject" in request.POST:
            self._reject(adjustment)
        elif obstacle := self.find_obstacle(adjustment):
            messages.error(request, obstacle)
        else:
            return self.book(adjustment, flow.book_adjustment, _("The points were booked."))
        return redirect("loyalty-dashboard:loyalty-adjustment", public_id=public_id)

    def _reject(self, adjustment: Adjustment) -> None:
        if not self.can_reject(adjustment):
            messages.error(self.request, _("You may not decide on what others ask for."))
            return
        services.reject_adjustment(adjustment=adjustment, actor_id=self.actor_id, now=self.now)
        messages.success(self.request, _("The adjustment was discarded; nothing was booked."))


class UndoView(_OneAdjustment):
    """Book the opposite."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
        adjustment = self.find(public_id)
        if not flow.can_undo(adjustment):
            messages.warning(request, _("There is nothing to undo (any more)."))
            return redirect("loyalty-dashboard:loyalty-adjustment", public_id=public_id)
        return self.book(adjustment, flow.undo_adjustment, _("The adjustment was undone."))


def _adjustments() -> QuerySet[Adjustment]:
    return Adjustment.objects.select_related("account__member__user", "requested_by", "decided_by")


def _reason_of(adjustment: Adjustment) -> str:
    """An undoing acts as what it undoes."""
    return adjustment.undoes.reason_code if adjustment.undoes else adjustment.reason_code

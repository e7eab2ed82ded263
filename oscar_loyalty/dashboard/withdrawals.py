"""Declarations of withdrawal that wait for somebody: assigned to an order, or closed with a note."""

import uuid
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _

from oscar_loyalty.dashboard.base import DeskView, slice_of
from oscar_loyalty.flows import withdrawals as flow
from oscar_loyalty.flows.return_desk_wording import explain, name_actor
from oscar_loyalty.returns.models import Return, Withdrawal
from oscar_loyalty.returns.withdrawal_queries import list_waiting_withdrawals
from oscar_loyalty.shop.customers import find_actor_names


class WithdrawalsView(DeskView):
    tab = "returns"
    template_name = "withdrawals.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        views = {"waiting": _("Waiting"), "all": _("All")}
        chosen = request.GET.get("show", "waiting")
        if chosen not in views:
            chosen = "waiting"
        if chosen == "waiting":
            # Oldest first, all of them: each one is a customer who waits for an answer.
            rows, page = list(list_waiting_withdrawals()[:200]), None
        else:
            page = slice_of(Withdrawal.objects.select_related("of_return"), request)
            rows = list(page.rows)
        return self.show(
            rows=rows,
            slice=page,
            chosen=chosen,
            views=[{"key": key, "label": label} for key, label in views.items()],
        )


class WithdrawalView(DeskView):
    """One declaration, word for word, and what is to become of it."""

    tab = "returns"
    template_name = "withdrawal.html"

    def get(self, request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
        withdrawal = get_object_or_404(Withdrawal.objects.select_related("of_return"), public_id=public_id)
        handled_by = withdrawal.handled_by
        return self.show(
            withdrawal=withdrawal,
            waits=withdrawal.state == Withdrawal.State.RECEIVED,
            handled_by=find_actor_names([handled_by]).get(handled_by) or name_actor(handled_by),
            is_late=withdrawal.finding == Withdrawal.Finding.LATE,
            may_handle=self.may("handle_returns"),
        )


class HandleWithdrawalView(DeskView):
    """Assign it to an order, or close it. The first one who does counts."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
        withdrawal = get_object_or_404(Withdrawal, public_id=public_id)
        step: dict[str, Any] = {"withdrawal_id": withdrawal.pk, "actor_ref": self.actor_ref, "now": self.now}
        try:
            if "close" in request.POST:
                flow.close_withdrawal(note=request.POST.get("note", ""), **step)
                return self.go(_("The declaration is closed."), messages.SUCCESS, "loyalty-withdrawals")
            made = flow.assign_withdrawal(
                order_number=request.POST.get("order", "")[:128],
                kind=Return.Kind.RETURN if "as_return" in request.POST else Return.Kind.WITHDRAWAL,
                **step,
            )
        except flow.AssignmentRefused as error:
            messages.error(request, explain(error.code))
            return redirect("loyalty-dashboard:loyalty-withdrawal", public_id=public_id)
        text = _("The declaration has become return %(number)s.") % {"number": made.number}
        return self.go(text, messages.SUCCESS, "loyalty-return", number=made.number)

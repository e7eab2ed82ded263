"""Goodwill: given within a clerk's budget, decided by a second person above it."""

import uuid
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _

from oscar_loyalty.dashboard.base import DeskView, slice_of
from oscar_loyalty.dashboard.forms import GoodwillForm
from oscar_loyalty.flows import goodwill as flow
from oscar_loyalty.flows.goodwill import GoodwillRefused
from oscar_loyalty.flows.return_desk_wording import explain
from oscar_loyalty.payments.queries import find_refundable
from oscar_loyalty.payments.refund_models import Refund
from oscar_loyalty.returns.models import NOTHING, Goodwill, Return
from oscar_loyalty.shop.customers import find_actor_names
from oscar_loyalty.shop.orders import PurchaseMissing
from oscar_loyalty.shop.return_desk import find_order_id

_State = Goodwill.State


class GoodwillListView(DeskView):
    """What waits for a second person, and what was decided."""

    tab = "goodwill"
    template_name = "goodwill_list.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        views = {
            "waiting": (_("Waiting"), _State.REQUESTED),
            "given": (_("Given"), _State.GIVEN),
            "rejected": (_("Rejected"), _State.REJECTED),
        }
        order = request.GET.get("order", "").strip().lstrip("#")[:128]
        if order and self.may("add_goodwill") and find_order_id(order) is not None:
            return redirect("loyalty-dashboard:loyalty-goodwill-give", number=order)
        chosen = request.GET.get("show", "waiting")
        if chosen not in views:
            chosen = "waiting"
        page = slice_of(Goodwill.objects.filter(state=views[chosen][1]), request)
        return self.show(
            page=page,
            order=order,
            names=find_names(page.rows),
            chosen=chosen,
            views=[{"key": key, "label": label} for key, (label, _state) in views.items()],
        )


class GiveGoodwillView(DeskView):
    """For one order: points, or a part of its price."""

    tab = "goodwill"
    template_name = "goodwill_give.html"

    def get(self, request: HttpRequest, number: str) -> HttpResponse:
        _order_id(number)
        return self._show_form(number, GoodwillForm())

    def post(self, request: HttpRequest, number: str) -> HttpResponse:
        order_id = _order_id(number)
        form = GoodwillForm(request.POST)
        if not form.is_valid():
            return self._show_form(number, form, status=400)
        wish: dict[str, Any] = dict(form.cleaned_data)
        try:
            given = flow.give_goodwill(
                order_id=order_id,
                points=wish["points"] or 0,
                amount=wish["amount"] or NOTHING,
                reason=wish["reason"],
                customer_text_de=wish["customer_text_de"],
                customer_text_en=wish["customer_text_en"],
                tells_customer=wish["tells_customer"],
                of_return_id=self._return_id(),
                clerk_id=self.actor_id,
                public_id=wish["key"],
                now=self.now,
            )
        except GoodwillRefused as error:
            form.add_error(None, explain(error.code))
            return self._show_form(number, form, status=400)
        except PurchaseMissing as error:
            raise Http404 from error
        if given.state == _State.GIVEN:
            messages.success(request, _("The goodwill was given."))
        else:
            messages.info(request, _("This is more than your budget holds: it waits for a second person."))
        return redirect("loyalty-dashboard:loyalty-goodwill", public_id=given.public_id)

    def _return_id(self) -> int | None:
        number = self.request.GET.get("return", "")
        return Return.objects.filter(number=number).values_list("pk", flat=True).first() if number else None

    def _show_form(self, number: str, form: GoodwillForm, *, status: int = 200) -> HttpResponse:
        currency = find_refundable(order_number=number).currency
        return self.show(
            form=form,
            number=number,
            currency=currency,
            left=flow.find_left(order_ref=number),
            of_return=self.request.GET.get("return", ""),
            budget=flow.find_budget(clerk_id=self.actor_id, currency=currency, now=self.now),
            earlier=list(Goodwill.objects.filter(order_ref=number)),
            status=status,
        )


class GoodwillView(DeskView):
    """One gift: for what, by whom, and whether a second person agrees."""

    tab = "goodwill"
    template_name = "goodwill.html"

    def get(self, request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
        goodwill = get_object_or_404(
            Goodwill.objects.select_related("member", "of_return"), public_id=public_id
        )
        is_own = goodwill.clerk_id == self.actor_id
        return self.show(
            goodwill=goodwill,
            names=find_names([goodwill]),
            waits=goodwill.state == _State.REQUESTED,
            is_own=is_own,
            can_approve=not is_own and self.may("approve_goodwill"),
            can_reject=self.may("approve_goodwill") or (is_own and self.may("add_goodwill")),
            refund=Refund.objects.filter(cause_ref__startswith=flow.cause_of(goodwill))
            .order_by("-pk")
            .first(),
            order_id=find_order_id(goodwill.order_ref),
        )


class DecideGoodwillView(DeskView):
    http_method_names = ["post"]

    def post(self, request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
        goodwill = get_object_or_404(Goodwill, public_id=public_id)
        is_own = goodwill.clerk_id == self.actor_id
        decide: dict[str, Any] = {"goodwill_id": goodwill.pk, "actor_id": self.actor_id, "now": self.now}
        if goodwill.state != _State.REQUESTED:
            text = _("Somebody was faster: this goodwill is “%(state)s”.")
            messages.warning(request, text % {"state": goodwill.get_state_display()})
        elif not self.may("approve_goodwill") and not (is_own and "reject" in request.POST):
            messages.error(request, _("You may not decide on what others ask for."))
        elif "reject" in request.POST:
            flow.reject_goodwill(**decide)
            messages.success(request, _("The goodwill was discarded; nothing was given."))
        elif "give" in request.POST:
            try:
                flow.approve_goodwill(**decide)
            except GoodwillRefused as error:
                messages.error(request, explain(error.code))
            except PurchaseMissing:
                messages.error(request, explain("order_gone"))
            else:
                messages.success(request, _("The goodwill was given."))
        return redirect("loyalty-dashboard:loyalty-goodwill", public_id=public_id)


def _order_id(number: str) -> int:
    order_id = find_order_id(number)
    if order_id is None:
        raise Http404
    return order_id


def find_names(rows: Any) -> dict[int, str]:
    """Names of who asked and who decided, by their keys: one statement."""
    keys = {key for one in rows for key in (one.clerk_id, one.decided_by_id) if key}
    names = find_actor_names(f"user:{key}" for key in keys)
    return {key: names.get(f"user:{key}", "—") for key in keys}

"""
Withdrawing from a contract (§ 356a BGB), for everybody and without a login: form → confirmation → receipt.

What was filled in travels from page to page in the form, so no session and no cookie of ours is needed.
"""

import uuid
from typing import Any

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _
from django.views.generic import TemplateView

from oscar_loyalty.flows import withdrawals
from oscar_loyalty.flows.mailed_links import may_try
from oscar_loyalty.flows.return_access import find_customer_access
from oscar_loyalty.flows.return_terms import ReturnableLine, find_returnable
from oscar_loyalty.programmes import queries as programmes
from oscar_loyalty.returns.withdrawal_queries import find_withdrawal
from oscar_loyalty.storefront.views import StorefrontView, caller_of, keep_secret


class WithdrawalForm(forms.Form):
    """What the law asks for and no more. ``lines`` are those of the customer's own order, if it is known."""

    name = forms.CharField(
        label=_("Your name"),
        max_length=255,
        widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "name"}),
    )
    order = forms.CharField(
        label=_("Which order?"),
        max_length=255,
        help_text=_(
            "The number stands in the mail that confirmed your order. Without it, tell us what you ordered "
            "and when."
        ),
        widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off"}),
    )
    email = forms.EmailField(
        label=_("E-mail address"),
        max_length=254,
        help_text=_("We send the receipt here at once."),
        widget=forms.EmailInput(attrs={"class": "form-control", "autocomplete": "email"}),
    )
    lines = forms.MultipleChoiceField(
        label=_("Only some of the goods?"),
        required=False,
        help_text=_("Choose none to withdraw from the whole order."),
        widget=forms.CheckboxSelectMultiple,
    )
    goods = forms.CharField(
        label=_("Only some of the goods?"),
        required=False,
        max_length=3000,
        help_text=_("Leave this empty to withdraw from the whole order. You need no reason."),
        widget=forms.Textarea(attrs={"rows": 3, "class": "form-control"}),
    )
    #: Made for each form that is shown: who clicks twice withdraws once.
    token = forms.UUIDField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, order_lines: list[ReturnableLine], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._pieces = {str(line.line_id): line for line in order_lines}
        if order_lines:
            del self.fields["goods"]
            choices = [(str(line.line_id), _name_line(line)) for line in order_lines]
            self.fields["lines"].choices = choices  # type: ignore[attr-defined]
        else:
            del self.fields["lines"]

    @property
    def named_lines(self) -> dict[int, int]:
        """Pieces by line; nothing where everything is meant."""
        return {
            line.line_id: withdrawals.count_withdrawable(line)
            for line in (self._pieces[chosen] for chosen in self.cleaned_data.get("lines", []))
        }

    @property
    def named_goods(self) -> str:
        """The same in words."""
        chosen = self.cleaned_data.get("lines", [])
        named = ", ".join(_name_line(self._pieces[line_id]) for line_id in chosen)
        return named or str(self.cleaned_data.get("goods", ""))


class _FormView(StorefrontView, TemplateView):
    """What the law grants does not depend on a switch of ours."""

    works_switched_off = True
    template_name = "oscar_loyalty/returns/withdraw.html"

    def make_form(self, data: Any = None, **kwargs: Any) -> WithdrawalForm:
        number = (data or self.request.GET).get("order", "")
        return WithdrawalForm(data, order_lines=self.list_lines(number), **kwargs)

    def list_lines(self, number: str) -> list[ReturnableLine]:
        """Of a customer's own order; for everybody else the page looks the same whatever they write."""
        if not self.request.user.is_authenticated or not number:
            return []
        access = find_customer_access(number=number.strip(), user_id=int(str(self.request.user.pk)))
        if access is None:
            return []
        returnable = find_returnable(order_id=access.order_id, now=self.now)
        chosen = {pick.line_id for pick in withdrawals.list_withdrawable(returnable)}
        lines = [line for line in returnable.lines if line.line_id in chosen]
        return lines if len(lines) > 1 else []

    def show_form(self, form: WithdrawalForm, *, status: int = 200) -> HttpResponse:
        return keep_secret(self.render_to_response(self.get_context_data(form=form), status=status))


class WithdrawView(_FormView):
    """The form, and what it will declare."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        user = request.user
        known = {"email": user.email, "name": user.get_full_name()} if user.is_authenticated else {}
        given = {"order": request.GET.get("order", "")[:255], "token": uuid.uuid4()}
        return self.show_form(self.make_form(initial={**known, **given}))

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        form = self.make_form(request.POST)
        if "change" in request.POST or not form.is_valid():
            return self.show_form(form)
        return keep_secret(
            self.response_class(
                request=request,
                template=["oscar_loyalty/returns/withdraw_confirm.html"],
                context=self.get_context_data(form=form, declaration=_declare(form)),
                using=self.template_engine,
            )
        )


class ConfirmWithdrawalView(_FormView):
    """The one button that declares it."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return redirect("loyalty:withdraw")

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        form = self.make_form(request.POST)
        if not form.is_valid():
            return self.show_form(form)
        if not may_try(scope="withdrawal", caller=caller_of(request)):
            form.add_error(
                None, _("That was too often. Please try again in an hour, or write to us: that is as good.")
            )
            return self.show_form(form, status=429)
        wanted = form.cleaned_data
        withdrawal = withdrawals.declare_withdrawal(
            key=f"page:{wanted['token']}",
            name=wanted["name"],
            email=wanted["email"],
            order_text=wanted["order"],
            goods=form.named_goods,
            lines=form.named_lines,
            user_id=int(str(request.user.pk)) if request.user.is_authenticated else None,
            language=get_language() or "",
            now=self.now,
        )
        return redirect("loyalty:withdraw-done", public_id=withdrawal.public_id)


class WithdrawnView(StorefrontView, TemplateView):
    """It has arrived, and when. Nobody guesses this address; all the same it names no person."""

    works_switched_off = True
    template_name = "oscar_loyalty/returns/withdrawn.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        withdrawal = find_withdrawal(public_id=kwargs["public_id"])
        if withdrawal is None:
            raise Http404
        context = self.get_context_data(withdrawal=withdrawal, time_zone=programmes.find_time_zone())
        return keep_secret(self.render_to_response(context))


def _name_line(line: ReturnableLine) -> str:
    return withdrawals.name_pieces(withdrawals.count_withdrawable(line), line.title)


def _declare(form: WithdrawalForm) -> str:
    return withdrawals.write_declaration(
        name=form.cleaned_data["name"],
        order_text=form.cleaned_data["order"],
        goods=form.named_goods,
        lines=form.named_lines,
    )

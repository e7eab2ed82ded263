"""A guest finds the order that they want to return: number and address → a link by mail → its pages."""

from typing import Any

from django import forms
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _
from django.views.generic import TemplateView

from oscar_loyalty import tasks
from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.flows import return_access
from oscar_loyalty.flows.mailed_links import may_try
from oscar_loyalty.flows.return_access import LINK_HOURS, Access, AccessRefused
from oscar_loyalty.storefront.views import StorefrontView, caller_of, keep_secret

_STATUS = {"return_link_invalid": 404, "return_link_expired": 410}


class FindOrderForm(forms.Form):
    order = forms.CharField(
        label=_("Order number"),
        max_length=128,
        widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off"}),
    )
    email = forms.EmailField(
        label=_("E-mail address"),
        max_length=254,
        help_text=_("The one with which you ordered."),
        widget=forms.EmailInput(attrs={"class": "form-control", "autocomplete": "email"}),
    )


class FindOrderView(StorefrontView, TemplateView):
    """Mails the link. What it answers is the same for everybody."""

    template_name = "oscar_loyalty/returns/find_order.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        initial = {"order": request.GET.get("order", "")[:128]}
        return self.show(form=FindOrderForm(initial=initial), is_sent="sent" in request.GET)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        form = FindOrderForm(request.POST)
        if not form.is_valid():
            return self.show(form=form)
        if not may_try(scope="return_link", caller=caller_of(request)):
            form.add_error(None, _("That was too often. Please try again in an hour."))
            return self.show(form=form, status=429)
        return_access.send_access_link(
            number=form.cleaned_data["order"],
            email=form.cleaned_data["email"],
            language=get_language() or "",
            now=self.now,
        )
        # Whatever was found, so that the time it takes tells nothing.
        tasks.hurry_outbox(topics=[return_access.LINK_TOPIC])
        return redirect(reverse("loyalty:return-find") + "?sent=1")

    def show(self, *, form: FindOrderForm, is_sent: bool = False, status: int = 200) -> HttpResponse:
        context = self.get_context_data(form=form, is_sent=is_sent, hours=LINK_HOURS)
        return self.render_to_response(context, status=status)


class GuestOrderMixin(StorefrontView):
    """
    For pages about one order that the token in their URL opens, without a session: ``self.access`` says
    which. The address is a key, so it is kept nowhere and told to no other site.
    """

    access: Access

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not loyalty_settings.enabled:
            raise Http404
        try:
            self.access = return_access.read_guest_access(kwargs["token"], timezone.now())
        except AccessRefused as refused:
            page = "oscar_loyalty/returns/link_refused.html"
            return keep_secret(render(request, page, {"refused": refused.code}, status=_STATUS[refused.code]))
        response = super().dispatch(request, *args, **kwargs)
        return keep_secret(response)

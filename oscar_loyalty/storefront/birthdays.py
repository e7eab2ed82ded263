"""A member tells their birthday: once, day and month."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _

from oscar_loyalty.members import queries as members
from oscar_loyalty.members.services import BirthdayFixed, set_birthday
from oscar_loyalty.storefront.views import StorefrontView


class BirthdayView(LoginRequiredMixin, StorefrontView):
    http_method_names = ["post"]

    def post(self, request: Any) -> HttpResponse:
        member = members.find_active_member(user_id=request.user.pk)
        if member is None:
            raise Http404
        try:
            set_birthday(
                member_id=member.pk,
                month=_read(request, "month"),
                day=_read(request, "day"),
                actor_ref=f"user:{request.user.pk}",
                now=self.now,
            )
        except BirthdayFixed:
            messages.error(request, _("Our customer service can correct your birthday."))
        except ValueError:
            messages.error(request, _("Please choose a day that there is."))
        else:
            messages.success(request, _("Thank you, we have noted your birthday."))
        return redirect(reverse("loyalty:my-points") + "#birthday")


def _read(request: HttpRequest, name: str) -> int:
    """A number of at most two digits; 0, of which there is no day, for anything else."""
    text = request.POST.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 2 else 0

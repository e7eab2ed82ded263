"""Staff note or correct the birthday of a member who asks for it."""

import uuid

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _

from oscar_loyalty.dashboard.base import DeskView
from oscar_loyalty.dashboard.forms import BirthdayForm
from oscar_loyalty.flows.birthdays import read_birthday
from oscar_loyalty.members.models import Member
from oscar_loyalty.members.services import set_birthday
from oscar_loyalty.shop.customers import find_actor_names


class BirthdayView(DeskView):
    tab = "members"
    template_name = "birthday.html"

    def get(self, request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
        return self._show(_find_member(public_id), BirthdayForm())

    def post(self, request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
        member = _find_member(public_id)
        form = BirthdayForm(request.POST)
        if not form.is_valid():
            return self._show(member, form)
        set_birthday(
            member_id=member.pk,
            month=form.cleaned_data["month"],
            day=form.cleaned_data["day"],
            actor_ref=self.actor_ref,
            now=self.now,
            by_staff=True,
        )
        text = _("The birthday of %(member)s is noted.") % {"member": member}
        return self.go(text, messages.SUCCESS, "loyalty-member", public_id=public_id)

    def _show(self, member: Member, form: BirthdayForm) -> HttpResponse:
        birthday = read_birthday(member_id=member.pk, now=self.now)
        names = find_actor_names([birthday.told_by_ref])
        if birthday.day is not None and not form.is_bound:
            form.initial = {"day": birthday.day.day, "month": birthday.day.month}
        return self.show(
            member=member,
            form=form,
            birthday=birthday,
            told_by=names.get(birthday.told_by_ref, birthday.told_by_ref),
        )


def _find_member(public_id: uuid.UUID) -> Member:
    """:raises Http404: there is no such member, or they take no part any more"""
    return get_object_or_404(
        Member.objects.select_related("user"), public_id=public_id, status=Member.Status.ACTIVE
    )

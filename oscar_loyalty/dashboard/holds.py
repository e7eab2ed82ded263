"""Reservations: who has points put aside for which basket, and ending one that hangs."""

import uuid

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from oscar_loyalty.dashboard.base import DeskView, slice_of
from oscar_loyalty.flows.wording import number
from oscar_loyalty.points import services
from oscar_loyalty.points.models import Hold


class HoldsView(DeskView):
    tab = "holds"
    template_name = "holds.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        views = {
            "open": (_("Open"), Hold.objects.filter(state=Hold.State.OPEN)),
            "overdue": (_("Overdue"), Hold.objects.filter(state=Hold.State.OPEN, expires_at__lte=self.now)),
            "ended": (_("Ended"), Hold.objects.exclude(state=Hold.State.OPEN)),
        }
        chosen = request.GET.get("show", "open")
        if chosen not in views:
            chosen = "open"
        page = slice_of(views[chosen][1].select_related("account__member__user"), request, by="id")
        return self.show(
            holds=page,
            chosen=chosen,
            views=[{"key": key, "label": label} for key, (label, _holds) in views.items()],
        )


class ReleaseView(DeskView):
    """Look at a reservation once more, then end it."""

    tab = "holds"
    template_name = "hold_release.html"

    def get(self, request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
        return self.show(hold=get_object_or_404(_holds(), public_id=public_id))

    def post(self, request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
        hold = get_object_or_404(_holds(), public_id=public_id)
        released = 0
        if hold.state == Hold.State.OPEN:
            released = services.release_hold(ref=hold.ref, now=self.now, actor_ref=self.actor_ref)
        if not released:
            hold.refresh_from_db()
            text = _("Nothing was ended: this reservation is %(state)s already.")
            return self.go(text % {"state": hold.get_state_display()}, messages.WARNING, "loyalty-holds")
        text = ngettext(
            "The reservation was ended; %(points)s point is available again.",
            "The reservation was ended; %(points)s points are available again.",
            released,
        )
        return self.go(text % {"points": number(released)}, messages.SUCCESS, "loyalty-holds")


def _holds() -> QuerySet[Hold]:
    return Hold.objects.select_related("account__member__user")

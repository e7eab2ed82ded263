"""What every page of the desk shares: how it is shown, paged, and how a form notices that it is old."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.views.generic import View

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.flows.wording import number
from oscar_loyalty.points import queries
from oscar_loyalty.points.models import Account, StaffRequest

ROWS_PER_PAGE = 25
#: Seen when a form was shown, and compared when it is sent.
_SEEN = ("status", "available", "pending", "held", "debt")


class DeskView(View):
    """A page of the dashboard. ``OscarDashboardConfig`` has already let the right people in."""

    tab = ""
    template_name = ""

    @cached_property
    def now(self) -> datetime:
        return timezone.now()

    @property
    def actor_id(self) -> int:
        assert self.request.user.pk is not None, "only staff who are logged in come here"
        return self.request.user.pk

    @property
    def actor_ref(self) -> str:
        return f"user:{self.actor_id}"

    def show(self, *, status: int = 200, template_name: str = "", **context: Any) -> HttpResponse:
        name = template_name or self.template_name
        context = {"tab": self.tab, "now": self.now, **context}
        response: HttpResponse = TemplateResponse(
            self.request, f"oscar_loyalty/dashboard/{name}", context, status=status
        )
        return response

    def may(self, codename: str) -> bool:
        return self.request.user.has_perm(f"oscar_loyalty.{codename}")

    def go(self, message: str, level: int, to: str, *args: Any, **kwargs: Any) -> HttpResponse:
        """Say how it went, on the next page."""
        messages.add_message(self.request, level, message)
        response: HttpResponse = redirect(f"loyalty-dashboard:{to}", *args, **kwargs)
        return response


def get_account_or_404(public_id: uuid.UUID) -> Account:
    """The account of a member, an open one if there is any. :raises Http404: no member, or no account"""
    account = queries.find_latest_account_of(
        public_id=public_id, programme_code=loyalty_settings.programme_code
    )
    if account is None:
        raise Http404
    return account


# Long lists


@dataclass(frozen=True)
class Slice:
    """A part of a list that may be endless: nobody counts it, so its page costs what it shows."""

    rows: Sequence[Any]
    #: What "older" asks for; ``None`` on the last page.
    older: int | None
    is_first: bool


def slice_of(rows: QuerySet[Any], request: HttpRequest, *, by: str = "pk") -> Slice:
    """The newest rows, or those before ``?before=``; ``by`` is a number that grows with every row."""
    before = request.GET.get("before", "")
    is_first = not (before.isascii() and before.isdigit() and len(before) <= 18)
    if not is_first:
        rows = rows.filter(**{f"{by}__lt": int(before)})
    found = list(rows.order_by(f"-{by}")[: ROWS_PER_PAGE + 1])
    shown = found[:ROWS_PER_PAGE]
    older = getattr(shown[-1], by) if len(found) > ROWS_PER_PAGE else None
    return Slice(rows=shown, older=older, is_first=is_first)


# Forms that have become old


def stamp_of(account: Account, *, now: datetime) -> str:
    """A balance as a form was shown with: "OPEN.120.0.0.0"."""
    balance = queries.get_balance(account=account, now=now)
    return ".".join(str(getattr(balance, name, account.status)) for name in _SEEN)


def choose_state(request: HttpRequest) -> tuple[str, str, list[dict[str, str]]]:
    """Which requests of staff are to be shown: the choice, its state, and all choices with their labels."""
    views = {
        "waiting": (_("Waiting"), StaffRequest.State.REQUESTED),
        "booked": (_("Booked"), StaffRequest.State.BOOKED),
        "rejected": (_("Rejected"), StaffRequest.State.REJECTED),
    }
    chosen = request.GET.get("show", "waiting")
    if chosen not in views:
        chosen = "waiting"
    return chosen, views[chosen][1], [{"key": key, "label": label} for key, (label, _state) in views.items()]


def describe_changes(account: Account, *, seen: str, now: datetime) -> list[str]:
    """What is different from when the form was shown, in words; empty when nothing is."""
    current = stamp_of(account, now=now)
    if seen == current:
        return []
    before, after = seen.split("."), current.split(".")
    if len(before) != len(after) or not all(part.isdecimal() for part in before[1:]):
        return [_("This form is old.")]
    labels = {
        "available": _("available points"),
        "pending": _("pending points"),
        "held": _("reserved points"),
        "debt": _("deficit"),
    }
    said = []
    for name, old, new in zip(_SEEN, before, after, strict=True):
        if old == new:
            continue
        if name == "status":
            states = dict(Account.Status.choices)
            said.append(
                _("the account was %(old)s and is now %(new)s")
                % {"old": states.get(old, old), "new": states.get(new, new)}
            )
        else:
            said.append(
                _("%(what)s: %(old)s before, %(new)s now")
                % {"what": labels[name], "old": number(int(old[:19])), "new": number(int(new))}
            )
    return said


def warn_of_changes(request: HttpRequest, changes: Iterable[str]) -> None:
    """Nothing was booked because the page showed something else; say what."""
    text = _("Nothing was booked, because something has changed since you opened the form: %(changes)s.")
    messages.warning(
        request, f"{text % {'changes': '; '.join(changes)}} {_('Look at it again, then confirm.')}"
    )

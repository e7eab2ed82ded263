"""The ledger of all members, to be read only."""

import uuid
from datetime import datetime, time, timedelta
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from oscar_loyalty.dashboard.base import DeskView, slice_of
from oscar_loyalty.flows.statements import read_rows, with_causes
from oscar_loyalty.points import queries
from oscar_loyalty.points.models import Adjustment, Entry
from oscar_loyalty.shop.orders import find_line_titles


class DateInput(forms.DateInput):
    input_type = "date"

    def __init__(self) -> None:
        # What browsers send and show, whatever the language of the page.
        super().__init__(format="%Y-%m-%d")


class LedgerFilter(forms.Form):
    kind = forms.ChoiceField(label=_("Kind"), required=False)
    reason = forms.ChoiceField(label=_("Reason"), required=False)
    order = forms.CharField(label=_("Order"), required=False, max_length=128)
    since = forms.DateField(label=_("From"), required=False, widget=DateInput, input_formats=["%Y-%m-%d"])
    until = forms.DateField(label=_("To"), required=False, widget=DateInput, input_formats=["%Y-%m-%d"])

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.auto_id = "ledger-%s"
        self.fields["kind"].choices = [("", _("all")), *Entry.Kind.choices]  # type: ignore[attr-defined]
        self.fields["reason"].choices = [("", _("all")), *Adjustment.Reason.choices]  # type: ignore[attr-defined]
        for field in self.fields.values():
            field.widget.attrs["class"] = "form-control form-control-sm"

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        since, until = cleaned.get("since"), cleaned.get("until")
        if since and until and until < since:
            self.add_error("until", _("This is before the first day."))
        return cleaned

    def apply(self, entries: QuerySet[Entry]) -> QuerySet[Entry]:
        wanted = self.cleaned_data
        if wanted["kind"]:
            entries = entries.filter(kind=wanted["kind"])
        if wanted["reason"]:
            entries = entries.filter(reason_code=wanted["reason"])
        if wanted["order"]:
            entries = entries.filter(order_ref=wanted["order"])
        if wanted["since"]:
            entries = entries.filter(created_at__gte=_start_of(wanted["since"]))
        if wanted["until"]:
            entries = entries.filter(created_at__lt=_start_of(wanted["until"] + timedelta(days=1)))
        return entries


def _start_of(day: Any) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))


class LedgerView(DeskView):
    tab = "ledger"
    template_name = "ledger.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        form = LedgerFilter(request.GET)
        entries = with_causes(Entry.objects.select_related("account__member__user"))
        if not form.is_valid():
            return self.show(form=form, entries=None, rows=[], is_filtered=True)
        entries = form.apply(entries)
        page = slice_of(entries, request, by="id")
        return self.show(
            form=form,
            entries=page,
            rows=list(read_rows(page.rows)),
            is_filtered=any(form.cleaned_data.values()),
        )


class EntryView(DeskView):
    """One entry: what caused it, what it was computed from, what it moved, what it undoes."""

    tab = "ledger"
    template_name = "entry.html"

    def get(self, request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
        entries = with_causes(Entry.objects.select_related("account__member__user", "account__programme"))
        entry = get_object_or_404(entries, public_id=public_id)
        lines = list(entry.lines.order_by("pk"))
        titles = find_line_titles(line.line_ref for line in lines)
        return self.show(
            row=next(iter(read_rows([entry]))),
            member=entry.account.member,
            lines=[{"line": line, "title": _title_of(line.line_ref, titles)} for line in lines],
            currency=entry.explanation.get("currency", ""),
            undone_by=entry.reversed_by.order_by("seq"),
            others=queries.list_other_ends(entry=entry)[:20],
        )


def _title_of(ref: str, titles: dict[str, Any]) -> str:
    if ref in titles:
        return str(titles[ref].title)
    return str(_("Shipping")) if ref == "shipping" else ref

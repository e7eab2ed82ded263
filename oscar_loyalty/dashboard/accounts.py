"""What happens to an account as a whole."""

import uuid
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.dashboard.base import (
    DeskView,
    describe_changes,
    get_account_or_404,
    stamp_of,
    warn_of_changes,
)
from oscar_loyalty.dashboard.forms import CloseForm, DeskForm, NoteForm, TransferForm
from oscar_loyalty.flows import membership
from oscar_loyalty.flows.refusals import REFUSALS, explain_refusal
from oscar_loyalty.flows.transfers import transfer_by_staff
from oscar_loyalty.points import queries, services
from oscar_loyalty.points.audit import audit_account, describe_finding
from oscar_loyalty.points.models import Account, Entry, Lot


class FreezeView(DeskView):
    """Stop an account, or let it go on."""

    tab = "members"
    template_name = "freeze.html"

    def get(self, request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
        return self._show_form(get_account_or_404(public_id), NoteForm())

    def post(self, request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
        account = get_account_or_404(public_id)
        form = NoteForm(request.POST)
        lift = "lift" in request.POST
        if not lift and not form.is_valid():
            return self._show_form(account, form)
        try:
            if lift:
                services.unfreeze_account(account_id=account.pk, actor_id=self.actor_id, now=self.now)
                text = _("The account is open again.")
            else:
                services.freeze_account(
                    account_id=account.pk,
                    actor_id=self.actor_id,
                    note=form.cleaned_data["note"],
                    now=self.now,
                )
                text = _("The account is frozen.")
        except services.AccountNotOpen:
            text = _("Nothing was changed: this account is closed for good.")
            return self.go(text, messages.ERROR, "loyalty-member", public_id=public_id)
        return self.go(text, messages.SUCCESS, "loyalty-member", public_id=public_id)

    def _show_form(self, account: Account, form: NoteForm) -> HttpResponse:
        return self.show(
            account=account,
            member=account.member,
            form=form,
            is_frozen=account.status == Account.Status.FROZEN,
            freezes=account.freezes.select_related("frozen_by", "lifted_by").order_by("-id")[:10],
        )


class CloseView(DeskView):
    """End a membership: what is given up is shown, then confirmed."""

    tab = "members"
    template_name = "close.html"

    def get(self, request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
        account = get_account_or_404(public_id)
        return self._show_form(account, CloseForm(initial={"seen": stamp_of(account, now=self.now)}))

    def post(self, request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
        account = get_account_or_404(public_id)
        if account.open_key is None:
            return self.go(
                _("This account was closed already."), messages.INFO, "loyalty-member", public_id=public_id
            )
        form = CloseForm(request.POST)
        if not form.is_valid():
            return self._show_form(account, form)
        if changes := describe_changes(account, seen=form.cleaned_data["seen"], now=self.now):
            warn_of_changes(request, changes)
            return redirect("loyalty-dashboard:loyalty-close", public_id=public_id)
        try:
            membership.end_membership(member_id=account.member_id, actor_ref=self.actor_ref, now=self.now)
        except REFUSALS as error:
            return self.go(explain_refusal(error), messages.ERROR, "loyalty-member", public_id=public_id)
        return self.go(_("The account is closed."), messages.SUCCESS, "loyalty-member", public_id=public_id)

    def _show_form(self, account: Account, form: DeskForm) -> HttpResponse:
        return self.show(
            account=account,
            member=account.member,
            balance=queries.get_balance(account=account, now=self.now),
            form=form,
            is_over=account.open_key is None,
        )


class TransferView(DeskView):
    """Give points of one member to another."""

    tab = "members"
    template_name = "transfer.html"

    def get(self, request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
        account = get_account_or_404(public_id)
        form = TransferForm(account=account, initial={"seen": stamp_of(account, now=self.now)})
        return self._show_form(account, form)

    def post(self, request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
        account = get_account_or_404(public_id)
        form = TransferForm(request.POST, account=account)
        if not form.is_valid():
            return self._show_form(account, form)
        wanted = form.cleaned_data
        receiver = queries.find_account(
            member_id=wanted["target"].pk, programme_code=loyalty_settings.programme_code
        )
        if receiver is None:
            form.add_error("target", _("This member has no open account."))
            return self._show_form(account, form)
        key = f"transfer:staff:{wanted['key']}"
        was_sent = queries.find_entry_by_key(account_id=account.pk, idempotency_key=key) is not None
        changes = [] if was_sent else describe_changes(account, seen=wanted["seen"], now=self.now)
        if changes and "preview" not in request.POST:
            warn_of_changes(request, changes)
        if changes or "preview" in request.POST:
            form.data = {**form.data.dict(), "seen": stamp_of(account, now=self.now)}  # type: ignore[attr-defined]
            return self._show_form(account, form, target=wanted["target"], points=wanted["points"])
        try:
            transfer_by_staff(
                giver=account,
                receiver=receiver,
                points_given=wanted["points"],
                idempotency_key=str(wanted["key"]),
                actor_id=self.actor_id,
                now=self.now,
                note=wanted["note"],
            )
        except REFUSALS as error:
            messages.error(request, explain_refusal(error))
            return self._show_form(account, form)
        return self.go(_("The points were moved."), messages.SUCCESS, "loyalty-member", public_id=public_id)

    def _show_form(self, account: Account, form: DeskForm, **context: Any) -> HttpResponse:
        balance = queries.get_balance(account=account, now=self.now)
        if "points" in context:
            context["after"] = balance.available - context["points"]
        return self.show(account=account, member=account.member, balance=balance, form=form, **context)


class AuditView(DeskView):
    """Replay the account and say in words what is wrong, or that nothing is."""

    tab = "members"
    template_name = "audit.html"
    http_method_names = ["post"]

    def post(self, request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
        account = get_account_or_404(public_id)
        found = audit_account(account.pk)
        entries = Entry.objects.in_bulk([f.entry_id for f in found if f.entry_id is not None])
        lots = Lot.objects.in_bulk([f.lot_id for f in found if f.lot_id is not None])
        return self.show(
            account=account,
            member=account.member,
            findings=[
                {
                    "finding": finding,
                    "sentence": describe_finding(finding.code),
                    "entry": entries.get(finding.entry_id or 0),
                    "lot": lots.get(finding.lot_id or 0),
                }
                for finding in found
            ],
        )

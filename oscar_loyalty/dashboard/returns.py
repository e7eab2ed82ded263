"""The returns desk: scan, look, decide. Most urgent first, and every step by keyboard."""

import uuid
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.utils.translation import gettext as _

from oscar_loyalty.dashboard.base import ROWS_PER_PAGE, DeskView, slice_of
from oscar_loyalty.dashboard.goodwill import find_names
from oscar_loyalty.dashboard.numbers import read_amount, read_count
from oscar_loyalty.flows import return_desk, return_steps, returns
from oscar_loyalty.flows.return_desk import FOR_SEVERAL, INSPECT, UNDO
from oscar_loyalty.flows.return_desk_wording import explain, say_undoing, tell_history
from oscar_loyalty.flows.return_reading import find_time_zone
from oscar_loyalty.flows.return_terms import ReturnRefused
from oscar_loyalty.flows.returns import Preview
from oscar_loyalty.payments.refund_models import Refund
from oscar_loyalty.payments.refunds import (
    RefundExceedsPaid,
    RefundNotFailed,
    RefundReferenceMissing,
    RefundReplaced,
    RefundUnclear,
)
from oscar_loyalty.returns import desk_queries
from oscar_loyalty.returns.models import Condition, Return, ReturnLine, ReturnPhoto
from oscar_loyalty.returns.photos import PhotoRefused, add_photo
from oscar_loyalty.returns.services import Decision, DecisionInvalid
from oscar_loyalty.returns.withdrawal_queries import list_waiting_withdrawals
from oscar_loyalty.shop.orders import PurchaseMissing, find_order_ids
from oscar_loyalty.shop.return_desk import find_pictures

_REFUSED = {
    RefundNotFailed: "refund_not_failed",
    RefundReferenceMissing: "reference_missing",
    RefundReplaced: "refund_replaced",
    RefundUnclear: "refund_unclear",
    RefundExceedsPaid: "refund_exceeds_paid",
}


class ReturnsView(DeskView):
    """The queue: what has to be done, what is coming, what waits for money, what is over."""

    tab = "returns"
    template_name = "returns.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        if scan := request.GET.get("scan", "").strip():
            return self._open_scanned(scan)
        return self.show_queue(request.GET.get("show", "desk"))

    def _open_scanned(self, scan: str) -> HttpResponse:
        found = desk_queries.list_by_scan(scan)
        if len(found) == 1:
            return redirect("loyalty-dashboard:loyalty-return", number=found[0].number)
        return self.show_queue("desk" if not found else "", scan=scan, found=found)

    def show_queue(self, chosen: str, *, scan: str = "", found: Iterable[Return] = ()) -> HttpResponse:
        failed = return_desk.find_failed()
        queues: dict[str, tuple[str, Callable[[], QuerySet[Return]]]] = {
            "desk": (_("To do"), lambda: desk_queries.list_at_desk(failed=failed, now=self.now)),
            "coming": (_("Coming"), desk_queries.list_coming),
            "money": (_("Wait for money"), desk_queries.list_awaiting_money),
            "all": (_("All"), lambda: Return.objects.order_by("-id")),
        }
        if chosen not in queues and not found:
            chosen = "desk"
        page: Any = None
        if found:
            rows = list(found)
        elif chosen == "all":
            page = slice_of(queues["all"][1](), self.request)
            rows = list(page.rows)
        else:
            # Nobody pages through a queue endlessly: it is worked off.
            page = Paginator(queues[chosen][1](), ROWS_PER_PAGE).get_page(self.request.GET.get("page"))
            rows = list(page.object_list)
        withdrawals = list_waiting_withdrawals().count() if self.may("view_withdrawal") else None
        return self.show(
            rows=[self._row(one, failed=failed) for one in rows],
            page=page if page is not None and chosen != "all" else None,
            slice=page if chosen == "all" else None,
            chosen=chosen,
            scan=scan,
            views=[
                {"key": key, "label": label, "count": query().count() if key in ("desk", "money") else None}
                for key, (label, query) in queues.items()
            ],
            withdrawals=withdrawals,
            may_handle=self.may("handle_returns"),
            can_batch=self.may("handle_returns") and chosen in ("desk", "coming"),
            order_ids=find_order_ids(one.order_ref for one in rows),
            figures=return_desk.measure_refunds(days=30, now=self.now),
            time_zone=find_time_zone(),
        )

    def _row(self, one: Return, *, failed: dict[str, Refund]) -> dict[str, Any]:
        is_open = one.closed_at is None and one.refunded_at is None
        late = one.refund_due_at is not None and one.refund_due_at <= self.now and is_open
        return {"return": one, "refund": failed.get(one.number), "is_late": late}


class BatchView(DeskView):
    """Receive or accept several returns as they are, with a result for each."""

    http_method_names = ["post"]
    tab = "returns"
    template_name = "returns_batch.html"

    def post(self, request: HttpRequest) -> HttpResponse:
        action = request.POST.get("action", "")
        numbers = list(dict.fromkeys(request.POST.getlist("number")))[: 4 * ROWS_PER_PAGE]
        if action not in FOR_SEVERAL or not numbers:
            return self.go(_("Choose returns first."), messages.WARNING, "loyalty-returns")
        outcomes = return_desk.handle_several(
            numbers=numbers, action=action, actor_ref=self.actor_ref, clock=timezone.now
        )
        made = {one.number: one for one in Return.objects.filter(number__in=numbers)}
        return self.show(
            outcomes=[
                {
                    "number": outcome.number,
                    "return": made.get(outcome.number),
                    "problem": explain(outcome.code) if outcome.code else "",
                }
                for outcome in outcomes
            ],
            failed=sum(bool(outcome.code) for outcome in outcomes),
            action=action,
        )


class _OneReturn(DeskView):
    tab = "returns"

    def find(self, number: str) -> Return:
        return get_object_or_404(
            Return.objects.select_related("member", "policy").prefetch_related("lines__photos"),
            number=number,
        )

    def back(self, of_return: Return) -> HttpResponse:
        response: HttpResponse = redirect("loyalty-dashboard:loyalty-return", number=of_return.number)
        return response


class ReturnView(_OneReturn):
    """One return: what was sent and why, what was found, what it brings, and what happened so far."""

    template_name = "return.html"

    def get(self, request: HttpRequest, number: str) -> HttpResponse:
        return self.show_return(self.find(number))

    def show_return(
        self,
        of_return: Return,
        *,
        decisions: list[Decision] | None = None,
        problem: str = "",
        typed: Any = None,
        status: int = 200,
    ) -> HttpResponse:
        refund = return_steps.find_refund(of_return)
        actions = return_desk.find_actions(of_return, refund=refund) if self.may("handle_returns") else set()
        preview = self._preview(of_return, decisions) if not problem else None
        lines = list(of_return.lines.all())
        pictures = find_pictures([line.line_id for line in lines])
        events = of_return.events.exclude(code=return_desk.CALL_CODE)
        goodwill = list(of_return.goodwill.all())
        return self.show(
            status=status,
            of_return=of_return,
            lines=[
                {
                    "line": line,
                    "picture": pictures.get(line.line_id),
                    "form": _typed(line, typed),
                    "photos": list(line.photos.all()),
                }
                for line in lines
            ],
            loose_photos=of_return.photos.filter(line=None),
            actions=actions,
            preview=preview,
            is_chosen=decisions is not None,
            rejects=decisions is not None and not any(decision.accepted for decision in decisions),
            problem=problem,
            refund=refund,
            refunds=return_desk.list_refunds(of_return),
            refund_waits=return_desk.needs_staff(of_return, refund=refund),
            conditions=Condition.choices,
            history=tell_history(events),
            label=getattr(of_return, "label", None),
            order_ids=find_order_ids([of_return.order_ref]),
            withdrawals=of_return.withdrawals.all(),
            goodwill=goodwill,
            goodwill_names=find_names(goodwill),
            seen=return_desk.stamp_of(of_return),
            time_zone=find_time_zone(),
            is_late=of_return.refund_due_at is not None
            and of_return.refunded_at is None
            and of_return.closed_at is None
            and of_return.refund_due_at <= self.now,
        )

    def _preview(self, of_return: Return, decisions: list[Decision] | None) -> Preview | None:
        """What accepting brings, by the booking itself; nothing where nothing is booked by it."""
        try:
            return returns.preview_inspection(
                return_id=of_return.pk,
                decisions=decisions if decisions is not None else return_desk.accept_as_sent(of_return),
                now=self.now,
            )
        except (ReturnRefused, PurchaseMissing):
            return None


class ActView(ReturnView):
    """One step with a return. Twice by a double click, or by two clerks at once, it happens once."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, number: str) -> HttpResponse:
        of_return = self.find(number)
        action = request.POST.get("action", "")
        if action == UNDO:
            # With what it does and a second click, on a page of its own.
            return redirect("loyalty-dashboard:loyalty-return-undo", number=number)
        if self._is_outdated(of_return):
            return self.back(of_return)
        try:
            return self._do(action, of_return)
        except (ReturnRefused, DecisionInvalid, _Mistyped) as error:
            if action == INSPECT or "preview" in request.POST:
                return self.show_return(
                    of_return, problem=explain(error.code), typed=request.POST, status=400
                )
            messages.error(request, explain(error.code))
        except PurchaseMissing:
            messages.error(request, explain("order_gone"))
        return self.back(of_return)

    def _is_outdated(self, of_return: Return) -> bool:
        """Somebody did something since the page was shown: then it is looked at again first."""
        if self.request.POST.get("seen") == return_desk.stamp_of(of_return):
            return False
        newest = of_return.events.order_by("-id").first()
        own = newest is not None and of_return.events.filter(
            actor_ref=self.actor_ref, at__gte=self.now - timedelta(minutes=1)
        )
        if own and own.exists():
            messages.info(self.request, _("This is done already."))
        else:
            messages.warning(
                self.request,
                _("Somebody was faster: the return is “%(state)s” now. Nothing was changed by you.")
                % {"state": of_return.get_state_display()},
            )
        return True

    def _do(self, action: str, of_return: Return) -> HttpResponse:
        step: dict[str, Any] = {"return_id": of_return.pk, "actor_ref": self.actor_ref, "now": self.now}
        reason = self.request.POST.get("reason", "").strip()
        if "preview" in self.request.POST:
            decisions = _read_decisions(of_return, self.request.POST)
            return self.show_return(of_return, decisions=decisions, typed=self.request.POST)
        match action:
            case return_desk.TRANSIT:
                return_steps.mark_in_transit(**step)
                self._say(_("The return is on its way."))
            case return_desk.RECEIVE:
                return_steps.receive_return(**step)
                self._say(_("The goods are here."))
            case return_desk.LATE:
                return_steps.receive_late(reason=reason, **step)
                self._say(_("The return goes on: the goods are here. The customer is told."))
            case return_desk.ACCEPT:
                self._say_decided(return_desk.accept_everything(**step))
            case return_desk.INSPECT:
                decisions = _read_decisions(of_return, self.request.POST)
                self._say_decided(return_steps.inspect_return(decisions=decisions, **step))
            case return_desk.REJECT:
                return_steps.reject_return(reason=reason, **step)
                self._say(_("The return is rejected. The customer is told why."))
            case return_desk.CANCEL:
                returns.cancel_return(reason=reason, **step)
                self._say(_("The return is cancelled."))
            case _:
                messages.error(self.request, _("This page knows no such step."))
        return self.back(of_return)

    def _say(self, text: str) -> None:
        messages.success(self.request, text)

    def _say_decided(self, done: Return) -> None:
        self._say(_("Decided: the return is “%(state)s”.") % {"state": done.get_state_display()})


class UndoReturnView(_OneReturn):
    """Look at what undoing a decision will do, then undo it."""

    template_name = "return_undo.html"

    def get(self, request: HttpRequest, number: str) -> HttpResponse:
        return self._ask(self.find(number))

    def post(self, request: HttpRequest, number: str) -> HttpResponse:
        of_return = self.find(number)
        reason = request.POST.get("reason", "").strip()
        if not reason:
            return self._ask(of_return, problem=explain("reason_missing"))
        try:
            return_steps.undo_return(
                return_id=of_return.pk, reason=reason, actor_ref=self.actor_ref, now=self.now
            )
        except ReturnRefused as error:
            messages.error(request, explain(error.code))
        except PurchaseMissing:
            messages.error(request, explain("order_gone"))
        else:
            messages.success(request, _("The decision was undone."))
        return self.back(of_return)

    def _ask(self, of_return: Return, problem: str = "") -> HttpResponse:
        refund = return_steps.find_refund(of_return)
        return self.show(
            of_return=of_return,
            can_undo=UNDO in return_desk.find_actions(of_return, refund=refund),
            sentences=say_undoing(of_return),
            problem=problem,
            status=400 if problem else 200,
        )


class RefundView(_OneReturn):
    """A refund that failed is tried again, or was paid by hand."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, number: str, pk: int) -> HttpResponse:
        of_return = self.find(number)
        step: dict[str, Any] = {
            "return_id": of_return.pk,
            "refund_id": pk,
            "actor_ref": self.actor_ref,
            "now": self.now,
        }
        try:
            if "by_hand" in request.POST:
                return_desk.pay_by_hand(reference=request.POST.get("reference", ""), **step)
                messages.success(request, _("Noted: the money was paid by hand."))
            else:
                return_desk.retry_refund(**step)
                messages.success(request, _("The refund is tried once more."))
        except Refund.DoesNotExist as error:
            raise Http404 from error
        except tuple(_REFUSED) as error:
            messages.error(request, explain(_REFUSED[type(error)]))
        return self.back(of_return)


class PhotosView(_OneReturn):
    """Staff add a picture of what they found."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, number: str) -> HttpResponse:
        of_return = self.find(number)
        upload = request.FILES.get("photo")
        line_id = read_count(request.POST.get("line", ""))
        if upload is None or line_id is None:
            messages.error(request, _("Choose a picture first."))
            return self.back(of_return)
        try:
            add_photo(
                return_id=of_return.pk, line_id=line_id, content=upload.read(), by_staff=True, now=self.now
            )
        except PhotoRefused as error:
            messages.error(request, explain(error.code))
        else:
            messages.success(request, _("The picture was added."))
        return self.back(of_return)


class PhotoView(DeskView):
    """A picture of a return, for staff alone."""

    def get(self, request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
        photo = get_object_or_404(ReturnPhoto, public_id=public_id)
        return HttpResponse(
            bytes(photo.content),
            content_type="image/jpeg",
            headers={"Cache-Control": "private, max-age=3600", "X-Content-Type-Options": "nosniff"},
        )


class _Mistyped(ValueError):
    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def _read_decisions(of_return: Return, typed: Any) -> list[Decision]:
    """
    What a clerk typed for every line.

    :raises _Mistyped: no numbers, or a condition that nobody knows
    """
    decisions = []
    for line in of_return.lines.all():
        accepted = read_count(typed.get(f"accepted-{line.pk}", ""))
        deduction = read_amount(typed.get(f"deduction-{line.pk}", "") or "0")
        condition = typed.get(f"condition-{line.pk}", "")
        if accepted is None or deduction is None:
            raise _Mistyped("not_a_number")
        if condition not in Condition.values:
            raise _Mistyped("unknown_condition")
        decisions.append(
            Decision(
                line_id=line.line_id,
                accepted=accepted,
                condition=condition,
                deduction=deduction,
                refusal=typed.get(f"refusal-{line.pk}", ""),
            )
        )
    return decisions


def _typed(line: ReturnLine, typed: Any) -> dict[str, Any]:
    """What stands in the fields of a line: what was typed, or everything as it was sent."""
    if typed is None:
        return {"accepted": line.quantity, "condition": Condition.AS_NEW, "deduction": "", "refusal": ""}
    return {
        name: typed.get(f"{name}-{line.pk}", "") for name in ("accepted", "condition", "deduction", "refusal")
    }

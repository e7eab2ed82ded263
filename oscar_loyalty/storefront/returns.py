"""
Goods go back: choose → look at what it brings → send → follow it.

The same pages for customers, under their own orders, and for guests, under the token of the link in their
mail. What was chosen waits in the session, so that every page can be reloaded and gone back to; the one
button that books anything carries a key, so that pressing it twice opens one return.
"""

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.contrib import messages
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.views import redirect_to_login
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import get_language, pgettext
from django.utils.translation import gettext as _
from django.views.generic import TemplateView
from oscar.core.loading import get_class

from oscar_loyalty import tasks
from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.flows import return_reading, return_terms, return_wording, returns
from oscar_loyalty.flows.return_access import Access, find_customer_access
from oscar_loyalty.flows.return_terms import Pick, ReturnableLine, ReturnableOrder, ReturnRefused
from oscar_loyalty.flows.returns import Preview
from oscar_loyalty.returns import codes, photos, queries
from oscar_loyalty.returns.models import FAULTS, Reason, Return, ReturnPhoto
from oscar_loyalty.returns.photos import PhotoRefused
from oscar_loyalty.returns.services import CHANGED_TOPIC
from oscar_loyalty.shop.orders import PurchaseMissing
from oscar_loyalty.storefront.return_access import GuestOrderMixin
from oscar_loyalty.storefront.views import StorefrontView

PageTitleMixin: Any = get_class("customer.mixins", "PageTitleMixin")

RETURNS_PER_PAGE = 20
#: A list to choose from is better than a number to type, up to so many pieces.
MOST_IN_LIST = 20
MOST_DIGITS = 9
_DRAFT = "oscar_loyalty_return"


@dataclass(kw_only=True)
class Draft:
    """What was chosen and not yet sent, as the session keeps it."""

    order_id: int
    picks: list[Pick] = field(default_factory=list)
    refund_to: str = Return.RefundTo.ORIGINAL
    set_off_agreed: bool = False
    key: str = field(default_factory=lambda: uuid.uuid4().hex)

    @classmethod
    def load(cls, request: HttpRequest, *, order_id: int) -> "Draft | None":
        kept = request.session.get(_DRAFT)
        try:
            draft = cls(**{**kept, "picks": [Pick(**pick) for pick in kept["picks"]]}) if kept else None
        except (KeyError, TypeError):
            return None  # Of an older version of ours.
        return draft if draft is not None and draft.order_id == order_id else None

    def save(self, request: HttpRequest) -> None:
        request.session[_DRAFT] = {**vars(self), "picks": [vars(pick) for pick in self.picks]}

    @property
    def idempotency_key(self) -> str:
        return f"page:{self.order_id}:{self.key}"

    @property
    def wanted(self) -> dict[str, Any]:
        return {
            "order_id": self.order_id,
            "picks": self.picks,
            "refund_to": self.refund_to,
            "set_off_agreed": self.set_off_agreed,
        }


class ReturnPage(GuestOrderMixin):
    """
    A page about returns of one order: of the customer's own, or of the one that the token opens. Orders and
    returns of other people are not there.
    """

    access: Access
    active_tab = "returns"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if "token" in kwargs:
            return super().dispatch(request, *args, **kwargs)
        if not loyalty_settings.enabled:
            raise Http404
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        self.access = self._find_access()
        return StorefrontView.dispatch(self, request, *args, **kwargs)

    def _find_access(self) -> Access:
        user_id = int(str(self.request.user.pk))
        number = self.kwargs.get("number")
        if number is None:
            of_return = queries.find_return(number=self.kwargs["return_number"])
            if of_return is None:
                raise Http404
            if of_return.user_id == user_id:
                return Access(
                    order_id=of_return.order_id,
                    number=of_return.order_ref,
                    actor_ref="customer",
                    user_id=user_id,
                )
            number = of_return.order_ref
        access = find_customer_access(number=number, user_id=user_id)
        if access is None:
            raise Http404
        return access

    def find_return(self) -> Return:
        of_return = queries.find_return(number=self.kwargs["return_number"])
        if of_return is None or of_return.order_id != self.access.order_id:
            raise Http404
        return of_return

    def find_order(self) -> ReturnableOrder:
        try:
            return return_terms.find_returnable(order_id=self.access.order_id, now=self.now)
        except PurchaseMissing:
            raise Http404 from None

    def link(self, page: str, **arguments: Any) -> str:
        """The URL of another page about this order."""
        if "token" in self.kwargs:
            name = "return-guest" if page == "choose" else f"return-guest-{page}"
            return reverse(f"loyalty:{name}", kwargs={"token": self.kwargs["token"], **arguments})
        if page in ("choose", "preview"):
            arguments["number"] = self.access.number
        return reverse(f"loyalty:return-{page}", kwargs=arguments)

    def link_return(self, page: str, of_return: Return) -> str:
        return self.link(page, return_number=of_return.number)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        is_guest = "token" in self.kwargs
        return super().get_context_data(  # type: ignore[misc,no-any-return]
            page_layout="oscar/layout.html" if is_guest else "oscar/customer/baseaccountpage.html",
            is_guest=is_guest,
            active_tab=self.active_tab,
            order_number=self.access.number,
            choose_url=self.link("choose"),
            **kwargs,
        )


# 1. Choose


class ChooseView(ReturnPage, TemplateView):
    """Which pieces, and why."""

    template_name = "oscar_loyalty/returns/choose.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        draft = Draft.load(request, order_id=self.access.order_id)
        if draft is not None and _find_made(draft):
            draft = None
        return self.show(self.find_order(), draft or Draft(order_id=self.access.order_id))

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        order = self.find_order()
        draft, errors = _read_choice(request.POST, order)
        if not errors:
            try:
                returns.preview_return(now=self.now, **draft.wanted)
            except ReturnRefused as refused:
                errors = {refused.line_id: return_wording.refusal_text(refused.code)}
        if errors:
            return self.show(order, draft, errors=errors, typed=request.POST)
        draft.save(request)
        return redirect(self.link("preview"))

    def show(
        self,
        order: ReturnableOrder,
        draft: Draft,
        *,
        errors: Mapping[int | None, str] | None = None,
        typed: Mapping[str, str] | None = None,
    ) -> HttpResponse:
        errors = errors or {}
        rows = [
            _Row.of(line, draft=draft, typed=typed or {}, error=errors.get(line.line_id, ""))
            for line in order.lines
        ]
        earlier = [
            {"of_return": one, "url": self.link_return("detail", one)}
            for one in queries.list_returns_of_order(order_ref=order.number)
        ]
        context = self.get_context_data(
            page_title=pgettext("goods", "Return"),
            order=order,
            rows=rows,
            draft=draft,
            is_credit=draft.refund_to == Return.RefundTo.STORE_CREDIT,
            errors=list(dict.fromkeys(errors.values())),
            deadline=return_wording.deadline_sentence(order),
            cost=return_wording.cost_sentence(order),
            returns=earlier,
        )
        return self.render_to_response(context)


@dataclass(frozen=True, kw_only=True)
class _Row:
    """A line of the order in the form."""

    line: ReturnableLine
    said: str
    chosen: int
    reason: str
    comment: str
    error: str
    reasons: list[Reason]

    @classmethod
    def of(cls, line: ReturnableLine, *, draft: Draft, typed: Mapping[str, str], error: str) -> "_Row":
        """``typed``: what was sent and could not be taken as it was, so that nobody types it again."""
        picked = next((pick for pick in draft.picks if pick.line_id == line.line_id), None)
        return cls(
            line=line,
            said=return_wording.line_sentence(line),
            chosen=picked.quantity if picked else 0,
            reason=picked.reason if picked else typed.get(f"reason-{line.line_id}", ""),
            comment=picked.comment if picked else typed.get(f"comment-{line.line_id}", ""),
            error=error,
            reasons=[one for one in Reason if one in FAULTS or not line.only_faults],
        )

    @property
    def quantities(self) -> list[int]:
        """To choose from; none where there are too many for a list."""
        return list(range(self.line.left + 1)) if self.line.left <= MOST_IN_LIST else []


def _read_choice(form: Mapping[str, str], order: ReturnableOrder) -> tuple[Draft, dict[int | None, str]]:
    """What was chosen, and what is wrong with it, by line."""
    draft = Draft(order_id=order.order_id, set_off_agreed="set_off" in form)
    if form.get("refund_to") == Return.RefundTo.STORE_CREDIT and order.offers_store_credit:
        draft.refund_to = Return.RefundTo.STORE_CREDIT
    errors: dict[int | None, str] = {}
    for line in order.lines:
        text = form.get(f"quantity-{line.line_id}", "").strip() or "0"
        if not (text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS):
            errors[line.line_id] = _("Enter a whole number.")
        elif quantity := int(text):
            draft.picks.append(
                Pick(
                    line_id=line.line_id,
                    quantity=quantity,
                    reason=form.get(f"reason-{line.line_id}") or Reason.WITHDRAWAL.value,
                    comment=form.get(f"comment-{line.line_id}", "").strip()[:2000],
                )
            )
    if not draft.picks and not errors:
        errors[None] = return_wording.refusal_text("nothing_chosen")
    return draft, errors


# 2. Look at it, and send


class PreviewView(ReturnPage, TemplateView):
    """What it brings, to the cent and the point; one button."""

    template_name = "oscar_loyalty/returns/preview.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        draft = Draft.load(request, order_id=self.access.order_id)
        if draft is None:
            return self.choose_again(_("Please choose again what you want to return."))
        # Going back after it was sent leads to what became of it.
        if made := _find_made(draft):
            return redirect(self.link_return("receipt", made))
        try:
            return self.show(draft, returns.preview_return(now=self.now, **draft.wanted))
        except ReturnRefused as refused:
            return self.choose_again(return_wording.refusal_text(refused.code))

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        draft = Draft.load(request, order_id=self.access.order_id)
        pressed = Draft(order_id=self.access.order_id, key=request.POST.get("key", "")[:64])
        if made := _find_made(pressed):
            return redirect(self.link_return("receipt", made))
        if draft is None or draft.key != pressed.key:
            return self.choose_again(_("Please choose again what you want to return."))
        try:
            preview = returns.preview_return(now=self.now, **draft.wanted)
            if _fingerprint(preview) != request.POST.get("shown"):
                return self.show(draft, preview, has_changed=True)
            made = returns.request_return(
                actor_ref=self.access.actor_ref,
                language=get_language() or "",
                idempotency_key=draft.idempotency_key,
                now=self.now,
                **draft.wanted,
            )
            tasks.hurry_outbox(topics=[CHANGED_TOPIC])
        except ReturnRefused as refused:
            # Of two clicks at once the second one finds nothing left.
            found = _find_made(draft)
            if found is None:
                return self.choose_again(return_wording.refusal_text(refused.code))
            made = found
        return redirect(self.link_return("receipt", made))

    def show(self, draft: Draft, preview: Preview, *, has_changed: bool = False) -> HttpResponse:
        order = self.find_order()
        context = self.get_context_data(
            page_title=_("Check your return"),
            order=order,
            preview=preview,
            said=return_wording.say_preview(preview, refund_days=order.refund_days),
            key=draft.key,
            shown=_fingerprint(preview),
            has_changed=has_changed,
        )
        return self.render_to_response(context)

    def choose_again(self, why: str) -> HttpResponse:
        messages.warning(self.request, why)
        return redirect(self.link("choose"))


def _find_made(draft: Draft) -> Return | None:
    """The return that a draft has become."""
    return queries.find_return_by_key(key=draft.idempotency_key) if draft.key else None


def _fingerprint(preview: Preview) -> str:
    """What the customer agrees to; a change of it is shown before anything is sent."""
    facts = (
        [(line.line_id, line.quantity, line.amount, line.points_back) for line in preview.lines],
        (preview.refund, preview.fee, preview.earlier, preview.set_off, preview.pays_to),
        (preview.credit_points, preview.points_back, preview.points_taken, preview.points_missing),
        (preview.before.tier_code, preview.after.tier_code, preview.keeps_goods),
    )
    return hashlib.sha256(repr(facts).encode()).hexdigest()


# 3. Follow it


class ReturnView(ReturnPage, TemplateView):
    """What became of it, with pictures and the way back."""

    template_name = "oscar_loyalty/returns/detail.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        of_return = self.find_return()
        view = return_reading.view_return(of_return)
        return super().get_context_data(
            page_title=_("Return %(number)s") % {"number": of_return.number},
            view=view,
            of_return=of_return,
            rows=[self._row(line, view) for line in view.lines],
            most_photos=photos.MOST_PER_LINE,
            detail_url=self.link_return("detail", of_return),
            receipt_url=self.link_return("receipt", of_return),
            cancel_url=self.link_return("cancel", of_return),
            photos_url=self.link_return("photos", of_return),
            label_url=self.link_return("label", of_return) if view.has_label else "",
            qr=codes.draw_qr_svg(view.label.qr_text)
            if view.has_qr and view.label is not None and codes.can_draw()
            else "",
            return_address=loyalty_settings.return_address,
            **kwargs,
        )

    def _row(self, line: Any, view: return_reading.ReturnView) -> dict[str, Any]:
        pictures = [
            self.link("photo", return_number=view.of_return.number, photo_id=photo.public_id)
            for photo in line.photos.all()
            if not photo.by_staff
        ]
        return {
            "line": line,
            "pictures": pictures,
            "may_add": view.may_add_photos and len(pictures) < photos.MOST_PER_LINE,
        }


class ReceiptView(ReturnView):
    """What was sent, when, and what comes next."""

    template_name = "oscar_loyalty/returns/receipt.html"


class CancelView(ReturnPage):
    http_method_names = ["post"]

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        of_return = self.find_return()
        try:
            returns.cancel_return(return_id=of_return.pk, actor_ref=self.access.actor_ref, now=self.now)
        except ReturnRefused as refused:
            messages.error(request, return_wording.refusal_text(refused.code))
        else:
            messages.success(request, _("Your return was cancelled. You keep the goods."))
        return redirect(self.link_return("detail", of_return))


class PhotosView(ReturnPage):
    http_method_names = ["post"]

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        of_return = self.find_return()
        line, file = request.POST.get("line", ""), request.FILES.get("photo")
        if file is None or not (line.isascii() and line.isdigit() and len(line) <= MOST_DIGITS * 2):
            messages.error(request, _("Choose a picture first."))
        else:
            try:
                if file.size is None or file.size > photos.MOST_BYTES:
                    raise PhotoRefused("photo_too_big")
                photos.add_photo(
                    return_id=of_return.pk,
                    line_id=int(line),
                    content=file.read(),
                    now=self.now,
                )
            except PhotoRefused as refused:
                messages.error(request, return_wording.refusal_text(refused.code))
            else:
                messages.success(request, _("We have your picture."))
        return redirect(self.link_return("detail", of_return) + "#photos")


class PhotoView(ReturnPage):
    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        of_return = self.find_return()
        kept = ReturnPhoto.objects.filter(of_return=of_return, by_staff=False)
        photo = kept.filter(public_id=self.kwargs["photo_id"]).first()
        if photo is None:
            raise Http404
        return HttpResponse(
            bytes(photo.content),
            content_type="image/jpeg",
            headers={"Cache-Control": "private, max-age=3600", "X-Content-Type-Options": "nosniff"},
        )


class LabelView(ReturnPage):
    """The label, to print."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        of_return = self.find_return()
        label = queries.find_ready_label(return_id=of_return.pk)
        if label is None or not label.pdf:
            raise Http404
        return HttpResponse(
            bytes(label.pdf),
            content_type="application/pdf",
            headers={
                "Content-Disposition": f'attachment; filename="{of_return.number}.pdf"',
                "X-Content-Type-Options": "nosniff",
            },
        )


class MyReturnsView(LoginRequiredMixin, StorefrontView, PageTitleMixin, TemplateView):  # type: ignore[misc]
    template_name = "oscar_loyalty/returns/list.html"
    active_tab = "returns"

    def get_page_title(self) -> str:
        return _("My returns")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        mine = queries.list_returns_of_user(user_id=int(str(self.request.user.pk)))
        page = Paginator(mine, RETURNS_PER_PAGE).get_page(self.request.GET.get("page"))
        return dict(
            super().get_context_data(
                page_obj=page,
                paginator=page.paginator,
                time_zone=return_reading.find_time_zone(),
                **kwargs,
            )
        )

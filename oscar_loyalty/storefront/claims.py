"""A guest's order becomes a member's: by the link in a mail, or right after the checkout."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.generic import TemplateView

from oscar_loyalty.flows import claims, membership
from oscar_loyalty.flows.claims import Claimed, ClaimRefused, WaitingPoints
from oscar_loyalty.flows.mailed_links import may_try
from oscar_loyalty.members import queries as members
from oscar_loyalty.shop.orders import find_guest_order, find_order_id
from oscar_loyalty.storefront.views import StorefrontView, caller_of, keep_secret, render_message, safe_next

#: Oscar's name for the order that a session has placed last.
ORDER_OF_SESSION = "checkout_order_id"
_STATUS = {"claim_link_invalid": 404, "claim_link_expired": 410, "too_often": 429}


class _ClaimView(StorefrontView, TemplateView):
    """Shows what waits; only a button books it, because mail programs open links on their own."""

    template_name = "oscar_loyalty/claim.html"

    def find_waiting(self) -> WaitingPoints:
        """:raises ClaimRefused: nothing waits here"""
        raise NotImplementedError

    def claim(self) -> Claimed:
        """:raises ClaimRefused: nothing was changed"""
        raise NotImplementedError

    def may_claim(self) -> bool:
        """Whether the button would be accepted, as far as the proof goes."""
        return True

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not may_try(scope="claim", caller=caller_of(request)):
            return self.answer(refused="too_often")
        try:
            waiting = self.find_waiting()
        except ClaimRefused as refused:
            return self._refuse(refused)
        return self.answer(waiting=waiting)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.is_authenticated:
            return redirect(request.path)
        if not may_try(scope="claim", caller=caller_of(request)):
            return self.answer(refused="too_often")
        try:
            if members.find_active_member(user_id=request.user.pk) is None:
                # Nobody becomes a member for a link that is good for nothing.
                self.find_waiting()
                if request.POST.get("terms_version") != self.get_policy().terms_version:
                    messages.warning(request, _("Please read the terms and join to claim your points."))
                    return redirect(request.path)
                membership.join_programme(user_id=request.user.pk, now=self.now, source="CLAIM")
            claimed = self.claim()
        except ClaimRefused as refused:
            return self._refuse(refused)
        messages.success(request, render_message("claimed", {"claimed": claimed}))
        return redirect("loyalty:my-points")

    def answer(
        self, *, waiting: WaitingPoints | None = None, refused: str = "", status: int | None = None
    ) -> HttpResponse:
        user = self.request.user
        context = self.get_context_data(
            waiting=waiting,
            refused=refused,
            policy=self.get_policy(),
            member=members.find_active_member(user_id=user.pk),
            may_claim=bool(waiting) and self.may_claim(),
            here=self.request.path,
        )
        response = self.render_to_response(context, status=status or _STATUS.get(refused, 200))
        return keep_secret(response)

    def _refuse(self, refused: ClaimRefused) -> HttpResponse:
        if refused.code == "order_already_claimed" and self.request.user.is_authenticated:
            # Whoever has claimed it may be told so by pressing the button again; others learn nothing.
            try:
                claimed = self.claim()
            except ClaimRefused:
                return self.answer(refused=refused.code, status=409)
            messages.info(self.request, render_message("claimed", {"claimed": claimed}))
            return redirect("loyalty:my-points")
        status = None if refused.code in _STATUS else 409
        return self.answer(refused=refused.code, status=status)


class ClaimView(_ClaimView):
    """Where the link in the mail leads."""

    def find_waiting(self) -> WaitingPoints:
        return claims.read_claim(token=self.kwargs["token"], now=self.now)

    def claim(self) -> Claimed:
        return claims.claim_by_token(
            token=self.kwargs["token"], user_id=int(str(self.request.user.pk)), now=self.now
        )


class CheckoutClaimView(_ClaimView):
    """Where the page that thanks a guest leads, and the registration after it."""

    def find_waiting(self) -> WaitingPoints:
        guest_order = find_guest_order(order_id=self._order_id())
        if guest_order is None:
            raise Http404
        waiting = claims.find_waiting_points(order_id=guest_order.purchase.order_id, now=self.now)
        if waiting is None:
            code = "order_already_claimed" if guest_order.purchase.is_claimed else "nothing_to_claim"
            raise ClaimRefused(code)
        return waiting

    def claim(self) -> Claimed:
        return claims.claim_from_checkout(order_id=self._order_id(), user=self.request.user, now=self.now)

    def may_claim(self) -> bool:
        guest_order = find_guest_order(order_id=self._order_id())
        user = self.request.user
        return guest_order is not None and (
            not user.is_authenticated
            or claims.is_proved_by_checkout(guest_order=guest_order, user=user, now=self.now)
        )

    def _order_id(self) -> int:
        order_id = self.request.session.get(ORDER_OF_SESSION)
        if order_id is None:
            raise Http404
        return int(order_id)


class SendClaimLinkView(StorefrontView):
    """
    Mail the link to the address of a guest's order: of the session's own, or of the one whose page the
    guest opened with Oscar's link. The answer is the same whatever was found.
    """

    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        number, proof = request.POST.get("order", ""), request.POST.get("proof", "")
        if not may_try(scope="claim", caller=caller_of(request)):
            messages.error(request, _("That was too often. Please try again in a few minutes."))
            return redirect(safe_next(request, default=reverse("loyalty:programme")))
        if number:
            order_id = find_order_id(number=number, proof=proof)
        else:
            order_id = request.session.get(ORDER_OF_SESSION)
        if order_id is not None:
            claims.send_claim_link(order_id=order_id, language=get_language() or "", now=self.now)
        messages.success(
            request,
            _("If points wait for this order, a link is on its way to the address it was placed with."),
        )
        return redirect(safe_next(request, default=reverse("loyalty:programme")))

"""
Card payment for Oscar's checkout pages, as mixins over whatever views the shop has.

One basket, one order: the basket is frozen by one statement that only one click can win, and the order is
placed while its row is locked. Payment views run outside ``ATOMIC_REQUESTS``: what we know about money is
committed before the provider is asked.
"""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.core.signing import BadSignature, Signer
from django.db import transaction
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from oscar.apps.checkout.signals import post_payment
from oscar.core.loading import get_class, get_classes, get_model

from ..conf import loyalty_settings
from ..transactions import spare_transaction
from . import queries, services
from .forms import TEST_CARDS, CardForm, TestCardForm
from .gateway import CardDeclined, GatewayRefused, GatewayUnavailable, IntentStatus
from .models import CardPayment
from .money import to_coins

logger = logging.getLogger(__name__)

_signer = Signer(salt="oscar_loyalty.payments")
CAME_FROM_BANK = "payment_intent"  # Stripe adds it to the address that it sends the shopper back to
WAITS = 15
SECONDS_BETWEEN_WAITS = 2


class _OrderPlaced(Exception):
    """Another request placed the order of this basket."""


class CardPaymentMixin:
    """What both views need: prepare, record and finish a payment. Goes before Oscar's views."""

    card_payment: CardPayment | None = None

    @method_decorator(transaction.non_atomic_requests)
    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        return super().dispatch(request, *args, **kwargs)  # type: ignore[misc,no-any-return]

    # The steps that Oscar's own submit() calls

    def handle_payment(self, order_number: str, total: Any, payment_method: str = "", **kwargs: Any) -> None:
        """Reserve the order's total on the card. A total of zero, paid by points, needs no card."""
        if total.incl_tax == Decimal(0):
            return
        declined, failed, elsewhere = get_classes(
            "payment.exceptions", ["UnableToTakePayment", "GatewayError", "RedirectRequired"]
        )
        basket_id = self.checkout_session.get_submitted_basket_id()  # type: ignore[attr-defined]
        now = timezone.now()
        try:
            opened = services.prepare_payment(
                basket_id=basket_id, amount=total.incl_tax, currency=total.currency, now=now
            )
            self.card_payment = opened.payment
            intent = services.authorise_payment(
                payment_id=opened.payment.pk,
                payment_method=payment_method,
                return_url=self._return_url(basket_id),
                now=now,
            )
        except CardDeclined as error:
            raise declined(decline_message(error.code)) from error
        except (GatewayUnavailable, GatewayRefused, services.PaymentAlreadyUsed) as error:
            raise failed(type(error).__name__) from error
        if intent.status == IntentStatus.ACTION_REQUIRED and intent.redirect_url:
            raise elsewhere(intent.redirect_url)
        if intent.status != IntentStatus.AUTHORISED:
            raise elsewhere(self._return_url(basket_id))
        add_card_source(self, opened.payment)

    def handle_order_placement(
        self,
        order_number: str,
        user: Any,
        basket: Any,
        shipping_address: Any,
        shipping_method: Any,
        shipping_charge: Any,
        billing_address: Any,
        order_total: Any,
        surcharges: Any = None,
        **kwargs: Any,
    ) -> HttpResponse:
        """Place the order with its payment in one transaction; capture the card after it is committed."""
        try:
            with transaction.atomic():
                locked = services.lock_basket(basket_id=basket.pk)
                if queries.find_order(basket_id=basket.pk):
                    raise _OrderPlaced
                if locked.status != locked.FROZEN:
                    raise get_class("order.exceptions", "UnableToPlaceOrder")(
                        _("Your basket has changed meanwhile. Please check it and pay again.")
                    )
                order = self.place_order(  # type: ignore[attr-defined]
                    order_number=order_number,
                    user=user,
                    basket=basket,
                    shipping_address=shipping_address,
                    shipping_method=shipping_method,
                    shipping_charge=shipping_charge,
                    order_total=order_total,
                    billing_address=billing_address,
                    surcharges=surcharges,
                    **kwargs,
                )
                if self.card_payment is not None:
                    services.record_order(payment_id=self.card_payment.pk, order_number=order.number)
                    services.capture_after_commit(payment_id=self.card_payment.pk, clock=timezone.now)
                basket.submit()
        except _OrderPlaced:
            return self._show_order(queries.find_order(basket_id=basket.pk))
        except Exception:
            self._give_up_payment("order_not_placed")
            raise
        try:
            with spare_transaction():
                return self.handle_successful_order(order)  # type: ignore[attr-defined,no-any-return]
        except Exception:
            # A mail server that is down must not look like an order that failed.
            logger.exception("Order %s is placed, but what follows it failed", order.number)
            return self._show_order(order)

    def restore_frozen_basket(self) -> None:
        """Make the submitted basket usable again, unless an order was placed from it."""
        basket_id = self.checkout_session.get_submitted_basket_id()  # type: ignore[attr-defined]
        basket_model = get_model("basket", "Basket")
        with transaction.atomic():
            basket = basket_model._default_manager.select_for_update().filter(pk=basket_id).first()
            if (
                basket is None
                or basket.status != basket_model.FROZEN
                or queries.find_order(basket_id=basket_id)
            ):
                return
            basket.thaw()
        _use_basket(self.request, basket)  # type: ignore[attr-defined]

    # Helpers

    def _give_up_payment(self, reason: str) -> None:
        if self.card_payment is None:
            return
        try:
            services.cancel_payment(payment_id=self.card_payment.pk, reason=reason, now=timezone.now())
        except Exception:
            logger.exception("Payment %s waits to be cancelled", self.card_payment.pk)

    def _show_order(self, order: Any) -> HttpResponse:
        request = self.request  # type: ignore[attr-defined]
        self.checkout_session.flush()  # type: ignore[attr-defined]
        request.session["checkout_order_id"] = order.pk
        return HttpResponseRedirect(self.get_success_url())  # type: ignore[attr-defined]

    def _return_url(self, basket_id: object) -> str:
        return self.request.build_absolute_uri(return_path(basket_id))  # type: ignore[attr-defined,no-any-return]


class CardPaymentDetailsMixin(CardPaymentMixin):
    """For Oscar's ``PaymentDetailsView``: a card form, then the preview, then the order."""

    @method_decorator(transaction.non_atomic_requests)
    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.POST.get("action") == "place_order":
            basket_id = _unsign(request.POST.get("submission", ""))
            if basket_id and str(request.basket.pk) != basket_id:
                # The second click on "pay": the first one has taken the basket out of the shopper's hands.
                return redirect(return_path(basket_id))
        else:
            restore_abandoned_basket(request)
        return super().dispatch(request, *args, **kwargs)

    def get_card_form(self, data: Any = None) -> CardForm | TestCardForm:
        form_class = TestCardForm if loyalty_settings.card_test_form else CardForm
        return form_class(data)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)  # type: ignore[misc]
        context.setdefault("card_form", self.get_card_form())
        context["card_payment_method"] = context["payment_kwargs"].get("payment_method", "") or kwargs.get(
            "payment_method", ""
        )
        context["card_submission"] = _signer.sign(str(self.request.basket.pk))  # type: ignore[attr-defined]
        context["stripe_publishable_key"] = loyalty_settings.stripe_publishable_key
        context["card_test_form"] = loyalty_settings.card_test_form
        context["card_label"] = dict(TEST_CARDS).get(context["card_payment_method"], _("Card"))
        context["card_total"] = total = context.get("order_total")
        if total is not None and total.is_tax_known:
            context["card_total_coins"] = to_coins(total.incl_tax, total.currency)
        return context  # type: ignore[no-any-return]

    def handle_payment_details_submission(self, request: Any) -> HttpResponse:
        form = self.get_card_form(request.POST)
        if not form.is_valid():
            return self.render_payment_details(request, card_form=form)  # type: ignore[attr-defined,no-any-return]
        return self.render_preview(  # type: ignore[attr-defined,no-any-return]
            request, payment_method=form.cleaned_data["payment_method"]
        )

    def handle_place_order_submission(self, request: Any) -> HttpResponse:
        submission = self.build_submission()  # type: ignore[attr-defined]
        total = submission["order_total"]
        if total is not None and total.incl_tax > 0:
            form = self.get_card_form(request.POST)
            if not form.is_valid():
                messages.warning(request, _("Please choose how to pay."))
                return redirect("checkout:payment-details")
            submission["payment_kwargs"]["payment_method"] = form.cleaned_data["payment_method"]
        return self.submit(**submission)

    def submit(self, user: Any, basket: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        """Let exactly one of several clicks through; the others are shown how that one goes on."""
        total = kwargs.get("order_total")
        if total is not None and total.incl_tax == Decimal(0):
            # No provider is asked, so freezing and placing are one transaction and a crash undoes both.
            with transaction.atomic():
                locked = services.lock_basket(basket_id=basket.pk)
                if locked.can_be_edited:
                    return super().submit(user, basket, *args, **kwargs)  # type: ignore[misc,no-any-return]
        elif services.claim_basket(basket_id=basket.pk):
            response = super().submit(user, basket, *args, **kwargs)  # type: ignore[misc]
            if response.status_code != 302 and (order := queries.find_order(basket_id=basket.pk)):
                # What failed here went on in the second click.
                return self._show_order(order)
            return response  # type: ignore[no-any-return]
        return redirect(return_path(basket.pk))


class CardPaymentReturnMixin(CardPaymentMixin):
    """
    For a second ``PaymentDetailsView``: where the bank sends the shopper, and where a second click waits.

    Nothing in the address is believed: the provider is asked, and the basket must be this shopper's.
    """

    pre_conditions = None
    preview = True

    def get_pre_conditions(self, request: Any) -> list[str]:
        return []

    def get_skip_conditions(self, request: Any) -> list[str]:
        return []

    def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        basket_id = _unsign(kwargs["submission"])
        basket = (
            get_model("basket", "Basket")._default_manager.filter(pk=basket_id).first() if basket_id else None
        )
        if basket is None or (basket.owner_id and basket.owner_id != request.user.pk):
            raise Http404
        order = queries.find_order(basket_id=basket.pk)
        session = request.session
        known_here = basket.owner_id or str(basket.pk) == str(
            self.checkout_session.get_submitted_basket_id()  # type: ignore[attr-defined]
        )
        if order is not None and (known_here or session.get("checkout_order_id") == order.pk):
            return self._show_order(order)
        if not known_here:
            # A guest's second click: the first one has not written the session yet. Whoever else holds
            # this address is told nothing and can change nothing.
            return self._waiting_page(request) or redirect("basket:summary")
        if basket.status != basket.FROZEN:
            if CAME_FROM_BANK in request.GET:
                messages.error(request, _("Your payment was not finished. No money was taken."))
            return redirect("checkout:payment-details")
        return self._continue(request, basket)

    def post(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        return redirect(request.path)

    def _continue(self, request: Any, basket: Any) -> HttpResponse:
        payment = queries.find_open_payment(basket_id=basket.pk)
        if payment is None or payment.intent_id is None:
            return self._wait(request, basket)
        try:
            opened = services.look_again(payment_id=payment.pk, now=timezone.now())
        except (GatewayUnavailable, GatewayRefused):
            return self._wait(request, basket)
        self.card_payment, status = opened.payment, opened.intent.status
        if status == IntentStatus.AUTHORISED:
            return self._place(request, basket)
        came_from_bank = CAME_FROM_BANK in request.GET
        if status == IntentStatus.ACTION_REQUIRED and opened.intent.redirect_url and not came_from_bank:
            return redirect(opened.intent.redirect_url)
        if status == IntentStatus.PROCESSING or not came_from_bank:
            return self._wait(request, basket)  # the first click is still asking
        return self._back_to_card(
            request, basket, _("Your bank did not confirm the payment. No money was taken. Please try again.")
        )

    def _place(self, request: Any, basket: Any) -> HttpResponse:
        assert self.card_payment is not None
        _use_basket(request, basket)
        submission = self.build_submission(basket=basket)  # type: ignore[attr-defined]
        total = submission["order_total"]
        try:
            if total is None:
                raise services.PaymentMismatch("shipping")
            self.card_payment = services.verify_authorisation(
                intent_id=self.card_payment.intent_id or "",
                basket_id=basket.pk,
                amount=total.incl_tax,
                currency=total.currency,
                now=timezone.now(),
            )
        except services.PaymentAlreadyUsed:
            return self._wait(request, basket)
        except (GatewayUnavailable, GatewayRefused):
            return self._wait(request, basket)
        except (services.PaymentMismatch, services.PaymentNotAuthorised):
            return self._back_to_card(
                request,
                basket,
                _("The total of your order has changed. No money was taken. Please pay again."),
            )
        # Written only by the request that places: one that waits would save its older copy of the session
        # over the one that already names the order.
        self.checkout_session.set_submitted_basket(basket)  # type: ignore[attr-defined]
        post_payment.send_robust(sender=self, view=self)
        add_card_source(self, self.card_payment)
        submission.pop("payment_kwargs")
        order_kwargs = submission.pop("order_kwargs")
        order_number = self.checkout_session.get_order_number() or self.generate_order_number(  # type: ignore[attr-defined]
            basket
        )
        try:
            return self.handle_order_placement(order_number, **submission, **order_kwargs)
        except get_class("order.exceptions", "UnableToPlaceOrder") as error:
            return self._back_to_card(request, basket, str(error))
        except Exception:
            logger.exception("The order of basket %s could not be placed", basket.pk)
            return self._back_to_card(
                request, basket, _("Your order could not be placed. No money was taken. Please try again.")
            )

    def _back_to_card(self, request: Any, basket: Any, message: str) -> HttpResponse:
        services.release_basket(basket_id=basket.pk, reason="not_confirmed", now=timezone.now())
        if order := queries.find_order(basket_id=basket.pk):
            return self._show_order(order)
        basket.refresh_from_db()
        if basket.can_be_edited:
            _use_basket(request, basket)
        messages.error(request, message)
        return redirect("checkout:payment-details")

    def _wait(self, request: Any, basket: Any) -> HttpResponse:
        return self._waiting_page(request) or self._back_to_card(
            request, basket, _("Your payment was not finished. No money was taken. Please try again.")
        )

    def _waiting_page(self, request: Any) -> HttpResponse | None:
        """Return a page that looks again by itself, or ``None`` when it has done so often enough."""
        waited = request.GET.get("waited", "")
        waits = int(waited) + 1 if waited.isascii() and waited.isdigit() and len(waited) < 4 else 1
        if waits > WAITS:
            return None
        return render(
            request,
            "oscar_loyalty/payments/waiting.html",
            {"next_url": f"{request.path}?waited={waits}", "seconds": SECONDS_BETWEEN_WAITS},
        )


def add_card_source(placement: Any, payment: CardPayment) -> None:
    """Tell Oscar's ``OrderPlacementMixin`` what to write down about the payment when it saves the order."""
    source_type, _created = get_model("payment", "SourceType")._default_manager.get_or_create(
        code=services.SOURCE_TYPE_CODE, defaults={"name": "Card"}
    )
    source = get_model("payment", "Source")(
        source_type=source_type,
        currency=payment.currency,
        amount_allocated=payment.amount,
        reference=payment.intent_id,
    )
    source.create_deferred_transaction("Authorise", payment.amount, reference=payment.intent_id)
    placement.add_payment_source(source)
    placement.add_payment_event("Authorised", payment.amount, reference=payment.intent_id)


def restore_abandoned_basket(request: Any) -> None:
    """
    Give the shopper the basket back whose payment was begun in this session and not finished.

    Call it in views that the shopper opens on purpose to go on shopping or paying. Does nothing, and asks
    the database nothing, when no payment was begun.
    """
    basket_id = get_class("checkout.utils", "CheckoutSessionData")(request).get_submitted_basket_id()
    if not basket_id or str(request.basket.pk) == str(basket_id):
        return
    basket = get_model("basket", "Basket")._default_manager.filter(pk=basket_id).first()
    if basket is None or (basket.owner_id and basket.owner_id != request.user.pk):
        return
    if services.release_basket(basket_id=basket_id, reason="abandoned", now=timezone.now()):
        basket.refresh_from_db()
        _use_basket(request, basket)


def return_path(basket_id: object) -> str:
    """Where the payment of this basket goes on. Signed, so that nobody can walk through the numbers."""
    return reverse("checkout:payment-return", kwargs={"submission": _signer.sign(str(basket_id))})


def decline_message(code: str) -> str:
    """Say in the shopper's words why the card was not accepted, and what to do."""
    match code:
        case "insufficient_funds":
            return _("There is not enough money on this card. Please try another one.")
        case "expired_card":
            return _("This card has expired. Please try another one.")
        case "incorrect_cvc" | "incorrect_number":
            return _("The card details are not right. Please check them.")
        case _other:
            return _("Your card was declined. Please try another one.")


def _use_basket(request: Any, basket: Any) -> None:
    """Make ``basket`` the one of this request; what was put into a new one meanwhile joins it."""
    current = request.basket
    if current.pk == basket.pk:
        current.status = basket.status
        return
    if current.pk and basket.can_be_edited and not current.is_empty:
        basket.merge(current, add_quantities=False)
    basket.strategy = request.strategy
    basket.reset_offer_applications()
    get_class("offer.applicator", "Applicator")().apply(basket, request.user, request)
    request.basket = request._basket_cache = basket


def _unsign(signed: str) -> str | None:
    try:
        return _signer.unsign(signed)
    except BadSignature:
        return None

"""One row per intent to pay, and the news that the provider sends about them."""

import uuid
from datetime import datetime

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _


class CardPayment(models.Model):
    """
    One payment by card for one basket, from the intent to the capture.

    ``open_key`` repeats the basket while the payment may still become money, so that a unique key keeps
    a basket from having two such payments on every database.
    """

    class State(models.TextChoices):
        REQUESTED = "REQUESTED", _("Requested")
        PENDING = "PENDING", _("Waits for a card")
        ACTION_REQUIRED = "ACTION_REQUIRED", _("Waits for the shopper's bank")
        AUTHORISED = "AUTHORISED", _("Authorised")
        CAPTURED = "CAPTURED", _("Captured")
        CANCELLING = "CANCELLING", _("Being cancelled")
        CANCELLED = "CANCELLED", _("Cancelled")

    # What may follow what. Anything else is old news that arrived late, and is passed over.
    FOLLOWS = {
        State.REQUESTED: {
            State.PENDING,
            State.ACTION_REQUIRED,
            State.AUTHORISED,
            State.CAPTURED,
            State.CANCELLING,
            State.CANCELLED,
        },
        State.PENDING: {
            State.ACTION_REQUIRED,
            State.AUTHORISED,
            State.CAPTURED,
            State.CANCELLING,
            State.CANCELLED,
        },
        State.ACTION_REQUIRED: {
            State.PENDING,
            State.AUTHORISED,
            State.CAPTURED,
            State.CANCELLING,
            State.CANCELLED,
        },
        State.AUTHORISED: {State.CAPTURED, State.CANCELLING, State.CANCELLED},
        State.CANCELLING: {State.CANCELLED, State.CAPTURED},
        State.CAPTURED: set(),
        State.CANCELLED: set(),
    }
    GIVEN_UP = (State.CANCELLING, State.CANCELLED)
    FINISHED = (State.CAPTURED, State.CANCELLED)
    MOMENTS = {
        State.AUTHORISED: "authorised_at",
        State.CAPTURED: "captured_at",
        State.CANCELLED: "cancelled_at",
    }

    public_id = models.UUIDField(_("public id"), default=uuid.uuid4, unique=True, editable=False)
    basket_id = models.CharField(_("basket"), max_length=64, db_index=True)
    open_key = models.CharField(max_length=64, null=True, unique=True, editable=False)
    order_number = models.CharField(_("order number"), max_length=128, null=True, blank=True, unique=True)
    intent_id = models.CharField(
        _("intent"), max_length=255, null=True, unique=True, help_text=_("The provider's id of this payment.")
    )
    amount = models.DecimalField(_("amount"), max_digits=13, decimal_places=3)
    currency = models.CharField(_("currency"), max_length=12)
    state = models.CharField(_("state"), max_length=16, choices=State.choices, default=State.REQUESTED)
    customer_ref = models.CharField(
        max_length=255,
        blank=True,
        default="",
        db_default="",  # for workers of the version before, while this one is brought in
        help_text=_("The provider's id of the customer, where it has one."),
    )
    is_live = models.BooleanField(
        null=True, help_text=_("Whether real money moves; empty: the provider does not say.")
    )
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    last_error = models.CharField(_("last error"), max_length=128, blank=True)
    created_at = models.DateTimeField(_("created at"))
    authorised_at = models.DateTimeField(_("authorised at"), null=True, blank=True)
    captured_at = models.DateTimeField(_("captured at"), null=True, blank=True)
    cancelled_at = models.DateTimeField(_("cancelled at"), null=True, blank=True)

    class Meta:
        verbose_name = _("card payment")
        verbose_name_plural = _("card payments")
        indexes = [models.Index(fields=["state", "created_at"], name="loyalty_payment_unfinished")]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="loyalty_payment_above_zero"),
            models.CheckConstraint(
                condition=Q(
                    state__in=[
                        "REQUESTED",
                        "PENDING",
                        "ACTION_REQUIRED",
                        "AUTHORISED",
                        "CAPTURED",
                        "CANCELLING",
                        "CANCELLED",
                    ]
                ),
                name="loyalty_payment_known_state",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["CANCELLING", "CANCELLED"], open_key__isnull=True)
                # Given up by us, but the money was taken all the same.
                | Q(state="CAPTURED", open_key__isnull=True)
                | Q(
                    ~Q(state__in=["CANCELLING", "CANCELLED"]), open_key__isnull=False, open_key=F("basket_id")
                ),
                name="loyalty_payment_open_until_cancelled",
            ),
            models.CheckConstraint(
                condition=Q(state="REQUESTED")
                | Q(state__in=["CANCELLING", "CANCELLED"])
                | Q(intent_id__isnull=False),
                name="loyalty_payment_has_intent",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount} {self.currency} ({self.state})"

    def move_to(self, state: str, *, now: datetime) -> bool:
        """Take the next state if it may follow, with its moment; say whether anything changed. Not saved."""
        if state not in self.FOLLOWS[self.State(self.state)]:
            return False
        self.state = state
        if moment := self.MOMENTS.get(self.State(state)):
            setattr(self, moment, now)
        if state in self.GIVEN_UP:
            self.open_key = None
        return True


class StripeEvent(models.Model):
    """One signed call of Stripe, kept as it came: a reason to look at Stripe, never a source of facts."""

    class State(models.TextChoices):
        RECEIVED = "RECEIVED", _("Received")
        PROCESSED = "PROCESSED", _("Processed")
        IGNORED = "IGNORED", _("Not about a payment of ours")

    event_id = models.CharField(_("event"), primary_key=True, max_length=255)
    kind = models.CharField(_("kind"), max_length=128)
    object_id = models.CharField(_("object"), max_length=255, db_index=True)
    refunds_of = models.CharField(
        _("refunds of"),
        max_length=255,
        blank=True,
        db_index=True,
        default="",
        db_default="",  # for workers of the version before, while this one is brought in
        help_text=_("The intent whose refunds it is about."),
    )
    payload = models.TextField(_("payload"), help_text=_("As it came, in JSON."))
    state = models.CharField(_("state"), max_length=16, choices=State.choices, default=State.RECEIVED)
    received_at = models.DateTimeField(_("received at"))
    processed_at = models.DateTimeField(_("processed at"), null=True, blank=True)

    class Meta:
        verbose_name = _("Stripe event")
        verbose_name_plural = _("Stripe events")
        indexes = [models.Index(fields=["state", "received_at"], name="loyalty_stripe_event_waiting")]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["RECEIVED", "PROCESSED", "IGNORED"]),
                name="loyalty_stripe_event_known_state",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.event_id}"

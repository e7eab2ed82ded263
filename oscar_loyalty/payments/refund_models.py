"""One row per payment back: by the provider to the card, or by hand."""

import uuid
from datetime import datetime

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class Refund(models.Model):
    """
    Money that goes back for one cause, once.

    Also what somebody paid back at the provider's own pages is here (``cause_ref`` begins with ``gateway:``),
    because it counts towards what may still be paid back.
    """

    class State(models.TextChoices):
        REQUESTED = "REQUESTED", _("Requested")
        PENDING = "PENDING", _("On its way")
        SUCCEEDED = "SUCCEEDED", _("Paid back")
        FAILED = "FAILED", _("Failed")
        CANCELLED = "CANCELLED", _("Cancelled")

    class Method(models.TextChoices):
        CARD = "CARD", _("To the card")
        MANUAL = "MANUAL", _("By hand")

    # What may come next; anything else that the provider says is old news that arrived late. A bank may send
    # money back days after it took it, so what has succeeded may still fail. What has failed is failed for
    # good: only a person can try it again, pay it by hand, or give it up. Only we cancel, never the provider.
    FOLLOWS = {
        State.REQUESTED: {State.PENDING, State.SUCCEEDED, State.FAILED, State.CANCELLED},
        State.PENDING: {State.SUCCEEDED, State.FAILED},
        State.SUCCEEDED: {State.FAILED},
        State.FAILED: {State.CANCELLED},
        State.CANCELLED: set(),
    }
    #: These do not count towards what was paid back.
    VOID = (State.FAILED, State.CANCELLED)
    OPEN = (State.REQUESTED, State.PENDING)
    #: How ``failure_code`` begins when the provider has something else than we asked for.
    MISMATCH = "mismatch_"
    MOMENTS = {State.SUCCEEDED: "succeeded_at", State.FAILED: "failed_at"}

    public_id = models.UUIDField(_("public id"), default=uuid.uuid4, unique=True, editable=False)
    cause_ref = models.CharField(
        _("cause"), max_length=128, unique=True, help_text=_("Why money goes back, e.g. for which return.")
    )
    order_number = models.CharField(_("order number"), max_length=128, blank=True, db_index=True)
    payment = models.ForeignKey(
        "oscar_loyalty.CardPayment",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="refunds",
        verbose_name=_("card payment"),
    )
    source_id = models.BigIntegerField(
        _("payment source"), null=True, blank=True, help_text=_("Of Oscar; empty when it is not one alone.")
    )
    intent_id = models.CharField(
        _("intent"),
        max_length=255,
        blank=True,
        db_index=True,
        help_text=_("The provider's id of the payment."),
    )
    method = models.CharField(_("way"), max_length=8, choices=Method.choices)
    amount = models.DecimalField(_("amount"), max_digits=13, decimal_places=3)
    currency = models.CharField(_("currency"), max_length=12)
    gateway_id = models.CharField(
        _("refund at the provider"), max_length=255, null=True, blank=True, unique=True
    )
    state = models.CharField(_("state"), max_length=16, choices=State.choices, default=State.REQUESTED)
    failure_code = models.CharField(_("what is wrong"), max_length=128, blank=True)
    reference = models.CharField(
        _("reference"), max_length=128, blank=True, help_text=_("Of what was paid by hand.")
    )
    handled_by_ref = models.CharField(_("by"), max_length=64, blank=True)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    revision = models.PositiveIntegerField(default=0, editable=False)
    requested_at = models.DateTimeField(_("requested at"))
    sent_at = models.DateTimeField(_("first sent at"), null=True, blank=True)
    succeeded_at = models.DateTimeField(_("paid back at"), null=True, blank=True)
    failed_at = models.DateTimeField(_("failed at"), null=True, blank=True)
    due_at = models.DateTimeField(
        _("looked at again at"), null=True, blank=True, help_text=_("Empty: nothing more to find out.")
    )
    replaces = models.OneToOneField(
        "self",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="replaced_by",
        verbose_name=_("second try of"),
    )

    class Meta:
        verbose_name = _("refund")
        verbose_name_plural = _("refunds")
        permissions = [("handle_refund", "Can try refunds again and pay them by hand")]
        indexes = [
            models.Index(fields=["due_at", "id"], name="loyalty_refund_due"),
            models.Index(fields=["state", "method"], name="loyalty_refund_state"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="loyalty_refund_above_zero"),
            models.CheckConstraint(
                condition=Q(state__in=["REQUESTED", "PENDING", "SUCCEEDED", "FAILED", "CANCELLED"]),
                name="loyalty_refund_known_state",
            ),
            models.CheckConstraint(
                condition=Q(method="MANUAL") | Q(Q(method="CARD"), ~Q(intent_id="")),
                name="loyalty_refund_known_way",
            ),
            models.CheckConstraint(
                condition=~Q(state="SUCCEEDED") | Q(succeeded_at__isnull=False),
                name="loyalty_refund_has_moment",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.cause_ref} ({self.get_state_display()})"

    @property
    def is_mismatch(self) -> bool:
        """Whether the provider has something else than we asked for: what became of it a person finds out."""
        return self.failure_code.startswith(self.MISMATCH)

    def move_to(self, state: str, *, now: datetime) -> bool:
        """Take the next state if it may follow, with its moment; say whether anything changed. Not saved."""
        if state not in self.FOLLOWS[self.State(self.state)]:
            return False
        self.state = state
        if moment := self.MOMENTS.get(self.State(state)):
            setattr(self, moment, now)
        return True

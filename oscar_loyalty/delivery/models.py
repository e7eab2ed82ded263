"""What was promised for which order. Orders are named by their number, so that the row outlives them."""

from datetime import datetime

from django.db import models
from django.utils.translation import gettext_lazy as _


class DeliveryPromise(models.Model):
    """The day on which an order was said to arrive, and what became of that."""

    class State(models.TextChoices):
        WAITING = "WAITING", _("on its way")
        LATE = "LATE", _("late")
        ON_TIME = "ON_TIME", _("arrived on time")
        DELIVERED_LATE = "DELIVERED_LATE", _("arrived late")
        VOID = "VOID", _("cancelled")

    order_ref = models.CharField(_("order"), max_length=128, unique=True)
    method = models.CharField(
        _("method"), max_length=64, help_text=_("Without the day or the place that was chosen.")
    )
    method_code = models.CharField(_("code of the method"), max_length=128)
    promised_date = models.DateField(_("promised for"))
    window_from = models.TimeField(_("from"), null=True, blank=True)
    window_until = models.TimeField(_("until"), null=True, blank=True)
    due_at = models.DateTimeField(_("late from"), help_text=_("The promised day is over."))
    made_at = models.DateTimeField(_("promised"))
    delivered_at = models.DateTimeField(_("arrived"), null=True, blank=True)
    late_since = models.DateTimeField(_("late since"), null=True, blank=True)
    void_at = models.DateTimeField(_("void since"), null=True, blank=True, help_text=_("Order cancelled."))
    apologised_at = models.DateTimeField(_("apologised"), null=True, blank=True)
    apology_points = models.PositiveIntegerField(_("points as an apology"), default=0)

    class Meta:
        verbose_name = _("promised delivery")
        verbose_name_plural = _("promised deliveries")
        indexes = [
            # What has not arrived yet, and what was due in a month.
            models.Index(fields=["delivered_at", "due_at"], name="loyalty_delivery_open"),
            models.Index(fields=["promised_date"], name="loyalty_delivery_date"),
        ]

    def __str__(self) -> str:
        return self.order_ref

    @property
    def state(self) -> "DeliveryPromise.State":
        """What a customer or the staff are told of it."""
        state = DeliveryPromise.State
        if self.void_at:
            return state.VOID
        if self.delivered_at:
            return state.DELIVERED_LATE if self.late_since else state.ON_TIME
        return state.LATE if self.late_since else state.WAITING

    @property
    def state_label(self) -> str:
        return str(self.state.label)

    def is_due(self, now: datetime) -> bool:
        return self.due_at <= now

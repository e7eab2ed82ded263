from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class OutboxMessage(models.Model):
    """News that must go out because something was booked, written in the transaction of the booking."""

    topic = models.CharField(max_length=64)
    key = models.CharField(max_length=128, help_text="Consumers drop what they have seen.")
    payload = models.JSONField(default=dict, help_text="Ids only, never personal data.")
    created_at = models.DateTimeField()
    available_at = models.DateTimeField(help_text="Not before this moment; moves on after a failure.")
    attempts = models.PositiveIntegerField(default=0)
    # Inside the index instead of a conditional index, which MariaDB would build in full.
    waiting = models.BooleanField(default=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    last_error = models.CharField(max_length=500, blank=True)

    class Meta:
        verbose_name = _("outbox message")
        verbose_name_plural = _("outbox messages")
        indexes = [models.Index(fields=["waiting", "available_at", "id"], name="loyalty_outbox_next")]
        constraints = [
            models.UniqueConstraint(fields=["key"], name="loyalty_outbox_key_once"),
            models.CheckConstraint(
                condition=Q(waiting=True, sent_at__isnull=True) | Q(waiting=False, sent_at__isnull=False),
                name="loyalty_outbox_sent_or_waiting",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.topic} {self.key}"

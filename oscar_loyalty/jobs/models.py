"""Long work that somebody asked for: how far it is, and what came of it."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class JobRun(models.Model):
    """One piece of work. Whoever works on it writes a heartbeat; without one it is taken up by another."""

    class State(models.TextChoices):
        QUEUED = "QUEUED", _("waiting")
        RUNNING = "RUNNING", _("running")
        CANCELLING = "CANCELLING", _("being cancelled")
        CANCELLED = "CANCELLED", _("cancelled")
        DONE = "DONE", _("done")
        FAILED = "FAILED", _("failed")

    kind = models.CharField(_("kind"), max_length=32)
    subject = models.CharField(_("subject"), max_length=64, help_text="What it is about: version:7 …")
    #: Kind and subject while it is not over, then NULL: so there is one at a time, on every engine.
    open_key = models.CharField(max_length=100, unique=True, null=True)
    parameters = models.JSONField(_("details"), default=dict)
    state = models.CharField(_("state"), max_length=12, choices=State.choices, default=State.QUEUED)
    attempt = models.PositiveSmallIntegerField(_("attempts"), default=0)
    total = models.PositiveBigIntegerField(_("total"), default=0)
    done = models.PositiveBigIntegerField(_("done"), default=0)
    requested_by_ref = models.CharField(_("by"), max_length=64)
    requested_at = models.DateTimeField(_("asked for"))
    started_at = models.DateTimeField(_("started"), null=True)
    heartbeat_at = models.DateTimeField(_("last sign of life"), null=True)
    finished_at = models.DateTimeField(_("finished"), null=True)
    result = models.JSONField(_("result"), null=True)
    error = models.CharField(_("error"), max_length=500, blank=True)

    class Meta:
        verbose_name = _("job")
        verbose_name_plural = _("jobs")
        indexes = [models.Index(fields=["subject", "-id"], name="loyalty_job_of_subject")]
        constraints = [
            models.CheckConstraint(
                condition=Q(open_key__isnull=True, finished_at__isnull=False)
                | Q(open_key__isnull=False, finished_at__isnull=True),
                name="loyalty_job_open_or_finished",
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}"

    @property
    def is_open(self) -> bool:
        return self.finished_at is None


class JobPart(models.Model):
    """A share of a job. It is done as a whole, or begun anew."""

    class State(models.TextChoices):
        WAITING = "WAITING", _("waiting")
        RUNNING = "RUNNING", _("running")
        DONE = "DONE", _("done")

    job = models.ForeignKey(JobRun, on_delete=models.CASCADE, related_name="parts")
    number = models.PositiveIntegerField()
    parameters = models.JSONField(default=dict)
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    done = models.PositiveBigIntegerField(default=0)
    result = models.JSONField(null=True)

    class Meta:
        verbose_name = _("part of a job")
        verbose_name_plural = _("parts of a job")
        constraints = [models.UniqueConstraint(fields=["job", "number"], name="loyalty_job_part_number_once")]

    def __str__(self) -> str:
        return f"{self.job_id}/{self.number}"

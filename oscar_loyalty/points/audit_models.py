"""Audits of the ledger: what was looked at, how far it came, and what was found."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class AuditRun(models.Model):
    """One audit of all accounts. It can be interrupted at any moment and goes on where it was."""

    started_at = models.DateTimeField(_("started"))
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    since_entry = models.BigIntegerField(
        null=True, blank=True, help_text="Only accounts with an entry from this one on."
    )
    announced_since = models.DateTimeField(help_text="Entries from then on must have a message.")
    accounts = models.BigIntegerField(_("accounts"), default=0)
    entries = models.BigIntegerField(_("entries"), default=0)
    findings = models.BigIntegerField(_("findings"), default=0)

    class Meta:
        verbose_name = _("audit of the ledger")
        verbose_name_plural = _("audits of the ledger")

    def __str__(self) -> str:
        return f"{self.started_at:%Y-%m-%d %H:%M}"


class AuditShard(models.Model):
    """Accounts with ids from ``first_id`` to ``last_id``; those before ``next_id`` are done."""

    class State(models.TextChoices):
        WAITING = "WAITING", _("waiting")
        RUNNING = "RUNNING", _("running")
        DONE = "DONE", _("done")

    run = models.ForeignKey(AuditRun, on_delete=models.CASCADE, related_name="shards")
    first_id = models.BigIntegerField()
    last_id = models.BigIntegerField()
    next_id = models.BigIntegerField()
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    accounts = models.BigIntegerField(default=0)
    entries = models.BigIntegerField(default=0)
    findings = models.BigIntegerField(default=0)

    class Meta:
        verbose_name = _("part of an audit")
        verbose_name_plural = _("parts of an audit")

    def __str__(self) -> str:
        return f"{self.first_id} to {self.last_id}"


class AuditFinding(models.Model):
    """
    Something that is wrong with the ledger. Ids as numbers, because what is wrong may be that the row
    is gone.
    """

    run = models.ForeignKey(AuditRun, on_delete=models.CASCADE, related_name="found")
    code = models.CharField(_("code"), max_length=32)
    account = models.CharField(_("account"), max_length=36, help_text="Its public id.")
    entry_id = models.BigIntegerField(null=True, blank=True)
    lot_id = models.BigIntegerField(null=True, blank=True)
    hold_id = models.BigIntegerField(null=True, blank=True)
    expected = models.CharField(_("expected"), max_length=200, blank=True)
    found = models.CharField(_("found"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("finding of an audit")
        verbose_name_plural = _("findings of audits")
        indexes = [models.Index(fields=["run", "code"], name="loyalty_audit_finding_code")]

    def __str__(self) -> str:
        return f"{self.code} {self.account}"

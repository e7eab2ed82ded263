"""
The tables of the ledger. The database keeps those promises of README.md that concern one row.

Entries, postings and earned lines are append-only and hold references as text, never a foreign key to
Oscar or to the user, so that neither deleting an order nor erasing a person has to change a row.
"""

import uuid
from typing import Any, NoReturn

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from oscar_loyalty.members.models import Member
from oscar_loyalty.programmes.models import Programme
from oscar_loyalty.programmes.rules import FAR_FUTURE

#: No account may ever hold more than this, no entry move more than a thousandth of it.
MOST_POINTS = 10**15
MOST_POINTS_PER_ENTRY = 10**12

#: Columns of an account that postings move, and columns of a lot that together make up its amount.
COUNTERS = (
    *("pending", "available", "held", "debt", "earned"),
    *("moved_in", "spent", "expired", "reversed", "moved"),
)
LOT_COLUMNS = ("pending", "remaining", "spent", "expired", "reversed", "moved")


class AppendOnlyRow(TypeError):
    """A row of the ledger was about to be changed or deleted. Book a reversal instead."""


class AppendOnlyQuerySet(models.QuerySet):  # type: ignore[type-arg]
    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnlyRow(f"{self.model.__name__} rows are added, never changed or deleted.")

    update = delete = bulk_update = update_or_create = _refuse  # type: ignore[assignment]


class AppendOnlyModel(models.Model):
    objects = AppendOnlyQuerySet.as_manager()

    class Meta:
        abstract = True
        base_manager_name = "objects"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise AppendOnlyRow(f"{type(self).__name__} rows are added, never changed or deleted.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnlyRow(f"{type(self).__name__} rows are added, never changed or deleted.")


class Account(models.Model):
    """
    A member's points in one programme. Its counters are the balance, and its row is the only lock:
    whoever books locks it before reading anything else.
    """

    class Status(models.TextChoices):
        OPEN = "OPEN", _("open")
        FROZEN = "FROZEN", _("frozen")
        CLOSED = "CLOSED", _("closed")
        MERGED = "MERGED", _("merged")

    public_id = models.UUIDField(_("public id"), default=uuid.uuid4, unique=True, editable=False)
    programme = models.ForeignKey(
        Programme, on_delete=models.PROTECT, related_name="accounts", verbose_name=_("programme")
    )
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="accounts")
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.OPEN)
    merged_into = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="merged_from"
    )
    # "programme:member" while the account is open. A conditional unique constraint does not exist on
    # MariaDB; several NULLs are allowed in a unique column everywhere.
    open_key = models.CharField(max_length=64, unique=True, null=True, blank=True, editable=False)

    pending = models.BigIntegerField(_("pending"), default=0)
    available = models.BigIntegerField(_("available"), default=0)
    held = models.BigIntegerField(_("reserved"), default=0)
    debt = models.BigIntegerField(_("deficit"), default=0)
    earned = models.BigIntegerField(_("earned"), default=0)
    moved_in = models.BigIntegerField(default=0)
    spent = models.BigIntegerField(_("spent"), default=0)
    expired = models.BigIntegerField(_("expired"), default=0)
    reversed = models.BigIntegerField(_("taken back"), default=0)
    moved = models.BigIntegerField(default=0)

    seq = models.BigIntegerField(default=0, help_text="Number of entries; the newest has this number.")
    head_hash = models.CharField(max_length=64, blank=True, help_text="Hash of the newest entry.")
    due_at = models.DateTimeField(
        default=FAR_FUTURE, help_text="Nothing becomes spendable or expires before this moment."
    )

    class Meta:
        verbose_name = _("points account")
        verbose_name_plural = _("points accounts")
        permissions = [
            ("freeze_account", "Can freeze points accounts and let them go on"),
            ("close_account", "Can close points accounts for good"),
            ("transfer_points", "Can move points from one member to another"),
        ]
        indexes = [models.Index(fields=["due_at", "id"], name="loyalty_account_due")]
        constraints = [
            *(
                models.CheckConstraint(
                    condition=Q(**{f"{name}__gte": 0, f"{name}__lte": MOST_POINTS}),
                    name=f"loyalty_account_{name}_range",
                )
                for name in COUNTERS
            ),
            models.CheckConstraint(
                condition=Q(debt=0) | Q(available=0), name="loyalty_account_debt_before_balance"
            ),
            models.CheckConstraint(
                condition=Q(
                    earned=F("pending")
                    + F("available")
                    + F("held")
                    + F("spent")
                    + F("expired")
                    + F("reversed")
                    + F("moved")
                    - F("debt")
                    - F("moved_in")
                ),
                name="loyalty_account_conserved",
            ),
        ]

    def __str__(self) -> str:
        return str(self.public_id)


class Lot(models.Model):
    """Points of one credit with their own expiry. Its columns always sum to ``amount``."""

    # No index of its own here and on entries: the ones below begin with the account.
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="lots", db_index=False)
    public_id = models.UUIDField(_("public id"), default=uuid.uuid4, unique=True, editable=False)
    parent_lot = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="child_lots"
    )
    source_ref = models.CharField(
        _("from"), max_length=128, help_text="What earned it, for example order:100042."
    )
    amount = models.BigIntegerField(_("points"))
    pending = models.BigIntegerField(_("pending"), default=0)
    remaining = models.BigIntegerField(pgettext_lazy("points", "left"), default=0)
    spent = models.BigIntegerField(_("spent"), default=0)
    expired = models.BigIntegerField(_("expired"), default=0)
    reversed = models.BigIntegerField(_("taken back"), default=0)
    moved = models.BigIntegerField(_("moved"), default=0)
    open = models.BooleanField(default=True, help_text="Has pending or remaining points.")
    created_at = models.DateTimeField()
    active_at = models.DateTimeField(_("spendable from"))
    expires_at = models.DateTimeField(_("expires"), default=FAR_FUTURE)
    expiry_months = models.PositiveSmallIntegerField(null=True, blank=True)
    unit_value = models.DecimalField(
        max_digits=18, decimal_places=9, help_text="Money that one point was worth when it was earned."
    )
    currency = models.CharField(max_length=3)

    class Meta:
        verbose_name = _("lot")
        verbose_name_plural = _("lots")
        indexes = [
            models.Index(fields=["account", "open", "expires_at", "id"], name="loyalty_lot_fifo"),
            models.Index(fields=["account", "source_ref"], name="loyalty_lot_source"),
            models.Index(fields=["open", "expires_at", "id"], name="loyalty_lot_expiring"),
            models.Index(fields=["open", "active_at", "id"], name="loyalty_lot_activating"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(
                    amount__gt=0,
                    pending__gte=0,
                    remaining__gte=0,
                    spent__gte=0,
                    expired__gte=0,
                    reversed__gte=0,
                    moved__gte=0,
                ),
                name="loyalty_lot_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(
                    amount=F("pending")
                    + F("remaining")
                    + F("spent")
                    + F("expired")
                    + F("reversed")
                    + F("moved")
                ),
                name="loyalty_lot_conserved",
            ),
            models.CheckConstraint(
                condition=Q(open=True, pending__gt=0)
                | Q(open=True, remaining__gt=0)
                | Q(open=False, pending=0, remaining=0),
                name="loyalty_lot_open_has_points",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount} · {self.source_ref}"


class Entry(AppendOnlyModel):
    """One movement of whole points on one account: what happened, why, and in which order."""

    class Kind(models.TextChoices):
        EARN = "EARN", _("earned")
        ACTIVATE = "ACTIVATE", _("became spendable")
        HOLD = "HOLD", _("reserved")
        RELEASE = "RELEASE", _("reservation ended")
        SPEND = "SPEND", _("spent")
        SPEND_RETURN = "SPEND_RETURN", _("spent points returned")
        SPEND_AGAIN = "SPEND_AGAIN", _("returned points spent again")
        CLAWBACK = "CLAWBACK", _("taken back")
        CLAWBACK_UNDONE = "CLAWBACK_UNDONE", _("given again")
        EXPIRE = "EXPIRE", _("expired")
        ADJUST_UP = "ADJUST_UP", _("credited by staff")
        ADJUST_DOWN = "ADJUST_DOWN", _("deducted by staff")
        REPAY = "REPAY", _("set off against a deficit")
        WRITE_OFF = "WRITE_OFF", _("deficit written off")
        MOVE_OUT = "MOVE_OUT", _("moved out")
        MOVE_IN = "MOVE_IN", _("moved in")
        CONVERT = "CONVERT", _("converted to another currency")
        FORFEIT = "FORFEIT", _("given up on leaving")

        @property
        def sign(self) -> int:
            """
            What an entry does to what the member has or is promised: 1, −1, or 0 where points only
            change their state.
            """
            return _SIGNS.get(self, 0)

    public_id = models.UUIDField(_("public id"), default=uuid.uuid4, unique=True, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="entries", db_index=False)
    group_id = models.UUIDField(default=uuid.uuid4, editable=False, help_text="Ties entries of one act.")
    kind = models.CharField(_("kind"), max_length=16, choices=Kind.choices)
    idempotency_key = models.CharField(
        _("key"), max_length=128, help_text=_("Names the event, so that it is booked once: purchase:100042.")
    )
    # MariaDB's default collation takes "k1" and "K1 " for the same key; digests differ on every engine.
    key_digest = models.CharField(max_length=64, editable=False)
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of what was asked for.")
    points = models.BigIntegerField(_("points"), help_text="Above zero; the kind says the direction.")
    seq = models.BigIntegerField(help_text="1, 2, 3 … within the account, without gaps.")
    available_after = models.BigIntegerField(_("available after"))
    effective_at = models.DateTimeField(_("effective"))
    created_at = models.DateTimeField(_("booked"))
    actor_ref = models.CharField(_("by"), max_length=64, help_text="system, user:7 …")
    order_ref = models.CharField(_("order"), max_length=128, blank=True)
    reason_code = models.CharField(_("reason"), max_length=32, blank=True)
    explanation = models.JSONField(
        default=dict, blank=True, help_text="Rule, version, basis and rounding it was computed from."
    )
    reverses = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="reversed_by",
        verbose_name=_("undoes"),
    )
    prev_hash = models.CharField(max_length=64, blank=True)
    hash = models.CharField(max_length=64)

    class Meta(AppendOnlyModel.Meta):
        verbose_name = _("ledger entry")
        verbose_name_plural = _("ledger entries")
        indexes = [models.Index(fields=["order_ref", "kind"], name="loyalty_entry_order")]
        constraints = [
            models.UniqueConstraint(fields=["account", "key_digest"], name="loyalty_entry_key_once"),
            models.UniqueConstraint(fields=["account", "seq"], name="loyalty_entry_seq_once"),
            models.CheckConstraint(
                condition=Q(points__gt=0, points__lte=MOST_POINTS_PER_ENTRY),
                name="loyalty_entry_points_range",
            ),
            models.CheckConstraint(condition=Q(seq__gt=0), name="loyalty_entry_seq_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.points}"


_SIGNS = {
    Entry.Kind.EARN: 1,
    Entry.Kind.SPEND: -1,
    Entry.Kind.SPEND_RETURN: 1,
    Entry.Kind.SPEND_AGAIN: -1,
    Entry.Kind.CLAWBACK: -1,
    Entry.Kind.CLAWBACK_UNDONE: 1,
    Entry.Kind.EXPIRE: -1,
    Entry.Kind.ADJUST_UP: 1,
    Entry.Kind.ADJUST_DOWN: -1,
    Entry.Kind.REPAY: -1,
    Entry.Kind.MOVE_OUT: -1,
    Entry.Kind.MOVE_IN: 1,
    Entry.Kind.FORFEIT: -1,
}


class Posting(AppendOnlyModel):
    """
    ``points`` moved from one ledger code to another within an entry, so every entry sums to zero.
    Member codes (PND, AVL, HLD) grow by credits; DBT is what the member owes and grows by debits.
    """

    class Code(models.TextChoices):
        EXPENSE = "EXP", _("programme expense")
        PENDING = "PND", _("pending")
        AVAILABLE = "AVL", _("available")
        HELD = "HLD", _("held")
        REDEEMED = "RED", _("redeemed")
        BREAKAGE = "BRK", _("breakage")
        DEBT = "DBT", _("member deficit")
        TAKEN_BACK = "TBK", _("taken back")
        MOVED = "MOV", _("moves between accounts")
        CONVERSION = "FXC", _("currency conversion")

    entry = models.ForeignKey(Entry, on_delete=models.PROTECT, related_name="postings")
    lot = models.ForeignKey(Lot, on_delete=models.PROTECT, null=True, blank=True, related_name="postings")
    debit = models.CharField(max_length=3, choices=Code.choices)
    credit = models.CharField(max_length=3, choices=Code.choices)
    points = models.BigIntegerField()

    class Meta(AppendOnlyModel.Meta):
        verbose_name = _("posting")
        verbose_name_plural = _("postings")
        constraints = [
            models.CheckConstraint(
                condition=Q(points__gt=0) & ~Q(debit=F("credit")), name="loyalty_posting_balanced"
            )
        ]

    def __str__(self) -> str:
        return f"{self.debit} → {self.credit}: {self.points}"


class EarnedLine(AppendOnlyModel):
    """One order line's share of an earning, of its clawback or of what undid that: what the points were
    computed from."""

    entry = models.ForeignKey(Entry, on_delete=models.PROTECT, related_name="lines", db_index=False)
    line_ref = models.CharField(max_length=64)
    rule_code = models.CharField(max_length=32)
    basis = models.DecimalField(max_digits=14, decimal_places=2, help_text="Money it was computed on.")
    points = models.BigIntegerField(help_text="Earned, taken back or given again: the entry says which.")

    class Meta(AppendOnlyModel.Meta):
        verbose_name = _("earned line")
        verbose_name_plural = _("earned lines")
        constraints = [
            models.UniqueConstraint(
                fields=["entry", "line_ref", "rule_code"], name="loyalty_earned_line_once"
            ),
            models.CheckConstraint(condition=Q(points__gte=0), name="loyalty_earned_line_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.line_ref}: {self.points}"


class Hold(models.Model):
    """
    Points reserved for one basket. ``requested`` is what the member asked for and outlives the
    reservation; ``points`` is what could be reserved; lots are chosen only when it is captured.
    """

    class State(models.TextChoices):
        OPEN = "OPEN", _("open")
        CAPTURED = "CAPTURED", _("captured")
        RELEASED = "RELEASED", _("released")
        EXPIRED = "EXPIRED", _("expired")

    public_id = models.UUIDField(_("public id"), default=uuid.uuid4, unique=True, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="holds")
    ref = models.CharField(_("reserved for"), max_length=128, help_text=_("What it is for: basket:17."))
    # ``ref`` while the hold is open, so that a basket has one; see Account.open_key.
    open_key = models.CharField(max_length=128, null=True, blank=True, editable=False)
    requested = models.BigIntegerField(_("requested"))
    points = models.BigIntegerField(_("points"))
    captured = models.BigIntegerField(_("captured"), default=0)
    amount = models.DecimalField(
        _("saved"), max_digits=12, decimal_places=2, default=0, help_text=_("Money saved when captured.")
    )
    currency = models.CharField(max_length=3)
    state = models.CharField(_("state"), max_length=8, choices=State.choices, default=State.OPEN)
    created_at = models.DateTimeField(_("created"))
    expires_at = models.DateTimeField(_("expires"))
    closed_at = models.DateTimeField(_("closed"), null=True, blank=True)
    order_ref = models.CharField(_("order"), max_length=128, null=True, blank=True)

    class Meta:
        verbose_name = _("hold")
        verbose_name_plural = _("holds")
        indexes = [
            models.Index(fields=["state", "expires_at", "id"], name="loyalty_hold_expiring"),
            models.Index(fields=["ref", "-id"], name="loyalty_hold_ref"),
        ]
        # Not unique=True: PostgreSQL would get a second index for LIKE with each.
        constraints = [
            models.UniqueConstraint(fields=["open_key"], name="loyalty_hold_open_once"),
            models.UniqueConstraint(fields=["order_ref"], name="loyalty_hold_order_once"),
            models.CheckConstraint(
                condition=Q(requested__gte=F("points"), points__gt=0, captured__gte=0)
                & Q(captured__lte=F("points")),
                name="loyalty_hold_within_request",
            ),
            models.CheckConstraint(
                condition=Q(state="OPEN", open_key__isnull=False, closed_at__isnull=True, captured=0)
                | Q(state="CAPTURED", open_key__isnull=True, order_ref__isnull=False, captured__gt=0)
                | Q(state__in=["RELEASED", "EXPIRED"], open_key__isnull=True, captured=0),
                name="loyalty_hold_resolved_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.ref}: {self.points}"


class StaffRequest(models.Model):
    """What staff ask for: decided on by somebody else where it is much, then booked or rejected."""

    class State(models.TextChoices):
        REQUESTED = "REQUESTED", _("waiting for approval")
        BOOKED = "BOOKED", _("booked")
        REJECTED = "REJECTED", _("rejected")

    internal_note = models.TextField(_("internal note"), blank=True)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.REQUESTED)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
        verbose_name=_("requested by"),
    )
    requested_at = models.DateTimeField(_("requested"))
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("decided by"),
    )
    decided_at = models.DateTimeField(_("decided"), null=True, blank=True)

    class Meta:
        abstract = True


class Adjustment(StaffRequest):
    """A correction by staff: asked for, approved where a second pair of eyes is needed, then booked."""

    class Reason(models.TextChoices):
        GOODWILL = "GOODWILL", _("goodwill")
        CORRECTION = "CORRECTION", _("correction of a mistake")
        PROMOTION = "PROMOTION", _("promotion")
        WRITE_OFF = "WRITE_OFF", _("deficit written off")
        UNDO = "UNDO", _("undo of an earlier adjustment")

    # A form brings it along, so that sending the form twice asks once.
    public_id = models.UUIDField(_("public id"), default=uuid.uuid4, unique=True, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="adjustments")
    points = models.BigIntegerField(_("points"), help_text=_("Above zero credits, below zero deducts."))
    reason_code = models.CharField(_("reason"), max_length=16, choices=Reason.choices)
    customer_text_de = models.CharField(_("text for the customer (German)"), max_length=200, blank=True)
    customer_text_en = models.CharField(_("text for the customer (English)"), max_length=200, blank=True)
    entry = models.OneToOneField(
        Entry, on_delete=models.PROTECT, null=True, blank=True, related_name="adjustment"
    )
    undoes = models.OneToOneField(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="undone_by"
    )

    class Meta:
        verbose_name = _("adjustment")
        verbose_name_plural = _("adjustments")
        permissions = [("approve_adjustment", "Can decide on adjustments that others ask for")]
        constraints = [
            models.CheckConstraint(condition=~Q(points=0), name="loyalty_adjustment_not_zero"),
            models.CheckConstraint(
                condition=Q(state="BOOKED", entry__isnull=False)
                | (~Q(state="BOOKED") & Q(entry__isnull=True)),
                name="loyalty_adjustment_booked_has_entry",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.points:+d} · {self.get_reason_code_display()}"


class MemberMerge(StaffRequest):
    """
    Two accounts of one person become one: asked for, looked at by somebody else where many points move,
    then booked. ``group_id`` ties the entries that it booked.
    """

    source = models.ForeignKey(
        Account, on_delete=models.PROTECT, related_name="merges_out", verbose_name=_("account to give up")
    )
    target = models.ForeignKey(
        Account, on_delete=models.PROTECT, related_name="merges_in", verbose_name=_("account to keep")
    )
    # The source's id while nobody has decided, so that one request is open; see Account.open_key.
    open_key = models.CharField(max_length=32, unique=True, null=True, blank=True, editable=False)
    group_id = models.UUIDField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = _("merge of members")
        verbose_name_plural = _("merges of members")
        permissions = [("approve_membermerge", "Can decide on merges that others ask for")]
        constraints = [
            models.CheckConstraint(condition=~Q(source=F("target")), name="loyalty_merge_of_two"),
            models.CheckConstraint(
                condition=Q(state="REQUESTED", open_key__isnull=False, decided_at__isnull=True)
                | Q(state__in=["BOOKED", "REJECTED"], open_key__isnull=True, decided_at__isnull=False),
                name="loyalty_merge_decided_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source} → {self.target}"


class Freeze(models.Model):
    """Who stopped an account, why, and who let it go on. No points move, so the ledger says nothing."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="freezes")
    note = models.TextField(_("internal note"))
    frozen_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
        verbose_name=_("frozen by"),
    )
    frozen_at = models.DateTimeField(_("frozen"))
    lifted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("lifted by"),
    )
    lifted_at = models.DateTimeField(_("lifted"), null=True, blank=True)

    class Meta:
        verbose_name = _("freeze")
        verbose_name_plural = _("freezes")

    def __str__(self) -> str:
        return f"{self.account} {self.frozen_at:%Y-%m-%d}"


class ExpiryWarning(models.Model):
    """A member was told that points expire by a certain moment: one mail per member, not per lot."""

    account = models.ForeignKey(
        Account, on_delete=models.PROTECT, related_name="expiry_warnings", db_index=False
    )
    expires_before = models.DateTimeField()
    points = models.BigIntegerField()
    sent_at = models.DateTimeField()

    class Meta:
        verbose_name = _("expiry warning")
        verbose_name_plural = _("expiry warnings")
        constraints = [
            models.UniqueConstraint(fields=["account", "expires_before"], name="loyalty_expiry_warning_once")
        ]

    def __str__(self) -> str:
        return f"{self.points}"

"""
Levels of a programme version, where each member stands, and the perks that levels and members carry.

What members qualified with is append-only. Orders are named by their number, never by a foreign key.
"""

import uuid
from decimal import Decimal

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from oscar_loyalty.members.models import Member
from oscar_loyalty.points.models import AppendOnlyModel
from oscar_loyalty.programmes.models import Programme, ProgrammeVersion
from oscar_loyalty.programmes.rules import FAR_FUTURE


class TierScheme(models.Model):
    """How members of one programme version reach and keep its tiers. Without one there are no tiers."""

    class Metric(models.TextChoices):
        POINTS = "POINTS", _("qualifying points")
        SPEND = "SPEND", _("money spent")
        ORDERS = "ORDERS", _("number of orders")

    class Period(models.TextChoices):
        ROLLING = "ROLLING", _("the last months, counted back from each day")
        CALENDAR = "CALENDAR", _("calendar year")
        ANNIVERSARY = "ANNIVERSARY", _("years since joining")

    class Downgrade(models.TextChoices):
        ONE_STEP = "ONE_STEP", _("one tier down")
        FULL = "FULL", _("down to the tier that was earned")

    version = models.OneToOneField(
        ProgrammeVersion, on_delete=models.CASCADE, related_name="tier_scheme", verbose_name=_("version")
    )
    metric = models.CharField(
        _("tiers are reached by"), max_length=8, choices=Metric.choices, default=Metric.SPEND
    )
    currency = models.CharField(
        _("currency"),
        max_length=3,
        default="EUR",
        help_text=_("Of money spent; orders in another currency do not count."),
    )
    period = models.CharField(
        _("counted over"), max_length=12, choices=Period.choices, default=Period.ROLLING
    )
    period_months = models.PositiveSmallIntegerField(
        _("months"), default=12, validators=[MinValueValidator(1)]
    )
    grace_days = models.PositiveSmallIntegerField(
        _("grace (days)"), default=30, help_text=_("A tier that is no longer earned is kept so much longer.")
    )
    downgrade = models.CharField(
        _("downgrade"), max_length=8, choices=Downgrade.choices, default=Downgrade.ONE_STEP
    )

    class Meta:
        verbose_name = _("tier scheme")
        verbose_name_plural = _("tier schemes")
        constraints = [
            models.CheckConstraint(condition=Q(period_months__gte=1), name="loyalty_scheme_period_positive")
        ]

    def __str__(self) -> str:
        return self.get_metric_display()


class Tier(models.Model):
    """One level above having none. ``code`` is what history, rules and perks remember across versions."""

    version = models.ForeignKey(
        ProgrammeVersion, on_delete=models.CASCADE, related_name="tiers", verbose_name=_("version")
    )
    code = models.SlugField(_("code"), max_length=32)
    name_de = models.CharField(_("name (German)"), max_length=50)
    name_en = models.CharField(_("name (English)"), max_length=50)
    rank = models.PositiveSmallIntegerField(
        _("rank"), validators=[MinValueValidator(1)], help_text=_("1 is the lowest.")
    )
    entry_threshold = models.DecimalField(
        _("reached with"), max_digits=14, decimal_places=2, validators=[MinValueValidator(Decimal("0.01"))]
    )
    keep_threshold = models.DecimalField(
        _("kept with"),
        max_digits=14,
        decimal_places=2,
        validators=[MinValueValidator(Decimal(0))],
        help_text=_("Not more than what it is reached with."),
    )

    class Meta:
        verbose_name = _("tier")
        verbose_name_plural = _("tiers")
        constraints = [
            models.UniqueConstraint(fields=["version", "code"], name="loyalty_tier_code_once"),
            models.UniqueConstraint(fields=["version", "rank"], name="loyalty_tier_rank_once"),
            models.CheckConstraint(
                condition=Q(entry_threshold__gt=0, keep_threshold__gte=0)
                & Q(keep_threshold__lte=F("entry_threshold")),
                name="loyalty_tier_thresholds",
            ),
        ]

    def __str__(self) -> str:
        return self.name_en


class QualifyingEntry(AppendOnlyModel):
    """
    What one order (or a correction of staff) adds to a member's qualification, or what the return of it
    takes away. ``occurred_at`` is the moment at which the order was placed, for its reversals too: what
    was returned counts as if it had never been bought.
    """

    programme = models.ForeignKey(
        Programme, on_delete=models.PROTECT, related_name="+", verbose_name=_("programme")
    )
    member = models.ForeignKey(
        Member,
        on_delete=models.PROTECT,
        related_name="qualifying_entries",
        db_index=False,
        verbose_name=_("member"),
    )
    key = models.CharField(max_length=128, help_text="Names the event: purchase:100042, return:100042:1 …")
    order_ref = models.CharField(_("order"), max_length=128, blank=True)
    occurred_at = models.DateTimeField(_("counts from"))
    booked_at = models.DateTimeField(_("booked"))
    points = models.BigIntegerField(_("qualifying points"), default=0)
    spend = models.DecimalField(_("money spent"), max_digits=14, decimal_places=2, default=Decimal(0))
    currency = models.CharField(_("currency"), max_length=3)
    orders = models.SmallIntegerField(_("orders"), default=0)
    note = models.CharField(_("note"), max_length=200, blank=True)

    class Meta(AppendOnlyModel.Meta):
        verbose_name = _("qualifying entry")
        verbose_name_plural = _("qualifying entries")
        indexes = [
            models.Index(fields=["member", "occurred_at", "id"], name="loyalty_qualifying_member"),
            models.Index(fields=["order_ref"], name="loyalty_qualifying_order"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["programme", "member", "key"], name="loyalty_qualifying_key_once")
        ]

    def __str__(self) -> str:
        return self.key


class TierStatus(models.Model):
    """
    Where a member stands today: what the fold over their qualifying entries gives, kept so that reading
    it is one row. Its row is the lock of whoever changes it.
    """

    programme = models.ForeignKey(
        Programme, on_delete=models.PROTECT, related_name="+", verbose_name=_("programme")
    )
    member = models.ForeignKey(
        Member, on_delete=models.PROTECT, related_name="tier_statuses", verbose_name=_("member")
    )
    tier_code = models.CharField(_("tier"), max_length=32, blank=True, help_text="Empty: none.")
    since = models.DateTimeField(_("since"))
    #: When it is lost if nothing more is bought, as far as is known; FAR_FUTURE for "never" and "none".
    lost_at = models.DateTimeField(_("lost"), default=FAR_FUTURE)
    #: Nothing changes by time alone before this moment.
    due_at = models.DateTimeField(default=FAR_FUTURE)
    qualified = models.DecimalField(max_digits=14, decimal_places=2, default=Decimal(0))
    computed_at = models.DateTimeField()
    version_number = models.PositiveIntegerField(help_text="Version of the programme it was judged by.")

    class Meta:
        verbose_name = _("tier of a member")
        verbose_name_plural = _("tiers of members")
        indexes = [
            models.Index(fields=["due_at", "id"], name="loyalty_tier_status_due"),
            models.Index(fields=["tier_code", "id"], name="loyalty_tier_status_code"),
            models.Index(fields=["lost_at", "id"], name="loyalty_tier_status_lost"),
            models.Index(fields=["programme", "version_number", "id"], name="loyalty_tier_status_version"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["programme", "member"], name="loyalty_tier_status_once")
        ]

    def __str__(self) -> str:
        return self.tier_code or "—"


class TierOverride(models.Model):
    """A tier that staff gave a member until a day, for a reason. It lifts, it never lowers."""

    programme = models.ForeignKey(
        Programme, on_delete=models.PROTECT, related_name="+", verbose_name=_("programme")
    )
    member = models.ForeignKey(
        Member, on_delete=models.PROTECT, related_name="tier_overrides", verbose_name=_("member")
    )
    tier_code = models.CharField(_("tier"), max_length=32)
    reason = models.CharField(_("reason"), max_length=200)
    active_from = models.DateTimeField(pgettext_lazy("moment", "from"))
    active_to = models.DateTimeField(_("until"), help_text=_("End, exclusive. An override always ends."))
    given_by_ref = models.CharField(_("by"), max_length=64)
    ended_at = models.DateTimeField(_("ended early"), null=True, blank=True)

    class Meta:
        verbose_name = _("tier given by staff")
        verbose_name_plural = _("tiers given by staff")
        permissions = [("override_tier", "Can give a member a tier")]
        constraints = [
            models.CheckConstraint(
                condition=Q(active_to__gt=F("active_from")), name="loyalty_tier_override_ends"
            )
        ]

    def __str__(self) -> str:
        return f"{self.tier_code} – {self.active_to:%Y-%m-%d}"


class TierChange(AppendOnlyModel):
    """A member's tier changed: the history that members and staff read."""

    class Reason(models.TextChoices):
        REACHED = "REACHED", _("reached")
        LOST = "LOST", _("no longer earned")
        RETURNED = "RETURNED", _("an order was returned")
        OVERRIDE = "OVERRIDE", _("given by staff")
        OVERRIDE_ENDED = "OVERRIDE_ENDED", _("tier given by staff has ended")
        RULES = "RULES", _("new rules of the programme")
        LEFT = "LEFT", _("left the programme")

    programme = models.ForeignKey(
        Programme, on_delete=models.PROTECT, related_name="+", verbose_name=_("programme")
    )
    member = models.ForeignKey(
        Member,
        on_delete=models.PROTECT,
        related_name="tier_changes",
        db_index=False,
        verbose_name=_("member"),
    )
    from_code = models.CharField(_("from"), max_length=32, blank=True)
    to_code = models.CharField(_("to"), max_length=32, blank=True)
    reason = models.CharField(_("reason"), max_length=16, choices=Reason.choices)
    order_ref = models.CharField(_("order"), max_length=128, blank=True)
    changed_at = models.DateTimeField(_("changed"), help_text="When it took effect.")
    booked_at = models.DateTimeField()

    class Meta(AppendOnlyModel.Meta):
        verbose_name = _("change of tier")
        verbose_name_plural = _("changes of tier")
        indexes = [models.Index(fields=["member", "-id"], name="loyalty_tier_change_latest")]

    def __str__(self) -> str:
        return f"{self.from_code or '—'} → {self.to_code or '—'}"


class TierNotice(models.Model):
    """A member was told that a tier is about to be lost, so that nobody is told twice."""

    member = models.ForeignKey(
        Member, on_delete=models.PROTECT, related_name="tier_notices", verbose_name=_("member")
    )
    tier_code = models.CharField(max_length=32)
    lost_at = models.DateTimeField()
    days_before = models.PositiveSmallIntegerField()
    sent_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["member", "tier_code", "lost_at", "days_before"], name="loyalty_tier_notice_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.tier_code} {self.days_before}"


class TierPerk(models.Model):
    """A perk that all members of a tier of one programme version have. ``kind`` is a registered code."""

    version = models.ForeignKey(
        ProgrammeVersion, on_delete=models.CASCADE, related_name="tier_perks", verbose_name=_("version")
    )
    tier_code = models.CharField(_("tier"), max_length=32)
    kind = models.CharField(_("perk"), max_length=32)
    parameters = models.JSONField(_("details"), default=dict, blank=True)
    uses_per_period = models.PositiveIntegerField(
        _("uses per year"), null=True, blank=True, help_text=_("Empty: as often as they like.")
    )

    class Meta:
        verbose_name = _("perk of a tier")
        verbose_name_plural = _("perks of tiers")
        constraints = [
            models.UniqueConstraint(fields=["version", "tier_code", "kind"], name="loyalty_tier_perk_once")
        ]

    def __str__(self) -> str:
        return f"{self.tier_code}: {self.kind}"


class PerkGrant(models.Model):
    """A perk given to one member, whatever their tier: by staff now, by rewards and memberships later."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    programme = models.ForeignKey(
        Programme, on_delete=models.PROTECT, related_name="+", verbose_name=_("programme")
    )
    member = models.ForeignKey(
        Member, on_delete=models.PROTECT, related_name="perk_grants", verbose_name=_("member")
    )
    kind = models.CharField(_("perk"), max_length=32)
    parameters = models.JSONField(_("details"), default=dict, blank=True)
    active_from = models.DateTimeField(pgettext_lazy("moment", "from"))
    active_to = models.DateTimeField(_("until"), default=FAR_FUTURE, help_text=_("End, exclusive."))
    uses_allowed = models.PositiveIntegerField(
        _("uses"), null=True, blank=True, help_text=_("Empty: as often as they like.")
    )
    source_ref = models.CharField(_("from"), max_length=64, help_text="user:7, reward:12 …")
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    revoked_at = models.DateTimeField(_("taken back"), null=True, blank=True)

    class Meta:
        verbose_name = _("perk of a member")
        verbose_name_plural = _("perks of members")
        constraints = [
            models.CheckConstraint(
                condition=Q(active_to__gt=F("active_from")), name="loyalty_perk_grant_ends"
            )
        ]

    def __str__(self) -> str:
        return self.kind


class ProductAccess(models.Model):
    """
    A product, a category with all below it, or a range, that not everybody may buy: until ``opens_at`` only
    who has early access, and for ever only who has access to exclusive products when it is empty. Variants
    follow their parent. Products and categories are ids of the shop's rows, no keys to them.
    """

    product_id = models.PositiveBigIntegerField(_("product"), null=True, blank=True, db_index=True)
    category_id = models.PositiveBigIntegerField(_("category"), null=True, blank=True, db_index=True)
    range = models.ForeignKey(
        "offer.Range",
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("range of products"),
    )
    opens_at = models.DateTimeField(
        _("for everybody from"), null=True, blank=True, help_text=_("Empty: never, for members only.")
    )
    note = models.CharField(_("note"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("access to products")
        verbose_name_plural = _("access to products")
        constraints = [
            models.CheckConstraint(
                condition=Q(product_id__isnull=False, category_id__isnull=True, range__isnull=True)
                | Q(product_id__isnull=True, category_id__isnull=False, range__isnull=True)
                | Q(product_id__isnull=True, category_id__isnull=True, range__isnull=False),
                name="loyalty_access_of_one",
            )
        ]

    def __str__(self) -> str:
        what = next(
            f"{kind} {pk}"
            for kind, pk in (
                ("product", self.product_id),
                ("category", self.category_id),
                ("range", self.range_id),
            )
            if pk
        )
        return f"{what} – {self.opens_at:%Y-%m-%d %H:%M}" if self.opens_at else what


class OrderPerks(models.Model):
    """
    What a member was entitled to when an order was placed, frozen: later returns and promises are judged
    by it if that is better for the customer. One row an order, and only where there was any perk.
    """

    programme = models.ForeignKey(
        Programme, on_delete=models.PROTECT, related_name="+", verbose_name=_("programme")
    )
    member = models.ForeignKey(
        Member, on_delete=models.PROTECT, related_name="order_perks", verbose_name=_("member")
    )
    order_ref = models.CharField(_("order"), max_length=128, unique=True)
    tier_code = models.CharField(_("tier"), max_length=32, blank=True)
    version_number = models.PositiveIntegerField()
    perks = models.JSONField(default=list, help_text="Each with kind, parameters and source.")
    frozen_at = models.DateTimeField()

    class Meta:
        verbose_name = _("perks of an order")
        verbose_name_plural = _("perks of orders")

    def __str__(self) -> str:
        return self.order_ref


class PerkUse(models.Model):
    """A perk that acted on an order, and what it saved. Undone when the order is cancelled."""

    programme = models.ForeignKey(
        Programme, on_delete=models.PROTECT, related_name="+", verbose_name=_("programme")
    )
    member = models.ForeignKey(
        Member, on_delete=models.PROTECT, related_name="perk_uses", db_index=False, verbose_name=_("member")
    )
    kind = models.CharField(_("perk"), max_length=32)
    grant = models.ForeignKey(PerkGrant, on_delete=models.PROTECT, null=True, blank=True, related_name="uses")
    tier_code = models.CharField(_("tier"), max_length=32, blank=True)
    order_ref = models.CharField(_("order"), max_length=128)
    saved = models.DecimalField(_("saved"), max_digits=12, decimal_places=2, default=Decimal(0))
    currency = models.CharField(max_length=3, blank=True)
    used_at = models.DateTimeField(_("used"))
    undone_at = models.DateTimeField(_("undone"), null=True, blank=True)

    class Meta:
        verbose_name = _("use of a perk")
        verbose_name_plural = _("uses of perks")
        indexes = [models.Index(fields=["member", "kind", "used_at"], name="loyalty_perk_use_member")]
        constraints = [models.UniqueConstraint(fields=["order_ref", "kind"], name="loyalty_perk_use_once")]

    def __str__(self) -> str:
        return f"{self.kind} {self.order_ref}"


class TiersOfVersion(ProgrammeVersion):
    """A programme version seen by whoever decides on its tiers."""

    class Meta:
        proxy = True
        verbose_name = _("tiers of a programme version")
        verbose_name_plural = _("tiers of programme versions")

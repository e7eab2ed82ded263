from decimal import Decimal

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _


class Programme(models.Model):
    """The loyalty programme of a shop. What it promises stands in its versions."""

    code = models.SlugField(_("code"), max_length=32, unique=True)
    name = models.CharField(_("name"), max_length=100)
    time_zone = models.CharField(
        _("time zone"),
        max_length=64,
        default="Europe/Berlin",
        help_text=_("Points expire at the end of a day in this time zone."),
    )
    earning_paused = models.BooleanField(
        _("earning paused"), default=False, help_text=_("New orders earn nothing while this is on.")
    )
    redemption_paused = models.BooleanField(
        _("redemption paused"), default=False, help_text=_("Nobody can spend points while this is on.")
    )

    class Meta:
        verbose_name = _("programme")
        verbose_name_plural = _("programmes")

    def __str__(self) -> str:
        return self.name


class ProgrammeVersion(models.Model):
    """
    What a programme promises from one moment on. An order is judged by the version in force when it
    was placed, so a version that has come into force is never changed: a new one follows it.

    A version without a moment is a draft. There may be several; nothing is judged by them.
    """

    class State(models.TextChoices):
        DRAFT = "DRAFT", _("draft")
        SCHEDULED = "SCHEDULED", _("scheduled")
        LIVE = "LIVE", _("in force")
        ARCHIVED = "ARCHIVED", _("archived")

    programme = models.ForeignKey(
        Programme, on_delete=models.PROTECT, related_name="versions", verbose_name=_("programme")
    )
    number = models.PositiveIntegerField(_("number"), editable=False)
    active_from = models.DateTimeField(
        _("in force from"), null=True, blank=True, help_text=_("Empty: a draft.")
    )
    archived_at = models.DateTimeField(
        _("archived"), null=True, blank=True, editable=False, help_text="A draft that was put away."
    )
    terms_version = models.CharField(
        _("version of the terms"), max_length=32, help_text=_("Stored with each member who accepts them.")
    )
    note = models.CharField(_("note"), max_length=200, blank=True, help_text=_("What changed, for staff."))

    includes_tax = models.BooleanField(
        _("points on the price with VAT"), default=True, help_text=_("Off: on the price without VAT.")
    )
    includes_shipping = models.BooleanField(_("points on shipping"), default=False)
    excluded_category_ids = models.JSONField(
        _("excluded categories"),
        default=list,
        blank=True,
        help_text=_("Their products, and those of the categories below them, earn nothing."),
    )
    excluded_product_class_ids = models.JSONField(
        _("excluded product types"),
        default=list,
        blank=True,
        help_text=_("For example gift cards: what stores value earns when it is spent, not when it is sold."),
    )
    spendable_status = models.CharField(
        _("spendable from order status"),
        max_length=100,
        blank=True,
        help_text=_("Empty: the waiting period starts with the order itself."),
    )
    waiting_days = models.PositiveSmallIntegerField(
        _("waiting period (days)"), default=14, help_text=_("After the status is reached.")
    )
    expiry_months = models.PositiveSmallIntegerField(
        _("points expire after (months)"),
        null=True,
        blank=True,
        default=36,
        validators=[MinValueValidator(1)],
        help_text=_("Counted from the day they become spendable. Empty: never."),
    )
    return_grace_days = models.PositiveSmallIntegerField(
        _("grace for returned points (days)"),
        default=30,
        help_text=_("Points that come back from a cancelled order after their expiry live this long."),
    )
    minimum_points = models.PositiveIntegerField(
        _("smallest redemption (points)"), default=1, validators=[MinValueValidator(1)]
    )
    step_points = models.PositiveIntegerField(
        _("redemption in steps of (points)"), default=1, validators=[MinValueValidator(1)]
    )
    maximum_share_percent = models.DecimalField(
        _("points pay at most (% of goods)"),
        max_digits=5,
        decimal_places=2,
        default=Decimal(100),
        validators=[MinValueValidator(Decimal("0.01")), MaxValueValidator(Decimal(100))],
    )
    four_eyes_points = models.PositiveBigIntegerField(
        _("two people above (points)"),
        null=True,
        blank=True,
        default=10_000,
        help_text=_(
            "An adjustment or a merge of more points than this is decided by somebody other than whoever "
            "asked for it. Empty: never."
        ),
    )
    transfers_allowed = models.BooleanField(
        _("members may give points to each other"),
        default=False,
        help_text=_("Points that were given away cannot be taken back when their order is cancelled."),
    )
    claim_days = models.PositiveSmallIntegerField(
        _("guest orders can be claimed for (days)"),
        default=30,
        help_text=_("By who joins later and has proved to own the order's e-mail address. 0: never."),
    )

    class Meta:
        verbose_name = _("programme version")
        verbose_name_plural = _("programme versions")
        permissions = [
            ("publish_programmeversion", "Can put a programme version into force"),
            ("simulate_programmeversion", "Can simulate a programme version"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["programme", "number"], name="loyalty_version_number_once"),
            models.UniqueConstraint(fields=["programme", "active_from"], name="loyalty_version_moment_once"),
            models.CheckConstraint(
                condition=Q(minimum_points__gte=1, step_points__gte=1), name="loyalty_version_limits_positive"
            ),
            models.CheckConstraint(
                condition=Q(maximum_share_percent__gt=0, maximum_share_percent__lte=100),
                name="loyalty_version_share_percent",
            ),
            models.CheckConstraint(
                condition=Q(expiry_months__isnull=True) | Q(expiry_months__gte=1),
                name="loyalty_version_expiry_positive",
            ),
            models.CheckConstraint(
                condition=Q(archived_at__isnull=True) | Q(active_from__isnull=True),
                name="loyalty_version_only_drafts_archived",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.programme} · {self.number}"


class CurrencyRate(models.Model):
    """
    What points are worth in one currency, as pairs: a rate stored as one number cannot say
    "1 point per 3 euros" exactly.
    """

    version = models.ForeignKey(ProgrammeVersion, on_delete=models.CASCADE, related_name="rates")
    currency = models.CharField(_("currency"), max_length=3)
    earn_points = models.PositiveIntegerField(_("earn (points)"), default=1)
    earn_amount = models.DecimalField(
        _("for every (money)"), max_digits=12, decimal_places=2, default=Decimal("1.00")
    )
    redeem_points = models.PositiveIntegerField(_("spend (points)"), default=100)
    redeem_amount = models.DecimalField(
        _("to save (money)"), max_digits=12, decimal_places=2, default=Decimal("1.00")
    )
    card_minimum = models.DecimalField(
        _("smallest card payment"),
        max_digits=12,
        decimal_places=2,
        default=Decimal("0.50"),
        help_text=_("Points leave nothing to pay, or at least this much."),
    )

    class Meta:
        verbose_name = _("rate")
        verbose_name_plural = _("rates")
        constraints = [
            models.UniqueConstraint(fields=["version", "currency"], name="loyalty_rate_currency_once"),
            models.CheckConstraint(
                condition=Q(earn_amount__gt=0, redeem_points__gt=0, redeem_amount__gt=0, card_minimum__gte=0),
                name="loyalty_rate_positive",
            ),
            models.CheckConstraint(condition=~Q(currency=""), name="loyalty_rate_has_currency"),
        ]

    def __str__(self) -> str:
        return self.currency


class ConversionRate(models.Model):
    """
    What a point is worth in another currency, for a shop that changes its own: so many points of the one
    for each point of the other. The newest one that is in force counts.
    """

    programme = models.ForeignKey(
        Programme, on_delete=models.PROTECT, related_name="conversion_rates", verbose_name=_("programme")
    )
    from_currency = models.CharField(_("from currency"), max_length=3)
    to_currency = models.CharField(_("to currency"), max_length=3)
    rate = models.DecimalField(
        _("rate"), max_digits=18, decimal_places=9, help_text=_("New points for each old one.")
    )
    source = models.CharField(
        _("source"), max_length=100, blank=True, help_text=_("Where the rate was read, for auditors.")
    )
    valid_from = models.DateTimeField(_("in force from"))

    class Meta:
        verbose_name = _("conversion rate")
        verbose_name_plural = _("conversion rates")
        constraints = [
            models.UniqueConstraint(
                fields=["programme", "from_currency", "to_currency", "valid_from"],
                name="loyalty_conversion_rate_once",
            ),
            models.CheckConstraint(
                condition=Q(rate__gt=0) & ~Q(from_currency=F("to_currency")),
                name="loyalty_conversion_rate_positive",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.from_currency} → {self.to_currency}: {self.rate}"

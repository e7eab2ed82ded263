import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class Member(models.Model):
    """A customer who takes part. The person can be erased; this row and its public id stay."""

    class Status(models.TextChoices):
        ACTIVE = "ACTIVE", _("active")
        LEFT = "LEFT", _("left")
        MERGED = "MERGED", _("merged")

    public_id = models.UUIDField(_("public id"), default=uuid.uuid4, unique=True, editable=False)
    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="loyalty_member",
        verbose_name=_("customer"),
    )
    status = models.CharField(_("status"), max_length=8, choices=Status.choices, default=Status.ACTIVE)
    joined_at = models.DateTimeField(_("joined"))
    left_at = models.DateTimeField(_("left"), null=True, blank=True)
    # Always the member who remained in the end, however many were merged on the way.
    merged_into = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="merged_from",
        verbose_name=_("merged into"),
    )
    terms_version = models.CharField(_("accepted terms"), max_length=32)
    terms_accepted_at = models.DateTimeField(_("accepted at"))

    class Meta:
        verbose_name = _("member")
        verbose_name_plural = _("members")
        constraints = [
            models.CheckConstraint(
                condition=Q(status="ACTIVE", left_at__isnull=True, merged_into__isnull=True)
                | Q(status="LEFT", left_at__isnull=False, merged_into__isnull=True)
                | Q(status="MERGED", left_at__isnull=False, merged_into__isnull=False),
                name="loyalty_member_left_has_moment",
            )
        ]

    def __str__(self) -> str:
        if self.user is None:
            return str(self.public_id)
        # Oscar's customers log in by e-mail: their usernames are chance letters.
        full_name: str = getattr(self.user, "get_full_name", str)()
        return full_name or str(self.user)


class ClaimedOrder(models.Model):
    """
    A guest's order that a member claimed: for points it is theirs from then on, while the shop's own
    record of the order stays as it was. Holds the order's number, no key to the order.
    """

    class Proof(models.TextChoices):
        MAIL = "MAIL", _("link in a mail to the guest")
        CHECKOUT = "CHECKOUT", _("the session that placed the order")
        SHOP = "SHOP", _("address verified by the shop")

    order_number = models.CharField(_("order"), max_length=128, unique=True)
    member = models.ForeignKey(
        Member, on_delete=models.PROTECT, related_name="claimed_orders", verbose_name=_("member")
    )
    proof = models.CharField(_("proof"), max_length=8, choices=Proof.choices)
    claimed_at = models.DateTimeField(_("claimed"))

    class Meta:
        verbose_name = _("claimed order")
        verbose_name_plural = _("claimed orders")

    def __str__(self) -> str:
        return self.order_number


class Birthday(models.Model):
    """
    Day and month on which a member was born, for a present on that day; the year is nobody's business.
    Told once by the member, changed only by staff. Deleted on leaving, and by the sweep after the person was.
    """

    member = models.OneToOneField(
        Member, on_delete=models.CASCADE, related_name="birthday", verbose_name=_("member")
    )
    month = models.PositiveSmallIntegerField(_("month"))
    day = models.PositiveSmallIntegerField(_("day"))
    set_at = models.DateTimeField(_("told"))
    set_by_ref = models.CharField(_("by"), max_length=64)

    class Meta:
        verbose_name = _("birthday")
        verbose_name_plural = _("birthdays")
        indexes = [models.Index(fields=["month", "day", "member"], name="loyalty_birthday_of_day")]
        constraints = [
            models.CheckConstraint(
                condition=Q(month__gte=1, month__lte=12, day__gte=1)
                & (
                    Q(month__in=(1, 3, 5, 7, 8, 10, 12), day__lte=31)
                    | Q(month__in=(4, 6, 9, 11), day__lte=30)
                    | Q(month=2, day__lte=29)
                ),
                name="loyalty_birthday_exists",
            )
        ]

    def __str__(self) -> str:
        return f"{self.month:02}-{self.day:02}"


class Consent(models.Model):
    """One answer to one question of consent. Rows are added, never changed: the newest one counts."""

    class Purpose(models.TextChoices):
        MARKETING = "MARKETING", _("marketing e-mail")

    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="consents")
    purpose = models.CharField(_("purpose"), max_length=16, choices=Purpose.choices)
    granted = models.BooleanField(_("granted"))
    confirmed = models.BooleanField(
        _("confirmed by mail"),
        default=False,
        help_text=_("By the link in a mail to them: double opt-in."),
    )
    given_at = models.DateTimeField(_("given at"))
    source = models.CharField(_("given where"), max_length=32)

    class Meta:
        verbose_name = _("consent")
        verbose_name_plural = _("consents")
        indexes = [models.Index(fields=["member", "purpose", "-id"], name="loyalty_consent_latest")]

    def __str__(self) -> str:
        return f"{self.purpose} {'yes' if self.granted else 'no'}"

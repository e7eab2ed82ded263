"""
Earning rules of a programme version, what is left of their budgets, and orders that wait to be judged.

Rules are as immutable as their version once that is in force. Only a budget moves.
"""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from oscar_loyalty.earning.conditions import (
    LINE_CONDITIONS,
    MEMBER_CONDITIONS,
    InvalidConditions,
    read_conditions,
    write_conditions,
)
from oscar_loyalty.earning.kinds import InvalidParameters, Role
from oscar_loyalty.earning.rules import RESERVED_CODES
from oscar_loyalty.programmes.models import Programme, ProgrammeVersion
from oscar_loyalty.registry import earning_rules


class EarningRule(models.Model):
    """
    When which lines bring more (or other) points than the base rate. ``code`` is what bookings remember;
    the same code in a later version is the same rule, with the same budget.
    """

    class Occasion(models.TextChoices):
        PURCHASE = "PURCHASE", _("an order")
        SIGN_UP = "SIGN_UP", _("joining the programme")
        BIRTHDAY = "BIRTHDAY", _("birthday")
        PROFILE_COMPLETED = "PROFILE_COMPLETED", _("completing the profile")
        NEWSLETTER = "NEWSLETTER", _("confirming the newsletter")
        EVENT = "EVENT", _("an event that the shop reports")

    class Period(models.TextChoices):
        DAY = "DAY", _("day")
        WEEK = "WEEK", _("week")
        MONTH = "MONTH", _("month")
        YEAR = "YEAR", _("year")
        EVER = "EVER", _("in all")

    version = models.ForeignKey(
        ProgrammeVersion, on_delete=models.CASCADE, related_name="earning_rules", verbose_name=_("version")
    )
    code = models.SlugField(
        _("code"), max_length=32, help_text=_("Stored with every booking; never reuse it.")
    )
    name = models.CharField(_("name"), max_length=100, help_text=_("For staff."))
    text_de = models.CharField(_("reason for customers (German)"), max_length=100, blank=True)
    text_en = models.CharField(_("reason for customers (English)"), max_length=100, blank=True)
    position = models.PositiveSmallIntegerField(
        _("position"), default=0, help_text=_("Of several rates that match a line the first one counts.")
    )
    kind = models.CharField(_("kind"), max_length=32)
    occasion = models.CharField(
        _("occasion"), max_length=20, choices=Occasion.choices, default=Occasion.PURCHASE
    )
    event_code = models.CharField(
        _("event"), max_length=64, blank=True, help_text=_("As the shop reports it.")
    )
    parameters = models.JSONField(_("details"), default=dict, blank=True)
    conditions = models.JSONField(_("conditions"), default=dict, blank=True)
    exclusion_group = models.SlugField(
        _("not together with"),
        max_length=32,
        blank=True,
        help_text=_("Of rules with the same name here only the one that brings most counts. Empty: adds up."),
    )
    cap_order_points = models.PositiveBigIntegerField(_("at most per order (points)"), null=True, blank=True)
    cap_member_points = models.PositiveBigIntegerField(
        _("at most per member (points)"), null=True, blank=True
    )
    cap_member_period = models.CharField(
        _("per member and"), max_length=8, choices=Period.choices, blank=True
    )
    budget_points = models.PositiveBigIntegerField(
        _("budget (points)"),
        null=True,
        blank=True,
        help_text=_("For all members together; the rule pauses itself when it is used up."),
    )
    qualifies = models.BooleanField(_("counts for tiers"), default=False)

    class Meta:
        verbose_name = _("earning rule")
        verbose_name_plural = _("earning rules")
        constraints = [
            models.UniqueConstraint(fields=["version", "code"], name="loyalty_earning_rule_code_once"),
            models.CheckConstraint(
                condition=~Q(code__in=("", *RESERVED_CODES)), name="loyalty_earning_rule_code_not_reserved"
            ),
            models.CheckConstraint(
                condition=Q(cap_member_points__isnull=True, cap_member_period="")
                | (Q(cap_member_points__isnull=False) & ~Q(cap_member_period="")),
                name="loyalty_earning_rule_member_cap_whole",
            ),
            models.CheckConstraint(
                condition=(Q(occasion="EVENT") & ~Q(event_code=""))
                | (~Q(occasion="EVENT") & Q(event_code="")),
                name="loyalty_earning_rule_event_named",
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.code

    def clean(self) -> None:
        """What forms and importers call before they store a rule; normalises both JSON columns."""
        errors: dict[str, Any] = {}
        if self.code.upper() in RESERVED_CODES:
            errors["code"] = _("This code is reserved.")
        kind = earning_rules.find(self.kind)
        if kind is None:
            raise ValidationError({**errors, "kind": _("Nobody registered this kind of rule.")})
        try:
            self.parameters = kind.validate(self.parameters or {})
        except InvalidParameters as error:
            errors["parameters"] = [f"{name}: {text}" for name, text in error.errors.items()]
        try:
            conditions = read_conditions(self.conditions or {})
        except InvalidConditions as error:
            errors["conditions"] = [f"{name}: {text}" for name, text in error.errors.items()]
        else:
            self.conditions = write_conditions(conditions)
            is_purchase = self.occasion == self.Occasion.PURCHASE
            foreign = () if is_purchase else [one for one in self.conditions if one not in MEMBER_CONDITIONS]
            if foreign:
                errors["conditions"] = _("Without an order these cannot hold: %(names)s") % {
                    "names": ", ".join(foreign)
                }
            if kind.role is Role.CAP and any(one in LINE_CONDITIONS for one in self.conditions):
                errors["conditions"] = _("A limit is for the whole order and cannot pick lines.")
        errors |= self._contradictions(kind)
        if errors:
            raise ValidationError(errors)

    def _contradictions(self, kind: Any) -> dict[str, Any]:
        errors: dict[str, Any] = {}
        if self.occasion != self.Occasion.PURCHASE and kind.code != "BONUS":
            errors["kind"] = _("Without an order only a fixed bonus makes sense.")
        if kind.role is not Role.ADD and self.exclusion_group:
            errors["exclusion_group"] = _("Only multipliers and bonuses exclude each other.")
        if (self.occasion == self.Occasion.EVENT) != bool(self.event_code):
            errors["event_code"] = _("Name the event, and only for an event.")
        if (self.cap_member_points is None) != (not self.cap_member_period):
            errors["cap_member_period"] = _("Points and period belong together.")
        limits = (self.cap_order_points, self.cap_member_points, self.budget_points)
        if kind.role is Role.CAP and any(limit is not None for limit in limits):
            errors["kind"] = _("A limit has no limits of its own.")
        return errors


class RuleBudget(models.Model):
    """
    What a rule of a programme has given so far, and whether it is paused. What is taken back later is not
    given back to the budget: a campaign that is over does not begin again because of a return.
    """

    class Reason(models.TextChoices):
        BUDGET = "BUDGET", _("the budget is used up")
        STAFF = "STAFF", _("paused by staff")

    programme = models.ForeignKey(
        Programme, on_delete=models.PROTECT, related_name="+", verbose_name=_("programme")
    )
    rule_code = models.CharField(_("rule"), max_length=32)
    granted = models.PositiveBigIntegerField(_("granted (points)"), default=0)
    paused_at = models.DateTimeField(_("paused since"), null=True, blank=True)
    paused_reason = models.CharField(_("why"), max_length=16, choices=Reason.choices, blank=True)

    class Meta:
        verbose_name = _("budget of a rule")
        verbose_name_plural = _("budgets of rules")
        permissions = [("pause_rule", "Can pause earning rules and let them go on")]
        constraints = [
            models.UniqueConstraint(fields=["programme", "rule_code"], name="loyalty_rule_budget_once")
        ]

    def __str__(self) -> str:
        return self.rule_code


class WaitingOrder(models.Model):
    """
    An order for which some rule can be judged only when it is known how it was paid. Gone afterwards. While
    all of it has come back there is nothing to judge: it is stopped, until that is undone.
    """

    programme = models.ForeignKey(
        Programme, on_delete=models.PROTECT, related_name="+", verbose_name=_("programme")
    )
    order_ref = models.CharField(_("order"), max_length=128, unique=True)
    created_at = models.DateTimeField()
    stopped_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("order with rules to be judged")
        verbose_name_plural = _("orders with rules to be judged")

    def __str__(self) -> str:
        return self.order_ref


class Occurrence(models.Model):
    """
    An occasion of a member that was rewarded, or found to bring nothing. Unique per member and key, so
    that joining again or a second birthday in one year brings nothing more.
    """

    programme = models.ForeignKey(
        Programme, on_delete=models.PROTECT, related_name="+", verbose_name=_("programme")
    )
    member = models.ForeignKey(
        "oscar_loyalty.Member",
        on_delete=models.PROTECT,
        related_name="occurrences",
        db_index=False,
        verbose_name=_("member"),
    )
    occasion = models.CharField(_("occasion"), max_length=20)
    key = models.CharField(max_length=128)
    event_code = models.CharField(_("event"), max_length=64, blank=True)
    points = models.PositiveBigIntegerField(_("points"), default=0)
    occurred_at = models.DateTimeField()

    class Meta:
        verbose_name = _("rewarded occasion")
        verbose_name_plural = _("rewarded occasions")
        permissions = [("report_event", "Can report events of members that earn points")]
        constraints = [models.UniqueConstraint(fields=["member", "key"], name="loyalty_occurrence_once")]

    def __str__(self) -> str:
        return f"{self.occasion} {self.key}"

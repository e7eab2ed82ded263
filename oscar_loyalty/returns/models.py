"""Rows of returns. Orders are named by their number and lines by their key, so that rows outlive both."""

import uuid
from decimal import Decimal

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Round
from django.utils.translation import gettext_lazy as _

from oscar_loyalty.members.models import Member
from oscar_loyalty.programmes.models import Programme
from oscar_loyalty.returns.states import State

NOTHING = Decimal("0.00")


class Reason(models.TextChoices):
    """Why goods come back. Those of the shop's making are always free of charge."""

    WITHDRAWAL = "WITHDRAWAL", _("withdrawal without a reason")
    NOT_AS_EXPECTED = "NOT_AS_EXPECTED", _("not as expected")
    DOES_NOT_FIT = "DOES_NOT_FIT", _("does not fit")
    CHANGED_MIND = "CHANGED_MIND", _("changed my mind")
    ARRIVED_LATE = "ARRIVED_LATE", _("arrived too late")
    FAULTY = "FAULTY", _("faulty")
    DAMAGED_IN_TRANSIT = "DAMAGED_IN_TRANSIT", _("damaged on the way")
    WRONG_ITEM = "WRONG_ITEM", _("wrong item")
    OTHER = "OTHER", _("another reason")


FAULTS = frozenset([Reason.FAULTY, Reason.DAMAGED_IN_TRANSIT, Reason.WRONG_ITEM])


class Condition(models.TextChoices):
    """What came back, as it was found."""

    AS_NEW = "AS_NEW", _("as new")
    OPENED = "OPENED", _("opened")
    USED = "USED", _("used")
    DAMAGED = "DAMAGED", _("damaged")
    MISSING = "MISSING", _("not in the parcel")


class SpentPoints(models.TextChoices):
    """What happens when points earned on returned goods have been spent already."""

    DEBT = "DEBT", _("deficit that later points repay")
    SET_OFF = "SET_OFF", _("set off against the refund, if the customer agrees")
    WAIVE = "WAIVE", _("waived")


def default_restock() -> list[str]:
    return [Condition.AS_NEW.value]


class ReturnPolicy(models.Model):
    """
    How the shop takes goods back, in one currency and from one moment on. An order is judged by the policy
    in force when it was placed. What the law grants (withdrawal within 14 days) is granted without it.
    """

    programme = models.ForeignKey(
        Programme, on_delete=models.PROTECT, related_name="return_policies", verbose_name=_("programme")
    )
    currency = models.CharField(_("currency"), max_length=12)
    active_from = models.DateTimeField(_("in force from"))
    note = models.CharField(_("note"), max_length=200, blank=True, help_text=_("What changed, for staff."))

    window_days = models.PositiveSmallIntegerField(
        _("days to return"),
        default=30,
        validators=[MinValueValidator(14), MaxValueValidator(3650)],
        help_text=_("From delivery. Tiers may have more. At least the 14 days of the law."),
    )
    fault_days = models.PositiveSmallIntegerField(
        _("days to return what is faulty"), default=730, help_text=_("From delivery.")
    )
    assumed_delivery_days = models.PositiveSmallIntegerField(
        _("assumed days of delivery"),
        default=5,
        help_text=_("Where nobody reports that an order has arrived."),
    )
    fee = models.DecimalField(
        _("price of a return"),
        max_digits=13,
        decimal_places=2,
        default=NOTHING,
        validators=[MinValueValidator(0)],
        help_text=_("Taken off the refund. Never for faulty goods, nor for members with free returns."),
    )
    excluded_category_ids = models.JSONField(
        _("excluded categories"),
        default=list,
        blank=True,
        help_text=_("Their products are taken back only when faulty."),
    )
    excluded_product_class_ids = models.JSONField(_("excluded product types"), default=list, blank=True)
    refunds_delivery = models.BooleanField(
        _("refund the delivery charge when everything comes back"), default=True
    )
    delivery_refund_limit = models.DecimalField(
        _("but no more than"),
        max_digits=13,
        decimal_places=2,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text=_(
            "Price of the standard delivery; who chose express pays the difference. Empty: all of it."
        ),
    )
    restock_conditions = models.JSONField(
        _("goes back on sale"), default=default_restock, blank=True, help_text=_("Conditions as inspected.")
    )
    instant_refund_limit = models.DecimalField(
        _("refund at once up to"),
        max_digits=13,
        decimal_places=2,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text=_("For members with that perk, when the carrier has the parcel. Empty: without a limit."),
    )
    keep_item_below = models.DecimalField(
        _("customer keeps what is worth less than"),
        max_digits=13,
        decimal_places=2,
        default=NOTHING,
        validators=[MinValueValidator(0)],
        help_text=_("Refunded without sending it back. 0: never."),
    )
    spent_points = models.CharField(
        _("points that are spent already"),
        max_length=16,
        choices=SpentPoints.choices,
        default=SpentPoints.DEBT,
    )
    offers_store_credit = models.BooleanField(_("refund as points on request"), default=False)
    store_credit_bonus_percent = models.DecimalField(
        _("bonus on that (percent)"),
        max_digits=5,
        decimal_places=2,
        default=NOTHING,
        validators=[MinValueValidator(0), MaxValueValidator(100)],
    )
    refund_days = models.PositiveSmallIntegerField(
        _("days from receipt to refund"), default=5, help_text=_("What customers are promised.")
    )
    label_days = models.PositiveSmallIntegerField(_("days a label is valid"), default=30)
    country = models.CharField(_("country of the calendar"), max_length=2, default="DE")
    subdivision = models.CharField(
        _("part of the country"),
        max_length=3,
        blank=True,
        help_text=_("Its holidays move a deadline to the next working day."),
    )
    goodwill_points = models.PositiveIntegerField(
        _("goodwill: points per clerk and month"), default=0, help_text=_("More needs a second person.")
    )
    goodwill_amount = models.DecimalField(
        _("goodwill: money per clerk and month"),
        max_digits=13,
        decimal_places=2,
        default=NOTHING,
        validators=[MinValueValidator(0)],
    )

    class Meta:
        verbose_name = _("return policy")
        verbose_name_plural = _("return policies")
        constraints = [
            models.UniqueConstraint(
                fields=["programme", "currency", "active_from"], name="loyalty_return_policy_once"
            ),
            models.CheckConstraint(
                condition=Q(fee__gte=0, keep_item_below__gte=0, window_days__gte=14),
                name="loyalty_return_policy_fair",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.currency} {self.active_from:%Y-%m-%d}"


class Return(models.Model):
    """One parcel of goods that a customer sends back, or wants to, and what became of it."""

    class Kind(models.TextChoices):
        RETURN = "RETURN", _("return")
        WITHDRAWAL = "WITHDRAWAL", _("withdrawal")

    class RefundTo(models.TextChoices):
        ORIGINAL = "ORIGINAL", _("to how it was paid")
        STORE_CREDIT = "STORE_CREDIT", _("as points")

    class FreeBecause(models.TextChoices):
        POLICY = "POLICY", _("returns are free")
        FAULT = "FAULT", _("because of a fault")
        PERK = "PERK", _("a benefit of your tier")
        KEEP = "KEEP", _("nothing has to be sent back")
        CHARGED = "", _("not free")

    number = models.CharField(
        _("number"),
        max_length=16,
        unique=True,
        editable=False,
        help_text="RMA, without letters that look alike.",
    )
    public_id = models.UUIDField(_("public id"), default=uuid.uuid4, unique=True, editable=False)
    order_ref = models.CharField(_("order"), max_length=128, db_index=True)
    order_id = models.PositiveBigIntegerField()
    member = models.ForeignKey(
        Member,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="returns",
        verbose_name=_("member"),
    )
    user_id = models.PositiveBigIntegerField(null=True, blank=True, db_index=True)
    email = models.EmailField(_("e-mail"), blank=True, help_text=_("Of a guest."))
    language = models.CharField(max_length=16, blank=True)
    kind = models.CharField(_("kind"), max_length=16, choices=Kind.choices, default=Kind.RETURN)
    state = models.CharField(_("state"), max_length=16, choices=State.choices, default=State.REQUESTED)
    #: The decision that a late refund failure leads back to.
    decision = models.CharField(max_length=16, blank=True)
    policy = models.ForeignKey(
        ReturnPolicy, on_delete=models.PROTECT, null=True, blank=True, related_name="returns"
    )
    currency = models.CharField(_("currency"), max_length=12)
    fee = models.DecimalField(_("price of the return"), max_digits=13, decimal_places=2, default=NOTHING)
    free_because = models.CharField(
        _("free because"), max_length=16, choices=FreeBecause.choices, blank=True, default=""
    )
    refund_to = models.CharField(
        _("refund"), max_length=16, choices=RefundTo.choices, default=RefundTo.ORIGINAL
    )
    set_off_agreed = models.BooleanField(_("customer agreed to a set-off"), default=False)
    keeps_goods = models.BooleanField(_("customer keeps the goods"), default=False)
    is_instant = models.BooleanField(_("refunded before the goods arrived"), default=False)
    idempotency_key = models.CharField(max_length=128, null=True, unique=True, editable=False)

    # What was settled, in the order's currency and in whole points.
    goods_amount = models.DecimalField(_("goods"), max_digits=13, decimal_places=2, default=NOTHING)
    delivery_amount = models.DecimalField(_("delivery"), max_digits=13, decimal_places=2, default=NOTHING)
    fee_amount = models.DecimalField(_("price taken off"), max_digits=13, decimal_places=2, default=NOTHING)
    earlier_amount = models.DecimalField(
        _("refunded before"),
        max_digits=13,
        decimal_places=2,
        default=NOTHING,
        help_text="As goodwill, or by hand.",
    )
    set_off_amount = models.DecimalField(_("set off"), max_digits=13, decimal_places=2, default=NOTHING)
    refund_amount = models.DecimalField(_("money back"), max_digits=13, decimal_places=2, default=NOTHING)
    points_back = models.PositiveIntegerField(_("points returned"), default=0)
    points_taken = models.PositiveIntegerField(_("points taken back"), default=0)
    points_waived = models.PositiveIntegerField(_("points not asked for"), default=0)
    credit_points = models.PositiveIntegerField(_("points instead of money"), default=0)
    times_booked = models.PositiveSmallIntegerField(default=0, editable=False)

    requested_at = models.DateTimeField(_("requested"))
    send_until = models.DateTimeField(_("to be sent until"), null=True, blank=True)
    shipped_at = models.DateTimeField(_("sent"), null=True, blank=True)
    received_at = models.DateTimeField(_("received"), null=True, blank=True)
    refund_due_at = models.DateTimeField(_("refund promised until"), null=True, blank=True)
    booked_at = models.DateTimeField(_("booked"), null=True, blank=True)
    refunded_at = models.DateTimeField(_("refunded"), null=True, blank=True)
    settled_at = models.DateTimeField(_("completed"), null=True, blank=True)
    closed_at = models.DateTimeField(_("closed"), null=True, blank=True)

    class Meta:
        verbose_name = _("return")
        verbose_name_plural = _("returns")
        ordering = ["-id"]
        permissions = [("handle_returns", "Can receive, check and decide on returns")]
        indexes = [
            models.Index(fields=["state", "requested_at"], name="loyalty_return_queue"),
            models.Index(fields=["received_at"], name="loyalty_return_received"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=[state.value for state in State]), name="loyalty_return_known_state"
            ),
            models.CheckConstraint(
                condition=Q(
                    # Rounded, because SQLite adds decimals as binary fractions.
                    refund_amount=Round(
                        F("goods_amount")
                        + F("delivery_amount")
                        - F("fee_amount")
                        - F("earlier_amount")
                        - F("set_off_amount"),
                        precision=2,
                    ),
                    refund_amount__gte=0,
                ),
                name="loyalty_return_adds_up",
            ),
        ]

    def __str__(self) -> str:
        return self.number

    @property
    def is_booked(self) -> bool:
        return self.booked_at is not None


class ReturnLine(models.Model):
    """So many pieces of one line of the order, and what was found when they arrived."""

    of_return = models.ForeignKey(
        Return, on_delete=models.CASCADE, related_name="lines", verbose_name=_("return")
    )
    line_id = models.PositiveBigIntegerField(db_index=True)
    title = models.CharField(_("product"), max_length=255)
    sku = models.CharField(_("SKU"), max_length=128, blank=True)
    upc = models.CharField(_("UPC"), max_length=128, blank=True)
    quantity = models.PositiveIntegerField(_("pieces"))
    reason = models.CharField(_("reason"), max_length=32, choices=Reason.choices, default=Reason.WITHDRAWAL)
    comment = models.TextField(_("comment"), blank=True, max_length=2000)
    accepted = models.PositiveIntegerField(_("accepted"), null=True, blank=True)
    condition = models.CharField(_("condition"), max_length=16, choices=Condition.choices, blank=True)
    deduction = models.DecimalField(
        _("deduction"),
        max_digits=13,
        decimal_places=2,
        default=NOTHING,
        help_text=_("For a loss of value that goes beyond trying the goods (§ 357a BGB)."),
    )
    refusal = models.CharField(_("why not all"), max_length=255, blank=True)
    restocked = models.PositiveIntegerField(_("back in stock"), default=0)
    amount = models.DecimalField(_("money back"), max_digits=13, decimal_places=2, default=NOTHING)
    points_back = models.PositiveIntegerField(_("points returned"), default=0)

    class Meta:
        verbose_name = _("returned line")
        verbose_name_plural = _("returned lines")
        constraints = [
            models.UniqueConstraint(fields=["of_return", "line_id"], name="loyalty_return_line_once"),
            models.CheckConstraint(condition=Q(quantity__gt=0), name="loyalty_return_line_pieces"),
            models.CheckConstraint(
                condition=Q(accepted=None) | Q(accepted__lte=F("quantity")),
                name="loyalty_return_accepted_no_more",
            ),
            models.CheckConstraint(
                condition=Q(amount__gte=0, deduction__gte=0), name="loyalty_return_line_positive"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} {self.title}"

    @property
    def is_fault(self) -> bool:
        return self.reason in FAULTS


class ReturnEvent(models.Model):
    """What happened to a return, in the order in which it happened. Only ever added to."""

    of_return = models.ForeignKey(
        Return, on_delete=models.CASCADE, related_name="events", verbose_name=_("return")
    )
    at = models.DateTimeField(_("at"))
    #: A state, or the code of something that changes none: LABEL_FAILED, REFUND_SENT, REFUND_FAILED,
    #: GOODS_ARRIVED …
    code = models.CharField(_("what"), max_length=32)
    state = models.CharField(_("state"), max_length=16, choices=State.choices)
    actor_ref = models.CharField(
        _("by"), max_length=64, help_text="customer, guest, user:<id>, system, carrier …"
    )
    reason = models.CharField(_("reason"), max_length=255, blank=True)
    details = models.JSONField(default=dict, blank=True)

    class Meta:
        verbose_name = _("event of a return")
        verbose_name_plural = _("events of returns")
        ordering = ["id"]

    def __str__(self) -> str:
        return self.code


class ReturnPhoto(models.Model):
    """
    A picture of the goods, made small and without its metadata. Kept in the database: nobody can guess it.
    """

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    of_return = models.ForeignKey(Return, on_delete=models.CASCADE, related_name="photos")
    line = models.ForeignKey(
        ReturnLine, on_delete=models.CASCADE, null=True, blank=True, related_name="photos"
    )
    by_staff = models.BooleanField(_("by staff"), default=False)
    content = models.BinaryField()
    added_at = models.DateTimeField()

    class Meta:
        verbose_name = _("photo of a return")
        verbose_name_plural = _("photos of returns")

    def __str__(self) -> str:
        return str(self.public_id)


class ReturnLabel(models.Model):
    """What a customer sticks on the parcel, or shows at the counter. Asked for until a provider gives one."""

    class State(models.TextChoices):
        WAITING = "WAITING", _("waits for the provider")
        READY = "READY", _("ready")
        VOID = "VOID", _("not needed any more")

    of_return = models.OneToOneField(Return, on_delete=models.CASCADE, related_name="label")
    state = models.CharField(max_length=16, choices=State.choices, default=State.WAITING)
    provider = models.CharField(_("provider"), max_length=64, blank=True)
    tracking_code = models.CharField(_("tracking code"), max_length=64, blank=True, db_index=True)
    pdf = models.BinaryField(null=True)
    qr_text = models.CharField(max_length=255, blank=True)
    valid_until = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField(null=True, blank=True, db_index=True)
    last_error = models.CharField(max_length=255, blank=True)
    made_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("return label")
        verbose_name_plural = _("return labels")

    def __str__(self) -> str:
        return self.tracking_code or self.state


class Withdrawal(models.Model):
    """
    A declaration of withdrawal as it came in, kept word for word: § 356a BGB asks for its content, date and
    time in the receipt. Whether it fits an order is found out afterwards; it is valid without.
    """

    class State(models.TextChoices):
        RECEIVED = "RECEIVED", _("to be assigned")
        MATCHED = "MATCHED", _("assigned to a return")
        CLOSED = "CLOSED", _("closed")

    class Finding(models.TextChoices):
        NOT_LOOKED_AT = "", _("not looked at yet")
        NO_ORDER = "NO_ORDER", _("no order with this number and address")
        SEVERAL = "SEVERAL", _("fits several orders")
        PART = "PART", _("names some of the goods in words")
        LATE = "LATE", _("declared after the period")
        REFUSED = "REFUSED", _("could not become a return on its own")

    #: Derived from what was declared and the key that came with it: twice the same is one declaration.
    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    number = models.CharField(_("number"), max_length=16, unique=True, editable=False)
    user_id = models.PositiveBigIntegerField(null=True, blank=True)
    name = models.CharField(_("name"), max_length=255)
    email = models.EmailField(_("e-mail"))
    order_text = models.CharField(_("order"), max_length=255)
    content = models.TextField(_("declaration"), blank=True, max_length=5000)
    #: Pieces by key of the order's line, where only some were named; empty: everything.
    lines = models.JSONField(default=dict, blank=True)
    language = models.CharField(max_length=16, blank=True)
    finding = models.CharField(
        _("why it waits"), max_length=16, choices=Finding.choices, blank=True, default=""
    )
    state = models.CharField(_("state"), max_length=16, choices=State.choices, default=State.RECEIVED)
    of_return = models.ForeignKey(
        Return, on_delete=models.SET_NULL, null=True, blank=True, related_name="withdrawals"
    )
    received_at = models.DateTimeField(_("received"))
    receipt_sent_at = models.DateTimeField(_("receipt sent"), null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    closing_note = models.CharField(_("note"), max_length=255, blank=True)
    handled_by = models.CharField(_("by"), max_length=64, blank=True, help_text="system, user:<id>")

    class Meta:
        verbose_name = _("withdrawal")
        verbose_name_plural = _("withdrawals")
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.number


class Goodwill(models.Model):
    """Points or a part of the price that a clerk gives for an order; above the clerk's budget two decide."""

    class State(models.TextChoices):
        REQUESTED = "REQUESTED", _("waits for a second person")
        GIVEN = "GIVEN", _("given")
        REJECTED = "REJECTED", _("rejected")

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    programme = models.ForeignKey(Programme, on_delete=models.PROTECT, related_name="+")
    order_ref = models.CharField(_("order"), max_length=128, db_index=True)
    of_return = models.ForeignKey(
        Return, on_delete=models.SET_NULL, null=True, blank=True, related_name="goodwill"
    )
    member = models.ForeignKey(
        Member, on_delete=models.SET_NULL, null=True, blank=True, related_name="goodwill"
    )
    points = models.PositiveIntegerField(_("points"), default=0)
    amount = models.DecimalField(_("amount"), max_digits=13, decimal_places=2, default=NOTHING)
    currency = models.CharField(_("currency"), max_length=12)
    reason = models.CharField(_("reason"), max_length=255)
    customer_text_de = models.CharField(_("text for the customer (German)"), max_length=200, blank=True)
    customer_text_en = models.CharField(_("text for the customer (English)"), max_length=200, blank=True)
    tells_customer = models.BooleanField(_("mail to the customer"), default=False)
    state = models.CharField(_("state"), max_length=16, choices=State.choices, default=State.REQUESTED)
    clerk_id = models.PositiveBigIntegerField(_("clerk"))
    month = models.DateField(_("month"), help_text=_("Whose budget it counts in."))
    decided_by_id = models.PositiveBigIntegerField(null=True, blank=True)
    requested_at = models.DateTimeField(_("requested"))
    decided_at = models.DateTimeField(_("decided"), null=True, blank=True)

    class Meta:
        verbose_name = _("goodwill")
        verbose_name_plural = _("goodwill")
        ordering = ["-id"]
        permissions = [("approve_goodwill", "Can decide on goodwill that others ask for")]
        indexes = [models.Index(fields=["clerk_id", "month"], name="loyalty_goodwill_budget")]
        constraints = [
            models.CheckConstraint(
                condition=Q(points__gt=0, amount=0) | Q(points=0, amount__gt=0),
                name="loyalty_goodwill_one_kind",
            ),
            models.CheckConstraint(
                condition=Q(decided_by_id=None) | ~Q(decided_by_id=F("clerk_id")) | Q(state="REJECTED"),
                name="loyalty_goodwill_two_people",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.points or self.amount} {self.order_ref}"


class GoodwillBudget(models.Model):
    """The row that two clicks of one clerk in one month meet at."""

    programme = models.ForeignKey(Programme, on_delete=models.PROTECT, related_name="+")
    clerk_id = models.PositiveBigIntegerField()
    month = models.DateField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["programme", "clerk_id", "month"], name="loyalty_goodwill_budget_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.clerk_id} {self.month:%Y-%m}"

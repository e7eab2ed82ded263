"""Bonus points of the shop's own offers: what an offer gives, and what an order was promised by it."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

#: Nobody means to give more for one application of an offer; a slip of the keyboard does.
MOST_POINTS = 1_000_000


class OfferBonus(models.Model):
    """
    What a saved benefit of Oscar's gives. Oscar's row has no room for it, and no foreign key leads there, so
    that the shop can delete what it owns without asking us.
    """

    benefit_ref = models.PositiveBigIntegerField(unique=True, editable=False)
    points = models.PositiveIntegerField(
        _("points"), validators=[MinValueValidator(1), MaxValueValidator(MOST_POINTS)]
    )
    once_per_order = models.BooleanField(
        _("once per order"),
        default=False,
        help_text=_("Otherwise for every time the condition is met: buy four where two are asked for."),
    )
    text_de = models.CharField(
        _("text for the customer (German)"), max_length=200, blank=True, help_text=_("Without the points.")
    )
    text_en = models.CharField(
        _("text for the customer (English)"), max_length=200, blank=True, help_text=_("Without the points.")
    )

    class Meta:
        verbose_name = _("bonus points of an offer")
        verbose_name_plural = _("bonus points of offers")

    def __str__(self) -> str:
        return f"{self.points}"

    @property
    def text(self) -> str:
        """In the language of the reader; in the other one where that is all there is."""
        return choose_text(self.text_de, self.text_en)


class OrderBonus(models.Model):
    """
    What an offer promised the customer of an order, frozen when it was placed: staff may change or end the
    offer before the points are booked. Written in the transaction that places the order.
    """

    order_ref = models.CharField(_("order"), max_length=128)
    offer_ref = models.PositiveBigIntegerField(_("offer"))
    offer_name = models.CharField(_("name of the offer"), max_length=128, blank=True)
    points = models.PositiveIntegerField(_("points"), help_text=_("For all applications together."))
    times = models.PositiveIntegerField(_("applications"), default=1)
    text_de = models.CharField(max_length=200, blank=True)
    text_en = models.CharField(max_length=200, blank=True)
    made_at = models.DateTimeField(_("promised"))

    class Meta:
        verbose_name = _("promised bonus points")
        verbose_name_plural = _("promised bonus points")
        constraints = [
            models.UniqueConstraint(fields=["order_ref", "offer_ref"], name="loyalty_order_bonus_once")
        ]

    def __str__(self) -> str:
        return f"{self.order_ref}: {self.points}"


def choose_text(german: str, english: str) -> str:
    wanted, other = (german, english) if (get_language() or "").startswith("de") else (english, german)
    return wanted or other

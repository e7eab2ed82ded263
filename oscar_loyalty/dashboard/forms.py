"""What staff type in. Every form that books carries a key, so that sending it twice books once."""

import uuid
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.utils.dates import MONTHS
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from oscar_loyalty.flows.adjustments import find_mistake
from oscar_loyalty.members.models import Member
from oscar_loyalty.points.models import MOST_POINTS_PER_ENTRY, Account, Adjustment
from oscar_loyalty.shop.customers import find_member_named
from oscar_loyalty.tiers.queries import TierTable, name_of

_REASONS = [choice for choice in Adjustment.Reason.choices if choice[0] != Adjustment.Reason.UNDO]


class DeskForm(forms.Form):
    """``key`` names this wish; ``seen`` is what the page showed when it was opened."""

    key = forms.UUIDField(widget=forms.HiddenInput, initial=uuid.uuid4)
    seen = forms.CharField(widget=forms.HiddenInput, required=False, max_length=200)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)
        dress(self)


def dress(form: forms.Form) -> None:
    """Have the fields look like the dashboard's, with what explains them."""
    form.auto_id = "desk-%s"
    for name, field in form.fields.items():
        field.label = capfirst(field.label)
        is_box = isinstance(field.widget, forms.CheckboxInput)
        field.widget.attrs["class"] = "form-check-input" if is_box else "form-control"
        if field.help_text:
            field.widget.attrs["aria-describedby"] = f"desk-{name}-help"


class NoteForm(DeskForm):
    note = forms.CharField(
        label=_("internal note"),
        help_text=_("Why? Only staff see it."),
        widget=forms.Textarea(attrs={"rows": 3}),
        max_length=2000,
    )


class AdjustForm(DeskForm):
    points = forms.IntegerField(
        label=_("points"),
        min_value=-MOST_POINTS_PER_ENTRY,
        max_value=MOST_POINTS_PER_ENTRY,
        help_text=_("Above zero credits, below zero deducts."),
    )
    reason_code = forms.ChoiceField(label=_("reason"), choices=[("", "—"), *_REASONS])
    customer_text_de = forms.CharField(
        label=_("text for the customer (German)"),
        required=False,
        max_length=200,
        help_text=_("Shown to the customer beside the booking. May be empty."),
    )
    customer_text_en = forms.CharField(
        label=_("text for the customer (English)"),
        required=False,
        max_length=200,
        help_text=_("Shown to the customer beside the booking. May be empty."),
    )
    internal_note = forms.CharField(
        label=_("internal note"),
        required=False,
        help_text=_("Only staff see it."),
        widget=forms.Textarea(attrs={"rows": 3}),
        max_length=2000,
    )

    def __init__(self, *args: Any, account: Account, now: datetime, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._account, self._now = account, now

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if "points" in cleaned and "reason_code" in cleaned:
            mistake = find_mistake(
                points=cleaned["points"],
                reason_code=cleaned["reason_code"],
                account=self._account,
                now=self._now,
            )
            if mistake:
                self.add_error("points", mistake)
        return cleaned


class TargetForm(DeskForm):
    """Another member, by what staff have at hand."""

    target = forms.CharField(
        label=_("other member"),
        max_length=200,
        help_text=_("Their public id, or their complete e-mail address."),
    )
    note = forms.CharField(
        label=_("internal note"),
        help_text=_("Why? Only staff see it."),
        widget=forms.Textarea(attrs={"rows": 3}),
        max_length=2000,
    )

    def __init__(self, *args: Any, account: Account, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._account = account

    def clean_target(self) -> Member:
        """The member that was named; :attr:`found` is their account."""
        member = find_member_named(self.cleaned_data["target"])
        if member is None:
            raise forms.ValidationError(_("There is no such member."))
        if member.pk == self._account.member_id:
            raise forms.ValidationError(_("This is the same member."))
        return member


class TransferForm(TargetForm):
    points = forms.IntegerField(label=_("points"), min_value=1, max_value=MOST_POINTS_PER_ENTRY)
    note = forms.CharField(
        label=_("internal note"),
        required=False,
        help_text=_("Why? Only staff see it. It stays in the ledger for good: no names, no addresses."),
        widget=forms.Textarea(attrs={"rows": 3}),
        max_length=2000,
    )
    field_order = ("target", "points", "note")


class GiveTierForm(DeskForm):
    tier_code = forms.ChoiceField(label=_("tier"))
    until = forms.DateField(
        label=_("until"),
        help_text=_("The last day on which the member has it."),
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    reason = forms.CharField(label=_("reason"), max_length=200, help_text=_("Why? Only staff see it."))

    def __init__(self, *args: Any, table: TierTable, now: datetime, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["tier_code"].choices = [  # type: ignore[attr-defined]
            ("", "—"),
            *((tier.code, name_of(tier)) for tier in table.tiers),
        ]
        self._today = now.astimezone(ZoneInfo(table.version.programme.time_zone)).date()

    def clean_until(self) -> date:
        until: date = self.cleaned_data["until"]
        if until < self._today:
            raise forms.ValidationError(_("This day is over."))
        return until


class GoodwillForm(DeskForm):
    points = forms.IntegerField(
        label=_("points"),
        required=False,
        min_value=1,
        max_value=MOST_POINTS_PER_ENTRY,
        help_text=_("Either these …"),
    )
    amount = forms.DecimalField(
        label=_("amount"),
        required=False,
        min_value=0,
        max_digits=13,
        decimal_places=2,
        localize=True,
        help_text=_("… or a part of the price, paid back the way the order was paid."),
    )
    reason = forms.CharField(label=_("reason"), max_length=255, help_text=_("Why? Only staff see it."))
    customer_text_de = forms.CharField(
        label=_("text for the customer (German)"), required=False, max_length=200
    )
    customer_text_en = forms.CharField(
        label=_("text for the customer (English)"), required=False, max_length=200
    )
    tells_customer = forms.BooleanField(label=_("tell the customer by mail"), required=False)

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if not self.errors and bool(cleaned.get("points")) == bool(cleaned.get("amount")):
            raise forms.ValidationError(_("Enter either points or an amount."))
        return cleaned


class CloseForm(DeskForm):
    sure = forms.BooleanField(label=_("Yes, close it for good"))


class BirthdayForm(DeskForm):
    day = forms.TypedChoiceField(
        label=_("day"), coerce=int, choices=[("", "–"), *((day, day) for day in range(1, 32))]
    )
    month = forms.TypedChoiceField(label=_("month"), coerce=int, choices=[("", "–"), *MONTHS.items()])

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if not self.errors:
            try:
                # A leap year: nobody tells the year.
                date(2000, cleaned["month"], cleaned["day"])
            except ValueError:
                self.add_error("day", _("There is no such day."))
        return cleaned


class PreviewForm(forms.Form):
    """
    Through whose eyes a version is looked at, and with which basket. Sent by GET, so that what was found
    can be shown to others by its address.
    """

    version = forms.ChoiceField(label=_("version of the programme"))
    who = forms.ChoiceField(label=_("seen as"))
    goods = forms.DecimalField(
        label=_("value of the basket"),
        required=False,
        min_value=Decimal("0.01"),
        max_value=Decimal(1_000_000),
        max_digits=9,
        decimal_places=2,
        help_text=_("Goods on the shelf, VAT included. Empty: the price of the product."),
    )
    currency = forms.ChoiceField(label=_("currency"))
    product = forms.CharField(
        label=_("with the product"),
        required=False,
        max_length=200,
        help_text=_("UPC, number or a part of its title. May be empty."),
    )

    def __init__(
        self,
        *args: Any,
        versions: Sequence[tuple[str, str]],
        people: Sequence[tuple[str, str]],
        currencies: Sequence[str],
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)
        dress(self)
        self.fields["version"].choices = versions  # type: ignore[attr-defined]
        self.fields["who"].choices = people  # type: ignore[attr-defined]
        self.fields["currency"].choices = [(code, code) for code in currencies]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if not self.errors and cleaned["goods"] is None and not cleaned["product"]:
            self.add_error("goods", _("Say what the basket is worth, or choose a product."))
        return cleaned

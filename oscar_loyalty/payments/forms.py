from django import forms
from django.utils.translation import gettext_lazy as _

# Stripe's own names of its test cards; what each does is shown to the tester.
TEST_CARDS = [
    ("pm_card_visa", _("Visa ending in 4242: the payment succeeds")),
    ("pm_card_authenticationRequired", _("Visa ending in 3184: the bank asks for 3-D Secure")),
    ("pm_card_visa_chargeDeclined", _("Visa ending in 0002: the card is declined")),
    ("pm_card_visa_chargeDeclinedInsufficientFunds", _("Visa ending in 9995: not enough money")),
]


class CardForm(forms.Form):
    """The card as the provider's token for it; the number itself never reaches this server."""

    payment_method = forms.CharField(
        max_length=255,
        widget=forms.HiddenInput,
        error_messages={"required": _("Please enter your card details.")},
    )


class TestCardForm(forms.Form):
    """The same with a list of test cards, for shops that are being tried out. Works without JavaScript."""

    __test__ = False

    payment_method = forms.ChoiceField(
        label=_("Test card"),
        choices=TEST_CARDS,
        widget=forms.RadioSelect(attrs={"class": "form-check-input"}),
        initial=TEST_CARDS[0][0],
        error_messages={"required": _("Please choose a card.")},
    )

"""Stripe's test cards: number, well-known name, and how each behaves."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Decline:
    code: str
    decline_code: str
    message: str


GENERIC = Decline("card_declined", "generic_decline", "Your card was declined.")
NO_FUNDS = Decline("card_declined", "insufficient_funds", "Your card has insufficient funds.")
NEEDS_AUTHENTICATION = Decline(
    "authentication_required",
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
)


@dataclass(frozen=True)
class TestCard:
    """One number. ``refund`` says how refunds to it go: ``succeeded``, ``pending`` or ``fails``."""

    number: str
    names: tuple[str, ...]
    brand: str = "visa"
    country: str = "US"
    funding: str = "credit"
    decline: Decline | None = None
    challenge: bool = False
    attaches: bool = True
    refund: str = "succeeded"


def _declined(number: str, name: str, decline: Decline) -> TestCard:
    # Stripe's pages use both spellings of the name.
    names = (f"pm_card_{name}", f"pm_card_visa_{name}")
    return TestCard(number, names, decline=decline, attaches=False)


CARDS = (
    TestCard("4242424242424242", ("pm_card_visa",)),
    TestCard("4000056655665556", ("pm_card_visa_debit",), funding="debit"),
    TestCard("5555555555554444", ("pm_card_mastercard",), brand="mastercard"),
    TestCard("378282246310005", ("pm_card_amex",), brand="amex"),
    TestCard("4000002760000016", ("pm_card_de",), country="DE"),
    TestCard("4000000400000008", ("pm_card_at",), country="AT"),
    _declined("4000000000000002", "chargeDeclined", GENERIC),
    _declined("4000000000009995", "chargeDeclinedInsufficientFunds", NO_FUNDS),
    _declined(
        "4000000000009987",
        "chargeDeclinedLostCard",
        Decline("card_declined", "lost_card", "Your card was declined."),
    ),
    _declined(
        "4000000000009979",
        "chargeDeclinedStolenCard",
        Decline("card_declined", "stolen_card", "Your card was declined."),
    ),
    _declined(
        "4000000000000069",
        "chargeDeclinedExpiredCard",
        Decline("expired_card", "expired_card", "Your card has expired."),
    ),
    _declined(
        "4000000000000127",
        "chargeDeclinedIncorrectCvc",
        Decline("incorrect_cvc", "incorrect_cvc", "Your card's security code is incorrect."),
    ),
    _declined(
        "4000000000000119",
        "chargeDeclinedProcessingError",
        Decline(
            "processing_error",
            "processing_error",
            "An error occurred while processing your card. Try again in a little bit.",
        ),
    ),
    TestCard("4000000000000341", ("pm_card_chargeCustomerFail",), decline=GENERIC),
    TestCard("4000002760003184", ("pm_card_authenticationRequired",), challenge=True),
    TestCard("4000002500003155", ("pm_card_authenticationRequiredOnSetup",), challenge=True),
    TestCard("4000000000003220", ("pm_card_threeDSecure2Required",), challenge=True),
    TestCard("4000000000003063", ("pm_card_threeDSecureRequired",), challenge=True),
    TestCard(
        "4000008260003178",
        ("pm_card_authenticationRequiredChargeDeclinedInsufficientFunds",),
        challenge=True,
        decline=NO_FUNDS,
    ),
    TestCard(
        "4000008400001629", ("pm_card_threeDSecureRequiredChargeDeclined",), challenge=True, decline=GENERIC
    ),
    TestCard("4000000000007726", ("pm_card_pendingRefund",), refund="pending"),
    TestCard("4000000000005126", ("pm_card_refundFail",), refund="fails"),
)
BY_NUMBER = {card.number: card for card in CARDS}
BY_NAME = {name: card for card in CARDS for name in card.names}

"""Technical settings of a shop, read on access so that tests and late overrides work.

What staff decide (rates, expiry, limits) is not here: it lives in programme versions in the database.
"""

from typing import Any

from django.conf import settings as django_settings

#: Makes return labels unless the shop names a provider of its own.
OWN_PROVIDER = "oscar_loyalty.returns.pdf_labels.PdfLabels"


class LoyaltySettings:
    @staticmethod
    def _get(name: str, default: Any) -> Any:
        return getattr(django_settings, f"OSCAR_LOYALTY_{name}", default)

    @property
    def enabled(self) -> bool:
        """``OSCAR_LOYALTY_ENABLED``: off, the app leaves no trace in pages, totals and bookings."""
        return bool(self._get("ENABLED", True))

    @property
    def programme_code(self) -> str:
        """``OSCAR_LOYALTY_PROGRAMME``: code of the programme that this shop runs."""
        return str(self._get("PROGRAMME", "default"))

    @property
    def hold_minutes(self) -> int:
        """``OSCAR_LOYALTY_HOLD_MINUTES``: how long points stay reserved for a basket nobody touches."""
        return int(self._get("HOLD_MINUTES", 30))

    @property
    def payment_hold_hours(self) -> int:
        """``OSCAR_LOYALTY_PAYMENT_HOLD_HOURS``: the same while the basket is frozen for payment, in hours."""
        return int(self._get("PAYMENT_HOLD_HOURS", 24))

    @property
    def cancelled_statuses(self) -> tuple[str, ...]:
        """``OSCAR_LOYALTY_CANCELLED_STATUSES``: order statuses that undo what the order earned and spent."""
        return tuple(self._get("CANCELLED_STATUSES", ("Cancelled",)))

    @property
    def expiry_warning_days(self) -> int:
        """``OSCAR_LOYALTY_EXPIRY_WARNING_DAYS``: days between the warning mail and the expiry of points."""
        return int(self._get("EXPIRY_WARNING_DAYS", 30))

    @property
    def tier_warning_days(self) -> tuple[int, ...]:
        """``OSCAR_LOYALTY_TIER_WARNING_DAYS``: how many days before a tier is lost members are written to;
        empty: not at all."""
        return tuple(self._get("TIER_WARNING_DAYS", (60, 14)))

    @property
    def tier_mail(self) -> bool:
        """``OSCAR_LOYALTY_TIER_MAIL``: write to members who have reached a tier."""
        return bool(self._get("TIER_MAIL", True))

    @property
    def channel(self) -> str:
        """``OSCAR_LOYALTY_CHANNEL``: dotted path to a function that takes an order, a basket or ``None`` and
        returns the channel that earning rules ask for, for example "APP". Empty: everything is "SHOP"."""
        return str(self._get("CHANNEL", ""))

    @property
    def profile_is_complete(self) -> str:
        """``OSCAR_LOYALTY_PROFILE_IS_COMPLETE``: dotted path to a function that takes a user and returns
        whether their profile is complete, for the rule that rewards it. Empty: name and default address."""
        return str(self._get("PROFILE_IS_COMPLETE", ""))

    @property
    def staff_mail(self) -> tuple[str, ...]:
        """``OSCAR_LOYALTY_STAFF_MAIL``: addresses that are told what staff must know, for example that a rule
        has used up its budget; empty: Django's ``MANAGERS``."""
        return tuple(self._get("STAFF_MAIL", ()))

    @property
    def fast_path(self) -> bool:
        """``OSCAR_LOYALTY_FAST_PATH``: on PostgreSQL, book in one statement where that is possible."""
        return bool(self._get("FAST_PATH", True))

    # Card payment

    @property
    def payment_gateway(self) -> str:
        """``OSCAR_LOYALTY_PAYMENT_GATEWAY``: dotted path of the class that talks to the payment provider."""
        return str(self._get("PAYMENT_GATEWAY", "oscar_loyalty.payments.stripe_gateway.StripeGateway"))

    @property
    def payment_abandoned_minutes(self) -> int:
        """``OSCAR_LOYALTY_PAYMENT_ABANDONED_MINUTES``: after how long a payment without order is given up."""
        return int(self._get("PAYMENT_ABANDONED_MINUTES", 60))

    @property
    def stripe_secret_key(self) -> str:
        """``OSCAR_LOYALTY_STRIPE_SECRET_KEY``: without it no card payment is offered."""
        return str(self._get("STRIPE_SECRET_KEY", ""))

    @property
    def stripe_publishable_key(self) -> str:
        """``OSCAR_LOYALTY_STRIPE_PUBLISHABLE_KEY``: handed to browsers and apps."""
        return str(self._get("STRIPE_PUBLISHABLE_KEY", ""))

    @property
    def stripe_webhook_secret(self) -> str:
        """``OSCAR_LOYALTY_STRIPE_WEBHOOK_SECRET``: without it every webhook call is refused."""
        return str(self._get("STRIPE_WEBHOOK_SECRET", ""))

    @property
    def stripe_api_base(self) -> str:
        """``OSCAR_LOYALTY_STRIPE_API_BASE``: address of a Stripe-shaped server; empty means Stripe itself."""
        return str(self._get("STRIPE_API_BASE", ""))

    @property
    def stripe_timeout_seconds(self) -> float:
        """``OSCAR_LOYALTY_STRIPE_TIMEOUT_SECONDS``: how long one call to Stripe may take, in seconds."""
        return float(self._get("STRIPE_TIMEOUT_SECONDS", 20))

    @property
    def card_test_form(self) -> bool:
        """``OSCAR_LOYALTY_CARD_TEST_FORM``: test cards instead of a card form; off with a live key."""
        return bool(self._get("CARD_TEST_FORM", False)) and "_live_" not in self.stripe_secret_key

    # Delivery

    @property
    def delivery_methods(self) -> str:
        """``OSCAR_LOYALTY_DELIVERY_METHODS``: dotted path to a function without arguments that returns the
        shop's delivery methods that promise a day; empty: no day is promised."""
        return str(self._get("DELIVERY_METHODS", ""))

    @property
    def delivery_subdivision(self) -> str:
        """``OSCAR_LOYALTY_DELIVERY_SUBDIVISION``: dotted path to a function that takes an address and returns
        the part of the country by ISO 3166-2 ("BY"), or an empty text; empty: the state in the address."""
        return str(self._get("DELIVERY_SUBDIVISION", ""))

    @property
    def delivered_statuses(self) -> tuple[str, ...]:
        """``OSCAR_LOYALTY_DELIVERED_STATUSES``: statuses of an order, or of all its lines, that say that it
        has arrived."""
        return tuple(self._get("DELIVERED_STATUSES", ("Delivered", "Complete")))

    @property
    def delivered_events(self) -> tuple[str, ...]:
        """``OSCAR_LOYALTY_DELIVERED_EVENTS``: codes of Oscar's shipping event types that say the same for the
        quantities they name."""
        return tuple(self._get("DELIVERED_EVENTS", ("delivered",)))

    @property
    def delivery_grace_hours(self) -> int:
        """``OSCAR_LOYALTY_DELIVERY_GRACE_HOURS``: hours after the promised day until which the carrier's news
        may still come in before an order counts as late."""
        return int(self._get("DELIVERY_GRACE_HOURS", 12))

    @property
    def late_mail(self) -> bool:
        """``OSCAR_LOYALTY_LATE_MAIL``: apologise by mail for orders that did not arrive as promised."""
        return bool(self._get("LATE_MAIL", False))

    @property
    def late_points(self) -> int:
        """``OSCAR_LOYALTY_LATE_POINTS``: points that members get for an order that did not arrive as
        promised; none unless it is set."""
        return int(self._get("LATE_POINTS", 0))

    # Returns

    @property
    def return_address(self) -> tuple[str, ...]:
        """``OSCAR_LOYALTY_RETURN_ADDRESS``: lines of the address that goods are sent back to; without it no
        label is made."""
        return tuple(self._get("RETURN_ADDRESS", ()))

    @property
    def label_provider(self) -> str:
        """``OSCAR_LOYALTY_LABEL_PROVIDER``: dotted path of the class that makes return labels; the app's own
        prints an address label without postage."""
        return str(self._get("LABEL_PROVIDER", OWN_PROVIDER))

    @property
    def label_font(self) -> str:
        """``OSCAR_LOYALTY_LABEL_FONT``: file of a TrueType font for the app's own labels, for a shop whose
        customers write in other scripts; empty: one for Western Europe."""
        return str(self._get("LABEL_FONT", ""))

    @property
    def return_photo_days(self) -> int:
        """``OSCAR_LOYALTY_RETURN_PHOTO_DAYS``: for how many days after the end of a return its pictures are
        kept."""
        return int(self._get("RETURN_PHOTO_DAYS", 180))

    @property
    def return_details_days(self) -> int:
        """``OSCAR_LOYALTY_RETURN_DETAILS_DAYS``: for how many days after the end of a return what its
        customer wrote, the address of a guest and the label are kept."""
        return int(self._get("RETURN_DETAILS_DAYS", 365))

    @property
    def withdrawal_kept_days(self) -> int:
        """``OSCAR_LOYALTY_WITHDRAWAL_KEPT_DAYS``: for how many days declarations of withdrawal are kept after
        they were dealt with. Seven years, because German law wants letters kept for six years that begin with
        the end of the year (§ 257 HGB, § 147 AO)."""
        return int(self._get("WITHDRAWAL_KEPT_DAYS", 2557))

    @property
    def return_url(self) -> str:
        """``OSCAR_LOYALTY_RETURN_URL``: page of a headless shop where guests return an order, ``{token}`` in
        it stands for what the API wants; empty: the app's own page."""
        return str(self._get("RETURN_URL", ""))

    # REST API

    @property
    def throttle_rates(self) -> dict[str, str | None]:
        """``OSCAR_LOYALTY_THROTTLE_RATES``: requests per caller and period of the API, by scope, laid over
        the defaults; ``None`` lifts the limit of a scope."""
        chosen: dict[str, str | None] = self._get("THROTTLE_RATES", {})
        return {
            "public": "240/min",
            "personal": "120/min",
            "write": "30/min",
            "claim": "10/min",
            "transfer": "10/hour",
            "withdrawal": "20/hour",
            "return_link": "10/hour",
            "warehouse": "600/min",
            **chosen,
        }

    # Pages and mails

    @property
    def terms_url(self) -> str:
        """``OSCAR_LOYALTY_TERMS_URL``: page with the terms; empty: the rules on the programme page."""
        return str(self._get("TERMS_URL", ""))

    @property
    def base_url(self) -> str:
        """``OSCAR_LOYALTY_BASE_URL``: how links in mails begin; empty: https and the domain of the site."""
        return str(self._get("BASE_URL", "")).rstrip("/")

    @property
    def claim_url(self) -> str:
        """``OSCAR_LOYALTY_CLAIM_URL``: page of a headless shop that claims points, ``{token}`` in it stands
        for what the API wants; empty: the app's own page."""
        return str(self._get("CLAIM_URL", ""))

    @property
    def claim_mail(self) -> bool:
        """``OSCAR_LOYALTY_CLAIM_MAIL``: mail the link to claim points for every guest order; off, guests
        ask for it. In some countries such a mail is advertising."""
        return bool(self._get("CLAIM_MAIL", False))

    @property
    def email_is_verified(self) -> str:
        """``OSCAR_LOYALTY_EMAIL_IS_VERIFIED``: dotted path to a function that takes a user and returns
        whether the shop has verified their address; such members need no link for orders they placed as
        guests. Empty: no address counts as verified."""
        return str(self._get("EMAIL_IS_VERIFIED", ""))

    @property
    def customer_language(self) -> str:
        """
        ``OSCAR_LOYALTY_CUSTOMER_LANGUAGE``: dotted path to a function that takes a user and returns the
        language code of their mails, or ``None``; empty: the user's ``language`` if the model has one.
        """
        return str(self._get("CUSTOMER_LANGUAGE", ""))


loyalty_settings = LoyaltySettings()

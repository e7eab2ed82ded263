from django.apps import AppConfig
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class LoyaltyConfig(AppConfig):
    name = "oscar_loyalty"
    label = "oscar_loyalty"
    verbose_name = _("Loyalty programme")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from oscar_loyalty import checks, receivers, signals
        from oscar_loyalty.outbox.services import subscribe
        from oscar_loyalty.points import append_only
        from oscar_loyalty.storefront import registration

        del checks, registration  # importing them registers what they hold
        post_migrate.connect(receivers.on_migrated, sender=self)
        post_migrate.connect(receivers.on_migrated_guard_ledger, sender=self)
        connection_created.connect(append_only.close_replace_hole)
        subscribe("points_posted", signals.announcer(signals.points_posted))
        subscribe("claim_link", receivers.on_claim_announced)
        subscribe("late_delivery", receivers.on_late_delivery)
        subscribe("return_changed", receivers.on_return_changed)
        subscribe("return_changed", receivers.on_return_news)
        subscribe(
            "return_changed",
            signals.announcer(signals.return_changed, rename={"return": "return_id", "event": "event_id"}),
        )
        subscribe("return_mail", receivers.on_return_mail)
        subscribe("return_label", receivers.on_return_label)
        subscribe("return_no_label", receivers.on_return_no_label)
        subscribe("return_link", receivers.on_return_link)
        subscribe("withdrawal_receipt", receivers.on_withdrawal_receipt)
        subscribe("withdrawal_match", receivers.on_withdrawal_match)
        subscribe("rule_paused", receivers.on_rule_paused)
        subscribe("goodwill_given", receivers.on_goodwill_given)
        subscribe("returns_overdue", receivers.on_returns_overdue)
        subscribe("member_joined", signals.announcer(signals.member_joined))
        subscribe("tier_changed", signals.announcer(signals.tier_changed))
        subscribe("tier_changed", receivers.on_tier_changed)
        subscribe("refund_changed", receivers.on_refund_changed)
        subscribe("refund_changed", signals.announcer(signals.refund_changed))

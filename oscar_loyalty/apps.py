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
        subscribe("rule_paused", receivers.on_rule_paused)
        subscribe("member_joined", signals.announcer(signals.member_joined))
        subscribe("tier_changed", signals.announcer(signals.tier_changed))
        subscribe("tier_changed", receivers.on_tier_changed)

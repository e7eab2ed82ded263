from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from oscar_loyalty.flows.setting_up import remove_from_shop


class Command(BaseCommand):
    help = (
        "Prepare taking the app out of the shop: give reserved points back and delete the offer with which "
        "points are redeemed, because without the app's code it would break every basket. The ledger stays; "
        "loyalty_setup undoes this."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        removed = remove_from_shop(now=timezone.now())
        self.stdout.write(f"{'offers':>10}  {removed.offers} deleted")
        self.stdout.write(f"{'holds':>10}  {removed.holds} given back")
        self.stdout.write(
            "Take the app's lines out of settings and urls now: the next `manage.py migrate` with them would "
            "bring the offer back."
        )

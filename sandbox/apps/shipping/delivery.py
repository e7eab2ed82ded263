"""What the loyalty app adds to the ways in which parcels reach the customer: each promises a day."""

from decimal import Decimal

from django.utils.translation import gettext_lazy as _

from oscar_loyalty.delivery.calendars import Region
from oscar_loyalty.delivery.rules import Schedule
from oscar_loyalty.shop.delivery import DeliveryDay, Express, ParcelLockerDelivery

WAREHOUSE = Region(country="DE", subdivision="HH")
NEXT_DAY = Schedule(warehouse=WAREHOUSE, time_zone="Europe/Berlin")
TWO_DAYS = Schedule(warehouse=WAREHOUSE, time_zone="Europe/Berlin", transit_days=2)


def delivery_methods():
    """``OSCAR_LOYALTY_DELIVERY_METHODS``"""
    return [
        Express(schedule=NEXT_DAY, charge=Decimal("9.90"), name=_("Express delivery")),
        DeliveryDay(schedule=NEXT_DAY, charge=Decimal("6.90"), days=4, countries=["DE"]),
        ParcelLockerDelivery(schedule=TWO_DAYS, charge=Decimal("4.90"), free_from=Decimal("59.00")),
    ]

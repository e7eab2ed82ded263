"""The delivery methods of a shop in Berlin, for ``OSCAR_LOYALTY_DELIVERY_METHODS``."""

from decimal import Decimal

from oscar_loyalty.delivery.calendars import Region
from oscar_loyalty.delivery.rules import Schedule
from oscar_loyalty.shop.delivery import (
    DeliveryDay,
    Express,
    ParcelLockerDelivery,
    PickupPlace,
    PickupPoint,
)

BERLIN = Region(country="DE", subdivision="BE")
SCHEDULE = Schedule(warehouse=BERLIN, time_zone="Europe/Berlin")
PICK_UP = Schedule(warehouse=BERLIN, time_zone="Europe/Berlin", transit_days=0)


def methods():
    return [
        Express(schedule=SCHEDULE, charge=Decimal("9.90")),
        DeliveryDay(schedule=SCHEDULE, charge=Decimal("3.90"), days=3, countries=["DE"]),
        ParcelLockerDelivery(schedule=SCHEDULE, charge=Decimal("4.90"), free_from=Decimal("59.00")),
        PickupPoint(
            schedule=PICK_UP,
            places=[
                PickupPlace(
                    code="kreuzberg", name="Kreuzberg & Co", address="Oranienstr. 1, Berlin", region=BERLIN
                )
            ],
        ),
    ]


def for_holders_only():
    return [DeliveryDay(schedule=SCHEDULE, charge=Decimal("3.90"), days=2, only_with_perk=True)]


def broken():
    raise RuntimeError("The shop's function is broken")


def bavaria(address):
    return "BY"
